"""The requests of a client for a node, over a link that all of them share.

Unlike a ``RequestQueue`` it gives no request an end of its own: what is refused, lost or late is decided by the dispatcher, which
knows the other nodes.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol, cast

from ..connection.exchange import Exchange
from ..connection.link import Link, Owner
from ..errors import UnreadableError
from ..options import Address
from ..requests.request import SCRIPTS, Request


class NodeQueueOwner(Protocol):
    """The dispatcher of the queues, or the sender of reads to replicas."""

    def new_node_link(self, queue: Owner, address: Address) -> Link: ...
    def node_up(self, queue: NodeQueue, *, again: bool) -> None: ...
    def node_answered(self, queue: NodeQueue, request: Request) -> None: ...
    def node_down(
        self, queue: NodeQueue, error: Exception, sent: list[Request], unsent: list[Request], *, was_up: bool
    ) -> None: ...

    # Take a request that was finished before it was sent.
    def drop(self, request: Request) -> None: ...


class NodeQueue:
    """Requests in the order of ``submit``; ``waiting``: until the link is up. ``last``: the newest that is unanswered."""

    def __init__(self, owner: NodeQueueOwner, address: Address) -> None:
        self.address = address
        self.last: Request | None = None
        self.waiting: deque[Request] = deque()
        self._owner = owner
        self._was_up = False
        self._up_before = False
        self.link = owner.new_node_link(self, address)
        self.link.open()

    def submit(self, request: Request) -> None:
        """Send a request, or keep it until the link is up."""
        self.last = request
        if self.link.is_up:
            request.journey.node = self
            self.link.send(request)
        else:
            self.waiting.append(request)
            self.forget_finished()

    @property
    def is_idle(self) -> bool:
        """Whether every request is answered."""
        return not (self.waiting or self.link.unanswered)

    def unanswered(self) -> list[Request]:
        """Return the requests that were given to the link, and are not answered."""
        return cast("list[Request]", self.link.pending())

    def wait(self, requests: list[Request]) -> None:
        """Let these requests, and no others, wait for the connection."""
        self.waiting = deque(requests)
        self.last = requests[-1] if requests else None

    def forget_finished(self) -> None:
        """Drop finished requests from the head of those that wait."""
        waiting = self.waiting
        while waiting and waiting[0].finished:
            request = waiting.popleft()
            if request is self.last:
                self.last = None
            self._owner.drop(request)

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        waiting = self.waiting
        wanted = [request for request in waiting if not request.finished]
        self.wait([])
        for request in wanted:
            self.submit(request)
        for request in waiting:
            if request.journey.node is None:
                self._owner.drop(request)
        again, self._was_up, self._up_before = self._up_before, True, True
        self._owner.node_up(self, again=again)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        request = cast(Request, exchange)
        request.journey.node = None
        if request is self.last:
            self.last = None
        if link.attempts:
            link.succeeded()
        if type(request.replies[-1]) is UnreadableError and request.asked[-1].name not in SCRIPTS:
            link.take_for_unreadable(request)
        self._owner.node_answered(self, request)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: a queue subscribes to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        given = cast("list[Request]", sent), [*cast("list[Request]", unsent), *self.waiting]
        for request in (*given[0], *given[1]):
            request.journey.node = None
        self.wait([])
        was_up, self._was_up = self._was_up, False
        self._owner.node_down(self, error, *given, was_up=was_up)
