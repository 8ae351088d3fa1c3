"""The requests of a client for a certain node of a cluster, whatever slots that has: a redirect is the answer.

Its link is closed when it was idle for a while.
"""

from __future__ import annotations

from math import inf
from typing import Final, Protocol

from ..engine.router import OnNode
from ..options import Address
from ..requests.queue import QueueOwner, RequestQueue
from ..requests.request import Request

IDLE: Final = 10.0
"""Seconds after the last answer until the link is closed."""


class DirectOwner(QueueOwner, Protocol):
    """The engine of the queue, which knows the time."""

    @property
    def now(self) -> float:
        """The time, in seconds."""
        ...


class DirectQueue(RequestQueue):
    """A queue whose link leads to a certain node. ``afresh``: it was closed because it was idle, and that is no loss."""

    def __init__(self, owner: DirectOwner, address: Address) -> None:
        self.route = OnNode(address)
        self.afresh = False
        self._clock = owner
        self._idle_at = inf
        super().__init__(owner)

    def submit(self, request: Request) -> None:
        """Send a request, or keep it until the link is up, which is opened for it."""
        self._idle_at = inf
        super().submit(request)
        self.link.open()

    def _set_timer(self) -> None:
        super()._set_timer()
        if not (self._deadlines or self._refused) and self.link.wants_connection:
            if self._idle_at == inf:
                self._idle_at = self._clock.now + IDLE
            self._timer.set(self._idle_at)

    def elapse(self, now: float) -> None:
        """End late requests; close an idle link."""
        super().elapse(now)
        if self._idle_at <= now:
            self.afresh, self._idle_at = True, inf
            self.link.close()
            self._timer.set(inf)
