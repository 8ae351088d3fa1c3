"""Commands of many callers to all nodes of a cluster: each goes to the primary of its slot, over a link that all callers share.

A pipeline is split into parts, by node, and its answers are put together. A request that a node redirects, or refuses for now,
is sent on by the ``Dispatcher``, until its deadline, which counts from its submission.
Commands without keys run at any primary, over the main link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack, cast

from ..commands import Command
from ..commands.command import LinkUse
from ..connection.link import Link
from ..engine.engine import EngineOptions
from ..engine.link_events import disconnected
from ..errors import ConnectionLost
from ..requests.multiplexer import Multiplexer, unshared
from ..requests.queue import because
from ..requests.request import Request
from .call import Call
from .deadlines import Deadlines
from .dispatcher import Dispatcher
from .router import ClusterRouter
from .slots import common_slot, refuse_cursors, slot_of, split


class ClusterMultiplexer(Multiplexer):
    """Send commands to the nodes of a cluster, in the order of ``submit`` within each slot."""

    def __init__(self, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(**engine)
        self._deadlines = Deadlines(self)
        self._nodes = Dispatcher(self, cast(ClusterRouter, self._router), self._deadlines.settle)

    @property
    def label(self) -> str:
        """The name of the engine in messages: a client."""
        return "Client" if type(self) is ClusterMultiplexer else type(self).__name__

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether less than ``max_outgoing`` bytes are queued and unanswered; wait before submitting more."""
        return self._nodes.queued + self._main.queued < self.options.max_outgoing

    def submit(self, commands: Sequence[Command[Any]], done: Callable[[Any], None]) -> Any:
        """Send commands, each to the node of its keys. Raises as ``Multiplexer.submit`` does, and ``CrossSlotError``."""
        self.check()
        for command in commands:
            if command.traits.use is not LinkUse.SHARED:
                raise unshared(command)
        if len(commands) < 2:
            return self._put(Request(commands, done, self.options.request_timeout), slot_of(commands[0]))
        slots = split(commands)
        if None in slots:
            refuse_cursors(commands)
        call = Call(commands, done, self.options.request_timeout)
        without_keys = slots.pop(None, ())
        self._deadlines.add(call)
        self._nodes.distribute(call, cast("dict[int, list[int]]", slots))
        if without_keys:
            self._main.submit(call.part(without_keys))
        self.on_wakeup()
        return call

    def put(self, request: Request) -> Request:
        """Send a request of the caller's own kind to the node of its keys, which are of one slot. Raises as ``submit`` does."""
        self.check()
        asked = request.asked
        return self._put(request, slot_of(asked[0]) if len(asked) == 1 else common_slot(asked))

    def _put(self, request: Request, slot: int | None) -> Request:
        if slot is None:
            refuse_cursors(request.asked)
            return super().put(request)
        self._deadlines.add(request)
        self._nodes.submit(request, slot)
        self.on_wakeup()
        return request

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self._nodes.end(self._deadlines.take_all(), f"the client was closed{because(error)}")

    # -- calls of the parts -------------------------------------------------------------------------------------------

    def expire(self, request: Request) -> None:
        """End a request that was not answered in time."""
        request.finish(self._nodes.late_error(request))

    def drop_unsent(self, request: Request) -> None:
        """Forget a request that has ended, and will never be sent."""
        self._nodes.forget_ended(request)

    def node_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        """Report that the link to a node is lost, or cannot be made. That ends nothing: the other nodes serve."""
        if not self.closed:
            self._emit(disconnected(link, error, self.title, was_up=was_up))

    def no_room(self) -> ConnectionLost:
        """Make the error of a request that has waited for room as long as it may."""
        unanswered = f"{self._nodes.queued + self._main.queued} bytes of requests before it are unanswered"
        return ConnectionLost(f"nothing was sent within {self.options.request_timeout:g} s: {unanswered}")
