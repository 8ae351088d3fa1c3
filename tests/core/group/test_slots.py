"""A group consumer in a cluster: a member for each slot of its streams, over a link to the node that serves the slot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from streamcore.cluster.cluster import Cluster
from streamcore.commands import key_slot
from streamcore.errors import CrossSlotError
from streamcore.events import Disconnected, Event, Gap, GroupCreated, StreamReset
from streamcore.group.consumer import GroupConsumer
from streamcore.options import Address
from streamcore.resp3 import encode
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster, Node

STREAMS = ("a", "b", "c", "{a}2")  # of three slots, and three nodes


class Story:
    """A cluster with a consumer, and a program that appends numbers to its streams."""

    def __init__(self, streams: Any = STREAMS, **options: Any) -> None:
        self.cluster = ModelCluster(now=1000.0)
        host, port = self.cluster.nodes[0].address
        self.router = Cluster([Address(host.decode(), port)]).router
        names = count(1)
        given: dict[str, Any] = {"group": "g", "consumer": "me", "exclusive": True, **options}
        self.consumer: GroupConsumer[bytes] = GroupConsumer(
            streams, entropy=lambda size: next(names).to_bytes(size), router=self.router, **given
        )
        self.net = ClusterNet(self.cluster, self.consumer)
        self.taken: list[tuple[str, int]] = []
        self.events: list[Event] = []
        self.net.advance(0.5)

    def add(self, stream: str, *numbers: int) -> None:
        for number in numbers:
            session = self.cluster.owner(stream).connect(self.cluster.now)
            session.receive(encode(("XADD", stream, "*", "n", number)), self.cluster.now)
            assert bytes(session.data_to_send()).startswith(b"$")
            session.lost()

    def work(self, seconds: float = 1.0) -> list[tuple[str, int]]:
        """Take and acknowledge, for a while; return what has come."""
        before = len(self.taken)
        for _ in range(int(seconds * 10)):
            self.net.advance(0.1)
            while (batch := self.consumer.take()) is not None:
                self.taken += [(batch.stream.decode(), int(entry[b"n"])) for entry in batch]
                batch.ack()
            self.net.serve()
            self.events += self.net.pair.events()
        return self.taken[before:]

    def other(self, stream: str) -> Node:
        """A primary that does not serve a stream."""
        return next(node for node in self.cluster.primaries() if node is not self.cluster.owner(stream))

    def alarms(self) -> Sequence[Event]:
        return [event for event in self.events if isinstance(event, (Gap, StreamReset, GroupCreated))][len(STREAMS) :]


def test_streams_of_a_slot_share_a_member_and_each_slot_has_its_own() -> None:
    story = Story()
    assert story.consumer.is_ready
    assert [list(member.membership.streams) for member in story.consumer.members] == [[b"a", b"{a}2"], [b"b"], [b"c"]]
    slots = [key_slot(name) for name in ("a", "b", "c")]
    links = [link for link in story.consumer.links() if link.name.startswith("main")]
    assert [link.name for link in links] == [f"main, slot {slot}" for slot in slots]
    assert {link.address for link in links} == {
        Address(host.decode(), port) for host, port in (story.cluster.owner(name).address for name in ("a", "b", "c"))
    }
    for stream in STREAMS:
        story.add(stream, 1, 2)
    assert sorted(story.work()) == sorted((stream, n) for stream in STREAMS for n in (1, 2))


def test_members_of_several_groups_are_named_by_both() -> None:
    story = Story({"a": "g1", "b": "g2", "{b}2": "g1"}, group=None)
    names = [link.name for link in story.consumer.links() if link.name.startswith("main")]
    a, b = key_slot("a"), key_slot("b")
    assert names == [f"main of g1, slot {a}", f"main of g1, slot {b}", f"main of g2, slot {b}"]


@pytest.mark.parametrize("how", ["classic", "atomic"])
def test_a_slot_that_moves_is_followed(how: Any) -> None:
    story = Story()
    for stream in STREAMS:
        story.add(stream, 1)
    story.work()
    for n in range(2, 6):
        story.cluster.move_slot(key_slot("a"), story.other("a"), how=how)
        for stream in STREAMS:
            story.add(stream, n)
        assert sorted(story.work()) == sorted((stream, n) for stream in STREAMS)
    assert story.alarms() == []
    ends = [event.link for event in story.events if isinstance(event, Disconnected)]
    assert ends
    assert all(link.endswith(f"slot {key_slot('a')}") for link in ends)


def test_a_primary_that_fails_over_is_followed() -> None:
    story = Story()
    for n in range(1, 4):
        for stream in STREAMS:
            story.add(stream, n)
        assert sorted(story.work()) == sorted((stream, n) for stream in STREAMS)
        story.cluster.failover(story.cluster.replica_of(story.cluster.owner("a")))
    assert story.alarms() == []


class TestStreams:
    def test_a_stream_of_a_new_slot_has_a_member_of_its_own(self) -> None:
        story = Story(["a"])
        story.consumer.add_stream("b")
        story.consumer.add_stream("{a}2")
        assert story.consumer.is_ready, "what is added is not waited for"
        story.add("b", 1)
        story.add("{a}2", 2)
        assert sorted(story.work()) == [("b", 1), ("{a}2", 2)]
        assert [list(member.membership.streams) for member in story.consumer.members] == [[b"a", b"{a}2"], [b"b"]]

    def test_it_is_paused_where_the_others_are(self) -> None:
        story = Story(["a"])
        story.consumer.pause()
        story.consumer.add_stream("b")
        story.add("b", 1)
        assert story.work() == []
        story.consumer.resume()
        assert story.work() == [("b", 1)]

    def test_it_is_not_read_where_nothing_is_read_any_more(self) -> None:
        story = Story(["a"])
        story.consumer.drain()
        story.consumer.add_stream("b")
        story.add("b", 1)
        assert story.work() == []
        assert story.consumer.ended

    def test_a_stream_that_is_removed_and_added_again_finds_its_member(self) -> None:
        story = Story(["a", "b"])
        assert story.consumer.remove_stream("b")
        story.work()
        story.consumer.add_stream("b")
        story.add("b", 1)
        assert story.work() == [("b", 1)]
        assert len(story.consumer.members) == 2


class TestKeysOfOtherSlots:
    @pytest.mark.parametrize(("stream", "options"), [("a", {"dead_letter_stream": "b"}), ("a}{b", {})])
    def test_are_refused_before_anything_is_sent(self, stream: str, options: dict[str, Any]) -> None:
        router = Cluster([Address("127.0.0.1", 7000)]).router
        with pytest.raises(CrossSlotError, match="give both names a common tag") as refused:
            GroupConsumer([stream], group="g", consumer="me", router=router, **options)
        assert stream in str(refused.value)

    def test_also_when_a_stream_is_added(self) -> None:
        story = Story(["{a}1"], dead_letter_stream="{a}dead")
        with pytest.raises(CrossSlotError):
            story.consumer.add_stream("b")
        assert story.consumer.add_stream("{a}2") is not None
