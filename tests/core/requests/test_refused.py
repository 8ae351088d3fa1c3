"""Requests to a server that cannot serve now: it loads its data, or has become a replica."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import Command
from streamcore.errors import ConnectionLost, LoadingError, ReadOnlyError, RequestTimeout, reply_error
from streamcore.testing.pair import Pair
from tests.core.support.clients import connected, echoed, lost

LOADING = "LOADING the server is loading its data"
READONLY = "READONLY You can't write against a read only replica."


def refuse(pair: Pair, *lines: str) -> None:
    """The server refuses as many commands, each with one of the lines."""
    echoed(pair)
    pair.server.answer(*(reply_error(line) for line in lines))


def test_what_was_refused_is_sent_on_the_next_connection_in_order_and_before_what_came_later() -> None:
    client, pair = connected()
    one, two = client.ask("a"), client.ask("b", "c")
    pair.settle()
    refuse(pair, LOADING)
    assert not one.finished
    later = client.ask("d")
    pair.settle()
    assert echoed(pair) == [], "nothing more is sent to a server that refuses"
    refuse(pair, LOADING, LOADING)
    assert not pair.server.connected, "it may be another server that serves by then"
    pair.advance(1.0)
    assert echoed(pair) == ["a", "b", "c", "d"]
    pair.server.answer("a", "b", "c", "d")
    assert (one.answer(), two.answers(), later.answer()) == (b"a", [b"b", b"c"], b"d")


def test_a_pipeline_that_was_refused_in_part_has_its_errors_in_place() -> None:
    client, pair = connected()
    request = client.ask("a", "b")
    pair.settle()
    pair.server.answer("a", reply_error(READONLY))
    answers: list[Any] = request.answers()
    assert answers[0] == b"a"
    assert isinstance(answers[1], ReadOnlyError)
    assert pair.server.connected


def test_a_connection_lost_while_some_were_refused_loses_only_those_that_were_not() -> None:
    client, pair = connected()
    refused, sent = client.ask("a"), client.ask("b")
    pair.settle()
    refuse(pair, READONLY)
    pair.server.close()
    assert not refused.finished
    with pytest.raises(ConnectionLost) as lost:
        sent.answer()
    assert lost.value.sent
    pair.advance(1.0)
    assert echoed(pair) == ["a"]


@pytest.mark.parametrize(("line", "kind"), [(LOADING, LoadingError), (READONLY, ReadOnlyError)])
def test_at_the_deadline_the_servers_own_error_is_raised(line: str, kind: type[Exception]) -> None:
    client, pair = connected()
    request = client.ask("a")
    for _ in range(200):
        pair.advance(0.1)
        if request.finished:
            break
        if pair.server.commands:
            refuse(pair, line)
    with pytest.raises(kind, match="in reply to ECHO"):
        request.answer()
    assert pair.now == pytest.approx(1005.0, abs=0.2)


def test_the_back_off_grows_while_the_server_refuses() -> None:
    client, pair = connected()
    client.ask("a")
    for _ in range(50):
        pair.advance(0.1)
        if pair.server.commands:
            refuse(pair, LOADING)
    assert pair.server.dials <= 8


def test_closing_ends_what_was_refused() -> None:
    client, pair = connected()
    request = client.ask("a")
    pair.settle()
    refuse(pair, LOADING)
    client.close()
    with pytest.raises(LoadingError):
        request.answer()
    assert client.has_room


def test_answers_that_come_together_are_all_told_before_the_connection_is_dropped() -> None:
    client, pair = connected()
    first, served, last = client.ask("first"), client.ask("served"), client.ask("last", "last too")
    pair.settle()
    pair.server.answer(reply_error(LOADING), "served", reply_error(LOADING), reply_error(LOADING))
    assert client.ended == [served]
    assert not pair.server.connected
    later = client.ask("later")
    pair.advance(1.0)
    assert echoed(pair) == ["first", "last", "last too", "later"]
    pair.server.answer("1", "2", "3", "4")
    assert client.ended == [served, first, last, later]
    assert pair.server.dials == 2
    assert client._main.queued == 0


def test_a_pipeline_that_was_executed_in_part_is_answered_and_never_repeated() -> None:
    client, pair = connected()
    for replies in ((reply_error(LOADING), "b"), ("a", reply_error(LOADING))):
        request = client.ask("a", "b")
        pair.settle()
        pair.server.answer(*replies)
        assert client.ended[-1] is request
        assert sum(isinstance(answer, LoadingError) for answer in request.answers()) == 1
    assert pair.server.dials == 1


def test_nothing_more_is_sent_to_a_server_that_refuses_and_what_is_in_flight_is_awaited() -> None:
    client, pair = connected()
    refused, in_flight = client.ask("refused"), client.ask("in flight")
    pair.settle()
    echoed(pair)
    pair.server.answer(reply_error(LOADING))
    client.ask("later")
    pair.settle()
    assert echoed(pair) == []
    assert pair.server.connected
    pair.server.answer("in flight")
    assert client.ended == [in_flight]
    pair.advance(1.0)
    assert echoed(pair) == ["refused", "later"]
    assert not refused.finished


def test_a_refused_request_ends_with_the_refusal_while_another_is_still_in_flight() -> None:
    client, pair = connected()
    refused = client.ask("refused")
    pair.settle()
    pair.advance(4.0)
    client.ask("in flight")
    pair.settle()
    pair.server.answer(reply_error(LOADING))
    waiting = client.ask("waiting")
    pair.advance(1.0)
    assert client.ended == [refused]
    with pytest.raises(LoadingError, match="in reply to ECHO"):
        refused.answer()
    pair.server.answer("in flight")
    pair.advance(1.0)
    assert echoed(pair)[-1] == "waiting"
    assert client._main.queued == len(waiting.data)


def test_a_refused_request_that_is_sent_again_and_not_answered_may_have_been_executed() -> None:
    client, pair = connected()
    request = client.ask("a")
    pair.settle()
    pair.server.answer(reply_error(LOADING))
    pair.advance(1.0)
    pair.server.reply(b"$")
    pair.advance(4.0)
    assert lost(request) == (RequestTimeout, True)


def test_a_refusal_that_comes_when_the_client_was_just_closed_is_an_answer() -> None:
    client, pair = connected()
    client.submit([Command(("PING",))], lambda request: client.close())
    request = client.ask("a")
    pair.settle()
    pair.server.answer("PONG", reply_error(LOADING))
    assert client.ended == [request]
    with pytest.raises(LoadingError):
        request.answer()
    assert client.next_timeout() is None
