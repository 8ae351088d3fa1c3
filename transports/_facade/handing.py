"""What a consumer hands over, on any runtime: entries one by one out of a batch.

A signal handler may raise anywhere, and nothing shall be lost by that. So what was taken from the engine is kept in ``_taken`` until its
batch is begun, a batch is begun in one step, and an entry that was made and has not reached the application is made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import length_hint
from typing import Any, Generic, TypeVar

from streamcore.entries import BaseBatch, Entry

E = TypeVar("E", bound=Entry[Any])
B = TypeVar("B", bound=BaseBatch[Any, Any])


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
        """Make what is left of a batch a batch of its own, which is taken and not handed over; within the engine."""
        batch = self._batch
        if batch is not None:
            nothing: Iterator[Any] = iter(())
            tail = self._engine.split(batch, len(batch) - self._left)
            self._batch, self._rows, self._entries, self._taken = None, nothing, nothing, tail  # and nothing in between

    def _forget(self) -> None:
        """What is left of a batch is handed over no more: after closing, and in a forked child."""
        nothing: Iterator[Any] = iter(())
        self._rows, self._entries, self._taken = nothing, nothing, None

    def _go_through(self, batch: B, at: int = 0) -> None:
        """Hand over the entries of a batch from this one on."""
        rows = iter(batch.raw[at:] if at else batch.raw)
        entries: Iterator[E] = map(partial(batch.view, batch), rows)
        self._batch, self._rows, self._entries, self._taken = batch, rows, entries, None  # and nothing in between

    def _step_back(self) -> None:
        """A signal handler has raised while an entry was made: it is the next one again."""
        batch = self._batch
        if batch is not None:
            self._go_through(batch, len(batch) - self._left - 1)
