"""Requests that their callers have given up, and clients that are closed: nothing is left behind, and nothing is sent later."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import get, incr, set_
from streamcore.errors import ClosedError, ConnectionLost
from streamcore.options import Address
from tests.core.support.clusters import Moments, Rig, Topologies, slot


@pytest.mark.parametrize("moment", range(1, 9))
def test_a_request_is_given_up_while_its_slot_moves(moment: int) -> None:
    rig = Rig()
    rig.ask(set_("a", 0))
    requests: list[Any] = []

    def give_up() -> None:
        for request in requests[1::2]:
            request.finished = True

    move = rig.model.begin_move(slot("a"), rig.other("a"))
    move.move_keys()
    Moments(rig, [(moment, give_up), (moment + 2, move.finish)])
    requests += [rig.submit(incr("a")) for _ in range(6)]
    requests += [rig.submit(incr("a"), incr("b")) for _ in range(2)]
    rig.advance(0.3)
    assert all(request.finished for request in requests)
    assert [request for request in rig.ended if request in requests[1::2]] == [
        request for request in requests[1::2] if request in rig.ended
    ]
    rig.advance(6.0)
    rig.expect_nothing_left()


def test_what_waits_for_a_slot_is_given_up() -> None:
    rig = Rig()
    rig.ask(incr("a"))
    rig.model.uncover(slot("a"))
    requests: list[Any] = [rig.ask(incr("a")) for _ in range(3)] + [rig.ask(incr("a"), incr("{a}2"))]
    rig.words()
    for request in requests:
        request.finished = True
    rig.advance(1.5)
    rig.expect_nothing_left()
    assert rig.words() == []
    asked = Topologies(rig.model)
    rig.advance(8.0)
    assert not asked.take(), "nobody waits for the slot any more"


def test_what_is_given_up_behind_a_request_that_waits_leaves_the_gate_with_it() -> None:
    rig = Rig()
    rig.model.uncover(slot("a"))
    rig.ask(incr("a"))
    for _ in range(5):
        rig.ask(incr("a")).finished = True
    held = rig.client._nodes.queued
    rig.advance(5.5)
    assert held > 0
    rig.expect_nothing_left()


def test_what_waits_for_a_node_is_given_up() -> None:
    rig = Rig()
    rig.ask(incr("a"), incr("b"))
    owner = rig.owner("a")
    rig.model.crash(owner)
    rig.net.serve()
    requests: list[Any] = [rig.ask(incr("a")) for _ in range(3)] + [rig.ask(incr("a"), incr("{a}2"), incr("d"))]
    for request in requests[:2] + requests[3:]:
        request.finished = True
    rig.words()
    rig.model.restart(owner)
    rig.advance(4.0)
    assert requests[2].answer() == 2
    assert rig.words() == ["INCR a"]
    rig.expect_nothing_left()


def test_what_was_given_up_does_not_move_to_a_new_owner() -> None:
    rig = Rig()
    rig.ask(incr("a"), incr("d"))
    owner = rig.owner("a")
    replica = rig.model.replica_of(owner)
    rig.model.crash(owner)
    rig.net.serve()
    one, other, call = rig.ask(incr("a")), rig.ask(incr("a")), rig.ask(incr("a"), incr("d"))
    one.finished = call.finished = True
    rig.words()
    rig.model.failover(replica)
    rig.advance(2.0)
    assert other.answer() == 2
    assert rig.words() == ["INCR a"]
    rig.expect_nothing_left()


def test_late_answers_are_discarded() -> None:
    rig = Rig()
    rig.ask(set_("a", 7))
    rig.model.pause(rig.owner("a"))
    requests = [rig.ask(get("a")), rig.ask(get("a"), get("b"))]
    for request in requests:
        request.finished = True
    rig.advance(0.5)
    rig.model.resume(rig.owner("a"))
    rig.advance(0.5)
    assert not {*requests} & {*rig.ended}
    rig.expect_nothing_left()


def test_a_client_is_closed_in_the_midst() -> None:
    rig = Rig()
    rig.ask(incr("a"), incr("b"), incr("c"))
    rig.model.pause(rig.owner("a"))
    rig.model.uncover(slot("b"))
    sent, repeatable = rig.ask(incr("a")), rig.ask(get("a"))
    refused, waits = rig.ask(incr("b")), rig.ask(incr("b"), incr("{b}2"))
    rig.client.close()
    rig.net.serve()
    for request, is_sent in ((sent, True), (repeatable, True), (refused, False), (waits, False)):
        with pytest.raises(ConnectionLost) as raised:
            request.answers()
        assert raised.value.sent is is_sent
        assert "closed" in str(raised.value)
    with pytest.raises(ClosedError):
        rig.ask(incr("a"))
    rig.advance(30.0)
    assert not any(link.wants_connection for link in rig.client.links())
    assert rig.client.next_timeout() is None
    rig.expect_nothing_left()


def test_a_client_that_is_closed_while_it_asks_dials_no_more() -> None:
    rig = Rig(starts=False, seeds=[Address("127.0.0.1", port) for port in (7000, 7001, 7002)])
    for node in rig.model.nodes:
        rig.model.pause(node)
    request = rig.submit(incr("a"))
    rig.start()
    rig.client.close()
    rig.client.close()
    dials = sum(rig.net.pair.peer(link.name).dials for link in rig.client.links())
    rig.advance(10.0)
    assert sum(rig.net.pair.peer(link.name).dials for link in rig.client.links()) == dials
    assert not any(link.wants_connection for link in rig.client.links())
    with pytest.raises(ConnectionLost, match="not sent: the client was closed"):
        request.answer()


def test_the_turn_of_a_closed_client_is_free() -> None:
    rig = Rig(starts=False)
    for node in rig.model.nodes:
        rig.model.pause(node)
    rig.start()
    assert not rig.cluster.board.take_turn(rig.net.pair.now)
    rig.client.close()
    assert rig.cluster.board.take_turn(rig.net.pair.now + 0.1)
