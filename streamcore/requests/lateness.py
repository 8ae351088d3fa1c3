"""A driver that was held up, by a handler that blocks its event loop, say, does not take its own lateness for the server's."""

from __future__ import annotations

from ..link import AT_ONCE, LATE, Link


class Lateness:
    """Prolongs the deadlines of requests while their answers may lie unread; the link itself ends that, if nothing comes.

    No request is late before ``until``.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.until = AT_ONCE

    def excuses(self, deadline: float, now: float) -> bool:
        """Whether a request that is due is not late yet: the driver has been, and now has a moment to read what has come."""
        if now - max(self.until, deadline) > LATE and self._link.unanswered:
            self.until = now + LATE
        return now < self.until
