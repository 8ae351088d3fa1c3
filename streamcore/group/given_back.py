"""Entries that this member has given back itself, and when they may be claimed."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

MARGIN: Final = 0.005
"""Seconds by which a claim of entries that were given back is later than their time: the server counts whole milliseconds."""


class GivenBack:
    """A heap of times, in seconds, and the streams in which entries may be claimed then."""

    def __init__(self) -> None:
        self._due: list[tuple[float, bytes]] = []

    @property
    def at(self) -> float | None:
        """When the first of these entries may be claimed; None while nothing is given back."""
        return self._due[0][0] if self._due else None

    def within(self, now: float, block: float) -> float | None:
        """Seconds until the first of these entries may be claimed; None where a read of ``block`` seconds ends before."""
        at = self.at
        return None if at is None or at > now + block + MARGIN else max(0.0, at - now)

    def add(self, stream: bytes, now: float, delay: float) -> None:
        """Note that an entry of a stream may be claimed ``delay`` seconds from now."""
        heappush(self._due, (now + delay + MARGIN, stream))

    def take_due(self, now: float) -> dict[bytes, None]:
        """Take the streams whose time has come, in the order of these times."""
        streams: dict[bytes, None] = {}
        while self._due and self._due[0][0] <= now:
            streams[heappop(self._due)[1]] = None
        return streams
