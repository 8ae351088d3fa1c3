"""Where a reader of streams reads: at the primary of their slot, or at a replica.

A replica shows an earlier state of the primary, so that it may lack entries that were read, and have entries that are gone. So
places such as the end are looked up at the primary, and gaps and resets are judged there. At a replica the reader only goes on behind
its cursors, where the replica has caught up with all that is known, and proves each batch by the entry before it. Whatever
is not proven takes the reader to the primary: for a moment where that is usual, for a while where the replica may lag.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from ..connection.common import Clock
from ..engine.router import Route

STAY: Final = 1.0
STAY_MAX: Final = 60.0
"""Seconds at the primary behind the first doubt of a replica, and at most: they double with each further doubt.

The first comes again when no replica was doubted for ``STAY_MAX`` seconds.
"""


class Place:
    """The place of a reader: its link leads to a ``replica`` while it ``is_copy``, else to the ``primary``.

    ``replica`` None: it stays at the primary. ``go`` leads the link elsewhere, and tells why.
    """

    def __init__(self, clock: Clock, primary: Route, replica: Route | None, go: Callable[[Route, str], None]) -> None:
        self.is_copy = False
        self._clock = clock
        self._primary = primary
        self._replica = replica
        self._go = go
        self._stays_until = -inf
        self._stay = 0.0
        self._doubted_at = -inf

    @property
    def may_leave(self) -> bool:
        """Whether the reader is at the primary, and may go on at a replica."""
        return self._replica is not None and not self.is_copy and self._clock.now >= self._stays_until

    def leave(self) -> None:
        """Go on at a replica."""
        assert self._replica is not None
        self.is_copy = True
        self._go(self._replica, "the streams are read from a replica now")

    def ask_primary(self) -> None:
        """Go to the primary, which knows what a replica cannot tell."""
        self.is_copy = False
        self._go(self._primary, "the primary is asked about the streams now")

    def doubt(self) -> None:
        """Go to the primary for a while: the replica does not prove that nothing is missing, or lags."""
        now = self._clock.now
        is_rare = now - self._doubted_at >= STAY_MAX + self._stay
        self._stay = STAY if is_rare else min(2.0 * self._stay, STAY_MAX)
        self._doubted_at = now
        self._stays_until = now + self._stay
        self.ask_primary()
