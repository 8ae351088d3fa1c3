"""The topology of a cluster: which node serves each slot, as a frozen value.

``read`` makes it of the answer to ``CLUSTER SLOTS``, the view of the node that was asked. An answer may lack slots, which nobody
serves now: ``fill`` keeps their former owners, since a slot that is served by nobody comes back to one of them or is told by a
redirect. ``compare`` tells what has changed between two topologies. Engines in different threads share topologies, so none of
them is ever changed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from itertools import groupby
from typing import Final, NamedTuple

from ..commands.cluster import SLOTS, SlotNode, SlotRange
from ..frozen import frozen
from ..options import Address
from ..topology_events import Ranges

NOBODY: Final = 0xFFFF
"""The place of the owner of a slot that no node serves."""


@frozen
class Node:
    """A node: its ``id`` is its identity, ``address`` where it is dialled. ``primary``: the id of a replica's primary."""

    id: str
    address: Address
    primary: str | None = None


@frozen
class Topology:
    """The owner of each slot. ``asked_of``: the node that told, ``asked_at``: when, in seconds."""

    asked_of: Address
    asked_at: float
    primaries: tuple[Node, ...]
    replicas: Mapping[str, tuple[Node, ...]]
    """By the id of their primary."""
    table: array[int] = field(repr=False)
    """For each slot the place of its owner among the primaries, or ``NOBODY``."""
    uncovered: Ranges = ()
    """The slots that no node serves: the table has their former owners, where they are known."""

    def owner(self, slot: int) -> Node | None:
        """Find the primary of a slot; None where no node serves it."""
        place = self.table[slot]
        return None if place == NOBODY else self.primaries[place]

    def readers(self, slot: int) -> Sequence[Node]:
        """Find the replicas of a slot's primary."""
        owner = self.owner(slot)
        return () if owner is None else self.replicas.get(owner.id, ())

    @property
    def nodes(self) -> dict[str, Node]:
        """All nodes, by id."""
        everyone = [*self.primaries, *(node for each in self.replicas.values() for node in each)]
        return {node.id: node for node in everyone}


class Difference(NamedTuple):
    """A change: the addresses where nodes are reached now, and no more, and the slots with another owner."""

    joined: tuple[str, ...]
    left: tuple[str, ...]
    moved: Ranges

    def __bool__(self) -> bool:
        return bool(self.joined or self.left or self.moved)


def read(
    answer: Sequence[SlotRange], asked_of: Address, asked_at: float, address_of: Callable[[SlotNode], Address | None]
) -> Topology:
    """Make a topology of the answer to ``CLUSTER SLOTS``; slots of a node without an address have no owner."""
    primaries: dict[str, Node] = {}
    replicas: dict[str, dict[str, Node]] = {}
    places: dict[str, int] = {}
    table = array("H", [NOBODY]) * SLOTS
    for each in answer:
        address = address_of(each.primary)
        if address is None:
            continue
        owner = each.primary.id
        primaries.setdefault(owner, Node(owner, address))
        place = places.setdefault(owner, len(places))
        table[each.start : each.end + 1] = array("H", [place]) * (each.end + 1 - each.start)
        for replica in each.replicas:
            if (reached := address_of(replica)) is not None:
                replicas.setdefault(owner, {})[replica.id] = Node(replica.id, reached, owner)
    served = {id_: (*own.values(),) for id_, own in replicas.items()}
    return Topology(asked_of, asked_at, (*primaries.values(),), served, table, _uncovered(table))


def fill(new: Topology, old: Topology) -> Topology:
    """Let slots that the new topology lacks keep their former owners."""
    if NOBODY not in new.table:
        return new
    missing = [slot for slot, place in enumerate(new.table) if place == NOBODY and old.table[slot] != NOBODY]
    if not missing:
        return new
    primaries = {node.id: node for node in new.primaries}
    replicas, table = dict(new.replicas), new.table[:]
    places = {id_: place for place, id_ in enumerate(primaries)}
    for slot in missing:
        owner = old.primaries[old.table[slot]]
        primaries.setdefault(owner.id, owner)
        if owner.id in old.replicas:
            replicas.setdefault(owner.id, old.replicas[owner.id])
        table[slot] = places.setdefault(owner.id, len(places))
    return Topology(new.asked_of, new.asked_at, (*primaries.values(),), replicas, table, new.uncovered)


def compare(old: Topology, new: Topology) -> Difference:
    """Tell what has changed from one topology to another."""
    before, after = ({str(node.address) for node in one.nodes.values()} for one in (old, new))
    owners = [[node.id for node in one.primaries] for one in (old, new)]
    pairs = zip(old.table, new.table, strict=True)
    moved = (slot for slot, (was, is_) in enumerate(pairs) if _id(owners[0], was) != _id(owners[1], is_))
    return Difference((*sorted(after - before),), (*sorted(before - after),), ranges(moved))


def ranges(slots: Iterable[int]) -> Ranges:
    """Join ascending slots to ranges."""
    runs = (list(run) for _, run in groupby(enumerate(slots), lambda pair: pair[1] - pair[0]))
    return tuple([(run[0][1], run[-1][1]) for run in runs])


def _uncovered(table: array[int]) -> Ranges:
    if NOBODY not in table:
        return ()
    return ranges(slot for slot, place in enumerate(table) if place == NOBODY)


def _id(owners: Sequence[str], place: int) -> str | None:
    return None if place == NOBODY else owners[place]
