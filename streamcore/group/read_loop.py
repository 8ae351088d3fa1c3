"""The work of a member of a consumer group on its links, across any number of connections.

The *reading* link runs the story of ``_read``: upkeep, then reads for as long as the prefetch has room. While replies come
back full, two reads are in flight, so that the server works on the next one while we parse this one; a read that may
block is alone, since it would hold up what is sent behind it. What has to be done between reads, is: ``joining``,
``upkeep``, ``claims``, ``renewal``, ``redelivery``. ``settling`` sends acknowledgements, in front of the reads.

Every entry that the server delivered to us is in ``pending``, or waits in ``redelivery``, until its end is confirmed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from ..connection.exchange import Arguments, Exchange
from ..connection.link import Link
from ..engine.script import WAIT, Script, ScriptRunner, Steps
from ..entries import GroupBatch
from ..errors import (
    InvalidArgument,
    NoGroupError,
    ReplyError,
    ReplyTooLarge,
    UnblockedError,
    WrongTypeError,
)
from ..events import PossibleLoss
from ..reading.portions import Portion
from ..reading.reader import Reader
from ..reading.unblock import Interrupter
from .absent_streams import AbsentStreams
from .ack_loop import Settling
from .audit import Upkeep
from .claiming import Claims
from .context import GroupContext
from .gap_detection import GroupGaps, Look
from .idle_consumers import IdleConsumers
from .idling import Idling
from .in_flight import Room
from .lineage import Lineage
from .options import Membership
from .pending import Acks, Pending
from .presence import Presence
from .redelivery import Redelivery, Waiting
from .release import Returns
from .renewal import Renewal
from .stream_changes import Joinings
from .tasks import BetweenReads

T = TypeVar("T", bytes, str)

LOOKED_AFTER: Final = (NoGroupError, UnblockedError, WrongTypeError)
"""Errors of a read that do not say of which stream they are."""
MAX_SETBACKS: Final = 3


class GroupReading(Reader[GroupBatch[T]], Generic[T]):
    """What ``GroupConsumer`` does on its own."""

    member: Membership

    def __init__(self, member: Membership, **options: Any) -> None:
        if not member.keeps:
            options.setdefault("prefetch", 1)
        super().__init__(**options)
        if self.polls and not member.stop_on_idle:
            raise InvalidArgument("block=None would ask for entries all the time; it is for stop_on_idle=True")
        self.member = member
        self.count = min(self.count, member.max_in_flight)
        self.nonce = b"" if self._entropy is None else self._introduce()
        self.context = GroupContext(self, member, self.nonce, clock=self._clock, wake=self.wake)
        self.pending = Pending(member)
        self.room = Room(self)
        self.redelivery = Redelivery(self)
        self.claims = Claims(self)
        self._between_reads = BetweenReads(self)
        self.idle_consumers = IdleConsumers(self.context)
        self.idling = Idling(self)
        self.lineage = Lineage(self)
        self.absent_streams = AbsentStreams(self.context)
        self.presence = Presence(self.context)
        self.gaps = GroupGaps(member, self.emit, self.degradation)
        self.upkeep = Upkeep(self)
        self.settling = Settling(self)
        self.returns = Returns(self)
        self.renewal = Renewal(self)
        self.joining = Joinings(self)
        self.blocked = False  # the read in flight may wait in the server
        self.starved = False  # no read may leave before something is acknowledged
        self.fetching: tuple[bytes, bytes, int] | None = None  # the one entry that is asked for, and its deliveries
        self._reads = 0  # in flight
        self._backlogged = False  # the last reply was full
        self._resting = False  # nothing is in flight, because nothing may be read
        self.stops = member.history_only  # nothing more is taken on, but for what an earlier run has left
        self._draining = False  # what is here is handed over, and nothing more read
        self._leaving = False
        self._is_through = False  # with what an earlier run has left, and that is all
        self._setbacks = 0
        self._reading = ScriptRunner(self, self._read)
        self._interrupter = Interrupter(self, self._reading.link, self.degradation)
        self._reading.link.open()

    def _introduce(self) -> bytes:
        """Give our connections a name that nobody else's have."""
        nonce = f"{self._login.client_name or 'streamcore'}:{self.token('a member of a group').decode()}"
        self._login = replace(self._login, client_name=nonce)
        return nonce.encode()

    # -- what its parts use -------------------------------------------------------------------------------------------

    def deliver(
        self, stream: bytes, entries: list[Any], size: int = 0, deliveries: int = 1, *, is_unsure: bool = False
    ) -> None:
        """Entries are ours now; keep them for the application. ``is_unsure``: of one delivery before, whether it was seen."""
        batch = GroupBatch[T](
            stream,
            entries,
            inbox=self.settling.note,
            awaited=self.pending.awaits,
            encoding=self._encoding,
            size=size,
            deliveries=deliveries,
            is_unsure=is_unsure,
        )
        batch.check()
        if not self.member.keeps:
            batch.inbox = _nothing_to_settle
        else:
            self.pending.add(batch)
        if self.member.keeps and (
            (self._leaving and self.member.release_on_close) or stream not in self.member.streams
        ):
            self.returns.add(batch)
            self.settling.flush_soon()
        else:
            self._prefetch.add(batch)

    def deliver_again(self, waiting: list[Waiting]) -> None:
        """Entries of one stream that were handed over before are ours now."""
        if self._leaving or self._draining or waiting[0].stream not in self.member.streams:
            for one in waiting:
                self.returns.add_waiting(one)
            self.settling.flush_soon()
        else:
            self.redelivery.add(waiting)

    def held(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that are handed over, or wait to be."""
        return self.pending.unsettled(stream) | self.redelivery.ids(stream)

    def known(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that should be pending for us on the server."""
        return self.pending.ids(stream) | self.redelivery.ids(stream)

    def withdraw(self, stream: bytes, ids: set[bytes]) -> None:
        """Entries are not ours any more: what the application has not seen of them, it does not get."""
        self.pending.forget(stream, ids)
        self._prefetch.withdraw(stream, ids)

    def void(self, stream: bytes, ids: set[bytes]) -> None:
        """These ids mean other entries by now, or none: the application does not get them, and nothing is said of them."""
        self.pending.void(stream, ids)
        self._prefetch.withdraw(stream, ids)

    @property
    def present(self) -> list[bytes]:
        """The streams that are read now: those that are there."""
        return self.context.present

    @property
    def joins(self) -> bool:
        """Whether a stream is about to be read as well."""
        return bool(self.joining)

    def wake(self) -> None:
        """Something has changed for the reading link."""
        self._reading.wake()

    def expect(self, stream: bytes, delay: float) -> None:
        """Something of a stream was given back, and may be claimed after so many seconds."""
        self.claims.expect(stream, delay)
        self.idling.look_again()

    def wait_for_room(self) -> Steps[None]:
        """Nothing is in flight: wait until more may be fetched, and do what is due meanwhile."""
        while self._leaving or self._draining or not self.has_room():
            if self.upkeep_is_due():
                self.upkeep.put_off_audit()
                yield from self.upkeep.check_leases()
            elif self.absent_streams.due and not self.stops:
                yield from self.joining.look_for_absent()
            elif self.joining.waiting:
                yield from self.joining.enter()
            else:
                yield from self._rest()

    def has_room(self, in_flight: int = 0) -> bool:
        """Whether more entries may be fetched while so many reads are unanswered."""
        self.starved = False
        if self.redelivery or not self._prefetch.has_room(in_flight):
            return False
        fits = self.room.fits(in_flight)
        self.starved = not (fits or in_flight)
        return fits

    def upkeep_is_due(self) -> bool:
        """Whether there is something to look after."""
        return not self._leaving and self._clock.now >= self.upkeep.rota.at

    # -- the story of the reading link --------------------------------------------------------------------------------

    def _read(self) -> Script:
        self._reads, self.fetching = 0, None
        self.asked.clear()
        rides: deque[Acks] = deque()  # in flight, each in front of a read
        self._backlogged = self.blocked = False
        self.settling.at_once |= self.returns.unsent
        try:
            yield from self.upkeep.enter(self._reading.link)
            self.is_ready = True
            yield from self._recover()
            while True:
                if not self._reads:
                    yield from self._between_reads.run()
                while self._may_read():
                    if (acks := self.settling.collect()) is not None:
                        rides.append(acks)
                        yield acks
                    portion = self.room.portion()
                    if (look := self.gaps.look(portion.streams, self.options.request_timeout)) is not None:
                        yield look
                    yield self._next_read(portion)
                    self._reads += 1
                    self.asked.append(portion)
                    self._between_reads.read()
                if not self._reads:
                    yield from self._rest()
                elif (answered := (yield WAIT)) is None:
                    continue
                elif rides and answered is rides[0]:
                    self.settling.confirm(rides[0])
                    rides.popleft()
                elif isinstance(answered, Look):
                    self.gaps.saw(answered)
                else:
                    self._reads -= 1
                    portion = self.asked.popleft()
                    is_last = portion.whole and not (self._reads or self._interrupter.wanted)
                    is_last &= self.blocked or self.polls
                    self.blocked = False
                    self._interrupter.done()
                    yield from self._absorb(answered, portion)
                    self.idling.read(answered, is_last=is_last)
        finally:
            if self._reads and not (self.member.keeps or self.closed):
                self._emit(PossibleLoss(self.room.expected))
            self.blocked, self._reads = False, 0
            self.settling.lose(rides)

    def _recover(self) -> Steps[None]:
        """Before the first read of a connection: what is pending for us and was never seen."""
        if self.member.keeps:
            yield from self.upkeep.recover()
        self.upkeep.put_off_audit()  # whoever has entered, and recovered, has done all that an audit does
        self._is_through = self.member.history_only
        self._between_reads.begin()

    def _may_read(self) -> bool:
        in_flight = self._reads
        if self.stops or self.idling or self.paused or in_flight > 1:
            return False
        if in_flight and (not self._backlogged or self._between_reads.is_due):
            return False
        return len(self.member.streams) > len(self.absent_streams) and self.has_room(in_flight)

    def _next_read(self, portion: Portion) -> Exchange:
        polls = self.polls and self.idling.expected is None
        is_through = portion.whole and self.portions.is_through
        self.blocked = is_through and not (self._backlogged or self._between_reads.is_due or polls)
        member: Membership = self.member
        head: Arguments = ("XREADGROUP", "GROUP", member.group, member.name, "COUNT", portion.each)
        block: Arguments = self._waiting() if self.blocked else ()
        acks: Arguments = () if member.keeps else ("NOACK",)
        read = (*head, *block, *acks, "STREAMS", *portion.streams, *(">" for _ in portion.streams))
        return Exchange([read], self.block + self.options.request_timeout)

    def _waiting(self) -> Arguments:
        own = self.idling.expected if self.polls else None
        if own is None and self.absent_streams and not self.polls:
            own = min(self.block, max(0.0, self.absent_streams.at - self._clock.now))
        return super()._waiting() if own is None else ("BLOCK", int(own * 1000) + 1)

    def _absorb(self, read: Exchange, portion: Portion) -> Steps[None]:
        [reply] = read.replies
        self._backlogged = False
        if isinstance(reply, ReplyError):
            reply.command = "XREADGROUP"
            yield from self._mend(reply)
            return
        self._setbacks = 0
        self._reading.link.succeeded()
        received: dict[bytes, list[Any]] = reply or {}
        b"".join(received)  # names, and nothing else
        self.portions.heard(portion, received, read.nbytes, self.count)
        for stream, entries in received.items():
            if entries:
                self.gaps.received(stream, entries)
                self.upkeep.rota.came(stream)
                self.deliver(stream, entries, read.nbytes // len(received))
                self._backlogged |= len(entries) >= portion.each

    def _mend(self, error: ReplyError) -> Steps[None]:
        """A read was refused: look at each stream, once the other read is back as well, and create the group again."""
        if not isinstance(error, LOOKED_AFTER):
            raise error
        if self._reads:
            return
        self._setbacks += 1
        if self._setbacks > MAX_SETBACKS:  # somebody destroys it as fast as we create it: reconnect with back-off
            raise ReplyError("TRYAGAIN", f"the group vanishes again and again: {error}")
        yield from self.upkeep.mend()

    def _rest(self) -> Steps[None]:
        """Nothing is in flight, and nothing may be read: do what is due, or wait, at most until the next audit."""
        if self.redelivery.due:
            yield from self.redelivery.run()
        elif self.renewal.due:
            yield from self.renewal.run()
        else:
            self._resting = not self.settling.at_once
            try:
                yield from self.settling.send()
            finally:
                self._resting = False

    # -- interruptions ---------------------------------------------------------------------------------------------------

    def _end_read(self) -> None:
        """Something has changed that does not wait for a read."""
        if self.blocked:
            self._interrupter.interrupt()
        self._reading.wake()
        self.on_wakeup()

    def report_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        if link is self._reading.link:
            self._interrupter.done()  # with the connection, the read has ended too
            self.lineage.disconnected()
        super().report_down(link, error, was_up=was_up)

    def _goes_on_without(self, error: ReplyTooLarge) -> bool:
        """An entry that is too large is pending for us all the same: the next connection finds out which it is."""
        if not self.member.keeps:
            return False
        if self.fetching is None:
            return True
        if self.member.max_deliveries is None:
            return False
        self.pending.bury(*self.fetching, b"larger than max_reply")
        self.redelivery.forget(self.fetching[0], {self.fetching[1]})
        self.fetching = None
        return True

    # -- time ---------------------------------------------------------------------------------------------------------

    def _timer(self) -> float | None:
        if self.closed:
            return None
        interruption = self._interrupter.due
        if interruption is None and self.blocked:
            interruption = self.claims.expected_at
        due = [self.settling.timer, interruption]
        if self._resting and not self._leaving:
            due.append(self.upkeep.rota.at)
            if self.absent_streams and not self.stops:
                due.append(self.absent_streams.at)
        if self._resting or self.blocked:
            due.append(self.renewal.timer)
        return min([at for at in due if at is not None], default=None)

    def _elapse(self, now: float) -> None:
        if self.starved:
            self.pending.collect()
            self._reading.wake()
        if self._resting and (self.upkeep_is_due() or self.absent_streams.due or self.renewal.due):
            self._reading.wake()
        if self.blocked:
            if (at := self.renewal.timer) is not None and now >= at:
                self.renewal.remind()
                self.settling.wake_runner()
            if (at := self.claims.expected_at) is not None and now >= at and not self._interrupter.wanted:
                self._interrupter.interrupt()
        self._interrupter.elapse(now)
        self.settling.elapse(now)


def _nothing_to_settle(batch: GroupBatch[Any]) -> None:
    """The server does not keep what it delivers as pending."""
