"""The requests of a client for a node, over a link that all of them share.

Unlike a ``RequestQueue`` it gives no request an end of its own: what is refused, lost or late is decided by the engine, which
knows the other nodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from ..connection.exchange import Exchange
from ..connection.link import Link, Owner
from ..options import Address
from ..requests.request import Request

SILENCE: Final = 1.0
"""Seconds that an answer may take before other nodes are asked whether the node has failed."""


class NodeQueueOwner(Protocol):
    """The engine of the queues."""

    def new_node_link(self, queue: Owner, address: Address) -> Link: ...
    def node_up(self, queue: NodeQueue, *, again: bool) -> None: ...
    def node_doubted(self, queue: NodeQueue) -> None: ...
    def node_dropped(self, request: Request) -> None: ...
    def node_answered(self, queue: NodeQueue, request: Request) -> None: ...
    def node_down(self, queue: NodeQueue, error: Exception, sent: list[Request], *, was_up: bool) -> None: ...


class NodeQueue:
    """Requests in the order of ``submit``; ``last`` is the newest that was given to the link."""

    def __init__(self, owner: NodeQueueOwner, address: Address) -> None:
        self.address = address
        self.last: Request | None = None
        self.waiting: deque[Request] = deque()
        self._owner = owner
        self._was_up = False
        self._up_before = False
        self.link = owner.new_node_link(self, address)
        self.link.tell_doubts(self._doubt, SILENCE)
        self.link.open()

    def _doubt(self) -> None:
        self._owner.node_doubted(self)

    def submit(self, request: Request) -> None:
        """Send a request, or keep it until the link is up."""
        if self.link.is_up:
            self.last = request
            self.link.send(request)
        else:
            self.waiting.append(request)

    @property
    def is_idle(self) -> bool:
        """Whether every request is answered."""
        return not (self.waiting or self.link.unanswered)

    def in_flight(self) -> list[Request]:
        """Return the requests that are given to the link and not answered."""
        return cast("list[Request]", self.link.in_flight()) if self.link.is_up else []

    def take_waiting(self, is_taken: Callable[[Request], bool]) -> list[Request]:
        """Take requests that wait for the connection out of the queue, in their order."""
        taken: list[Request] = []
        kept: deque[Request] = deque()
        for request in self.waiting:
            (taken if is_taken(request) else kept).append(request)
        self.waiting = kept
        return taken

    def keep(self, requests: list[Request]) -> None:
        """Put requests in front of the queue: they were sent, or given to the link, and may be sent again."""
        self.waiting.extendleft(reversed(requests))

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        waiting, self.waiting = self.waiting, deque()
        for request in waiting:
            if request.finished:
                self._owner.node_dropped(request)
            else:
                self.submit(request)
        again, self._was_up, self._up_before = self._up_before, True, True
        self._owner.node_up(self, again=again)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        request = cast(Request, exchange)
        if request is self.last:
            self.last = None
        if link.attempts:
            link.succeeded()
        self._owner.node_answered(self, request)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: a queue subscribes to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        self.last = None
        self.keep(cast("list[Request]", unsent))
        was_up, self._was_up = self._was_up, False
        self._owner.node_down(self, error, cast("list[Request]", sent), was_up=was_up)
