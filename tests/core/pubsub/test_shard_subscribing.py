"""Subscribing to shard channels and unsubscribing from them, while slots move and where nodes refuse."""

from __future__ import annotations

import pytest

from streamcore.commands import key_slot
from streamcore.errors import ReplyError
from streamcore.events import SubscriptionFailed, SubscriptionGap
from streamcore.pubsub import Kind, PubSub
from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.model.versions import REDIS7, REDIS8, VALKEY9, Flavour
from tests.core.support.cluster_subscribers import SHARDS, Town, other_primary, router_of, slow_gossip, town


@pytest.fixture(params=[VALKEY9, REDIS7, REDIS8], ids=["valkey9", "redis7", "redis8"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    return request.param  # type: ignore[no-any-return]  # pytest knows no type here


# -- subscribing and unsubscribing ---------------------------------------------------------------------------------------


def test_a_redirected_subscription_is_a_success() -> None:
    cluster = slow_gossip(gossip=30.0)
    here = Town(cluster, PubSub[bytes](shard_channels=["s0"], router=router_of(cluster)))
    here.net.advance(0.3)
    cluster.move_slot(key_slot("s1"), other_primary(cluster, "s1"))
    change = here.engine.subscribe(Kind.SHARD, {b"s1": None})
    assert not change.poll()
    here.net.advance(0.3)
    assert change.poll()
    here.run(1.0)
    here.sent = {name: here.sent[name] for name in (b"s0", b"s1")}
    assert here.check().is_live()
    assert not here.gaps()


def test_subscribed_before_the_topology_is_known() -> None:
    cluster = ModelCluster(now=1000.0)
    here = Town(cluster, PubSub[bytes](shard_channels=["s0"], router=router_of(cluster)))
    assert not here.engine.is_ready or here.engine.subscriptions.shard_channels.confirmed
    here.net.advance(0.3)
    assert here.engine.is_ready


def test_unsubscribed_before_the_topology_is_known() -> None:
    cluster = ModelCluster(now=1000.0)
    engine = PubSub[bytes](shard_channels=["s0"], router=router_of(cluster))
    assert not engine.is_ready
    change = engine.unsubscribe(Kind.SHARD)
    assert change.poll()
    assert engine.is_over


def test_unsubscribing_everywhere() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster)
    change = here.engine.unsubscribe(Kind.SHARD)
    assert not change.poll()
    assert not here.is_over()
    here.net.serve()
    assert change.poll()
    here.take()
    assert here.is_over()
    assert here.engine.subscriptions.shard_channels.desired == set()
    change = here.engine.subscribe(Kind.SHARD, {b"s1": None})
    here.net.serve()
    assert change.poll()


def test_a_call_is_given_up_behind_the_end_of_its_subscription() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster)
    change = here.engine.subscribe(Kind.SHARD, {b"x": None})
    here.engine.unsubscribe(Kind.SHARD, [b"x"])
    here.engine.give_up(change)
    here.net.serve()
    assert b"x" not in here.engine.subscriptions.shard_channels.desired


def test_a_slot_without_an_owner_waits_while_other_links_are_lost() -> None:
    cluster = ModelCluster(now=1000.0, election_delay=0.5)
    cluster.uncover(key_slot("s1"))
    here = Town(cluster, PubSub[bytes](shard_channels=["s0", "s1"], router=router_of(cluster)))
    here.net.advance(0.3)
    assert not here.is_ready()
    cluster.crash(cluster.owner("s0"))
    here.net.advance(5.0)
    cluster.cover(key_slot("s1"), cluster.owner("s0"))
    here.net.advance(3.0)
    assert here.is_ready()
    assert here.engine.subscriptions.shard_channels.confirmed == {b"s0", b"s1"}


def test_a_node_ends_a_subscription_before_it_answers_for_another() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster)
    first, second = [name for name in SHARDS if cluster.owner(name) is cluster.owner("s3")][:2]
    change = here.engine.unsubscribe(Kind.SHARD, [first.encode(), second.encode()])
    cluster.move_slot(key_slot(second), other_primary(cluster, "s3"))
    here.net.serve()
    assert change.poll()
    assert second.encode() not in here.engine.subscriptions.shard_channels.desired


def test_a_node_that_does_not_know_a_subscription_any_more_redirects_its_end() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster)
    cluster.owner("s1").faults.fail_next("SUNSUBSCRIBE", f"MOVED {key_slot('s1')} 127.0.0.1:7000")
    change = here.engine.unsubscribe(Kind.SHARD, [b"s1"])
    here.net.serve()
    assert change.poll()


def test_changing_the_mind_at_once() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster)
    here.engine._subscriptions.unwant(here.engine._subscriptions.table[Kind.SHARD][b"s1"])
    change = here.engine.subscribe(Kind.SHARD, {b"s1": None})
    assert change.poll()
    here.run(0.2)
    assert here.check().is_live()
    assert here.missed == 0
    here.engine.unsubscribe(Kind.SHARD, [b"s1"])
    change = here.engine.subscribe(Kind.SHARD, {b"s1": None})
    here.net.serve()
    assert change.poll()
    here.run(0.2)
    assert here.is_live()


@pytest.mark.parametrize("moment", range(6))
def test_unsubscribing_crosses_the_end_of_a_subscription(moment: int, flavour: Flavour) -> None:
    cluster = slow_gossip(flavour=flavour)
    here = town(cluster)
    cluster.move_slot(key_slot("s1"), other_primary(cluster, "s1"))
    for _ in range(moment):
        here.net.pair.settle()
        here.net.advance(0.0)
    change = here.engine.unsubscribe(Kind.SHARD, [b"s1"])
    here.run(1.0)
    assert change.poll()
    assert b"s1" not in here.engine.subscriptions.shard_channels.desired
    del here.sent[b"s1"]
    here.log = [item for item in here.log if getattr(item, "channel", None) != b"s1"]
    assert here.check().is_live()


def test_handlers_move_with_their_channels() -> None:
    cluster = slow_gossip()
    heard: list[bytes] = []
    engine = PubSub[bytes](
        shard_channel_handlers={"s1": lambda message: heard.append(message.data)}, router=router_of(cluster)
    )
    here = Town(cluster, engine)
    here.run(0.3)
    assert engine.has_handlers
    cluster.move_slot(key_slot("s1"), other_primary(cluster, "s1"))
    here.run(1.0)
    while calls := engine.take_waiting_calls():
        for call in calls:
            call.handler(call.argument)
    assert int(heard[-1]) == here.sent[b"s1"][-1]
    assert heard == sorted(heard, key=int)


def test_what_is_refused_is_told_or_raised() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster)
    cluster.owner("x").faults.fail_next("SSUBSCRIBE", "NOPERM No permissions to access a channel", times=9)
    change = here.engine.subscribe(Kind.SHARD, {b"x": None})
    here.net.serve()
    with pytest.raises(ReplyError, match="No permissions"):
        change.poll()
    here.engine.give_up(change)
    here.engine.keep(change := here.engine.subscribe(Kind.SHARD, {b"x": None}))
    here.net.serve()
    assert [event.names for event in here.events() if isinstance(event, SubscriptionFailed)] == [(b"x",)]


def test_shard_channels_and_channels_together() -> None:
    cluster = slow_gossip()
    engine = PubSub[bytes](["c"], ["p*"], shard_channels=SHARDS, router=router_of(cluster))
    here = Town(cluster, engine)
    here.run(0.3)
    assert engine.is_ready
    here.say(cluster.nodes[0], "PUBLISH", "c", "1")
    here.net.serve()
    assert [message.data for message in engine.take()] == [b"1"]
    main = next(link for link in engine.links() if link.name == "main")
    node = cluster.at("127.0.0.1", main.address.port)  # type: ignore[union-attr]  # a node of a cluster has a port
    assert node is not None
    cluster.crash(node)
    here.run(5.0)
    assert here.is_live()
    assert {b"c", b"p*"} <= here.names_in_gaps()
    assert all(isinstance(gap.names, tuple) for gap in here.gaps())
    change = engine.unsubscribe(Kind.CHANNEL)
    here.net.serve()
    assert change.poll()


def test_channels_are_desired_later() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster)
    change = here.engine.subscribe(Kind.CHANNEL, {b"c": None})
    here.net.advance(0.2)
    assert change.poll()
    assert here.engine.is_ready


def test_nothing_to_subscribe_to_yet() -> None:
    cluster = ModelCluster(now=1000.0)
    here = Town(cluster, PubSub[bytes](router=router_of(cluster)))
    here.net.advance(0.2)
    assert here.engine.is_ready
    assert [link.name for link in here.engine.links() if link.is_up] == ["topology", "main"]


def test_a_full_buffer_stops_the_reading_of_all_nodes() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster, queue_size=4)
    for _ in range(3):
        here.publish()
        here.net.serve()
    assert not any(link.wants_data for link in here.engine.links() if "shard" in link.name)
    change = here.engine.subscribe(Kind.SHARD, {b"x": None})
    here.log += here.engine.take()  # the buffer is full still, and the answer has to be read all the same
    here.net.serve()
    assert change.poll()
    here.take()
    assert all(link.wants_data for link in here.engine.links())
    here.run(0.2)
    assert here.check().is_live()


def test_closing_with_a_move_under_way() -> None:
    cluster = slow_gossip()
    here = town(cluster)
    cluster.move_slot(key_slot("s1"), other_primary(cluster, "s1"))
    here.engine.close()
    here.net.advance(1.0)
    assert not any(link.wants_connection for link in here.engine.links() if "shard" in link.name)
    here.engine._follow()  # the router may tell a closed engine
    assert not here.gaps()


# -- redirects that lead nowhere -----------------------------------------------------------------------------------------


def test_nodes_that_name_each_other_are_asked_ever_more_slowly() -> None:
    cluster = ModelCluster(now=1000.0)
    here = Town(cluster, PubSub[bytes](shard_channels=["s0"], router=router_of(cluster)))
    here.net.advance(0.3)
    owner, other = cluster.owner("s1"), other_primary(cluster, "s1")
    slot = key_slot("s1")
    for node, named in ((owner, other), (other, owner)):
        node.faults.fail_next("SSUBSCRIBE", f"MOVED {slot} 127.0.0.1:{named.address[1]}", times=8)
    change = here.engine.subscribe(Kind.SHARD, {b"s1": None})
    here.net.serve()
    assert not change.poll()
    here.net.advance(3.0)
    assert change.poll()


def test_a_redirect_to_the_node_itself_or_to_a_stranger_is_not_followed() -> None:
    cluster = ModelCluster(now=1000.0)
    here = Town(cluster, PubSub[bytes](shard_channels=["s0"], router=router_of(cluster)))
    here.net.advance(0.3)
    owner, slot = cluster.owner("s1"), key_slot("s1")
    owner.faults.fail_next("SSUBSCRIBE", f"MOVED {slot} 127.0.0.1:{owner.address[1]}")
    owner.faults.fail_next("SSUBSCRIBE", f"MOVED {slot} 10.9.9.9:1")
    change = here.engine.subscribe(Kind.SHARD, {b"s1": None})
    here.net.advance(3.0)
    assert change.poll()


def test_confirmations_are_shown_to_the_application() -> None:
    cluster = slow_gossip()
    here = Town(
        cluster, PubSub[bytes](shard_channels=["s1"], router=router_of(cluster), ignore_subscribe_messages=False)
    )
    here.net.advance(0.3)
    cluster.move_slot(key_slot("s1"), other_primary(cluster, "s1"))
    here.net.advance(0.3)
    kinds = [message.kind for message in here.engine.take()]
    kinds += [message.kind for message in here.engine.take()]
    assert kinds == ["ssubscribe", "sunsubscribe", "ssubscribe"]


def test_gaps_of_several_links_name_them() -> None:
    cluster = slow_gossip()
    here = town(cluster)
    for node in cluster.primaries():
        cluster.crash(node)
    here.net.advance(0.01)
    here.take()
    [gap] = here.gaps()
    assert isinstance(gap, SubscriptionGap)
    assert gap.link.count("shard channels at") == 3


def test_a_node_that_may_not_end_a_subscription_does_so_when_the_slot_leaves() -> None:
    cluster = ModelCluster(now=1000.0)
    here = town(cluster)
    cluster.owner("s1").faults.fail_next("SUNSUBSCRIBE", "NOPERM No permissions to run the 'sunsubscribe' command")
    change = here.engine.unsubscribe(Kind.SHARD, [b"s1"])
    here.net.serve()
    assert change.poll()
    assert b"s1" in here.engine._subscriptions.table[Kind.SHARD]
    cluster.move_slot(key_slot("s1"), other_primary(cluster, "s1"))
    here.net.serve()
    assert b"s1" not in here.engine._subscriptions.table[Kind.SHARD]
