"""Whether a stream is still the one that was known under its name.

A server gives no stream an identity: one that was deleted, evicted, flushed or renamed over, and filled anew, answers as
the former one did. What proves that it is the same is an *anchor*, an entry that was seen in it: it is still there, or nothing
was added and deleted since. Where the anchor is gone, the counters have to explain that: they never fall, and what is gone
has been removed.

A stranger may have filled another stream until its counters explain everything. So what they explain is believed only of a stream
that was not out of sight: as long as its group answers each read over one connection, nobody has replaced it. After that it is
*doubted*, until an anchor is found.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from ..connection.exchange import Arguments
from ..entries import StreamId
from ..stream_id import ZERO
from .stream_history import History


class Sameness(Enum):
    """The relation of a stream to the stream that was known under its name."""

    SAME = auto()
    """It has gone on."""
    BACK = auto()
    """It is what it was before: a failover has lost its end."""
    OTHER = auto()
    """It is another one."""
    UNPROVEN = auto()
    """All that was known of it is gone, as it may be in one that has gone on, or in another one."""


class StreamIdentity:
    """Knows one stream. ``own`` entries of it were delivered to us since it was last ``seen``."""

    def __init__(self, stream: bytes) -> None:
        self.seen: History | None = None
        self.own = 0
        self._fresh = 0  # of these, at least so many were added since
        self._stream = stream
        self._newest: bytes | None = None  # of these
        self._oldest: StreamId | None = None  # of these
        self._doubted = False
        self._vanished = False
        self._may_be_back = False
        self._is_absent = False

    @property
    def is_absent(self) -> bool:
        """Whether there was no such stream when it was last ``seen``."""
        return self._is_absent

    @property
    def delivered(self) -> StreamId:
        """The highest id that was delivered to us since it was last ``seen``; 0-0 if none was."""
        return ZERO if self._newest is None else StreamId.parse(self._newest)

    @property
    def delivered_from(self) -> StreamId | None:
        """The lowest of these ids; None if none was."""
        return self._oldest

    @property
    def doubted(self) -> bool:
        """Whether nothing but an anchor proves any more that it is the same."""
        return self._doubted

    def received(self, entries: list[Any]) -> None:
        """Entries were delivered to us; where the stream is doubted they may be another one's."""
        if self._doubted or self.seen is None:
            return
        self.own += len(entries)
        self._newest = entries[-1][0]
        first = StreamId.parse(entries[0][0])
        if self._oldest is None or first < self._oldest:
            self._oldest = first
        if first > self.seen.last:
            self._fresh += len(entries)

    def settle_at(self, delivered: StreamId) -> None:
        """From now on nothing is known but that the group was given an entry of this id, or none (0-0)."""
        self._newest = None if delivered == ZERO else bytes(delivered)
        self._doubted = self._vanished = self._may_be_back = False

    def doubt(self) -> None:
        """Its group has not answered."""
        self._doubted = True

    def reconnected(self, *, same_run: bool = False) -> None:
        """It was out of sight; a failover may have lost its end, unless the server is in the ``same_run``."""
        self._doubted = True
        self._may_be_back |= not same_run

    def vanish(self) -> None:
        """There is no such stream now."""
        self._doubted = self._vanished = True

    def miss(self) -> None:
        """There is no such stream now, and that is known: whatever comes is another one, or is back."""
        self.seen, self._is_absent = History(), True
        self._doubted = self._vanished = True

    def question(self) -> Arguments | None:
        """The command whose reply has the anchor, if it is there; to be sent behind XINFO STREAM."""
        anchor = self._anchor
        return None if anchor is None else ("XRANGE", self._stream, str(anchor), str(anchor))

    def judge(self, history: History, *, anchored: bool | None = None, ours: bool = False) -> Sameness:
        """Compare the stream, as the server tells of it, with the stream that was known.

        ``anchored``: whether the anchor is there (None: not asked); ``ours``: whether its group is the one that we knew.
        """
        seen = self.seen
        if seen is None:
            return Sameness.SAME if anchored else Sameness.UNPROVEN
        anchor, ends = self._anchor, {history.first, history.newest} - {None}
        was_there = ours or not ends.isdisjoint({seen.first, seen.newest}) or (bool(anchored) and anchor == seen.newest)
        is_known = was_there or bool(anchored) or anchor in ends
        if not _goes_on(seen, history, self._fresh) or (anchored is False and self._has_lost_its_end(history)):
            # What was delivered since may have come from another stream, unnoticed: a failover is proven by what was seen.
            return Sameness.BACK if was_there and self._may_be_back and not self._vanished else Sameness.OTHER
        if is_known or _is_unchanged(seen, history):
            return Sameness.SAME
        if self._vanished or not self._is_explained(seen, history):
            return Sameness.OTHER
        return Sameness.UNPROVEN if self._doubted else Sameness.SAME

    def settle(self, history: History) -> None:
        """From now on this is what is known."""
        self.seen, self.own, self._fresh, self._newest, self._oldest = history, 0, 0, None, None
        self._doubted = self._vanished = self._may_be_back = self._is_absent = False

    @property
    def _anchor(self) -> StreamId | None:
        """The newest entry that was seen: trimming takes it last."""
        newest = None if self.seen is None else self.seen.newest
        if self._newest is None:
            return newest
        own = StreamId.parse(self._newest)
        return own if newest is None else max(own, newest)

    def _has_lost_its_end(self, history: History) -> bool:
        """Whether an anchor that is gone was not removed: older entries stand, and XDEL has not come so far."""
        anchor = self._anchor
        is_older = anchor is not None and history.first is not None and history.first <= anchor
        return is_older and anchor is not None and history.deleted < anchor and self._may_be_back

    def _is_explained(self, seen: History, history: History) -> bool:
        """Whether it may be the same: where all that was seen is gone, as much has been removed."""
        anchor = self._anchor
        is_all_gone = history.first is None or anchor is None or history.first > anchor
        return not is_all_gone or history.removed >= seen.added


def _is_unchanged(seen: History, history: History) -> bool:
    """Whether it has the same last id, or the same last deleted one."""
    return (history.last, history.added) == (seen.last, seen.added) or history.deleted == seen.deleted != ZERO


def _goes_on(seen: History, history: History, fresh: int) -> bool:
    """Whether nothing has fallen that never falls in one stream; ``fresh`` entries were added since."""
    is_older = seen.first is not None and history.first is not None and history.first < seen.first
    return (
        not is_older
        and history.last >= seen.last
        and history.added >= seen.added + fresh
        and history.removed >= seen.removed
        and history.deleted >= seen.deleted
    )
