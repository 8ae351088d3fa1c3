"""A member of a consumer group: read, hand over, acknowledge, recover, claim; across any number of connections.

The *reading* link runs the story of ``_read``: upkeep, then reads for as long as the prefetch has room. While replies come
back full, two reads are in flight, so that the server works on the next one while we parse this one; a read that may
block is alone, since it would hold up what is sent behind it. Acknowledgements ride in front of the next read. When none leaves in time, because a read blocks or the
application holds all that it may, they go over the *acking* link, which exists only from then on.

Every entry that the server delivered to us is in ``pending`` until its acknowledgement is confirmed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack

from .arguments import Name, Seconds, encoding, name, positive, seconds, streams
from .connection import Arguments
from .engine import AT_ONCE, WAIT, Engine, EngineOptions, Exchange, Link, Replies, Script, ScriptRunner, Steps, call
from .entries import GroupBatch, StreamId
from .errors import NoGroupError, ReplyError, ReplyTooLarge, UnblockedError
from .events import AckMissed, ReadShrunk
from .pending import Pending, Ride
from .prefetch import Prefetch
from .upkeep import Upkeep

T = TypeVar("T", bytes, str)
_GROUP_GONE: Final = (NoGroupError, UnblockedError)


class Acks(Exchange):
    """Acknowledgements on their way."""

    __slots__ = ("ride",)

    def __init__(self, commands: list[Arguments], ride: Ride, timeout: float) -> None:
        super().__init__(commands, timeout)
        self.ride = ride


class GroupOptions(TypedDict, total=False):
    """Keywords of ``GroupConsumer``, explained there."""

    create: bool
    start: str
    backlog: bool
    count: int
    block: Seconds
    prefetch: int
    prefetch_bytes: int
    max_in_flight: int
    claim_idle: Seconds | None
    ack_delay: Seconds
    audit: Seconds


class GroupConsumer(Engine, Generic[T]):
    """Consume streams through a group: at least once, until acknowledged.

    ``count`` entries per stream and read; ``block`` seconds of waiting in the server; ``prefetch`` replies or
    ``prefetch_bytes`` ahead of the application; at most ``max_in_flight`` entries unacknowledged; entries idle for
    ``claim_idle`` seconds in other consumers are taken over (None: never); acknowledgements leave within ``ack_delay``
    seconds; own pending entries are audited every ``audit`` seconds. ``start`` is where a new group begins: ``"0"``,
    ``"$"`` or an id. With ``create=False`` a missing group raises ``NoGroupError``. With ``backlog=False`` what an earlier
    run of this consumer left pending stays pending.
    """

    def __init__(
        self,
        streams_: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        create: bool = True,
        start: str = "0",
        backlog: bool = True,
        count: int = 100,
        block: Seconds = 5.0,
        prefetch: int = 2,
        prefetch_bytes: int = 64 << 20,
        max_in_flight: int = 10_000,
        claim_idle: Seconds | None = 60.0,
        ack_delay: Seconds = 0.05,
        audit: Seconds = 5.0,
        decode: str | None = None,
        **engine: Unpack[EngineOptions],
    ) -> None:
        super().__init__(**engine)
        self.streams = streams(streams_)
        self.group = name("group", group)
        self.name = name("consumer", consumer)
        self.create = create
        self.start = start if start == "$" else str(StreamId.parse(start))
        self.backlog = backlog
        self.count = min(positive("count", count), positive("max_in_flight", max_in_flight))
        self.block = seconds("block", block)
        self.claim_idle = None if claim_idle is None else seconds("claim_idle", claim_idle)
        self.audit = seconds("audit", audit)
        self.pending = Pending()
        self.is_ready = False
        self._max_in_flight = max_in_flight
        self._ack_delay = seconds("ack_delay", ack_delay, zero=True)
        self._encoding = encoding(decode)
        self._prefetch: Prefetch[GroupBatch[T]] = Prefetch(
            positive("prefetch", prefetch), positive("prefetch_bytes", prefetch_bytes)
        )
        self._check_block(self.block)
        nonce = f"{self._login.client_name or 'streamcore'}:{int(self._random() * (1 << 64)):016x}"
        self._login = replace(self._login, client_name=nonce)
        self.nonce = nonce.encode()
        self._upkeep = Upkeep(self)
        self._backlogged = False
        self._leaving = False
        self._ack_due: float | None = None
        self._flush = False
        self._rode = False  # whether acknowledgements left with a read since the timer was set
        self._setbacks = 0
        self._reading = ScriptRunner(self, self._read)
        self._acking: ScriptRunner | None = None
        self._reading.link.open()

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def has_batch(self) -> bool:
        """Whether ``take`` would return a batch now."""
        return bool(self._prefetch)

    def take(self) -> GroupBatch[T] | None:
        """The next batch, or None where nothing has arrived. Raises what ended the consumer."""
        batch = self._prefetch.pop()
        if batch is None:
            self.check()
        else:
            self._reading.wake()
        return batch

    def split(self, batch: GroupBatch[T], at: int) -> GroupBatch[T]:
        """Cut a batch that was taken: keep the first ``at`` entries in it, return the rest as a batch of its own."""
        return self.pending.split(batch, at)

    def flush(self) -> None:
        """Send acknowledgements now, not within ``ack_delay``; ``settled`` tells when they have arrived."""
        self._ack_due = AT_ONCE
        self._flush = True
        self.on_wakeup()

    @property
    def settled(self) -> bool:
        """Whether the server has confirmed every acknowledgement so far."""
        return not self.pending.settling

    def leave(self) -> None:
        """Read no more, and flush; close when ``settled``."""
        self._leaving = True
        self.flush()

    # -- what the upkeep uses -----------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self._clock.now

    def random(self) -> float:
        return self._random()

    def emit(self, event: Any) -> None:
        self._emit(event)

    def deliver(self, stream: bytes, entries: list[Any], size: int = 0) -> None:
        """Entries are ours now; keep them for the application."""
        batch: GroupBatch[T] = GroupBatch(stream, entries, inbox=self._note, encoding=self._encoding, size=size)
        self.pending.add(batch)
        self._prefetch.add(batch)

    def wait_for_room(self) -> Steps[None]:
        """Nothing is in flight: wait until more may be fetched, and send acknowledgements that are due meanwhile."""
        while self._leaving or not self._has_room(0):
            yield from self._wait_or_flush()

    # -- the story of the reading link --------------------------------------------------------------------------------

    def _read(self) -> Script:
        reads = 0
        rides: deque[Acks] = deque()  # in flight, each in front of a read
        self._backlogged = False
        try:
            yield from self._upkeep.enter(self._reading.link)
            self.is_ready = True
            self._reading.link.succeeded()
            while True:
                if not reads and not self._leaving and self._upkeep.due and self._has_room(0):
                    yield from self._upkeep.run()
                while self._may_read(reads):
                    if (acks := self._collect_acks()) is not None:
                        rides.append(acks)
                        yield acks
                    yield self._next_read()
                    reads += 1
                if not reads:
                    yield from self._wait_or_flush()
                elif (answered := (yield WAIT)) is None:
                    continue
                elif rides and answered is rides[0]:
                    self._confirm(rides[0])
                    rides.popleft()
                else:
                    reads -= 1
                    yield from self._absorb(answered, more=reads > 0)
        finally:
            self.pending.lose(acks.ride for acks in rides)

    def _may_read(self, in_flight: int) -> bool:
        if self._leaving or not self._has_room(in_flight):
            return False
        return not in_flight or (self._backlogged and not self._upkeep.due)

    def _has_room(self, in_flight: int) -> bool:
        entries = (in_flight + 1) * self.count * len(self.streams)
        fits = self.pending.in_flight + entries <= self._max_in_flight or not (self.pending.in_flight or in_flight)
        return fits and self._prefetch.has_room(in_flight)

    def _next_read(self) -> Exchange:
        patient = not self._backlogged and not self._upkeep.due
        block = ("BLOCK", int(self.block * 1000)) if patient else ()
        head = ("XREADGROUP", "GROUP", self.group, self.name, "COUNT", self.count, *block, "STREAMS")
        read = (*head, *self.streams, *(">" for _ in self.streams))
        return Exchange([read], self.block + self.options.request_timeout)

    def _absorb(self, read: Exchange, *, more: bool) -> Steps[None]:
        [reply] = read.replies
        if isinstance(reply, ReplyError):
            yield from self._mend(reply, more)
            return
        self._setbacks = 0
        self._backlogged = False
        for stream, entries in (reply or {}).items():
            if entries:
                self.deliver(stream, entries, read.nbytes // len(reply))
                self._backlogged |= len(entries) >= self.count

    def _mend(self, error: ReplyError, more: bool) -> Steps[None]:
        """A read was refused: create the group again, once the other read is back as well."""
        if not isinstance(error, _GROUP_GONE):
            error.command = "XREADGROUP"
            raise error
        self._backlogged = False
        if more:
            return
        self._setbacks += 1
        if self._setbacks > 3:  # noqa: PLR2004  # somebody destroys it as fast as we create it: reconnect with back-off
            self._setbacks = 0
            raise ReplyError("TRYAGAIN", f"the group vanishes again and again: {error}", "XREADGROUP")
        for stream in self.streams:
            yield from self._upkeep.ensure_group(stream)

    # -- acknowledgements ---------------------------------------------------------------------------------------------

    def _note(self, batch: GroupBatch[T]) -> None:
        """A batch has its first acknowledgement since the last collection; called in any thread."""
        self.pending.note(batch)
        if self._ack_due is None:
            self._ack_due = AT_ONCE
            self.on_wakeup()

    def _collect_acks(self) -> Acks | None:
        self._rode, self._flush = True, False
        self.pending.collect()
        if not self.pending.unsent:
            return None
        commands, ride = self.pending.take(self.group)
        return Acks(commands, ride, self.options.request_timeout)

    def _confirm(self, acks: Acks) -> None:
        for ack, count in zip(acks.ride, acks.replies, strict=True):
            if isinstance(count, ReplyError):
                count.command = "XACK"
                raise count
            if count < len(ack.ids) and not ack.repeated:
                self._emit(AckMissed(ack.stream, len(ack.ids) - count))
        self.pending.confirm(acks.ride)

    def _send_acks(self) -> Steps[None]:
        acks = self._collect_acks()
        if acks is None:
            return
        try:
            yield acks
            while (yield WAIT) is None:
                pass
            self._confirm(acks)
        except BaseException:
            self.pending.lose([acks.ride])
            raise

    def _wait_or_flush(self) -> Steps[None]:
        if self._flush:
            yield from self._send_acks()
        else:
            yield WAIT

    def _ack(self) -> Script:
        """The story of the acking link."""
        assert self._acking is not None
        self._acking.link.succeeded()
        while True:
            yield from self._wait_or_flush()

    # -- time and loss ------------------------------------------------------------------------------------------------

    def _timer(self) -> float | None:
        return self._ack_due

    def _elapse(self, now: float) -> None:
        if self._ack_due == AT_ONCE and not self._flush:
            self._ack_due = now + self._ack_delay / 2
        if self._ack_due is None or now < self._ack_due:
            return
        self._ack_due = None
        self.pending.collect()
        if not self.pending.unsent:
            return
        if self._rode and not self._flush:
            self._rode = False  # they ride with the reads; those of now have half of the delay left to do so, too
            self._ack_due = now + self._ack_delay / 2
            return
        self._flush = True
        if self._reading.running and not self._reading.link.unanswered:
            self._reading.wake()
            return
        if self._acking is None:
            self._acking = ScriptRunner(self, self._ack, "acks")
            self._acking.link.open()
        self._acking.wake()

    def _report_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        if isinstance(error, ReplyTooLarge) and link is self._reading.link:
            if self.count == 1:
                self.fail(error)
                return
            self.count = max(1, self.count // 2)
            self._emit(ReadShrunk(self.count))
        super()._report_down(link, error, was_up=was_up)
