"""How the nodes of an embedded cluster see it: each has a view of its own, and they agree only after a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from streamcore.commands import NodeInfo

from .node import EmbeddedNode

View: TypeAlias = Mapping[str, NodeInfo]
"""The nodes that a node knows, by their ids."""

SLOTS: Final = 16_384
FAULTS: Final = frozenset({"fail", "fail?", "noaddr"})


class Views(dict[EmbeddedNode, View]):
    """The views of all nodes that can answer."""

    def __init__(self, up: Iterable[EmbeddedNode]) -> None:
        super().__init__({node: node.known() for node in up})

    def own(self, node: EmbeddedNode) -> NodeInfo:
        """A node in its own view."""
        return self[node][node.id]

    def agree(self, condition: Callable[[View], bool] = lambda _view: True) -> bool:
        """Whether all nodes know the slots and the roles of all nodes that can answer, as ``condition`` wants them.

        Slots that a node imports do not count: Redis does not let that node hear of a new owner. What a node has lost to no other
        node, others do not hear of either.
        """
        imported = {slot for node in self for slot in self.own(node).importing}
        return (
            self.agree_about_roles()
            and all(_knows(view, self.own(node), imported) for view in self.values() for node in self)
            and all(condition(view) for view in self.values())
        )

    def owners(self) -> dict[int, EmbeddedNode]:
        """The nodes that can answer, each by the slots that it says are its own."""
        return {slot: node for node in self for slot in slots_of(self.own(node))}

    def agree_about_roles(self) -> bool:
        """Whether all nodes see the same roles, of nodes that can answer."""
        return _are_equal({node.id: view[node.id].primary for node in self} for view in self.values())

    def agree_about_addresses(self) -> bool:
        """Whether all nodes see the same addresses and names, of nodes that can answer."""
        return _are_equal(
            {node.id: (view[node.id].host, view[node.id].port, view[node.id].hostname) for node in self}
            for view in self.values()
        )

    def are_acquainted(self, members: Iterable[str]) -> bool:
        """Whether each knows all others, finds no fault with them, and knows no nodes but members, which are named by ids."""
        ids, known = {node.id for node in self}, set(members)
        return all(
            ids <= {id_ for id_, node in view.items() if "handshake" not in node.flags} <= known
            and not any(FAULTS & view[id_].flags for id_ in ids)
            for view in self.values()
        )

    def have_met(self) -> bool:
        """Whether no node is in the middle of meeting another."""
        return not any("handshake" in node.flags for view in self.values() for node in view.values())

    def replicas_in_use(self) -> set[str]:
        """The ids of the replicas that can answer, and whose primaries have slots."""
        primaries = {node.id: self.own(node).primary for node in self}
        return {id_ for view in self.values() for id_, primary in primaries.items() if primary and view[primary].slots}


def holder(view: View, slot: int) -> str | None:
    """The id of the node that has a slot; None where none has it."""
    for node in view.values():
        if any(first <= slot <= last for first, last in node.slots):
            return node.id
    return None


def slots_of(node: NodeInfo) -> list[int]:
    """The slots that a node has."""
    return [slot for first, last in node.slots for slot in range(first, last + 1)]


def _knows(view: View, node: NodeInfo, imported: set[int]) -> bool:
    known = view[node.id]
    return known.slots == node.slots or set(slots_of(node)) - imported <= set(slots_of(known))


def _are_equal(values: Iterable[object]) -> bool:
    first, *others = values
    return all(other == first for other in others)
