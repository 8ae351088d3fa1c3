"""A producer on an async runtime."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, cast

from streamcore.arguments import Name, Seconds, seconds
from streamcore.commands import Command
from streamcore.entries import StreamId
from streamcore.process_bound import ProcessBound
from streamcore.producer.producer import Fields, settling
from streamcore.producer.producer import PendingSend as SentEntry
from streamcore.producer.producer import Producer as ProducerEngine

from ..batching import Rows
from .lifecycle import Running, submit

# threads: from ..forgotten import weakly

BREATH: Final = 100  # async: so many entries ``send_nowait`` takes before it lets others run, and the entries leave


class PendingSend(ProcessBound):
    """An entry of ``send_nowait``, on its way or answered."""

    _instead = "pass on its id"

    def __init__(self, entry: SentEntry, running: Running) -> None:
        self._entry = entry
        self._running = running

    @property
    def done(self) -> bool:
        """Whether it was answered, or given up."""
        return self._entry.finished

    @property
    def id(self) -> StreamId:
        """Its id, once it is done. Raises why it has none, as ``Producer.send`` does; ``flush`` does not raise that again."""
        return self._entry.id

    async def wait(self) -> StreamId:
        """Wait until it is done; its ``id``."""
        if not self._entry.finished:
            await self._running.driver.until(lambda: self._entry.finished)
        return self._entry.id


class Producer(ProcessBound):
    """Append to a stream: ``id = await producer.send({...})``. Tasks may share it; their entries leave together."""

    _instead = "open another one where it is needed"

    def __init__(self, engine: ProducerEngine, running: Running) -> None:
        self._engine = engine
        self._append = engine.submit if engine.is_direct else engine.append
        self._running = running
        self._running.leave = self._leave  # async
        # threads: self._running.leave = weakly(self._leave)
        self._breath = BREATH  # async

    async def __aenter__(self) -> Self:
        await self._running.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        if kind is None:
            self._engine.raise_failures()

    async def aclose(self) -> None:
        """Flush, and close; raises as ``flush`` does. An entry that another task's ``send`` has not sent yet fails: ``ConnectionLost``."""
        await self._close()
        self._engine.raise_failures()

    async def _close(self) -> None:
        await self._running.close()
        self._running.tell_events()

    async def send(
        self,
        fields: Fields,
        id: StreamId | str = "*",  # noqa: A002  # the server's word
        *,
        message_id: Name | None = None,
    ) -> StreamId:
        """Append an entry (``XADD``) and wait for its id. Of an idempotent producer, once for each ``message_id``.

        Raises ``DeliveryUnknown`` where it was sent and the id never came back, ``ConnectionLost`` where it was not sent,
        ``NotDurable`` where it is in the stream, and too few servers have confirmed it.
        """
        how = self._append if message_id is None else partial(self._engine.append, message_id=message_id)
        request = await submit(self._running, [self._engine.entry(fields, id)], how)
        return cast(StreamId, request.answer())

    async def send_many(self, entries: Iterable[Fields] | AsyncIterable[Fields]) -> list[StreamId]:
        """Append entries in order, many in flight at once; their ids.

        The entries are drawn as they come, and few of them are here at a time; an async iterator may be given, too. Raises the
        first error, a row that is no entry included, when all rows sent before are answered: its ``row`` and ``ids`` tell which rows are in
        the stream. An error of the iterator is raised as it is, with a note about that.
        """
        rows, driver = Rows(self._engine), self._running.driver
        try:
            await self._draw(rows, entries)
            driver.call(self._engine.hurry)
            await driver.until(rows.is_settled)
        except BaseException:
            rows.give_up()
            raise
        return rows.result()

    async def _draw(self, rows: Rows, entries: Iterable[Fields] | AsyncIterable[Fields]) -> None:
        if isinstance(entries, AsyncIterable):  # async
            await self._draw_slowly(rows, aiter(entries))
            return
        source = iter(entries)
        while rows.wants_more:
            await self._push(rows, rows.draw(source))
            self._running.driver.flush()  # async: the next rows may take long to draw, and nothing else runs meanwhile
            await self._running.driver.checkpoint()  # async

    async def _draw_slowly(self, rows: Rows, source: AsyncIterator[Fields]) -> None:  # async
        """Append rows of an async iterator as they come: the next row may come at any time."""
        while rows.wants_more:
            try:
                fields = await anext(source)
            except StopAsyncIteration:
                return
            except Exception as error:  # noqa: BLE001  # of the application's own iterator: raised when all else is known
                rows.fail(error)
            else:
                await self._push(rows, rows.add(fields))

    async def _push(self, rows: Rows, piece: list[Command[Any]]) -> None:
        driver = self._running.driver
        if not driver.call(rows.has_room):
            driver.call(self._engine.hurry)
            await driver.until(rows.has_room)
        if piece:
            driver.call(partial(rows.submit, piece))

    async def send_nowait(
        self,
        fields: Fields,
        id: StreamId | str = "*",  # noqa: A002  # the server's word
        *,
        message_id: Name | None = None,
    ) -> PendingSend:
        """Append an entry, and do not wait for its id; only while 10,000 of them, or 64 MiB, are unanswered.

        If it fails, the event ``SendFailed`` tells, and ``flush`` or leaving the block raises, unless its ``id`` was asked.
        """
        running, engine = self._running, self._engine
        driver = running.driver
        command = engine.entry(fields, id)
        if not engine.has_room_nowait:  # async
            await driver.until(self._has_room_nowait)
        if running.listens:
            running.tell_events()
        sent = driver.call(partial(engine.send_nowait, command, message_id))  # async
        # threads: sent = cast(SentEntry, driver.until(partial(self._try_nowait, command, message_id)))
        self._breath -= 1  # async
        if not self._breath:  # async
            self._breath = BREATH
            await driver.checkpoint()
        return PendingSend(sent, running)

    async def flush(self, timeout: Seconds | None = None) -> bool:  # noqa: ASYNC109  # one face for all runtimes
        """Wait until all entries of ``send_nowait`` so far are answered; False where that takes longer than ``timeout``.

        Raises the failures since the last time, together, as ``CommandErrors``.
        """
        driver, within = self._running.driver, None if timeout is None else seconds("timeout", timeout, zero=True)
        driver.call(self._engine.hurry)
        done = await driver.until(settling(driver.call(self._engine.unanswered)), within)
        self._running.tell_events()
        driver.call(self._engine.raise_failures)
        return done

    async def _leave(self) -> None:
        if self._running.is_away:  # async
            return
        driver = self._running.driver
        if unanswered := driver.call(self._engine.unanswered):
            driver.call(self._engine.hurry)
            await driver.linger(settling(unanswered), self._engine.patience)

    def _has_room_nowait(self) -> bool:  # async
        self._engine.check()
        return self._engine.has_room_nowait

    # threads: def _try_nowait(self, command: Command[Any], message_id: Name | None) -> SentEntry | None:
    # threads:     """The entry on its way; None while there is no room."""
    # threads:     self._engine.check()
    # threads:     return self._engine.send_nowait(command, message_id) if self._engine.has_room_nowait else None
