"""How long a link waits: for an answer beyond its timeout, and before it tries again."""

from __future__ import annotations

from typing import Final

from ..options import Options
from .connection import Connection
from .exchange import Exchange, Pushed

LATE: Final = 0.1
"""Seconds behind a deadline after which a driver counts as held up, by a handler that blocks its loop, say."""

MAX_EXCUSES: Final = 3
"""How often in a row a late driver gets ``LATE`` again, to read the bytes in its socket."""

SLOWEST: Final = 16 << 10
"""Bytes a second. A server that sends or takes fewer while its answer is due counts as silent."""

LONGEST: Final = 10
"""Times its timeout: an answer is awaited no longer, however many bytes come in front of it."""


def backoff(options: Options, attempts: int) -> float:
    """Return the longest back-off after so many attempts, in seconds: it doubles, up to ``backoff_max``."""
    doublings = min(max(attempts - 1, 0), 32)
    return min(options.backoff_initial * 2.0**doublings, options.backoff_max)


class Patience:
    """The reasons to wait longer for an answer, since the last came: ``moved`` bytes that answered nothing, and a driver that was late."""

    __slots__ = ("_earned", "_excuses", "_partly", "_weighed", "moved")

    def __init__(self) -> None:
        self.moved = 0
        self._partly = 0  # replies of unfinished exchanges
        self._weighed = 0  # moved bytes that prolong nothing any more
        self._earned = 0.0  # seconds by which moved bytes have prolonged the wait
        self._excuses = 0  # how often the driver was late

    def begin(self) -> None:
        """Begin a connection: no exchange is unfinished."""
        self._partly = 0

    def relax(self) -> None:
        """Begin anew after an answer: the next exchange has its full timeout."""
        self._weighed, self._earned, self._excuses = self.moved, 0.0, 0

    def is_news(self, connection: Connection, completed: list[Exchange | Pushed]) -> bool:
        """Tell whether bytes at whose end no exchange was complete hold a reply; whole pushes count where no reply is due."""
        before, self._partly = self._partly, connection.partly
        if connection.oldest is None:
            return bool(completed)
        return before != self._partly or any(type(item) is not Pushed for item in completed)

    def earn(self, waited: float, timeout: float) -> float:
        """Return the seconds by which bytes prolong a wait that has lasted so long, for an answer with this timeout."""
        may_earn = min(waited, (LONGEST - 1) * timeout - self._earned)
        earned = min((self.moved - self._weighed) / SLOWEST, may_earn)
        self._weighed = self.moved
        if earned > 0.0:
            self._earned += earned
        return earned

    def excuses(self, late: float) -> bool:
        """Tell whether a driver that comes so many seconds late is to be given time to read the bytes in its socket."""
        if late <= LATE or self._excuses >= MAX_EXCUSES:
            return False
        self._excuses += 1
        return True
