"""Requests to a server that cannot serve now: it loads its data, or has become a replica."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import Command
from streamcore.errors import ConnectionLost, LoadingError, ReadOnlyError, reply_error
from streamcore.options import Options
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair

LOADING = "LOADING the server is loading its data"
READONLY = "READONLY You can't write against a read only replica."


def connected() -> tuple[Multiplexer, Pair]:
    client = Multiplexer(options=Options())
    return client, Pair(client)


def ask(client: Multiplexer, *words: str) -> Request:
    """One ECHO for each word, not repeatable."""
    return client.submit([Command(("ECHO", word)) for word in words], lambda request: None)


def echoed(pair: Pair) -> list[str]:
    found = [command[1].decode() for command in pair.server.commands]
    pair.server.commands.clear()
    return found


def refuse(pair: Pair, *lines: str) -> None:
    """The server refuses as many commands, each with one of the lines."""
    echoed(pair)
    pair.server.answer(*(reply_error(line) for line in lines))


def test_what_was_refused_is_sent_on_the_next_connection_in_order_and_before_what_came_later() -> None:
    client, pair = connected()
    one, two = ask(client, "a"), ask(client, "b", "c")
    pair.settle()
    refuse(pair, LOADING)
    assert not one.finished
    later = ask(client, "d")
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
    request = ask(client, "a", "b")
    pair.settle()
    pair.server.answer("a", reply_error(READONLY))
    answers: list[Any] = request.answers()
    assert answers[0] == b"a"
    assert isinstance(answers[1], ReadOnlyError)
    assert pair.server.connected


def test_a_connection_lost_while_some_were_refused_loses_only_those_that_were_not() -> None:
    client, pair = connected()
    refused, sent = ask(client, "a"), ask(client, "b")
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
    request = ask(client, "a")
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
    ask(client, "a")
    for _ in range(50):
        pair.advance(0.1)
        if pair.server.commands:
            refuse(pair, LOADING)
    assert pair.server.dials <= 8


def test_closing_ends_what_was_refused() -> None:
    client, pair = connected()
    request = ask(client, "a")
    pair.settle()
    refuse(pair, LOADING)
    client.close()
    with pytest.raises(LoadingError):
        request.answer()
    assert client.has_room
