"""The deadlines of requests and calls, which count from their submission, whatever happens to them on their way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Protocol, TypeAlias

from ..connection.link import AT_ONCE
from ..engine.timers import Timer
from ..requests.lateness import excuse
from ..requests.request import Request
from .call import Call
from .journey import AtNode

Asked: TypeAlias = Request | Call


class DeadlinesOwner(Protocol):
    """The engine of the requests."""

    def new_timer(self, act: Callable[[float], None]) -> Timer: ...

    # End a request that was not answered in time.
    def expire(self, request: Request) -> None: ...

    # Take a request that has ended, and may be unsent.
    def drop_unsent(self, request: Request) -> None: ...


class Deadlines:
    """Ends requests and calls that are late, in the order of their submission, which is that of the deadlines."""

    def __init__(self, owner: DeadlinesOwner) -> None:
        self._owner = owner
        self._asked: deque[Asked] = deque()
        self._timer = owner.new_timer(self._elapse)

    def add(self, asked: Asked) -> None:
        """Watch a request or a call; its time runs from the driver's next time on."""
        self._asked.append(asked)
        self._timer.set(AT_ONCE)

    def settle(self) -> None:
        """Set the timer to the deadline of the oldest that has not ended, or to the driver's next time."""
        asked = self._asked
        while asked and asked[0].finished:
            ended = asked.popleft()
            if isinstance(ended, Call) or ended.journey.held:
                self._drop(ended)
        at = inf
        if asked:
            at = AT_ONCE if asked[-1].deadline == AT_ONCE else asked[0].deadline
        if at != self._timer.at:
            self._timer.set(at)

    def take_all(self) -> list[Request]:
        """Take the requests, and parts of calls, that have not ended."""
        asked, self._asked = self._asked, deque()
        self._timer.set(inf)
        return [request for one in asked for request in parts_of(one) if not request.finished]

    def _elapse(self, now: float) -> None:
        """End what is late at ``now``, in seconds; start the time of what is new."""
        asked = self._asked
        for one in reversed(asked):
            if one.deadline != AT_ONCE:
                break
            one.deadline = now + one.timeout
        while asked and AT_ONCE < asked[0].deadline <= now:
            one = asked[0]
            node = _node_of(one)
            if not one.finished and node is not None and excuse(asked, node.link, now):
                break
            asked.popleft()
            for request in parts_of(one):
                if not request.finished:
                    self._owner.expire(request)
            self._drop(one)
        self.settle()

    def _drop(self, asked: Asked) -> None:
        for request in parts_of(asked):
            journey = request.journey
            if journey.held and journey.node is None:
                self._owner.drop_unsent(request)


def parts_of(asked: Asked) -> list[Request]:
    """Return the requests for nodes that were made of a request or a call; commands without keys are not among them."""
    return [part for part in asked.parts if part.journey.slots] if isinstance(asked, Call) else [asked]


def _node_of(asked: Asked) -> AtNode | None:
    """Find a node that has not answered."""
    return next((request.journey.node for request in parts_of(asked) if request.journey.node is not None), None)
