"""A link that scripts share, and their reads that wait, on a single server."""

from __future__ import annotations

from streamcore.cluster.shared_link import BEGINNING, SharedLink
from streamcore.cluster.waiting_reads import LONGEST, SHORTEST
from streamcore.connection.exchange import Exchange
from streamcore.engine.engine import Engine
from streamcore.engine.lane import WaitingRead
from streamcore.options import Address
from streamcore.testing.pair import Pair


class Occupant:
    """A script's seat that keeps what it is told."""

    def __init__(self, shared: SharedLink) -> None:
        self.shared = shared
        self.told: list[object] = []
        self.asks_first = False

    def seat_up(self) -> None:
        self.told.append("up")
        if self.asks_first:
            self.ask("FIRST")

    def seat_answered(self, exchange: Exchange) -> None:
        self.told.append(exchange.replies[0])

    def seat_down(self, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        self.told.append((len(sent), len(unsent)))

    def ask(self, word: str) -> None:
        self.shared.send(self, Exchange([(word,)]))

    def wait_for(self, word: str, seconds: float) -> WaitingRead:
        read = WaitingRead((word,), 5.0, seconds)
        self.shared.send(self, read)
        return read


def sharing(number: int, *, asks_first: bool = False) -> tuple[Pair, SharedLink, list[Occupant]]:
    engine = Engine()
    shared = SharedLink(engine, engine._router, Address())
    occupants = [Occupant(shared) for _ in range(number)]
    for one in occupants:
        one.asks_first = asks_first
        shared.join(one)
    return Pair(engine), shared, occupants


def test_each_is_given_its_own_answers() -> None:
    pair, shared, (first, second) = sharing(2)
    first.ask("A")
    second.ask("B")
    pair.settle()
    assert (shared.unanswered(first), shared.unanswered(second)) == (1, 1)
    pair.server.expect("A")
    pair.server.expect("B")
    pair.server.answer(1, 2)
    assert (first.told, second.told) == (["up", 1], ["up", 2])


def test_what_is_left_behind_is_answered_in_vain() -> None:
    pair, shared, (first, second) = sharing(2)
    first.ask("A")
    first.wait_for("R", 1.0)
    second.ask("B")
    pair.settle()
    shared.leave(first)
    pair.server.answer(1, 2, None)
    pair.advance(2.0)
    assert (first.told, second.told) == (["up"], ["up", 2])


def test_a_few_begin_at_a_time() -> None:
    pair, shared, occupants = sharing(BEGINNING + 3, asks_first=True)
    assert [len(one.told) for one in occupants] == [1] * BEGINNING + [0] * 3
    shared.leave(occupants[BEGINNING])
    shared.entered(occupants[0])
    shared.entered(occupants[0])
    pair.settle()
    assert [len(one.told) for one in occupants[BEGINNING:]] == [0, 1, 0]


def test_those_that_ask_nothing_keep_no_place_from_the_others() -> None:
    pair, shared, occupants = sharing(2 * BEGINNING)
    assert [one.told for one in occupants] == [["up"]] * (2 * BEGINNING)
    late = Occupant(shared)
    late.asks_first = True
    shared.join(late)
    pair.settle()
    assert late.told == ["up"]
    shared.entered(late)
    pair.server.expect("FIRST")


def test_a_lost_connection_is_told_to_all_that_have_begun() -> None:
    pair, _, (first, second) = sharing(2)
    first.ask("A")
    pair.settle()
    pair.budget = 0
    second.ask("B")
    pair.settle()
    pair.budget = None
    pair.server.close()
    assert (first.told, second.told) == (["up", (1, 0)], ["up", (0, 1)])
    pair.advance(1.0)
    assert (first.told[-1], second.told[-1]) == ("up", "up")


class TestWaitingReads:
    def test_all_are_asked_together_and_again_until_they_find_something(self) -> None:
        pair, _, (first, second) = sharing(2)
        first.wait_for("R", 9.0)
        second.wait_for("S", 9.0)
        pair.settle()
        for _ in range(3):
            pair.server.expect("R")
            pair.server.expect("S")
            pair.server.answer(None, None)
            pair.advance(LONGEST)
        pair.server.expect("R")
        pair.server.expect("S")
        pair.server.answer(None, "found")
        assert (first.told, second.told) == (["up"], ["up", b"found"])
        pair.server.expect("R")
        pair.server.expect_nothing()

    def test_the_pause_doubles_and_begins_anew(self) -> None:
        pair, _, (first, second) = sharing(2)
        first.wait_for("R", 9.0)
        pair.settle()
        for pause in (2 * SHORTEST, 4 * SHORTEST):
            pair.server.expect("R")
            pair.server.answer(None)
            pair.advance(pause - 0.0002)
            pair.server.expect_nothing()
            pair.advance(0.0004)
        pair.server.expect("R")
        second.wait_for("S", 9.0)
        pair.server.answer(None)
        pair.advance(LONGEST)
        pair.server.expect("R")
        pair.server.expect("S")
        pair.server.answer(None, 1)
        pair.server.expect("R")

    def test_they_end_after_their_time_without_anything(self) -> None:
        pair, _, (first,) = sharing(1)
        first.wait_for("R", 0.1)
        pair.settle()
        while len(first.told) == 1:
            pair.server.expect("R")
            pair.server.answer(None)
            pair.advance(LONGEST)
        assert first.told == ["up", None]

    def test_they_are_ended_between_two_rounds_at_once_and_else_with_the_round(self) -> None:
        pair, shared, (first,) = sharing(1)
        first.wait_for("R", 9.0)
        pair.settle()
        assert not shared.only_waits(first)
        shared.end_wait(first)
        assert first.told == ["up"]
        pair.server.answer("found")
        assert first.told == ["up", b"found"]
        first.wait_for("R", 9.0)
        pair.settle()
        pair.server.answer(None)
        assert shared.only_waits(first)
        shared.end_wait(first)
        assert first.told == ["up", b"found", None]
        pair.advance(LONGEST)
        pair.server.expect("R")
        pair.server.expect("R")
        pair.server.expect_nothing()
        first.ask("A")
        shared.end_wait(first)
        assert not shared.only_waits(first)

    def test_they_are_forgotten_with_the_connection(self) -> None:
        pair, _, (first,) = sharing(1)
        first.wait_for("R", 9.0)
        pair.settle()
        pair.server.close()
        assert first.told == ["up", (0, 0)]
        pair.advance(1.0)
        assert first.told[-1] == "up"
        pair.server.expect_nothing()

    def test_a_read_that_ends_is_answered_behind_what_its_script_has_asked_before(self) -> None:
        pair, shared, (first,) = sharing(1)
        first.ask("A")
        first.wait_for("R", 5.0)
        shared.end_wait(first)
        assert first.told == ["up"]
        pair.settle()
        pair.server.expect("A")
        pair.server.expect("R")
        pair.server.answer(1, None)
        assert first.told == ["up", 1, None]

    def test_so_is_a_read_that_ends_during_the_round_of_another(self) -> None:
        pair, shared, (first, second) = sharing(2)
        second.wait_for("S", 5.0)
        pair.settle()
        first.ask("A")
        first.wait_for("R", 5.0)
        shared.end_wait(first)
        pair.settle()
        pair.server.answer(None, 1)
        assert first.told == ["up", 1]
        pair.advance(2 * LONGEST)
        pair.server.answer(None, None)
        assert (first.told, second.told) == (["up", 1, None], ["up"])
