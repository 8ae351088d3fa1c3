"""The gates of all slots: which are closed, what keeps them closed, and how they are opened again.

A gate is opened when its fence is answered, its delay is over, and its slot has an owner: what was refused leaves first, as far as
it goes to the same node, and the rest behind the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from math import inf
from typing import Protocol

from ..connection.common import Clock
from ..engine.timers import Timer
from ..options import Address
from ..requests.request import Request
from .gate import Gate
from .journey import begin_asking
from .node_queue import NodeQueue
from .router import ClusterRouter


class GatesOwner(Protocol):
    """The dispatcher."""

    def send(self, request: Request, address: Address) -> NodeQueue: ...

    # Count a request no more: it has ended.
    def release(self, request: Request) -> None: ...


class GatesEngine(Protocol):
    """The engine of the requests."""

    closed: bool

    @property
    def clock(self) -> Clock: ...
    def new_timer(self, act: Callable[[float], None]) -> Timer: ...


class Gates:
    """The gates that are closed, and their fences."""

    def __init__(self, owner: GatesOwner, engine: GatesEngine, nodes: ClusterRouter) -> None:
        self._owner = owner
        self._engine = engine
        self._nodes = nodes
        self._closed: dict[int, Gate] = {}
        self._fences: dict[Request, list[Gate]] = {}
        self._timer = engine.new_timer(self._retry)
        self.get: Callable[[int], Gate | None] = self._closed.get
        """Find the gate of a slot; None where it is open."""

    def close(self, slot: int, fence: Request | None) -> Gate:
        """Close the gate of a slot."""
        gate = self._closed[slot] = Gate(slot)
        self.fence(gate, fence)
        return gate

    def fence(self, gate: Gate, fence: Request | None) -> None:
        """Keep a gate closed until a request is answered, or lost; None: it may be opened."""
        gate.fence = fence
        if fence is not None:
            self._fences.setdefault(fence, []).append(gate)

    def lift(self, request: Request) -> Collection[Gate]:
        """Take a request as a fence from its gates, and return these."""
        gates = [gate for gate in self._fences.pop(request, ()) if gate.fence is request]
        for gate in gates:
            gate.fence = None
        return gates

    def has_any(self, slots: Iterable[int]) -> bool:
        """Whether the gate of any of these slots is closed."""
        return bool(self._closed) and not self._closed.keys().isdisjoint(slots)

    @property
    def closed(self) -> list[Gate]:
        """The gates that are closed, in the order in which they were."""
        return [*self._closed.values()]

    def clear(self) -> None:
        """Forget all gates."""
        self._closed.clear()
        self._fences.clear()
        self._timer.set(inf)

    def tidy(self, gate: Gate) -> None:
        """Drop requests that have ended from the heads of a gate; forget the gate where nothing is left."""
        while gate.refused and gate.refused[0][0].finished:
            self._owner.release(gate.refused.popleft()[0])
        while gate.waiting and gate.waiting[0].finished:
            self._owner.release(gate.waiting.popleft())
        if not (gate.refused or gate.waiting or gate.fence):
            del self._closed[gate.slot]
            self._nodes.serve(gate.slot)

    # -- opening ------------------------------------------------------------------------------------------------------

    def pass_fence(self, request: Request) -> None:
        """Try the gates whose fence a request was: it is answered, or lost."""
        if self._fences:
            for gate in self.lift(request):
                self.try_open(gate)

    def try_open(self, gate: Gate) -> None:
        """Send on what a gate has kept, where its fence is answered, its delay is over, and its slot has an owner."""
        if gate.fence is not None or self._engine.closed or self._closed.get(gate.slot) is not gate:
            return
        if gate.until > self._engine.clock.now:
            self._timer.set(min(self._timer.at, gate.until))
            return
        has_sent = self._send_refused(gate)
        owner = self._nodes.owner(gate.slot)
        if owner is None:
            self._nodes.want(gate.slot)
        elif not gate.refused and gate.fence is None:
            del self._closed[gate.slot]
            for request in gate.waiting:
                if request.finished:
                    self._owner.release(request)
                else:
                    has_sent = True
                    self._owner.send(request, owner)
            if not has_sent:
                self._nodes.serve(gate.slot)

    def _send_refused(self, gate: Gate) -> bool:
        """Send on what was refused, as far as it goes to the same node, with a fence where the rest has to wait for the answers.

        Return whether there was any.
        """
        queue: NodeQueue | None = None
        is_asking = False
        while gate.refused:
            request, ask = gate.refused[0]
            address = ask or self._nodes.owner(gate.slot)
            if not request.finished:
                if address is None or (queue is not None and queue.address != address):
                    break
                if ask is not None:
                    is_asking = True
                    begin_asking(request)
                queue = self._owner.send(request, address)
            else:
                self._owner.release(request)
            gate.refused.popleft()
        if queue is not None and (is_asking or gate.refused or gate.is_doubtful):
            self.fence(gate, queue.last)
        return queue is not None

    def _retry(self, now: float) -> None:
        """Try the gates again: the delay of some is over."""
        self._timer.set(inf)
        for gate in self.closed:
            self.try_open(gate)
