"""Shard channels follow their slots: each message that is missed lies in a gap that is told, and none comes twice or out of order."""

from __future__ import annotations

from typing import Literal

import pytest

from streamcore.commands import key_slot
from streamcore.events import Degraded, Disconnected, SubscriptionFailed
from streamcore.pubsub import Kind, PubSub
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.testing.model.versions import REDIS7, REDIS8, VALKEY9, Flavour
from tests.core.support.cluster_subscribers import SHARDS, Town, other_primary, router_of, slow_gossip, town

MOMENTS = [0.0, 0.001, 0.02, 0.05, 0.1, 0.11, 0.15, 0.2, 0.25, 0.31]
"""Seconds between two changes of a cluster: gossip, refreshes and redirects are under way."""


@pytest.fixture(params=[VALKEY9, REDIS7, REDIS8], ids=["valkey9", "redis7", "redis8"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    return request.param  # type: ignore[no-any-return]  # pytest knows no type here


# -- following -----------------------------------------------------------------------------------------------------------


def test_each_primary_is_asked_for_the_channels_of_its_slots() -> None:
    here = town(ModelCluster(now=1000.0))
    assert {link.name for link in here.engine.links() if link.is_up} == {
        "topology",
        *(f"shard channels at 127.0.0.1:{port}" for port in (7000, 7001, 7002)),
    }
    assert here.engine.subscriptions.shard_channels.confirmed == set(map(str.encode, SHARDS))
    assert not here.gaps()
    assert here.check().missed == 0


def test_a_command_has_names_of_a_single_slot() -> None:
    cluster = ModelCluster(now=1000.0)
    names = [f"{{{tag}}}{number}" for number in range(3) for tag in ("a", "b")]
    here = Town(cluster, PubSub[bytes](shard_channels=names, router=router_of(cluster)))
    here.net.advance(0.2)
    assert here.engine.subscriptions.shard_channels.confirmed == set(map(str.encode, names))


@pytest.mark.parametrize("pause", MOMENTS)
@pytest.mark.parametrize("how", ["classic", "atomic"])
def test_moves_begun_at_every_moment(how: Literal["classic", "atomic"], pause: float, flavour: Flavour) -> None:
    cluster = slow_gossip(flavour=flavour)
    here = town(cluster)
    slot = key_slot("s1")
    for number in range(4):
        cluster.move_slot(slot, other_primary(cluster, "s1", number % 2), how=how)
        if pause:
            here.run(pause, min(pause, 0.01))
        else:
            here.publish()
    here.run(2.0)
    assert here.check().is_live()
    assert here.names_in_gaps() <= {b"s1"}


@pytest.mark.parametrize("pause", MOMENTS)
def test_failovers_begun_at_every_moment(pause: float, flavour: Flavour) -> None:
    cluster = slow_gossip(flavour=flavour)
    here = town(cluster)
    for _ in range(3):
        cluster.failover(cluster.replica_of(cluster.owner("s1")))
        if pause:
            here.run(pause, min(pause, 0.01))
        else:
            here.publish()
    here.run(3.0)
    assert here.check().is_live()


@pytest.mark.parametrize("pause", MOMENTS)
def test_a_kill_behind_a_move(pause: float, flavour: Flavour) -> None:
    cluster = slow_gossip(flavour=flavour)
    here = town(cluster)
    target = other_primary(cluster, "s1")
    cluster.move_slot(key_slot("s1"), target)
    if pause:
        here.run(pause, min(pause, 0.01))
    cluster.crash(target)
    here.run(5.0)
    assert here.check().is_live()
    assert here.missed


def test_other_shards_are_not_touched() -> None:
    cluster = slow_gossip()
    here = town(cluster)
    owner = cluster.owner("s1")
    theirs = {name.encode() for name in SHARDS if cluster.owner(name) is owner}
    cluster.crash(owner)
    here.run(5.0)
    assert here.check().is_live()
    assert here.names_in_gaps() == theirs


def test_a_node_that_stays_silent() -> None:
    cluster = slow_gossip()
    here = town(cluster)
    owner = cluster.owner("s1")
    cluster.pause(owner)
    here.run(6.0)
    assert here.check().is_live()
    cluster.resume(owner)
    here.run(2.0)
    assert here.check().is_live()
    assert f"shard channels at 127.0.0.1:{owner.address[1]}" not in {link.name for link in here.engine.links()}


def test_the_link_of_a_node_that_leaves_goes() -> None:
    cluster = slow_gossip(replicas=0)
    here = town(cluster)
    owner, heir = cluster.owner("s1"), other_primary(cluster, "s1")
    for slot in list(owner.view.slots_of(owner.id)):
        cluster.move_slot(slot, heir)
    here.run(1.0)
    cluster.leave(owner)
    here.run(1.0)
    assert here.check().is_live()
    assert f"shard channels at 127.0.0.1:{owner.address[1]}" not in {link.name for link in here.engine.links()}
    assert any(isinstance(event, Disconnected) for event in here.events())


def test_a_node_that_joins_gets_a_link() -> None:
    cluster = slow_gossip()
    here = town(cluster)
    joined = cluster.join()
    here.run(0.3)
    cluster.move_slot(key_slot("s1"), joined)
    here.run(1.0)
    assert here.check().is_live()
    assert here.names_in_gaps() == {b"s1"}


def test_a_slot_is_taken_away_and_comes_back_elsewhere() -> None:
    cluster = slow_gossip(flavour=REDIS7)
    here = town(cluster)
    slot, heir = key_slot("s1"), other_primary(cluster, "s1")
    cluster.uncover(slot)
    here.run(2.0)
    assert b"s1" not in here.engine.subscriptions.shard_channels.confirmed
    assert any(isinstance(event, SubscriptionFailed) for event in here.events())
    cluster.cover(slot, heir)
    here.run(2.5)
    assert here.check().is_live()
    assert b"s1" in here.names_in_gaps()


def test_a_minority_is_told_of_again_and_again() -> None:
    cluster = slow_gossip(replicas=0)
    here = town(cluster, router=router_of(cluster, refresh_interval=2.0))
    owner = cluster.owner("s1")
    cluster.partition([owner])
    here.run(4.0)
    told = len(here.gaps())
    assert told >= 1
    here.run(5.0)
    assert len(here.gaps()) > told
    assert "cut off" in str(here.gaps()[-1].error)
    cluster.heal()
    here.run(5.0)
    told = len(here.gaps())
    here.run(5.0)
    assert len(here.gaps()) == told


def test_the_home_may_not_tell_how_it_is() -> None:
    cluster = ModelCluster(now=1000.0)
    for node in cluster.nodes:
        node.faults.denied.add("CLUSTER INFO")
    here = town(cluster, router=router_of(cluster, refresh_interval=1.0))
    here.run(3.0)
    assert {event.what for event in here.events() if isinstance(event, Degraded)} == {"finding nodes that are cut off"}
    assert not here.gaps()


def test_a_home_that_is_not_the_owner_is_told_of_while_the_owner_does_not_answer() -> None:
    deaf: list[Node] = []
    cluster = ModelCluster(
        now=1000.0, gossip_delay=lambda _, target: None if target in deaf else 0.0, node_timeout=60.0
    )
    here = town(cluster, router=router_of(cluster, refresh_interval=1.0))
    cluster.pause(claim_unheard(cluster, "s1", deaf))
    here.run(5.0)
    assert any("not the owner" in str(gap.error) for gap in here.gaps())


def claim_unheard(cluster: ModelCluster, name: str, deaf: list[Node]) -> Node:
    """Let a primary have the slot of a name, which the present owner does not hear of."""
    heir = other_primary(cluster, name, 1)
    deaf.append(cluster.owner(name))
    heir.view.bump()
    heir.view.assign([key_slot(name)], heir.id)
    cluster.bus.announce(heir.id)
    return heir


def test_a_home_is_left_when_the_owner_has_confirmed() -> None:
    deaf: list[Node] = []
    cluster = ModelCluster(
        now=1000.0, gossip_delay=lambda _, target: None if target in deaf else 0.0, node_timeout=60.0
    )
    here = town(cluster, router=router_of(cluster, refresh_interval=1.0))
    claim_unheard(cluster, "s1", deaf)
    here.run(3.0)
    assert here.check().is_live()
    assert any("has gone to" in str(gap.error) for gap in here.gaps())
    assert not here.engine.subscriptions.shard_channels.failed


def test_a_home_that_has_become_a_replica_is_none() -> None:
    cluster = ModelCluster(now=1000.0)
    here = Town(cluster, PubSub[bytes](shard_channels=["s0"], router=router_of(cluster, refresh_interval=3.0)))
    here.net.advance(0.3)
    cluster.failover(cluster.replica_of(cluster.owner("s1")))
    change = here.engine.subscribe(Kind.SHARD, {b"s1": None})
    here.net.serve()
    assert change.poll()
    here.run(6.0)
    here.sent = {name: here.sent[name] for name in (b"s0", b"s1")}
    assert here.check().is_live()
    assert any("no primary any more" in str(gap.error) for gap in here.gaps())
