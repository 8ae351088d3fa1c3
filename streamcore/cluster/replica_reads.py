"""Requests that only read, answered by replicas: over a link to each replica that is used, introduced with ``READONLY``.

They carry no order with the requests to primaries, nor with each other where they go to different nodes. What a replica does not
answer, because it is lost, silent, or not able to serve, is sent to another replica, and at last to the primary of its slot, by the
``Dispatcher``. A replica that has failed is avoided for a while; the requests of a shard stay at a replica as long as it is able.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import Final

from ..connection.link import AT_ONCE, Link, Owner
from ..engine.router import OnNode
from ..errors import AskError, ConnectionLost, ReplyError, TryAgainError
from ..options import Address
from ..requests.request import Request
from .call import Call, Part
from .dispatcher import Dispatcher, DispatcherOwner
from .journey import Journey
from .node_queue import NodeQueue
from .refusals import REFUSED
from .router import SILENCE, ClusterRouter
from .slots import slot_of

PATIENCE: Final = 1.0
"""Seconds for which requests wait for the connection to a replica, or a quarter of the request timeout where that is less."""

ON_ITS_WAY: Final = frozenset({AskError, TryAgainError})
"""The errors of a node that knows that keys are on their way to another."""

NOTHING: Final[Mapping[int, ReplyError]] = MappingProxyType({})


class ReadJourney(Journey):
    """The way of a request that only reads. ``or_primary``: the primary may be chosen like a replica; ``tried``: nodes that have failed."""

    __slots__ = ("or_primary", "tried")

    def __init__(self, slots: tuple[int, ...], tried: frozenset[Address], *, or_primary: bool) -> None:
        super().__init__(slots)
        self.tried = tried
        self.or_primary = or_primary


class ReplicaReads:
    """Sends requests to replicas; ``queued`` counts the bytes of those that are unanswered. ``on_end`` is called when a request has ended."""

    def __init__(
        self,
        engine: DispatcherOwner,
        nodes: ClusterRouter,
        primaries: Dispatcher,
        on_end: Callable[[], None],
        *,
        request_timeout: float,
    ) -> None:
        self.queued = 0
        self._engine = engine
        self._nodes = nodes
        self._primaries = primaries
        self._on_end = on_end
        self._silence = min(SILENCE, request_timeout / 2)
        self._patience = min(PATIENCE, request_timeout / 4)
        self._queues: dict[Address, NodeQueue] = {}
        self._dialled: dict[Address, float] = {}  # since when requests wait for the connection, in seconds
        self._chosen: dict[tuple[Address | None, bool], Address] = {}  # by primary
        self._timer = engine.new_timer(self._look)
        self._on_change, nodes.on_change = nodes.on_change, self._follow

    # -- the engine's side --------------------------------------------------------------------------------------------

    def submit(self, request: Request, slot: int, *, or_primary: bool) -> None:
        """Send a request about a single slot to a replica, or to its primary where no replica is able."""
        self._place(request, slot, frozenset(), or_primary=or_primary)

    def distribute(
        self, call: Call, slots: Mapping[int, Sequence[int]], *, or_primary: bool
    ) -> dict[int, Sequence[int]]:
        """Send the commands of the slots of a call that are only read from; return the other slots, which are for their primaries.

        ``slots``: the places of the commands of each slot.
        """
        left: dict[int, Sequence[int]] = {}
        nodes: dict[Address, list[int]] = {}
        for slot, places in slots.items():
            only_reads = all(call.asked[place].only_reads for place in places)
            address = self._choose(slot, frozenset(), or_primary=or_primary) if only_reads else None
            if address is None:
                left[slot] = places
            else:
                nodes.setdefault(address, []).append(slot)
        for address, own in nodes.items():
            part = call.part(sorted([place for slot in own for place in slots[slot]]), own)
            part.journey = ReadJourney(tuple(own), frozenset(), or_primary=or_primary)
            self._send(part, address)
        return left

    def forget_ended(self, request: Request) -> None:
        """Forget a request that has ended while it waited for a connection."""
        self._release(request)
        for queue in self._queues.values():
            queue.forget_finished()

    def end(self) -> None:
        """Forget all requests: the engine is closed, and they have ended."""
        self._timer.set(inf)
        for queue in self._queues.values():
            queue.wait([])
        self.queued = 0

    # -- placing ------------------------------------------------------------------------------------------------------

    def _choose(self, slot: int, tried: frozenset[Address], *, or_primary: bool) -> Address | None:
        """Choose a replica, the same for all requests of a shard as long as that is able; None: the primary is to answer."""
        owner = self._nodes.owner(slot)
        able = [address for address in self._nodes.readers(slot, or_primary=or_primary) if address not in tried]
        chosen = self._nodes.choose(able, self._chosen.get((owner, or_primary)))
        if chosen is not None:
            self._chosen[owner, or_primary] = chosen
        return None if chosen == owner else chosen

    def _place(self, request: Request, slot: int, tried: frozenset[Address], *, or_primary: bool) -> None:
        address = self._choose(slot, tried, or_primary=or_primary)
        if address is None:
            self._primaries.submit(request, slot)
        else:
            request.journey = ReadJourney((slot,), tried, or_primary=or_primary)
            self._send(request, address)

    def _send(self, request: Request, address: Address) -> None:
        request.journey.held = len(request.data)
        self.queued += request.journey.held
        queue = self._queues.get(address)
        if queue is None:
            queue = self._queues[address] = NodeQueue(self, address)
        queue.submit(request)
        if not queue.link.is_up and address not in self._dialled:
            self._dialled[address] = AT_ONCE
            self._timer.set(AT_ONCE)

    def _release(self, request: Request) -> None:
        self.queued -= request.journey.held
        request.journey.held = 0

    def _finish(self, request: Request) -> None:
        self._release(request)
        request.finish()
        self._on_end()

    def _again(self, request: Request, failed: Address, refused: Mapping[int, ReplyError] = NOTHING) -> None:
        """Have other nodes answer a request, or its commands that were ``refused``, in a part for each slot.

        Keys that are on their way to another node are asked of the primary, which knows where they are.
        """
        self._release(request)
        if request.finished:
            return
        journey: ReadJourney = request.journey
        if isinstance(request, Part):
            errors: dict[int | None, ReplyError | None] = {
                slot_of(request.asked[at]): error for at, error in refused.items()
            }
            parts: Sequence[Request] = request.split([*refused] if refused else range(request.size))
        else:
            errors = dict.fromkeys(journey.slots, refused.get(0))
            request.replies = []
            parts = [request]
        for part in parts:
            [slot] = part.journey.slots
            refusal = part.refusal = errors.get(slot)
            if type(refusal) in ON_ITS_WAY:
                self._primaries.submit(part, slot)
            else:
                self._place(part, slot, journey.tried | {failed}, or_primary=journey.or_primary)

    # -- time ---------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Give up the replicas that were dialled in vain for too long."""
        self._timer.set(inf)
        for address, since in [*self._dialled.items()]:
            if since == AT_ONCE:
                self._dialled[address] = now
            elif now >= since + self._patience:
                self._dialled[address] = now  # a link that waits for its turn is not dropped
                self._queues[address].link.drop(
                    ConnectionLost(f"no connection to {address} within {self._patience:g} s")
                )
        if self._dialled:
            self._timer.set(min(self._dialled.values()) + self._patience)

    # -- calls of the queues ------------------------------------------------------------------------------------------

    def new_node_link(self, queue: Owner, address: Address) -> Link:
        """Make the link to a replica; where that does not answer in time for another to do so, it is suspected."""
        link = self._engine.new_link(queue, f"reads at {address}", OnNode(address, reads=True))
        self._nodes.watch(link, self._silence)
        return link

    def node_up(self, queue: NodeQueue, *, again: bool) -> None:
        self._dialled.pop(queue.address, None)
        self._engine.report_up(queue.link, again=again)

    def node_answered(self, queue: NodeQueue, request: Request) -> None:
        """Finish a request, or have another node answer what the replica has refused."""
        if request.finished or REFUSED.isdisjoint(map(type, request.replies)):
            self._finish(request)
            return
        refused = {at: reply for at, reply in enumerate(request.replies) if type(reply) in REFUSED}
        for at, refusal in refused.items():
            refusal.command = request.asked[at].name
            if type(refusal) not in ON_ITS_WAY:
                self._nodes.avoid(queue.address)
        self._again(request, queue.address, refused)

    def node_down(
        self, queue: NodeQueue, error: Exception, sent: list[Request], unsent: list[Request], *, was_up: bool
    ) -> None:
        """Have other nodes answer what a lost replica has not."""
        if self._engine.closed or self._queues.get(queue.address) is not queue:
            return  # it was closed
        del self._queues[queue.address]
        self._dialled.pop(queue.address, None)
        self._nodes.avoid(queue.address, has_worked=was_up)
        self._nodes.remove(queue.link)
        self._engine.node_down(queue.link, error, was_up=was_up)
        for request in sent:
            if request.was_cut_short():
                self._finish(request)
            else:
                request.sent = True
                self._again(request, queue.address)
        for request in unsent:
            self._again(request, queue.address)

    def drop(self, request: Request) -> None:
        """Take a request that has ended before it was sent."""
        self._release(request)

    # -- topologies ---------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Close idle links to nodes that are no replicas any more."""
        self._on_change()
        topology = self._nodes.snapshot
        assert topology is not None, "a change is that of a topology"
        replicas = {node.address for nodes in topology.replicas.values() for node in nodes}
        for address, queue in [*self._queues.items()]:
            if address not in replicas and queue.is_idle:
                del self._queues[address]
                self._dialled.pop(address, None)
                self._nodes.remove(queue.link)
