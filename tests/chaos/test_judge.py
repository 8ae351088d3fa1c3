"""The oracles find what is wrong: a small history that is right, and everything that can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from streamcore import StreamId
from tests.soak.account import Account, Ending
from tests.soak.faults import Fault
from tests.soak.journal import Line

from .judge import Evidence, judge
from .notes import DONE, GAP, UNKNOWN, UNSENT, Notes, Reading, Seen
from .workload import BEGINNING

IDLE = 5.0


def lines(text: str) -> list[Line]:
    split = (line.split() for line in text.split(",") if line.strip())
    return [Line(float(at), kind, words) for at, (kind, *words) in enumerate(split)]


class History:
    """Three entries of two streams, a poisonous one among them; two lives of the reader; a hole that was told."""

    def __init__(self) -> None:
        self.notes = notes = Notes()
        notes.sent.lines = lines("S 1 orders 0, I 1 1-0, S 2 orders 0, I 2 2-0, S 3 clicks 1, I 3 3-0")
        notes.handled["steady"].lines = lines("H orders 1-0 1, A orders 1-0, H clicks 3-0 3, N clicks 3-0")
        notes.readings = [
            Reading({"orders": BEGINNING, "clicks": BEGINNING}, [Seen("orders", "1-0", 1), Seen("clicks", "3-0", 3)]),
            Reading({"orders": StreamId(1, 0), "clicks": StreamId(3, 0)}, [Seen("orders", "2-0", 2)]),
        ]
        notes.heard = [0, 1, GAP, 4]
        notes.pushed = {"a": DONE, "b": UNKNOWN, "c": UNSENT, "d": UNKNOWN}
        self.evidence = Evidence(
            Ending({"orders": {"1-0": 1, "2-0": 2}, "clicks": {"3-0": 3}}, letters={"clicks": [("3-0", 3)]}),
            pushed=["a", "b"],
            published={0, 1, 3, 4},
            journals=[lines("H orders 2-0 2, A orders 2-0")],
            faults=[],
            claim_idle=IDLE,
            epoch=0.0,
        )

    def event(self, name: str) -> None:
        self.notes.told.lines.append(Line(9.0, "E", [name, json.dumps({"stream": "orders", "entries": 1})]))

    def account(self) -> Account:
        return judge(self.notes, self.evidence)


def test_a_history_that_is_right() -> None:
    account = History().account()
    assert account.problems == []
    assert account.numbers["... gaps told"] == 1
    assert account.numbers["... in doubt, and there"] == 1
    assert account.numbers["lives of the reader"] == 2


def gone(history: History) -> None:
    del history.evidence.ending.entries["orders"]["2-0"]


def healthy_poison(history: History) -> None:
    history.evidence.ending.letters = {}


def acknowledged_poison(history: History) -> None:
    history.notes.handled["steady"].lines += lines("A clicks 3-0")


def skipped(history: History) -> None:
    history.notes.readings[0].seen[:1] = []


def doubled(history: History) -> None:
    history.notes.readings[0].seen.insert(0, Seen("orders", "1-0", 1))


def wrong_order(history: History) -> None:
    history.notes.readings = [
        Reading(history.notes.readings[0].cursor, [Seen("orders", "2-0", 2), Seen("orders", "1-0", 1)])
    ]


def wrong_fields(history: History) -> None:
    history.notes.readings[1].seen = [Seen("orders", "2-0", 3)]


def behind_the_end(history: History) -> None:
    history.notes.readings[1].seen.append(Seen("orders", "9-0", 9))


def behind_nothing(history: History) -> None:
    history.notes.readings[1].cursor["orders"] = StreamId(7, 7)


def never_read(history: History) -> None:
    history.notes.readings[1].seen = []


def silent(history: History) -> None:
    history.notes.heard = [0, 1, 4]


def silent_at_the_beginning(history: History) -> None:
    history.notes.heard = [1, GAP, 4]


def silent_at_the_end(history: History) -> None:
    history.evidence.published = {0, 1, 2}
    history.notes.heard = [GAP, 0, 1]


def told_too_early(history: History) -> None:
    history.notes.heard = [0, GAP, 1, 4]


def told_too_late(history: History) -> None:
    history.notes.heard = [0, 1, 4, GAP]


def heard_twice(history: History) -> None:
    history.notes.heard = [0, 1, 1, GAP, 4]


def out_of_order(history: History) -> None:
    history.notes.heard = [0, 1, GAP, 4, 3]


def another_answer(history: History) -> None:
    history.notes.foreign.append("b'x' for y")


def pushed_twice(history: History) -> None:
    history.evidence.pushed.append("b")


def pushed_and_missing(history: History) -> None:
    history.evidence.pushed.remove("a")


def not_sent_and_there(history: History) -> None:
    history.evidence.pushed.append("c")


def pushed_by_nobody(history: History) -> None:
    history.evidence.pushed.append("z")


def a_loss_that_was_none(history: History) -> None:
    history.event("Gap")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (gone, "1 confirmed entries are gone"),
        (healthy_poison, "1 poisonous entries are no dead letters"),
        (acknowledged_poison, "1 poisonous entries were acknowledged"),
        (skipped, "orders 1-0 was never read"),
        (doubled, "life 0 in orders has 1-0 (1) for 2-0 (2)"),
        (wrong_order, "life 0 in orders has 2-0 (2) for 1-0 (1)"),
        (wrong_fields, "life 1 in orders has 2-0 (3) for 2-0 (2)"),
        (behind_the_end, "life 1 in orders goes on behind the end"),
        (behind_nothing, "life 1 begins in orders behind 7-7, which is not there"),
        (never_read, "orders 2-0 was never read"),
        (silent, "1 between 1 and 4"),
        (silent_at_the_beginning, "1 between -1 and 1"),
        (silent_at_the_end, "1 between 1 and 3"),
        (told_too_early, "1 between 1 and 4"),
        (told_too_late, "1 between 1 and 4"),
        (heard_twice, "1 after 1"),
        (out_of_order, "3 after 4"),
        (another_answer, "1 replies were another request's"),
        (pushed_twice, "b 2 times"),
        (pushed_and_missing, "a is done, and missing"),
        (not_sent_and_there, "c is unsent, and there"),
        (pushed_by_nobody, "z 1 times"),
        (a_loss_that_was_none, "1 events tell of losses that there were not"),
    ],
)
def test_what_is_wrong_is_found(spoil: Callable[[History], None], words: str) -> None:
    history = History()
    spoil(history)
    assert any(words in problem for problem in history.account().problems)


def test_what_was_published_before_a_gap_told_and_at_its_end_may_be_missing() -> None:
    history = History()
    history.notes.heard = [0, 1, GAP, GAP]
    assert history.account().problems == []


AGAIN = ["orders", "1-0", "1"]  # appended when the clock was nearly zero


@pytest.mark.parametrize(
    ("seconds", "who", "claims", "problem"),
    [
        (IDLE + 0.1, "careful", "EntriesClaimed", None),
        (IDLE + 0.1, "careful", "EntriesRecovered", None),  # its claim was not answered
        (IDLE - 0.1, "careful", "EntriesClaimed", "1 entries came too often: orders 1-0 2 times, 1 allowed"),
        (IDLE + 0.1, "steady", "EntriesClaimed", "1 entries came too often: orders 1-0 2 times, 1 allowed"),
        (IDLE + 0.1, "careful", None, "1 entries came again as if claimed, and 0 were"),
    ],
)
def test_what_has_idled_for_long_may_come_again_to_another_member_that_has_claimed_it(
    seconds: float, who: str, claims: str | None, problem: str | None
) -> None:
    history = History()
    history.notes.handled[who].lines.append(Line(seconds, "H", AGAIN))
    if claims is not None:
        history.event(claims)
    account = history.account()
    assert account.problems == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("lost_at", "problem"), [(1.0, None), (IDLE + 0.2, "1 entries came too often: orders 1-0 2 times, 1 allowed")]
)
def test_what_was_lost_to_another_member_that_stands_still_may_come_back(lost_at: float, problem: str | None) -> None:
    history = History()
    history.notes.handled["steady"].lines.append(Line(IDLE + 0.1, "H", AGAIN))
    facts = json.dumps({"stream": "orders", "ids": ["1-0"]})
    history.notes.told.lines.append(Line(lost_at, "E", ["OwnershipLost", facts]))
    history.event("EntriesClaimed")
    assert history.account().problems == ([problem] if problem else [])


def test_what_the_faults_allow_needs_no_idling() -> None:
    history = History()
    history.notes.handled["steady"].lines.append(Line(0.5, "H", AGAIN))
    history.evidence.faults.append(Fault(0.5, "worker killed", again={"orders": ["1-0"]}))
    account = history.account()
    assert account.problems == []
    assert account.numbers["... and by nothing but having been idle"] == 0
