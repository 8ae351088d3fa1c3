"""Commands of many callers to all nodes of a cluster: each goes to the primary of its slot, over a link that all callers share.

A pipeline is split into parts, by node, and its answers are put together. A request that a node redirects, or refuses for now,
goes on through the ``Gate`` of its slot, until its deadline, which counts from its submission. Where a node is lost, what was
not sent waits for the next connection, or for the news that the slot has another owner.
Commands without keys run at any primary, over the main link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any, Final, Unpack, cast

from ..commands import Command
from ..commands.command import LinkUse
from ..connection.link import AT_ONCE, Link, Owner
from ..engine.engine import EngineOptions
from ..engine.router import OnNode
from ..errors import (
    AskError,
    ClusterDownError,
    ConnectionLost,
    ExecAbortError,
    InvalidArgument,
    LoadingError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    ReplyError,
    RequestTimeout,
    StreamcoreError,
    TryAgainError,
)
from ..options import Address
from ..requests.lateness import excuse
from ..requests.multiplexer import Multiplexer, unshared
from ..requests.request import Request, Transaction
from .call import Call, Part
from .gate import Gate
from .journey import Journey, begin_asking, end_asking
from .node_queue import NodeQueue
from .router import ClusterRouter
from .slots import common_slot, slot_of, split

REFUSED: Final = frozenset(
    {MovedError, AskError, TryAgainError, ClusterDownError, LoadingError, MasterDownError, ReadOnlyError}
)
"""The errors of a node that has executed nothing: another node may, or the same later."""
_MAYBE: Final = REFUSED | {ExecAbortError}


class ClusterMultiplexer(Multiplexer):
    """Send commands to the nodes of a cluster, in the order of ``submit`` within each slot."""

    def __init__(self, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(**engine)
        self._nodes = cast(ClusterRouter, self._router)
        self._nodes.on_change = self._follow
        self._queues: dict[Address, NodeQueue] = {}
        self._gates: dict[int, Gate] = {}
        self._fences: dict[Request, list[Gate]] = {}
        self._queued = 0
        self._deadlines: deque[Request] = deque()
        self._timer = self.new_timer(self._elapse)

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether less than ``max_outgoing`` bytes are queued and unanswered; wait before submitting more."""
        return self._queued < self.options.max_outgoing and super().has_room

    def submit(self, commands: Sequence[Command[Any]], done: Callable[[Any], None]) -> Any:
        """Send commands, each to the node of its keys. Raises ``CrossSlotError`` before anything is queued."""
        self.check()
        for command in commands:
            if command.traits.use is not LinkUse.SHARED:
                raise unshared(command)
        if len(commands) == 1:
            return self.put(Request(commands, done, self.options.request_timeout))
        slots = split(commands)
        if None in slots:
            refuse_cursors(commands)
        call = Call(commands, done, self.options.request_timeout)
        self._spread(call, slots)
        self.on_wakeup()
        return call

    def put(self, request: Request) -> Request:
        """Send a request of the caller's own kind to the node of its keys, which are of one slot. Raises as ``submit`` does."""
        self.check()
        asked = request.asked
        return self._begin(request, slot_of(asked[0]) if len(asked) == 1 else common_slot(asked))

    def _begin(self, request: Request, slot: int | None) -> Request:
        if slot is None:
            refuse_cursors(request.asked)
            return super().put(request)
        self._enter(request, slot)
        self._place(request)
        self.on_wakeup()
        return request

    def _spread(self, call: Call, slots: dict[int | None, list[int]]) -> None:
        """Place the commands of a call, by node, in their order."""
        nodes: dict[Address | None, list[int]] = {}
        for slot, places in slots.items():
            if slot is None:
                super().put(call.part(places))
            elif slot in self._gates or (owner := self._nodes.owner(slot)) is None:
                self._enter(part := call.part(places), slot)
                self._place(part)
            else:
                nodes.setdefault(owner, []).extend(places)
        for address, places in nodes.items():
            assert address is not None
            part = call.part(sorted(places))
            self._enter(part, -1)
            self._queue(address).submit(part)

    def _enter(self, request: Request, slot: int) -> None:
        request.journey = Journey(slot, len(request.data))
        self._queued += len(request.data)
        self._deadlines.append(request)
        self._timer.set(AT_ONCE)

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        for request in [*self._deadlines]:
            self._finish(request, ConnectionLost(f"the request was not answered: the client was closed: {error or ''}"))

    # -- placing ------------------------------------------------------------------------------------------------------

    def _place(self, request: Request) -> None:
        """Send a request to the owner of its slot, or keep it at the slot's gate."""
        slot = request.journey.slot
        gate = self._gates.get(slot)
        owner = None if gate is not None else self._nodes.owner(slot)
        if owner is not None:
            self._queue(owner).submit(request)
            return
        if gate is None:
            gate = self._close_gate(slot, None)
            self._nodes.want(slot)
        gate.waiting.append(request)

    def _queue(self, address: Address) -> NodeQueue:
        queue = self._queues.get(address)
        if queue is None:
            queue = self._queues[address] = NodeQueue(self, address)
        return queue

    def _close_gate(self, slot: int, queue: NodeQueue | None) -> Gate:
        """Close the gate of a slot; the newest request at a node is its fence."""
        gate = self._gates[slot] = Gate(slot)
        self._fence(gate, queue)
        return gate

    def _fence(self, gate: Gate, queue: NodeQueue | None) -> None:
        fence = gate.fence = None if queue is None else queue.last
        if fence is not None:
            self._fences.setdefault(fence, []).append(gate)

    def _open_gate(self, gate: Gate) -> None:
        """Send on what a gate has kept, where its fence is answered and its slot has an owner."""
        now = self.clock.now
        if gate.fence is not None:
            return
        if gate.until > now:
            self._timer.set(min(self._timer.at, gate.until))
            return
        queue: NodeQueue | None = None
        while gate.refused:
            request, ask = gate.refused[0]
            address = ask or self._nodes.owner(gate.slot)
            if address is None:
                self._nodes.want(gate.slot)
                return
            gate.refused.popleft()
            if request.finished:
                self.node_dropped(request)
                continue
            if ask is not None:
                begin_asking(request)
                queue = self._queue(ask)
            self._queue(address).submit(request)
        if queue is not None and queue.last is not None:
            self._fence(gate, queue)
            return
        owner = self._nodes.owner(gate.slot)
        if owner is None:
            self._nodes.want(gate.slot)
            return
        del self._gates[gate.slot]
        self._nodes.serve(gate.slot)
        waiting = gate.waiting
        while waiting:
            request = waiting.popleft()
            if request.finished:
                self.node_dropped(request)
            else:
                self._queue(owner).submit(request)

    # -- calls of the queues ------------------------------------------------------------------------------------------

    def new_node_link(self, queue: Owner, address: Address) -> Link:
        """Make the link of a node's queue."""
        return self.new_link(queue, str(address), OnNode(address))

    def node_up(self, queue: NodeQueue, *, again: bool) -> None:
        self.report_up(queue.link, again=again)

    def node_doubted(self, queue: NodeQueue) -> None:
        """Have the other nodes asked whether the slots of a silent node have a new owner."""
        self._nodes.suspect(queue.link)

    def node_dropped(self, request: Request) -> None:
        """Forget a request that its caller has given up before it was sent."""
        self._queued -= request.journey.nbytes

    def node_answered(self, queue: NodeQueue, request: Request) -> None:
        """Finish a request, or send it on where the node has refused it."""
        gates = self._fences.pop(request, None) if self._fences else None
        end_asking(request)
        if _MAYBE.isdisjoint(map(type, request.replies)) or not self._refuse(queue, request):
            self._finish(request)
        if gates:
            for gate in gates:
                if gate.fence is request:
                    gate.fence = None
                    self._open_gate(gate)

    def node_down(self, queue: NodeQueue, error: Exception, sent: list[Request], *, was_up: bool) -> None:
        """Keep what may be sent again; the rest of what was sent is lost."""
        kept: list[Request] = []
        for request in sent:
            end_asking(request)
            if request.was_cut_short():
                self._finish(request)
            elif request.repeatable:
                request.sent = True
                request.repeat()
                kept.append(request)
            else:
                request.sent = True
                self._finish(request, self.lost(error))
        for request in queue.waiting:
            end_asking(request)
        queue.keep(kept)
        fences, self._fences = self._fences, {}
        for fence, gates in fences.items():
            if fence in sent or fence in queue.waiting:
                for gate in gates:
                    gate.fence = None
                    self._open_gate(gate)
            else:
                self._fences[fence] = gates
        self.report_down(queue.link, error, was_up=was_up)

    def _finish(self, request: Request, error: StreamcoreError | None = None) -> None:
        self._queued -= request.journey.nbytes
        request.finish(error)
        self._set_timer()

    # -- refusals -----------------------------------------------------------------------------------------------------

    def _refuse(self, queue: NodeQueue, request: Request) -> bool:
        """Keep the commands that a node has refused at the gates of their slots; False where nothing was refused."""
        if isinstance(request, Part) and len(request.asked) > 1:
            refused = [at for at, reply in enumerate(request.replies) if type(reply) in REFUSED]
            if not refused or request.finished:
                return False
            errors = {slot_of(request.asked[at]): request.replies[at] for at in refused}
            self._queued -= request.journey.nbytes
            for slot, piece in request.pieces(refused, slot_of).items():
                assert slot is not None
                self._enter(piece, slot)
                piece.deadline = request.deadline
                self._keep(queue, piece, errors[slot])
            return True
        error = refusal_of(request)
        if error is None or request.finished:
            return False
        request.refusal = error
        request.replies = []
        self._keep(queue, request, error)
        return True

    def _keep(self, queue: NodeQueue, request: Request, error: ReplyError) -> None:
        """Keep a refused request at the gate of its slot, and learn from the refusal."""
        slot = request.journey.slot
        request.refusal = error
        gate = self._gates.get(slot) or self._close_gate(slot, queue)
        ask: Address | None = None
        waits = True
        if isinstance(error, MovedError):
            waits = self._nodes.moved(error, queue.address) is None
        elif isinstance(error, AskError):
            ask = self._nodes.asked(error, queue.address)
            waits = ask is None
        elif not isinstance(error, TryAgainError):
            self._nodes.want(slot)
        gate.refuse(request, ask, self.clock.now, waits=waits)
        self._open_gate(gate)

    # -- topologies ---------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Move what waits for a node that does not serve its slot any more; requests in flight there close their gates."""
        owner, moved = self._nodes.owner, list[Request]()
        for queue in list(self._queues.values()):
            for request in queue.in_flight():
                for slot in self._slots_of(request):
                    if slot not in self._gates and owner(slot) != queue.address:
                        self._close_gate(slot, queue)
            moved += queue.take_waiting(partial(self._is_elsewhere, queue.address))
        for request in moved:
            self._queued -= request.journey.nbytes
            if isinstance(request, Part):
                request.finished = True
                places = {slot: [request.places[at] for at in listed] for slot, listed in split(request.asked).items()}
                self._spread(request.call, places)
            elif not request.finished:
                self._queued += request.journey.nbytes
                self._place(request)
        for gate in list(self._gates.values()):
            self._open_gate(gate)
        self._forget_nodes()

    def _forget_nodes(self) -> None:
        """Close the links to nodes that have left."""
        for address, queue in list(self._queues.items()):
            if address not in self._nodes.primaries and queue.is_idle:
                del self._queues[address]
                self._nodes.remove(queue.link)

    def _is_elsewhere(self, address: Address, request: Request) -> bool:
        return any(self._nodes.owner(slot) != address for slot in self._slots_of(request))

    @staticmethod
    def _slots_of(request: Request) -> set[int]:
        slot = request.journey.slot
        if slot >= 0:
            return {slot}
        return {slot for command in request.asked if (slot := slot_of(command)) is not None}

    # -- time ---------------------------------------------------------------------------------------------------------

    def _elapse(self, now: float) -> None:
        """End the requests whose deadlines have passed; start the deadlines of new requests; try gates again."""
        deadlines = self._deadlines
        for request in reversed(deadlines):
            if request.deadline != AT_ONCE:
                break
            request.deadline = now + request.timeout
        while deadlines and AT_ONCE < deadlines[0].deadline <= now:
            request = deadlines[0]
            queue = next((one for one in self._queues.values() if request in one.in_flight()), None)
            if not request.finished and queue is not None and excuse(deadlines, queue.link, now):
                break
            deadlines.popleft()
            if not request.finished:
                request.finish(self._late_error(request, queue))
        for gate in list(self._gates.values()):
            if gate.fence is None and gate.until <= now:
                self._open_gate(gate)
        self._set_timer()

    def _late_error(self, request: Request, queue: NodeQueue | None) -> StreamcoreError:
        within = f"within {request.timeout:g} s"
        if queue is not None:
            return RequestTimeout(f"{queue.address} did not answer {within}")
        if request.refusal is not None:
            return request.refusal
        owner = self._nodes.owner(request.journey.slot) if request.journey.slot >= 0 else None
        waited = "no node was known for its slot" if owner is None else f"there was no connection to {owner}"
        if request.sent:
            return self.lost(ConnectionLost(f"{waited} {within}"))
        return ConnectionLost(f"the request was not sent: {waited} {within}")

    def _set_timer(self) -> None:
        deadlines = self._deadlines
        while deadlines and deadlines[0].finished:
            deadlines.popleft()
        at = inf
        if deadlines:
            at = AT_ONCE if deadlines[-1].deadline == AT_ONCE else deadlines[0].deadline
        for gate in self._gates.values():
            if gate.fence is None and gate.until > self.clock.now:
                at = min(at, gate.until)
        if at != self._timer.at:
            self._timer.set(at)


def refuse_cursors(commands: Sequence[Command[Any]]) -> None:
    """Refuse ``SCAN``: any primary would answer it, and its cursor is of use at a single node. Raises ``InvalidArgument``."""
    if any(command.name == "SCAN" for command in commands):
        raise InvalidArgument(
            "the cursor of SCAN belongs to a node of the cluster: iterate over all keys by client.scan_keys(), "
            "or scan a node by client.on(node)"
        )


def refusal_of(request: Request) -> ReplyError | None:
    """Find the error by which a node has refused a request as a whole; None where it has executed it, or failed for good."""
    if isinstance(request, Transaction):
        multi, *queued, outcome = request.replies
        if type(outcome) in REFUSED:
            return cast(ReplyError, outcome)
        if type(outcome) is ExecAbortError and not isinstance(multi, ReplyError):
            return next((reply for reply in queued if type(reply) in REFUSED), None)
        return None
    [reply] = request.replies
    return cast(ReplyError, reply) if type(reply) in REFUSED else None
