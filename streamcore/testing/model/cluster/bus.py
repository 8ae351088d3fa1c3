"""The bus of a cluster: who reaches whom, the gossip that is on its way, and how nodes notice that others have failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from heapq import heappop, heappush
from typing import Final

from ..commands.pubsub import send
from ..server import Server
from .node import Node
from .view import Header

Delay = Callable[[Node, Node], float | None]
"""After how many seconds gossip of a node reaches another; None: only when a test says so."""


RELINKING: Final = 0.2
"""Seconds for which a primary that has become a replica passes no message on: its connections to other nodes are made anew."""

REJOINING: Final = (0.5, 5.0)
"""Seconds for which a primary that reaches the majority again refuses keys still, at least and at most; between, the node timeout."""


class Bus:
    """Joins nodes. ``node_timeout``: after how many seconds of silence a node suspects another.

    ``election_delay``: after how many seconds more a replica takes the place of a primary that has failed; None: never by itself.
    """

    def __init__(self, now: float, delay: Delay, *, node_timeout: float, election_delay: float | None) -> None:
        self.now = now
        self.nodes: dict[bytes, Node] = {}
        self._delay = delay
        self._node_timeout = node_timeout
        self._election_delay = election_delay
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._is_busy = False
        self._replaced: set[bytes] = set()  # failed primaries, in whose places a replica was elected
        self._relinked: dict[bytes, float] = {}  # when a former primary has its connections again
        self._rejoined: dict[bytes, float] = {}  # when a primary that was cut off has reached the majority again
        self._apart: frozenset[bytes] = frozenset()
        self._silent: dict[tuple[bytes, bytes], float] = {}  # since when a node does not hear of another

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When the next message arrives, or the next silence is noticed, in seconds."""
        return self._due[0][0] if self._due else None

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Act in so many seconds."""
        self._number += 1
        heappush(self._due, (self.now + seconds, self._number, action))

    def run(self, now: float) -> None:
        """Act on all that is due at ``now``, in seconds."""
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._due and self._due[0][0] <= now:
                at, _, action = heappop(self._due)
                self.now = max(self.now, at)
                action()
        finally:
            self._is_busy = False
        self.now = max(self.now, now)

    # -- as nodes use it ----------------------------------------------------------------------------------------------

    def find(self, id_: bytes) -> Server | None:
        """The server of a node; None where no node of the cluster has this id."""
        return self.nodes.get(id_)

    def reaches(self, one: bytes, other: bytes) -> bool:
        """Whether messages of a node reach another: both run, and no partition is between them."""
        ends = self.nodes.get(one), self.nodes.get(other)
        runs = all(end is not None and end.is_up and not end.is_paused for end in ends)
        return runs and (one in self._apart) is (other in self._apart)

    def announce(self, id_: bytes) -> None:
        """Send gossip of a node to all others."""
        node = self.nodes[id_]
        self.now = max(self.now, node.now)
        for other in self.nodes.values():
            if other is not node and (delay := self._delay(node, other)) is not None:
                self.after(delay, partial(self.gossip, node, other))
        self.run(self.now)

    def publish(self, id_: bytes, channel: bytes, message: bytes, *, is_sharded: bool) -> None:
        """Bring a message to the other nodes that are reached; of a shard channel, to the nodes of the shard."""
        node = self.nodes[id_]
        if self._relinked.get(id_, self.now) > self.now:
            return
        shard = {one.id for one in node.view.shard(node.view.primary)}
        for other in self.nodes.values():
            if other is not node and self.reaches(id_, other.id) and other.id in node.view.members:
                if not is_sharded:
                    send(other.hand, channel, message)
                elif other.id in shard:
                    send_to_shard(other, channel, message)

    def demoted(self, id_: bytes) -> None:
        """End the connections of a primary that has become a replica."""
        self._relinked[id_] = self.now + RELINKING

    # -- gossip -------------------------------------------------------------------------------------------------------

    def gossip(self, source: Node, target: Node) -> None:
        """Bring a node's header to another node now; an outdated claim is answered by the owner's header, if that has a newer epoch."""
        if not self.reaches(source.id, target.id):
            return
        right = target.view.learn(source.view.header(), drops=not target.flavour.modern)
        target.settle(self.now)
        if target.view.is_cut_off:
            self._judge(target)
        for owner in sorted(right):
            view, known = target.view, source.view.members.get(owner)
            if known is not None and known.epoch >= view.members[owner].epoch:
                continue  # what the target knows of its slots may be older than what the source does
            told = Header(view.members[owner], view.current_epoch, frozenset(view.slots_of(owner)), ())
            source.view.learn(told, drops=not source.flavour.modern)
        if right:
            source.settle(self.now)

    def catch_up(self, node: Node) -> None:
        """Bring a node that stood still the gossip that waits at its sockets."""
        for other in list(self.nodes.values()):
            if other is not node and self._delay(other, node) is not None:
                self.gossip(other, node)

    # -- failures -----------------------------------------------------------------------------------------------------

    def part(self, nodes: Iterable[Node]) -> None:
        """Part these nodes from the others; none: all are joined again."""
        self._apart = frozenset(node.id for node in nodes)
        self.look()

    def look(self) -> None:
        """Note who is not heard of any more, and who is again, after a change of the network or of nodes."""
        for node in list(self.nodes.values()):
            for other in list(self.nodes.values()):
                if node is not other and node.is_up and not node.is_paused:
                    self._look(node, other)
        for node in list(self.nodes.values()):
            if node.is_up and not node.is_paused:
                node.take_role()
        self.run(self.now)

    def _look(self, node: Node, other: Node) -> None:
        pair = (node.id, other.id)
        if not self.reaches(*pair):
            if pair not in self._silent:
                self._silent[pair] = self.now
                self.after(self._node_timeout, partial(self._suspect, node, other, self.now))
        elif self._silent.pop(pair, None) is not None:
            member = node.view.members.get(other.id)
            if member is not None:
                member.is_suspected = member.is_failed = False
            self._replaced.discard(other.id)
            self._judge(node)
            if (delay := self._delay(other, node)) is not None:
                self.after(delay, partial(self.gossip, other, node))

    def _suspect(self, node: Node, other: Node, since: float) -> None:
        member = node.view.members.get(other.id)
        if self._silent.get((node.id, other.id)) != since or member is None or not node.is_up or node.is_paused:
            return
        member.is_suspected = True
        self._judge(node)
        voters = [self.nodes[one.id] for one in node.view.voters() if one.id in self.nodes]
        against = [one for one in voters if one.is_up and (one is node or self.reaches(node.id, one.id))]
        against = [one for one in against if other.id in one.view.members and one.view.members[other.id].is_suspected]
        if 2 * len(against) > len(node.view.voters()):
            self._fail(node, other)

    def _judge(self, node: Node) -> None:
        """Whether the node hears of a majority of the primaries; a primary that does so again waits for news of its slots first."""
        view, voters = node.view, node.view.voters()
        if 2 * sum(not one.is_suspected for one in voters) <= len(voters):
            view.is_cut_off = True
            self._rejoined.pop(node.id, None)
        elif view.myself.primary is not None:
            view.is_cut_off = False
            self._rejoined.pop(node.id, None)
        elif view.is_cut_off and node.id not in self._rejoined:
            self._rejoined[node.id] = self.now
            least, most = REJOINING
            self.after(min(max(self._node_timeout, least), most), partial(self._serve, node, self.now))
        node.settle(self.now)

    def _serve(self, node: Node, since: float) -> None:
        if self._rejoined.get(node.id) == since:
            del self._rejoined[node.id]
            node.view.is_cut_off = False
            node.settle(self.now)

    def _fail(self, node: Node, other: Node) -> None:
        """The majority has agreed that a node has failed: all that are reached hear it."""
        for one in list(self.nodes.values()):
            member = one.view.members.get(other.id)
            if member is None or member.is_failed or not (one is node or self.reaches(node.id, one.id)):
                continue
            member.is_suspected = member.is_failed = True
            one.settle(self.now)
            if one.view.myself.primary == other.id and self._election_delay is not None:
                self.after(self._election_delay, partial(self._elect, other.id))

    def _elect(self, primary: bytes) -> None:
        """Elect the replica of a failed primary that has repeated most of its writes."""
        if primary in self._replaced:
            return
        found = [one for one in self.nodes.values() if one.is_up and not one.is_paused]
        found = [one for one in found if one.view.myself.primary == primary and not one.view.is_cut_off]
        found = [one for one in found if one.view.members[primary].is_failed]
        if found:
            self._replaced.add(primary)
            self.promote(max(found, key=lambda one: one.replication.position or 0))

    def promote(self, replica: Node) -> None:
        """Let a replica take the place of its primary, with its slots and a new epoch."""
        primary = replica.view.myself.primary
        assert primary is not None, "only a replica takes a primary's place"
        replica.view.claim(primary)
        replica.settle(self.now)
        self.announce(replica.id)


def send_to_shard(node: Node, channel: bytes, message: bytes) -> None:
    """Push a message of a shard channel to the node's subscribers."""
    for session in list(node.sessions.values()):
        if channel in session.shards:
            session.push(b"smessage", channel, message)
