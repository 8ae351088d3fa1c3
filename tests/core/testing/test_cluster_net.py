"""Engines and a model cluster in virtual time: a link reaches the node at its address, or is refused."""

from __future__ import annotations

from streamcore.commands import get, incr, raw
from streamcore.errors import MovedError
from streamcore.events import ConnectAttemptFailed, Connected, Disconnected, Reconnected
from streamcore.options import Address, Login, ServerKind, UnixAddress
from streamcore.requests import Multiplexer, Request
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model import Server
from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.model.cluster.sentinel import ModelSentinels
from streamcore.testing.net import Fate

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


def test_sentinels_are_reached_as_well() -> None:
    primary = Server(now=1000.0)
    sentinels = ModelSentinels(primary, [], now=1000.0)
    login = Login(kind=ServerKind.SENTINEL)
    engine = Multiplexer(address=Address("127.0.0.1", 26380), login=login)
    net = ClusterNet(sentinels, engine)
    request = engine.submit([raw("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")], lambda request: None)
    net.serve()
    assert request.answer() == [b"127.0.0.1", b"6379"]
    sentinels.sentinels[1].is_up = False
    engine = Multiplexer(address=Address("127.0.0.1", 26380), login=login)
    engine.submit([get(KEY)], lambda request: None)
    refused = ClusterNet(sentinels, engine)
    refused.advance(1.0)
    assert {type(event) for event in refused.pair.events()} == {ConnectAttemptFailed}


def test_servers_behind_nat() -> None:
    cluster = ModelCluster(now=1000.0, host="10.0.0.1")
    engine = Multiplexer(address=Address("127.0.0.1", 17_002))
    net = ClusterNet(cluster, engine, routes={("127.0.0.1", 17_002): ("10.0.0.1", 7002)})
    assert ask(net, engine) == 1
    inside = Multiplexer(address=Address("10.0.0.1", 7002))
    inside.submit([get(KEY)], lambda request: None)
    refused = ClusterNet(cluster, inside, routes={})
    refused.advance(1.0)
    assert ConnectAttemptFailed in {type(event) for event in refused.pair.events()}


def test_a_hidden_server_is_not_dialled() -> None:
    cluster = ModelCluster(now=1000.0)
    engine, net = client(cluster, 7002)
    net.hidden.add(cluster.nodes[2])
    cluster.crash(cluster.nodes[2])
    cluster.restart(cluster.nodes[2])
    net.advance(1.0)
    assert Reconnected not in {type(event) for event in net.pair.events()}
    net.hidden.clear()
    net.advance(5.0)
    assert ask(net, engine) == 1


def test_only_addresses_of_hosts_lead_anywhere() -> None:
    engine = Multiplexer(address=UnixAddress("/tmp/s"))
    net = ClusterNet(ModelCluster(now=1000.0), engine)
    net.advance(1.0)
    assert {type(event) for event in net.pair.events()} == {ConnectAttemptFailed}


def test_a_node_that_ends_between_the_dial_and_the_first_command() -> None:
    cluster = ModelCluster(now=1000.0)
    engine, net = client(cluster, 7002)
    net.cut("main", Fate.REPLIES_LOST)
    at = engine.next_timeout()
    assert at is not None
    net.pair.advance_to(at)
    assert net.pair.server.commands, "the greeting is on its way"
    cluster.crash(cluster.nodes[2])
    net.advance(0.1)
    cluster.restart(cluster.nodes[2])
    net.advance(5.0)
    assert ask(net, engine) == 1
