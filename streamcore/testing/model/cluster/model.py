"""A model of a whole cluster: nodes that share slots, move them, fail over, are parted and joined again. Tests hold it by its methods.

    cluster = ModelCluster(primaries=3, replicas=1)
    owner = cluster.owner(b"{orders}:1")
    session = owner.connect(now)                     # as with a server alone
    move = cluster.begin_move(slot, to=other)        # ASK; then move.move_keys(1), move.finish()
    cluster.failover(cluster.replica_of(owner))
    cluster.handle_timeout(now)                      # gossip that has arrived, silence that is noticed, all nodes' timers

Each node has its own view, and gossip brings them together: at once, after ``gossip_delay(source, target)`` seconds, or, where that
is None, by ``gossip(source, target)`` only. What happens to a node may give sessions of others bytes to send: ``take_changed()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha1
from typing import Literal

from streamcore.commands.cluster import SLOTS, key_slot

from ..keyspace import DATABASES
from ..session import Session
from ..versions import VALKEY9, Flavour
from .bus import Bus, Delay
from .moves import SlotMove, move_at_once
from .node import Node
from .view import Member


def at_once(_source: Node, _target: Node) -> float:
    """Gossip that takes no time."""
    return 0.0


class ModelCluster:
    """A cluster of model servers. ``nodes``: the primaries, then the replicas; nodes that joined come last.

    * ``replicas``: of each primary.
    * ``gossip_delay``: after how many seconds a node hears of a change at another; None: never by itself.
    * ``node_timeout``: the silence in seconds after which a node suspects another.
    * ``election_delay``: the seconds that a replica waits before it replaces a failed primary; None: it never does by itself.
    * ``host``, ``base_port``: the address of the first node; the next nodes have the next ports.
    """

    def __init__(
        self,
        primaries: int = 3,
        replicas: int = 1,
        flavour: Flavour = VALKEY9,
        *,
        now: float = 0.0,
        gossip_delay: Delay = at_once,
        node_timeout: float = 1.0,
        election_delay: float | None = None,
        host: str = "127.0.0.1",
        base_port: int = 7000,
        entropy: Callable[[int], bytes] = bytes,
    ) -> None:
        self.flavour = flavour
        self.bus = Bus(now, gossip_delay, node_timeout=node_timeout, election_delay=election_delay)
        self._host = host.encode()
        self._port = base_port
        self._entropy = entropy
        self._born = 0
        self.nodes = [self._make() for _ in range(primaries * (1 + replicas))]
        self._found(primaries, replicas)

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The time of the last input, in seconds."""
        return self.bus.now

    def at(self, host: str | bytes, port: int) -> Node | None:
        """The node that runs at an address, by its IP or its announced name; None where none does."""
        name = host if isinstance(host, bytes) else host.encode()
        for node in self.nodes:
            me = node.view.myself
            if node.is_up and me.port == port and name in (me.host, me.hostname):
                return node
        return None

    def owner(self, slot_or_key: int | bytes | str) -> Node:
        """The node that runs and owns a slot by its own view; of several, that of the highest epoch.

        Raises ``LookupError`` where none does.
        """
        slot = slot_or_key if isinstance(slot_or_key, int) else key_slot(slot_or_key)
        found = [one for one in self.nodes if one.is_up and one.view.owners[slot] == one.id]
        if not found:
            raise LookupError(f"no node has slot {slot}")
        return max(found, key=lambda one: one.view.myself.epoch)

    def replica_of(self, primary: Node) -> Node:
        """The first replica of a node that runs. Raises ``LookupError`` where there is none."""
        for node in self.nodes:
            if node.is_up and node.view.myself.primary == primary.id:
                return node
        raise LookupError(f"{primary} has no replica that runs")

    def primaries(self) -> list[Node]:
        """The nodes that run and take themselves for primaries."""
        return [one for one in self.nodes if one.is_up and one.view.myself.primary is None]

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When ``handle_timeout`` is due, in seconds."""
        due = [self.bus.next_timeout(), *(node.next_timeout() for node in self.nodes)]
        return min((at for at in due if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do all that is due at ``now``, in seconds: gossip, elections, and the timers of all nodes that run."""
        self.bus.run(now)
        for node in self.nodes:
            node.handle_timeout(now)

    def take_changed(self) -> list[Session]:
        """The sessions of all nodes that got bytes to send, or have ended, since the last call."""
        return [session for node in self.nodes for session in node.take_changed()]

    def gossip(self, source: Node, target: Node) -> None:
        """Bring a node's header to another node now."""
        self.bus.gossip(source, target)

    def gossip_all(self) -> None:
        """Let every node tell every other node of itself, so that all views agree."""
        for _ in range(2):
            for source in list(self.nodes):
                for target in list(self.nodes):
                    if source is not target:
                        self.bus.gossip(source, target)

    # -- slots --------------------------------------------------------------------------------------------------------

    def move_slot(self, slot: int, to: Node, how: Literal["classic", "atomic"] = "classic") -> None:
        """Move a slot with its keys to another primary."""
        if how == "classic":
            move = self.begin_move(slot, to)
            move.finish()
        else:
            move_at_once([slot], self.owner(slot), to, self.bus.gossip)

    def begin_move(self, slot: int, to: Node) -> SlotMove:
        """Begin a classic move: the source answers ASK for keys that it does not have, until ``finish()``."""
        move = SlotMove(slot, self.owner(slot), to, self.nodes)
        move.begin()
        return move

    def uncover(self, slot: int) -> None:
        """Take a slot away from its owner in all views (``CLUSTER DELSLOTS``), which keeps its keys."""
        for node in self.nodes:
            node.view.assign([slot], None)
            node.settle(self.now)

    def cover(self, slot: int, owner: Node) -> None:
        """Give a slot that no node has to a primary."""
        owner.view.bump()
        owner.view.assign([slot], owner.id)
        owner.settle(self.now)
        self.bus.announce(owner.id)

    # -- failures -----------------------------------------------------------------------------------------------------

    def set_lag(self, replica: Node, seconds: float) -> None:
        """Let a replica repeat writes so much later; ``inf``: not at all."""
        replica.lag = seconds
        replica.take_role()

    def failover(self, replica: Node, *, lost: int = 0) -> int:
        """Let a replica take its primary's place, which follows it where it runs; return how many writes are lost.

        The last ``lost`` writes of the primary are lost, and none before; for a loss the replica has to be late
        (``set_lag``). Raises ``ValueError`` where it has repeated them already.
        """
        primary = self.bus.nodes[replica.view.myself.primary or b""]
        end = primary.journal.end - lost
        if end < (replica.replication.position or 0):
            raise ValueError(
                f"the replica has repeated all but {primary.journal.end - (replica.replication.position or 0)} writes"
            )
        replica.replication.repeat(primary.journal.boundary(end))
        replica.view.claim(primary.id)
        replica.settle(self.now)
        self.bus.gossip(replica, primary)
        self.bus.demoted(primary.id)
        self.bus.announce(replica.id)
        return replica.lost

    def crash(self, node: Node) -> None:
        """Kill a node's process: its connections end, and it is reached by no node."""
        node.is_up = False
        for session in list(node.sessions.values()):
            session.lost()
        self.bus.look()

    def restart(self, node: Node, *, empty: bool = False, forgets: bool = False) -> Node:
        """Start a node again that has crashed, and return it: with its data, or ``empty``.

        ``forgets``: it has lost its identity as well, and is a new node at the old address, which knows no other.
        """
        if forgets:
            place = self.nodes.index(node)
            del self.bus.nodes[node.id]
            made = self._make(node.view.myself.port)
            made.begin()
            self.nodes[place] = made
            self.bus.look()
            return made
        node.is_up = True
        node.begin_anew()
        if empty:
            node.restore([({}, {}) for _ in range(DATABASES)])
        self.bus.look()
        return node

    def pause(self, node: Node) -> None:
        """Let a node stand still (SIGSTOP): its connections stay open, and nothing is answered."""
        node.is_paused = True
        self.bus.look()

    def resume(self, node: Node) -> None:
        """Let a paused node go on (SIGCONT): with the commands that have come meanwhile, by its old view; then with the gossip."""
        node.resume(self.now)
        self.bus.look()
        self.bus.catch_up(node)

    def partition(self, nodes: Iterable[Node]) -> None:
        """Part these nodes from the others; their clients reach all of them."""
        self.bus.part(nodes)

    def heal(self) -> None:
        """End the partition; gossip begins anew."""
        self.bus.part(())

    # -- nodes that join and leave ------------------------------------------------------------------------------------

    def join(self, *, replica_of: Node | None = None) -> Node:
        """Let a node join, without slots: a primary, or a replica with the data of its primary."""
        node = self._make()
        self.nodes.append(node)
        for other in self.nodes[:-1]:
            node.view.learn(other.view.header(), drops=False)
        if replica_of is not None:
            node.view.follow(replica_of.id)
        node.begin()
        self.bus.announce(node.id)
        self.bus.look()
        return node

    def leave(self, node: Node) -> None:
        """Let a node without slots end, and be forgotten by all (``CLUSTER FORGET``)."""
        self.crash(node)
        self.nodes.remove(node)
        for other in self.nodes:
            other.view.remove(node.id)
            other.settle(self.now)
        del self.bus.nodes[node.id]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _make(self, port: int | None = None) -> Node:
        self._born += 1
        if port is None:
            port, self._port = self._port, self._port + 1
        id_ = sha1(b"node %d at %b:%d" % (self._born, self._host, port), usedforsecurity=False).hexdigest().encode()
        node = Node(self.bus, self.flavour, Member(id_, self._host, port), now=self.bus.now, entropy=self._entropy)
        self.bus.nodes[id_] = node
        return node

    def _found(self, primaries: int, replicas: int) -> None:
        """Begin with slots in equal parts, an epoch for each primary, and views that agree."""
        edges = [SLOTS * number // primaries for number in range(primaries + 1)]
        first = self.nodes[0].view
        for number, node in enumerate(self.nodes):
            if number < primaries:
                first.assign(range(*edges[number : number + 2]), node.id)
                node.view.myself.epoch = number + 1
            else:
                node.view.myself.primary = self.nodes[(number - primaries) // replicas].id
        first.current_epoch = primaries
        headers = [node.view.header() for node in self.nodes]
        for node in self.nodes:
            node.view.copy_slots(first)
            for header in headers:
                node.view.learn(header, drops=False)
        for node in self.nodes:
            node.begin()
