"""Requests that are late, and requests that nobody waits for any more."""

from __future__ import annotations

import pytest

from streamcore.commands import Command
from streamcore.errors import ConnectionLost, RequestTimeout
from streamcore.requests import Request
from streamcore.testing.resp import HELLO, OK, resp
from tests.core.support.clients import connected, echoed, lost, unconnected


def test_a_late_request_keeps_its_place_and_its_reply_reaches_nobody() -> None:
    client, pair = connected()
    slow = client.ask("slow")
    pair.settle()
    pair.advance(3.0)
    pair.server.reply(b"$4\r\n")  # the server lives, and so does the connection
    quick = client.ask("quick")
    pair.advance(2.0)
    assert lost(slow) == (RequestTimeout, True)
    assert str(slow.error) == "localhost:6379 did not answer within 5 s"
    assert not quick.finished
    pair.server.reply(b"slow\r\n", resp("quick"))
    assert quick.answer() == b"quick"
    assert client.ended == [slow, quick]
    assert client._main.queued == 0
    assert slow.error is not None


def test_a_silent_server_is_a_timeout_for_those_that_are_late_and_a_lost_connection_for_the_others() -> None:
    client, pair = connected()
    late = client.ask("late"), client.ask("late", repeatable=True)
    pair.advance(1.0)
    early, again = client.ask("early"), client.ask("again", repeatable=True)
    pair.advance(4.0)
    assert [lost(request) for request in late] == [(RequestTimeout, True)] * 2
    assert lost(early) == (ConnectionLost, True)
    assert not again.finished
    pair.advance(0.5)
    assert echoed(pair) == ["again"]
    assert client._main.queued == len(again.data)


def test_without_a_connection_a_request_waits_as_long_as_its_timeout() -> None:
    client, pair = unconnected()
    request = client.ask("a")
    pair.settle()
    pair.advance(4.9)
    assert not request.finished
    pair.advance(0.1)
    assert lost(request) == (ConnectionLost, False)
    assert str(request.error) == (
        "the request was not sent: no connection to localhost:6379 within 5 s: "
        "the connection to localhost:6379 broke: refused"
    )
    pair.refusal = None
    pair.advance(10.0)
    assert echoed(pair) == []
    assert client._main.queued == 0


def test_a_driver_that_never_dialled_has_no_error_to_show() -> None:
    client, pair = connected(dials=False)
    request = client.ask("a")
    pair.settle()
    client.handle_timeout(pair.now + 5.0)
    assert str(request.error) == "the request was not sent: no connection to localhost:6379 within 5 s"


def test_a_new_connection_does_not_prolong_a_deadline() -> None:
    client, pair = connected()
    request = client.ask("a", repeatable=True)
    pair.settle()
    pair.advance(2.0)
    pair.server.close()
    pair.advance(2.0)
    assert echoed(pair) == ["a"]
    pair.server.reply(b"$")
    pair.advance(1.0)
    assert lost(request) == (RequestTimeout, True)
    assert pair.server.link.is_up


def test_a_request_that_was_sent_once_counts_as_sent_even_while_it_waits_again() -> None:
    client, pair = connected()
    late, closed = client.ask("late", repeatable=True), client.ask("closed", repeatable=True)
    pair.settle()
    pair.refusal = OSError("refused")
    pair.server.close()
    client.handle_timeout(pair.now + 4.0)
    closed.deadline += 10.0
    client.handle_timeout(pair.now + 5.0)
    assert lost(late) == (ConnectionLost, True)
    client.close()
    assert lost(closed) == (ConnectionLost, True)
    assert "the server may have executed the request" in str(closed.error)


def test_a_caller_may_submit_again_as_soon_as_its_request_is_late() -> None:
    client, pair = unconnected()
    retries: list[Request] = []

    def retry(request: Request) -> None:
        retries.append(client.submit(request.asked, retry))

    client.submit([Command(("PING",))], retry)
    pair.settle()
    pair.advance(5.0)
    assert len(retries) == 1
    pair.advance(10.0)
    assert len(retries) == 3
    assert client._main.queued == len(retries[-1].data)


def test_a_caller_that_has_gone_leaves_its_place_in_flight() -> None:
    client, pair = connected()
    gone, there = client.ask("gone"), client.ask("there")
    pair.settle()
    gone.finished = True
    pair.server.answer("gone", "there")
    assert client.ended == [there]
    assert there.answer() == b"there"


@pytest.mark.parametrize("before", [True, False])
def test_what_nobody_waits_for_and_has_not_left_never_does(before: bool) -> None:
    client, pair = connected(greets=False)
    requests = [client.ask("a"), client.ask("b")]
    pair.settle()
    pair.server.commands.clear()
    requests[not before].finished = True
    pair.server.reply(resp(HELLO), OK, OK)
    assert echoed(pair) == ["b" if before else "a"]
    assert client._main.queued == len(requests[before].data)


def test_what_nobody_waits_for_does_not_pile_up_while_the_server_is_down() -> None:
    client, pair = unconnected()
    for number in range(100):
        client.ask(f"{number}").finished = True
        pair.advance(0.1)
    pair.advance(10.0)
    assert client.ended == []
    assert not client._main._waiting
    assert not client._main._deadlines
    assert client._main.queued == 0


def test_a_late_request_behind_one_that_nobody_waits_for() -> None:
    client, pair = unconnected()
    gone, late, later = client.ask("gone"), client.ask("late"), client.ask("later")
    pair.settle()
    gone.finished = True
    client.handle_timeout(pair.now + 5.0)
    assert lost(late) == lost(later) == (ConnectionLost, False)
    assert client._main.queued == 0


def test_thousands_of_requests_end_without_looking_each_one_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(one: object, other: object) -> bool:
        raise AssertionError("requests were compared")

    monkeypatch.setattr(Request, "__eq__", compare, raising=False)
    client, pair = connected()
    for number in range(3000):
        client.ask(f"{number}", repeatable=number % 2 == 0)
    pair.budget = 50_000
    pair.settle()
    pair.refusal = OSError("refused")
    pair.server.close()
    assert 500 < len(client.ended) < 1500
    pair.advance(5.0)
    assert len(client.ended) == 3000
    assert client._main.queued == 0
