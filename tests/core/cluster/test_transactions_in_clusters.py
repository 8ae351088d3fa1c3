"""Transactions in a cluster: they are redirected as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streamcore.cluster.refusals import refusal_of
from streamcore.commands import Command, get, incr, ping, set_
from streamcore.errors import CrossSlotError, ExecAbortError, MovedError, NoPermissionError, reply_error
from streamcore.requests.request import Request, Transaction
from streamcore.testing.model import REDIS7, REDIS8, VALKEY9, Flavour
from tests.core.support.clusters import Rig, slot

KINDS = [VALKEY9, REDIS8, REDIS7]
MOVED = reply_error("MOVED 15495 127.0.0.1:7000")
QUEUED = "QUEUED"


@pytest.mark.parametrize("flavour", KINDS)
def test_a_transaction_follows_its_slot(flavour: Flavour) -> None:
    rig = Rig(flavour)
    rig.ask(set_("{a}1", 5))
    rig.model.move_slot(slot("a"), rig.model.nodes[0])
    assert rig.transact(incr("{a}1"), incr("{a}1")).answers() == [6, 7]
    assert rig.ask(get("{a}1")).answer() == b"7", "executed once"
    rig.expect_nothing_left()


@pytest.mark.parametrize("flavour", KINDS)
def test_a_transaction_is_asked_for_as_a_whole(flavour: Flavour) -> None:
    rig = Rig(flavour)
    rig.ask(set_("{a}1", 5))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys()
    rig.words()
    assert rig.transact(incr("{a}1"), incr("{a}1")).answers() == [6, 7]
    assert rig.words("ASKING") == ["ASKING"], "once, before MULTI"
    move.finish()
    assert rig.ask(get("{a}1")).answer() == b"7"
    rig.expect_nothing_left()


@pytest.mark.parametrize("flavour", KINDS)
def test_keys_of_which_some_have_moved_wait_together(flavour: Flavour) -> None:
    rig = Rig(flavour)
    rig.ask(set_("{a}1", 1), set_("{a}2", 2))
    move = rig.model.begin_move(slot("a"), rig.model.nodes[0])
    move.move_keys(1)
    request = rig.transact(incr("{a}1"), incr("{a}2"))
    rig.advance(0.2)
    move.finish()
    rig.advance(0.5)
    assert request.answers() == [2, 3]
    rig.expect_nothing_left()


def test_a_transaction_keeps_its_place_among_others() -> None:
    rig = Rig()
    rig.ask(incr("a"))
    rig.model.move_slot(slot("a"), rig.model.nodes[0])
    before, within, behind = (
        rig.submit(incr("a")),
        rig.client.transact([incr("a")] * 2, rig.ended.append),
        rig.submit(incr("a")),
    )
    rig.net.serve()
    assert (before.answer(), within.answers(), behind.answer()) == (2, [3, 4], 5)


def test_a_transaction_has_a_single_slot() -> None:
    rig = Rig()
    with pytest.raises(CrossSlotError, match="transaction"):
        rig.transact(incr("a"), incr("b"))
    assert not rig.words()
    assert len(rig.transact(ping()).answers()) == 1, "without keys it runs at any node"


def test_a_forbidden_command_aborts_it_for_good() -> None:
    rig = Rig()
    rig.owner("a").faults.denied.add("INCR")
    request = rig.transact(incr("a"), set_("a", 1))
    with pytest.raises(ExecAbortError) as raised:
        request.answers()
    assert isinstance(raised.value.__cause__, NoPermissionError)
    rig.expect_nothing_left()


def transaction(*replies: Any) -> Transaction:
    made = Transaction([incr("a"), incr("a")], print, 5.0)
    made.replies = [*replies]
    return made


ABORT = reply_error("EXECABORT Transaction discarded because of previous errors.")


@pytest.mark.parametrize(
    ("replies", "is_refused"),
    [
        (["OK", MOVED, MOVED, ABORT], True),
        (["OK", QUEUED, MOVED, ABORT], True),
        (["OK", QUEUED, QUEUED, MOVED], True),
        (["OK", QUEUED, reply_error("NOPERM no"), ABORT], False),
        (["OK", QUEUED, QUEUED, [1, 2]], False),
        ([MOVED, MOVED, MOVED, ABORT], False),
        ([reply_error("LOADING"), 1, 2, reply_error("ERR EXEC without MULTI")], False),
    ],
)
def test_the_refusal_of_a_transaction(replies: Sequence[Any], is_refused: bool) -> None:
    refusal = refusal_of(transaction(*replies))
    assert isinstance(refusal, MovedError) is is_refused


@pytest.mark.parametrize(
    ("replies", "is_refused"),
    [([MOVED, MOVED], True), ([1, MOVED], False), ([MOVED, reply_error("ERR no")], False)],
)
def test_several_commands_of_an_own_kind_are_refused_as_a_whole(replies: list[Any], is_refused: bool) -> None:
    request = Request([Command(("INCR", "a"))] * 2, print, 5.0)
    request.replies = replies
    assert (refusal_of(request) is MOVED) is is_refused


def test_several_commands_of_an_own_kind_have_one_slot_and_follow_it() -> None:
    rig = Rig()
    rig.ask(incr("a"))
    rig.model.move_slot(slot("a"), rig.model.nodes[0])
    request = rig.client.put(Request([incr("a"), incr("{a}2")], rig.ended.append, 5.0))
    rig.net.serve()
    assert request.answers() == [2, 1]
    with pytest.raises(CrossSlotError):
        rig.client.put(Request([incr("a"), incr("b")], rig.ended.append, 5.0))
