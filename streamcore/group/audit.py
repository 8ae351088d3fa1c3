"""The part of a group consumer's script that runs between reads: nothing pending may be forgotten.

- *Name*: a lease on it; whoever held it before is closed, or was told and has stopped.
- *Ghost*: after a half-open drop the server still holds our previous connection, blocked in XREADGROUP, and serves it
  first. It is closed by the id from its HELLO, provided that the server is the same run and lists our own name under it.
- *Create*: the group, where asked for; when it has vanished, just below the group-wide low-water mark, never at ``$``.
- *Audit*: every few seconds, compare the server's count of our pending entries with ours; note the low-water mark. What
  we hold and the server no longer lists for us has been claimed or settled by somebody else.

Everything here runs while no read is unanswered, so that what the server lists and what we know can be compared.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..connection.exchange import Arguments
from ..connection.link import Link
from ..engine.degradation import GAPS
from ..engine.script import Replies, Steps, checked
from ..engine.together import pages, together
from ..entries import StreamId
from ..errors import (
    BusyGroupError,
    NoGroupError,
    NoPermissionError,
    ReplyError,
    WrongTypeError,
    about,
)
from ..events import GroupCreated, GroupRecreated, OwnershipLost, StreamAwaited
from ..stream_id import ZERO
from .group_history import Reached
from .idle_consumers import remove
from .low_water import LowWater
from .name_lease import Identity, NameLease
from .pending_pages import look_for, pieces
from .rounds import Rota
from .stale_connections import StaleConnections

if TYPE_CHECKING:
    from .read_loop import GroupReading


class Upkeep:
    """The upkeep of one group consumer; its state survives reconnects."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self.lease = NameLease(consumer.context)
        self._present: Identity | None = None
        self._low_water = LowWater(consumer.gaps)
        self._known: set[bytes] = set()  # the streams whose group we have seen
        self._signed: set[bytes] = set()  # those whose group has a consumer of our name
        self._founded: dict[bytes, GroupCreated | GroupRecreated] = {}  # those whose group we are creating
        self._stale = StaleConnections(consumer.context)
        self._idle: set[bytes] = set()  # those of which nothing was pending for us when we entered
        self.rota = Rota(consumer.member.audit_interval)

    # -- on every new connection --------------------------------------------------------------------------------------

    def enter(self, link: Link) -> Steps[None]:
        """Before anything else on a connection."""
        origin = yield from self._consumer.lineage.ask()
        self._consumer.gaps.connected(link.server, same_run=self._consumer.lineage.goes_on(origin))
        self._consumer.idle_consumers.connected()
        # Where INFO is forbidden, the audit covers what a ghost might take.
        former, self._present = self._present, Identity(link.client_id, origin.run_id, self._consumer.nonce)
        yield from self._stale.close(former, self._present)
        # In one order for all, and the first by itself: of two that begin together, one holds every name in the end.
        streams = sorted(self._consumer.member.streams)
        for page in (streams[:1], *pages(streams[1:], self._consumer.portions.looks)):
            yield from together([self.enter_stream(stream) for stream in page])
        self.rota.entered(self._consumer.now, self._consumer.block)
        self._consumer.presence.connected(link.server)
        yield from self._consumer.lineage.prove(origin)

    def enter_stream(self, stream: bytes) -> Steps[None]:
        """Be the one of our name in a stream's group, which exists."""
        assert self._present is not None
        former = yield from self.lease.take(stream, self._present)
        is_gone = yield from self._stale.close(former, self._present)
        if not is_gone:
            self._consumer.claims.spare(stream)
        self.lease.done_with(stream)
        yield from self.ensure_group(stream)

    def forget(self, stream: bytes) -> None:
        """The stream is not ours any more."""
        self._known.discard(stream)
        self._signed.discard(stream)
        self._founded.pop(stream, None)
        self._low_water.end(stream)
        self._consumer.gaps.forget(stream)
        self._consumer.absent_streams.end(stream)
        self._consumer.idle_consumers.forget(stream)
        self.lease.forget(stream)
        self.rota.forget(stream)

    def recover(self) -> Steps[None]:
        """Before the first read of a connection: what is pending for us and unknown."""
        yield from self._consumer.redelivery.recover()
        yield from self.check_leases()
        for stream in self._consumer.member.streams.copy():
            if stream in self._idle:
                self._consumer.claims.recovered(stream)
            else:
                yield from self._consumer.claims.recover(stream)
        self._idle = set()

    def parting(self) -> list[Arguments]:
        """What to tell the server on leaving: the name is free, and the consumer gone, if nothing is pending for it."""
        commands = self.lease.let_go()
        member = self._consumer.member
        if member.remove_on_leaving:
            commands += [remove(stream, member.group, [member.name]) for stream in member.streams]
        return commands

    # -- the group ----------------------------------------------------------------------------------------------------

    def ensure_group(self, stream: bytes) -> Steps[None]:
        """Make sure that the group exists, by creating it where that is allowed; tell what it has lost.

        Raises ``WrongTypeError`` and ``NoPermissionError``, which say of which stream.
        """
        try:
            yield from self._ensure_group(stream)
        except (WrongTypeError, NoPermissionError) as error:
            raise about(error, "stream", stream) from None

    def _ensure_group(self, stream: bytes) -> Steps[None]:
        consumer = self._consumer
        self._idle.discard(stream)
        was_signed = stream in self._signed
        self._signed.discard(stream)  # until the reply has come
        told, groups, summary, created = yield from self._ask_about(stream, *self._signature(stream))
        group = _find(consumer.member.group, [groups])
        if group is None and _is_missing(groups) and consumer.absent_streams.covers(is_lost=stream in self._known):
            self._check_leave(stream)
            self._miss(stream)
            return
        if group is None:
            if not (yield from self._create_group(stream, told)):
                return
            consumer.claims.begin(stream, ZERO)
        else:
            self._signs(stream, created)
            if created == [1]:  # it was listed without us
                group = {**group, b"consumers": group[b"consumers"] + 1}
            signed = created if was_signed else []
            yield from self._meet(stream, told, group, ours=signed == [0], is_another=signed == [1])
            if not (self._note(stream, group, summary) or isinstance(summary, ReplyError)):
                self._idle.add(stream)
            if stream not in self._known:
                delivered = StreamId.parse(group[b"last-delivered-id"])
                consumer.claims.begin(stream, ZERO if consumer.member.backlog else delivered)
        self._known.add(stream)
        consumer.absent_streams.end(stream)

    def mend(self) -> Steps[None]:
        """A group has not answered, and nobody says which: have them all, and doubt that their streams are the same."""
        consumer = self._consumer
        for page in pages(consumer.present, consumer.portions.looks):
            for stream in page:
                consumer.gaps.doubt(stream)
                self.rota.came(stream)
            yield from together([self.ensure_group(stream) for stream in page])

    def _miss(self, stream: bytes) -> None:
        """There is no such stream, and it is waited for; tell what went with it."""
        consumer = self._consumer
        mark = self._low_water.end(stream)
        if stream not in consumer.absent_streams:
            consumer.absent_streams.begin(stream)
            consumer.emit(StreamAwaited(stream, consumer.member.group))
        if stream in self._known:
            consumer.gaps.vanished(stream, None if mark is None else mark.pending)

    def _signature(self, stream: bytes) -> tuple[Arguments, ...]:
        """Puts our name into the group: while that is found there, the group is the one that we knew, and so is its stream."""
        member = self._consumer.member
        is_wanted = self._consumer.gaps.is_on
        return (("XGROUP", "CREATECONSUMER", stream, member.group, member.name),) if is_wanted else ()

    def _signs(self, stream: bytes, replies: Replies) -> None:
        if replies in ([0], [1]):
            self._signed.add(stream)
        elif replies:
            self._consumer.degradation.is_forbidden(GAPS, self._signature(stream)[0], replies[0])

    def _ask_about(self, stream: bytes, *more: Arguments) -> Steps[tuple[Replies, Any, Any, Replies]]:
        """What there is to know of a stream, of its groups and of what is pending; and more.

        The stream first: whoever reads between the replies makes a loss look smaller, and no delivery look like one.
        """
        consumer, group = self._consumer, self._consumer.member.group
        questions = consumer.gaps.questions(stream)
        replies = yield from consumer.ask(*questions, ("XINFO", "GROUPS", stream), ("XPENDING", stream, group), *more)
        at = len(questions)
        return replies[:at], replies[at], replies[at + 1], replies[at + 2 :]

    def _ask_history(self, stream: bytes) -> Steps[Replies]:
        questions = self._consumer.gaps.questions(stream, group_is_gone=True)
        return (yield from self._consumer.ask(*questions)) if questions else []

    def _meet(
        self, stream: bytes, told: Replies, group: dict[bytes, Any], *, ours: bool = False, is_another: bool
    ) -> Steps[None]:
        """The group is there; perhaps it ``is_another`` one."""
        mark, reached = self._low_water.of(stream), Reached.of(group)
        above = mark.id if is_another and mark is not None else None
        if (founded := self._founded.get(stream)) is not None:  # by us, and the reply to that was lost
            told = told or (yield from self._ask_history(stream))
            event = yield from self._tell_founded(stream, told, founded)
            above, reached = None, reached if event is founded else Reached(ZERO)
        self._consumer.gaps.hear(stream, told, reached, ours=ours, another=is_another, above=above)

    def _check_leave(self, stream: bytes) -> None:
        """Raises ``NoGroupError`` where no group may be created."""
        member, is_lost = self._consumer.member, stream in self._known
        if not member.create or (is_lost and member.on_group_lost == "raise"):
            group, key = member.group.decode(errors="replace"), stream.decode(errors="replace")
            what = "has lost its group" if is_lost else "has no group"
            remedy = "pass on_group_lost='recreate'" if member.create else "pass create=True"
            raise NoGroupError("NOGROUP", f"stream {key!r} {what} {group!r}; create it, or {remedy}")

    def _create_group(self, stream: bytes, told: Replies) -> Steps[bool]:
        """Create it; False where its stream has vanished, and is waited for."""
        consumer, member = self._consumer, self._consumer.member
        is_lost = stream in self._known
        self._check_leave(stream)
        start = "0" if stream in consumer.absent_streams else member.start  # all of it has come while it was waited for
        if is_lost:
            told = told or (yield from self._ask_history(stream))
            consumer.gaps.hear(stream, told, None)
            start = self._low_water.restart_point(stream, told)
        self._founded[stream] = (GroupRecreated if is_lost else GroupCreated)(stream, member.group, start)
        waits = consumer.absent_streams.covers(is_lost=is_lost)
        create = ("XGROUP", "CREATE", stream, member.group, start, *(() if waits else ("MKSTREAM",)))
        signature = self._signature(stream)
        questions = consumer.gaps.questions(stream, group_is_gone=is_lost)
        reply, *replies = yield from consumer.ask(create, *signature, *questions)
        signed, seen, told = replies[: len(signature)], told, replies[len(signature) :]
        if isinstance(reply, ReplyError):
            del self._founded[stream]
        if isinstance(reply, BusyGroupError):  # another consumer was faster
            told, groups, summary, _ = yield from self._ask_about(stream)
            if (found := _find(member.group, [groups])) is not None:
                yield from self._meet(stream, told, found, is_another=is_lost)
                self._note(stream, found, summary)
            return True
        if waits and _is_missing(reply):  # it was there a moment ago
            if is_lost:
                consumer.gaps.hear(stream, seen, Reached(ZERO), another=True)
            self._miss(stream)
            return False
        checked(reply)
        self._idle.add(stream)
        self._signs(stream, signed)
        mark = self._low_water.of(stream)
        event = yield from self._tell_founded(stream, told, self._founded[stream])
        if is_lost:
            reached = Reached(StreamId.parse(event.start))
            pending = None if mark is None else mark.pending
            consumer.gaps.hear(stream, told, reached, another=True, pending=pending)
            self._low_water.note(stream, reached.id, None)
        elif start != "$":
            consumer.gaps.hear(stream, told, Reached(StreamId.parse(start)))
        return True

    def _tell_founded(
        self, stream: bytes, told: Replies, event: GroupCreated | GroupRecreated
    ) -> Steps[GroupCreated | GroupRecreated]:
        """We have created a group: where the stream has begun anew meanwhile, it would pass over what is there."""
        consumer, member = self._consumer, self._consumer.member
        is_lost = isinstance(event, GroupRecreated)
        is_past = is_lost and StreamId.parse(event.start) != ZERO
        if is_past and self._low_water.restart_point(stream, told) != event.start:
            event = replace(event, start="0")
            checked(*(yield from consumer.ask(("XGROUP", "SETID", stream, member.group, event.start))))
        del self._founded[stream]
        consumer.emit(event)
        return event

    def _note(self, stream: bytes, group: dict[bytes, Any], summary: Any) -> int:
        """Note the low-water mark; where the group moves on between the replies, it is low. How much is pending for us."""
        if isinstance(summary, NoGroupError):  # the next read meets it as well, and mends it
            return 0
        total, lowest, *_ = checked(summary)
        self._consumer.idle_consumers.note(stream, group[b"consumers"])
        delivered = StreamId.parse(group[b"last-delivered-id"])
        self._low_water.note(stream, delivered, StreamId.parse(lowest) if total else None)
        return self._pending_here(summary)

    def _pending_here(self, summary: Any) -> int:
        return next((int(count) for name, count in summary[3] or () if name == self._consumer.member.name), 0)

    # -- between reads ------------------------------------------------------------------------------------------------

    def put_off_audit(self) -> None:
        """The next audit is due an interval from now."""
        self.rota.put_off(self._consumer.now)

    def audit(self) -> Steps[None]:
        """Compare what the server lists with what we know, for the streams whose turn it is."""
        consumer = self._consumer
        consumer.pending.sweep()
        turn = self.rota.piece(consumer.now, consumer.present, set(self._in_hand()))
        differing = [stream for stream in (yield from together([self._audit(stream) for stream in turn])) if stream]
        if differing:
            yield from self.check_leases()
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            for stream in () if consumer.stops else differing:
                yield from consumer.claims.recover(stream)

    def _audit(self, stream: bytes) -> Steps[bytes | None]:
        """The stream, if the server lists something else for us than we know."""
        consumer = self._consumer
        assert self._present is not None
        yield from self.lease.check(stream, self._present)
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            ours = yield from self._count(stream)
            if consumer.member.keeps and ours != len(consumer.known(stream)):
                return stream
        return None

    def _count(self, stream: bytes) -> Steps[int]:
        """How many entries the server lists for us; tell what the group has lost."""
        consumer = self._consumer
        asked_at = consumer.now
        told, groups, summary, _ = yield from self._ask_about(stream)
        if consumer.claims.is_calm(checked(summary)):
            consumer.claims.calm(stream, asked_at)
        group = _find(consumer.member.group, [groups])
        if group is None:
            return 0
        ours = self._pending_here(summary)
        if consumer.held(stream) and not ours:
            consumer.gaps.doubt(stream)  # all is gone that was pending: the group may be another one
            self.rota.came(stream)
        else:
            consumer.gaps.hear(stream, told, Reached.of(group))
        self._note(stream, group, summary)
        return ours

    def check_leases(self) -> Steps[None]:
        """Forget what is not pending for us any more, so that it does not count as in flight for ever."""
        for page in pages(self._in_hand(), self._consumer.portions.looks):
            yield from together([self._check_leases(stream) for stream in page])

    def _in_hand(self) -> list[bytes]:
        """The streams of which anything is handed over, or waits to be."""
        consumer = self._consumer
        held = {*consumer.pending.streams(), *consumer.redelivery.streams()}
        return [stream for stream in consumer.present if stream in held]

    def _check_leases(self, stream: bytes) -> Steps[None]:
        consumer = self._consumer
        gone: set[bytes] = set()
        try:
            for piece in pieces(consumer, stream):
                left = piece
                while left.ids:
                    rows, rest = yield from look_for(consumer, left)
                    reached = left.ids[: len(left.ids) - len(rest.ids)]
                    gone.update(set(reached).difference(row[0] for row in rows))
                    left = rest
        except NoGroupError:  # the next read meets it as well, and mends it
            return
        consumer.redelivery.forget(stream, gone)
        gone &= consumer.pending.unsettled(stream)
        if gone:
            consumer.withdraw(stream, gone)
            consumer.emit(OwnershipLost(stream, tuple(sorted(gone, key=StreamId.parse))))


def _is_missing(reply: Any) -> bool:
    """Whether XINFO found no such key."""
    return isinstance(reply, ReplyError) and reply.code == "ERR"


def _find(name: bytes, replies: list[Any]) -> dict[bytes, Any] | None:
    """A group in the reply of XINFO GROUPS; None where it, or the stream, does not exist."""
    [groups] = replies
    listed: list[dict[bytes, Any]] = [] if _is_missing(groups) else checked(groups)
    return next((group for group in listed if group[b"name"] == name), None)
