"""The gate of a slot: it keeps the order of the slot's requests while a node redirects or refuses them.

At the first refusal the gate of the slot closes. The newest request then unanswered at the refusing node is its *fence*: up to
there, requests of the slot may be refused, or executed, in their order. Later requests wait. When the fence is answered, what was
refused leaves in order, for the node that serves it; what waited leaves behind it. After ``ASK`` the slot's owner has not
changed: what was refused is asked elsewhere, with a fence of its own, and only then what waited goes to the owner. The same
where a node refuses for now, and may do so again: only what was refused is tried again.
"""

from __future__ import annotations

from collections import deque
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

    __slots__ = ("fence", "is_doubtful", "refused", "slot", "until", "waiting", "word")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.fence: Request | None = None
        self.refused: deque[tuple[Request, Address | None]] = deque()
        self.waiting: deque[Request] = deque()
        self.is_doubtful = False
        """Whether what was refused may be refused again: what waits is sent when it is answered."""
        self.word: Exception | None = None
        """The last word of a node that has refused."""
        self.until = -inf
        """When the next attempt may be made, in seconds."""

    def refuse(self, request: Request, ask: Address | None, now: float, *, waits: bool) -> None:
        """Keep a refused request, in the order of submission; one that ``waits``, or was sent around often, delays the next attempt."""
        journey = request.journey
        journey.hops += 1
        self.word = request.refusal or self.word
        at = len(self.refused)
        while at and self.refused[at - 1][0].journey.number > journey.number:
            at -= 1
        self.refused.insert(at, (request, ask))
        if waits or journey.hops > FREE_HOPS:
            self.is_doubtful = True
            doublings = min(journey.hops - (1 if waits else FREE_HOPS + 1), 10)
            self.until = max(self.until, now + min(DELAY * 2.0**doublings, DELAY_MAX))
