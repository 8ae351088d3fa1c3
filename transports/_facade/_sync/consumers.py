"""Consumers for threads: entries one by one, batch by batch, or with the events in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from streamcore.arguments import Name, Seconds, name, seconds
from streamcore.commands.ids import Position
from streamcore.consumer.consumer import Consumer as ConsumerEngine
from streamcore.consumer.cursor import CursorChange
from streamcore.engine.engine import Engine
from streamcore.entries import Batch, Entry, StreamId
from streamcore.events import Event
from streamcore.group.stream_changes import Joining
from streamcore.process_bound import ProcessBound

from ..handing import B, E, Handing
from ..settings import NOTHING, WITH_EVENT, Told, forgetful, told
from .forgotten import weakly
from .lifecycle import Running

T = TypeVar("T", bytes, str)
Item = TypeVar("Item")


class Reader(ProcessBound, Handing[E, B]):
    """Entries one by one, or batch by batch. Belongs to one thread at a time."""

    def __init__(self, engine: Any, client: Running, *, background: bool) -> None:
        super().__init__(engine)
        self._client = client
        self._running = client.part(engine, background=background)
        self._running.leave = weakly(self._leave)
        forgetful.add(self)

    def __enter__(self) -> Self:
        self._running.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; entries that were fetched and never handed over are forgotten here, not on the server."""
        try:
            self._running.close()
        finally:
            self._forget()

    def _leave(self) -> None:
        """On closing, also where that is the client's: nothing more is handed over."""
        self._forget()

    def __iter__(self) -> Iterator[E]:
        self._go_on()
        return self

    def __next__(self) -> E:
        try:
            for entry in self._entries:
                return entry
        except BaseException:
            self._step_back()
            raise
        return self._begin(self._fetch(self._ask))

    def get(self, timeout: Seconds | None = None) -> E | None:
        """The next entry; None when ``timeout`` seconds pass first, or the reading has ended: nothing will come any more.

        A timeout of None waits, 0 only looks.
        """
        wait = None if timeout is None else seconds("timeout", timeout, zero=True)
        try:
            for entry in self._entries:
                return entry
        except BaseException:
            self._step_back()
            raise
        found = self._fetch(self._ask_for_entries, wait)
        if found is None or (isinstance(found, Told) and found.stops):
            self._taken = None
            return None
        return self._begin(found)

    def batches(self) -> Iterator[B]:
        """Iterate over batches, the fast lane; what is left of a batch begun by entries comes first."""
        return self._iteration(_Batches(self))

    def with_events(self) -> Iterator[E | Event]:
        """Iterate over entries, and over the events between them, each in its place.

        An event comes when everything was handed over that had arrived before it happened; where ``merge`` holds entries
        back, before these. Each comes once, in this way; ``on_event`` hears of it, too.
        """
        return self._iteration(_WithEvents(self))

    def _iteration(self, items: Iterator[Item]) -> Iterator[Item]:
        return items

    def _begin(self, found: B | Told) -> E:
        if isinstance(found, Told):
            self._taken = None
            return cast("E", _tell(found))
        self._go_through(found)
        try:
            for entry in self._entries:
                return entry
        except BaseException:
            self._step_back()
            raise
        raise AssertionError("a batch has entries")

    def _next_batch(self) -> B:
        if self._left:
            self._running.driver.call(self._cut)
        found: Any = self._fetch(self._ask_for_entries)
        if isinstance(found, Told):
            self._taken = None
            found = _tell(found)
        batch: B = found
        self._taken = None
        return batch

    def _next_with_events(self) -> E | Event:
        try:
            for entry in self._entries:
                return entry
        except BaseException:
            self._step_back()
            raise
        while (found := self._fetch(self._ask_with_events)) is None:
            event: Event | None = self._running.driver.call(self._engine.next_event_in_place)
            if event is not None:
                return event
        return self._begin(found)

    def _go_on(self) -> None:
        """A new iteration begins."""

    def _ask(self) -> Any:
        return self._ask_for_entries()

    def _ask_for_entries(self) -> Any:
        raise NotImplementedError

    def _ask_with_events(self) -> Any:
        return WITH_EVENT if self._engine.has_event_in_place else self._ask()

    def _fetch(self, ask: Callable[[], Any], within: float | None = None) -> Any:
        """What the engine has for us; None when ``within`` seconds have passed first, or an event has to be told.

        It stays in ``_taken`` until it is on its way to the application.
        """
        running = self._running
        running.check()
        with running.sole_use(), running.telling_events():
            if self._taken is None or self._taken is WITH_EVENT:
                self._taken = None
                running.wait(partial(self._take, ask), within)
                if self._taken is WITH_EVENT:
                    self._taken = None
            running.tell_events()  # it may raise: the batch is kept for the next call
        return self._taken

    def _take(self, ask: Callable[[], Any]) -> Any:
        """Keep what there is at once: a signal handler may raise before it is handed over, and it is the next one then."""
        self._taken = ask()
        return self._taken

    def _settle(self, change: CursorChange | Joining) -> None:
        """Wait for a change of the streams. Raises why it cannot be made; then it leaves no trace."""
        engine, running = self._engine, self._running
        try:
            if not running.driver.until(partial(_is_settled, engine, change), engine.options.request_timeout):
                raise running.not_reached()
        finally:
            running.driver.call(partial(engine.give_up, change))


class _Batches(Generic[E, B]):
    def __init__(self, reader: Reader[E, B]) -> None:
        self._reader = reader

    def __iter__(self) -> Self:
        self._reader._go_on()  # noqa: SLF001  # its other half
        return self

    def __next__(self) -> B:
        return self._reader._next_batch()  # noqa: SLF001  # its other half


class _WithEvents(Generic[E, B]):
    def __init__(self, reader: Reader[E, B]) -> None:
        self._reader = reader

    def __iter__(self) -> Self:
        self._reader._go_on()  # noqa: SLF001  # its other half
        return self

    def __next__(self) -> E | Event:
        return self._reader._next_with_events()  # noqa: SLF001  # its other half


class Consumer(Reader[Entry[T], Batch[T]], Generic[T]):
    """Follow streams by XREAD, each entry once: ``for entry in consumer``."""

    _instead = "open another one where it is needed, at the cursor() of this one"

    def __init__(self, engine: Any, client: Running, *, background: bool, idle_value: Any = NOTHING) -> None:
        super().__init__(engine, client, background=background)
        self._idle_value = idle_value

    def _go_on(self) -> None:
        self._running.driver.call(self._engine.begin)

    def _ask(self) -> Any:
        batch = self._engine.take()
        return told(self._engine, self._idle_value) if batch is None else batch

    def _ask_for_entries(self) -> Any:
        batch = self._engine.take()
        return told(self._engine, NOTHING) if batch is None else batch

    def add_stream(self, stream: Name, start: Position | None = None) -> bool:
        """Follow one more stream, from its end unless told otherwise; False where it is followed already.

        A read that waits in the server is ended for it (``CLIENT UNBLOCK``). Raises the server's error where it cannot be
        followed, and ``InvalidArgument`` for a start in a stream that is followed already; either leaves no trace.
        """
        change = self._running.driver.call(partial(self._engine.add_stream, stream, start))
        if change is not None:
            self._settle(change)
        return change is not None

    def seek(self, stream: Name, start: Position) -> None:
        """Go on with a stream from another place; what was read ahead of it is dropped.

        Raises the server's error where that place cannot be found; reading goes on where it was then.
        """
        change = self._running.driver.call(partial(self._engine.seek, stream, start))
        self._settle(change)
        self._drop(change.cursor.stream)

    def _drop(self, stream: bytes) -> None:
        """Forget what was taken from the engine of a stream, and not handed over."""
        if self._batch is not None and self._batch.key == stream:
            self._rows = self._entries = iter(())
        if isinstance(self._taken, Batch) and self._taken.key == stream:
            self._taken = None

    def remove_stream(self, stream: Name) -> bool:
        """Follow a stream no more, and drop what was read ahead of it; False where it was not followed."""
        removed: bool = self._running.driver.call(partial(self._engine.remove_stream, stream))
        if removed:
            self._drop(name("stream", stream))
        return removed

    def pause(self) -> None:
        """Hand over nothing but the rest of a batch that was begun, and read nothing more, until ``resume``."""
        self._running.driver.call(self._engine.pause)

    def resume(self) -> None:
        """Go on after ``pause``."""
        self._running.driver.call(self._engine.resume)

    def cursor(self) -> dict[bytes, StreamId]:
        """Per stream the id of the last entry handed over; pass it as ``streams`` to go on from there."""
        engine: ConsumerEngine[T] = self._engine
        kept = self._taken if isinstance(self._taken, Batch) else None
        cursor = self._running.call(partial(engine.cursor, kept))
        left = self._left
        if left and self._batch is not None:
            cursor[self._batch.key] = self._batch[-left - 1].id
        return cursor


def _tell(found: Told) -> Any:
    """Return, raise or end, as the case may be."""
    if found.stops:
        raise StopIteration
    if found.raises:
        raise found.value
    return found.value


def _is_settled(engine: Engine, change: CursorChange | Joining) -> bool:
    engine.check()
    return change.poll()
