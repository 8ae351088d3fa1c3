"""Commands of many callers to all nodes of a cluster: each goes to the primary of its slot, over a link that all callers share.

A pipeline is split into parts, by node, and its answers are put together. A request that a node redirects, or refuses for now,
is sent on by the ``Dispatcher``, until its deadline, which counts from its submission. Commands that only read go to replicas
where that is wanted (``read_from``); in a pipeline, those of slots that it does not write to.
Commands without keys run at any primary, over the main link.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack, cast

from ..arguments import ReadFrom, read_source
from ..commands import Command
from ..commands.command import LinkUse
from ..connection.link import Link
from ..engine.engine import EngineOptions
from ..engine.link_events import emit_loss
from ..errors import ConnectionLost
from ..requests.multiplexer import Multiplexer, unshared
from ..requests.queue import because
from ..requests.request import Request
from .call import Call
from .deadlines import Deadlines
from .dispatcher import Dispatcher
from .replica_reads import ReadJourney, ReplicaReads
from .router import ClusterRouter
from .slots import common_slot, refuse_cursors, slot_of, split


class ClusterMultiplexer(Multiplexer):
    """Send commands to the nodes of a cluster, in the order of ``submit`` within each slot.

    ``read_from``: the nodes that answer commands which only read; answers of replicas carry no order with writes.
    """

    def __init__(self, *, read_from: ReadFrom = "primary", **engine: Unpack[EngineOptions]) -> None:
        super().__init__(**engine)
        self._read_from = read_source(read_from)
        self._deadlines = Deadlines(self)
        nodes = cast(ClusterRouter, self._router)
        self._nodes = Dispatcher(self, nodes, self._deadlines.settle)
        self._reads = ReplicaReads(
            self, nodes, self._nodes, self._deadlines.settle, request_timeout=self.options.request_timeout
        )

    @property
    def label(self) -> str:
        """The name of the engine in messages: a client."""
        return "Client" if type(self) is ClusterMultiplexer else type(self).__name__

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether less than ``max_outgoing`` bytes are queued and unanswered; wait before submitting more."""
        return self._nodes.queued + self._reads.queued + self._main.queued < self.options.max_outgoing

    def submit(
        self, commands: Sequence[Command[Any]], done: Callable[[Any], None], read_from: ReadFrom | None = None
    ) -> Any:
        """Send commands, each to a node of its keys. Raises as ``Multiplexer.submit`` does, and ``CrossSlotError``."""
        self.check()
        for command in commands:
            if command.traits.use is not LinkUse.SHARED:
                raise unshared(command)
        source = self._read_from if read_from is None else read_source(read_from)
        if len(commands) < 2:
            request = Request(commands, done, self.options.request_timeout)
            if source == "primary":
                return self._put(request, slot_of(commands[0]))
            return self._read(request, slot_of(commands[0]), or_primary=source == "any")
        slots = split(commands)
        if None in slots:
            refuse_cursors(commands)
        call = Call(commands, done, self.options.request_timeout)
        without_keys = slots.pop(None, ())
        self._deadlines.add(call)
        of_keys: Mapping[int, Sequence[int]] = cast("dict[int, list[int]]", slots)
        if source != "primary":
            of_keys = self._reads.distribute(call, of_keys, or_primary=source == "any")
        self._nodes.distribute(call, of_keys)
        if without_keys:
            self._main.submit(call.part(without_keys))
        self.on_wakeup()
        return call

    def _read(self, request: Request, slot: int | None, *, or_primary: bool) -> Request:
        """Send a request to a replica, if it is a command about a slot that only reads."""
        if slot is None or not request.asked[0].only_reads:
            return self._put(request, slot)
        self._deadlines.add(request)
        self._reads.submit(request, slot, or_primary=or_primary)
        self.on_wakeup()
        return request

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
        self._reads.end()

    # -- calls of the parts -------------------------------------------------------------------------------------------

    def expire(self, request: Request) -> None:
        """End a request that was not answered in time."""
        request.finish(self._nodes.late_error(request))

    def drop_unsent(self, request: Request) -> None:
        """Forget a request that has ended, and will never be sent."""
        if isinstance(request.journey, ReadJourney):
            self._reads.forget_ended(request)
        else:
            self._nodes.forget_ended(request)

    def node_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        """Report that the link to a node is lost, or cannot be made. That ends nothing: the other nodes serve."""
        if not self.closed:
            emit_loss(self._emit, link, error, self.title, was_up=was_up)

    def no_room(self) -> ConnectionLost:
        """Make the error of a request that has waited for room as long as it may."""
        unanswered = (
            f"{self._nodes.queued + self._reads.queued + self._main.queued} bytes of requests before it are unanswered"
        )
        return ConnectionLost(f"nothing was sent within {self.options.request_timeout:g} s: {unanswered}")
