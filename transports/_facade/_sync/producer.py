"""A producer for threads; the engine is asked under the driver's lock."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

from streamcore.arguments import Name, Seconds, seconds
from streamcore.commands import Command
from streamcore.entries import StreamId
from streamcore.process_bound import ProcessBound
from streamcore.producer.producer import Fields, settling
from streamcore.producer.producer import PendingSend as SentEntry
from streamcore.producer.producer import Producer as ProducerEngine

from ..batching import Rows
from .forgotten import weakly
from .lifecycle import Running, submit


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

    def wait(self) -> StreamId:
        """Wait until it is done; its ``id``."""
        if not self._entry.finished:
            self._running.driver.until(lambda: self._entry.finished)
        return self._entry.id


class Producer(ProcessBound):
    """Append to a stream: ``id = producer.send({...})``. Threads may share it; their entries leave together."""

    _instead = "open another one where it is needed"

    def __init__(self, engine: ProducerEngine, client: Running) -> None:
        self._engine = engine
        self._append = engine.submit if engine.is_direct else engine.append
        self._running = client.part(engine)
        self._running.leave = weakly(self._leave)

    def __enter__(self) -> Self:
        self._running.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if kind is None:
            self._engine.raise_failures()

    def close(self) -> None:
        """Flush, and close; raises as ``flush`` does. What other threads' ``send`` has not sent yet fails: ``ConnectionLost``."""
        self._close()
        self._engine.raise_failures()

    def _close(self) -> None:
        self._running.close()
        self._running.tell_events()

    def send(
        self,
        fields: Fields,
        id: StreamId | str = "*",  # noqa: A002  # the server's word
        *,
        message_id: Name | None = None,
    ) -> StreamId:
        """Append one entry (``XADD``) and wait for its id. Of an idempotent producer, once for each ``message_id``.

        Raises ``DeliveryUnknown`` where it was sent and the id never came back, ``ConnectionLost`` where it was not sent,
        ``NotDurable`` where it is in the stream, and too few servers have confirmed it.
        """
        how = self._append if message_id is None else partial(self._engine.append, message_id=message_id)
        request = submit(self._running, [self._engine.entry(fields, id)], how)
        return cast(StreamId, request.answer())

    def send_many(self, entries: Iterable[Fields]) -> list[StreamId]:
        """Append entries in order, many in flight at once; their ids.

        The entries are drawn as they come, and few of them are here at a time. Raises the first error, a row that is no entry
        included, when what was sent before is answered: its ``row`` and ``ids`` tell what is in the stream. What the iterator
        raises is raised as it is, with a note about that.
        """
        rows, driver = Rows(self._engine), self._running.driver
        try:
            source = iter(entries)
            while rows.wants_more:
                self._push(rows, rows.draw(source))
            driver.call(self._engine.hurry)
            driver.until(rows.is_settled)
        except BaseException:
            rows.give_up()
            raise
        return rows.result()

    def _push(self, rows: Rows, piece: list[Command[Any]]) -> None:
        driver = self._running.driver
        if not driver.call(rows.has_room):
            driver.call(self._engine.hurry)
            driver.until(rows.has_room)
        if piece:
            driver.call(partial(rows.submit, piece))

    def send_nowait(
        self,
        fields: Fields,
        id: StreamId | str = "*",  # noqa: A002  # the server's word
        *,
        message_id: Name | None = None,
    ) -> PendingSend:
        """Append one entry, and do not wait for its id; only while 10,000 of them, or 64 MiB, are unanswered.

        If it fails, the event ``SendFailed`` tells, and ``flush`` or leaving the block raises, unless its ``id`` was asked.
        """
        command = self._engine.entry(fields, id)
        self._running.tell_events()
        sent = self._running.driver.until(partial(self._try_nowait, command, message_id))
        return PendingSend(cast(SentEntry, sent), self._running)

    def flush(self, timeout: Seconds | None = None) -> bool:
        """Wait until what ``send_nowait`` was given so far is answered; False where that takes longer than ``timeout``.

        Raises what has failed since the last time, together, as ``CommandErrors``.
        """
        driver, within = self._running.driver, None if timeout is None else seconds("timeout", timeout, zero=True)
        driver.call(self._engine.hurry)
        done = driver.until(settling(driver.call(self._engine.unanswered)), within)
        self._running.tell_events()
        driver.call(self._engine.raise_failures)
        return done

    def _leave(self) -> None:
        driver = self._running.driver
        if unanswered := driver.call(self._engine.unanswered):
            driver.call(self._engine.hurry)
            driver.until(settling(unanswered), self._engine.patience)

    def _try_nowait(self, command: Command[Any], message_id: Name | None) -> SentEntry | None:
        """The entry on its way; None while there is no room."""
        self._engine.check()
        return self._engine.send_nowait(command, message_id) if self._engine.has_room_nowait else None
