"""How the nodes of an embedded cluster see it: each has a view of its own, and they agree only after a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from streamcore.commands import NodeInfo

from .node import EmbeddedNode

View: TypeAlias = Mapping[str, NodeInfo]
"""The nodes that a node knows, by their ids."""

SLOTS: Final = 16_384
FAULTS: Final = frozenset({"fail", "fail?", "handshake", "noaddr"})


class Views(dict[EmbeddedNode, View]):
    """The views of all nodes that can answer."""

    def __init__(self, up: Iterable[EmbeddedNode]) -> None:
        super().__init__({node: node.known() for node in up})

    def agree(self, condition: Callable[[View], bool] = lambda _view: True) -> bool:
        """Whether all nodes see the same slots and, of nodes that can answer, the same roles, as ``condition`` wants them."""
        seen = [
            (
                {node.id: view[node.id].primary for node in self},
                {id_: each.slots for id_, each in view.items() if each.slots},
            )
            for view in self.values()
        ]
        return all(one == seen[0] for one in seen) and all(condition(view) for view in self.values())

    def are_acquainted(self, members: Iterable[str]) -> bool:
        """Whether each knows all others, finds no fault with them, and knows no nodes but members, which are named by ids."""
        ids, known = {node.id for node in self}, set(members)
        return all(
            ids <= view.keys() <= known and not any(FAULTS & view[id_].flags for id_ in ids) for view in self.values()
        )

    def replicas_in_use(self) -> set[str]:
        """The ids of the replicas that can answer, and whose primaries have slots."""
        primaries = {node.id: view[node.id].primary for node, view in self.items()}
        return {id_ for view in self.values() for id_, primary in primaries.items() if primary and view[primary].slots}


def holder(view: View, slot: int) -> str | None:
    """The id of the node that has a slot; None where none has it."""
    for node in view.values():
        if any(first <= slot <= last for first, last in node.slots):
            return node.id
    return None


def holders(view: View, slots: Iterable[int]) -> dict[str | None, list[int]]:
    """Sort slots by the ids of the nodes that have them."""
    table = {slot: node.id for node in view.values() for first, last in node.slots for slot in range(first, last + 1)}
    found: dict[str | None, list[int]] = {}
    for slot in slots:
        found.setdefault(table.get(slot), []).append(slot)
    return found
