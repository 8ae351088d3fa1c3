"""A client in a cluster, against the model: certain nodes, tours of all primaries."""

from __future__ import annotations

import pytest

from streamcore import commands
from streamcore.cluster.client import ClusterClient
from streamcore.cluster.cluster import Cluster
from streamcore.commands import get, incr, ping, set_
from streamcore.connection.link_state import State
from streamcore.errors import (
    ConnectFailed,
    ConnectionLost,
    InvalidArgument,
    MovedError,
    RequestTimeout,
)
from streamcore.events import Connected, Disconnected, Reconnected
from streamcore.options import Address, UnixAddress
from streamcore.requests.nodes import ServerNode
from streamcore.testing.net import Fate
from streamcore.topology_events import KeysMoved
from tests.core.support.cluster_client import KEY, SLOT, Play, ignored, wait, where


@pytest.fixture
def play() -> Play:
    return Play()


# -- certain nodes -------------------------------------------------------------------------------------------------------


def test_the_nodes_are_listed_in_the_order_of_their_slots(play: Play) -> None:
    nodes = play.engine.nodes()
    assert [node.role for node in nodes] == ["primary", "replica"] * 3
    assert [node.address for node in nodes[::2]] == [where(play.cluster.owner(slot)) for slot in (0, 8000, 16000)]
    assert all(
        replica.shard == primary.id == primary.shard for primary, replica in zip(nodes[::2], nodes[1::2], strict=True)
    )
    assert ClusterClient(router=Cluster([Address("h", 1)]).router).nodes() == []
    assert play.engine.title == "Client"


def test_a_node_answers_for_itself(play: Play) -> None:
    here, there = (
        next(node for node in play.engine.nodes() if node.address == where(which))
        for which in (play.owner, play.stranger)
    )
    assert play.answer(play.engine.at(here), set_(KEY, 1), get(KEY)) == [b"OK", b"1"]
    [moved] = play.answer(play.engine.at(there), get(KEY))
    assert isinstance(moved, MovedError)
    transaction = play.engine.at(here).transact([incr(KEY)], ignored)
    play.net.serve()
    assert transaction.answers() == [2]
    lease = play.engine.at(there).lease([get(KEY)])
    assert lease is not None
    [moved] = play.answer(lease, get(KEY))
    assert isinstance(moved, MovedError)
    with pytest.raises(InvalidArgument, match="would block everybody's commands"):
        play.engine.at(here).submit([wait], ignored)
    with pytest.raises(InvalidArgument, match="unix:/s is no node of this cluster"):
        play.engine.at(ServerNode("", UnixAddress("/s"), "primary"))


def test_each_node_is_asked(play: Play) -> None:
    nodes = play.engine.nodes()
    call = play.engine.each(nodes, [ping()], ignored)
    play.net.serve()
    assert call.outcomes() == [b"PONG"] * 6
    with pytest.raises(InvalidArgument, match="would block"):
        play.engine.each(nodes, [wait], ignored)
    play.cluster.crash(play.stranger)
    call = play.engine.each(nodes, [get(KEY)], ignored)
    play.net.advance(6.0)
    outcomes = call.outcomes()
    assert sorted(type(one).__name__ for one in outcomes) == ["ConnectionLost", *["MovedError"] * 4, "NoneType"]


def test_a_link_to_a_node_is_closed_when_it_was_idle(play: Play) -> None:
    [node, *_] = play.engine.nodes()
    at = play.engine.at(node)
    play.answer(at, ping())
    name = f"at {node.address}"
    play.net.advance(6.0)
    play.answer(at, ping())
    play.net.advance(6.0)
    assert play.links("at") == {name: str(node.address)}
    play.net.advance(5.0)
    assert play.links("at") == {}
    play.answer(at, ping())
    assert play.told(name) == [Connected, Connected], "that is neither a loss nor a recovery"
    play.net.cut(name, Fate.REQUESTS_LOST)
    play.net.advance(1.0)
    assert play.told(name)[2:] == [Disconnected, Reconnected]


def test_a_node_that_can_never_be_connected_ends_no_client(play: Play) -> None:
    [node, *_] = play.engine.nodes()
    request = play.engine.at(node).submit([ping()], ignored)
    [link] = [link for link in play.engine.links() if link.name.startswith("at")]
    link.connection_lost(ConnectFailed("a certificate of another name", permanent=True), play.cluster.now)
    with pytest.raises(ConnectionLost, match="a certificate of another name"):
        request.answers()
    assert not play.engine.closed
    assert link.state is State.RESTING


def test_closing_ends_the_requests_of_all_queues(play: Play) -> None:
    [node, *_] = play.engine.nodes()
    play.cluster.pause(play.cluster.nodes[0])
    requests = [
        play.engine.at(node).submit([ping()], ignored),
        play.lease(get(KEY)).submit([get(KEY)], ignored),
    ]
    play.engine.close()
    for request in requests:
        with pytest.raises(ConnectionLost, match="the client was closed"):
            request.answers()


def test_a_silent_node_is_late(play: Play) -> None:
    node = next(node for node in play.engine.nodes() if node.address == where(play.owner))
    play.answer(play.engine.at(node), ping())
    play.net.silence(f"at {node.address}")
    request = play.ask(play.engine.at(node), incr(KEY))
    play.net.advance(6.0)
    with pytest.raises((RequestTimeout, ConnectionLost)):
        request.answers()


# -- all keys ------------------------------------------------------------------------------------------------------------


def test_a_cursor_is_of_use_at_a_single_node(play: Play) -> None:
    for asked in ([commands.scan()], [commands.scan(), get(KEY)]):
        with pytest.raises(InvalidArgument, match=r"the cursor of SCAN belongs to a node.*client.scan_keys()"):
            play.engine.submit(asked, ignored)
    play.net.serve()


def test_a_tour_visits_each_primary_once_and_tells_what_has_moved(play: Play) -> None:
    tour = play.engine.tour()
    first = tour.next()
    assert first is not None
    assert not tour.has_left(first)
    joined = play.cluster.join()
    play.cluster.gossip_all()
    play.cluster.move_slot(SLOT, joined)
    play.ask(play.engine, get(KEY))
    play.net.advance(26.0)
    visited = [first]
    while (node := tour.next()) is not None:
        visited.append(node)
    assert where(joined) in [node.address for node in visited]
    assert len({node.id for node in visited}) == len(visited) == 4
    tour.finish()
    assert play.events[-1] == KeysMoved(((SLOT, SLOT),))


def test_a_quiet_tour_tells_nothing(play: Play) -> None:
    tour = play.engine.tour()
    assert [tour.next() is None for _ in range(4)] == [False, False, False, True]
    told = len(play.events)
    tour.finish()
    assert len(play.events) == told
    early = ClusterClient(router=Cluster([Address("h", 1)]).router)
    tour = early.tour()
    assert tour.next() is None
    assert tour.has_left(ServerNode("n", Address(), "primary"))
    tour.finish()
