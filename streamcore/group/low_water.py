"""The low-water mark of a group in each stream: all that may be unprocessed is above it.

It is noted whenever the server tells of the group, and is where the group is created again that has vanished. It holds for the stream
that it was noted of, and no longer: where a look finds that this is another one, or has gone back in a failover, its ids may be
given anew, and nothing is known of them until it is noted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..entries import StreamId
from ..reading.stream_identity import Sameness
from .gap_detection import GroupGaps

BEGINNING: Final = "0"


class Mark(NamedTuple):
    """All that may be unprocessed is above ``id``; ``pending`` is the lowest that was delivered.

    ``breaks``: those of the stream at that time (see ``GroupGaps.breaks``).
    """

    id: StreamId
    pending: StreamId | None
    breaks: int


class LowWater:
    """The marks of one consumer, by stream; true while there is one."""

    def __init__(self, gaps: GroupGaps) -> None:
        self._gaps = gaps
        self._marks: dict[bytes, Mark] = {}

    def __bool__(self) -> bool:
        return bool(self._marks)

    def of(self, stream: bytes) -> Mark | None:
        """The last mark, if there is one."""
        return self._marks.get(stream)

    def end(self, stream: bytes) -> Mark | None:
        """The group is gone, or is not ours any more; the last mark."""
        return self._marks.pop(stream, None)

    def note(self, stream: bytes, delivered: StreamId, pending: StreamId | None) -> None:
        """The group has come so far, and this is the lowest id that is pending; judge the stream before."""
        lowest = delivered if pending is None else min(delivered, pending.before())
        self._marks[stream] = Mark(lowest, pending, self._gaps.breaks(stream))

    def restart_point(self, stream: bytes, told: Sequence[Any]) -> str:
        """Below everything that may be unprocessed; the beginning of a stream that is not provably the one we knew.

        ``told``: the replies to ``GroupGaps.questions``.
        """
        mark, gaps = self._marks.get(stream), self._gaps
        if mark is None or mark.breaks != gaps.breaks(stream) or gaps.sameness(stream, told) is not Sameness.SAME:
            return BEGINNING
        return BEGINNING if StreamId.parse(told[0][b"last-generated-id"]) < mark.id else str(mark.id)
