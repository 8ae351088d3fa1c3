"""A model cluster, a subscriber in virtual time, and publishers who find the owner of each shard channel at once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from streamcore.cluster.cluster import Cluster
from streamcore.engine.router import MakeRouter
from streamcore.events import Event, SubscriptionGap
from streamcore.options import Address
from streamcore.pubsub import Message, PubSub
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model import Session
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.testing.model.versions import VALKEY9, Flavour
from streamcore.testing.resp import resp

SHARDS = [f"s{number}" for number in range(12)]


def router_of(cluster: ModelCluster, **options: Any) -> MakeRouter:
    """The router of engines that know all nodes of a cluster as seeds."""
    seeds = [Address(node.address[0].decode(), node.address[1]) for node in cluster.nodes]
    return Cluster(seeds, **options).router


class Town:
    """A cluster with a subscriber. ``log``: its messages and events in the order in which they were told."""

    def __init__(self, cluster: ModelCluster, engine: PubSub[bytes]) -> None:
        self.cluster = cluster
        self.engine = engine
        self.log: list[Message[bytes] | Event] = []
        engine.on_event = self.log.append
        self.net = ClusterNet(cluster, engine)
        self.sent: dict[bytes, list[int]] = {}
        self.missed = 0
        self._sessions: dict[Node, Session] = {}
        self._number = 0

    def session(self, node: Node) -> Session:
        """The session of the publishers at a node."""
        if node not in self._sessions or not self._sessions[node].is_open:
            self._sessions[node] = node.connect(self.cluster.now)
        return self._sessions[node]

    def say(self, node: Node, *words: str | bytes | int) -> bytes:
        """Run a command at a node; return its reply."""
        session = self.session(node)
        session.receive(resp([word if isinstance(word, bytes) else str(word).encode() for word in words]), 0.0)
        reply = bytes(session.data_to_send())
        session.data_sent(len(reply))
        return reply

    def publish(self) -> None:
        """Publish a message to each shard channel, at the owner of its slot, if that can answer."""
        for name in SHARDS:
            try:
                owner = self.cluster.owner(name)
            except LookupError:
                continue
            if not owner.is_paused:
                self._number += 1
                self.say(owner, "SPUBLISH", name, self._number)
                self.sent.setdefault(name.encode(), []).append(self._number)

    def run(self, seconds: float, step: float = 0.02) -> Town:
        """Let time pass, and publish at each step."""
        for _ in range(round(seconds / step)):
            self.publish()
            self.net.advance(step)
            self.take()
        return self

    def take(self) -> None:
        """Take what has arrived."""
        while messages := self.engine.take():
            self.log += messages

    def events(self) -> list[Event]:
        """The events told so far."""
        return [item for item in self.log if not isinstance(item, Message)]

    def gaps(self) -> list[SubscriptionGap]:
        """The gaps told so far."""
        return [item for item in self.log if isinstance(item, SubscriptionGap)]

    def names_in_gaps(self) -> set[bytes]:
        """The names in the gaps told so far."""
        return {name for gap in self.gaps() for name in gap.names or ()}

    def check(self) -> Town:
        """Check that messages came in order, and that all that were missed lie in a gap; forget them."""
        last: dict[bytes, int] = {}
        in_gap: set[bytes] = set()
        for item in self.log:
            if isinstance(item, SubscriptionGap):
                in_gap.update(item.names or ())
            elif isinstance(item, Message):
                number, name = int(item.data), item.channel
                if name in last:
                    assert last[name] < number, f"{name!r}: {number} came behind {last[name]}"
                    missed = [one for one in self.sent[name] if last[name] < one < number]
                    assert not missed or name in in_gap, f"{name!r}: {missed} were missed, and no gap was told"
                    self.missed += len(missed)
                last[name] = number
                in_gap.discard(name)
        return self

    def is_live(self) -> bool:
        """Whether the newest message of each shard channel has arrived, but for slots that have no owner."""
        newest = {item.channel: int(item.data) for item in self.log if isinstance(item, Message)}
        return all(newest.get(name) == numbers[-1] for name, numbers in self.sent.items() if self._has_owner(name))

    def is_over(self) -> bool:
        """Whether the engine is over: a call, whose result may change."""
        return self.engine.is_over

    def is_ready(self) -> bool:
        """Whether the engine is ready: a call, whose result may change."""
        return self.engine.is_ready

    def _has_owner(self, name: bytes) -> bool:
        with suppress(LookupError):
            return self.cluster.owner(name).is_up
        return False


def town(cluster: ModelCluster, **options: Any) -> Town:
    """A subscriber to all shard channels."""
    options.setdefault("router", router_of(cluster))
    town = Town(cluster, PubSub[bytes](shard_channels=SHARDS, **options))
    town.run(0.3)
    assert town.engine.is_ready
    assert town.is_live()
    for change in town.engine.first:
        town.engine.keep(change)
    return town


def other_primary(cluster: ModelCluster, name: str, number: int = 0) -> Node:
    """A primary that does not own the slot of a name."""
    owner = cluster.owner(name)
    return [node for node in cluster.primaries() if node is not owner][number]


def slow_gossip(*, gossip: float = 0.1, flavour: Flavour = VALKEY9, replicas: int = 1) -> ModelCluster:
    """A cluster whose nodes hear of each other's changes after ``gossip`` seconds."""
    return ModelCluster(
        replicas=replicas, flavour=flavour, now=1000.0, gossip_delay=lambda _, __: gossip, election_delay=0.5
    )
