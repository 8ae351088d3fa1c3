"""The gates of slots: they keep the order of a slot's requests while a node redirects or refuses them.

At the first refusal the gate of the slot closes. The newest request then unanswered at the refusing node is its *fence*: up to
there, requests of the slot may be refused, or executed, in their order. Later requests wait. When the fence is answered, what was
refused leaves in order, for the node that serves it; what waited leaves behind it. After ``ASK`` the slot's owner has not
changed: what was refused is asked elsewhere, with a fence of its own, and only then what waited goes to the owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from math import inf
from typing import Final

from ..options import Address
from ..requests.request import Request

FREE_HOPS: Final = 3
"""Refusals of a request without a delay."""

DELAY: Final = 0.01
DELAY_MAX: Final = 0.2
"""Seconds between two attempts, doubling."""


class Gate:
    """Requests of a slot: ``refused``, each with the node where it is to be asked (None: the slot's owner), and ``waiting``."""

    __slots__ = ("fence", "refused", "slot", "until", "waiting")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.fence: Request | None = None
        self.refused: deque[tuple[Request, Address | None]] = deque()
        self.waiting: deque[Request] = deque()
        self.until = -inf
        """When the next attempt may be made, in seconds."""

    def refuse(self, request: Request, ask: Address | None, now: float, *, waits: bool) -> None:
        """Keep a refused request; one that ``waits``, or was sent around often, delays the next attempt."""
        journey = request.journey
        journey.hops += 1
        self.refused.append((request, ask))
        if waits or journey.hops > FREE_HOPS:
            doublings = min(journey.hops - (1 if waits else FREE_HOPS + 1), 10)
            self.until = max(self.until, now + min(DELAY * 2.0**doublings, DELAY_MAX))


class Gates:
    """The gates that are closed, and their fences."""

    def __init__(self) -> None:
        self._closed: dict[int, Gate] = {}
        self._fences: dict[Request, list[Gate]] = {}

    def get(self, slot: int) -> Gate | None:
        """Find the gate of a slot; None where it is open."""
        return self._closed.get(slot)

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
        if not self._fences:
            return ()
        gates = [gate for gate in self._fences.pop(request, ()) if gate.fence is request]
        for gate in gates:
            gate.fence = None
        return gates

    def open(self, gate: Gate) -> None:
        """Forget a gate that has nothing to keep any more."""
        del self._closed[gate.slot]

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
