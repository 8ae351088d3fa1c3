from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.commands import Command
from streamcore.commands.command import READ
from streamcore.connection.link import AT_ONCE
from streamcore.connection.link_state import State
from streamcore.errors import (
    AuthenticationError,
    ClosedError,
    ConnectionLost,
    InvalidArgument,
    ReplyError,
    RequestTimeout,
    reply_error,
)
from streamcore.events import ConnectAttemptFailed, Connected, Disconnected, Event, Reconnected
from streamcore.options import Options
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair
from streamcore.testing.resp import HELLO, OK, resp
from tests.core.support.clients import Client, connected, echoed, lost, unconnected

# -- submitting --------------------------------------------------------------------------------------------------------


def test_requests_of_many_tasks_leave_in_one_write() -> None:
    client, pair = connected()
    for word in "abc":
        client.ask(word)
    assert bytes(pair.server.link.data_to_send()).count(b"ECHO") == 3
    assert pair.wakeups == 3


def test_requests_wait_for_the_connection_and_leave_in_order() -> None:
    client, pair = connected(greets=False)
    client.ask("a")
    client.ask("b")
    pair.settle()
    assert (client.is_ready, len(pair.server.commands)) == (False, 3)
    pair.server.commands.clear()
    pair.server.reply(resp(HELLO), OK, OK)
    assert (client.is_ready, echoed(pair)) == (True, ["a", "b"])


def test_whoever_hears_that_the_link_is_up_submits_behind_those_that_waited() -> None:
    client = Client()
    client.on_event = lambda event: None if isinstance(event, ConnectAttemptFailed) else void(client.ask("last"))
    client.ask("first")
    pair = Pair(client)
    assert echoed(pair) == ["first", "last"]


def void(_: object) -> None:
    """Nothing, of anything."""


@pytest.mark.parametrize("arguments", [("SET", "k", None), ("SET", "k", "\ud800"), ()])
def test_a_bad_argument_is_refused_before_anything_is_queued(arguments: tuple[Any, ...]) -> None:
    client, pair = connected()
    with pytest.raises(InvalidArgument):
        client.submit([Command(("PING",)), Command(arguments)], client.ended.append)
    with pytest.raises(InvalidArgument):
        client.submit([], client.ended.append)
    pair.settle()
    pair.server.expect_nothing()
    assert client.ended == []
    assert client._main.queued == 0


def test_room_is_counted_in_bytes_from_submitting_to_answering() -> None:
    client = Client(Options(max_outgoing=100))
    pair = Pair(client)
    rooms = [client.has_room]
    for _ in range(2):
        client.ask("x" * 50)
        rooms.append(client.has_room)
    pair.settle()
    pair.server.answer("x")
    assert [*rooms, client.has_room] == [True, True, False, True]
    pair.server.answer("x")
    assert client._main.queued == 0


def test_who_has_waited_for_room_in_vain_has_sent_nothing() -> None:
    client = Client(Options(max_outgoing=100, request_timeout=2.0))
    client.ask("x" * 150)
    error = client.no_room()
    assert (
        str(error) == f"nothing was sent within 2 s: {client._main.queued} bytes of requests before it are unanswered"
    )
    assert not error.sent


def test_asking_for_outputs_again_changes_nothing() -> None:
    client, pair = connected(budget=10**6)
    client.ask("a")
    client.ask("b")
    link = pair.server.link

    def outputs() -> tuple[Any, ...]:
        return bytes(link.data_to_send()), link.wants_data, link.next_timeout(), client.next_timeout()

    assert outputs() == outputs() == outputs()
    assert client.next_timeout() == AT_ONCE
    pair.settle()
    pair.server.answer("a")
    assert outputs() == outputs() == outputs()
    assert client.next_timeout() == pair.now + 2.5


# -- losing the connection ---------------------------------------------------------------------------------------------


def test_only_what_may_be_repeated_is_repeated_and_the_order_is_kept() -> None:
    client, pair = connected()
    lost_one, repeated = client.ask("lost"), client.ask("repeated", repeatable=True)
    pair.settle()
    pair.budget = 0
    unsent, both = client.ask("unsent"), client.ask("both", repeatable=True)
    pair.server.close(OSError("reset"))
    assert client.ended == [lost_one]
    assert lost(lost_one) == (ConnectionLost, True)
    assert str(lost_one.error) == (
        "the reply was lost, the server may have executed the request: the connection to localhost:6379 broke: reset"
    )
    later = client.ask("later")
    pair.budget = None
    pair.advance(1.0)
    assert echoed(pair) == ["repeated", "unsent", "both", "later"]
    pair.server.answer("1", "2", "3", "4")
    assert [request.answer() for request in (repeated, unsent, both, later)] == [b"1", b"2", b"3", b"4"]


def test_a_request_of_several_commands_is_repeatable_if_all_of_them_are() -> None:
    client, pair = connected()
    once: Command[int] = Command(("INCR", "k"))
    again: Command[bytes] = Command(("GET", "k"), traits=READ)
    mixed = client.submit([again, once], client.ended.append)
    pure = client.submit([again, again], client.ended.append)
    pair.settle()
    pair.server.close()
    assert lost(mixed) == (ConnectionLost, True)
    assert not pure.finished


def test_replies_of_two_connections_are_never_mixed() -> None:
    client, pair = connected()
    request = client.ask("a", "b", repeatable=True)
    pair.settle()
    pair.server.answer("old a")
    pair.server.close()
    pair.advance(1.0)
    pair.server.answer("new a", "new b")
    assert request.answers() == [b"new a", b"new b"]


@given(
    st.lists(st.tuples(st.integers(1, 2), st.booleans()), max_size=6),
    st.integers(0, 200),
    st.integers(0, 8),
    st.lists(st.integers(0, 5), max_size=2),
)
def test_a_lost_connection_ends_or_keeps_each_request_by_what_had_left(
    shapes: list[tuple[int, bool]], budget: int, answered: int, abandoned: list[int]
) -> None:
    client, pair = connected(budget=None)
    pair.budget = budget
    requests = [
        client.ask(*(f"{number}.{index}" for index in range(size)), repeatable=repeatable)
        for number, (size, repeatable) in enumerate(shapes)
    ]
    for number in abandoned:
        if number < len(requests):
            requests[number].finished = True
    alive = [request for request in requests if not request.finished]
    pair.settle()
    begins = [sum(len(r.data) for r in requests[:at]) for at in range(len(requests))]
    arrived = echoed(pair)[:answered]
    pair.server.answer(*arrived)
    pair.server.close()

    offset = 0
    expected = list[str]()
    for request, begin in zip(requests, begins, strict=True):
        words = [command.args[1] for command in request.asked]
        complete = offset + request.size <= len(arrived)
        offset += request.size
        if request not in alive:
            assert request.error is None
        elif complete:
            assert request.answers() == [str(word).encode() for word in words]
        elif begin >= budget or request.repeatable:
            assert not request.finished
            expected += map(str, words)
        else:
            assert lost(request) == (ConnectionLost, True)
    pair.budget = None
    pair.advance(1.0)
    assert echoed(pair) == expected
    pair.server.answer(*expected)
    assert sorted(map(id, client.ended)) == sorted(map(id, alive))
    assert client._main.queued == 0


def test_what_happens_to_the_link_is_told() -> None:
    client, pair = connected()
    pair.server.close()
    pair.refusal = OSError("refused")
    pair.advance(0.06)
    pair.refusal = None
    pair.advance(1.0)
    assert [type(event) for event in pair.events()] == [Connected, Disconnected, ConnectAttemptFailed, Reconnected]
    assert not client.closed


def test_the_back_off_is_reset_by_an_answer_and_not_by_a_greeting() -> None:
    client, pair = connected()
    link = pair.server.link
    for attempts in (1, 2, 3):
        assert link.attempts == attempts
        pair.server.close()
        pair.advance(1.0)
    client.ask("a")
    pair.settle()
    assert link.attempts == 4
    pair.server.answer("a")
    assert link.attempts == 0


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_ends_everything_that_waits_or_is_in_flight() -> None:
    client, pair = connected()
    answered, sent, repeatable = client.ask("1"), client.ask("2"), client.ask("3", repeatable=True)
    pair.settle()
    pair.server.answer("1")
    pair.budget = 0
    unsent = client.ask("4")
    client.close()
    client.close()
    assert client.ended == [answered, sent, repeatable, unsent]
    assert [lost(request) for request in (sent, repeatable, unsent)] == [
        (ConnectionLost, True),
        (ConnectionLost, True),
        (ConnectionLost, False),
    ]
    assert str(unsent.error) == "the request was not sent: the client was closed"
    with pytest.raises(ClosedError):
        client.ask("5")
    assert len(client.ended) == 4
    pair.settle()
    assert pair.server.link.state is State.RESTING
    assert client.next_timeout() is None
    assert client._main.queued == 0


@pytest.mark.parametrize("arrange", [lambda pair: None, lambda pair: pair.advance(0.02)])
def test_closing_without_a_connection_ends_everything_as_well(arrange: Callable[[Pair], None]) -> None:
    client, pair = unconnected()
    request = client.ask("a")
    arrange(pair)
    client.close()
    assert lost(request) == (ConnectionLost, False)


def test_a_wrong_password_ends_what_waits_and_what_comes_later() -> None:
    client, pair = connected(greets=False)
    waiting = client.ask("a")
    pair.server.reply(b"-WRONGPASS invalid username-password pair\r\n")
    assert lost(waiting) == (ConnectionLost, False)
    assert "the client was closed: WRONGPASS invalid" in str(waiting.error)
    with pytest.raises(AuthenticationError):
        client.ask("b")


def test_a_caller_may_close_the_client_in_the_middle_of_answers() -> None:
    client, pair = connected()
    first = client.submit([Command(("PING",))], lambda request: client.close())
    second, third = client.ask("2"), client.ask("3")
    pair.settle()
    pair.server.answer("1", "2")
    assert (first.answer(), second.answer()) == (b"1", b"2")
    assert lost(third) == (ConnectionLost, True)


def test_a_caller_may_close_the_client_when_its_request_is_late() -> None:
    client, pair = unconnected()
    client.submit([Command(("PING",))], lambda request: client.close())
    other = client.ask("other")
    pair.settle()
    pair.advance(5.0)
    assert lost(other) == (ConnectionLost, False)
    assert len(client.ended) == 1


def test_a_caller_that_submits_while_its_connection_is_being_lost_comes_behind_what_is_kept() -> None:
    client, pair = connected()
    client.submit([Command(("PING",))], lambda request: void(client.ask("after")))
    client.ask("kept", repeatable=True)
    pair.settle()
    pair.server.close()
    pair.advance(1.0)
    assert echoed(pair) == ["kept", "after"]


def test_a_request_ends_once() -> None:
    ended: list[Request] = []
    request = Request([Command(("PING",))], ended.append, 5.0)
    request.finish(ConnectionLost("first"))
    request.finish()
    request.finish(RequestTimeout("third"))
    assert ended == [request]
    with pytest.raises(ConnectionLost, match="first"):
        request.answer()


def test_an_answer_that_is_an_error_keeps_the_servers_words() -> None:
    request = Request([Command(("XADD", "s", "*", "secret", "sesame"))], lambda request: None, 5.0)
    request.replies.append(reply_error("OOM command not allowed"))
    with pytest.raises(ReplyError) as raised:
        request.answer()
    assert str(raised.value) == "OOM command not allowed (in reply to XADD)"


def test_events_are_told_once() -> None:
    heard: list[Event] = []
    client = Client()
    client.on_event = heard.append
    pair = Pair(client)
    assert heard == pair.events() == [Connected("main", "localhost:6379", "valkey 9.1.2")]


@pytest.mark.parametrize(
    "words", [("SUBSCRIBE", "c"), ("subscribe", "c"), ("MULTI",), ("WATCH", "k"), ("BLPOP", "k", 0)]
)
def test_a_command_that_was_made_by_hand_is_refused_as_well(words: tuple[Any, ...]) -> None:
    client = Multiplexer()
    pair = Pair(client)
    with pytest.raises(InvalidArgument):
        client.submit([Command(words)], lambda request: None)
    pair.settle()
    pair.server.expect_nothing()
