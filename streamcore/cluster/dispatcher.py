"""Send requests to the nodes of their slots, and on where a node redirects or refuses them, in the order of each slot.

A request goes to the owner of its slot, over the node's queue. Where it is refused, the ``Gate`` of its slot closes: the
refused requests, and the later, go on in their order. Where a node is lost, what may be sent again waits for the next
connection, at the gate of its slot, or moves as soon as the slot is known to have another owner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Protocol

from ..connection.common import Clock
from ..connection.handshake import is_permanent
from ..connection.link import Link, Owner
from ..engine.router import OnNode, Route
from ..engine.timers import Timer
from ..errors import (
    AskError,
    BusyError,
    ConnectionLost,
    MovedError,
    ReplyError,
    SlotRedirect,
    StreamcoreError,
    TryAgainError,
)
from ..options import Address
from ..requests.queue import because
from ..requests.request import Request
from .call import Call, Part
from .gates import Gates
from .journey import Journey, end_asking
from .node_queue import NodeQueue
from .refusals import MAYBE_REFUSED, REFUSED, refusal_of, unfollowed
from .router import ClusterRouter
from .slots import slot_of


class DispatcherOwner(Protocol):
    """The engine of the requests. ``node_down`` reports a lost link, or a failed attempt."""

    closed: bool

    @property
    def clock(self) -> Clock: ...
    def new_timer(self, act: Callable[[float], None]) -> Timer: ...
    def new_link(self, owner: Owner, name: str, route: Route) -> Link: ...
    def report_up(self, link: Link, *, again: bool) -> None: ...
    def node_down(self, link: Link, error: Exception, *, was_up: bool) -> None: ...
    def lost(self, error: Exception) -> ConnectionLost: ...
    def late(self, why: str) -> StreamcoreError: ...


class Dispatcher:
    """Sends requests; ``queued`` counts the bytes of those that are unanswered. ``on_end`` is called when a request has ended."""

    def __init__(self, engine: DispatcherOwner, nodes: ClusterRouter, on_end: Callable[[], None]) -> None:
        self.queued = 0
        self._engine = engine
        self._nodes = nodes
        self._on_end = on_end
        self._queues: dict[Address, NodeQueue] = {}
        self._gates = Gates(self, engine, nodes)
        self._numbers = count()
        nodes.on_change = self._follow

    # -- the engine's side --------------------------------------------------------------------------------------------

    def submit(self, request: Request, slot: int) -> None:
        """Send a request whose keys are of a single slot."""
        request.journey = Journey((slot,), next(self._numbers))
        self._place(request, slot)

    def distribute(self, call: Call, slots: Mapping[int, Sequence[int]], former: Part | None = None) -> None:
        """Send commands of a call, in a part for each node. ``slots``: the places of the commands of each slot.

        ``former``: the part that they were in before.
        """
        nodes: dict[Address | None, list[int]] = {}
        for slot in slots:
            nodes.setdefault(None if self._gates.get(slot) else self._nodes.owner(slot), []).append(slot)
        parts: list[tuple[Address | None, Part]] = [
            (None, call.part(slots[slot], [slot])) for slot in nodes.pop(None, ())
        ]
        for address, own in nodes.items():
            parts.append((address, call.part(sorted([place for slot in own for place in slots[slot]]), own)))
        for address, part in parts:
            if former is None:
                part.journey.number = next(self._numbers)
            else:
                part.succeed(former)
            if address is None:
                self._place(part, *part.journey.slots)
            else:
                self._hold(part)
                self.send(part, address)

    def late_error(self, request: Request) -> StreamcoreError:
        """Make the error of a request that was not answered in time: the last word of a server, where there was one."""
        within = f"within {request.timeout:g} s"
        if request.journey.node is not None:
            return self._engine.late(f"{request.journey.node.address} did not answer {within}")
        if request.refusal is not None:
            return request.refusal
        return self._unanswered(request, self._missing(request, within))

    def end(self, requests: Sequence[Request], why: str) -> None:
        """End requests, and forget the state of all slots: the engine is closed."""
        for request in requests:
            self._finish(request, self._unanswered(request, why))
        self._gates.clear()
        for queue in self._queues.values():
            queue.wait([])
        self.queued = 0

    def _missing(self, request: Request, within: str) -> str:
        """Tell why a request was not sent: its slot is not served, has no owner, or there is no connection to the owner."""
        slot = request.journey.slots[0]
        gate, owner = self._gates.get(slot), self._nodes.owner(slot)
        if gate is not None and gate.word is not None:
            return f"slot {slot} was not served {within}: {gate.word}"
        if owner is None:
            return f"no node was known for its slot {within}{because(self._nodes.trouble)}"
        queue = self._queues.get(owner)
        return f"no connection to {owner} {within}{because(None if queue is None else queue.link.error)}"

    def _unanswered(self, request: Request, why: str) -> StreamcoreError:
        if request.sent:
            return self._engine.lost(ConnectionLost(why))
        return ConnectionLost(f"the request was not sent: {why}")

    # -- accounts -----------------------------------------------------------------------------------------------------

    def _hold(self, request: Request) -> None:
        held = request.journey.held = len(request.data)
        self.queued += held

    def release(self, request: Request) -> None:
        """Count a request no more: it is answered, or will never be sent."""
        journey = request.journey
        self.queued -= journey.held
        journey.held = 0

    def drop(self, request: Request) -> None:
        """Take a request that has ended before it was sent."""
        self.release(request)
        self._gates.pass_fence(request)

    def forget_ended(self, request: Request) -> None:
        """Forget a request that has ended while it waited, at the gate of its slot or for a connection."""
        self.release(request)
        slots = request.journey.slots
        for gate in filter(None, map(self._gates.get, slots)):
            self._gates.tidy(gate)
        for owner in self._queues.keys() & set(map(self._nodes.owner, slots)):
            self._queues[owner].forget_finished()

    def _finish(self, request: Request, error: StreamcoreError | None = None) -> None:
        self.release(request)
        if self._nodes.wanted:
            for slot in request.journey.slots:
                self._nodes.serve(slot)
        request.finish(error)
        self._on_end()

    # -- placing ------------------------------------------------------------------------------------------------------

    def _place(self, request: Request, slot: int) -> None:
        """Send a request to the owner of its slot, or keep it at the slot's gate."""
        self._hold(request)
        gate = self._gates.get(slot)
        if gate is None:
            owner = self._nodes.owner(slot)
            if owner is not None:
                self.send(request, owner)
                return
            gate = self._gates.close(slot, None)
            self._nodes.want(slot)
        gate.waiting.append(request)
        self._gates.tidy(gate)

    def send(self, request: Request, address: Address) -> NodeQueue:
        """Send a request to a node; return the queue that it is in."""
        queue = self._queues.get(address)
        if queue is None:
            queue = self._queues[address] = NodeQueue(self, address)
        queue.submit(request)
        return queue

    # -- calls of the queues ------------------------------------------------------------------------------------------

    def new_node_link(self, queue: Owner, address: Address) -> Link:
        """Make the link of a node's queue; a node that does not answer there is suspected."""
        link = self._engine.new_link(queue, str(address), OnNode(address))
        self._nodes.watch(link)
        return link

    def node_up(self, queue: NodeQueue, *, again: bool) -> None:
        self._engine.report_up(queue.link, again=again)

    def node_answered(self, queue: NodeQueue, request: Request) -> None:
        """Finish a request, or send it on where the node has refused it."""
        if request.journey.is_asking:
            end_asking(request)
        if MAYBE_REFUSED.isdisjoint(map(type, request.replies)) or not self._refuse(queue, request):
            self._finish(request)
        self._gates.pass_fence(request)

    def node_down(
        self, queue: NodeQueue, error: Exception, sent: list[Request], unsent: list[Request], *, was_up: bool
    ) -> None:
        """Keep what may be sent again, at the node or at the gates of slots; the rest of what was sent is lost.

        What a node would get that refuses the login, or whose certificate is wrong, ends by that error.
        """
        kept, lost = self._sort_lost(sent, unsent)
        waiting = self._return_to_gates(kept)
        if is_permanent(error) and not queue.link.server:
            lost += waiting
            del self._queues[queue.address]
            self._nodes.remove(queue.link)
        else:
            queue.wait(waiting)
        opened = [gate for request in (*sent, *unsent) for gate in self._gates.lift(request)]
        for gate in (*opened, *filter(None, [self._gates.get(request.journey.slots[0]) for request, _ in kept])):
            self._gates.try_open(gate)
        self._engine.node_down(queue.link, error, was_up=was_up)
        for request in lost:
            if request.was_unreadable():
                self._finish(request)
            else:
                self._finish(request, self._engine.lost(error) if request.sent else ConnectionLost(str(error)))

    def _sort_lost(
        self, sent: list[Request], unsent: list[Request]
    ) -> tuple[list[tuple[Request, bool]], list[Request]]:
        """Sort out what may be sent again, each with the word whether it was asked there (``ASK``), and what is lost."""
        kept: list[tuple[Request, bool]] = []
        lost: list[Request] = []
        for at, request in enumerate([*sent, *unsent]):
            was_asked = request.journey.is_asking
            end_asking(request)
            if at < len(sent):
                request.sent = True
                if request.was_cut_short() or not request.repeatable:
                    lost.append(request)
                    continue
                request.repeat()
            kept += self._divided(request, was_asked=was_asked)
        return kept, lost

    def _divided(self, request: Request, *, was_asked: bool) -> list[tuple[Request, bool]]:
        """Divide a part of several slots, by slot, where the gate of any is closed; nothing is left of what has ended."""
        if request.finished:
            self.release(request)
            return []
        slots = request.journey.slots
        if isinstance(request, Part) and len(slots) > 1 and self._gates.has_any(slots):
            return [(part, False) for part in self._split(request, range(request.size))]
        return [(request, was_asked)]

    def _return_to_gates(self, kept: list[tuple[Request, bool]]) -> list[Request]:
        """Put requests of slots whose gates are closed behind what was refused there; return the others."""
        others: list[Request] = []
        for request, was_asked in kept:
            gate = self._gates.get(request.journey.slots[0])
            if gate is None:
                others.append(request)
            else:
                gate.refuse(request, None, self._engine.clock.now, waits=was_asked)
        return others

    # -- refusals -----------------------------------------------------------------------------------------------------

    def _refuse(self, queue: NodeQueue, request: Request) -> bool:
        """Keep the commands that a node has refused at the gates of their slots; False where nothing was refused."""
        if request.finished:
            return False
        if isinstance(request, Part) and request.size > 1:
            refused = [at for at, reply in enumerate(request.replies) if type(reply) in REFUSED]
            errors: dict[int | None, ReplyError] = {}
            for at in refused:
                error = errors[slot_of(request.asked[at])] = request.replies[at]
                error.command = request.asked[at].name
            for part in self._split(request, refused) if refused else ():
                self._keep(queue, part, errors[part.journey.slots[0]])
            return bool(refused)
        refusal = refusal_of(request)
        if refusal is not None:
            request.replies = []
            self._keep(queue, request, refusal)
        return refusal is not None

    def _split(self, part: Part, refused: Sequence[int]) -> list[Part]:
        self.release(part)
        parts = part.split(refused)
        for one in parts:
            self._hold(one)
        return parts

    def _keep(self, queue: NodeQueue, request: Request, error: ReplyError) -> None:
        """Keep a refused request at the gate of its slot, and learn from the refusal."""
        [slot] = request.journey.slots
        gate = self._gates.get(slot) or self._gates.close(slot, queue.last)
        ask: Address | None = None
        address: Address | None = None
        request.refusal = error
        if isinstance(error, AskError):
            address = ask = self._nodes.asked(error, queue.address)
        elif isinstance(error, MovedError):
            address = self._nodes.moved(error, queue.address)
        elif not isinstance(error, (TryAgainError, BusyError)):
            self._nodes.want(slot, avoid=queue.address)
        if isinstance(error, SlotRedirect) and address is None:
            request.refusal = unfollowed(error, queue.address)
            self._nodes.want(slot)
        gate.refuse(request, ask, self._engine.clock.now, waits=address is None)
        self._gates.try_open(gate)

    # -- topologies ---------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Move what waits for a node that does not serve its slot any more; requests in flight there close their gates."""
        for queue in [*self._queues.values()]:
            for request in queue.unanswered():
                for slot in request.journey.slots:
                    if self._gates.get(slot) is None and self._nodes.owner(slot) != queue.address:
                        self._gates.close(slot, queue.last)
            if any(self._is_elsewhere(request, queue.address) for request in queue.waiting):
                self._move_waiting(queue)
        for gate in self._gates.closed:
            self._gates.try_open(gate)
        self._forget_nodes()

    def _is_elsewhere(self, request: Request, address: Address) -> bool:
        journey = request.journey
        return not journey.is_asking and any(self._nodes.owner(slot) != address for slot in journey.slots)

    def _move_waiting(self, queue: NodeQueue) -> None:
        """Place anew what waits for a connection, in its order, but for what is asked there (``ASK``)."""
        moved = [request for request in queue.waiting if not request.journey.is_asking]
        queue.wait([request for request in queue.waiting if request.journey.is_asking])
        kept: list[tuple[Request, bool]] = []
        for request in moved:
            for gate in self._gates.lift(request):
                self._gates.fence(gate, queue.last)
            kept += self._divided(request, was_asked=False)
        for request in self._return_to_gates(kept):
            self.release(request)
            if isinstance(request, Part):
                places = request.leave()
                self.distribute(request.call, places, request)
            else:
                self._place(request, *request.journey.slots)

    def _forget_nodes(self) -> None:
        """Close the links to nodes that have left."""
        for address, queue in [*self._queues.items()]:
            if address not in self._nodes.primaries and queue.is_idle:
                del self._queues[address]
                self._nodes.remove(queue.link)
