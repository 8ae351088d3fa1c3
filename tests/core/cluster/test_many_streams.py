"""Many streams over a few links: the caps, and what the loss of a node costs the streams of the others."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

from streamcore.cluster.cluster import Cluster
from streamcore.commands import key_slot
from streamcore.consumer.consumer import Consumer
from streamcore.events import Disconnected, Event
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster, Node
from tests.core.support.clusters import START, address
from tests.core.support.slots import append


def cluster_of(model: ModelCluster) -> Cluster:
    return Cluster([address(model.nodes[0])])


class Many:
    """A consumer of 200 streams of three nodes."""

    def __init__(self) -> None:
        self.model = ModelCluster(now=START, node_timeout=60.0)
        self.streams = [f"s{number}" for number in range(200)]
        self.consumer: Consumer[bytes] = Consumer(
            dict.fromkeys(self.streams, "0"), router=cluster_of(self.model).router
        )
        self.events: list[Event] = []
        self.consumer.on_event = self.events.append
        self.net = ClusterNet(self.model, self.consumer)
        self.commands: Counter[int] = Counter()
        for node in self.model.nodes:
            node.on_command = self.counting(node)
        self.net.advance(1.0)
        self.numbers = dict.fromkeys(self.streams, 0)

    def counting(self, node: Node) -> Any:
        def note(_: object, words: list[bytes]) -> None:
            if words[0] not in (b"PING", b"CLUSTER"):
                self.commands[node.address[1]] += 1

        return note

    def exchange(self, streams: list[str]) -> int:
        """Append to each of the streams, and take all of it at once; return how many commands the living nodes ran for that."""
        self.commands.clear()
        for stream in streams:
            self.numbers[stream] += 1
            append(self.model, stream, self.numbers[stream])
            self.net.serve()
            batch = self.consumer.take()
            assert batch is not None, "without any time in between"
            assert (batch.stream.decode(), [int(entry[b"n"]) for entry in batch]) == (stream, [self.numbers[stream]])
            self.net.serve()
        return self.commands.total()


def test_the_loss_of_a_node_costs_the_streams_of_the_others_nothing() -> None:
    many = Many()
    dead = many.model.owner("s0")
    others = [stream for stream in many.streams if many.model.owner(stream) is not dead][::7]
    before = many.exchange(others)
    many.model.crash(dead)
    many.net.serve()
    costs = []
    for _ in range(3):
        costs.append(many.exchange(others))
        many.net.advance(0.4)
    assert set(costs) == {before}
    lost = {event.address for event in many.events if isinstance(event, Disconnected)}
    assert lost == {str(address(dead))}


def test_hundreds_of_slots_are_served_over_the_links_of_the_caps() -> None:
    model = ModelCluster(now=START, node_timeout=60.0)
    slots: dict[int, str] = {}
    for number in count():
        slots.setdefault(key_slot(f"s{number}"), f"s{number}")
        if len(slots) == 300:
            break
    streams = [*slots.values()]
    consumer: GroupConsumer[bytes] = GroupConsumer(
        streams, group="g", consumer="me", exclusive=True, router=cluster_of(model).router
    )
    net = ClusterNet(model, consumer)
    net.advance(0.5)
    assert consumer.is_ready
    for stream in streams:
        append(model, stream, 1)
    taken: list[str] = []
    for _ in range(4):
        net.advance(0.05)
        while (batch := consumer.take()) is not None:
            taken.append(batch.stream.decode())
            batch.ack()
        net.serve()
    assert sorted(taken) == sorted(streams)
    up = [link for link in consumer.links() if link.is_up]
    own = Counter(link.address for link in up if link.name.startswith("main"))
    assert set(own.values()) == {32}
    assert len(own) == 3
    assert len(up) <= 3 * (32 + 2) + 1, (
        "a shared link to each node, one for acknowledgements, and that for the topology"
    )
