"""The topology that the routers of a client share, and their turns to ask for a newer.

Each engine has a router of its own, in its own thread perhaps. They meet here only: a topology is a frozen value, replaced
whole, so a reader sees the former or the new. A single router asks at a time; the others look whether it has been answered,
or has left its turn unused. No lock is needed: where two routers take a turn at the same moment, the cluster is asked twice.
"""

from __future__ import annotations

from math import inf
from typing import Final

from .topology import Topology

PAUSE: Final = 0.1
"""Seconds between the end of a turn and the next."""

TURN: Final = 2.0
"""Seconds after which a turn that was not ended is over: its engine was closed, or stands still."""


class Turns:
    """The turns of the routers of a client to ask, of which a single one has a turn at a time."""

    def __init__(self) -> None:
        self._next_turn = -inf

    def take_turn(self, now: float) -> bool:
        """Take the turn to ask, at a time in seconds; False while another router has it, or too soon after."""
        if now < self._next_turn:
            return False
        self._next_turn = now + TURN
        return True

    def keep_turn(self, now: float) -> None:
        """Prolong the turn."""
        self._next_turn = now + TURN

    def end_turn(self, now: float) -> None:
        """Give the turn back."""
        self._next_turn = now + PAUSE


class Board(Turns):
    """The newest ``topology`` (None: none is known yet), and the turns."""

    def __init__(self) -> None:
        super().__init__()
        self.topology: Topology | None = None

    def is_newer(self, than: float) -> bool:
        """Whether the topology was asked for at a time in seconds, or later."""
        return self.topology is not None and self.topology.asked_at >= than
