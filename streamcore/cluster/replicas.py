"""The replicas of slots that may be read from: those that a topology names, but for nodes that have failed to answer lately.

A node that has failed is avoided for ``AVOIDED`` seconds, and twice as long each further time, up to ``AVOIDED_MAX``, until it has
worked. A choice is made by chance, so that clients spread over the replicas, and kept as long as it is among the able nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..connection.common import Clock
from ..options import Address

AVOIDED: Final = 5.0
AVOIDED_MAX: Final = 300.0
"""Seconds for which a node is avoided that has failed once, and again and again."""


class Replicas:
    """The nodes to be avoided, and the choice among others. ``random`` draws a number between 0 and 1."""

    def __init__(self, clock: Clock, random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self._avoided: dict[Address, tuple[float, int]] = {}  # until when, in seconds, and failures in a row

    def avoid(self, address: Address, *, has_worked: bool) -> None:
        """Avoid a node from now on, for longer where it has not worked since it was avoided last."""
        failures = 0 if has_worked else self._avoided.get(address, (0.0, 0))[1]
        lasts = min(AVOIDED * 2.0 ** min(failures, 10), AVOIDED_MAX)
        self._avoided[address] = self._clock.now + lasts, failures + 1

    def able(self, addresses: Sequence[Address]) -> list[Address]:
        """Return the nodes of these that are not avoided."""
        now, avoided = self._clock.now, self._avoided
        return [address for address in addresses if address not in avoided or avoided[address][0] <= now]

    def choose(self, able: Sequence[Address], present: Address | None = None) -> Address | None:
        """Choose a node: the present, if it is able, else by chance; None where there is none."""
        if present in able:
            return present
        return able[int(self._random() * len(able)) % len(able)] if able else None
