"""Lanes of scripts: links of their own up to a cap, and seats on shared links for the rest."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

import pytest

from streamcore.cluster.cluster import Cluster
from streamcore.cluster.seats import Seat
from streamcore.commands import key_slot
from streamcore.events import Disconnected, Event, Gap, OwnershipLost, Reconnected, StaleConnectionKilled
from streamcore.group.consumer import GroupConsumer
from streamcore.options import Address
from streamcore.resp3 import encode
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster, Node

STREAMS = [f"s{number}" for number in range(12)]


class Story:
    """A group consumer of twelve slots in a cluster of three nodes, with few links."""

    def __init__(self, *, per_node: int = 1, most: int = 256, **options: Any) -> None:
        self.cluster = ModelCluster(now=1000.0)
        host, port = self.cluster.nodes[0].address
        router = Cluster([Address(host.decode(), port)], max_links_per_node=per_node, max_links=most).router
        names = count(1)
        given: dict[str, Any] = {"group": "g", "consumer": "me", "exclusive": True, **options}
        self.consumer: GroupConsumer[bytes] = GroupConsumer(
            STREAMS, entropy=lambda size: next(names).to_bytes(size), router=router, **given
        )
        self.net = ClusterNet(self.cluster, self.consumer)
        self.events: list[Event] = []
        self.numbers = count(1)
        self.work(0.5)

    @property
    def seats(self) -> list[Seat]:
        found = [member.reader.runner.link for member in self.consumer.members]
        assert all(isinstance(seat, Seat) for seat in found)
        return found  # type: ignore[return-value]  # asserted above

    def own(self) -> list[str]:
        """The streams of members that have a link of their own."""
        return [stream for stream, seat in zip(STREAMS, self.seats, strict=True) if not seat.is_shared]

    def add(self, stream: str) -> int:
        number = next(self.numbers)
        session = self.cluster.owner(stream).connect(self.cluster.now)
        session.receive(encode(("XADD", stream, "*", "n", number)), self.cluster.now)
        assert bytes(session.data_to_send()).startswith(b"$")
        session.lost()
        return number

    def work(self, seconds: float) -> list[int]:
        taken: list[int] = []
        for _ in range(round(seconds * 20)):
            self.net.advance(0.05)
            while (batch := self.consumer.take()) is not None:
                taken += [int(entry[b"n"]) for entry in batch]
                batch.ack()
            self.net.serve()
            self.events += self.net.pair.events()
        return taken

    def other(self, stream: str) -> Node:
        return next(node for node in self.cluster.primaries() if node is not self.cluster.owner(stream))

    def told(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]


def nodes_of(story: Story, streams: list[str]) -> Counter[bytes]:
    return Counter(story.cluster.owner(stream).id for stream in streams)


def test_a_node_has_as_many_links_as_the_cap_allows_and_a_shared_link() -> None:
    story = Story()
    assert story.consumer.is_ready
    assert set(nodes_of(story, story.own()).values()) == {1}
    names = sorted(link.name for link in story.consumer.links() if link.is_up and link.name != "topology")
    assert [name for name in names if name.startswith("shared")] == [
        f"shared at 127.0.0.1:{port}" for port in (7000, 7001, 7002)
    ]
    assert len(names) == 3 + 3


def test_there_is_a_cap_for_all_nodes_together() -> None:
    story = Story(per_node=32, most=2)
    assert len(story.own()) == 2


def test_members_without_a_link_of_their_own_are_served_all_the_same() -> None:
    story = Story()
    sent = [story.add(stream) for stream in STREAMS for _ in range(3)]
    assert sorted(story.work(1.0)) == sent
    story.work(1.0)
    assert story.consumer.settled
    assert story.told(Disconnected, Gap, OwnershipLost, StaleConnectionKilled) == []


def test_the_members_that_find_entries_get_the_links() -> None:
    story = Story()
    quiet = story.own()
    busy = next(
        stream for stream in STREAMS if stream not in quiet and nodes_of(story, [stream, quiet[0]]).total() == 2
    )
    story.work(2.0)
    sent = [story.add(busy)]
    taken = story.work(2.5)
    assert taken == sent
    assert busy in story.own()
    assert set(nodes_of(story, story.own()).values()) == {1}, "another has given its link away"
    assert story.told(Disconnected, Reconnected) == [], "a lane that moves is not lost"
    sent = [story.add(stream) for stream in STREAMS]
    assert sorted(story.work(1.0)) == sent


@pytest.mark.parametrize("how", ["classic", "atomic"])
def test_a_seat_follows_its_slot(how: Any) -> None:
    story = Story()
    moved = next(stream for stream in STREAMS if stream not in story.own())
    for _ in range(3):
        story.cluster.move_slot(key_slot(moved), story.other(moved), how=how)
        sent = [story.add(stream) for stream in STREAMS]
        assert sorted(story.work(2.0)) == sent
    assert story.told(Gap, OwnershipLost, StaleConnectionKilled) == []


def test_a_failover_is_followed_by_all_seats() -> None:
    story = Story()
    for node in list(story.cluster.primaries()):
        story.cluster.failover(story.cluster.replica_of(node))
        sent = [story.add(stream) for stream in STREAMS]
        assert sorted(story.work(2.0)) == sent
    assert story.told(Gap, OwnershipLost, StaleConnectionKilled) == []
    names = {link.name for link in story.consumer.links() if link.is_up and link.name.startswith("shared")}
    assert len(names) == 3, "shared links to former primaries are closed"


def test_the_end_is_reached_where_all_polled_members_find_nothing() -> None:
    story = Story(stop_on_idle=True)
    sent = [story.add(stream) for stream in STREAMS]
    story.consumer.begin()
    assert sorted(story.work(1.0)) == sent
    story.work(7.0)
    assert story.consumer.ended


def test_closing_closes_all_links() -> None:
    story = Story()
    story.consumer.leave()
    story.work(0.5)
    story.consumer.close()
    story.net.serve()
    assert not any(link.wants_connection for link in story.consumer.links())
