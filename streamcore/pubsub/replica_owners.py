"""The nodes at which shard channels are subscribed to where replicas are to be read from: for each slot, a replica.

A replica hears what its primary hears. It is chosen by chance, and kept as long as it belongs to the shard, also when it becomes
the primary: a subscription that is in force is not taken elsewhere for nothing, since messages might come twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection

from ..connection.link import Link
from ..engine.router import SlotOwners, SlotPlaces
from ..errors import MovedError
from ..options import Address


class ReplicaOwners:
    """The chosen nodes of slots, for ``ShardTables`` in the place of the primaries. ``or_primary``: it is chosen like a replica."""

    def __init__(self, nodes: SlotOwners, *, or_primary: bool) -> None:
        self._nodes = nodes
        self._or_primary = or_primary
        self._chosen: dict[int, Address] = {}  # by slot

    @property
    def primaries(self) -> Collection[Address]:
        """The addresses of the primaries that have slots."""
        return self._nodes.primaries

    @property
    def candidates(self) -> Collection[Address]:
        """The addresses of all nodes: each of them may have a subscription in force."""
        return self._nodes.members

    def owner(self, slot: int) -> Address | None:
        """Find the node that is chosen for a slot: its primary where no replica is able."""
        nodes, present = self._nodes, self._chosen.get(slot)
        owner = nodes.owner(slot)
        if present is not None and present in nodes.readers(slot, or_primary=True):
            return present
        found = nodes.choose(nodes.readers(slot, or_primary=self._or_primary)) or owner
        if found is not None:
            self._chosen[slot] = found
        return found

    def moved(self, error: MovedError, told_by: Address) -> Address | None:
        """Follow a ``MOVED`` that a node has told; None where its address may not be followed."""
        return self._nodes.moved(error, told_by)

    @property
    def asked_at(self) -> float:
        """When the present topology was asked for, in seconds."""
        return self._nodes.asked_at

    def want(self, slot: int, *, prefer: Address | None = None) -> None:
        """Ask for the topology, as ``SlotOwners.want``."""
        self._nodes.want(slot, prefer=prefer)

    def serve(self, slot: int) -> None:
        """Note that a slot is served."""
        self._nodes.serve(slot)

    def watch(self, link: Link) -> None:
        """Suspect the node of a link when it does not answer, and have the other nodes asked."""
        self._nodes.watch(link)

    def remove(self, link: Link) -> None:
        """Close a link for good."""
        self._nodes.remove(link)


def places(nodes: SlotOwners, read_from: str) -> SlotPlaces:
    """Find where shard channels are subscribed to: at the primaries of their slots, or at replicas."""
    return nodes if read_from == "primary" else ReplicaOwners(nodes, or_primary=read_from == "any")
