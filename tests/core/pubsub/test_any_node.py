"""Channels and patterns in a cluster: a link to any node, and to another when that is lost, silent or gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamcore.channels import BroadcastHub, ChannelMessage, Naming, Settings
from streamcore.engine.engine import Engine
from streamcore.events import SubscriptionGap
from streamcore.options import Address
from streamcore.pubsub import PubSub
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.testing.model.cluster.moves import move_at_once
from streamcore.testing.resp import resp
from tests.core.support.cluster_subscribers import router_of


def kill(cluster: ModelCluster, node: Node) -> None:
    cluster.crash(node)


def silence(cluster: ModelCluster, node: Node) -> None:
    cluster.pause(node)


def leave(cluster: ModelCluster, node: Node) -> None:
    heir = next(one for one in cluster.primaries() if one is not node)
    move_at_once(list(node.view.slots_of(node.id)), node, heir, cluster.gossip)
    cluster.leave(node)


def forget(cluster: ModelCluster, node: Node) -> None:
    """Let all other nodes forget a node, which goes on running, and keeps its connections."""
    heir = next(one for one in cluster.primaries() if one is not node)
    move_at_once(list(node.view.slots_of(node.id)), node, heir, cluster.gossip)
    for other in cluster.nodes:
        if other is not node:
            other.view.remove(node.id)
            other.settle(cluster.now)
    del cluster.bus.nodes[node.id]


def node_of(cluster: ModelCluster, engine: Engine) -> Node:
    [link] = [link for link in engine.links() if link.name == "main"]
    assert isinstance(link.address, Address)
    node = cluster.at(link.address.host, link.address.port)
    assert node is not None
    return node


def publish(cluster: ModelCluster, net: ClusterNet, but: Node) -> None:
    """Publish at a node that the subscriber was not at before."""
    session = next(node for node in cluster.primaries() if node is not but).connect(cluster.now)
    session.receive(resp([b"PUBLISH", b"c", b"hello"]), cluster.now)
    net.serve()


@pytest.mark.parametrize("change", [kill, silence, leave])
def test_another_node_takes_the_place_of(change: Callable[[ModelCluster, Node], None]) -> None:
    cluster = ModelCluster(replicas=0, now=1000.0)
    engine = PubSub[bytes](["c"], router=router_of(cluster))
    net = ClusterNet(cluster, engine)
    net.advance(0.3)
    former = node_of(cluster, engine)
    change(cluster, former)
    net.advance(4.5)
    assert node_of(cluster, engine) is not former
    publish(cluster, net, former)
    assert [message.data for message in engine.take()] == [b"hello"]
    [gap] = [event for event in net.pair.events() if isinstance(event, SubscriptionGap)]
    assert gap.names == (b"c",)


def test_a_node_that_was_forgotten_is_left_though_it_goes_on_running() -> None:
    cluster = ModelCluster(replicas=0, now=1000.0)
    engine = PubSub[bytes](["c"], router=router_of(cluster))
    net = ClusterNet(cluster, engine)
    net.advance(0.3)
    former = node_of(cluster, engine)
    forget(cluster, former)
    net.advance(40.0)
    assert node_of(cluster, engine) is not former
    publish(cluster, net, former)
    assert [message.data for message in engine.take()] == [b"hello"]
    [gap] = [event for event in net.pair.events() if isinstance(event, SubscriptionGap)]
    assert gap.names == (b"c",)


@pytest.mark.parametrize(("change", "seconds"), [(kill, 4.5), (silence, 4.5), (leave, 4.5), (forget, 40.0)])
def test_a_hub_goes_to_another_node(change: Callable[[ModelCluster, Node], None], seconds: float) -> None:
    cluster = ModelCluster(replicas=0, now=1000.0)
    engine = BroadcastHub(Settings(prefix=""), Naming("", "utf-8"), router=router_of(cluster))
    net = ClusterNet(cluster, engine)
    subscriber = engine.subscribers.first
    joining = engine.join(subscriber, "c")
    net.advance(0.3)
    assert joining.poll()
    former = node_of(cluster, engine)
    change(cluster, former)
    net.advance(seconds)
    assert node_of(cluster, engine) is not former
    publish(cluster, net, former)
    received = engine.take_for(subscriber)
    assert [item.data for item in received if isinstance(item, ChannelMessage)] == ["hello"]
    assert any(isinstance(event, SubscriptionGap) for event in net.pair.events())
