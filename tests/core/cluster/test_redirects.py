"""``MOVED``, ``ASK`` and ``TRYAGAIN``: each command goes to the node that serves it, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore.cluster.gate import DELAY_MAX, FREE_HOPS
from streamcore.commands import Command, get, incr, mget, mset, set_
from streamcore.errors import AskError, ClusterDownError, ConnectionLost, MovedError, TryAgainError
from streamcore.options import Address
from streamcore.testing.model.cluster import Node
from tests.core.support.clusters import Rig, Topologies, address, slot


def ports(rig: Rig) -> list[tuple[int, str]]:
    """The commands that were run since the last call, and where."""
    ran, rig.ran[:] = [*rig.ran], []
    return [(node.address[1], b" ".join(words).decode()) for node, words in ran]


def test_each_command_goes_to_the_owner_of_its_slot() -> None:
    rig = Rig()
    assert [rig.ask(incr(key)).answer() for key in "abc"] == [1, 1, 1]
    assert ports(rig) == [(7002, "INCR a"), (7000, "INCR b"), (7001, "INCR c")]


def test_a_moved_slot_is_found_at_once() -> None:
    rig = Rig()
    rig.ask(incr("a"))
    rig.model.move_slot(slot("a"), rig.model.nodes[0])
    ports(rig)
    assert [rig.ask(incr("a")).answer() for _ in range(2)] == [2, 3]
    assert ports(rig) == [(7002, "INCR a"), (7000, "INCR a"), (7000, "INCR a")]
    rig.expect_nothing_left()


def test_what_is_on_its_way_is_asked_for_and_the_owner_stays() -> None:
    rig = Rig()
    rig.ask(set_("{a}1", 1), set_("{a}2", 2))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys(1)
    ports(rig)
    assert sorted([rig.ask(incr("{a}1")).answer(), rig.ask(incr("{a}2")).answer()]) == [2, 3]
    asked = ports(rig)
    assert asked.count((7000, "ASKING")) == 1
    assert [port for port, text in asked if text != "ASKING"].count(7002) == 2, "the owner is asked first, as before"
    rig.expect_nothing_left()


def test_only_what_was_refused_is_asked_for() -> None:
    """A pipeline within a slot of which a part has moved: each command is executed once."""
    rig = Rig()
    rig.ask(mset({"{a}1": 1, "{a}2": 2, "{a}3": 3}))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys(2)
    ports(rig)
    behind = rig.client.submit
    call = rig.submit(incr("{a}1"), incr("{a}2"), incr("{a}3"), incr("{a}1"))
    later = behind([incr("{a}3")], rig.ended.append)
    rig.net.serve()
    assert call.answers() == [2, 3, 4, 3]
    assert later.answer() == 5
    there = [text for port, text in ports(rig) if port == 7000]
    assert there.count("ASKING") == len(there) / 2, "each command has one of its own"
    rig.expect_nothing_left()


def test_what_waits_goes_to_the_owner_behind_what_was_asked() -> None:
    rig = Rig()
    rig.ask(mset({"{a}1": 1, "{a}2": 2}))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys(1)
    gone = next(key for key in ("{a}1", "{a}2") if move.source.databases[0].raw(key.encode()) is None)
    here = "{a}2" if gone == "{a}1" else "{a}1"
    rig.submit(incr(gone))
    waited: list[Any] = []
    rig.submit(incr(gone)).done = lambda request: waited.append(rig.submit(incr(here)))
    rig.net.serve()
    assert rig.model.nodes[0].databases[0].raw(gone.encode()) is not None
    assert waited[0].answer() in (2, 3)
    rig.expect_nothing_left()


def test_keys_of_which_some_have_moved_are_tried_again() -> None:
    rig = Rig()
    rig.ask(mset({"{a}1": 1, "{a}2": 2}))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys(1)
    ports(rig)
    request = rig.ask(mget("{a}1", "{a}2"))
    later = rig.ask(incr("{a}1"))
    rig.advance(0.3)
    assert not request.finished
    assert not later.finished, "it waits behind"
    tries = len(ports(rig))
    assert 4 <= tries <= 8, "10 ms, doubling to 200"
    move.move_keys()
    rig.advance(DELAY_MAX)
    assert request.answer() == [b"1", b"2"]
    assert later.answer() == 2
    move.finish()
    assert rig.ask(get("{a}2")).answer() == b"2"
    rig.expect_nothing_left()


def test_keys_that_are_never_together_end_at_the_deadline_by_the_servers_word() -> None:
    rig = Rig()
    rig.ask(mset({"{a}1": 1, "{a}2": 2}))
    rig.model.begin_move(slot("a"), rig.model.nodes[0]).move_keys(1)
    request = rig.ask(mget("{a}1", "{a}2"))
    assert rig.until(request) == pytest.approx(5.0, abs=0.3)
    with pytest.raises(TryAgainError, match="in reply to MGET"):
        request.answer()
    rig.advance(1.0)
    rig.expect_nothing_left()


def test_a_target_that_knows_of_nothing_sends_back() -> None:
    """``ASK`` to a node that does not import: it answers ``MOVED``, and the request ends by that word."""
    rig = Rig()
    rig.ask(incr("a"))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys()
    move.target.view.importing.clear()
    request = rig.ask(incr("a"))
    rig.advance(1.0)
    move.target.view.importing[slot("a")] = move.source.id
    rig.until(request)
    assert request.answer() == 2


def loop(rig: Rig, key: str) -> tuple[Node, Node]:
    """Let two nodes name each other as the owner of a slot."""
    one, other = rig.owner(key), rig.other(key)
    rig.model.bus._delay = lambda source, target: None
    one.view.assign([slot(key)], other.id)
    one.settle(rig.model.now)
    return one, other


def test_two_nodes_that_name_each_other_are_asked_some_thirty_times() -> None:
    rig = Rig()
    rig.ask(incr("a"))
    loop(rig, "a")
    rig.words()
    request = rig.ask(incr("a"))
    assert len(rig.words()) > FREE_HOPS, "the first attempts are at once"
    assert rig.until(request) == pytest.approx(5.0, abs=0.3)
    assert 20 < len(rig.words()) < 40
    with pytest.raises(MovedError, match="in reply to INCR"):
        request.answer()
    rig.advance(DELAY_MAX)
    rig.expect_nothing_left()


def test_a_pipeline_is_sent_around_no_oftener() -> None:
    rig = Rig()
    rig.ask(incr("a"))
    loop(rig, "a")
    rig.words()
    call = rig.ask(incr("a"), incr("{a}2"), incr("{a}3"))
    rig.until(call)
    assert 20 < len(rig.words()) / 3 < 40
    with pytest.raises(MovedError):
        call.answers()


def test_a_deadline_counts_from_the_submission() -> None:
    rig = Rig()
    rig.ask(incr("a"), incr("b"))
    rig.model.uncover(slot("a"))
    request, call = rig.ask(incr("a")), rig.ask(incr("{a}1"), incr("b"))
    rig.advance(2.0)
    later = rig.ask(incr("a"))
    assert rig.until(request) == pytest.approx(3.0, abs=0.3)
    assert call.finished
    assert rig.until(later) == pytest.approx(2.0, abs=0.3)
    with pytest.raises(ClusterDownError, match="in reply to INCR"):
        request.answer()
    with pytest.raises(ClusterDownError):
        later.answer()
    with pytest.raises(ConnectionLost, match="not sent: slot 15495 was not served within 5 s: CLUSTERDOWN"):
        call.answers()


def refuse_asking(rig: Rig) -> None:
    rig.model.nodes[0].faults.denied.add("ASKING")


def nothing(rig: Rig) -> None:
    """Leave the rig alone."""


@pytest.mark.parametrize("also", [nothing, refuse_asking])
def test_a_refused_asking_is_no_answer(also: Callable[[Rig], None]) -> None:
    rig = Rig()
    rig.ask(incr("a"))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys()
    also(rig)
    request = rig.ask(incr("a"))
    rig.until(request)
    if also is nothing:
        assert request.answer() == 2
    else:
        with pytest.raises((AskError, MovedError)):
            request.answer()


def test_errors_that_are_answers_stay_answers() -> None:
    rig = Rig()
    rig.ask(set_("a", "text"))
    request = rig.ask(incr("a"))
    with pytest.raises(Exception, match="not an integer"):
        request.answer()
    rig.expect_nothing_left()


def test_a_redirect_of_a_null_host_is_to_the_host_that_answers() -> None:
    rig = Rig()
    rig.ask(incr("a"))
    for node in rig.model.nodes:
        node.config[b"cluster-preferred-endpoint-type"] = b"unknown-endpoint"
    rig.model.move_slot(slot("a"), rig.model.nodes[0])
    assert rig.ask(incr("a")).answer() == 2
    rig.advance(20.0)
    assert rig.router.primaries == {address(node) for node in rig.model.primaries()}
    assert all(isinstance(one, Address) for one in rig.router.primaries)


def test_many_redirects_cost_a_single_question() -> None:
    rig = Rig()
    keys = [str(number) for number in range(668)]
    mine = [key for key in keys if rig.owner(key) is rig.model.nodes[2]]
    for key in mine:
        rig.submit(incr(key))
    rig.net.serve()
    rig.advance(1.0)
    asked = Topologies(rig.model)
    for key in mine:
        rig.model.move_slot(slot(key), rig.model.nodes[0])
    requests = [rig.submit(Command(("INCR", key))) for key in mine]
    rig.net.serve()
    rig.advance(2.0)
    assert [request.answer() for request in requests] == [2] * len(mine)
    assert len(mine) > 150
    assert 1 <= asked.take() <= 2
    rig.expect_nothing_left()


def test_a_slot_that_had_no_owner_from_the_beginning() -> None:
    rig = Rig(starts=False)
    rig.model.uncover(slot("a"))
    requests = [rig.submit(incr("a")) for _ in range(3)]
    rig.start()
    rig.advance(1.0)
    assert not any(request.finished for request in requests)
    rig.model.cover(slot("a"), rig.model.nodes[2])
    rig.advance(1.2)
    assert [request.answer() for request in requests] == [1, 2, 3]
    rig.expect_nothing_left()


def test_what_is_refused_for_several_reasons_leaves_in_its_order() -> None:
    """``ASK``, then ``TRYAGAIN``: the second is tried behind the answer to the first."""
    rig = Rig()
    rig.ask(mset({"{a}1": 1, "{a}2": 2}))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys(1)
    gone = next(key for key in ("{a}1", "{a}2") if move.source.databases[0].raw(key.encode()) is None)
    requests = [rig.submit(incr(gone)), rig.submit(mget("{a}1", "{a}2")), rig.submit(incr(gone))]
    rig.advance(0.1)
    move.finish()
    rig.advance(0.5)
    first, both, last = (request.answer() for request in requests)
    assert int(both[0 if gone == "{a}1" else 1]) == first
    assert last == first + 1
    rig.expect_nothing_left()
