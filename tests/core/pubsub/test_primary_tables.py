"""Events of keys and invalidated keys come from each primary, and follow the topology."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import key_slot
from streamcore.errors import InvalidArgument
from streamcore.events import Event, SubscriptionFailed, SubscriptionGap
from streamcore.pubsub import KeyEvent, KeyWatch, Kind, PubSub
from streamcore.testing.model.cluster import ModelCluster, Node
from tests.core.support.cluster_subscribers import Town, other_primary, router_of

KEYS = [f"k{number}" for number in range(9)]


def make(**options: Any) -> ModelCluster:
    cluster = ModelCluster(now=1000.0, election_delay=0.5, **options)
    for node in cluster.nodes:
        publish_events(node)
    return cluster


def publish_events(node: Node) -> None:
    node.config[b"notify-keyspace-events"] = b"KA"


class Watch(Town):
    """A watch of all keys, and a writer of keys."""

    def __init__(self, cluster: ModelCluster) -> None:
        super().__init__(cluster, KeyWatch[bytes]("*", 0, router=router_of(cluster)))

    def write(self) -> set[bytes]:
        """Write all keys; return the keys whose events have come."""
        for key in KEYS:
            self.say(self.cluster.owner(key), "SET", key, "1")
        self.net.serve()
        found: list[KeyEvent[Any]] = []
        while messages := self.engine.take():
            found += [KeyEvent.of(message) for message in messages]
        assert len(found) == len({event.key for event in found}), "an event came twice"
        return {event.key for event in found}

    def gap_links(self) -> set[str]:
        """The links of the gaps, which the watch is told as it takes."""
        return {name for gap in self.gaps() for name in gap.link.split(", ")}


@pytest.fixture
def watch() -> Watch:
    watch = Watch(make())
    watch.net.advance(0.3)
    assert watch.engine.is_ready
    assert watch.write() == set(map(str.encode, KEYS))
    return watch


def test_all_primaries_are_watched(watch: Watch) -> None:
    names = {f"keys at 127.0.0.1:{port}" for port in (7000, 7001, 7002)}
    assert {link.name for link in watch.engine.links() if link.is_up} == {"topology", *names}
    [change] = [change for change in watch.engine.first if change.subscriptions]
    assert change.poll()
    assert watch.engine.subscriptions.patterns.confirmed == {b"__keyspace@0__:*"}


def test_a_failover_is_followed_and_told(watch: Watch) -> None:
    heir = watch.cluster.replica_of(watch.cluster.nodes[0])
    watch.cluster.failover(heir)
    watch.net.advance(20.0)
    assert watch.write() == set(map(str.encode, KEYS))
    assert watch.gap_links() == {"keys at 127.0.0.1:7000", f"keys at 127.0.0.1:{heir.address[1]}"}
    assert "keys at 127.0.0.1:7000" not in {link.name for link in watch.engine.links()}


def test_a_kill_is_followed_and_told(watch: Watch) -> None:
    watch.cluster.crash(watch.cluster.nodes[0])
    watch.net.advance(5.0)
    assert watch.write() == set(map(str.encode, KEYS))
    assert "keys at 127.0.0.1:7000" in watch.gap_links()


def test_a_node_that_is_silent_is_found(watch: Watch) -> None:
    watch.cluster.pause(watch.cluster.nodes[0])
    watch.net.advance(6.0)
    assert watch.write() == set(map(str.encode, KEYS))


def test_a_node_that_joins_is_watched(watch: Watch) -> None:
    joined = watch.cluster.join()
    publish_events(joined)
    cluster = watch.cluster
    cluster.move_slot(key_slot("k1"), joined)
    watch.net.advance(20.0)
    assert watch.write() == set(map(str.encode, KEYS))
    assert watch.gap_links() == {f"keys at 127.0.0.1:{joined.address[1]}"}


def test_a_later_pattern_is_desired_at_each_primary(watch: Watch) -> None:
    change = watch.engine.subscribe(Kind.PATTERN, {b"other*": None})
    assert not change.poll()
    watch.net.serve()
    assert change.poll()
    change = watch.engine.unsubscribe(Kind.PATTERN, [b"other*"])
    assert not change.poll()
    watch.net.serve()
    assert change.poll()
    assert watch.engine.subscriptions.patterns.desired == {b"__keyspace@0__:*"}
    watch.engine.unsubscribe(Kind.PATTERN)
    watch.engine._subscriptions.unwant(watch.engine._subscriptions.table[Kind.PATTERN][b"__keyspace@0__:*"])
    watch.net.serve()
    assert watch.engine.is_over


def test_a_pattern_that_is_not_desired_any_more_is_not_asked_of_a_new_primary(watch: Watch) -> None:
    watch.net.silence("keys at 127.0.0.1:7001")
    watch.engine.unsubscribe(Kind.PATTERN)
    watch.cluster.crash(watch.cluster.nodes[0])
    watch.net.advance(1.5)
    assert watch.engine.subscriptions.patterns.desired == set()


def test_unsubscribed_before_the_topology_is_known() -> None:
    engine = KeyWatch[bytes]("*", 0, router=router_of(make()))
    assert engine.unsubscribe(Kind.PATTERN).poll()
    assert engine.is_over


def test_a_primary_that_publishes_nothing_is_told_of() -> None:
    cluster = make()
    cluster.nodes[1].config[b"notify-keyspace-events"] = b""
    watch = Watch(cluster)
    watch.net.advance(0.3)
    told: list[Event] = watch.events()
    with pytest.raises(InvalidArgument, match="publishes nothing about keys"):
        watch.write()
    assert any(isinstance(event, SubscriptionFailed) for event in told)


def test_a_refused_pattern_is_asked_for_again() -> None:
    cluster = make()
    cluster.nodes[1].faults.fail_next("PSUBSCRIBE", "NOPERM No permissions to access a channel")
    watch = Watch(cluster)
    watch.net.advance(5.0)
    assert watch.engine.subscriptions.patterns.confirmed == {b"__keyspace@0__:*"}
    watch.write()
    assert [gap.names for gap in watch.gaps()] == [(b"__keyspace@0__:*",)]


# -- invalidated keys ----------------------------------------------------------------------------------------------------


class Copies(Town):
    """A subscriber with copies of keys."""

    def __init__(self, cluster: ModelCluster, *channels: str) -> None:
        super().__init__(cluster, PubSub[bytes](channels, router=router_of(cluster), on_invalidate=lambda _: None))

    def invalidated(self) -> frozenset[bytes] | None:
        """The keys that were invalidated; None: all."""
        self.net.serve()
        keys: frozenset[bytes] = frozenset()
        for call in self.engine.take_waiting_calls():
            if call.argument is None:
                return None
            keys |= call.argument
        return keys


def test_invalidated_keys_of_all_primaries() -> None:
    cluster = make()
    here = Copies(cluster, "c")
    here.net.advance(0.3)
    assert here.is_ready()
    assert here.engine.has_handlers
    here.invalidated()
    for key in KEYS:
        here.say(cluster.owner(key), "SET", key, "1")
    assert here.invalidated() == frozenset(map(str.encode, KEYS))
    here.say(cluster.nodes[0], "PUBLISH", "c", "1")
    here.net.serve()
    assert [message.data for message in here.engine.take()] == [b"1"]


def test_all_copies_are_void_when_a_node_is_lost() -> None:
    cluster = make()
    here = Copies(cluster)
    here.net.advance(0.3)
    here.invalidated()
    cluster.crash(cluster.nodes[1])
    assert here.invalidated() is None
    assert not here.is_ready()
    here.net.advance(5.0)
    assert here.invalidated() is None
    assert here.is_ready()
    assert not [event for event in here.events() if isinstance(event, SubscriptionGap)]


def test_copies_are_void_when_a_primary_joins() -> None:
    cluster = make()
    here = Copies(cluster)
    here.net.advance(0.3)
    here.invalidated()
    cluster.failover(cluster.replica_of(cluster.nodes[0]))
    here.net.advance(20.0)
    assert here.invalidated() is None
    assert other_primary(cluster, "k1") is not None
