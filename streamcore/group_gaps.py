"""What a consumer group has lost: entries that were trimmed or deleted before they were delivered to any member.

The server counts how many entries were ever added and how many are there; the others were removed. While nothing at or
below the group's last-delivered id is left, whatever was removed beyond the group's *place* (how many entries there were up
to that id) is lost, and the count is exact. While something is left there, only XDEL can take entries ahead of the group,
and the server knows the highest id that XDEL took.

The stream must be asked before the group: members who read in between make a loss look smaller, and never a delivery look
like a loss. A gap that grows is told again, by what it has grown. What we have seen delivered is no loss, though the group be
set back, or created again at a lower id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from .connection import Arguments, Exchange
from .continuity import ZERO, History
from .entries import StreamId
from .errors import UNAVAILABLE, ReplyError, WrongTypeError
from .events import Event, Gap, GapDetectionOff
from .features import Feature
from .membership import Membership


class Reached(NamedTuple):
    """How far a group is, as XINFO GROUPS tells: its last-delivered id, and its place (None: the server lost count)."""

    id: StreamId
    place: int | None = None

    @classmethod
    def of(cls, info: Mapping[bytes, Any]) -> Reached:
        return cls(StreamId.parse(info[b"last-delivered-id"]), info[b"entries-read"])


class GroupHistory:
    """Watches one group of one stream; ``judge`` compares what the server says with what it said before.

    A ``forgetful`` server counts deliveries and calls that the group's place: too low once the group has passed over a gap,
    and any number below the true one after a failover or a restart. Its word counts only from a time at which the group was
    seen at the end of the stream, over the same connection.
    """

    def __init__(self, stream: bytes, *, forgetful: bool) -> None:
        self._stream = stream
        self._seen: History | None = None
        self._reached = ZERO  # the highest id that was ever delivered to the group
        self._sure = ZERO  # up to here nothing was lost that is not told; a forgetful server lets us know late
        self._gone: int | None = None  # its place there, and what was told as lost ahead of it; None: unknown
        self._exact = True  # whether ``_gone`` is that; else it may be less
        self._deleted = ZERO  # up to here it was told that XDEL took entries ahead of the group
        self._ahead = 0  # told, not yet passed over, and never to be counted by a forgetful server
        self._hidden: int | None = 0  # what the server's place lacks; None: unknown
        self.connected(forgetful=forgetful)

    def connected(self, *, forgetful: bool) -> None:
        """The connection is a new one, perhaps to another server."""
        self._forgetful = forgetful
        self._hidden = None if forgetful else 0

    def judge(self, history: History, group: Reached) -> Gap | None:
        """What was lost since the last time; the first time, what is missing ahead of the group."""
        seen, self._seen = self._seen, history
        if seen is None or history.last < seen.last or history.added < seen.added or history.removed < seen.removed:
            return self._begin(history, group)
        if group.id > self._reached:
            if not self._forgetful:
                self._sure = group.id
            elif history.first is not None and history.first <= self._sure >= history.deleted:
                self._sure = self._reached  # and not more: others may have passed a gap since the stream was asked
            self._reached, self._deleted, self._exact = group.id, max(self._deleted, group.id), True
            self._hidden = None if self._hidden is None else self._hidden + self._ahead
            self._ahead = 0
            self._gone = self._place(group)
        if self._reached == history.last:
            return self._caught_up(history, group)
        return self._lost(history, group, history.removed - seen.removed)

    def _begin(self, history: History, group: Reached) -> Gap | None:
        """The first look at a stream, or at another one under its name."""
        self.connected(forgetful=self._forgetful)
        self._reached = self._sure = group.id
        self._ahead, self._exact = 0, True
        self._deleted = max(history.deleted, group.id)
        self._gone = self._place(group)
        if group.id == history.last:
            self._caught_up(history, group)
        elif group.id == ZERO:
            self._gone = history.removed  # whoever begins at the beginning takes what is there
        elif group.place is not None:
            # The server keeps a place only while nothing ahead of it is deleted: XDEL has come after the last delivery.
            self._deleted = group.id
            return self._lost(history, group, None)
        return None

    def _place(self, group: Reached) -> int | None:
        if group.place is None:
            self._hidden = 0  # once the server finds its place again, nothing is lacking
            return None
        return None if self._hidden is None else group.place + self._hidden

    def _caught_up(self, history: History, group: Reached) -> Gap | None:
        """The group is at the end of the stream, so its place is known, and what a forgetful server did not count."""
        self._gone, self._exact, self._ahead = history.added, True, 0
        after, self._sure = self._sure, self._reached
        if not self._forgetful or group.place is None or group.id != self._reached:
            return None
        known, self._hidden = self._hidden, history.added - group.place
        passed = 0 if known is None else self._hidden - known
        return Gap(self._stream, after, self._reached, passed) if passed > 0 else None

    def _lost(self, history: History, group: Reached, removed: int | None) -> Gap | None:
        """What is missing ahead of the group; ``removed`` entries of the stream are gone since the last look."""
        after, first = self._sure, history.first
        all_gone = history.last > self._reached and (first is None or first > self._reached)
        missing = history.removed - self._gone if all_gone and self._gone is not None else 0
        entries: int | None
        if missing > 0:
            entries = missing if self._exact else None
            self._gone, self._exact, self._sure = history.removed, True, self._reached
            self._ahead += missing if self._forgetful and group.place is not None else 0
        elif history.deleted > self._deleted:
            entries = 1 if removed == 1 else None
            self._exact &= removed == 1
            self._gone = None if self._gone is None or removed is None else self._gone + removed
            self._hidden = None if self._forgetful else 0  # some XDELs are counted, others are not
        else:
            return None
        self._deleted = max(self._deleted, history.deleted)
        end = StreamId(history.deleted.ms, history.deleted.seq + 1)
        return Gap(self._stream, after, first if first is None or first > history.deleted else end, entries)


class Look(Exchange):
    """The questions about streams and their groups that go in front of a read."""

    __slots__ = ("streams",)

    def __init__(self, streams: list[bytes], timeout: float) -> None:
        commands: list[Arguments] = [("XINFO", what, stream) for stream in streams for what in ("STREAM", "GROUPS")]
        super().__init__(commands, timeout)
        self.streams = streams


class GroupGaps:
    """The watch of one member of a group. Where the history of a stream is forbidden to us, that is told once."""

    def __init__(self, member: Membership, emit: Callable[[Event], None]) -> None:
        self._member = member
        self._emit = emit
        self._forgetful = True
        self._histories: dict[bytes, GroupHistory] = {}
        self._forbidden: set[bytes] = set()

    def connected(self, server: Mapping[bytes, Any]) -> None:
        """There is a new connection; its server has answered HELLO so."""
        self._forgetful = not Feature.GROUP_PLACE.of(server)
        for history in self._histories.values():
            history.connected(forgetful=self._forgetful)

    def forget(self, stream: bytes) -> None:
        """The stream is not read any more."""
        self._histories.pop(stream, None)
        self._forbidden.discard(stream)

    def questions(self, stream: bytes) -> tuple[Arguments, ...]:
        """What the audit asks about a stream in front of XINFO GROUPS, if anything."""
        return (("XINFO", "STREAM", stream),) if self._watches(stream) else ()

    def hear(self, stream: bytes, replies: Iterable[Any], group: Mapping[bytes, Any] | None) -> None:
        """The replies to that, and what XINFO GROUPS says of the group (None: there is none)."""
        for info in replies:
            if isinstance(info, ReplyError):
                self._refused(stream, info)
            elif group is not None:
                self._judge(stream, History.of(info), Reached.of(group))

    def look(self, timeout: float) -> Look | None:
        """What to ask about all streams in front of a read, if anything."""
        if self._member.detect_gaps != "always":
            return None
        streams = [stream for stream in self._member.streams if self._watches(stream)]
        return Look(streams, timeout) if streams else None

    def saw(self, look: Look) -> None:
        """The answers to that."""
        replies = iter(look.replies)
        for stream, info, groups in zip(look.streams, replies, replies, strict=True):
            listed: list[dict[bytes, Any]] = [] if isinstance(groups, ReplyError) else groups
            self.hear(stream, (info,), next((one for one in listed if one[b"name"] == self._member.group), None))

    def _watches(self, stream: bytes) -> bool:
        return self._member.detect_gaps is not None and stream not in self._forbidden

    def _judge(self, stream: bytes, history: History, group: Reached) -> None:
        watch = self._histories.get(stream)
        if watch is None:
            watch = self._histories[stream] = GroupHistory(stream, forgetful=self._forgetful)
        if (gap := watch.judge(history, group)) is not None:
            self._emit(gap)

    def _refused(self, stream: bytes, error: ReplyError) -> None:
        if error.code == "ERR":  # there is no such stream; another one may come
            self._histories.pop(stream, None)
        elif self._watches(stream) and not (error.code in UNAVAILABLE or isinstance(error, WrongTypeError)):
            self._forbidden.add(stream)
            error.command = "XINFO"
            self._emit(GapDetectionOff(stream, error))
