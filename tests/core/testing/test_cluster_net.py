"""Engines and a model cluster in virtual time: a link reaches the node at its address, or is refused."""

from __future__ import annotations

from streamcore.commands import get, incr
from streamcore.errors import MovedError
from streamcore.events import ConnectAttemptFailed, Connected, Disconnected, Reconnected
from streamcore.options import Address
from streamcore.requests import Multiplexer, Request
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster

KEY = "{a}1"


def client(cluster: ModelCluster, port: int) -> tuple[Multiplexer, ClusterNet]:
    engine = Multiplexer(address=Address("127.0.0.1", port))
    return engine, ClusterNet(cluster, engine)


def ask(net: ClusterNet, engine: Multiplexer) -> object:
    request = engine.submit([incr(KEY)], lambda request: None)
    net.serve()
    try:
        return request.answer()
    except MovedError as error:
        return error.slot, error.port


def test_each_link_reaches_its_node() -> None:
    cluster = ModelCluster(now=1000.0)
    owner, owners_net = client(cluster, 7002)
    other, others_net = client(cluster, 7000)
    assert ask(owners_net, owner) == 1
    assert ask(others_net, other) == (15495, 7002)
    cluster.move_slot(15495, cluster.nodes[0])
    assert ask(others_net, other) == 2
    assert ask(owners_net, owner) == (15495, 7000)


def test_a_node_that_has_ended_refuses() -> None:
    cluster = ModelCluster(now=1000.0)
    engine, net = client(cluster, 7002)
    ask(net, engine)
    cluster.crash(cluster.nodes[2])
    net.advance(5.0)
    kinds = {type(event) for event in net.pair.events()}
    assert kinds == {Connected, Disconnected, ConnectAttemptFailed}
    cluster.restart(cluster.nodes[2])
    net.advance(5.0)
    assert Reconnected in {type(event) for event in net.pair.events()}
    assert ask(net, engine) == 2


def test_a_paused_node_answers_later() -> None:
    cluster = ModelCluster(now=1000.0, node_timeout=60.0)
    engine, net = client(cluster, 7002)
    assert ask(net, engine) == 1
    cluster.pause(cluster.nodes[2])
    done: list[Request] = []
    request = engine.submit([get(KEY)], done.append)
    net.advance(1.0)
    assert not done
    cluster.resume(cluster.nodes[2])
    net.serve()
    assert request.answer() == b"1"
