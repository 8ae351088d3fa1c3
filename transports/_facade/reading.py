"""The way of entries from an engine to the application, on any runtime: out of a batch, in turn.

A signal handler may raise anywhere, and nothing shall be lost by that. So a batch that was taken from the engine is kept in ``_taken`` until
it is begun, a batch is begun in a single step, and an entry that was made and has not reached the application is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import length_hint
from typing import Any, Final, Generic, TypeVar

from streamcore.consumer.consumer import Consumer
from streamcore.consumer.options import Interruption
from streamcore.entries import BaseBatch, Entry

E = TypeVar("E", bound=Entry[Any])
B = TypeVar("B", bound=BaseBatch[Any, Any])


NOTHING: Final = object()
"""For a value that was not given: None is one."""


class Told:
    """An item that an iteration tells instead of a batch."""

    def __init__(self, value: Any, *, stops: bool = False, raises: bool = False) -> None:
        self.value = value
        self.stops = stops
        self.raises = raises


WITH_EVENT: Final = object()
"""What an iteration with events is told instead of a batch: an event is next."""


def told(engine: Consumer[Any], idle_value: Any) -> Told | None:
    """The item to tell when no batch has come; an idle read only where a value was given for it."""
    match engine.interruption():
        case Interruption.ENDED:
            return Told(None, stops=True)
        case Interruption.IDLE if idle_value is not NOTHING:
            return Told(idle_value)
        case Exception() as error:
            return Told(error, raises=engine.on_disconnect == "raise")
        case _:
            return None


class Handing(Generic[E, B]):
    """The place between an engine and the application."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._batch: B | None = None
        self._rows: Iterator[Any] = iter(())  # of the batch
        self._entries: Iterator[E] = iter(())  # made of these
        self._taken: Any = None  # from the engine, and not handed over yet

    @property
    def _left(self) -> int:
        """How many entries of the batch were not handed over."""
        return length_hint(self._rows)

    def _cut(self) -> None:
        """Split off the rest of a batch as a batch of its own, which is taken and not handed over; within the engine."""
        batch = self._batch
        if batch is not None:
            nothing: Iterator[Any] = iter(())
            tail = self._engine.split(batch, len(batch) - self._left)
            self._batch, self._rows, self._entries, self._taken = None, nothing, nothing, tail  # and nothing in between

    def _forget(self) -> None:
        """Drop the rest of a batch: after closing, and in a forked child."""
        nothing: Iterator[Any] = iter(())
        self._rows, self._entries, self._taken = nothing, nothing, None

    def _go_through(self, batch: B, at: int = 0) -> None:
        """Hand over the entries of a batch from an index on."""
        rows = iter(batch.raw[at:] if at else batch.raw)
        entries: Iterator[E] = map(partial(batch.view, batch), rows)
        self._batch, self._rows, self._entries, self._taken = batch, rows, entries, None  # and nothing in between

    def _step_back(self) -> None:
        """Make an entry the next again: a signal handler has raised while it was made."""
        batch = self._batch
        if batch is not None:
            self._go_through(batch, len(batch) - self._left - 1)

    def _ask(self) -> Any:
        """The next item of an iteration: a batch, or an item that is told instead."""
        return self._ask_for_entries()

    def _ask_for_entries(self) -> Any:
        """The same, without the item that tells of an idle read."""
        raise NotImplementedError

    def _ask_with_events(self) -> Any:
        return WITH_EVENT if self._engine.has_event_in_place else self._ask()

    def _take(self, ask: Callable[[], Any]) -> Any:
        """Keep the answer at once: a signal handler may raise before it is handed over, and it comes next then."""
        self._taken = ask()
        return self._taken

    def _drop(self, stream: bytes) -> None:
        """Forget a stream's entries that were taken from the engine, and not handed over."""
        if self._batch is not None and self._batch.key == stream:
            self._rows = self._entries = iter(())
        if isinstance(self._taken, BaseBatch) and self._taken.key == stream:
            self._taken = None
