"""Shard channels subscribed to at replicas: the same following, gaps and rules as at primaries."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import key_slot
from streamcore.errors import InvalidArgument
from streamcore.pubsub import PubSub
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.testing.model.versions import REDIS7, VALKEY9, Flavour
from tests.core.support.cluster_subscribers import SHARDS, Town, other_primary, router_of, slow_gossip, town


def at(here: Town) -> dict[str, bool]:
    """Whether each shard channel is in force at a replica, by name; at a primary otherwise."""
    found: dict[str, bool] = {}
    for node in here.cluster.nodes:
        for session in node.sessions.values() if node.is_up else ():
            found.update(dict.fromkeys((name.decode() for name in session.shards), node.replication.is_replica))
    return found


def reading(cluster: ModelCluster, **options: Any) -> Town:
    return town(cluster, **{"read_from": "replica", **options})


def nodes_with(here: Town, name: str) -> list[Node]:
    return [
        node
        for node in here.cluster.nodes
        if node.is_up and any(name.encode() in session.shards for session in node.sessions.values())
    ]


def test_channels_are_subscribed_to_at_replicas() -> None:
    here = reading(ModelCluster(now=1000.0))
    assert at(here) == dict.fromkeys(SHARDS, True)
    assert here.run(1.0).check().is_live()
    assert here.missed == 0
    with pytest.raises(InvalidArgument, match="read_from"):
        PubSub(shard_channels="s", read_from="nearest", router=router_of(here.cluster))  # type: ignore[call-overload]


def test_any_node_may_be_chosen() -> None:
    draws = iter([0.9, 0.1] * 10_000)
    here = reading(ModelCluster(now=1000.0), read_from="any", random=lambda: next(draws))
    assert set(at(here).values()) == {True, False}
    assert here.run(1.0).check().is_live()


def test_without_replicas_they_are_at_the_primaries() -> None:
    here = reading(ModelCluster(replicas=0, now=1000.0))
    assert at(here) == dict.fromkeys(SHARDS, False)
    move = other_primary(here.cluster, "s0")
    here.cluster.move_slot(key_slot("s0"), move)
    here.run(2.0)
    assert here.check().is_live()
    assert nodes_with(here, "s0") == [move]


@pytest.mark.parametrize("how", ["classic", "atomic"])
def test_slots_that_move_are_followed(how: Any) -> None:
    here = reading(slow_gossip())
    for number in range(4):
        here.cluster.move_slot(key_slot("s0"), other_primary(here.cluster, "s0", number % 2), how=how)
        here.run(2.0)
        assert here.check().is_live()
        assert len(nodes_with(here, "s0")) == 1
    assert {b"s0"} == here.names_in_gaps()


@pytest.mark.parametrize("flavour", [VALKEY9, REDIS7], ids=lambda flavour: flavour.name.decode())
def test_promotions_are_followed(flavour: Flavour) -> None:
    here = reading(slow_gossip(flavour=flavour))
    for _ in range(3):
        here.cluster.failover(here.cluster.replica_of(here.cluster.owner("s0")))
        here.run(2.0)
        assert here.check().is_live()


def test_a_lost_replica_is_replaced_and_told_as_a_gap() -> None:
    here = reading(ModelCluster(replicas=2, now=1000.0))
    [node] = nodes_with(here, "s0")
    here.cluster.crash(node)
    here.run(2.0)
    assert here.check().is_live()
    [other] = nodes_with(here, "s0")
    assert other.replication.is_replica
    assert b"s0" in here.names_in_gaps()


def test_where_the_last_replica_is_lost_the_primary_is_heard() -> None:
    here = reading(ModelCluster(now=1000.0, node_timeout=60.0))
    [node] = nodes_with(here, "s0")
    here.cluster.crash(node)
    here.run(3.0)
    assert here.check().is_live()
    assert nodes_with(here, "s0") == [here.cluster.owner("s0")]


def test_a_silent_replica_is_left() -> None:
    here = reading(ModelCluster(replicas=2, now=1000.0, node_timeout=60.0))
    [node] = nodes_with(here, "s0")
    here.cluster.pause(node)
    here.run(8.0)
    assert here.check().is_live()
    assert node not in nodes_with(here, "s0") or len(nodes_with(here, "s0")) == 2
    assert b"s0" in here.names_in_gaps()


def test_a_replica_that_is_cut_off_is_told() -> None:
    cluster = slow_gossip()
    here = reading(cluster, router=router_of(cluster, refresh_interval=2.0))
    [node] = nodes_with(here, "s1")
    cluster.partition([node, cluster.owner("s1")])
    here.run(8.0)
    assert any("cut off" in str(gap.error) for gap in here.gaps())


def test_subscriptions_come_and_go_at_replicas() -> None:
    here = reading(ModelCluster(now=1000.0))
    here.engine.unsubscribe(next(iter([kind for kind in here.engine._subscriptions.table if kind.name == "SHARD"])))
    here.net.advance(0.2)
    assert at(here) == {}
    assert here.is_over()
