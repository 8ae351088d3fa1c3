"""The pace of reads that do not wait in the server, because others use the same link.

The next read leaves at once after a reply with entries, else after a pause that doubles.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ..connection.common import Clock

SHORTEST: Final = 0.002
LONGEST: Final = 0.05
"""Seconds between two reads that find nothing."""


class Polling:
    """Tells ``at`` which time the next read may leave, in seconds; infinitely early after a reply with entries."""

    def __init__(self, clock: Clock) -> None:
        self.at = -inf
        self._clock = clock
        self._pause = SHORTEST

    def begin(self) -> None:
        """Let the next read leave at once, on a new connection."""
        self.at, self._pause = -inf, SHORTEST

    def heard(self, *, entries: bool) -> None:
        """Plan the next read, after a reply with ``entries`` or without."""
        if entries:
            self.begin()
        else:
            self.at = self._clock.now + self._pause
            self._pause = min(2 * self._pause, LONGEST)
