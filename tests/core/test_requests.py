from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.commands import Command, get, xrange
from streamcore.commands.command import READ, Traits
from streamcore.connection.link import AT_ONCE
from streamcore.connection.link_state import State
from streamcore.errors import (
    AuthenticationError,
    ClosedError,
    ConnectionLost,
    InvalidArgument,
    LoadingError,
    RemoteProtocolError,
    ReplyError,
    RequestTimeout,
    WrongTypeError,
    reply_error,
)
from streamcore.events import ConnectAttemptFailed, Connected, Disconnected, Event, Reconnected
from streamcore.options import Options
from streamcore.requests import Multiplexer, Request
from tests.core import strategies as own
from tests.core.pair import HELLO, OK, Pair, PushOf, resp
from tests.core.strategies import byte_by_byte, pieces, plain


class Client(Multiplexer):
    """Keeps what was asked, and writes down what ended, in order."""

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options=options or Options())
        self.ended: list[Request] = []

    def ask(self, *words: str, repeatable: bool = False) -> Request:
        """Submit one ECHO for each word."""
        return self.submit(
            [Command(("ECHO", word), traits=Traits(repeatable=repeatable)) for word in words], self.ended.append
        )


def connected(**arguments: Any) -> tuple[Client, Pair]:
    client = Client()
    return client, Pair(client, **arguments)


def unconnected() -> tuple[Client, Pair]:
    """A client whose server is down."""
    client = Client()
    pair = Pair(client, dials=False)
    pair.dials, pair.refusal = True, OSError("refused")
    pair.settle()
    return client, pair


def lost(request: Request) -> tuple[type[Exception], bool]:
    """The error that ended a request, and whether it counts as sent."""
    assert request.finished
    with pytest.raises(ConnectionLost) as raised:
        request.answers()
    return type(raised.value), raised.value.sent


def echoed(pair: Pair) -> list[str]:
    """What the server was asked to echo since it was last looked at."""
    found = [command[1].decode() for command in pair.server.commands]
    pair.server.commands.clear()
    return found


# -- answers -----------------------------------------------------------------------------------------------------------


def test_each_request_gets_its_own_answer() -> None:
    client, pair = connected()
    one, two, three = client.ask("a"), client.ask("b", "c"), client.ask("d")
    pair.settle()
    assert echoed(pair) == ["a", "b", "c", "d"]
    pair.server.answer("a")
    assert client.ended == [one]
    pair.server.answer("b")
    assert not two.finished
    pair.server.answer("c", "d")
    assert client.ended == [one, two, three]
    assert (one.answer(), two.answers(), three.answer()) == (b"a", [b"b", b"c"], b"d")


def test_an_answer_is_what_the_command_makes_of_the_reply() -> None:
    client, pair = connected()
    request = client.submit([Command(("GET", "k"), int), Command(("GET", "k"))], client.ended.append)
    pair.settle()
    pair.server.answer("42", "42")
    assert request.answers() == [42, b"42"]


def test_an_error_is_not_parsed() -> None:
    request = Request([Command(("GET", "k"), int)], lambda request: None, 5.0)
    request.replies.append(reply_error("ERR no"))
    [answer] = request.answers()
    assert isinstance(answer, ReplyError)


def test_a_refused_command_raises_alone_and_is_a_value_among_others() -> None:
    client, pair = connected()
    alone, among = client.ask("a"), client.ask("b", "c", "d")
    pair.settle()
    wrong = reply_error("WRONGTYPE no")
    pair.server.answer(wrong, "b", reply_error("ERR no"), [wrong, "x"])
    with pytest.raises(WrongTypeError, match=r"WRONGTYPE no \(in reply to ECHO\)"):
        alone.answer()
    first, second, third = among.answers()
    assert first == b"b"
    assert str(second) == "ERR no (in reply to ECHO)"
    assert plain(third) == [("error", "WRONGTYPE", "no"), b"x"]


def test_a_reply_that_makes_no_sense_is_the_servers_fault_and_costs_no_other_answer() -> None:
    client, pair = connected()
    length: Command[int] = Command(("STRLEN", "k"), len)
    request = client.submit([length, Command(("GET", "k"))], client.ended.append)
    pair.settle()
    pair.server.answer(5, "secret")
    misshapen, value = request.answers()
    assert value == b"secret"
    assert isinstance(misshapen, RemoteProtocolError)
    assert str(misshapen) == "the reply to STRLEN cannot be understood: TypeError"
    alone = client.submit([length], client.ended.append)
    pair.settle()
    pair.server.answer(5)
    with pytest.raises(RemoteProtocolError, match="the reply to STRLEN cannot be understood"):
        alone.answer()


def test_of_a_request_that_was_cut_off_the_answers_that_came_are_known() -> None:
    client, pair = connected()
    request = client.ask("a", "b", "c", "d")
    pair.server.answer("a", WrongTypeError("WRONGTYPE", "no list"))
    assert [type(answer) for answer in request.came()] == [bytes, WrongTypeError]
    assert not request.finished
    pair.server.close(OSError("reset"))
    assert lost(request) == (ConnectionLost, True)
    first, second = request.came()
    assert (first, second.code, second.command) == (b"a", "WRONGTYPE", "ECHO")


def test_of_a_whole_request_and_of_one_that_never_left_that_is_all_and_nothing() -> None:
    client, pair = connected()
    request = client.ask("a", "b")
    pair.server.answer("a", "b")
    assert request.came() == request.answers() == [b"a", b"b"]
    client, pair = unconnected()
    waiting = client.ask("a")
    client.close()
    assert waiting.finished
    assert waiting.came() == []


def alarm(*_: object) -> Any:
    raise TimeoutError("an alarm of the application")


class Interrupted:
    """A reply in whose reading a signal handler raises."""

    __iter__ = decode = alarm


@pytest.mark.parametrize("command", [xrange("s"), get("a").text()])
def test_what_a_signal_handler_raises_while_a_reply_is_parsed_comes_out(command: Command[Any]) -> None:
    request = Request([command], lambda request: None, 5.0)
    request.replies.append(cast("Any", Interrupted()))
    with pytest.raises(TimeoutError, match="an alarm"):
        request.answers()


class Malformed(Exception):
    """An error of an application's own."""


@pytest.mark.parametrize("error", [OSError("its file"), Malformed(), ValueError(), TimeoutError()])
def test_a_parser_of_the_application_fails_its_own_command_only(error: Exception) -> None:
    def parse(reply: Any) -> bytes:
        raise error

    commands: list[Command[Any]] = [
        get("a"),
        Command(("GET", "b"), parse),
        Command(("GET", "c"), parse).text(),
        get("d"),
    ]
    request = Request(commands, lambda request: None, 5.0)
    request.replies += [b"1", b"2", b"3", b"4"]
    first, *wrong, last = request.answers()
    assert (first, last) == (b"1", b"4")
    for one in wrong:
        assert isinstance(one, RemoteProtocolError)
        assert one.__cause__ is error


def test_bytes_that_are_not_the_text_that_was_asked_for() -> None:
    client, pair = connected()
    request = client.submit([get("k").text()], client.ended.append)
    pair.settle()
    pair.server.answer(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        request.answer()


def test_a_server_that_is_too_old_for_a_command_is_said_to_be() -> None:
    client, pair = connected()
    new: Command[int] = Command(("XNEW", "k"), traits=Traits(needs="Redis 99"))
    request = client.submit([new, new, new, new], client.ended.append)
    pair.settle()
    lines = ("ERR unknown command", "WRONGTYPE no", "ERR syntax error: needs Redis 99", "ERR no such key")
    pair.server.answer(*map(reply_error, lines))
    assert [str(answer) for answer in request.answers()] == [
        "ERR unknown command; XNEW in this form needs Redis 99 (in reply to XNEW)",
        "WRONGTYPE no (in reply to XNEW)",
        "ERR syntax error: needs Redis 99 (in reply to XNEW)",
        "ERR no such key (in reply to XNEW)",
    ]


def test_pushes_between_replies_reach_nobody() -> None:
    client, pair = connected()
    one, two = client.ask("a"), client.ask("b")
    push = resp(PushOf(["message", "c", "x"]))
    pair.server.reply(push, resp("a"), push, push, resp("b"), push)
    assert (one.answer(), two.answer()) == (b"a", b"b")


def test_a_reply_that_nobody_asked_for_drops_the_connection_and_reaches_nobody() -> None:
    client, pair = connected()
    pair.server.answer("stray")
    request = client.ask("a")
    pair.advance(1.0)
    assert echoed(pair) == ["a"]
    pair.server.answer("a")
    assert request.answer() == b"a"
    assert pair.server.dials == 2


@given(st.lists(st.lists(own.replies, min_size=1, max_size=3), max_size=4), own.cuts)
def test_answers_are_the_same_however_they_are_cut(asked: list[list[Any]], cuts: list[int]) -> None:
    wire = b"".join(resp(reply) for replies in asked for reply in replies)
    for cut in (lambda data: [data], byte_by_byte, lambda data: pieces(data, cuts)):
        client, pair = connected()
        pair.cut = cut
        requests = [client.ask(*("x" * len(replies))) for replies in asked]
        pair.settle()
        pair.server.reply(wire)
        assert client.ended == requests
        assert [plain(request.replies) for request in requests] == [plain(replies) for replies in asked]


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


# -- a server that cannot serve now (more in test_requests_refused.py) -------------------------------------------------

LOADING = reply_error("LOADING the server is loading its data")


def test_answers_that_come_together_are_all_told_before_the_connection_is_dropped() -> None:
    client, pair = connected()
    first, served, last = client.ask("first"), client.ask("served"), client.ask("last", "last too")
    pair.settle()
    pair.server.answer(LOADING, "served", LOADING, LOADING)
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
    for replies in ((LOADING, "b"), ("a", LOADING)):
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
    pair.server.answer(LOADING)
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
    pair.server.answer(LOADING)
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
    pair.server.answer(LOADING)
    pair.advance(1.0)
    pair.server.reply(b"$")
    pair.advance(4.0)
    assert lost(request) == (RequestTimeout, True)


def test_a_refusal_that_comes_when_the_client_was_just_closed_is_an_answer() -> None:
    client, pair = connected()
    client.submit([Command(("PING",))], lambda request: client.close())
    request = client.ask("a")
    pair.settle()
    pair.server.answer("PONG", LOADING)
    assert client.ended == [request]
    with pytest.raises(LoadingError):
        request.answer()
    assert client.next_timeout() is None


# -- deadlines ---------------------------------------------------------------------------------------------------------


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
