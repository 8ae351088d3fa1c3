"""The part of a group consumer's script that runs between reads: nothing pending may be forgotten.

- *Ghost*: after a half-open drop the server still holds our previous connection, blocked in XREADGROUP, and serves it
  first. It is closed by the id from its HELLO, provided that the server is the same run and lists our own name under it.
- *Create*: the group, where asked for; when it has vanished, just below the group-wide low-water mark, never at ``$``.
- *Recover*: entries pending for us on the server that we never saw (a lost reply, an earlier run of this consumer).
- *Claim*: entries that other consumers left idle.
- *Audit*: every few seconds, compare the server's count of our pending entries with ours; note the low-water mark.

Everything here runs while no read is unanswered, so that what the server lists and what we know can be compared.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .engine import Steps, call, checked
from .entries import StreamId
from .errors import BusyGroupError, NoGroupError, ReplyError
from .events import Claimed, GhostKilled, GroupCreated, GroupRecreated, Recovered, Tombstones
from .link import Link

if TYPE_CHECKING:
    from .group import GroupConsumer


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
        self._known_groups: set[bytes] = set()
        self._claim_cursor: dict[bytes, bytes] = {}
        self._recover_from: dict[bytes, str] = {}
        self._claim_at = 0.0
        self._audit_at = 0.0

    # -- on every new connection --------------------------------------------------------------------------------------

    def enter(self, link: Link) -> Steps[None]:
        """Before the first read of a connection."""
        yield from self._lay_ghost(link)
        for stream in self._consumer.streams:
            yield from self.ensure_group(stream)
            if stream not in self._recover_from:
                yield from self._begin(stream)
            yield from self._recover(stream)

    def _begin(self, stream: bytes) -> Steps[None]:
        """Where our own pending entries begin: with the oldest, or, without ``backlog``, behind all delivered so far."""
        self._claim_cursor[stream] = b"0-0"
        self._recover_from[stream] = "-"
        if not self._consumer.backlog:
            last = yield from self._last_delivered(stream)
            self._recover_from[stream] = f"({last}"

    def _last_delivered(self, stream: bytes) -> Steps[StreamId]:
        [groups] = yield from call(("XINFO", "GROUPS", stream))
        for group in checked(groups):
            if group[b"name"] == self._consumer.group:
                return StreamId.parse(group[b"last-delivered-id"])
        return StreamId(0, 0)

    def _lay_ghost(self, link: Link) -> Steps[None]:
        [info] = yield from call(("INFO", "server"))
        if isinstance(info, ReplyError):
            return  # forbidden by ACL: the audit covers what a ghost might take
        present = Identity(link.server[b"id"], _run_id(info))
        ghost, self._previous = self._previous, present
        if ghost is None or ghost.run_id != present.run_id:
            return
        [listed] = yield from call(("CLIENT", "LIST", "ID", str(ghost.client_id)))
        if not isinstance(listed, bytes) or b" name=%b " % self._consumer.nonce not in listed:
            return
        [killed] = yield from call(("CLIENT", "KILL", "ID", str(ghost.client_id)))
        if killed == 1:
            self._consumer.emit(GhostKilled(ghost.client_id))

    # -- the group ----------------------------------------------------------------------------------------------------

    def ensure_group(self, stream: bytes) -> Steps[None]:
        """Make sure that the group exists, by creating it where that is allowed."""
        consumer = self._consumer
        if not consumer.create:
            yield from self._require_group(stream)
            return
        start = consumer.start
        if stream in self._known_groups:
            start = yield from self._restart_point(stream)
        [reply] = yield from call(("XGROUP", "CREATE", stream, consumer.group, start, "MKSTREAM"))
        if not isinstance(reply, BusyGroupError):
            checked(reply)
            kind = GroupRecreated if stream in self._known_groups else GroupCreated
            consumer.emit(kind(stream, consumer.group, start))
        self._known_groups.add(stream)

    def _require_group(self, stream: bytes) -> Steps[None]:
        [groups] = yield from call(("XINFO", "GROUPS", stream))
        consumer = self._consumer
        if isinstance(groups, ReplyError) and groups.code == "ERR":
            groups = []  # no such key
        if not any(group[b"name"] == consumer.group for group in checked(groups)):
            name, key = consumer.group.decode(errors="replace"), stream.decode(errors="replace")
            raise NoGroupError(
                "NOGROUP", f"stream {key!r} has no group {name!r}; create it, or pass create=True", "XREADGROUP"
            )

    def _restart_point(self, stream: bytes) -> Steps[str]:
        """Below everything that may be unprocessed; ``0`` for a stream that is not the one we knew."""
        mark = self._low_water.get(stream)
        [info] = yield from call(("XINFO", "STREAM", stream))
        if mark is None or isinstance(info, ReplyError) or StreamId.parse(info[b"last-generated-id"]) < mark:
            return "0"
        return str(mark)

    # -- between reads ------------------------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether something should be done before the next read."""
        return self._consumer.now >= min(self._audit_at, self._claim_at)

    def run(self) -> Steps[None]:
        """Do what is due: one step of claiming per stream, one audit."""
        consumer = self._consumer
        if consumer.claim_idle is not None and consumer.now >= self._claim_at:
            wrapped = True
            for stream in consumer.streams:
                wrapped &= yield from self._claim(stream)
            # Spread over the second half of the interval, so that consumers which started together drift apart.
            pause = consumer.claim_idle * (0.25 + 0.25 * consumer.random()) if wrapped else 0.0
            self._claim_at = consumer.now + pause
        elif consumer.claim_idle is None:
            self._claim_at = float("inf")
        if consumer.now >= self._audit_at:
            for stream in consumer.streams:
                yield from self._audit(stream)
            self._audit_at = consumer.now + consumer.audit

    def _claim(self, stream: bytes) -> Steps[bool]:
        consumer = self._consumer
        assert consumer.claim_idle is not None
        idle = int(consumer.claim_idle * 1000)
        cursor = self._claim_cursor[stream]
        command = ("XAUTOCLAIM", stream, consumer.group, consumer.name, idle, cursor, "COUNT", consumer.count)
        [reply] = yield from call(command)
        if isinstance(reply, NoGroupError):
            return True  # the next read finds out, too, and creates it
        cursor, entries, deleted = checked(reply)
        self._claim_cursor[stream] = cursor
        known = consumer.pending.ids(stream) if entries else ()
        claimed = [entry for entry in entries if entry[0] not in known]
        if claimed:
            consumer.deliver(stream, claimed)
            consumer.emit(Claimed(stream, len(claimed)))
        if deleted:
            consumer.emit(Tombstones(stream, tuple(deleted)))
        return cursor == b"0-0"

    def _audit(self, stream: bytes) -> Steps[None]:
        consumer = self._consumer
        [summary] = yield from call(("XPENDING", stream, consumer.group))
        if isinstance(summary, NoGroupError):
            return
        total, lowest, _, consumers = checked(summary)
        if total:
            self._low_water[stream] = StreamId.parse(lowest).before()
        else:
            self._low_water[stream] = yield from self._last_delivered(stream)
        ours = {name: int(count) for name, count in consumers or ()}.get(consumer.name, 0)
        if ours != len(consumer.pending.ids(stream)):
            yield from self._recover(stream)

    def _recover(self, stream: bytes) -> Steps[None]:
        """Hand over what is pending for us and was never seen; deliveries are not counted anew by this."""
        consumer = self._consumer
        start = self._recover_from[stream]
        recovered = 0
        while True:
            yield from consumer.wait_for_room()
            page = ("XPENDING", stream, consumer.group, start, "+", consumer.count, consumer.name)
            [rows] = yield from call(page)
            if isinstance(rows, NoGroupError) or not checked(rows):
                break
            known = consumer.pending.ids(stream)
            unseen = [row for row in rows if row[0] not in known]
            if unseen:
                recovered += yield from self._fetch(stream, unseen)
            start = f"({rows[-1][0].decode()}"
        if recovered:
            consumer.emit(Recovered(stream, recovered))

    def _fetch(self, stream: bytes, rows: list[Any]) -> Steps[int]:
        """XCLAIM to ourselves, keeping each entry's delivery count; what comes without data was deleted."""
        consumer = self._consumer
        by_count: dict[int, list[bytes]] = defaultdict(list)
        for id_, _, _, deliveries in rows:
            by_count[deliveries].append(id_)
        idle = min(row[2] for row in rows)  # a consumer that claimed one meanwhile has reset its idle time: leave it
        replies = yield from call(
            *(
                ("XCLAIM", stream, consumer.group, consumer.name, idle, *ids, "RETRYCOUNT", deliveries)
                for deliveries, ids in by_count.items()
            )
        )
        entries = sorted((e for reply in replies for e in checked(reply)), key=lambda entry: StreamId.parse(entry[0]))
        if entries:
            consumer.deliver(stream, entries)
        missing = {row[0] for row in rows} - {entry[0] for entry in entries}
        if missing:
            consumer.emit(Tombstones(stream, tuple(sorted(missing, key=StreamId.parse))))
        return len(entries)


def _run_id(info: bytes) -> bytes:
    for line in info.splitlines():
        if line.startswith(b"run_id:"):
            return line[7:]
    return b""
