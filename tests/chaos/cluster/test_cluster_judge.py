"""The oracles of a cluster find what is wrong: a small history that is right, and everything that can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from streamcore import StreamId
from tests.chaos.notes import DONE, GAP, UNKNOWN, UNSENT, Reading, Seen
from tests.chaos.test_judge import lines
from tests.chaos.workload import BEGINNING
from tests.soak.account import Account, Ending
from tests.soak.journal import Line

from .judge import AFTER, ClusterEvidence, judge
from .nemesis import ACTS, Blow
from .schedule import DECK, LOSSES, sample, schedule
from .workload import AGAIN, ClusterNotes

IDLE = 50.0


class History:
    """Entries of two streams, and a primary of ``clicks`` that was killed at 10.0 and took an entry with it."""

    def __init__(self) -> None:
        self.notes = notes = ClusterNotes()
        notes.sent.lines = lines(
            "S 1 orders 0, I 1 1-0, S 2 orders 0, I 2 2-0, S 3 clicks 0, I 3 3-0, S 4 clicks 0, U 4"
        )
        text = "H orders 1-0 1, A orders 1-0, H orders 2-0 2, A orders 2-0, H clicks 3-0 3, A clicks 3-0"
        notes.handled["steady"].lines = lines(text)
        seen = [Seen("orders", "1-0", 1), Seen("clicks", "3-0", 3), Seen("clicks", "4-0", 4)]
        notes.readings = [
            Reading({"orders": BEGINNING, "clicks": BEGINNING}, seen),
            Reading({"orders": StreamId(1, 0), "clicks": StreamId(4, 0)}, [Seen("orders", "2-0", 2)]),
        ]
        notes.shards = {"news": [0, 1, GAP, 4]}
        notes.published = {"news": {0, 1, 3, 4}}
        notes.lists = {"log": {0: DONE, 1: UNKNOWN, 2: UNSENT, 3: DONE}, "lost": {0: DONE, 1: DONE}}
        kill = Blow("primary killed", 10.0, frozenset({"clicks", "lost"}), served=11.0, ended=12.0)
        self.evidence = ClusterEvidence(
            Ending({"orders": {"1-0": 1, "2-0": 2}, "clicks": {"3-0": 3}}, letters={}),
            lists={"log": [0, 1, 3], "lost": [0]},
            blows=[Blow("classic move", 1.0, frozenset({"orders"}), 2.0, 2.0), kill],
            claim_idle=IDLE,
            epoch=0.0,
        )

    def hand_over(self, at: float, *words: str) -> None:
        self.notes.handled["steady"].lines.append(Line(at, "H", list(words)))

    def tell(self, name: str, stream: str, **facts: object) -> None:
        self.notes.told.lines.append(Line(9.0, "E", [name, json.dumps({"stream": stream, **facts})]))

    def account(self) -> Account:
        return judge(self.notes, self.evidence)


def test_a_history_that_is_right() -> None:
    account = History().account()
    assert account.problems == []
    assert account.numbers["... missed, all within gaps that were told"] == 1


def test_what_a_lost_primary_makes_possible() -> None:
    history = History()
    history.hand_over(11.0, "clicks", "3-0", "3")
    history.tell("StreamReset", "clicks")
    history.tell("Gap", "clicks", certain=False)
    assert history.account().problems == []


def again_after_a_move(history: History) -> None:
    history.hand_over(1.5, "orders", "1-0", "1")


def again_long_before(history: History) -> None:
    history.evidence.blows[1].began = 20.0
    history.hand_over(11.0, "clicks", "3-0", "3")


def appended_long_after(history: History) -> None:
    history.evidence.epoch = -(12.0 + AFTER)
    history.hand_over(11.0, "clicks", "3-0", "3")


def confirmed_and_gone(history: History) -> None:
    del history.evidence.ending.entries["orders"]["2-0"]


def twice(history: History) -> None:
    history.evidence.ending.entries["orders"]["5-0"] = 2


def never_handed_over(history: History) -> None:
    history.evidence.ending.entries["orders"]["5-0"] = 5


def reset_elsewhere(history: History) -> None:
    history.tell("StreamReset", "orders")


def certain_gap(history: History) -> None:
    history.tell("Gap", "clicks", certain=True)


def skipped(history: History) -> None:
    history.notes.readings[0].seen[:1] = []


def out_of_place(history: History) -> None:
    history.notes.readings[0].seen.append(Seen("orders", "1-0", 1))


def of_nowhere(history: History) -> None:
    history.evidence.blows.pop()
    history.evidence.lists["lost"].append(1)


def silent_hole(history: History) -> None:
    history.notes.shards["news"].remove(GAP)


def hole_before_the_gap_is_told_again(history: History) -> None:
    history.notes.shards["news"] = [0, GAP, 1, 4]


def message_twice(history: History) -> None:
    history.notes.shards["news"].append(4)


def pushed_out_of_order(history: History) -> None:
    history.evidence.lists["log"] = [1, 0, 3]


def pushed_twice(history: History) -> None:
    history.evidence.lists["log"].append(3)


def pushed_and_missing(history: History) -> None:
    history.evidence.lists["log"].remove(3)


def pushed_and_not_sent(history: History) -> None:
    history.evidence.lists["log"] = [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (again_after_a_move, "1 entries came too often: orders 1-0 2 times, 1 allowed"),
        (again_long_before, "1 entries came too often: clicks 3-0 2 times, 1 allowed"),
        (appended_long_after, "1 entries came too often: clicks 3-0 2 times, 1 allowed"),
        (confirmed_and_gone, "1 confirmed entries are gone"),
        (twice, "1 entries are there twice"),
        (never_handed_over, "1 entries were never handed over"),
        (reset_elsewhere, "1 events tell of losses that there were not"),
        (certain_gap, "1 events tell of losses that there were not"),
        (skipped, "orders 1-0 was never read"),
        (out_of_place, "life 0 in orders: 0 after 0"),
        (of_nowhere, "life 0 in clicks has 4-0, which is not there"),
        (silent_hole, "1 holes of news not told"),
        (hole_before_the_gap_is_told_again, "1 holes of news not told: 1 between 1 and 4"),
        (message_twice, "1 messages of news came twice or out of order"),
        (pushed_out_of_order, "numbers of log are wrong: 0 after 1"),
        (pushed_twice, "numbers of log are wrong: 3 after 3"),
        (pushed_and_missing, "3 was answered, and is missing"),
        (pushed_and_not_sent, "2 was not sent, and is there"),
    ],
)
def test_what_is_wrong_is_found(spoil: Callable[[History], None], problem: str) -> None:
    history = History()
    spoil(history)
    assert problem in "\n".join(history.account().problems)


def test_a_gap_that_is_told_again_ends_there() -> None:
    """In a failover in order, the former primary takes messages that come to none, and hands out some that the new one passes on."""
    history = History()
    history.notes.shards["news"] = [0, GAP, 1, 4, 3, 4, AGAIN]
    assert history.account().problems == []


def test_each_kind_of_fault_is_dealt_and_can_be_done() -> None:
    assert DECK.keys() == ACTS.keys()
    assert {strike.kind for strike in schedule(1, sum(DECK.values()))} == DECK.keys()
    assert schedule(1, 30) == schedule(1, 30) != schedule(2, 30)
    assert {strike.kind for strike in sample(1)} == DECK.keys() - {"node joins", "node leaves"}
    assert LOSSES.keys() < DECK.keys()
