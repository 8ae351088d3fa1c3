"""A driver that was held up (a handler that blocks its event loop) does not take its own silence for the server's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore.commands import Command, incr
from streamcore.connection.patience import LATE, MAX_EXCUSES
from streamcore.consumer.consumer import Consumer
from streamcore.errors import ConnectionLost, DeliveryUnknown, RequestTimeout
from streamcore.events import Disconnected, Event
from streamcore.producer.producer import Producer
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair

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


# -- deadlines of requests ---------------------------------------------------------------------------------------------


def nobody(request: Request) -> None:
    """The tests look at it."""


def asking(commands: list[Command[Any]] | None = None) -> tuple[Pair, Request]:
    client = Multiplexer()
    pair = Pair(client)
    request = client.submit(commands or [incr("n")], nobody)
    pair.settle()
    return pair, request


def producing() -> tuple[Pair, Request]:
    engine = Producer("s", linger=0.01)
    pair = Pair(engine)
    request = engine.send({"n": 1}, nobody)
    pair.advance(0.01)
    return pair, request


@pytest.mark.parametrize("ask", [asking, producing])
def test_an_answer_that_lies_unread_is_not_late(ask: Callable[[], tuple[Pair, Request]]) -> None:
    pair, request = ask()
    wake_up_after(pair, 60)
    assert not request.finished
    assert pair.engine.next_timeout() == pytest.approx(pair.now + LATE)
    pair.server.answer("1-1")
    assert request.error is None
    assert request.finished


@pytest.mark.parametrize("ask", [asking, producing])
def test_a_request_that_is_not_answered_even_then_is_late(ask: Callable[[], tuple[Pair, Request]]) -> None:
    pair, request = ask()
    wake_up_after(pair, 60)
    pair.advance(LATE)
    assert isinstance(request.error, (RequestTimeout, DeliveryUnknown))


@pytest.mark.parametrize("ask", [asking, producing])
def test_the_lateness_of_a_request_is_not_excused_for_ever(ask: Callable[[], tuple[Pair, Request]]) -> None:
    pair, request = ask()
    for _ in range(MAX_EXCUSES + 2):
        wake_up_after(pair, 60)
    assert request.finished


def test_a_request_without_a_connection_has_no_excuse() -> None:
    client = Multiplexer()
    pair = Pair(client, dials=False)
    request = client.submit([incr("n")], nobody)
    pair.settle()
    wake_up_after(pair, 60)
    assert isinstance(request.error, ConnectionLost)


def test_what_is_answered_needs_no_excuse() -> None:
    pair, request = asking()
    pair.server.answer(1)
    assert isinstance(pair.engine, Multiplexer)
    later = pair.engine.submit([incr("n")], nobody)
    wake_up_after(pair, 60)
    pair.server.answer(2)
    assert [request.answer(), later.answer()] == [1, 2]
