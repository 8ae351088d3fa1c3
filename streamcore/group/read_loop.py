"""The work of a member of a consumer group on its links, across any number of connections.

The *reading* link runs the script of ``_read``: entering, then reads for as long as the prefetch has room. While replies come
back full, two reads are in flight, so that the server works on the next read while we parse this reply; a read that may
block is alone, since it would hold up what is sent behind it. Between reads a table of tasks is run (``tasks``).
``settling`` sends acknowledgements, in front of the reads; where a read blocks, ``ack_loop`` has it send them over a second link.
The parts know the ``context`` and the state that they work on, not this loop; what they find comes back here, into ``intake``.

Every entry that the server delivered to us is in ``pending``, or waits in ``redelivery_queue``, until its end is confirmed.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Any, Final, Generic, TypeVar

from ..connection.exchange import Arguments, Exchange
from ..connection.link import Link
from ..engine.script import WAIT, Script, Steps
from ..entries import GroupBatch
from ..errors import NoGroupError, ReplyError, UnblockedError, WrongTypeError
from ..events import OwnershipLost, PossibleLoss
from ..fencing import Identity
from ..reading.portions import Portion
from ..reading.prefetch import Prefetch
from ..reading.reader import Reader, waiting
from .absent_streams import AbsentStreams
from .ack_loop import AckLoop
from .audit import Audit, StreamAudit
from .claiming import Claiming
from .context import GroupContext
from .gap_detection import GroupGaps, Look
from .given_back import GivenBack
from .group_looks import GroupLooks
from .holdings import Holdings
from .idle_consumers import IdleConsumers
from .idling import Idling
from .in_flight import InFlight
from .intake import Intake
from .lineage import Lineage
from .name_lease import NameLease
from .pending import Acks, Pending
from .phase import Phase
from .presence import Presence
from .reconciliation import Reconciliation
from .recovery import Backlog, Recovery
from .redelivery import Redelivery
from .redelivery_queue import RedeliveryQueue
from .release import Release
from .renewal import Renewal
from .rounds import Rounds
from .settling import Settling
from .setup import Setup
from .stream_changes import StreamArrivals, StreamChanges
from .tasks import BetweenReads, ForOthers

T = TypeVar("T", bytes, str)

LOOKED_AFTER: Final = (NoGroupError, UnblockedError, WrongTypeError)
"""Errors of a read that do not say of which stream they are."""
MAX_SETBACKS: Final = 3


class ReadLoop(Generic[T]):
    """Reads, and runs the tasks of a member; ``Member`` adds what the application does."""

    def __init__(self, reader: Reader[GroupBatch[T]], context: GroupContext) -> None:
        self.context = context
        self._member = context.member
        self._reader: Reader[GroupBatch[T]] = reader
        self._reading = reader.runner
        self._prefetch: Prefetch[GroupBatch[T]] = reader.prefetch
        self._portions = reader.portions
        self._asked = reader.asked
        self._unblocker = reader.unblocker
        self._clock = reader.engine.clock
        self._backlogged = False  # the last reply was full
        self._setbacks = 0
        self._make_state(context)
        self._make_settling(context)
        self._make_upkeep(context)

    def _make_state(self, context: GroupContext) -> None:
        """Make the state of the member, which its parts work on."""
        self.phase = Phase(history_only=self._member.history_only)
        pending = self.pending = Pending(self._member)
        queue = self.redelivery_queue = RedeliveryQueue()
        holdings = self.holdings = Holdings(pending, queue, self._prefetch)
        self.in_flight = InFlight(context, self._portions, holdings, self._asked)
        self.given_back = GivenBack()
        self.backlog = Backlog()
        self.rounds = Rounds(self._member.audit_interval)
        self.absent_streams = AbsentStreams(context)

    def _make_settling(self, context: GroupContext) -> None:
        """Make the parts that hand over entries, settle and renew them, and give them back."""
        pending, holdings, in_flight = self.pending, self.holdings, self.in_flight
        idling = self.idling = Idling(context, self.given_back)
        lineage = self.lineage = Lineage(context, pending)
        release = self.release = Release(context, pending)
        renewal = self.renewal = Renewal(context, holdings)
        settling = self.settling = Settling(context, pending, in_flight, idling, release, renewal)
        self.ack_loop = AckLoop(self._reader, context, in_flight, lineage, renewal, settling)
        self.redelivery = Redelivery(context, holdings, in_flight, release, settling)
        self.intake = Intake(context, self.phase, holdings, release, settling, self._reader.encoding)

    def _make_upkeep(self, context: GroupContext) -> None:
        """Make the parts that enter streams, recover and claim entries, and audit; and the table of tasks."""
        phase, holdings, in_flight, idling = self.phase, self.holdings, self.in_flight, self.idling
        backlog, rounds, absent = self.backlog, self.rounds, self.absent_streams
        gaps = self.gaps = GroupGaps(self._member, context.emit, context.degradation)
        lease = self.lease = NameLease(context)
        presence = self.presence = Presence(context)
        idle_consumers = self.idle_consumers = IdleConsumers(context)
        take, wait_for_room = self.intake.take, self._wait_for_room
        recovery = Recovery(context, backlog, holdings, in_flight, take=take, wait_for_room=wait_for_room)
        reconciliation = self.reconciliation = Reconciliation(context, backlog, holdings, self.redelivery, recovery)
        claiming = self.claiming = Claiming(context, backlog, holdings, in_flight, self.given_back, recovery)
        looks = GroupLooks(context, gaps, rounds, idle_consumers)
        setup = self.setup = Setup(context, lease, looks, absent, backlog, rounds)
        stream_audit = StreamAudit(context, holdings, setup, looks, claiming)
        audit = self.audit = Audit(context, phase, holdings, rounds, stream_audit, reconciliation)
        changes = self.stream_changes = StreamChanges(context, backlog, setup, reconciliation)
        arrivals = self._arrivals = StreamArrivals(context, absent, setup, recovery, idling, changes)
        others = self._for_others = ForOthers(context, phase, idling, in_flight, claiming, idle_consumers)
        self._between_reads = BetweenReads(
            context,
            table=(changes, arrivals, others, audit, presence, self.renewal),
            ahead=(rounds, claiming, idle_consumers, presence, absent, changes),
        )

    def _wait_for_room(self) -> Steps[None]:
        """Wait, with nothing in flight, until more entries may be fetched, and do what is due meanwhile."""
        while self.phase.stage.takes_nothing or not self.in_flight.find_room():
            if self._clock.now >= self.audit.at:
                self.audit.put_off()
                yield from self.reconciliation.drop_lost()
            elif self._clock.now >= self._arrivals.at and not self.phase.stage.stops:
                yield from self._arrivals.look()
            elif self.stream_changes.waiting:
                yield from self.stream_changes.enter()
            else:
                yield from self._rest()

    # -- the script of the reading link -------------------------------------------------------------------------------

    def read(self) -> Script:
        """Return the script of the reading link."""
        in_flight = self.in_flight
        self.context.take_turn()
        in_flight.reads, in_flight.single = 0, None
        self._asked.clear()
        self.settling.begin(is_awaited=self.ack_loop.is_awaited)
        self.redelivery_queue.recount()
        rides: deque[Acks] = deque()  # in flight, each in front of a read
        self._backlogged = in_flight.blocked = False
        self.settling.at_once |= self.release.unsent
        try:
            yield from self._enter(self._reading.link)
            self._reader.enter()
            yield from self._recover()
            while True:
                if not in_flight.reads:
                    yield from self._between_reads.run()
                    self.renewal.begin()
                while self._may_read():
                    if (acks := self.settling.collect()) is not None:
                        rides.append(acks)
                        yield acks
                    portion = in_flight.portion()
                    if (look := self.gaps.look(portion.streams, self.context.request_timeout)) is not None:
                        yield look
                    yield self._next_read(portion)
                    in_flight.reads += 1
                    self._asked.append(portion)
                    self._for_others.read()
                if not in_flight.reads:
                    yield from self._rest()
                elif (answered := (yield WAIT)) is None:
                    continue
                elif rides and answered is rides[0]:
                    self.settling.confirm(rides[0])
                    rides.popleft()
                elif isinstance(answered, Look):
                    self.gaps.saw(answered)
                else:
                    in_flight.reads -= 1
                    portion = self._asked.popleft()
                    may_end = self._member.stop_on_idle and self._was_last(portion)
                    if in_flight.blocked:
                        self.context.take_turn()
                        in_flight.blocked = False
                        self.context.touch()
                    self._unblocker.done()
                    yield from self._absorb(answered, portion)
                    if may_end:
                        waits = self._reader.paused or bool(self.stream_changes) or self._clock.now >= self.claiming.at
                        self.idling.read(answered, waits=waits)
        finally:
            if in_flight.reads and not (self._member.keeps or self._reader.engine.closed):
                self.context.emit(PossibleLoss(in_flight.expected))
            in_flight.blocked, in_flight.reads = False, 0
            self.context.touch()
            self.settling.lose(rides)

    def _enter(self, link: Link) -> Steps[None]:
        """Enter the group on a new connection, and find out whether the server still has what we hold."""
        origin = yield from self.lineage.ask()
        self.gaps.connected(link.server, same_run=self.lineage.goes_on(origin))
        self.idle_consumers.connected()
        present = Identity(link.client_id, origin.run_id, self.context.nonce)
        yield from self.setup.enter(present, turned_back=self.lineage.may_be_turned_back(origin))
        self.presence.connected(link.server)
        for stream in self.lineage.doubted(origin):
            lost = yield from self.lineage.compare(stream)
            if lost.ids:
                self.holdings.void(stream, lost.ids)
            if lost.told:
                self.context.emit(OwnershipLost(stream, lost.told))
        self.lineage.prove(origin)
        self.ack_loop.wake()

    def _recover(self) -> Steps[None]:
        """Recover what is pending for us and was never seen, before the first read of a connection."""
        if self._member.keeps:
            yield from self.reconciliation.run()
        self.audit.put_off()
        self.phase.recovered()
        self._for_others.begin()

    def _may_read(self) -> bool:
        reads = self.in_flight.reads
        if reads > 1 or self.phase.stage.stops or self.idling or self._reader.paused:
            return False
        if reads and not (self._backlogged and self._prefetch.has_room(reads) and not self._between_reads.is_due):
            return False
        return len(self._member.streams) > len(self.context.absent) and self.in_flight.find_room(reads)

    def _was_last(self, portion: Portion) -> bool:
        """Tell whether a read that is answered was the last in flight, about all streams, and would have brought all that is there."""
        in_flight = self.in_flight
        was_last = portion.whole and not (in_flight.reads or self._unblocker.wanted)
        return was_last and (in_flight.blocked or self._reader.polls)

    def _next_read(self, portion: Portion) -> Exchange:
        polls = self._reader.polls and self.idling.expected is None
        is_through = portion.whole and self._portions.is_through
        blocked = self.in_flight.blocked = is_through and not (self._backlogged or self._between_reads.is_due or polls)
        if blocked:
            self.context.touch()
        member = self._member
        head: Arguments = ("XREADGROUP", "GROUP", member.group, member.name, "COUNT", portion.each)
        block: Arguments = self._waiting() if blocked else ()
        acks: Arguments = () if member.keeps else ("NOACK",)
        read = (*head, *block, *acks, "STREAMS", *portion.streams, *(">" for _ in portion.streams))
        return Exchange([read], self.context.block + self.context.request_timeout)

    def _waiting(self) -> Arguments:
        own = self.idling.expected if self._reader.polls else None
        if own is None and self.absent_streams and not self._reader.polls:
            own = min(self.context.block, max(0.0, self.absent_streams.at - self._clock.now))
        return waiting(self.context.block) if own is None else ("BLOCK", int(own * 1000) + 1)

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
        self._portions.heard(portion, received, read.nbytes, self._reader.count)
        for stream, entries in received.items():
            if entries:
                self.gaps.received(stream, entries)
                if stream in self._member.streams:
                    self.rounds.came(stream)
                self.intake.deliver(stream, entries, read.nbytes // len(received))
                self._backlogged |= len(entries) >= portion.each

    def _mend(self, error: ReplyError) -> Steps[None]:
        """A read was refused: look at each stream, once the other read is back as well, and create the group again."""
        if not isinstance(error, LOOKED_AFTER):
            raise error
        if self.in_flight.reads:
            return
        self._setbacks += 1
        if self._setbacks > MAX_SETBACKS:  # it is destroyed as fast as we create it: reconnect with back-off
            raise ReplyError("TRYAGAIN", f"the group vanishes again and again: {error}")
        yield from self.setup.mend()

    def _rest(self) -> Steps[None]:
        """Do what is due, with nothing in flight and nothing to be read, or wait, at most until the next audit."""
        if self.redelivery.due:
            if (came := (yield from self.redelivery.run())) is not None:
                self.intake.take_again(came)
            return
        self.renewal.begin()
        if self._clock.now >= self.renewal.at:
            yield from self.renewal.run()
        else:
            self.in_flight.resting = not self.settling.at_once
            self.context.touch()
            try:
                yield from self.settling.send()
            finally:
                self.in_flight.resting = False
                self.context.touch()

    # -- interruptions ---------------------------------------------------------------------------------------------------

    def end_read(self) -> None:
        """End the read that blocks: something has changed that does not wait for it."""
        if self.in_flight.blocked:
            self._unblocker.unblock()
        self._reading.wake()
        self.context.touch()
        self.context.wake_driver()

    def goes_on_without(self) -> bool:
        """Tell whether an entry can be left out that is too large by itself.

        It is pending for us all the same: the next connection finds out which it is.
        """
        if not self._member.keeps:
            return False
        single = self.in_flight.single
        if single is None:
            return True
        if self._member.max_deliveries is None:
            return False
        self.pending.bury(*single, b"larger than max_reply")
        self.redelivery_queue.forget(single[0], {single[1]})
        self.in_flight.single = None
        return True

    # -- time ---------------------------------------------------------------------------------------------------------

    def keep_time(self) -> None:
        """Make the timer of the member, which follows from the state of its parts; they tell by ``context.touch`` what they change."""
        self.context.touch = self._reader.engine.new_derived_timer(self.timer, self.elapse).touch

    def timer(self) -> float:
        """When ``elapse`` is due, in seconds; infinite = never."""
        if self._reader.engine.closed:
            return inf
        in_flight, stage = self.in_flight, self.phase.stage
        due = self.settling.at
        if due is None:
            due = inf
        if in_flight.blocked and not self._unblocker.wanted and (again := self.given_back.at) is not None:
            due = min(due, again)
        if in_flight.resting and not stage.is_leaving:
            due = min(due, self.rounds.at)
            if not stage.stops:
                due = min(due, self.absent_streams.at)
        if in_flight.resting or in_flight.blocked:
            due = min(due, self.renewal.reminder_at)
        return due

    def elapse(self, now: float) -> None:
        """Act on the deadlines that have passed at ``now``, in seconds."""
        in_flight = self.in_flight
        if in_flight.starved:
            self.pending.collect()
            self._reading.wake()
        if self.in_flight.resting and now >= min(self.audit.at, self.absent_streams.at, self.renewal.at):
            self._reading.wake()
        if in_flight.blocked:
            if now >= self.renewal.reminder_at:
                self.renewal.remind()
                self.ack_loop.wake()
            if (at := self.given_back.at) is not None and now >= at and not self._unblocker.wanted:
                self._unblocker.unblock()
        self._unblocker.elapse(now)  # its command leaves before settlements
        if self.settling.elapse(now):
            self._reading.wake()
            self.ack_loop.wake()
