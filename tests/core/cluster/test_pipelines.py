"""A pipeline over several nodes: each command is executed once, in the order of its slot, and answered in its place."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.cluster.call import Call
from streamcore.commands import Command, blpop, get, incr, mget, ping, set_
from streamcore.errors import ConnectionLost, CrossSlotError, InvalidArgument, RedirectRefusedError, ReplyError
from streamcore.options import Address
from tests.core.support.clusters import Moments, Rig, slot


@pytest.mark.parametrize("moment", range(1, 10))
def test_a_slot_moves_in_its_midst(moment: int) -> None:
    rig = Rig()
    keys = ["a", "b", "c", "{a}2", "d"]
    rig.ask(*[set_(key, 0) for key in keys])
    commands = [incr(keys[number % 5]) for number in range(15)]
    move = rig.model.begin_move(slot("a"), rig.other("a"))
    move.cancel()
    Moments(rig, [(moment, move.begin), (moment + 2, lambda: move.move_keys(1)), (moment + 5, move.finish)])
    call = rig.ask(*commands)
    rig.advance(0.5)
    assert call.answers() == [number // 5 + 1 for number in range(15)]
    assert rig.ended[-1] is call
    rig.expect_nothing_left()


def test_commands_with_and_without_keys_are_answered_in_their_places() -> None:
    rig = Rig()
    call = rig.ask(ping(), set_("a", 1), ping(), set_("b", 2), get("a"))
    assert call.answers() == [b"PONG", b"OK", b"PONG", b"OK", b"1"]
    assert [rig.ask(ping(), ping()).finished for _ in range(2)] == [True, True]


def test_an_error_stands_in_its_place() -> None:
    rig = Rig()
    rig.ask(set_("a", "text"))
    answers = rig.ask(incr("b"), incr("a"), incr("c")).answers()
    assert (answers[0], isinstance(answers[1], ReplyError), answers[2]) == (1, True, 1)


def test_a_single_command_of_a_part_is_sent_on_by_its_own_slot() -> None:
    rig = Rig()
    rig.ask(incr("a"), incr("b"))
    rig.model.move_slot(slot("a"), rig.model.nodes[1])
    rig.model.move_slot(slot("b"), rig.model.nodes[1])
    assert rig.ask(incr("a"), incr("b")).answers() == [2, 2]
    rig.expect_nothing_left()


def test_a_pipeline_waits_for_the_first_topology_with_the_others() -> None:
    rig = Rig(starts=False)
    call = rig.submit(incr("a"), incr("b"), ping())
    rig.start()
    assert call.answers()[:2] == [1, 1]


def test_what_has_come_is_told_up_to_the_first_gap() -> None:
    rig = Rig()
    rig.ask(incr("b"), incr("a"))
    rig.model.pause(rig.owner("a"))
    call = rig.ask(incr("b"), incr("a"), incr("b"))
    assert call.came() == [2]
    rig.until(call)
    assert call.came() == [2]
    first, second, third = call.answers()
    assert (first, type(second).__name__, third) == (2, "RequestTimeout", 3)


def test_a_whole_call_has_come() -> None:
    rig = Rig()
    assert rig.ask(incr("b"), incr("a")).came() == [1, 1]


@pytest.mark.parametrize(
    "commands",
    [
        [mget("a", "b")],
        [incr("a"), mget("a", "b")],
    ],
)
def test_keys_of_several_slots_are_refused_before_anything_is_sent(commands: list[Command[Any]]) -> None:
    rig = Rig()
    with pytest.raises(CrossSlotError, match="2 slots"):
        rig.submit(*commands)
    rig.advance(1.0)
    assert rig.words() == []
    rig.expect_nothing_left()


def test_nothing_and_what_blocks_are_refused() -> None:
    rig = Rig()
    with pytest.raises(InvalidArgument, match="no command"):
        rig.submit()
    with pytest.raises(InvalidArgument, match="BLPOP"):
        rig.submit(incr("a"), blpop("a", timeout=1.0))
    assert not rig.words()


def test_a_call_is_done_once() -> None:
    done: list[Any] = []
    call = Call([incr("a"), incr("b")], done.append, 5.0)
    one, two = call.part([0], [1]), call.part([1], [2])
    one.replies = [7]
    one.finish()
    one.finish(ConnectionLost("late"))
    assert not done
    two.finish(ConnectionLost("no"))
    assert done == [call]
    assert call.answers()[0] == 7
    call.take([0], [8])
    assert len(done) == 1


def test_a_redirect_of_a_whole_pipeline_at_its_deadline_is_raised() -> None:
    rig = Rig(follow=lambda _, port: port != 7000, seeds=[Address("127.0.0.1", 7001)])
    rig.ask(incr("a"))
    rig.model.move_slot(slot("a"), rig.model.nodes[0])
    rig.cluster.board.take_turn(1e9)
    call = rig.ask(incr("a"), incr("{a}2"))
    rig.until(call)
    with pytest.raises(RedirectRefusedError, match="may not be followed"):
        call.answers()
