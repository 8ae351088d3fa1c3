"""The requests of a slot are executed in the order in which they were submitted, whatever happens to the slot meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from streamcore.commands import incr, lrange, rpush
from streamcore.errors import ConnectionLost
from streamcore.testing.model import REDIS7, REDIS8, VALKEY9, Flavour
from tests.core.support.clusters import Moments, Rig, slot

AHEAD = 4
"""Requests in flight."""


def count_up(rig: Rig, key: str, number: int, *actions: tuple[int, Callable[[], object]]) -> list[Any]:
    """Increment a key, several times at once; return the answers in the order in which they came."""
    moments = Moments(rig, actions)
    answers: list[Any] = []
    numbers = iter(range(number))

    def answered(request: Any) -> None:
        answers.append(request.answer())
        more()

    def more() -> None:
        if next(numbers, None) is not None:
            rig.client.submit([incr(key)], answered)

    for _ in range(AHEAD):
        more()
    rig.advance(0.5)
    moments.act_now()
    rig.advance(0.5)
    return answers


@pytest.mark.parametrize("flavour", [VALKEY9, REDIS7])
def test_a_slot_moves_at_any_moment(flavour: Flavour) -> None:
    rig, total = Rig(flavour), count(1)
    for begin in range(1, 8):
        for keys, finish in ((0, 0), (0, 1), (0, 4), (1, 1), (2, 3), (3, 6)):
            [target] = [node for node in rig.model.primaries() if node is rig.other("a")]
            move = rig.model.begin_move(slot("a"), target)
            move.cancel()
            answers = count_up(
                rig,
                "a",
                8,
                (begin, move.begin),
                (begin + keys, move.move_keys),
                (begin + keys + finish, move.finish),
            )
            assert answers == [next(total) for _ in range(8)], (begin, keys, finish)
            rig.expect_nothing_left()


@pytest.mark.parametrize("begin", range(1, 8))
def test_a_slot_moves_atomically_and_back(begin: int) -> None:
    rig = Rig()
    here, there = rig.owner("a"), rig.other("a")
    actions = (
        (begin, lambda: rig.model.move_slot(slot("a"), there, "atomic")),
        (begin + 3, lambda: rig.model.move_slot(slot("a"), here, "atomic")),
        (begin + 4, lambda: rig.model.move_slot(slot("a"), there, "atomic")),
    )
    assert count_up(rig, "a", 12, *actions) == [*range(1, 13)]
    rig.expect_nothing_left()


@pytest.mark.parametrize("flavour", [VALKEY9, REDIS8])
@pytest.mark.parametrize("moment", range(1, 7))
def test_a_replica_takes_over(moment: int, flavour: Flavour) -> None:
    rig = Rig(flavour)
    replica = rig.model.replica_of(rig.owner("a"))
    assert count_up(rig, "a", 8, (moment, lambda: rig.model.failover(replica))) == [*range(1, 9)]
    rig.expect_nothing_left()


@pytest.mark.parametrize("moment", range(1, 7))
def test_what_a_killed_primary_has_not_answered_is_lost_or_executed_in_order(moment: int) -> None:
    rig = Rig()
    owner = rig.owner("a")

    def kill() -> None:
        replica = rig.model.replica_of(owner)
        rig.model.crash(owner)
        rig.model.failover(replica)

    Moments(rig, [(moment, kill)])
    requests = [rig.submit(rpush("a", number)) for number in range(6)]
    rig.advance(0.02)
    requests += [rig.submit(rpush("a", number)) for number in range(6, 12)]
    rig.advance(6.0)
    certain: list[bytes] = []
    possible: list[bytes] = []
    for number, request in enumerate(requests):
        value = str(number).encode()
        try:
            request.answer()
        except ConnectionLost as error:
            if error.sent:
                possible.append(value)
        else:
            certain.append(value)
    stored = rig.ask(lrange("a", 0, -1)).answer()
    assert sorted(stored, key=int) == stored, "in order, and none twice"
    assert {*certain} <= {*stored} <= {*certain, *possible}
    assert len(certain) >= 6
    rig.expect_nothing_left()


def test_keys_of_a_moving_slot_keep_the_order_of_each() -> None:
    rig = Rig()
    keys = [f"{{a}}{number}" for number in range(4)]
    requests = [rig.submit(incr(key)) for _ in range(3) for key in keys]
    rig.net.serve()
    move = rig.model.begin_move(slot("a"), rig.other("a"))
    for left in (3, 2, 1, 0):
        requests += [rig.submit(incr(key)) for _ in range(3) for key in keys]
        rig.net.serve()
        assert move.move_keys(1) == 1, left
    requests += [rig.submit(incr(key)) for _ in range(3) for key in keys]
    rig.advance(0.1)
    move.finish()
    rig.advance(0.1)
    answers = {key: [request.answer() for request in requests[at::4]] for at, key in enumerate(keys)}
    assert answers == {key: [*range(1, 19)] for key in keys}
    rig.expect_nothing_left()
