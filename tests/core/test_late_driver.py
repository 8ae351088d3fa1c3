"""A driver that was held up (a handler that blocks its event loop) does not take its own silence for the server's."""

from __future__ import annotations

from streamcore.consumer import Consumer
from streamcore.events import Disconnected, Event
from streamcore.link import LATE, MAX_EXCUSES
from tests.core.pair import Pair

BLOCK, ANSWER = 5.0, 5.0  # the defaults: a blocking read may be silent for as long as both


def reading() -> Pair:
    pair = Pair(Consumer({"s": "0"}, detect_gaps=False))
    pair.server.expect("XREAD")
    pair.events()
    return pair


def losses(pair: Pair) -> list[Event]:
    return [event for event in pair.events() if isinstance(event, Disconnected)]


def wake_up_after(pair: Pair, seconds: float) -> None:
    """Nothing is read and no time is told for so long."""
    pair.now += seconds
    pair.settle()


def test_what_lies_unread_is_read_first() -> None:
    pair = reading()
    wake_up_after(pair, 60)
    pair.server.answer({"s": [["1-1", ["n", "0"]]]})
    assert losses(pair) == []
    assert pair.engine.take()  # type: ignore[attr-defined]


def test_a_server_that_is_silent_even_then_is_dropped() -> None:
    pair = reading()
    wake_up_after(pair, 60)
    assert losses(pair) == []
    pair.advance(LATE)
    assert len(losses(pair)) == 1


def test_lateness_is_not_excused_for_ever() -> None:
    pair = reading()
    for _ in range(MAX_EXCUSES):
        wake_up_after(pair, 60)
        assert losses(pair) == []
    wake_up_after(pair, 60)
    assert len(losses(pair)) == 1


def test_every_byte_earns_another_excuse() -> None:
    pair = reading()
    for _ in range(2 * MAX_EXCUSES):
        wake_up_after(pair, 60)
        pair.server.answer(None)
        pair.server.expect("XREAD")
    assert losses(pair) == []


def test_a_driver_in_time_drops_at_once() -> None:
    pair = reading()
    pair.advance(BLOCK + ANSWER - 0.001)
    assert losses(pair) == []
    pair.advance(0.001)
    assert len(losses(pair)) == 1
