"""Dedicated links of a client in a cluster, against the model."""

from __future__ import annotations

import pytest

from streamcore import commands
from streamcore.cluster.client import ClusterClient
from streamcore.cluster.cluster import Cluster
from streamcore.commands import get, incr, ping, set_, xadd
from streamcore.errors import (
    ConnectionLost,
    CrossSlotError,
    MovedError,
    RedirectRefusedError,
    TryAgainError,
)
from streamcore.events import Reconnected
from streamcore.options import Address
from streamcore.requests import MAX_LEASES
from streamcore.testing.net import Fate
from tests.core.support.cluster_client import KEY, OTHER, SLOT, Play, address, ignored, read_from, wait, where


@pytest.fixture
def play() -> Play:
    return Play()


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
            submit([get(OTHER)], ignored)
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
    request = lease.transact([incr(KEY)], ignored)
    play.net.serve()
    with pytest.raises(ConnectionLost, match=f"has left {address(old)}.*nothing was executed") as lost:
        request.answers()
    assert not lost.value.sent
    with pytest.raises(ConnectionLost, match="in vain"):
        lease.submit([get(KEY)], ignored)
    lease.release()
    play.net.serve()
    assert play.links("lease") == {}, "its node still watches the key"
    again = play.lease(commands.watch(KEY))
    play.ask(again, commands.watch(KEY))
    play.net.advance(0.1)
    made = again.transact([incr(KEY)], ignored)
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
    request = lease.transact([incr(KEY)], ignored)
    play.net.serve()
    assert request.answers() == [1]
    assert target.databases[0].values[KEY.encode()]
    lease.release()
    play.net.serve()
    asked = play.engine.lease([get("{orders}3")])
    assert asked is not None
    play.net.cut("lease-1", Fate.REQUESTS_LOST)
    request = play.ask(asked, get("{orders}3"))
    play.net.advance(0.5)
    assert request.answers() == [None]


def test_a_lost_link_that_asks_goes_on_asking(play: Play) -> None:
    move = play.cluster.begin_move(SLOT, play.stranger)
    move.begin()
    lease = play.lease(get(KEY))
    request = lease.submit([get(KEY)], ignored)
    for _ in range(3):
        play.net.pair.settle()
    play.net.advance(0.1)
    assert request.answers() == [None]
    play.net.cut("lease-1", Fate.REQUESTS_LOST)
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


@pytest.mark.parametrize("how", ["moved", "asked"])
def test_a_redirect_that_may_not_be_followed_ends_at_the_deadline(play: Play, how: str) -> None:
    port = play.stranger.address[1]
    play.engine._map._redirects._policy._follow = lambda _, other: other != port
    move = play.cluster.begin_move(SLOT, play.stranger)
    move.move_keys()
    lease = play.lease(get(KEY))
    if how == "moved":
        move.finish()
    request = play.ask(lease, get(KEY))
    play.net.advance(6.0)
    why = rf"announces 127.0.0.1:{port}, which may not be followed: pass address_map= or follow="
    with pytest.raises(RedirectRefusedError, match=why):
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
    request = lease.submit([get(KEY)], ignored)
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
    request = leased.submit([get(KEY)], ignored)
    shared = play.engine.submit([get(KEY)], ignored)
    play.net.advance(4.5)
    assert play.links("lease") == {"lease-2": address(play.owner)}
    with pytest.raises(ConnectionLost) as lost:
        request.answers()
    assert lost.value.sent
    assert shared.answers() == [None]
    assert play.owner is not old
