"""How much a read asks for, so that its reply stays within bounds.

``COUNT`` holds for each stream of a read, and a reply may hold as much of every stream. So it is chosen by how many
streams are read, by how large entries were lately, and by how many more may be in hand. Where even one entry of each
stream would be too much, a read is about a *part* of the streams, the parts in turn; only when all have been asked
does a read wait, and that is about all of them: the first stream that has an entry answers it, and the parts are asked
again. Streams that have more than they were asked for are read again by themselves, in every second read, so that a
few busy streams among many neither wait for these nor hold them up.

Where a read asks for so few entries that there is room for them even if they are as large as ``UNKNOWN``, none of this
is needed, and only the first reply, and larger ones than that, are measured. So it is with a few streams, as long as
there is much room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

UNKNOWN: Final = 64 << 10
"""Assumed bytes of an entry, before the first reply."""
FRAME: Final = 32
"""Bytes of an entry beside its fields."""
FADING: Final = 0.9
"""Factor by which the assumed size shrinks when a reply has smaller entries."""


class Portion(NamedTuple):
    """The streams of a read, and ``each``, the entries asked for of every stream.

    ``whole``: these are all streams. ``is_small``: there is room for the wanted entries of each in any case.
    """

    streams: Sequence[bytes]
    each: int
    whole: bool = True
    is_small: bool = False

    @property
    def most(self) -> int:
        """The highest number of entries that the reply may have."""
        return self.each * len(self.streams)


class Portions:
    """The portions of a consumer, whose replies shall have no more than ``room`` bytes."""

    def __init__(self, room: int) -> None:
        self._room = max(1, room)
        self._size: float = UNKNOWN
        self._small = 0  # entries that fit in any case, while none is known to be larger than ``UNKNOWN``
        self._is_known = False
        self._busy: list[bytes] = []  # streams that have more than they were asked for
        self._apart = False  # the last read was about the busy streams
        self._at = 0  # where the next part begins
        self._asked = 0  # streams that parts have asked, since a read of all has brought entries

    @property
    def affordable(self) -> int:
        """How many entries a reply may have, by the size of recent entries."""
        return max(1, int(self._room / self._size))

    @property
    def looks(self) -> int:
        """How many streams to ask by ``XINFO STREAM`` at once: each reply has two entries."""
        return max(1, self.affordable // 2)

    def next(self, streams: Sequence[bytes], count: int, most: int | None = None, *, split: bool = True) -> Portion:
        """Choose the next read: at most ``count`` entries of a stream, and ``most`` at all.

        Without ``split`` it is about all streams.
        """
        if self._busy:  # and may not be read any more
            known = set(streams)
            self._busy = [stream for stream in self._busy if stream in known]
        number = len(streams)
        wanted = number * count
        if wanted <= self._small and not self._busy and (most is None or wanted <= most):
            self._apart, self._asked = False, 0
            return Portion(streams, count, True, True)
        limit = max(1, self.affordable if most is None else min(self.affordable, most))
        if split and self._busy and not self._apart:
            self._apart, busy = True, self._busy[:limit]
            return Portion(busy, min(count, limit // len(busy)), whole=len(busy) == number)
        self._apart = False
        if number <= limit or not split or (self._asked >= number and self.is_through):
            return Portion(streams, max(1, min(count, limit // number)))
        begin = self._at % number
        part = streams[begin : begin + limit]
        self._at = begin + len(part)
        self._asked += len(part)
        return Portion(part, 1, whole=False)

    @property
    def is_through(self) -> bool:
        """Whether no stream is known to have more entries than it was asked for."""
        return not self._busy

    def heard(self, portion: Portion, received: Mapping[bytes, Sequence[Any]], nbytes: int, count: int) -> None:
        """Measure the reply to a read, of ``nbytes``; ``count`` is the wanted number of entries of a stream."""
        if portion.is_small and nbytes < UNKNOWN:
            return
        if lasts := [came[-1] for came in received.values() if came]:
            # Of a reply that came together with another reply, not all bytes are counted.
            seen = sum(FRAME + sum(map(len, fields)) for _, fields in lasts) / len(lasts)
            size = max(seen, nbytes / sum(map(len, received.values())))
            self._measure(max(size, self._size * FADING) if self._is_known else size)
        if portion.each < count or not portion.whole or self._busy:
            asked = set(portion.streams)
            full = [stream for stream, came in received.items() if len(came) >= portion.each]
            self._busy = [*(stream for stream in self._busy if stream not in asked), *full]
        if portion.whole and received:
            self._asked = 0

    def too_much(self, portion: Portion) -> bool:
        """Halve the portion whose reply was too large; tell whether fewer entries can be asked for."""
        less = portion.most // 2
        self._measure(max(self._size, self._room / max(1, less)))
        self._asked = 0
        return portion.most > 1

    def _measure(self, size: float) -> None:
        self._is_known, self._size = True, size
        self._small = self._room // UNKNOWN if size <= UNKNOWN else 0
