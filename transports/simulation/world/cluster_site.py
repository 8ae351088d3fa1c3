"""The machines of a cluster: a host for each node of a model cluster, and the history that survives on them.

What reaches a node may give clients of other nodes something to hear, so all of them are flushed. The history of a key is that of
the node that owns its slot by the highest epoch, whether it runs or not, or of the node that the key has gone to before its slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from streamcore.commands.cluster import SLOTS
from streamcore.testing.model.cluster.keys import slot_of
from streamcore.testing.model.cluster.node import Node

from .server_host import Host

if TYPE_CHECKING:
    from streamcore.testing.model import Session
    from streamcore.testing.model.cluster import ModelCluster, SlotMove
    from streamcore.testing.model.values import Value

    from .driver import World
    from .network import Wire

UNBOUNDED = 32 << 20


class NodeHost(Host):
    """Runs a node of a cluster."""

    def __init__(self, site: ClusterSite, node: Node) -> None:
        self._site = site
        super().__init__(site.world, node, name=f"node {node.view.myself.port}")

    @property
    def node(self) -> Node:
        """The node that runs here."""
        return cast("Node", self.server)

    @property
    def is_well(self) -> bool:
        """Whether it runs, and does not stand still."""
        return self.is_up and not self.paused

    def flush(self) -> None:
        self._site.flush(self)

    def flush_own(self) -> None:
        """Send what this node has to send."""
        super().flush()


class ClusterSite:
    """The hosts of all nodes. ``moves``: the slots that are on their way; ``busy``: the primaries of shards that a fault has hit, with their heirs."""

    def __init__(self, world: World, cluster: ModelCluster) -> None:
        self._world = world
        self.cluster = cluster
        self.hosts: dict[Node, NodeHost] = {}
        self.moves: dict[int, SlotMove] = {}
        self.busy: dict[Node, Node] = {}  # a primary that was not replaced is its own heir
        self._told: Callable[[Session, list[bytes]], None] | None = None
        self._parted = frozenset[Node]()
        self._parted_at = 0.0
        self._last: dict[int, Node] = {}  # who has owned a slot last
        self._limit = UNBOUNDED
        self._armed: float | None = None
        for node in cluster.nodes:
            self.add(node)

    @property
    def world(self) -> World:
        """The world of the machines."""
        return self._world

    # -- machines -----------------------------------------------------------------------------------------------------

    def add(self, node: Node) -> NodeHost:
        """Give a node a machine."""
        host = self.hosts[node] = NodeHost(self, node)
        me = node.view.myself
        self._world.hosts[f"{me.host.decode()}:{me.port}"] = host
        node.on_command, node.output_limit = self._told, self._limit
        return host

    def remove(self, node: Node) -> None:
        """Take the machine of a node away."""
        host = self.hosts.pop(node)
        host.stop()
        me = node.view.myself
        del self._world.hosts[f"{me.host.decode()}:{me.port}"]

    def flush(self, source: NodeHost) -> None:
        """Send what a node has to send, and the others because of it."""
        for host in list(self.hosts.values()):
            node = host.server
            if host is source or node.changed or node.replication.primary is source.server:
                host.flush_own()
        self._arm()

    def flush_all(self) -> None:
        """Send what any node has to send."""
        for host in list(self.hosts.values()):
            host.flush_own()
        self._arm()

    def tell_time(self) -> None:
        """Let everything happen in the cluster that is due."""
        self.cluster.handle_timeout(self._world.now)

    def _arm(self) -> None:
        due = self.cluster.bus.next_timeout()
        if due is not None and (self._armed is None or due < self._armed):
            self._armed = due
            self._world.at(due, self._elapse)

    def _elapse(self) -> None:
        self._armed = None
        self.cluster.bus.run(self._world.now)
        self.flush_all()

    def kill(self, node: Node) -> None:
        """End the process of a node."""
        self.spread(node)
        self.hosts[node].stop()
        self.cluster.crash(node)
        self.flush_all()

    def restart(self, node: Node, *, empty: bool = False) -> None:
        """Start the process of a node that was killed; it serves clients when it has heard of the others, as servers wait for that."""
        self.cluster.restart(node, empty=empty)
        self.spread(node)
        self.agree(node)
        self.hosts[node].start(node)
        self.flush_all()

    def pause(self, node: Node) -> None:
        """Stop a node (SIGSTOP)."""
        self.tell_time()
        self.spread(node)
        self.hosts[node].pause()
        self.cluster.pause(node)
        self.flush_all()

    def resume(self, node: Node, told: Callable[[], None]) -> None:
        """Let a node go on (SIGCONT): first with the commands that have come meanwhile, by its old view; ``told`` behind these.

        Then it reads what other nodes have sent meanwhile, which waits in its sockets as well.
        """
        host = self.hosts[node]
        if host.paused:
            node.resume(self._world.now)
            host.resume()
            told()
            self.cluster.resume(node)
            self.agree(node)
            self.flush_all()

    def part(self, *nodes: Node) -> None:
        """Part nodes from the others; none: they are joined again."""
        self.tell_time()
        for node in nodes:
            self.spread(node)
        self._parted, self._parted_at = frozenset(nodes), self._world.now
        self.cluster.partition(nodes)
        self.flush_all()

    @property
    def is_parted(self) -> bool:
        """Whether nodes are parted from the others."""
        return bool(self._parted)

    def out_of_reach(self, key: bytes, *, within: float) -> frozenset[str]:
        """The addresses of nodes that a partition has parted from the node of a key, less than ``within`` seconds ago."""
        if not self._parted or self._world.now > self._parted_at + within:
            return frozenset()
        is_parted = self.holder(key) in self._parted
        found = [node.view.myself for node in self.hosts if (node in self._parted) is not is_parted]
        return frozenset(f"{me.host.decode()}:{me.port}" for me in found)

    def wire(self, session: Session) -> Wire | None:
        """The connection of a session."""
        return next((host.wires[session] for host in self.hosts.values() if session in host.wires), None)

    def spread(self, node: Node) -> None:
        """Let all others hear of a node now: what it has said before it fails arrives; where that is outdated it is told so."""
        for other in list(self.hosts):
            if other is not node:
                self.cluster.gossip(node, other)

    def agree(self, *nodes: Node) -> None:
        """Let some nodes hear of all others now: an operator, and a majority, change nothing where views differ."""
        for node in nodes:
            for other in list(self.hosts):
                if other is not node:
                    self.cluster.gossip(other, node)

    def repair(self) -> None:
        """Have all nodes agree on the owners of slots, as an operator does where gossip has left a slot to none."""
        owned: dict[bytes, set[int]] = {}
        left = set(range(SLOTS))
        for node in sorted(self.hosts, key=_epoch, reverse=True):
            if node.view.myself.primary is None:
                owned[node.id] = node.view.slots_of(node.id) & left
                left -= owned[node.id]
        for slot in left:
            if (owner := self.owner(slot)) is not None:
                owned[owner.id].add(slot)
        for node in self.hosts:
            for id_, slots in owned.items():
                if missing := slots - node.view.slots_of(id_):
                    node.view.assign(missing, id_)
            node.settle(self._world.now)

    # -- the data -----------------------------------------------------------------------------------------------------

    def owner(self, slot: int) -> Node | None:
        """The node that owns a slot, whether it runs or not; None where none does."""
        found = [node for node in self.hosts if node.view.owners[slot] == node.id and node.view.myself.primary is None]
        owner = max(found, key=_epoch, default=None) or self._heir(self._last.get(slot))
        if owner is not None:
            self._last[slot] = owner
        return owner

    def _heir(self, node: Node | None) -> Node | None:
        """Follow a former owner to the primary that it follows; None where it has left."""
        while node is not None and node.view.myself.primary is not None:
            node = self.cluster.bus.nodes.get(node.view.myself.primary)
        return node if node in self.hosts else None

    def holder(self, key: bytes) -> Node | None:
        """The node that has a key, or would have it."""
        slot = slot_of(key)
        move = self.moves.get(slot)
        if move is not None and key in move.target.databases[0].values:
            return move.target
        return self.owner(slot)

    def values(self) -> Mapping[bytes, Value]:
        """The values of all keys."""
        found = {key: self.value(key) for node in self.hosts for key in node.databases[0].values}
        return {key: value for key, value in found.items() if value is not None}

    def value(self, key: bytes) -> Value | None:
        """The value of a key; None where it is not there."""
        node = self.holder(key)
        return None if node is None else node.databases[0].values.get(key)

    def takes(self, key: bytes) -> bool:
        """Whether a key can be written: its node runs, and reaches the majority."""
        node = self.owner(slot_of(key))
        return (
            node is not None and self.hosts[node].is_well and not node.view.is_down and slot_of(key) not in self.moves
        )

    def do(self, *words: bytes) -> None:
        """An operator has the node of a key run a command; no fault befalls it."""
        node = self.holder(words[1])
        if node is not None:
            self.hosts[node].do(*words)

    def limit_output(self, size: int) -> None:
        """Bound the bytes that a node keeps for a client that does not read."""
        self._limit = size
        for node in self.hosts:
            node.output_limit = size

    def observe(self, told: Callable[[Session, list[bytes]], None]) -> None:
        """Call a function with each command that a node is about to run for a client."""
        self._told = told
        for node in self.hosts:
            node.on_command = told


def _epoch(node: Node) -> int:
    return node.view.myself.epoch
