"""What the routers of a client know together of a service: its primary, its Sentinels, and whose turn it is to ask and to listen.

Each engine has a router of its own, in its own thread perhaps. They meet here only, and what they leave is frozen and replaced whole;
see ``cluster.board`` for the turns. A single router listens to a Sentinel; another takes its place where it no longer looks in.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from ..cluster.board import Turns
from ..frozen import frozen
from ..options import Address, SentinelAddress

LEASE: Final = 3.0
"""Seconds after which another router listens, where the one that did has not looked in."""


@frozen
class Primary:
    """The primary of a service: its address, its configuration's ``epoch``, and when it was asked for, in seconds."""

    address: Address
    epoch: int
    asked_at: float


class SentinelBoard(Turns):
    """The ``primary`` (None: none is known yet), the Sentinels, and the turns. ``silent``: Sentinels that have failed to answer."""

    def __init__(self, seeds: Sequence[SentinelAddress]) -> None:
        super().__init__()
        self.primary: Primary | None = None
        self.silent: frozenset[SentinelAddress] = frozenset()
        self._seeds = tuple(seeds)
        self._first: SentinelAddress | None = None
        self._found: tuple[SentinelAddress, ...] = ()
        self._listener: object = None
        self._listens_until = -inf

    def order(self) -> list[SentinelAddress]:
        """List the Sentinels, each once: the last that has answered, those that were given, and those that were found."""
        first = () if self._first is None else (self._first,)
        return [*dict.fromkeys((*first, *self._seeds, *self._found))]

    def heard(self, sentinel: SentinelAddress, others: Sequence[SentinelAddress] | None) -> None:
        """Note that a Sentinel has answered, and the others that it knows; None: it has not told."""
        self._first = sentinel
        self.silent -= {sentinel}
        if others is not None:
            self._found = (sentinel, *others)

    def is_newer(self, than: float) -> bool:
        """Whether the primary was asked for at a time in seconds, or later."""
        return self.primary is not None and self.primary.asked_at >= than

    def listens(self, listener: object, now: float) -> bool:
        """Whether it is for ``listener`` to hear of switches, from now to its next look."""
        if self._listener is not listener and now < self._listens_until:
            return False
        self._listener, self._listens_until = listener, now + LEASE
        return True

    def leave(self, listener: object) -> None:
        """Leave listening to another."""
        if self._listener is listener:
            self._listener, self._listens_until = None, -inf
