"""What single nodes have said of the owners of slots (``MOVED``), as long as no topology knows it better.

An overlay ends when a topology agrees with it, or was asked for later and of the named node, or does not have that node as a
primary; at last, after ``OVERLAY`` seconds.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..options import Address
from .topology import Topology

OVERLAY: Final = 5.0
"""Seconds for which a ``MOVED`` holds against topologies that do not know of it."""


class Overlay(NamedTuple):
    """The owner of a slot by the word of a ``MOVED``, ``since`` a time in seconds."""

    address: Address
    since: float


class Overlays:
    """The overlays, ``by_slot``."""

    def __init__(self) -> None:
        self.by_slot: dict[int, Overlay] = {}

    def add(self, slot: int, address: Address, now: float) -> None:
        """Note who has a slot since ``now``."""
        self.by_slot[slot] = Overlay(address, now)

    def end(self, topology: Topology | None, now: float) -> bool:
        """Forget the overlays that the topology knows better, or that are old; tell whether there were any."""
        ended = [slot for slot, overlay in self.by_slot.items() if _is_over(slot, overlay, topology, now)]
        for slot in ended:
            del self.by_slot[slot]
        return bool(ended)


def _is_over(slot: int, overlay: Overlay, topology: Topology | None, now: float) -> bool:
    address, since = overlay
    if now - since >= OVERLAY:
        return True
    if topology is None:
        return False
    owner = topology.owner(slot)
    is_primary = any(node.address == address for node in topology.primaries)
    knows = topology.asked_at > since and (topology.asked_of == address or not is_primary)
    return knows or (owner is not None and owner.address == address)
