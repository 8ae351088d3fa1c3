"""The nodes of a topology as the application sees them, and a tour of all primaries, to scan all keys of a cluster."""

from __future__ import annotations

from collections.abc import Callable

from ..requests.nodes import ServerNode, Tour
from ..topology_events import KeysMoved
from .topology import Topology, compare


def nodes_of(topology: Topology | None) -> list[ServerNode]:
    """List the nodes of a topology: the primaries in the order of their slots, each before its replicas."""
    if topology is None:
        return []
    nodes: list[ServerNode] = []
    for primary in topology.primaries:
        nodes.append(ServerNode(primary.id, primary.address, "primary"))
        replicas = topology.replicas.get(primary.id, ())
        nodes += [ServerNode(node.id, node.address, "replica", primary.id) for node in replicas]
    return nodes


class ClusterTour(Tour):
    """A tour of the primaries in the order of their slots, those that join meanwhile as well.

    ``finish`` tells by ``emit`` which slots have got another owner meanwhile.
    """

    def __init__(self, now: Callable[[], Topology | None], emit: Callable[[KeysMoved], None]) -> None:
        super().__init__(())
        self._now = now
        self._emit = emit
        self._began = now()
        self._visited: set[str] = set()

    def next(self) -> ServerNode | None:
        """Go to a primary that was not visited; None when all were."""
        for node in nodes_of(self._now()):
            if node.role == "primary" and node.id not in self._visited:
                self._visited.add(node.id)
                return node
        return None

    def has_left(self, node: ServerNode) -> bool:
        """Whether a node is no primary any more: other primaries have its keys."""
        return all(node.id != other.id or other.role != "primary" for other in nodes_of(self._now()))

    def finish(self) -> None:
        """Emit ``KeysMoved`` where slots have got another owner since the tour began."""
        ended = self._now()
        moved = compare(self._began, ended).moved if self._began is not None and ended is not None else ()
        if moved:
            self._emit(KeysMoved(moved))
