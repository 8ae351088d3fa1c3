"""The engine of a client in a cluster: commands to the nodes of their keys, dedicated links, and commands to certain nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack, cast

from ..arguments import ReadFrom
from ..commands import Command
from ..commands.command import LinkUse
from ..connection.handshake import is_permanent
from ..connection.link import Link
from ..engine.engine import EngineOptions
from ..engine.router import ANYWHERE, OnNode, Route, Slot
from ..errors import InvalidArgument
from ..options import Address
from ..requests.multiplexer import MAX_LEASES, DedicatedLink, unshared
from ..requests.nodes import ServerNode, Tour
from ..requests.queue import RequestQueue, because
from ..requests.request import Request, Transaction
from .call import Call
from .direct_queue import DirectQueue
from .lease_queue import LeaseQueue, SlotLink
from .multiplexer import ClusterMultiplexer
from .nodes import ClusterTour, nodes_of
from .router import ClusterRouter
from .slots import link_slot
from .topology import Topology


class ClusterClient(ClusterMultiplexer):
    """Send commands to the nodes of a cluster; see ``ClusterMultiplexer``. ``at`` sends them to a certain node."""

    def __init__(self, *, read_from: ReadFrom = "primary", **engine: Unpack[EngineOptions]) -> None:
        super().__init__(read_from=read_from, **engine)
        self._leased: list[LeaseQueue] = []
        self._direct: dict[Address, DirectQueue] = {}
        self._map = cast(ClusterRouter, self._router)
        self._moved = self._map.on_change
        self._map.on_change = self._follow

    @property
    def label(self) -> str:
        """The name of the engine in messages: a client."""
        return "Client"

    def nodes(self) -> list[ServerNode]:
        """List the nodes: the primaries in the order of their slots, each before its replicas."""
        return nodes_of(self._topology())

    def tour(self) -> Tour:
        """Begin a tour of all primaries."""
        return ClusterTour(self._topology, self.emit)

    def _topology(self) -> Topology | None:
        return self._map.snapshot

    # -- dedicated links ----------------------------------------------------------------------------------------------

    def lease(self, commands: Sequence[Command[Any]] = ()) -> DedicatedLink | None:
        """Lease a dedicated link as ``Multiplexer.lease``, to the node of the keys of ``commands``.

        Raises ``CrossSlotError`` where they are of several slots.
        """
        self.check()
        slot = link_slot(commands)
        queue = self._lease(ANYWHERE if slot is None else Slot(slot))
        keys = [key for command in commands for key in command.keys]
        return None if queue is None else SlotLink(self, queue, keys)

    def _lease(self, route: Route) -> LeaseQueue | None:
        """Find a free link at the node, or lead a free link there, or make a link; None while all of them are taken."""
        address = self._where(route)
        free = [queue for queue in self._leased if queue.is_free]
        up = [queue for queue in free if queue.link.is_up]
        idle = [queue for queue in free if not queue.link.is_up]
        queue = next((queue for queue in up if address in (None, queue.link.address)), None)
        if queue is None and not idle and len(self._leased) < MAX_LEASES:
            queue = LeaseQueue(self, self._map, route)
            self._leased.append(queue)
            return queue
        queue = queue or next(iter((*idle, *up)), None)
        if queue is not None:
            queue.aim(route)
        return queue

    def _where(self, route: Route) -> Address | None:
        if isinstance(route, OnNode):
            return route.address
        return self._map.owner(route.slot) if isinstance(route, Slot) else None

    # -- certain nodes ------------------------------------------------------------------------------------------------

    def at(self, node: ServerNode) -> AtNode:
        """Send commands to a certain node."""
        return AtNode(self, _address(node))

    def put_at(self, address: Address, request: Request) -> Request:
        """Send a request to the node at an address. Raises ``ClosedError``."""
        self.check()
        self._direct_queue(address).submit(request)
        self.on_wakeup()
        return request

    def lease_at(self, address: Address) -> DedicatedLink | None:
        """Lease a dedicated link to the node at an address; None while all of them are taken."""
        self.check()
        queue = self._lease(OnNode(address))
        return None if queue is None else DedicatedLink(self, queue)

    def each(self, nodes: Sequence[ServerNode], commands: Sequence[Command[Any]], done: Callable[[Any], None]) -> Any:
        """Send a command to each of some nodes, at once. Raises ``InvalidArgument`` or ``ClosedError`` before anything is queued."""
        self.check()
        [command] = commands
        if command.traits.use is not LinkUse.SHARED:
            raise unshared(command)
        call = Call([command] * len(nodes), done, self.options.request_timeout)
        for place, node in enumerate(nodes):
            self._direct_queue(_address(node)).submit(call.part([place]))
        self.on_wakeup()
        return call

    def _direct_queue(self, address: Address) -> DirectQueue:
        queue = self._direct.get(address)
        if queue is None:
            queue = self._direct[address] = DirectQueue(self, address)
        return queue

    # -- calls of the request queues ----------------------------------------------------------------------------------

    def new_queue_link(self, queue: RequestQueue) -> Link:
        """Make the link of a request queue: the main link, a dedicated link, or the link to a certain node."""
        if isinstance(queue, LeaseQueue):
            return self.new_link(queue, f"lease-{len(self._leased) + 1}", queue.route)
        if isinstance(queue, DirectQueue):
            return self.new_link(queue, f"at {queue.route.address}", queue.route)
        return super().new_queue_link(queue)

    def queue_up(self, queue: RequestQueue, *, again: bool) -> None:
        """Report that the link of a request queue is connected; a link that was closed while it was idle is no recovery."""
        if isinstance(queue, DirectQueue):
            again, queue.afresh = again and not queue.afresh, False
            self.report_up(queue.link, again=again)
        else:
            super().queue_up(queue, again=again)

    def queue_down(self, queue: RequestQueue, error: Exception, *, was_up: bool) -> None:
        """Report that the link of a request queue is lost; the requests to a node that can never be connected end at once."""
        if not isinstance(queue, DirectQueue):
            super().queue_down(queue, error, was_up=was_up)
        elif is_permanent(error) and not queue.link.server:
            queue.finish_all(str(error))
        elif not queue.afresh:
            self.report_down(queue.link, error, was_up=was_up)

    def _follow(self) -> None:
        """Drop dedicated links to nodes that serve no slot any more, and may never answer."""
        self._moved()
        for queue in self._leased:
            if queue.link.is_up and isinstance(queue.route, Slot) and queue.link.address not in self._map.primaries:
                queue.lose_node()

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        for queue in (*self._leased, *self._direct.values()):
            queue.finish_all(f"the client was closed{because(error)}")


class AtNode:
    """Commands to a certain node of a cluster: a redirect is its answer."""

    def __init__(self, engine: ClusterClient, address: Address) -> None:
        self._engine = engine
        self._address = address

    def submit(self, commands: Sequence[Command[Any]], done: Callable[[Any], None]) -> Request:
        """Send commands together, as ``Multiplexer.submit``."""
        for command in commands:
            if command.traits.use is not LinkUse.SHARED:
                raise unshared(command)
        return self._put(Request(commands, done, self._engine.options.request_timeout))

    def transact(self, commands: Sequence[Command[Any]], done: Callable[[Any], None]) -> Request:
        """Send a transaction, as ``Multiplexer.transact``."""
        return self._put(Transaction(commands, done, self._engine.options.request_timeout))

    def lease(self, commands: Sequence[Command[Any]] = ()) -> DedicatedLink | None:
        """Lease a dedicated link to the node, as ``Multiplexer.lease``, whatever keys the ``commands`` have."""
        return self._engine.lease_at(self._address)

    def _put(self, request: Request) -> Request:
        return self._engine.put_at(self._address, request)


def _address(node: ServerNode) -> Address:
    if not isinstance(node.address, Address):
        raise InvalidArgument(f"{node.address} is no node of this cluster: choose one of client.nodes()")
    return node.address
