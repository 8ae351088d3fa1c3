"""Behind a command that the server could not read (``ERR Protocol error``), it executes nothing, and closes."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import Command, eval_, fcall, get, incr, raw
from streamcore.errors import ConnectionLost, ExecAbortError, UnreadableError, reply_error
from streamcore.producer.producer import Producer
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair
from streamcore.testing.resp import OK

LAST = b"-ERR Protocol error: invalid bulk length\r\n"


def nobody(request: Request) -> None:
    """The tests look at it."""


@pytest.fixture
def pair() -> Pair:
    return Pair(Multiplexer())


def client(pair: Pair) -> Multiplexer:
    assert isinstance(pair.engine, Multiplexer)
    return pair.engine


def ask(pair: Pair, number: int = 1) -> Request:
    request = client(pair).submit([incr("n")] * number, nobody)
    pair.settle()
    return request


def close(pair: Pair) -> None:
    pair.server.close()
    pair.advance(0.1)


def test_only_this_word_counts() -> None:
    assert type(reply_error("ERR Protocol error: invalid bulk length")) is UnreadableError
    assert type(reply_error("ERR no Protocol error")) is not UnreadableError
    assert type(reply_error("WRONGTYPE Protocol error")) is not UnreadableError


def test_what_stands_behind_it_is_sent_again(pair: Pair) -> None:
    before, culprit, behind = ask(pair), ask(pair), ask(pair)
    pair.server.commands.clear()
    pair.server.answer(1)
    pair.server.reply(LAST)
    late = ask(pair)  # before the server has closed
    close(pair)
    for _ in range(2):
        pair.server.expect("INCR")
    pair.server.expect_nothing()
    pair.server.answer(2, 3)
    assert [request.answer() for request in (before, behind, late)] == [1, 2, 3]
    with pytest.raises(UnreadableError):
        culprit.answer()


def test_it_need_not_be_followed_by_anything(pair: Pair) -> None:
    ask(pair)
    pair.server.reply(LAST)
    close(pair)
    later = ask(pair)
    pair.server.answer(1)
    assert later.answer() == 1


def test_a_server_that_goes_on_has_said_something_else(pair: Pair) -> None:
    """A script may answer any text."""
    for _ in range(2):
        ask(pair)
    lost = ask(pair)
    pair.server.reply(LAST + b":1\r\n")
    pair.server.close()
    with pytest.raises(ConnectionLost) as caught:
        lost.answer()
    assert caught.value.sent


@pytest.mark.parametrize(
    "script",
    [eval_("return 1", ["k"]), fcall("f", ["k"]), raw("eval_ro", "return 1", 1, "k")],
    ids=lambda one: one.name,
)
def test_what_a_script_says_proves_nothing(pair: Pair, script: Command[Any]) -> None:
    """What stands behind it may have been executed when the connection is lost by chance."""
    engine = client(pair)
    engine.submit([script], nobody)
    behind = ask(pair)
    pair.server.reply(LAST)
    pair.server.close()
    mixed = engine.submit([script, incr("n")], nobody)
    pair.advance(0.1)
    pair.server.reply(LAST)
    pair.server.close()
    for lost in (behind, mixed):
        with pytest.raises(ConnectionLost) as caught:
            lost.answers()
        assert caught.value.sent


def test_the_rest_of_a_pipeline_was_not_executed(pair: Pair) -> None:
    request, behind = ask(pair, 3), ask(pair)
    pair.server.reply(b":1\r\n" + LAST)
    assert not request.finished
    close(pair)
    first, *others = request.answers()
    assert first == 1
    assert [type(error) for error in others] == [UnreadableError] * 2
    assert client(pair)._main.queued == len(behind.data)
    pair.server.answer(2)
    assert behind.answer() == 2


def test_a_pipeline_that_was_answered_in_part_is_lost_as_ever(pair: Pair) -> None:
    request = ask(pair, 3)
    pair.server.reply(b":1\r\n")
    pair.server.close()
    with pytest.raises(ConnectionLost):
        request.answers()


def test_a_transaction_is_not_executed(pair: Pair) -> None:
    request = client(pair).transact([get("k"), get("l")], nobody)
    pair.settle()
    pair.server.reply(OK + b"+QUEUED\r\n" + LAST)
    close(pair)
    with pytest.raises((UnreadableError, ExecAbortError)):
        request.answers()


def test_after_the_client_was_closed_it_changes_nothing(pair: Pair) -> None:
    engine = client(pair)
    engine.submit([incr("n")], lambda request: engine.close())
    engine.submit([incr("n")], nobody)
    pair.settle()
    pair.server.reply(b":1\r\n" + LAST)
    assert engine.closed


def test_the_innocent_of_a_batch_are_sent_again() -> None:
    engine = Producer("s", linger=0.01)
    pair = Pair(engine)
    sent = [engine.send({"n": n}, nobody) for n in range(3)]
    pair.advance(0.01)
    pair.server.reply(b"$3\r\n1-1\r\n" + LAST)
    pair.server.commands.clear()
    close(pair)
    pair.server.expect("XADD")
    pair.server.expect_nothing()
    pair.server.answer("2-1")
    assert [str(sent[0].answer()), str(sent[2].answer())] == ["1-1", "2-1"]
    with pytest.raises(UnreadableError):
        sent[1].answer()


def test_what_is_answered_behind_it_was_executed() -> None:
    engine = Producer("s", linger=0.01)
    pair = Pair(engine)
    sent = [engine.send({"n": n}, nobody) for n in range(2)]
    pair.advance(0.01)
    pair.server.commands.clear()
    pair.server.reply(LAST + b"$3\r\n1-1\r\n")
    pair.advance(0.1)
    pair.server.expect_nothing()
    assert str(sent[1].answer()) == "1-1"
