"""Whether a stream is still the stream that was known under its name.

A server gives no stream an identity: a stream that was deleted, evicted, flushed or renamed over, and filled anew,
answers as the former did. An *anchor* proves that it is the same, an entry that was seen in it: it is still there, or
no entry was added and deleted since. Where the anchor is gone, the counters have to explain that: they never fall, and
missing entries have been removed.

Another client may have filled another stream until its counters explain everything. So their explanation is believed
only of a stream that was not out of sight: as long as its group answers each read over one connection, it was not
replaced. After that it is *doubted*, until an anchor is found.
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
    """It is as it was at an earlier time: a failover has lost its end."""
    OTHER = auto()
    """It is another stream."""
    UNPROVEN = auto()
    """All its known entries are gone, as they may be in a stream that has gone on, or in another stream."""


class StreamIdentity:
    """The known state of a stream. ``own`` entries of it were delivered to us since it was last ``seen``."""

    def __init__(self, stream: bytes) -> None:
        self.seen: History | None = None
        self.own = 0
        self._fresh = 0  # of the ``own`` entries, at least so many were added since
        self._stream = stream
        self._newest: bytes | None = None  # of the ``own`` entries
        self._oldest: StreamId | None = None  # of the ``own`` entries
        self._doubted = False
        self._vanished = False
        self._may_be_back = False
        self._is_absent = False

    @property
    def is_absent(self) -> bool:
        """Whether the stream did not exist when it was last ``seen``."""
        return self._is_absent

    @property
    def delivered(self) -> StreamId:
        """The highest id that was delivered to us since it was last ``seen``; 0-0 if none was."""
        return ZERO if self._newest is None else StreamId.parse(self._newest)

    @property
    def delivered_from(self) -> StreamId | None:
        """The lowest id that was delivered to us since it was last ``seen``; None if none was."""
        return self._oldest

    @property
    def doubted(self) -> bool:
        """Whether only an anchor can prove that it is the same stream."""
        return self._doubted

    def received(self, entries: list[Any]) -> None:
        """Count delivered entries; the entries of a doubted stream are left out, for they may be of another stream."""
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
        """Reset to a stream of which only the group's last delivered id is known; 0-0: none."""
        self._newest = None if delivered == ZERO else bytes(delivered)
        self._doubted = self._vanished = self._may_be_back = False

    def doubt(self) -> None:
        """Doubt the stream: its group has not answered."""
        self._doubted = True

    def reconnected(self, *, same_run: bool = False) -> None:
        """Doubt the stream after a lost connection, until its anchor is found.

        A failover may have lost its end, unless the server is in the ``same_run``.
        """
        self._doubted = True
        self._may_be_back |= not same_run

    def vanish(self) -> None:
        """Note that the stream does not exist now."""
        self._doubted = self._vanished = True

    def miss(self) -> None:
        """Note that the stream is known not to exist: a stream that comes is another, or is back."""
        self.seen, self._is_absent = History(), True
        self._doubted = self._vanished = True

    def question(self) -> Arguments | None:
        """Return the XRANGE whose reply has the anchor, if it is there, to follow XINFO STREAM; None: no anchor."""
        anchor = self._anchor
        return None if anchor is None else ("XRANGE", self._stream, str(anchor), str(anchor))

    def judge(self, history: History, *, anchored: bool | None = None, ours: bool = False) -> Sameness:
        """Compare the server's counters with the known stream.

        ``anchored``: whether the anchor is there (None: not asked); ``ours``: whether its group is the known group.
        """
        seen = self.seen
        if seen is None:
            return Sameness.SAME if anchored else Sameness.UNPROVEN
        anchor, ends = self._anchor, {history.first, history.newest} - {None}
        was_there = ours or not ends.isdisjoint({seen.first, seen.newest}) or (bool(anchored) and anchor == seen.newest)
        is_known = was_there or bool(anchored) or anchor in ends
        if not _goes_on(seen, history, self._fresh) or (anchored is False and self._has_lost_its_end(history)):
            # Entries delivered since may be another stream's, unnoticed: only seen entries prove a failover.
            return Sameness.BACK if was_there and self._may_be_back and not self._vanished else Sameness.OTHER
        if is_known or _is_unchanged(seen, history):
            return Sameness.SAME
        if self._vanished or not self._is_explained(seen, history):
            return Sameness.OTHER
        return Sameness.UNPROVEN if self._doubted else Sameness.SAME

    def settle(self, history: History) -> None:
        """Make this history the known state of the stream."""
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
        """Tell whether the missing anchor was not removed: older entries stand, and XDEL has not come so far."""
        anchor = self._anchor
        is_older = anchor is not None and history.first is not None and history.first <= anchor
        return is_older and anchor is not None and history.deleted < anchor and self._may_be_back

    def _is_explained(self, seen: History, history: History) -> bool:
        """Tell whether it may be the same: where all seen entries are gone, as many were removed."""
        anchor = self._anchor
        is_all_gone = history.first is None or anchor is None or history.first > anchor
        return not is_all_gone or history.removed >= seen.added + history.least_behind


def _is_unchanged(seen: History, history: History) -> bool:
    """Tell whether the last id, or the highest deleted id, is the same as before."""
    return (history.last, history.added) == (seen.last, seen.added) or history.deleted == seen.deleted != ZERO


def _goes_on(seen: History, history: History, fresh: int) -> bool:
    """Tell whether no counter has fallen that never falls in a stream; ``fresh`` entries were added since."""
    is_older = seen.first is not None and history.first is not None and history.first < seen.first
    return (
        not is_older
        and history.last >= seen.last
        and history.added >= seen.added + fresh
        and history.removed >= seen.removed
        and history.deleted >= seen.deleted
        and (history.deleted == seen.deleted or history.removed > seen.removed)
    )
