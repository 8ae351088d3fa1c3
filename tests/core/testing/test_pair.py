from __future__ import annotations

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.engine.engine import Engine
from streamcore.events import Connected, Disconnected
from streamcore.requests import Multiplexer
from streamcore.testing.pair import Pair


class Ticking(Engine):
    """Wants to be told the time every so many seconds."""

    def __init__(self, every: float, now: float) -> None:
        super().__init__()
        self.every, self.due = every, now
        self.told: list[float] = []

    def next_timeout(self) -> float | None:
        return self.due

    def handle_timeout(self, now: float) -> None:
        self.told.append(now)
        self.due = now + self.every


def reading() -> Pair:
    return Pair(Consumer({"s": "0"}, detect_gaps=False))


def test_an_engine_is_dialled_greeted_and_asked() -> None:
    pair = reading()
    pair.server.expect("XREAD", "COUNT")
    pair.server.expect_nothing()
    assert [type(event) for event in pair.events()] == [Connected]
    assert pair.events() == []


def test_what_is_not_expected_fails_the_test() -> None:
    pair = reading()
    with pytest.raises(AssertionError, match="nothing, and got"):
        pair.server.expect_nothing()
    with pytest.raises(AssertionError, match="XACK"):
        pair.server.expect("XACK")
    with pytest.raises(AssertionError, match="nothing was sent"):
        pair.server.expect("XREAD")


def test_a_link_that_is_not_there_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="no link called 'acks'"):
        reading().peer("acks")


def test_a_connection_that_is_refused_or_closed_is_dialled_again() -> None:
    pair = reading()
    pair.refusal = ConnectionRefusedError()
    pair.server.close(OSError("reset"))
    pair.advance(1.0)
    assert pair.server.dials > 1
    pair.refusal = None
    pair.advance(10.0)
    assert [type(event) for event in pair.events()].count(Disconnected) == 1
    pair.server.expect("XREAD")


def test_sockets_take_as_much_as_the_budget_says() -> None:
    pair = Pair(Multiplexer(), budget=10)
    assert pair.budget == 0
    assert not pair.server.link.is_up
    pair.budget = None
    pair.settle()
    assert pair.server.link.is_up


def test_an_engine_is_told_of_each_timer_when_it_is_due() -> None:
    engine = Ticking(2.5, 1000.0)
    pair = Pair(engine, now=1000.0)
    pair.advance(6.0)
    assert engine.told == [1000.0, 1002.5, 1005.0]
    assert pair.now == 1006.0


def test_an_engine_that_always_wants_something_more_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="always wants something more"):
        Pair(Ticking(0.0, 1000.0), now=1000.0)


def test_an_engine_that_always_wants_a_timer_fails_the_test() -> None:
    pair = Pair(Ticking(0.001, 1000.0), now=1000.0)
    with pytest.raises(AssertionError, match="one more timer"):
        pair.advance(60.0)


def test_what_is_sent_over_a_closed_connection_reaches_nobody() -> None:
    pair = reading()
    pair.dials = False
    pair.server.close()
    pair.server.answer({"s": [["1-0", ["f", "v"]]]})
    pair.server.push("invalidate", ["s"])
    assert [type(event) for event in pair.events()] == [Connected, Disconnected]
