"""The engine of a client in a cluster, against the model: dedicated links, certain nodes, tours of all primaries."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import commands
from streamcore.cluster.client import ClusterClient
from streamcore.cluster.cluster import Cluster
from streamcore.commands import Command, get, incr, key_slot, ping, set_, xadd, xread
from streamcore.commands.command import LinkUse, Traits
from streamcore.connection.link_state import State
from streamcore.errors import (
    ConnectFailed,
    ConnectionLost,
    CrossSlotError,
    InvalidArgument,
    MovedError,
    RequestTimeout,
    TryAgainError,
)
from streamcore.events import Connected, Disconnected, Event, Reconnected
from streamcore.options import Address, UnixAddress
from streamcore.requests import MAX_LEASES, DedicatedLink, Request
from streamcore.requests.nodes import ServerNode
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster, Node
from streamcore.topology_events import KeysMoved

KEY = "{orders}1"
SLOT = key_slot(KEY)
OTHER = "{other}1"
wait: Command[int] = Command(("PING",), traits=Traits(slice(0, 0), use=LinkUse.DEDICATED))
"""A command without keys that needs a dedicated link."""


class Play:
    """A client of a model cluster, which knows its topology."""

    def __init__(self, **cluster: Any) -> None:
        self.cluster = ModelCluster(now=1000.0, **cluster)
        seed = where(self.cluster.nodes[0])
        self.engine = ClusterClient(router=Cluster([seed]).router)
        self.events: list[Event] = []
        self.engine.on_event = self.events.append
        self.net = ClusterNet(self.cluster, self.engine)
        self.net.advance(0.1)
        assert self.engine.is_ready

    @property
    def owner(self) -> Node:
        return self.cluster.owner(KEY)

    @property
    def stranger(self) -> Node:
        return next(node for node in self.cluster.primaries() if node is not self.owner)

    def lease(self, *asked: Command[Any]) -> DedicatedLink:
        lease = self.engine.lease(asked)
        assert lease is not None
        return lease

    def ask(self, at: Any, *asked: Command[Any]) -> Request:
        request: Request = at.submit(list(asked), _ignored)
        self.net.serve()
        return request

    def answer(self, at: Any, *asked: Command[Any]) -> Any:
        return self.ask(at, *asked).answers()

    def links(self, start: str) -> dict[str, str]:
        found = [link for link in self.engine.links() if link.name.startswith(start) and link.is_up]
        return {link.name: str(link.address) for link in found}

    def told(self, link: str) -> list[type]:
        return [type(event) for event in self.events if getattr(event, "link", "") == link]


def _ignored(_: Request) -> None:
    pass


def where(node: Node) -> Address:
    host, port = node.address
    return Address(host.decode(), port)


def address(node: Node) -> str:
    return str(where(node))


@pytest.fixture
def play() -> Play:
    return Play()


def read_from(key: str) -> Command[Any]:
    return xread({key: "0"}, block=1)


# -- dedicated links -----------------------------------------------------------------------------------------------------


def test_a_dedicated_link_leads_to_the_node_of_its_keys(play: Play) -> None:
    lease = play.lease(read_from(KEY))
    assert play.answer(play.engine, xadd(KEY, {"n": 1}))
    [found] = play.answer(lease, read_from(KEY))
    assert len(found) == 1
    assert play.links("lease") == {"lease-1": address(play.owner)}


def test_keys_of_several_slots_are_refused_before_anything_is_sent(play: Play) -> None:
    with pytest.raises(CrossSlotError, match=r"the pipeline has keys of 2 slots.*or send a pipeline for each slot"):
        play.engine.lease([set_(KEY, 1), read_from(OTHER)])
    lease = play.lease(commands.watch(KEY))
    play.ask(lease, commands.watch(KEY))
    for submit in (lease.submit, lease.transact):
        with pytest.raises(CrossSlotError, match="the transaction has keys of 2 slots"):
            submit([get(OTHER)], _ignored)
    assert play.answer(lease, get(KEY), ping()) == [None, b"PONG"]


def test_a_link_is_leased_again_at_its_node(play: Play) -> None:
    for key in (KEY, OTHER, KEY, OTHER):
        lease = play.lease(get(key))
        assert play.answer(lease, get(key)) == [None]
        lease.release()
        play.net.serve()
    assert play.links("lease") == {
        "lease-1": address(play.owner),
        "lease-2": address(play.cluster.owner(OTHER)),
    }
    keyless = play.lease(wait)
    assert play.answer(keyless, wait) == [b"PONG"]
    assert len(play.links("lease")) == 2, "any free link serves a command without keys"


def test_where_all_links_exist_a_free_link_goes_to_another_node(play: Play) -> None:
    taken = [play.lease(get(KEY)) for _ in range(MAX_LEASES)]
    play.net.serve()
    assert play.engine.lease([get(KEY)]) is None
    assert play.engine.lease_at(where(play.owner)) is None
    taken[3].release()
    play.net.serve()
    lease = play.lease(get(OTHER))
    play.net.advance(0.1)
    assert play.answer(lease, get(OTHER)) == [None]
    assert play.links("lease-4") == {"lease-4": address(play.cluster.owner(OTHER))}
    assert Reconnected not in play.told("lease-4")


def test_a_closed_link_is_opened_for_the_next_lease_wherever_that_leads(play: Play) -> None:
    lease = play.lease(get(KEY))
    play.ask(lease, get(KEY))
    lease.release()
    play.net.advance(11.0)
    assert play.links("lease") == {}
    assert play.answer(play.lease(get(OTHER)), get(OTHER)) == [None]
    keyless = play.lease(wait)
    assert play.answer(keyless, wait) == [b"PONG"]
    keyless.release()
    play.net.advance(11.0)
    assert play.answer(play.lease(wait), wait) == [b"PONG"]
    assert len(play.links("lease")) == 2


def test_a_lease_may_begin_and_end_before_any_node_is_known() -> None:
    engine = ClusterClient(router=Cluster([Address("h", 1)]).router)
    lease = engine.lease([get(KEY)])
    assert lease is not None
    lease.release()
    assert engine.lease([get(OTHER)]) is not None


def test_what_is_refused_on_an_unused_link_is_tried_elsewhere(play: Play) -> None:
    lease = play.lease(get(KEY))
    play.ask(lease, get(KEY))
    lease.release()
    target = play.stranger
    play.cluster.move_slot(SLOT, target)
    lease = play.lease(get(KEY))  # where the slot was, as far as the client knows
    assert play.links("lease") != {"lease-1": address(target)}
    request = play.ask(lease, set_(KEY, 1), ping())
    play.net.advance(0.1)
    assert request.answers() == [b"OK", b"PONG"]
    assert play.links("lease") == {"lease-1": address(target)}


def test_used_links_that_are_redirected_are_lost_and_nothing_was_executed(play: Play) -> None:
    lease = play.lease(commands.watch(KEY))
    play.ask(lease, commands.watch(KEY))
    old = play.owner
    play.cluster.move_slot(SLOT, play.stranger)
    request = lease.transact([incr(KEY)], _ignored)
    play.net.serve()
    with pytest.raises(ConnectionLost, match=f"has left {address(old)}.*nothing was executed") as lost:
        request.answers()
    assert not lost.value.sent
    with pytest.raises(ConnectionLost, match="in vain"):
        lease.submit([get(KEY)], _ignored)
    lease.release()
    play.net.serve()
    assert play.links("lease") == {}, "its node still watches the key"
    again = play.lease(commands.watch(KEY))
    play.ask(again, commands.watch(KEY))
    play.net.advance(0.1)
    made = again.transact([incr(KEY)], _ignored)
    play.net.serve()
    assert made.answers() == [1]


def test_a_slot_on_its_way_is_asked_for(play: Play) -> None:
    target = play.stranger
    move = play.cluster.begin_move(SLOT, target)
    move.begin()
    lease = play.lease(commands.watch(KEY))
    play.ask(lease, commands.watch(KEY))
    play.net.advance(0.1)
    assert play.links("lease") == {"lease-1": address(target)}
    assert play.answer(lease, get(KEY), get("{orders}2")) == [None, None]
    request = lease.transact([incr(KEY)], _ignored)
    play.net.serve()
    assert request.answers() == [1]
    assert target.databases[0].values[KEY.encode()]
    lease.release()
    play.net.serve()
    asked = play.engine.lease([get("{orders}3")])
    assert asked is not None
    play.net.cut("lease-1", _fate())
    request = play.ask(asked, get("{orders}3"))
    play.net.advance(0.5)
    assert request.answers() == [None]


def _fate() -> Any:
    from streamcore.testing.net import Fate

    return Fate.REQUESTS_LOST


def test_a_lost_link_that_asks_goes_on_asking(play: Play) -> None:
    move = play.cluster.begin_move(SLOT, play.stranger)
    move.begin()
    lease = play.lease(get(KEY))
    request = lease.submit([get(KEY)], _ignored)
    for _ in range(3):
        play.net.pair.settle()
    play.net.advance(0.1)
    assert request.answers() == [None]
    play.net.cut("lease-1", _fate())
    play.net.advance(1.0)
    assert play.links("lease") == {"lease-1": address(move.target)}


def test_keys_that_are_half_moved_are_tried_again(play: Play) -> None:
    play.answer(play.engine, set_(KEY, 1), set_("{orders}2", 2))
    move = play.cluster.begin_move(SLOT, play.stranger)
    move.begin()
    move.move_keys(1)
    asked = commands.watch(KEY, "{orders}2")
    lease = play.lease(asked)
    request = play.ask(lease, asked)
    play.net.advance(0.3)
    assert not request.finished
    move.finish()
    play.net.advance(3.0)
    assert request.answers() == [b"OK"]
    assert play.links("lease") == {"lease-1": address(move.target)}


def test_at_the_deadline_the_last_refusal_is_raised(play: Play) -> None:
    play.answer(play.engine, set_(KEY, 1), set_("{orders}2", 2))
    move = play.cluster.begin_move(SLOT, play.stranger)
    move.begin()
    move.move_keys(1)
    asked = commands.watch(KEY, "{orders}2")
    request = play.ask(play.lease(asked), asked)
    play.net.advance(6.0)
    with pytest.raises((TryAgainError, ConnectionLost)):
        request.answers()


def test_other_refusals_on_a_used_link_are_answers(play: Play) -> None:
    play.answer(play.engine, set_(KEY, 1), set_("{orders}2", 2))
    lease = play.lease(commands.watch(KEY))
    play.ask(lease, commands.watch(KEY))
    move = play.cluster.begin_move(SLOT, play.stranger)
    move.begin()
    move.move_keys(1)
    [answer] = play.answer(lease, commands.mget(KEY, "{orders}2"))
    assert isinstance(answer, TryAgainError)


def test_a_caller_that_has_gone_is_not_asked_for_again(play: Play) -> None:
    play.cluster.move_slot(SLOT, play.stranger)
    lease = play.lease(get(KEY))
    request = lease.submit([get(KEY)], _ignored)
    request.finished = True
    play.net.serve()
    lease.release()
    play.net.advance(0.5)
    assert not request.replies or isinstance(request.replies[0], MovedError)


@pytest.mark.parametrize("again", [False, True])
def test_blocked_commands_are_ended_by_their_node_not_by_the_topology(play: Play, again: bool) -> None:
    old, target = play.owner, play.stranger
    lease = play.lease(read_from(KEY))
    if again:
        play.ask(lease, get(KEY))
        lease.release()
        play.net.serve()
        lease = play.lease(read_from(KEY))
    request = play.ask(lease, read_from(KEY))
    play.cluster.move_slot(SLOT, target)
    play.net.advance(0.5)
    play.ask(play.engine, xadd(KEY, {"n": 1}))
    play.net.advance(2.0)
    assert request.finished
    assert not isinstance(request.error, ConnectionLost)
    assert address(old) != address(play.owner)


def test_links_to_a_node_that_is_no_primary_any_more_are_dropped() -> None:
    play = Play(election_delay=0.5)
    free, leased = play.lease(get(KEY)), play.lease(commands.watch(KEY))
    play.ask(free, get(KEY))
    play.ask(leased, commands.watch(KEY))
    free.release()
    play.net.serve()
    old = play.owner
    play.cluster.pause(old)
    request = leased.submit([get(KEY)], _ignored)
    shared = play.engine.submit([get(KEY)], _ignored)
    play.net.advance(4.5)
    assert play.links("lease") == {"lease-2": address(play.owner)}
    with pytest.raises(ConnectionLost) as lost:
        request.answers()
    assert lost.value.sent
    assert shared.answers() == [None]
    assert play.owner is not old


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
    transaction = play.engine.at(here).transact([incr(KEY)], _ignored)
    play.net.serve()
    assert transaction.answers() == [2]
    lease = play.engine.at(there).lease([get(KEY)])
    assert lease is not None
    [moved] = play.answer(lease, get(KEY))
    assert isinstance(moved, MovedError)
    with pytest.raises(InvalidArgument, match="would block everybody's commands"):
        play.engine.at(here).submit([wait], _ignored)
    with pytest.raises(InvalidArgument, match="unix:/s is no node of this cluster"):
        play.engine.at(ServerNode("", UnixAddress("/s"), "primary"))


def test_each_node_is_asked(play: Play) -> None:
    nodes = play.engine.nodes()
    call = play.engine.each(nodes, [ping()], _ignored)
    play.net.serve()
    assert call.outcomes() == [b"PONG"] * 6
    with pytest.raises(InvalidArgument, match="would block"):
        play.engine.each(nodes, [wait], _ignored)
    play.cluster.crash(play.stranger)
    call = play.engine.each(nodes, [get(KEY)], _ignored)
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
    play.net.cut(name, _fate())
    play.net.advance(1.0)
    assert play.told(name)[2:] == [Disconnected, Reconnected]


def test_a_node_that_can_never_be_connected_ends_no_client(play: Play) -> None:
    [node, *_] = play.engine.nodes()
    request = play.engine.at(node).submit([ping()], _ignored)
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
        play.engine.at(node).submit([ping()], _ignored),
        play.lease(get(KEY)).submit([get(KEY)], _ignored),
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
            play.engine.submit(asked, _ignored)
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
