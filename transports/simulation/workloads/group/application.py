"""A member of a consumer group that is written as users write one: with the async face, in tasks, in virtual time.

The calls that ``Member`` makes by hand are made here by ``transports._facade``: ``run``, iteration, ``get``, batches,
``ack="auto"``, leaving the block. Each process has its way among these. Its waits are cancelled at every point at which
they can be, and the process may be told to drain, be cancelled as a whole, or be killed, wherever it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from streamcore import (
    ConnectionLost,
    ConsumerFencedError,
    GroupBatch,
    GroupConsumer,
    GroupEntry,
    ReplyError,
    StreamcoreError,
)
from streamcore.errors import UNAVAILABLE
from transports._facade._async import GroupConsumer as Face

from ...world.async_runtime import Died, Process, Task
from ...world.engine_state import Watch, batch_of, engine_of, row_of, silence, watched
from ...world.stream_log import Key, is_poison
from ..application import Faced
from .member import CLAIM_IDLE, Member

WAYS: Final = ("run", "stream", "iterate", "auto", "get", "batches")
"""How a process may use its consumer."""


class Failure(Exception):
    """A handler fails."""


class Application(Faced, Member):
    """A member through the face; it has the habits of a ``Member``."""

    face: Face[bytes] | None = None
    _way = "run"

    # -- a life -------------------------------------------------------------------------------------------------------

    def begins(self) -> None:
        self._way = self.draw.choice(WAYS)
        self.world.tell(self.label, f"starts, in the way of {self._way!r}")
        self.log.changed()

    def over(self) -> None:
        self.log.ends(self.label, self.consumer)

    def forget(self) -> None:
        super().forget()
        self.face = None

    def expects(self, error: StreamcoreError) -> bool:
        refused = isinstance(error, ConsumerFencedError) or (
            isinstance(error, ReplyError) and error.code not in UNAVAILABLE
        )
        return refused or (self.face is None and isinstance(error, ConnectionLost))

    # -- what it does -------------------------------------------------------------------------------------------------

    async def live(self, process: Process) -> None:
        habits = self.habits
        options: Any = {
            "consumer": self.consumer,
            "count": habits.count,
            "prefetch": habits.prefetch,
            "block": 0.8,
            "max_in_flight": habits.max_in_flight,
            "max_deliveries": habits.max_deliveries,
            "claim_idle": CLAIM_IDLE,
            "audit_interval": 0.6,
            "fenced": habits.fenced,
            "detect_gaps": habits.detect_gaps,
            "remove_on_leaving": habits.remove_on_leaving,
            "remove_idle_consumers": 5.0,
            "ack_delay": habits.ack_delay,
            "report_acks": True,
            "ack": "auto" if self._way == "auto" else "manual",
        }
        async with self.connect(process) as client:
            consumer: Face[bytes] = client.group_consumer(habits.streams, group=self.log.group, **options)
            self._listen(consumer)
            async with consumer:
                self.face = consumer
                try:
                    await self._use(process, consumer)
                finally:
                    self._doubt_the_rest()

    def _doubt_the_rest(self) -> None:
        """Entries that were delivered to us and not handed over may be counted."""
        for stream in self.log.streams:
            group = self.log.of(stream)
            for id_, delivery in group.pending.items() if group else ():
                if delivery.consumer == self.consumer and (key := self.log.key_at(stream, b"%d-%d" % id_)) is not None:
                    fate = self.log.fate(key)
                    fate.doubts += fate.holder != self.label

    def _listen(self, consumer: Any) -> None:
        silence(consumer)
        engine = engine_of(consumer)
        engine.on_event = self._heard
        self._events.listen(self.label, engine)

    async def _use(self, process: Process, consumer: Face[bytes]) -> None:
        habits = self.habits
        if self._way in ("run", "stream"):
            running = partial(
                consumer.run,
                self._handle,
                concurrency=habits.at_once,
                order="stream" if self._way == "stream" else "free",
                on_error=self._on_error,
                nack_delay=self.draw.choice([0.0, 0.1]),
            )
            await self.interruptibly(process, running, fuse=None)
            return
        batches, entries = aiter(consumer.batches()), aiter(consumer)
        while not self.leaving:
            if self._way == "batches":
                batch: GroupBatch[bytes] | None = await self.interruptibly(
                    process, partial(_next, batches), fuse=self.fuse()
                )
                for entry in batch or ():
                    self._is_handed(entry)
                for entry in batch or ():
                    await self._treat(entry)
                continue
            wait = partial(consumer.get, 0.4) if self._way == "get" else partial(_next, entries)
            entry = await self.interruptibly(process, wait, fuse=self.fuse())
            if entry is not None:
                self._is_handed(entry)
                if await self._treat(entry) and self._way == "auto":
                    self.log.fate(self._key(entry)).acked = True  # asking for the next one says so

    # -- entries ------------------------------------------------------------------------------------------------------

    def _is_handed(self, entry: GroupEntry[bytes]) -> None:
        self._hand(batch_of(entry), [row_of(entry)])

    async def _handle(self, entry: GroupEntry[bytes]) -> None:
        """The handler of ``run``."""
        self._is_handed(entry)
        key = self._key(entry)
        await self._work()
        if self._fails(key):
            raise Failure(key.name.decode())
        self.log.fate(key).acked = True

    def _on_error(self, entry: GroupEntry[bytes], error: Exception) -> Any:
        if not isinstance(error, Failure):
            raise error
        fate = self.log.fate(self._key(entry))
        if self.draw.random() < self.habits.buries:
            fate.buried = fate.refused = True
            return "dead_letter"
        fate.excused = fate.refused = True
        return "nack"

    async def _treat(self, entry: GroupEntry[bytes]) -> bool:
        """Handle an entry in the application's own loop; whether it was processed."""
        await self._work()
        key = self._key(entry)
        fate = self.log.fate(key)
        if self._fails(key):
            fate.excused = fate.refused = True
            entry.nack(self.draw.choice([0.0, 0.1]) if self.world.faulty else 0.0)
            return False
        if self._way != "auto":
            fate.acked = True
            entry.ack()
        return True

    async def _work(self) -> None:
        lot, habits, process = self.draw.random(), self.habits, self.process
        if process is None:
            raise Died
        if lot < habits.very_slow:
            await process.sleep(2 * CLAIM_IDLE * self.draw.random())
        elif lot < habits.very_slow + habits.slow:
            await process.sleep(0.15 * self.draw.random())

    def _fails(self, key: Key) -> bool:
        fate = self.log.fate(key)
        poison = is_poison(key.name) and (self.habits.max_deliveries is not None or fate.times < 3)
        return poison or self.draw.random() < self.habits.refuses

    # -- what is done to it -------------------------------------------------------------------------------------------

    def ask_to_leave(self, main: Task, lot: float) -> None:
        if self.face is None or lot > 0.5:
            main.cancel()
        else:
            self.face.drain()

    def watch(self, stream: bytes) -> Watch | None:
        return None if self.face is None else watched(engine_of(self.face), stream)

    def missing(self) -> str:
        consumer = self.face
        if self.process is None or consumer is None:
            return f"{self.name} has not started"
        engine: GroupConsumer[bytes] = engine_of(consumer)
        return "" if engine.is_ready and engine.settled else f"{self.label} has not settled what it holds"


async def _next(items: AsyncIterator[Any]) -> Any:
    """The next entry; None when nothing more comes."""
    return await anext(items, None)
