"""A member of a consumer group: read, hand over, acknowledge, recover, claim; across any number of connections.

The *reading* link runs the story of ``_read``: upkeep, then reads for as long as the prefetch has room. While replies come
back full, two reads are in flight, so that the server works on the next one while we parse this one; a read that may
block is alone, since it would hold up what is sent behind it. Acknowledgements ride in front of the next read. When none
leaves in time, the reading link sends them by themselves; where a read blocks it, they go over the *acking* link, which
exists only from then on.

Every entry that the server delivered to us is in ``pending`` until its acknowledgement is confirmed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar, Unpack, overload

from .arguments import Name
from .connection import Arguments
from .engine import AT_ONCE, WAIT, EngineOptions, Exchange, Script, ScriptRunner, Steps
from .entries import GroupBatch
from .errors import InvalidArgument, NoGroupError, ReplyError, UnblockedError
from .events import AckMissed
from .membership import MemberOptions, Membership
from .pending import Acks, Pending
from .prefetch import Reader, ReaderOptions
from .renewal import Renewal
from .returns import Returns
from .upkeep import Upkeep

T = TypeVar("T", bytes, str)

GROUP_GONE: Final = (NoGroupError, UnblockedError)
MAX_SETBACKS: Final = 3


class GroupOptions(ReaderOptions, MemberOptions, total=False):
    """Keywords of ``GroupConsumer``, explained there."""


class _Options(GroupOptions, EngineOptions, total=False): ...


class GroupConsumer(Reader[GroupBatch[T]], Generic[T]):
    """Consume streams through a group: at least once, until acknowledged.

    ``count`` (100) entries per stream and read; ``block`` (5) seconds of waiting in the server; ``prefetch`` (2) batches
    or ``prefetch_bytes`` (64 MB) ahead of the application; at most ``max_in_flight`` (10,000) entries unacknowledged;
    entries idle for ``claim_idle`` (60) seconds in other consumers are taken over (None: never); acknowledgements leave
    within ``ack_delay`` (0.05) seconds; own pending entries are audited every ``audit`` (5) seconds. ``start`` is where a
    new group begins: ``"0"``, ``"$"`` or an id. With ``create=False`` a missing group raises ``NoGroupError``. With
    ``backlog=False`` what an earlier run of this consumer left pending stays so, until it counts as idle. What is in the
    application's hands is kept from counting as idle, unless ``renew=False``. On leaving, what was read ahead and never
    handed over is given back for others to claim at once, unless ``release=False``.
    """

    @overload
    def __init__(
        self: GroupConsumer[bytes],
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        decode: None = None,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: GroupConsumer[str],
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        decode: str,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: GroupConsumer[Any],
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        decode: str | None,
        **options: Unpack[_Options],
    ) -> None: ...
    def __init__(
        self,
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name,
        decode: str | None = None,
        **options: Unpack[_Options],
    ) -> None:
        given: dict[str, Any] = dict(options)
        own = {key: given.pop(key) for key in MemberOptions.__annotations__ if key in given}
        super().__init__(decode=decode, **given)
        if self.polls:
            raise InvalidArgument(
                "block=None would ask for entries all the time; give the seconds of waiting in the server"
            )
        self.member = Membership.of(streams, group, consumer, **own)
        self.pending = Pending()
        self.count = min(self.count, max(1, self.member.max_in_flight // len(self.member.streams)))
        nonce = f"{self._login.client_name or 'streamcore'}:{int(self._random() * (1 << 64)):016x}"
        self._login = replace(self._login, client_name=nonce)
        self.nonce = nonce.encode()
        self._upkeep = Upkeep(self)
        self._renewal = Renewal(self)
        self._returns = Returns(self)
        self._backlogged = False  # the last reply was full
        self._blocked = False  # the read in flight may wait in the server
        self._starved = False  # no read may leave before something is acknowledged
        self._leaving = False
        self._ack_due: float | None = None
        self._flush = False  # acknowledgements shall leave at once
        self._rode = False  # acknowledgements have left since the timer was set
        self._setbacks = 0
        self._on_their_way = 0  # reads whose replies will come at once
        self._resting = False  # with nothing in flight, because nothing may be read
        self._reading = ScriptRunner(self, self._read)
        self._acking: ScriptRunner | None = None
        self._reading.link.open()

    # -- the user's side ----------------------------------------------------------------------------------------------

    def split(self, batch: GroupBatch[T], at: int) -> GroupBatch[T]:
        """Cut a batch that was taken: keep the first ``at`` entries in it, return the rest as a batch of its own."""
        return self.pending.split(batch, at)

    def flush(self) -> None:
        """Send acknowledgements now, not within ``ack_delay``; ``settled`` tells when they have arrived."""
        self.pending.sweep()
        self._flush_soon()
        self.on_wakeup()

    @property
    def settled(self) -> bool:
        """Whether the server has confirmed every acknowledgement so far, and, on leaving, what we give back."""
        return not (self.pending.settling or self._returns or (self._leaving and self._on_their_way))

    def leave(self, begun: GroupBatch[T] | None = None, at: int = 0) -> None:
        """Read no more, give back what nobody has seen, and flush; close when ``settled``.

        Of the batch ``begun`` the application has seen the first ``at`` entries.
        """
        self._leaving = True
        if self.member.release:
            if begun is not None and at < len(begun):
                self._returns.add(self.split(begun, at))
            while (batch := self._prefetch.pop()) is not None:
                self._returns.add(batch)
        self.flush()

    # -- what the upkeep uses -----------------------------------------------------------------------------------------

    def deliver(self, stream: bytes, entries: list[Any], size: int = 0) -> None:
        """Entries are ours now; keep them for the application."""
        batch = GroupBatch[T](stream, entries, inbox=self._note, encoding=self._encoding, size=size)
        self.pending.add(batch)
        if self._leaving and self.member.release:
            self._returns.add(batch)
            self._flush_soon()
        else:
            self._prefetch.add(batch)

    def wait_for_room(self) -> Steps[None]:
        """Nothing is in flight: wait until more may be fetched, and send acknowledgements that are due meanwhile."""
        while self._leaving or not self.has_room():
            if self._renewal.due:
                yield from self._renewal.run()
            elif self._upkeep_is_due():
                self._upkeep.put_off_audit()
                yield from self._upkeep.check_leases()
            else:
                yield from self._rest()

    # -- the story of the reading link --------------------------------------------------------------------------------

    def _read(self) -> Script:
        reads = self._on_their_way = 0
        rides: deque[Acks] = deque()  # in flight, each in front of a read
        self._backlogged = self._blocked = False
        self._flush |= bool(self._returns)
        try:
            yield from self._upkeep.enter(self._reading.link)
            self.is_ready = True
            yield from self._upkeep.recover()
            while True:
                if not reads and not self._leaving and self._upkeep.due:
                    yield from self._upkeep.run()
                if not reads and self._renewal.due:
                    yield from self._renewal.run()
                while self._may_read(reads):
                    if (acks := self._collect_acks()) is not None:
                        rides.append(acks)
                        yield acks
                    yield self._next_read()
                    reads += 1
                    self._on_their_way = 0 if self._blocked else reads
                if not reads:
                    yield from self._rest()
                elif (answered := (yield WAIT)) is None:
                    continue
                elif rides and answered is rides[0]:
                    self._confirm(rides[0])
                    rides.popleft()
                else:
                    reads -= 1
                    self._blocked, self._on_their_way = False, reads
                    yield from self._absorb(answered, more=reads > 0)
        finally:
            self._blocked, self._on_their_way = False, 0
            self._lose(rides)

    def _may_read(self, in_flight: int) -> bool:
        if self._leaving or in_flight > 1 or (in_flight and (not self._backlogged or self._upkeep.due)):
            return False
        return self.has_room(in_flight)

    def has_room(self, in_flight: int = 0) -> bool:
        """Whether more entries may be fetched while so many reads are unanswered."""
        if not self._prefetch.has_room(in_flight):
            return False
        pending, limit = (
            self.pending,
            self.member.max_in_flight - (in_flight + 1) * self.count * len(self.member.streams),
        )
        if pending.in_flight > limit:
            pending.collect()
        fits = pending.in_flight <= limit or not (pending.in_flight or in_flight)
        self._starved = not (fits or in_flight)
        return fits

    def _next_read(self) -> Exchange:
        self._blocked = not self._backlogged and not self._upkeep.due
        block: Arguments = self._waiting() if self._blocked else ()
        head: Arguments = (
            "XREADGROUP",
            "GROUP",
            self.member.group,
            self.member.name,
            "COUNT",
            self.count,
            *block,
            "STREAMS",
        )
        read = (*head, *self.member.streams, *(">" for _ in self.member.streams))
        return Exchange([read], self.block + self.options.request_timeout)

    def _absorb(self, read: Exchange, *, more: bool) -> Steps[None]:
        [reply] = read.replies
        self._backlogged = False
        if isinstance(reply, ReplyError):
            reply.command = "XREADGROUP"
            yield from self._mend(reply, more=more)
            return
        self._setbacks = 0
        self._reading.link.succeeded()
        received: dict[bytes, list[Any]] = reply or {}
        for stream, entries in received.items():
            if entries:
                self.deliver(stream, entries, read.nbytes // len(received))
                self._backlogged |= len(entries) >= self.count

    def _mend(self, error: ReplyError, *, more: bool) -> Steps[None]:
        """A read was refused: create the group again, once the other read is back as well."""
        if not isinstance(error, GROUP_GONE):
            raise error
        if more:
            return
        self._setbacks += 1
        if self._setbacks > MAX_SETBACKS:  # somebody destroys it as fast as we create it: reconnect with back-off
            raise ReplyError("TRYAGAIN", f"the group vanishes again and again: {error}")
        for stream in self.member.streams:
            yield from self._upkeep.ensure_group(stream)

    # -- acknowledgements ---------------------------------------------------------------------------------------------

    def _note(self, batch: GroupBatch[T]) -> None:
        """A batch has its first acknowledgement since the last collection; called in any thread."""
        self.pending.note(batch)
        if self._ack_due is None:
            self._ack_due = AT_ONCE
            self.on_wakeup()
        elif self._starved:
            self.on_wakeup()

    def _flush_soon(self) -> None:
        self._flush, self._ack_due = True, AT_ONCE

    def _collect_acks(self) -> Acks | None:
        self._rode, self._flush = True, False
        self.pending.collect()
        if not self.pending.unsent:
            return None
        commands, ride = self.pending.take(self.member.group)
        return Acks(commands, ride, self.options.request_timeout)

    def _confirm(self, acks: Acks) -> None:
        for ack, count in zip(acks.ride, acks.replies, strict=True):
            if isinstance(count, ReplyError):
                count.command = "XACK"
                raise count
            if count < len(ack.ids) and not ack.repeated:
                self._emit(AckMissed(ack.stream, len(ack.ids) - count))
        self.pending.confirm(acks.ride)

    def _lose(self, rides: Iterable[Acks]) -> None:
        """The replies of these will never come: send them again as soon as there is a connection."""
        self.pending.lose(acks.ride for acks in rides)
        if self.pending.unsent:
            self._flush_soon()

    def _send_acks(self) -> Steps[None]:
        if (acks := self._collect_acks()) is not None:
            try:
                yield acks
                while (yield WAIT) is None:
                    pass
                self._confirm(acks)
            except BaseException:
                self._lose([acks])
                raise
        if self._returns:
            yield from self._returns.run()

    def _rest(self) -> Steps[None]:
        """Nothing is in flight, and nothing may be read: wait, at most until the next audit."""
        self._resting = not self._flush
        try:
            yield from self._wait_or_flush()
        finally:
            self._resting = False

    def _upkeep_is_due(self) -> bool:
        return not self._leaving and self.now >= self._upkeep.audit_at

    def _wait_or_flush(self) -> Steps[None]:
        if self._flush:
            yield from self._send_acks()
        else:
            yield WAIT

    def _ack(self) -> Script:
        """The story of the acking link."""
        assert self._acking is not None
        while True:
            if self._renewal.due and self._blocked:
                yield from self._renewal.run()
            else:
                yield from self._wait_or_flush()
            self._acking.link.succeeded()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _timer(self) -> float | None:
        if self.closed:
            return None
        if self._starved and self.pending.noted:
            return AT_ONCE
        audit = self._upkeep.audit_at if self._resting and not self._leaving else None
        renewal = self._renewal.timer if self._resting or self._blocked else None
        return min((at for at in (self._ack_due, audit, renewal) if at is not None), default=None)

    def _elapse(self, now: float) -> None:
        if self._starved:
            self.pending.collect()
            self._reading.wake()
        if self._resting and (self._upkeep_is_due() or self._renewal.due):
            self._reading.wake()
        if self._blocked and (at := self._renewal.timer) is not None and now >= at:
            self._renewal.remind()
            self._wake_acking()
        if self._ack_due == AT_ONCE and not self._flush:
            self._ack_due = now + self.member.ack_delay / 2
        if self._ack_due is None or now < self._ack_due:
            return
        self._ack_due = None
        self.pending.collect()
        if not (self.pending.unsent or self._returns):
            self._flush = False
        elif self._rode and not self._flush:
            self._rode = False  # they ride with the reads; those of now have half of the delay left to do so, too
            self._ack_due = now + self.member.ack_delay / 2
        else:
            self._flush = True
            self._reading.wake()
            self._wake_acking()

    def _wake_acking(self) -> None:
        """Send over the acking link what the reading link, being blocked, cannot send."""
        if self._acking is None and self._blocked:
            self._acking = ScriptRunner(self, self._ack, "acks")
            self._acking.link.open()
        if self._acking is not None:
            self._acking.wake()
