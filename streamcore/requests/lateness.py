"""A driver that was held up, by a handler that blocks its event loop, say, does not take its own lateness for the server's."""

from __future__ import annotations

from ..link import AT_ONCE, LATE, Link


class Lateness:
    """Prolongs the deadlines of requests while their answers may lie unread; the link itself ends that, if nothing comes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._until = AT_ONCE

    def due(self, deadline: float) -> float:
        """When a request with this deadline is late."""
        return max(self._until, deadline)

    def excuses(self, deadline: float, now: float) -> bool:
        """Whether a request that is due is not late yet: the driver has been, and now has a moment to read what has come."""
        if now - self.due(deadline) > LATE and self._link.unanswered:
            self._until = now + LATE
        return now < self._until
