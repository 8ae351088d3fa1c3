"""The account finds what is wrong: a small history that balances, and everything that can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from .account import Account, Ending, Handled, PendingSend, balance
from .faults import DELETED, Fault
from .journal import Line

SENT = (
    "S 1 ledger 0, I 1 1-0, S 2 ledger 0, I 2 2-0, S 3 orders 1, I 3 3-0, S 4 orders 0, U 4, S 5 orders 0, F 5 reason"
)
HANDLED = "H ledger 1-0 1, A ledger 1-0, H ledger 2-0 2, A ledger 2-0, H orders 3-0 3"
TWICE = "H ledger 1-0 1, A ledger 1-0"


def lines(text: str) -> list[Line]:
    split = (line.split() for line in text.split(",") if line.strip())
    return [Line(float(at), kind, words) for at, (kind, *words) in enumerate(split)]


def event(at: float, name: str, **facts: object) -> Line:
    return Line(at, "E", [name, json.dumps(facts)])


class History:
    """Two entries of a stream that nothing is removed from, and a poisonous one, which is a dead letter."""

    def __init__(self) -> None:
        self.sent = SENT
        self.handled = [HANDLED]
        self.events: list[Line] = []
        self.faults = [Fault(5.5, "poison", again={"orders": ["3-0"]})]
        self.ending = Ending({"ledger": {"1-0": 1, "2-0": 2}, "orders": {"3-0": 3}}, letters={"orders": [("3-0", 5)]})

    def account(self) -> Account:
        journals = [lines(text) for text in self.handled]
        return balance(
            PendingSend.of(lines(self.sent)),
            Handled.of([*journals, self.events]),
            self.faults,
            self.ending,
        )


def test_a_history_that_balances() -> None:
    account = History().account()
    assert account.problems == []
    assert account.numbers["sent, and confirmed"] == 3
    assert account.numbers["handed over"] == account.numbers["different ones"] == 3
    assert account.numbers["dead letters"] == account.numbers["poisonous"] == 1


def never_handed_over(history: History) -> None:
    history.handled = ["H ledger 1-0 1, A ledger 1-0, H orders 3-0 3"]


def never_settled(history: History) -> None:
    history.handled = [HANDLED.replace("A ledger 2-0,", "")]


def pending_for_ever(history: History) -> None:
    history.ending.unsettled = {"pending": 1}


def confirmed_and_gone(history: History) -> None:
    del history.ending.entries["ledger"]["2-0"]


def another_number_than_sent(history: History) -> None:
    history.ending.entries["ledger"]["2-0"] = 4


def failed_and_there(history: History) -> None:
    history.sent = SENT.replace("U 4", "F 4")
    history.ending.entries["orders"]["4-0"] = 4
    history.handled += ["H orders 4-0 4, A orders 4-0"]


def idempotent_and_there_twice(history: History) -> None:
    history.ending.entries["ledger"]["2-1"] = 2
    history.handled += ["H ledger 2-1 2, A ledger 2-1"]


def invented(history: History) -> None:
    history.handled += ["H orders 9-0 99, A orders 9-0"]


def two_things_under_one_id(history: History) -> None:
    history.handled += ["H orders 3-0 4"]


def twice_without_a_reason(history: History) -> None:
    history.handled += [TWICE]


def healthy_and_a_dead_letter(history: History) -> None:
    history.ending.letters["ledger"] = [("1-0", 1)]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (never_handed_over, "1 entries were never handed over"),
        (never_settled, "1 entries were handed over and never settled"),
        (pending_for_ever, "1 entries are pending"),
        (confirmed_and_gone, "1 confirmed entries are gone"),
        (another_number_than_sent, "1 entries have another number than the one sent"),
        (failed_and_there, "1 entries failed and are in the stream"),
        (idempotent_and_there_twice, "1 idempotent entries are there twice"),
        (invented, "1 entries were handed over that nobody sent"),
        (two_things_under_one_id, "1 entries were handed over that nobody sent"),
        (twice_without_a_reason, "1 entries came too often: ledger 1-0 2 times, 1 allowed"),
        (healthy_and_a_dead_letter, "1 healthy entries are dead letters"),
    ],
)
def test_what_is_wrong_is_found(spoil: Callable[[History], None], words: str) -> None:
    history = History()
    spoil(history)
    assert any(words in problem for problem in history.account().problems)


def test_what_was_pending_when_its_worker_died_may_come_again_and_nothing_else() -> None:
    history = History()
    history.handled += [TWICE]
    history.faults += [Fault(3.0, "worker killed", again={"ledger": ["1-0"]})]
    assert history.account().problems == []
    history.handled += [TWICE]
    assert history.account().problems == ["1 entries came too often: ledger 1-0 3 times, 2 allowed"]


@pytest.mark.parametrize(
    ("mark", "delivered", "fine"), [("0-0", "1-0", True), ("1-0", "2-0", False), ("0-0", "0-5", False)]
)
def test_what_a_destroyed_group_had_delivered_above_its_new_mark_may_come_again(
    mark: str, delivered: str, fine: bool
) -> None:
    history = History()
    history.handled += [TWICE]
    history.faults += [Fault(3.0, "group destroyed", "ledger", destroyed="ledger", delivered=delivered)]
    history.events += [event(3.5, "GroupRecreated", stream="ledger", start=mark)]
    assert (history.account().problems == []) is fine


def test_where_nobody_tells_where_the_group_began_again_it_may_have_been_the_beginning() -> None:
    history = History()
    history.handled += [TWICE]
    history.faults += [Fault(3.0, "group destroyed", "ledger", destroyed="ledger", delivered="2-0")]
    assert history.account().problems == []


def test_what_was_removed_unseen_is_counted_unless_an_event_tells_of_it() -> None:
    history = History()
    history.sent += ", S 6 orders 0, I 6 6-0, S 7 orders 0, I 7 7-0, S 8 orders 0, I 8 8-0"
    history.events += [
        event(6, "Gap", stream="orders", after=[5, 0], before=[7, 0], entries=1),
        event(6, "PendingEntriesDeleted", stream="orders", ids=["8-0"]),
    ]
    numbers = history.account().numbers
    assert numbers["removed before anybody saw them"] == 3
    assert numbers["... and not told by an event"] == 1
    history.faults += [Fault(40, DELETED, "orders")]
    history.events += [event(50, "GroupRecreated", stream="orders", start="0")]
    assert history.account().numbers["... and not told by an event"] == 0
