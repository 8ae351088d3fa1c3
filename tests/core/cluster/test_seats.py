"""Lanes of scripts: links of their own up to a cap, and seats on shared links for the rest."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

import pytest

from streamcore.cluster.cluster import Cluster
from streamcore.cluster.seats import Seat
from streamcore.commands import key_slot
from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.engine.router import Beside, Slot
from streamcore.engine.script import WAIT, Script, ScriptRunner, call
from streamcore.errors import AskError, ConnectionLost, MovedError
from streamcore.events import Disconnected, Event, Gap, OwnershipLost, Reconnected, StaleConnectionKilled
from streamcore.group.consumer import GroupConsumer
from streamcore.options import DEFAULT_ADDRESS, Address
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


def polled(story: Story) -> str:
    """A stream whose member has no link of its own."""
    return next(stream for stream in STREAMS if stream not in story.own())


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_read_that_waits_ends_for_a_stream_that_is_added(is_asked: bool) -> None:
    story = Story()
    story.work(1.0)
    first = polled(story)
    added = f"{{{first}}}added"
    if is_asked:
        story.net.pair.advance(0.06)  # the next round leaves, and is not answered
    change = story.consumer.add_stream(added)
    assert change is not None
    story.work(0.3)
    assert change.poll()
    sent = [story.add(first), story.add(added)]
    assert sorted(story.work(0.5)) == sent


def test_a_script_that_is_refused_begins_anew_after_a_while() -> None:
    story = Story()
    stream = polled(story)
    move = story.cluster.begin_move(key_slot(stream), story.other(stream))
    move.move_keys()
    assert story.work(1.0) == []
    assert [type(event.error) for event in story.told(Disconnected) if isinstance(event, Disconnected)][:1] == [
        AskError
    ]
    move.finish()
    sent = [story.add(stream)]
    assert story.work(2.0) == sent


def test_the_node_of_a_shared_link_dies() -> None:
    story = Story()
    stream = polled(story)
    replica = story.cluster.replica_of(story.cluster.owner(stream))
    story.cluster.crash(story.cluster.owner(stream))
    story.net.serve()
    story.work(0.2)
    story.cluster.failover(replica)
    story.work(2.0)
    sent = [story.add(one) for one in STREAMS]
    assert sorted(story.work(1.0)) == sent


def test_a_slot_that_moves_before_its_script_has_begun() -> None:
    story = Story()
    stream = polled(story)
    primary = story.cluster.owner(stream)
    replica = story.cluster.replica_of(primary)
    story.cluster.crash(primary)
    story.work(0.1)
    story.cluster.failover(replica)
    story.work(2.0)
    story.cluster.move_slot(key_slot(stream), story.other(stream))
    sent = [story.add(stream)]
    assert story.work(2.0) == sent


def test_a_member_that_has_been_active_lately_keeps_its_link() -> None:
    story = Story()
    first = story.own()[0]
    node = story.cluster.owner(first)
    second = next(one for one in STREAMS if one != first and story.cluster.owner(one) is node)
    for _ in range(30):
        story.add(first)
        story.work(0.1)
        story.add(second)
        story.work(0.1)
    assert first in story.own()


def test_without_links_of_their_own_all_members_stay_on_shared_links() -> None:
    story = Story(per_node=0)
    sent = [story.add(stream) for stream in STREAMS]
    assert sorted(story.work(2.5)) == sent
    assert story.own() == []


def test_the_end_of_a_script_on_a_shared_link_names_the_node() -> None:
    story = Story(per_node=0)
    stream = STREAMS[0]
    owner = story.cluster.owner(stream)
    story.cluster.move_slot(key_slot(stream), story.other(stream))
    story.add(stream)
    story.work(2.0)
    [lost] = story.told(Disconnected)
    assert isinstance(lost, Disconnected)
    assert lost.address == f"{owner.address[0].decode()}:{owner.address[1]}"


class Host(Engine):
    """Scripts about slots, without streams."""

    def __init__(self, router: Any, *scripts: Any) -> None:
        super().__init__(router=router)
        self.runners = [
            ScriptRunner(self, script, f"script {n}", Slot(n), shared=True) for n, script in enumerate(scripts)
        ]


def echoing(told: list[Any]) -> Any:
    def script() -> Script:
        told.append("begins")
        [reply] = yield from call(("PING",))
        told.append(reply.decode())
        while True:
            yield WAIT

    return script


def test_a_seat_is_closed_and_opened_again() -> None:
    cluster, told = ModelCluster(now=1000.0), list[Any]()
    host, port = cluster.nodes[0].address
    engine = Host(Cluster([Address(host.decode(), port)]).router, echoing(told))
    [runner] = engine.runners
    net = ClusterNet(cluster, engine)
    seat = runner.link
    assert isinstance(seat, Seat)
    assert (seat.is_up, seat.unanswered, seat.server, seat.attempts, seat.is_routed) == (False, 0, {}, 0, True)
    seat.open()
    seat.open()
    net.advance(0.5)
    assert told == ["begins", "PONG"]
    assert (seat.is_up, seat.is_shared, seat.client_id) == (True, True, 0)
    assert str(seat.address) == "127.0.0.1:7000"
    assert seat.server[b"mode"] == b"cluster"
    seat.close()
    seat.drop(ConnectionLost("it has no link"))
    assert seat.end_wait()
    net.advance(0.5)
    seat.open()
    net.advance(0.5)
    assert told == ["begins", "PONG"] * 2
    cluster.move_slot(0, cluster.nodes[1])
    seat.drop(MovedError("MOVED", "0 127.0.0.1:7001"))
    net.advance(0.5)
    assert told == ["begins", "PONG"] * 2 + ["begins", "PONG"]
    assert str(seat.address) == "127.0.0.1:7001"


def test_a_link_of_its_own_may_be_closed_and_a_lane_that_waits_for_a_node_as_well() -> None:
    story = Story()
    own = next(seat for seat in story.seats if not seat.is_shared)
    assert not own.end_wait()
    own.link_pushed(own.own, [[b"message"]])  # type: ignore[arg-type]  # it is up
    story.work(2.5)
    sent = [story.add(stream) for stream in STREAMS]
    own.close()  # there is room for another member
    story.work(2.5)
    assert len(story.own()) == 3
    assert sent
    story.work(0.2)
    assert not own.is_up
    engine = Host(Cluster([Address("127.0.0.1", 1)]).router, echoing([]))
    seat = engine.runners[0].link
    seat.open()
    assert not seat.is_up
    seat.close()
    assert seat.address == DEFAULT_ADDRESS


def test_a_lane_of_any_node_or_beside_a_link_is_a_link() -> None:
    cluster = ModelCluster(now=1000.0)
    host, port = cluster.nodes[0].address
    engine = Host(Cluster([Address(host.decode(), port)]).router)
    first = ScriptRunner(engine, echoing([]), "first").link
    assert isinstance(first, Link)
    assert isinstance(ScriptRunner(engine, echoing([]), "second", Beside(first), shared=True).link, Link)
