"""The part of a group consumer's script that runs between reads: nothing pending may be forgotten.

- *Ghost*: after a half-open drop the server still holds our previous connection, blocked in XREADGROUP, and serves it
  first. It is closed by the id from its HELLO, provided that the server is the same run and lists our own name under it.
- *Create*: the group, where asked for; when it has vanished, just below the group-wide low-water mark, never at ``$``.
- *Recover*: entries pending for us on the server that we never saw (a lost reply, an earlier run of this consumer).
- *Claim*: entries that other consumers left idle; never our own, whose idle time would begin anew.
- *Audit*: every few seconds, compare the server's count of our pending entries with ours; note the low-water mark. What
  we hold and the server no longer lists for us has been claimed or settled by somebody else.

Everything here runs while no read is unanswered, so that what the server lists and what we know can be compared.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .engine import AT_ONCE, Steps, checked
from .entries import StreamId
from .errors import BusyGroupError, NoGroupError, ReplyError
from .events import Claimed, GhostKilled, GroupCreated, GroupRecreated, LeaseLost, Recovered, Tombstones
from .link import Link

if TYPE_CHECKING:
    from .group import GroupConsumer


ZERO: Final = StreamId(0, 0)


@dataclass(frozen=True, slots=True)
class Identity:
    """What proves that a connection on the server is one of ours."""

    client_id: int
    run_id: bytes


class Upkeep:
    """The upkeep of one group consumer; its state survives reconnects."""

    def __init__(self, consumer: GroupConsumer[Any]) -> None:
        self._consumer = consumer
        self._previous: Identity | None = None
        self._low_water: dict[bytes, StreamId] = {}
        self._recover_from: dict[bytes, StreamId] = {}  # has the streams whose group we have seen
        self._claim_from: dict[bytes, bytes] = {}
        self.audit_at = self._claim_at = AT_ONCE

    # -- on every new connection --------------------------------------------------------------------------------------

    def enter(self, link: Link) -> Steps[None]:
        """Before anything else on a connection."""
        yield from self._lay_ghost(link)
        for stream in self._consumer.member.streams:
            yield from self.ensure_group(stream)

    def recover(self) -> Steps[None]:
        """Before the first read of a connection: what is pending for us and was never seen."""
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            yield from self.check_leases()
            for stream in self._consumer.member.streams:
                yield from self._recover(stream)

    def _lay_ghost(self, link: Link) -> Steps[None]:
        ask = self._consumer.ask
        [info] = yield from ask(("INFO", "server"))
        if isinstance(info, ReplyError):
            return  # forbidden by ACL: the audit covers what a ghost might take
        present = Identity(link.server[b"id"], _run_id(info))
        ghost, self._previous = self._previous, present
        if ghost is None or ghost.run_id != present.run_id:
            return
        [listed] = yield from ask(("CLIENT", "LIST", "ID", ghost.client_id))
        if not isinstance(listed, bytes) or b" name=%b " % self._consumer.nonce not in listed:
            return
        [killed] = yield from ask(("CLIENT", "KILL", "ID", ghost.client_id))
        if killed == 1:
            self._consumer.emit(GhostKilled(ghost.client_id))

    # -- the group ----------------------------------------------------------------------------------------------------

    def ensure_group(self, stream: bytes) -> Steps[None]:
        """Make sure that the group exists, by creating it where that is allowed."""
        consumer = self._consumer
        group = _find(consumer.member.group, (yield from consumer.ask(("XINFO", "GROUPS", stream))))
        if group is None:
            yield from self._create_group(stream)
            self._recover_from[stream] = ZERO
        elif stream not in self._recover_from:
            delivered = StreamId.parse(group[b"last-delivered-id"])
            self._recover_from[stream] = ZERO if consumer.member.backlog else delivered

    def _create_group(self, stream: bytes) -> Steps[None]:
        consumer = self._consumer
        if not consumer.member.create:
            group, key = consumer.member.group.decode(errors="replace"), stream.decode(errors="replace")
            raise NoGroupError("NOGROUP", f"stream {key!r} has no group {group!r}; create it, or pass create=True")
        known = stream in self._recover_from
        start = (yield from self._restart_point(stream)) if known else consumer.member.start
        [reply] = yield from consumer.ask(("XGROUP", "CREATE", stream, consumer.member.group, start, "MKSTREAM"))
        if not isinstance(reply, BusyGroupError):  # it is when another consumer was faster
            checked(reply)
            kind = GroupRecreated if known else GroupCreated
            consumer.emit(kind(stream, consumer.member.group, start))

    def _restart_point(self, stream: bytes) -> Steps[str]:
        """Below everything that may be unprocessed; ``0`` for a stream that is not the one we knew."""
        mark = self._low_water.pop(stream, None)
        [info] = yield from self._consumer.ask(("XINFO", "STREAM", stream))
        if mark is None or _is_missing(info) or StreamId.parse(checked(info)[b"last-generated-id"]) < mark:
            return "0"
        self._low_water[stream] = mark
        return str(mark)

    # -- between reads ------------------------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether something should be done before the next read."""
        return self._consumer.now >= min(self.audit_at, self._claim_at)

    def run(self) -> Steps[None]:
        """Do what is due: one step of claiming per stream, one audit."""
        consumer = self._consumer
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            if consumer.now >= self._claim_at and consumer.has_room():
                yield from self._claim_idle()
            if consumer.now >= self.audit_at:
                self.put_off_audit()
                yield from self._audit()

    def _claim_idle(self) -> Steps[None]:
        consumer = self._consumer
        pause = float("inf")
        if consumer.member.claim_idle is not None:
            # Spread over the second quarter of the interval, so that consumers which started together drift apart.
            pause = consumer.member.claim_idle * (0.25 + 0.25 * consumer.random())
            for stream in consumer.member.streams:
                finished = yield from self._claim(stream, max(1, int(consumer.member.claim_idle * 1000)))
                pause = pause if finished else 0.0
        self._claim_at = consumer.now + pause

    def _claim(self, stream: bytes, idle: int) -> Steps[bool]:
        """One page of what has been idle for long enough; whether it was the last."""
        consumer = self._consumer
        start = self._claim_from.get(stream, b"-")
        page = ("XPENDING", stream, consumer.member.group, "IDLE", idle, start, "+", consumer.count)
        [rows] = yield from consumer.ask(page)
        known = consumer.pending.ids(stream) if checked(rows) else frozenset[bytes]()
        yield from self._fetch(stream, [row for row in rows if row[0] not in known], Claimed)
        if len(rows) < consumer.count:
            self._claim_from.pop(stream, None)
            return True
        self._claim_from[stream] = b"(" + rows[-1][0]
        return False

    def _audit(self) -> Steps[None]:
        consumer = self._consumer
        differing: list[bytes] = []
        for stream in consumer.member.streams:
            consumer.pending.sweep()
            ours = yield from self._count(stream)
            if ours != len(consumer.pending.ids(stream)):
                differing.append(stream)
        if differing:
            yield from self.check_leases()
        for stream in differing:
            yield from self._recover(stream)

    def put_off_audit(self) -> None:
        """The next audit is due an interval from now."""
        self.audit_at = self._consumer.now + self._consumer.member.audit

    def _count(self, stream: bytes) -> Steps[int]:
        """How many entries the server lists for us.

        Notes the low-water mark; where the group moves on between the two replies, it is low.
        """
        consumer = self._consumer
        groups, summary = yield from consumer.ask(
            ("XINFO", "GROUPS", stream), ("XPENDING", stream, consumer.member.group)
        )
        total, lowest, _, consumers = checked(summary)
        group = _find(consumer.member.group, [groups])
        if group is not None:
            delivered = StreamId.parse(group[b"last-delivered-id"])
            self._low_water[stream] = min(delivered, StreamId.parse(lowest).before()) if total else delivered
        return next((int(count) for name, count in consumers or () if name == consumer.member.name), 0)

    def _recover(self, stream: bytes) -> Steps[None]:
        """Hand over what is pending for us and was never seen; deliveries are not counted anew by this."""
        consumer = self._consumer
        start = b"(%b" % bytes(self._recover_from[stream])
        while True:
            yield from consumer.wait_for_room()
            rows = yield from self._own_page(stream, start)
            if not rows:
                return
            known = consumer.pending.ids(stream)
            yield from self._fetch(stream, [row for row in rows if row[0] not in known], Recovered)
            start = b"(" + rows[-1][0]

    def check_leases(self) -> Steps[None]:
        """Forget what is not pending for us any more, so that it does not count as in flight for ever."""
        consumer = self._consumer
        for stream in consumer.member.streams:
            gone = consumer.pending.unsettled(stream)
            start = b"-"
            while gone and (rows := (yield from self._own_page(stream, start))):
                gone.difference_update(row[0] for row in rows)
                start = b"(" + rows[-1][0]
            gone &= consumer.pending.unsettled(stream)
            if gone:
                consumer.pending.forget(stream, gone)
                consumer.emit(LeaseLost(stream, tuple(sorted(gone, key=StreamId.parse))))

    def _own_page(self, stream: bytes, start: bytes) -> Steps[list[Any]]:
        consumer = self._consumer
        page = ("XPENDING", stream, consumer.member.group, start, "+", consumer.count, consumer.member.name)
        [rows] = yield from consumer.ask(page)
        listed: list[Any] = checked(rows)
        return listed

    def _fetch(self, stream: bytes, rows: list[Any], kind: type[Recovered | Claimed]) -> Steps[None]:
        """XCLAIM to ourselves, keeping each entry's delivery count; what comes without data was deleted."""
        consumer = self._consumer
        if not rows:
            return
        by_count: dict[int, list[bytes]] = defaultdict(list)
        for id_, _, _, deliveries in rows:
            by_count[deliveries].append(id_)
        idle = min(row[2] for row in rows)  # a consumer that claimed one meanwhile has reset its idle time: leave it
        replies = yield from consumer.ask(
            *(
                ("XCLAIM", stream, consumer.member.group, consumer.member.name, idle, *ids, "RETRYCOUNT", deliveries)
                for deliveries, ids in by_count.items()
            )
        )
        entries = sorted((e for reply in replies for e in checked(reply)), key=lambda entry: StreamId.parse(entry[0]))
        if entries:
            consumer.emit(kind(stream, len(entries)))
            consumer.deliver(stream, entries)
        fetched = {entry[0] for entry in entries}
        missing = [row[0] for row in rows if row[0] not in fetched]
        if missing:
            listed = yield from consumer.ask(*(("XPENDING", stream, consumer.member.group, i, i, 1) for i in missing))
            self._bury(stream, [id_ for id_, rows in zip(missing, listed, strict=True) if not checked(rows)])

    def _bury(self, stream: bytes, ids: list[bytes]) -> None:
        if ids:
            self._consumer.emit(Tombstones(stream, tuple(ids)))


def _run_id(info: bytes) -> bytes:
    for line in info.splitlines():
        if line.startswith(b"run_id:"):
            return line[7:]
    return b""


def _is_missing(reply: Any) -> bool:
    """Whether XINFO found no such key."""
    return isinstance(reply, ReplyError) and reply.code == "ERR"


def _find(name: bytes, replies: list[Any]) -> dict[bytes, Any] | None:
    """A group in the reply of XINFO GROUPS; None where it, or the stream, does not exist."""
    [groups] = replies
    listed: list[dict[bytes, Any]] = [] if _is_missing(groups) else checked(groups)
    return next((group for group in listed if group[b"name"] == name), None)
