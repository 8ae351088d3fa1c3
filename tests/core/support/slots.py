"""A model cluster for tests of engines that follow slots, and a consumer of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from streamcore.cluster.cluster import Cluster
from streamcore.commands import key_slot
from streamcore.consumer.consumer import Consumer
from streamcore.engine.router import MakeRouter
from streamcore.events import Event, Gap, StreamReset
from streamcore.options import Address
from streamcore.resp3 import encode
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster, Node

STREAMS = ("a", "b", "c", "{a}2")  # of three slots, and three nodes


def router_of(cluster: ModelCluster) -> MakeRouter:
    """A router that knows the first node of a cluster."""
    host, port = cluster.nodes[0].address
    return Cluster([Address(host.decode(), port)]).router


def append(cluster: ModelCluster, stream: str, *numbers: int, node: Node | None = None) -> None:
    """Append entries to a stream, with numbers for ids."""
    session = (node or cluster.owner(stream)).connect(cluster.now)
    for number in numbers:
        session.receive(encode(("XADD", stream, f"{number}-0", "n", number)), cluster.now)
    assert bytes(session.data_to_send()).count(b"$") == len(numbers)
    session.lost()


def trim(cluster: ModelCluster, stream: str, length: int) -> None:
    """Trim a stream to its last entries."""
    session = cluster.owner(stream).connect(cluster.now)
    session.receive(encode(("XTRIM", stream, "MAXLEN", length)), cluster.now)
    session.lost()


def other(cluster: ModelCluster, stream: str) -> Node:
    """A primary that does not serve a stream."""
    return next(node for node in cluster.primaries() if node is not cluster.owner(stream))


def move(cluster: ModelCluster, stream: str, how: Literal["classic", "atomic"] = "classic") -> None:
    """Move the slot of a stream to another primary."""
    cluster.move_slot(key_slot(stream), other(cluster, stream), how=how)


class Following:
    """A consumer that follows streams of a cluster, in virtual time."""

    def __init__(
        self,
        streams: Any = STREAMS,
        *,
        wait: float = 0.5,
        there: Mapping[str, tuple[int, ...]] | None = None,
        **options: Any,
    ) -> None:
        self.cluster = ModelCluster(now=1000.0)
        for stream, numbers in (there or {}).items():
            append(self.cluster, stream, *numbers)
        given = dict.fromkeys(streams, "0") if not isinstance(streams, dict) else streams
        self.consumer: Consumer[bytes] = Consumer(given, router=router_of(self.cluster), **options)
        self.net = ClusterNet(self.cluster, self.consumer)
        self.events: list[Event] = []
        self.net.advance(wait)

    def append(self, stream: str, *numbers: int) -> None:
        append(self.cluster, stream, *numbers)

    def take(self) -> list[tuple[str, int]]:
        """Take what is there."""
        taken: list[tuple[str, int]] = []
        while (batch := self.consumer.take()) is not None:
            taken += [(batch.stream.decode(), int(entry[b"n"])) for entry in batch]
            self.net.serve()
        return taken

    def work(self, seconds: float = 1.0) -> list[tuple[str, int]]:
        """Take, for a while."""
        taken = self.take()
        for _ in range(int(seconds * 10)):
            self.net.advance(0.1)
            taken += self.take()
            self.events += self.net.pair.events()
        return taken

    @property
    def alarms(self) -> list[Event]:
        return [event for event in self.events if isinstance(event, (Gap, StreamReset))]

    @property
    def links(self) -> dict[str, Any]:
        """The addresses of the links that want a connection, by name; but for those that only watch over nodes."""
        links = [
            link
            for link in self.consumer.links()
            if link.wants_connection and link.name.startswith(("main", "control"))
        ]
        return {link.name: link.address for link in links}

    def address(self, stream: str) -> Address:
        """The address of the node that serves a stream."""
        host, port = self.cluster.owner(stream).address
        return Address(host.decode(), port)
