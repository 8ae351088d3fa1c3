from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.connection.connection import Connection, State
from streamcore.connection.exchange import Exchange, Pushed, Subscribing
from streamcore.errors import ConnectFailed, InvalidArgument, LoginRefused, RemoteProtocolError
from streamcore.options import DecoderKind, Login, Options
from streamcore.testing.resp import HELLO, OK, PushOf, commands_in, resp
from streamcore.version import VERSION
from tests.core.support import strategies as own
from tests.core.support.connections import SECRET, WELCOME, exchange, kept, ready, write_all
from tests.core.support.strategies import byte_by_byte, pieces, plain
from tests.support.decoders import both

# -- the introduction --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "hello"),
    [
        (Login(), "HELLO 3"),
        (Login(password="pw"), "HELLO 3 AUTH default pw"),
        (Login("ann", "pw"), "HELLO 3 AUTH ann pw"),
        (Login(client_name="me"), "HELLO 3 SETNAME me"),
        (Login("ann", "pw", 0, "me"), "HELLO 3 AUTH ann pw SETNAME me"),
    ],
)
def test_a_connection_begins_by_hello(login: Login, hello: str) -> None:
    first, *others = commands_in(Connection(login).data_to_send())
    assert first == hello.encode().split()
    assert others == [
        [b"CLIENT", b"SETINFO", b"LIB-NAME", b"streamcore"],
        [b"CLIENT", b"SETINFO", b"LIB-VER", VERSION.encode()],
    ]


def test_nothing_else_leaves_before_the_server_has_agreed_to_everything() -> None:
    connection = Connection(Login(database=7))
    held = exchange(("GET", "k"))
    connection.send(held)
    assert len(commands_in(write_all(connection))) == 4
    for reply in (resp(HELLO), OK, OK):
        assert connection.receive_data(reply) == []
        assert connection.state is State.GREETING
        assert connection.data_to_send() == b""
    assert connection.receive_data(OK) == []
    assert connection.state is State.READY
    assert commands_in(write_all(connection)) == [[b"GET", b"k"]]
    assert connection.receive_data(resp("v")) == [held]
    assert connection.server[b"id"] == 7


def test_a_server_that_knows_no_setinfo_is_welcome() -> None:
    connection = Connection()
    assert connection.receive_data(resp(HELLO) + b"-ERR unknown subcommand 'SETINFO'\r\n" * 2) == []
    assert connection.state is State.READY


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ([b"-WRONGPASS invalid username-password pair\r\n"], LoginRefused),
        ([b"-NOPROTO unsupported protocol version\r\n"], ConnectFailed),
        ([resp(HELLO), OK, OK, b"-ERR DB index is out of range\r\n"], ConnectFailed),
        ([b"HTTP/1.1 400 Bad Request\r\n"], ConnectFailed),
        ([resp([1, 2])], RemoteProtocolError),
    ],
)
def test_a_refusal_tells_why_as_soon_as_it_comes(replies: list[bytes], kind: type[Exception]) -> None:
    connection = Connection(Login(database=7))
    wire = b"".join(replies)
    for at in range(len(wire)):
        connection.receive_data(wire[at : at + 1])
    assert type(connection.error) is kind
    assert connection.state is State.GREETING
    assert connection.receive_data(WELCOME) == []
    assert connection.state is State.GREETING


def test_what_was_completed_before_a_refusal_is_told() -> None:
    connection = Connection()
    [pushed] = connection.receive_data(resp(PushOf(["invalidate", None])) + b"-DENIED no\r\n")
    assert kept([pushed]) == kept([Pushed([[b"invalidate", None]])])
    assert isinstance(connection.error, ConnectFailed)


def test_bytes_of_another_protocol_are_told_by_the_first_of_them() -> None:
    for wire in (b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/1.1 400 Bad Request\r\n", b"<html>"):
        for size in (1, 2, len(wire)):
            connection = Connection()
            for at in range(0, len(wire), size):
                connection.receive_data(wire[at : at + size])
            assert isinstance(connection.error, ConnectFailed), wire
            assert connection.error.permanent


def test_they_are_rubbish_later_on() -> None:
    connection = ready()
    connection.receive_data(b"HTTP/1.1 400 Bad Request\r\n")
    assert isinstance(connection.error, RemoteProtocolError)


def test_an_echo_is_no_server_and_shows_no_password() -> None:
    connection = Connection(Login("ann", SECRET))
    assert connection.receive_data(bytes(connection.data_to_send())) == []
    assert isinstance(connection.error, RemoteProtocolError)
    assert str(connection.error) == "HELLO was answered by a reply of type list: is this a Redis or Valkey server?"


@both
def test_errors_have_no_frames_whose_locals_show_what_was_received(kind: DecoderKind) -> None:
    options = Options(decoder=kind)
    echo = bytes(Connection(Login("ann", SECRET)).data_to_send())
    for wire in (echo, b"-WRONGPASS " + echo.replace(b"\r\n", b" ") + b"\r\n", b"$x" + echo, b":" + echo):
        connection = Connection(Login("ann", SECRET), options)
        connection.receive_data(wire)
        error = connection.error
        assert error is not None
        assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)
        assert SECRET not in f"{error} {error!r} {vars(error)}"


# -- exchanges ---------------------------------------------------------------------------------------------------------


def test_an_exchange_leaves_in_one_piece_and_ends_with_all_its_replies() -> None:
    connection = ready()
    one, two = exchange(("SET", "a", 1), ("GET", "a")), exchange(("PING",))
    connection.send(one)
    connection.send(two)
    assert commands_in(write_all(connection)) == [[b"SET", b"a", b"1"], [b"GET", b"a"], [b"PING"]]
    assert [connection.oldest] == [one]
    assert connection.unanswered == 2
    assert connection.receive_data(OK) == []
    assert connection.receive_data(resp("1") + b"+PONG\r\n") == [one, two]
    assert one.replies == [b"OK", b"1"]
    assert two.replies == [b"PONG"]
    assert connection.oldest is None
    assert connection.unanswered == 0


@pytest.mark.parametrize(
    "commands", [[], [()], [("SET", "k", None)], [("GET", "k"), ("SET", "k", "\ud800")], [("GET", ["k"])]]
)
def test_a_bad_argument_fails_before_anything_is_queued(commands: list[tuple[Any, ...]]) -> None:
    with pytest.raises(InvalidArgument):
        Exchange(commands)


def test_an_exchange_knows_how_long_its_answer_may_take() -> None:
    assert Exchange([("PING",)]).timeout == 5.0
    assert Exchange([("XREAD", "BLOCK", 5000)], 10.0).timeout == 10.0


def test_an_error_reply_stands_in_its_place() -> None:
    connection = ready()
    one, two = exchange(("GET", "a"), ("INCR", "b"), ("EXEC",)), exchange(("GET", "c"))
    connection.send(one)
    connection.send(two)
    write_all(connection)
    completed = connection.receive_data(b"-WRONGTYPE a\r\n:1\r\n*2\r\n-ERR b\r\n:2\r\n-ERR c\r\n")
    assert completed == [one, two]
    assert [plain(reply) for reply in one.replies] == [("error", "WRONGTYPE", "a"), 1, [("error", "ERR", "b"), 2]]
    assert [plain(reply) for reply in two.replies] == [("error", "ERR", "c")]


def test_a_subscription_is_answered_by_pushes_one_for_each_name() -> None:
    connection = ready()
    one, other = Subscribing("SUBSCRIBE", [b"a", b"b"]), exchange(("PING",))
    connection.send(one)
    connection.send(other)
    write_all(connection)
    confirmed = b">3\r\n$9\r\nsubscribe\r\n$1\r\n%b\r\n:1\r\n"
    message = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
    first, run, *_ = completed = connection.receive_data(
        message + confirmed % b"a" + message * 2 + confirmed % b"b" + message + b"+PONG\r\n" + message
    )
    assert isinstance(first, Pushed)
    assert [type(item) for item in completed] == [Pushed, Pushed, Subscribing, Pushed, Exchange, Pushed]
    assert isinstance(run, Pushed)
    assert len(run.pushes) == 2
    assert [reply[1] for reply in one.replies] == [b"a", b"b"]


def test_or_by_one_error_for_all_of_them() -> None:
    connection = ready()
    one, other = Subscribing("SSUBSCRIBE", [b"a", b"b"]), Subscribing("SSUBSCRIBE", [b"c"])
    connection.send(one)
    connection.send(other)
    write_all(connection)
    assert connection.receive_data(b"-MOVED 1 h:1\r\n>3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n") == [one, other]
    assert plain(one.replies) == [("error", "MOVED", "1 h:1")]


def test_or_by_nonsense() -> None:
    connection = ready()
    connection.send(Subscribing("SUBSCRIBE", [b"a"]))
    write_all(connection)
    assert connection.receive_data(b"+OK\r\n") == []
    assert isinstance(connection.error, RemoteProtocolError)
    assert "a subscription was answered by a reply of type bytes" in str(connection.error)


@given(st.data())
def test_each_reply_reaches_its_own_request_however_it_is_cut_and_whatever_is_pushed(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 3), max_size=5))
    wire, expected = resp(HELLO) + OK * 2, list[Any]()
    asked = [[("ECHO", f"{number}.{index}") for index in range(size)] for number, size in enumerate(sizes)]
    for commands in asked:
        answers = list[Any]()
        for _ in commands:
            for pushed in data.draw(st.lists(st.lists(own.replies, min_size=1, max_size=2), max_size=2)):
                wire += resp(PushOf(pushed))
                expected.append(("push", plain(pushed)))
            answers.append(data.draw(own.replies))
            wire += resp(answers[-1])
        expected.append(("exchange", commands, plain(answers)))

    def complete(chunks: Iterable[bytes]) -> list[Any]:
        connection = Connection()
        for commands in asked:
            connection.send(Exchange(commands))
        found = [item for chunk in chunks for item in connection.receive_data(chunk)]
        assert connection.error is None
        assert connection.unanswered == 0
        return kept(found)

    assert complete([wire]) == expected
    assert complete(byte_by_byte(wire)) == expected
    assert complete(pieces(wire, data.draw(own.cuts))) == expected


# -- bytes out ---------------------------------------------------------------------------------------------------------


def test_looking_at_the_outgoing_bytes_changes_nothing() -> None:
    connection = ready()
    assert connection.data_to_send() == b""
    connection.send(exchange(("GET", "a")))
    connection.send(exchange(("GET", "b")))
    first = bytes(connection.data_to_send())
    assert first == bytes(connection.data_to_send())
    connection.data_sent(0)
    assert first == bytes(connection.data_to_send()) == exchange(("GET", "a"), ("GET", "b")).data


@given(st.lists(st.integers(0, 40)), st.integers(1, 5))
def test_bytes_leave_once_and_in_order_whatever_the_socket_takes(takes: list[int], number: int) -> None:
    connection = ready()
    sent, queued = b"", b""
    for take in [*takes, 1 << 20, 1 << 20]:
        if number:
            number -= 1
            connection.send(one := exchange(("GET", f"key{number}")))
            queued += one.data
        data = connection.data_to_send()
        sent += data[:take]
        connection.data_sent(min(take, len(data)))
    assert sent + write_all(connection) == queued


def test_what_a_write_has_left_over_is_not_copied_for_each_new_command() -> None:
    connection = ready()
    connection.send(exchange(("SET", "k", b"x" * 1000)))
    connection.data_sent(10)
    rest = connection.data_to_send()
    connection.send(exchange())
    assert connection.data_to_send() is rest
    connection.data_sent(len(rest))
    assert connection.data_to_send() == exchange().data


@pytest.mark.parametrize("n", [-1, 15])
def test_a_driver_cannot_have_written_more_than_there_was(n: int) -> None:
    connection = ready()
    connection.send(exchange())
    assert len(connection.data_to_send()) == 14
    with pytest.raises(ValueError, match="only 14 bytes were to be sent"):
        connection.data_sent(n)


# -- the end -----------------------------------------------------------------------------------------------------------


def test_a_lost_connection_returns_what_may_have_been_executed_and_what_was_not() -> None:
    connection = ready()
    answered, begun, unsent = exchange(), exchange(("SET", "a", 1), ("SET", "b", 2)), exchange()
    for one in (answered, begun, unsent):
        connection.send(one)
    connection.data_sent(len(answered.data) + 1)
    assert connection.receive_data(b"+PONG\r\n") == [answered]
    assert connection.lost() == ([begun], [unsent])
    assert connection.state is State.CLOSED
    assert connection.unanswered == 0
    assert connection.lost() == ([], [])


@given(st.lists(st.integers(1, 3), max_size=5), st.integers(0, 300))
def test_an_exchange_counts_as_sent_from_its_first_byte_on(sizes: list[int], taken: int) -> None:
    connection = ready()
    asked = [exchange(*[("GET", "k")] * size) for size in sizes]
    for one in asked:
        connection.send(one)
    taken = min(taken, len(connection.data_to_send()))
    connection.data_sent(taken)
    begins = [sum(len(one.data) for one in asked[:at]) for at in range(len(asked))]
    sent, unsent = connection.lost()
    assert sent == [one for one, begin in zip(asked, begins, strict=True) if begin < taken]
    assert unsent == asked[len(sent) :]


@pytest.mark.parametrize(
    "prepare",
    [
        lambda connection: None,
        write_all,
        lambda connection: (write_all(connection), connection.receive_data(resp(HELLO))),
    ],
    ids=["nothing sent", "all sent", "half agreed"],
)
def test_what_was_held_back_was_not_sent_and_the_introduction_is_nobodys(prepare: Callable[[Connection], Any]) -> None:
    connection = Connection()
    held = [exchange(("GET", "a")), exchange(("GET", "b"))]
    for one in held:
        connection.send(one)
    prepare(connection)
    assert connection.lost() == ([], held)
    assert connection.lost() == ([], [])
