"""The addresses that a client is given: resolved anew, dead, of other clusters and of standalone servers."""

from __future__ import annotations

import pytest

from streamcore.commands import incr, ping
from streamcore.errors import ConnectionLost, InvalidArgument, LoginRefused, StreamcoreError
from streamcore.options import Address
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model import Server
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.topology_events import RedirectRefused, TopologyChanged
from tests.core.support.clusters import KEYS, START, Rig, Topologies

NODES = [Address("127.0.0.1", port) for port in range(7000, 7006)]
STANDALONE = Address("127.0.0.1", 6390)
NO_SUCH = Address("127.0.0.1", 6999)


class Among:
    """The nodes of a cluster, and a standalone server beside them."""

    def __init__(self, model: ModelCluster, port: int) -> None:
        self.model = model
        self.port = port
        self.server = Server(now=START)

    @property
    def now(self) -> float:
        return self.model.now

    def at(self, host: str, port: int) -> Server | None:
        return self.server if port == self.port else self.model.at(host, port)

    def next_timeout(self) -> float | None:
        return self.model.next_timeout()

    def handle_timeout(self, now: float) -> None:
        self.server.handle_timeout(now)
        self.model.handle_timeout(now)

    def take_changed(self) -> list[object]:
        return [*self.model.take_changed(), *self.server.take_changed()]


@pytest.mark.parametrize("chance", [0.0, 0.4, 0.99])
@pytest.mark.parametrize(
    "seeds", [[STANDALONE, *NODES[:2]], [*NODES[:2], STANDALONE], [NODES[0], NO_SUCH, STANDALONE], [STANDALONE]]
)
def test_a_standalone_server_among_the_seeds_is_an_error_wherever_it_stands(
    seeds: list[Address], chance: float
) -> None:
    rig = Rig(seeds=seeds, starts=False, engine={"random": lambda: chance})
    net = ClusterNet(Among(rig.model, STANDALONE.port), rig.client)
    net.advance(1.0)
    assert isinstance(rig.client.error, InvalidArgument)
    assert str(rig.client.error) == "127.0.0.1:6390 is a standalone server, and no node of a cluster"
    with pytest.raises(InvalidArgument):
        rig.client.submit([ping()], print)


def test_seeds_that_are_nodes_or_dead_are_asked_once() -> None:
    rig = Rig(seeds=[NODES[0], NO_SUCH, Address("127.0.0.2", 7001)], starts=False)
    rig.model.nodes[1].view.myself.hostname = b"127.0.0.2"
    asked = Topologies(rig.model)
    rig.start()
    rig.advance(2.0)
    assert rig.client.error is None
    assert asked.take() == 2
    rig.advance(8.0)
    assert asked.take() == 0


def test_a_seed_that_is_a_standalone_server_by_now_is_passed_over() -> None:
    """The cluster is known since long: a server at a former address is no reason to end."""
    rig = Rig(seeds=[NODES[0], NODES[5]], refresh_interval=10.0)
    rig.advance(1.0)
    for node in rig.model.nodes[:2]:
        rig.model.pause(node)
    rig.net._site = Among(rig.model, 7005)
    rig.advance(30.0)
    assert rig.client.error is None
    assert rig.ask(incr("a")).answer() == 1


def renumber(model: ModelCluster, node: Node, host: bytes, port: int) -> None:
    """Let a node come back at another address, under its identity."""
    for other in model.nodes:
        member = other.view.members[node.id]
        member.host, member.port = host, port
    node.view.myself.host, node.view.myself.port = host, port


def test_all_nodes_come_back_at_other_addresses_and_the_seed_is_a_name() -> None:
    model = ModelCluster(now=START, node_timeout=60.0, host="10.0.0.1")
    rig = Rig(model=model, seeds=[Address("cluster.example", 7000)], starts=False)
    names = {"cluster.example": "10.0.0.1"}
    rig.net = ClusterNet(rig.model, rig.client)
    find = rig.model.at
    rig.model.at = lambda host, port: find(names.get(str(host), host), port)  # type: ignore[method-assign]
    rig.advance(0.3)
    for key in KEYS:
        assert rig.ask(incr(key)).answer() == 1
    nodes = [*rig.model.nodes]
    for node in nodes:
        rig.model.crash(node)
    rig.advance(2.0)
    waits = [rig.ask(incr(key)) for key in KEYS]
    for node in nodes:
        renumber(rig.model, node, b"10.0.0.9", node.view.myself.port)
        rig.model.restart(node)
    names["cluster.example"] = "10.0.0.9"
    rig.advance(2.5)
    assert [request.answer() for request in waits] == [2, 2, 2]
    [change] = rig.events(TopologyChanged)
    assert (len(change.joined), len(change.left), change.moved) == (6, 6, ())
    assert {link.address.host for link in rig.client.links() if link.is_up} == {"10.0.0.9"}  # type: ignore[union-attr]
    rig.expect_nothing_left()


def test_a_remote_node_that_announces_its_own_loopback_is_told_of() -> None:
    rig = Rig(seeds=[Address("cluster.example", 7000)], starts=False)
    find = rig.model.at
    rig.model.at = lambda host, port: find("127.0.0.1", port)  # type: ignore[method-assign]
    rig.net = ClusterNet(rig.model, rig.client)
    request = rig.ask(incr("a"))
    rig.until(request)
    with pytest.raises(
        ConnectionLost, match=r"cluster.example:7000 announces 127.0.0.1:7002, which leads nowhere from here"
    ):
        request.answer()
    told = [(event.address, event.announced_by) for event in rig.events(RedirectRefused)]
    assert sorted(told) == [(f"127.0.0.1:{port}", "cluster.example:7000") for port in (7000, 7001, 7002)]


def test_a_node_without_an_address_costs_its_own_slots_only_and_is_told_of() -> None:
    rig = Rig(starts=False)
    for node in rig.model.nodes:
        node.view.members[rig.model.nodes[2].id].host = b"?"
    rig.start()
    assert rig.ask(incr("b")).answer() == 1
    request = rig.ask(incr("a"))
    rig.until(request)
    with pytest.raises(
        ConnectionLost,
        match=r"no node was known for its slot within 5 s: .* announces \?:7002, which leads nowhere from here",
    ):
        request.answer()
    assert [event.address for event in rig.events(RedirectRefused)] == ["?:7002"]


@pytest.mark.parametrize("line", ["ERR unknown command 'HELLO'", "NOPROTO unsupported protocol version"])
def test_nodes_that_speak_no_resp3_are_named(line: str) -> None:
    rig = Rig(starts=False)
    for node in rig.model.nodes:
        node.faults.fail_next("HELLO", line, 10)
    request = rig.submit(incr("a"))
    rig.start()
    rig.advance(0.5)
    assert isinstance(rig.client.error, StreamcoreError)
    assert "127.0.0.1:7000: the server, or a proxy in front of it, does not speak RESP3" in str(rig.client.error)
    assert request.finished


def test_a_single_node_that_speaks_no_resp3_costs_its_own_slots_only() -> None:
    rig = Rig()
    rig.owner("a").faults.fail_next("HELLO", "ERR unknown command 'HELLO'", 10)
    lost = rig.ask(incr("a"))
    rig.until(lost)
    with pytest.raises(StreamcoreError, match="RESP3"):
        lost.answer()
    assert rig.ask(incr("b")).answer() == 1


# -- nodes that refuse for good -------------------------------------------------------------------------------------------

WRONGPASS = "WRONGPASS invalid username-password pair"


def main_of(rig: Rig) -> Address:
    [address] = [link.address for link in rig.client.links() if link.name == "main"]
    assert isinstance(address, Address)
    return address


@pytest.mark.parametrize("chance", [0.0, 0.4, 0.99])
def test_a_node_that_refuses_the_login_is_not_the_end_where_any_node_will_do(chance: float) -> None:
    """Commands without keys go to another node, whichever was chosen first."""
    rig = Rig(starts=False, engine={"random": lambda: chance}, seeds=NODES[3:4])
    for node in rig.model.nodes[:2]:
        node.faults.fail_next("HELLO", WRONGPASS, 100)
    rig.start()
    rig.advance(0.5)
    assert rig.client.error is None
    assert rig.ask(ping()).answer() == b"PONG"
    assert main_of(rig) == NODES[2]
    assert rig.ask(incr("a")).answer() == 1


def test_where_all_nodes_refuse_it_is_the_end() -> None:
    rig = Rig(starts=False, seeds=NODES[3:4])
    for node in rig.model.nodes[:3]:
        node.faults.fail_next("HELLO", WRONGPASS, 100)
    rig.start()
    rig.advance(0.5)
    assert isinstance(rig.client.error, LoginRefused)
