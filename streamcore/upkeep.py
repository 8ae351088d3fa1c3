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
from typing import TYPE_CHECKING, Any, Final

from .claims import REMOVE
from .connection import Arguments
from .engine import AT_ONCE, Steps, checked
from .entries import StreamId
from .errors import BusyGroupError, NoGroupError, ReplyError
from .events import GhostKilled, GroupCreated, GroupRecreated, LeaseLost
from .link import Link
from .name_lease import Identity, NameLease

if TYPE_CHECKING:
    from .group_reading import GroupReading


ZERO: Final = StreamId(0, 0)


class Upkeep:
    """The upkeep of one group consumer; its state survives reconnects."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self.lease = NameLease(consumer)
        self._present: Identity | None = None
        self._low_water: dict[bytes, StreamId] = {}
        self._known: set[bytes] = set()  # the streams whose group we have seen
        self._stood: set[Identity] = set()  # connections of our name that were there when we came
        self.audit_at = AT_ONCE

    # -- on every new connection --------------------------------------------------------------------------------------

    def enter(self, link: Link) -> Steps[None]:
        """Before anything else on a connection."""
        self._consumer.gaps.connected(link.server)
        origin = yield from self._consumer.lineage.ask()
        # Where INFO is forbidden, the audit covers what a ghost might take.
        former, self._present = self._present, Identity(link.server[b"id"], origin.run_id, self._consumer.nonce)
        yield from self._lay_ghost(former)
        # In one order for all: of two that begin together, one holds every name in the end.
        for stream in sorted(self._consumer.member.streams):
            yield from self.enter_stream(stream)
        yield from self._consumer.lineage.prove(origin)

    def enter_stream(self, stream: bytes) -> Steps[None]:
        """Be the one of our name in a stream's group, which exists."""
        assert self._present is not None
        former = yield from self.lease.take(stream, self._present)
        is_gone = yield from self._lay_ghost(former)
        if not is_gone:
            self._consumer.claims.spare(stream)
        yield from self.ensure_group(stream)

    def forget(self, stream: bytes) -> None:
        """The stream is not ours any more."""
        self._known.discard(stream)
        self._low_water.pop(stream, None)
        self._consumer.gaps.forget(stream)
        self.lease.forget(stream)

    def recover(self) -> Steps[None]:
        """Before the first read of a connection: what is pending for us and unknown."""
        yield from self._consumer.redelivery.recover()
        yield from self.check_leases()
        for stream in self._consumer.member.streams.copy():
            yield from self._consumer.claims.recover(stream)

    def parting(self) -> list[Arguments]:
        """What to tell the server on leaving: the name is free, and the consumer gone, if nothing is pending for it."""
        commands = self.lease.let_go()
        member = self._consumer.member
        if member.remove_on_leaving:
            commands += [("EVAL", REMOVE, 1, stream, member.group, member.name, 0) for stream in member.streams]
        return commands

    def _lay_ghost(self, ghost: Identity | None) -> Steps[bool]:
        """Close a connection that was ours, or of our name; whether it is known to have been gone before."""
        ask, present = self._consumer.ask, self._present
        if ghost is None or present is None or not ghost.run_id or ghost.run_id != present.run_id:
            return ghost is None
        [listed] = yield from ask(("CLIENT", "LIST", "ID", ghost.client_id))
        if not isinstance(listed, bytes) or b" name=%b " % ghost.nonce not in listed:
            return not isinstance(listed, ReplyError) and ghost not in self._stood  # the same, beside another stream
        self._stood.add(ghost)
        [killed] = yield from ask(("CLIENT", "KILL", "ID", ghost.client_id))
        if killed == 1:
            self._consumer.emit(GhostKilled(ghost.client_id))
        return False

    # -- the group ----------------------------------------------------------------------------------------------------

    def ensure_group(self, stream: bytes) -> Steps[None]:
        """Make sure that the group exists, by creating it where that is allowed."""
        consumer = self._consumer
        group = _find(consumer.member.group, (yield from consumer.ask(("XINFO", "GROUPS", stream))))
        if group is None:
            yield from self._create_group(stream)
            consumer.claims.begin(stream, ZERO)
        elif stream not in self._known:
            delivered = StreamId.parse(group[b"last-delivered-id"])
            consumer.claims.begin(stream, ZERO if consumer.member.backlog else delivered)
        self._known.add(stream)

    def _create_group(self, stream: bytes) -> Steps[None]:
        consumer, member = self._consumer, self._consumer.member
        is_lost = stream in self._known
        if not member.create or (is_lost and member.on_group_lost == "raise"):
            group, key = member.group.decode(errors="replace"), stream.decode(errors="replace")
            what = "has lost its group" if is_lost else "has no group"
            remedy = "pass on_group_lost='recreate'" if member.create else "pass create=True"
            raise NoGroupError("NOGROUP", f"stream {key!r} {what} {group!r}; create it, or {remedy}")
        start = (yield from self._restart_point(stream)) if is_lost else member.start
        create = ("XGROUP", "CREATE", stream, member.group, start, "MKSTREAM")
        looks = is_lost and StreamId.parse(start) != ZERO
        reply, *infos = yield from consumer.ask(create, *((("XINFO", "STREAM", stream),) if looks else ()))
        if not isinstance(reply, BusyGroupError):  # it is when another consumer was faster
            checked(reply)
            if any(StreamId.parse(checked(info)[b"last-generated-id"]) < StreamId.parse(start) for info in infos):
                # The stream has begun anew between our look and this: a group above its end would pass over what comes.
                start = "0"
                checked(*(yield from consumer.ask(("XGROUP", "SETID", stream, member.group, start))))
            kind = GroupRecreated if is_lost else GroupCreated
            consumer.emit(kind(stream, member.group, start))

    def _restart_point(self, stream: bytes) -> Steps[str]:
        """Below everything that may be unprocessed; ``0`` for a stream that is not the one we knew."""
        mark = self._low_water.pop(stream, None)
        [info] = yield from self._consumer.ask(("XINFO", "STREAM", stream))
        if mark is None or _is_missing(info) or StreamId.parse(checked(info)[b"last-generated-id"]) < mark:
            return "0"
        self._low_water[stream] = mark
        return str(mark)

    # -- between reads ------------------------------------------------------------------------------------------------

    def audit(self) -> Steps[None]:
        """Compare what the server lists with what we know."""
        consumer = self._consumer
        self.put_off_audit()
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            differing: list[bytes] = []
            for stream in consumer.member.streams.copy():
                assert self._present is not None
                yield from self.lease.check(stream, self._present)
                consumer.pending.sweep()
                ours = yield from self._count(stream)
                if consumer.member.keeps and ours != len(consumer.known(stream)):
                    differing.append(stream)
            if differing:
                yield from self.check_leases()
            for stream in () if consumer.stops else differing:
                yield from consumer.claims.recover(stream)

    def put_off_audit(self) -> None:
        """The next audit is due an interval from now."""
        self.audit_at = self._consumer.now + self._consumer.member.audit

    def _count(self, stream: bytes) -> Steps[int]:
        """How many entries the server lists for us.

        Notes the low-water mark; where the group moves on between the two replies, it is low.
        """
        consumer = self._consumer
        *histories, groups, summary = yield from consumer.ask(
            *consumer.gaps.questions(stream), ("XINFO", "GROUPS", stream), ("XPENDING", stream, consumer.member.group)
        )
        total, lowest, _, consumers = checked(summary)
        group = _find(consumer.member.group, [groups])
        consumer.gaps.hear(stream, histories, group)
        if group is not None:
            delivered = StreamId.parse(group[b"last-delivered-id"])
            self._low_water[stream] = min(delivered, StreamId.parse(lowest).before()) if total else delivered
        return next((int(count) for name, count in consumers or () if name == consumer.member.name), 0)

    def check_leases(self) -> Steps[None]:
        """Forget what is not pending for us any more, so that it does not count as in flight for ever."""
        for stream in self._consumer.member.streams.copy():
            with suppress(NoGroupError):  # the next read meets it as well, and mends it
                yield from self._check_leases(stream)

    def _check_leases(self, stream: bytes) -> Steps[None]:
        consumer = self._consumer
        gone = consumer.held(stream)
        start = b"-"
        while gone and (rows := (yield from consumer.claims.own_page(stream, start))):
            gone.difference_update(row[0] for row in rows)
            start = b"(" + rows[-1][0]
        consumer.redelivery.forget(stream, gone)
        gone &= consumer.pending.unsettled(stream)
        if gone:
            consumer.withdraw(stream, gone)
            consumer.emit(LeaseLost(stream, tuple(sorted(gone, key=StreamId.parse))))


def _is_missing(reply: Any) -> bool:
    """Whether XINFO found no such key."""
    return isinstance(reply, ReplyError) and reply.code == "ERR"


def _find(name: bytes, replies: list[Any]) -> dict[bytes, Any] | None:
    """A group in the reply of XINFO GROUPS; None where it, or the stream, does not exist."""
    [groups] = replies
    listed: list[dict[bytes, Any]] = [] if _is_missing(groups) else checked(groups)
    return next((group for group in listed if group[b"name"] == name), None)
