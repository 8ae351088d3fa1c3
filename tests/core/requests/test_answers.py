"""What a request answers, and what does not make sense."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.commands import Command, get, incr, xrange
from streamcore.commands.command import Traits
from streamcore.errors import ConnectionLost, RemoteProtocolError, ReplyError, WrongTypeError, reply_error
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair
from streamcore.testing.resp import PushOf, resp
from tests.core.support import strategies as own
from tests.core.support.clients import connected, echoed, lost, unconnected
from tests.core.support.strategies import byte_by_byte, pieces, plain


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


@pytest.mark.parametrize("together", [False, True])
def test_an_answer_that_is_no_text_does_not_hide_the_other_answers(together: bool) -> None:
    client = Multiplexer()
    pair = Pair(client)
    asked: list[Command[Any]] = [get("k").text(), incr("n")]
    ask = client.transact if together else client.submit
    request: Request = ask(asked, lambda request: None)
    pair.settle()
    pair.server.answer(*(["OK", "QUEUED", "QUEUED", [b"\xff", 1]] if together else [b"\xff", 1]))
    broken, number = request.answers()
    assert isinstance(broken, Exception)
    assert number == 1
