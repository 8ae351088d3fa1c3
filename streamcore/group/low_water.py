"""The low-water mark of a group in each stream: every entry that may be unprocessed is above it.

The mark is noted whenever the server tells of the group (``XINFO GROUPS``, ``XPENDING``); a group that has vanished is
created again there. It holds for the stream that it was noted of, and no longer: where a look finds another stream, or that
the stream has gone back in a failover, its ids may be given anew, and there is no mark until the next note.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..entries import StreamId
from ..reading.stream_identity import Sameness
from .gap_detection import GroupGaps

BEGINNING: Final = "0"


class Mark(NamedTuple):
    """Every entry that may be unprocessed is above ``id``; ``pending`` is the lowest id that was delivered and not settled.

    ``breaks``: ``GroupGaps.breaks`` of the stream at that time.
    """

    id: StreamId
    pending: StreamId | None
    breaks: int


class LowWater:
    """The low-water marks of a member, by stream; true while there are any."""

    def __init__(self, gaps: GroupGaps) -> None:
        self._gaps = gaps
        self._marks: dict[bytes, Mark] = {}

    def __bool__(self) -> bool:
        return bool(self._marks)

    def of(self, stream: bytes) -> Mark | None:
        """The last mark of a stream; None without a mark."""
        return self._marks.get(stream)

    def end(self, stream: bytes) -> Mark | None:
        """Remove the mark of a stream whose group is gone, or is not ours any more, and return it."""
        return self._marks.pop(stream, None)

    def note(self, stream: bytes, delivered: StreamId, pending: StreamId | None) -> None:
        """Note the mark, by the group's last-delivered id and the lowest pending id; judge the stream before."""
        lowest = delivered if pending is None else min(delivered, pending.before())
        self._marks[stream] = Mark(lowest, pending, self._gaps.breaks(stream))

    def restart_point(self, stream: bytes, told: Sequence[Any]) -> str:
        """The id to create a vanished group at: the mark; the beginning where the stream is not provably the known stream.

        ``told``: the replies to ``GroupGaps.questions``.
        """
        mark, gaps = self._marks.get(stream), self._gaps
        if mark is None or mark.breaks != gaps.breaks(stream) or gaps.sameness(stream, told) is not Sameness.SAME:
            return BEGINNING
        return BEGINNING if StreamId.parse(told[0][b"last-generated-id"]) < mark.id else str(mark.id)
