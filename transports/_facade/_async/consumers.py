"""Consumers on an async runtime: entry by entry, batch by batch, or with the events in their places."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from streamcore.arguments import Name, Seconds, name, seconds
from streamcore.commands.ids import Position
from streamcore.consumer.consumer import Consumer as ConsumerEngine
from streamcore.engine.pending_change import PendingChange
from streamcore.entries import Batch, Entry, StreamId
from streamcore.events import Event
from streamcore.process_bound import ProcessBound

from ..lifecycle import all_done, forgetful
from ..reading import NOTHING, WITH_EVENT, B, E, Handing, Told, told
from .lifecycle import Running

# threads: from ..forgotten import weakly

T = TypeVar("T", bytes, str)
Item = TypeVar("Item")


class Reader(ProcessBound, Handing[E, B]):
    """Entries in turn, or batch by batch. Belongs to a single task at a time."""

    def __init__(self, engine: Any, running: Running) -> None:
        super().__init__(engine)
        self._running = running
        self._running.leave = self._leave  # async
        # threads: self._running.leave = weakly(self._leave)
        forgetful.add(self)

    async def __aenter__(self) -> Self:
        await self._running.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close; entries that were fetched and never handed over are forgotten here, not on the server."""
        try:
            await self._running.close()
        finally:
            self._forget()

    async def _leave(self) -> None:
        """On closing, also where that is the client's: nothing more is handed over."""
        self._forget()

    def __aiter__(self) -> AsyncIterator[E]:
        self._go_on()
        return self

    async def __anext__(self) -> E:
        try:
            for entry in self._entries:
                return entry
        except BaseException:
            self._step_back()
            raise
        return self._begin(await self._fetch(self._ask))

    async def get(self, timeout: Seconds | None = None) -> E | None:  # noqa: ASYNC109  # 0 polls
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
        found = await self._fetch(self._ask_for_entries, wait)
        if found is None or (isinstance(found, Told) and found.stops):
            self._taken = None
            return None
        return self._begin(found)

    def batches(self) -> AsyncIterator[B]:
        """Iterate over batches, the fast lane; the rest of a batch begun by entries comes first."""
        return self._iteration(_Batches(self))

    def with_events(self) -> AsyncIterator[E | Event]:
        """Iterate over entries, and over the events between them, each in its place.

        An event comes when everything was handed over that had arrived before it happened; where ``merge`` holds entries
        back, before these. Each comes once, in this way; ``on_event`` hears of it, too.
        """
        return self._iteration(_WithEvents(self))

    def _iteration(self, items: AsyncIterator[Item]) -> AsyncIterator[Item]:
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

    async def _next_batch(self) -> B:
        if self._left:
            self._running.driver.call(self._cut)
        found: Any = await self._fetch(self._ask_for_entries)
        if isinstance(found, Told):
            self._taken = None
            found = _tell(found)
        batch: B = found
        self._taken = None
        return batch

    async def _next_with_events(self) -> E | Event:
        try:
            for entry in self._entries:
                return entry
        except BaseException:
            self._step_back()
            raise
        while (found := await self._fetch(self._ask_with_events)) is None:
            event: Event | None = self._running.driver.call(self._engine.next_event_in_place)
            if event is not None:
                return event
        return self._begin(found)

    def _go_on(self) -> None:
        """A new iteration begins."""

    async def _fetch(self, ask: Callable[[], Any], within: float | None = None) -> Any:
        """Fetch a batch from the engine; None when ``within`` seconds have passed first, or an event has to be told.

        It stays in ``_taken`` until it is on its way to the application.
        """
        running = self._running
        driver = running.driver  # async
        # threads: running.check()
        with running.sole_use(), running.telling_events():
            if self._taken is None or self._taken is WITH_EVENT:
                if within is not None or self._engine.has_batch:  # async: once for each batch, others shall run
                    await driver.checkpoint()
                self._taken = None
                await running.wait(partial(self._take, ask), within)
                if self._taken is WITH_EVENT:
                    self._taken = None
            running.tell_events()  # it may raise: the batch is kept for the next call
        return self._taken

    async def _settle(self, change: PendingChange) -> None:
        """Wait for a change of the streams. Raises why it cannot be made; then, and interrupted, it leaves no trace."""
        engine, running = self._engine, self._running
        try:
            if not await running.driver.until(partial(all_done, engine, change), engine.options.request_timeout):
                raise running.not_reached()
        finally:
            running.call(partial(engine.give_up, change))


class _Batches(Generic[E, B]):
    def __init__(self, reader: Reader[E, B]) -> None:
        self._reader = reader

    def __aiter__(self) -> Self:
        self._reader._go_on()  # noqa: SLF001  # its other half
        return self

    async def __anext__(self) -> B:
        return await self._reader._next_batch()  # noqa: SLF001  # its other half


class _WithEvents(Generic[E, B]):
    def __init__(self, reader: Reader[E, B]) -> None:
        self._reader = reader

    def __aiter__(self) -> Self:
        self._reader._go_on()  # noqa: SLF001  # its other half
        return self

    async def __anext__(self) -> E | Event:
        return await self._reader._next_with_events()  # noqa: SLF001  # its other half


class Consumer(Reader[Entry[T], Batch[T]], Generic[T]):
    """Follow streams by XREAD, each entry once: ``async for entry in consumer``."""

    _instead = "open another one where it is needed, at the cursor() of this one"

    def __init__(self, engine: Any, running: Running, idle_value: Any = NOTHING) -> None:
        super().__init__(engine, running)
        self._idle_value = idle_value

    def _go_on(self) -> None:
        self._running.driver.call(self._engine.begin)

    def _ask(self) -> Any:
        batch = self._engine.take()
        return told(self._engine, self._idle_value) if batch is None else batch

    def _ask_for_entries(self) -> Any:
        batch = self._engine.take()
        return told(self._engine, NOTHING) if batch is None else batch

    async def add_stream(self, stream: Name, start: Position | None = None) -> bool:
        """Follow another stream, from its end unless told otherwise; False where it is followed already.

        A read that waits in the server is ended for it (``CLIENT UNBLOCK``). Raises the server's error where it cannot be
        followed, and ``InvalidArgument`` for a start in a stream that is followed already; either leaves no trace.
        """
        change = self._running.driver.call(partial(self._engine.add_stream, stream, start))
        if change is not None:
            await self._settle(change)
        return change is not None

    async def seek(self, stream: Name, start: Position) -> None:
        """Go on with a stream from another place; entries that were read ahead of it are dropped.

        Raises the server's error where that place cannot be found; reading goes on where it was then.
        """
        change = self._running.driver.call(partial(self._engine.seek, stream, start))
        await self._settle(change)
        self._drop(change.cursor.stream)

    def remove_stream(self, stream: Name) -> bool:
        """Follow a stream no more, and drop the entries that were read ahead of it; False where it was not followed."""
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
        raise StopAsyncIteration
    if found.raises:
        raise found.value
    return found.value
