from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.commands import Command, get, xlen
from streamcore.commands.command import LinkUse, Traits
from streamcore.errors import (
    ClosedError,
    ConnectionLost,
    ExecAbortError,
    InvalidArgument,
    LoadingError,
    NoPermissionError,
    ReadOnlyError,
    RemoteProtocolError,
    WatchedKeyChanged,
    WrongTypeError,
    reply_error,
)
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair
from streamcore.testing.resp import resp
from tests.core.support import strategies as own
from tests.core.support.strategies import byte_by_byte, pieces

QUEUED = "QUEUED"
ABORT = reply_error("EXECABORT Transaction discarded because of previous errors.")
READONLY = reply_error("READONLY You can't write against a read only replica.")
incr: Command[int] = Command(("INCR", "n"))


class Ended(list[Request]):
    """The requests that ended, in order."""


def connected() -> tuple[Multiplexer, Pair]:
    client = Multiplexer()
    return client, Pair(client)


def transact(client: Multiplexer, *commands: Command[Any]) -> Request:
    return client.transact(list(commands), lambda request: None)


def test_the_commands_leave_together_between_multi_and_exec() -> None:
    client, pair = connected()
    request = transact(client, get("a"), xlen("s"))
    client.submit([incr], lambda request: None)
    pair.settle()
    for words in (["MULTI"], ["GET", "a"], ["XLEN", "s"], ["EXEC"], ["INCR", "n"]):
        assert pair.server.expect(*words) == [word.encode() for word in words]
    pair.server.answer("OK", QUEUED, QUEUED, ["x", 5])
    assert request.answers() == [b"x", 5]


def test_answers_are_what_the_commands_make_of_their_replies() -> None:
    client, pair = connected()
    request = transact(client, Command(("GET", "k"), int), get("k").text())
    pair.settle()
    pair.server.answer("OK", QUEUED, QUEUED, ["42", "text"])
    assert request.answers() == [42, "text"]


def test_a_command_that_fails_when_it_is_executed_has_its_error_in_place() -> None:
    client, pair = connected()
    request = transact(client, xlen("s"), get("k"))
    pair.settle()
    pair.server.answer("OK", QUEUED, QUEUED, [reply_error("WRONGTYPE no"), "x"])
    error, value = request.answers()
    assert isinstance(error, WrongTypeError)
    assert error.command == "XLEN"
    assert value == b"x"


def test_a_command_that_is_not_even_queued_aborts_all_of_them() -> None:
    client, pair = connected()
    request = transact(client, get("k"), xlen("s"))
    pair.settle()
    pair.server.answer("OK", QUEUED, reply_error("ERR wrong number of arguments for 'xlen' command"), ABORT)
    with pytest.raises(ExecAbortError, match=r"nothing was executed, because of: ERR wrong number .*XLEN") as raised:
        request.answers()
    assert raised.value.__cause__ is not None


def test_exec_may_be_refused_by_itself() -> None:
    client, pair = connected()
    request = transact(client, get("k"))
    pair.settle()
    pair.server.answer("OK", QUEUED, reply_error("EXECABORT Transaction discarded because of: OOM"))
    with pytest.raises(ExecAbortError, match=r"in reply to EXEC"):
        request.answers()


def test_without_multi_it_was_no_transaction_and_that_is_said() -> None:
    client, pair = connected()
    request = transact(client, incr)
    pair.settle()
    pair.server.answer(
        reply_error("NOPERM no right to run the 'multi' command"), 1, reply_error("ERR EXEC without MULTI")
    )
    with pytest.raises(NoPermissionError, match="it was MULTI that was refused: commands may have been executed"):
        request.answers()


def test_a_watched_key_that_has_changed() -> None:
    client, pair = connected()
    request = transact(client, incr)
    pair.settle()
    pair.server.answer("OK", QUEUED, None)
    with pytest.raises(WatchedKeyChanged, match="nothing was executed"):
        request.answers()


@pytest.mark.parametrize("outcome", [[], [1, 2], 5, "OK", {"a": 1}])
def test_an_outcome_of_another_shape(outcome: Any) -> None:
    client, pair = connected()
    request = transact(client, incr)
    pair.settle()
    pair.server.answer("OK", QUEUED, outcome)
    with pytest.raises(RemoteProtocolError, match="one element for each command"):
        request.answers()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (
            Command(("BLPOP", "l", 1), traits=Traits(use=LinkUse.DEDICATED, block=1)),
            "BLPOP cannot be a part of a tr.*: it blocks",
        ),
        (Command(("MULTI",), traits=Traits(use=LinkUse.FORBIDDEN)), "MULTI cannot run on a shared connection"),
        (Command(("SUBSCRIBE", "c"), traits=Traits(use=LinkUse.FORBIDDEN)), "SUBSCRIBE cannot run on a shared"),
    ],
)
def test_what_desynchronises_a_connection_or_blocks_it_is_refused(command: Command[Any], why: str) -> None:
    client, pair = connected()
    with pytest.raises(InvalidArgument, match=why):
        transact(client, incr, command)
    pair.settle()
    pair.server.expect_nothing()


# -- connections that break, and servers that cannot serve -------------------------------------------------------------


def test_what_was_refused_as_a_whole_waits_for_a_server_that_can_serve() -> None:
    client, pair = connected()
    request = transact(client, get("k"), incr)
    pair.settle()
    pair.server.commands.clear()
    pair.server.answer("OK", QUEUED, READONLY, ABORT)
    assert not request.finished
    pair.advance(1.0)
    pair.server.expect("MULTI")
    pair.server.answer("OK", QUEUED, QUEUED, ["x", 1])
    assert request.answers() == [b"x", 1]


def test_the_last_word_of_a_server_that_cannot_serve() -> None:
    client, pair = connected()
    request = transact(client, get("k"), incr)
    pair.settle()
    pair.server.answer("OK", QUEUED, READONLY, ABORT)
    pair.greets = False
    pair.advance(6.0)
    with pytest.raises(ReadOnlyError, match=r"in reply to INCR"):
        request.answers()


def test_where_multi_itself_was_refused_nothing_is_repeated() -> None:
    client, pair = connected()
    request = transact(client, incr)
    pair.settle()
    loading = reply_error("LOADING the server is loading")
    pair.server.answer(loading, loading, ABORT)
    with pytest.raises(LoadingError, match="one by one"):
        request.answers()


@pytest.mark.parametrize("commands", [[get("a"), incr], [get("a"), xlen("s")]])
def test_a_lost_reply_is_asked_for_again_only_if_all_commands_may_be_repeated(commands: list[Command[Any]]) -> None:
    client, pair = connected()
    request = transact(client, *commands)
    pair.settle()
    pair.server.commands.clear()
    pair.server.reply(resp("OK"), resp(QUEUED))
    pair.server.close()
    if incr in commands:
        with pytest.raises(ConnectionLost) as lost:
            request.answers()
        assert lost.value.sent
    else:
        pair.advance(1.0)
        pair.server.expect("MULTI")
        pair.server.answer("OK", QUEUED, QUEUED, ["x", 1])
        assert request.answers() == [b"x", 1]


def test_a_closed_client_refuses_transactions() -> None:
    client, _ = connected()
    client.close()
    with pytest.raises(ClosedError):
        transact(client, incr)


@given(st.lists(st.lists(own.replies, min_size=1, max_size=3), min_size=1, max_size=3), own.cuts)
def test_answers_are_the_same_however_they_are_cut(asked: list[list[Any]], cuts: list[int]) -> None:
    wire = b"".join(b"+OK\r\n" + b"+QUEUED\r\n" * len(replies) + resp(replies) for replies in asked)
    expected = [repr(own.plain(replies)) for replies in asked]
    for cut in (lambda data: [data], byte_by_byte, lambda data: pieces(data, cuts)):
        client, pair = connected()
        requests = [transact(client, *(Command(("GET", "k")) for _ in replies)) for replies in asked]
        pair.settle()
        pair.cut = cut
        pair.server.reply(wire)
        assert [repr(own.plain(request.answers())) for request in requests] == expected
