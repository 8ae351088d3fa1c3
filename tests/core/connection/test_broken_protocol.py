"""What breaks the protocol, and replies that are too large."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.connection.connection import Connection, State
from streamcore.errors import RemoteProtocolError, ReplyTooLarge
from streamcore.options import DecoderKind, Options
from streamcore.testing.resp import PushOf, resp
from tests.core.support import strategies as own
from tests.core.support.connections import exchange, kept, ready, write_all
from tests.core.support.strategies import byte_by_byte, pieces
from tests.support.decoders import DECODERS


def test_what_came_before_rubbish_is_delivered() -> None:
    connection = ready()
    one, two = exchange(), exchange()
    connection.send(one)
    connection.send(two)
    write_all(connection)
    completed = connection.receive_data(b"+PONG\r\n>1\r\n+x\r\nrubbish\r\n+PONG\r\n")
    assert kept(completed) == [("exchange", one.commands, [b"PONG"]), ("push", [b"x"])]
    assert isinstance(connection.error, RemoteProtocolError)
    assert connection.lost() == ([two], [])


def test_nothing_is_taken_in_after_an_error() -> None:
    connection = ready()
    assert connection.receive_data(b"+stray\r\n") == []
    connection.send(exchange())
    assert connection.receive_data(b"+PONG\r\n") == []
    assert connection.unanswered == 1


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"$6\r\nsesame\r\n", "the server sent what nobody asked for: a reply of type bytes"),
        (b"-ERR timeout\r\n", "the server sent what nobody asked for: the error ERR timeout"),
        (b"%1\r\n*0\r\n:1\r\n", "the server sent what nobody asked for: a reply of type Pairs"),
        (b"*4294967295\r\n", "a reply has more than the limit of 67108864 elements"),
        (b"=3\r\nabc\r\n", "a verbatim string does not begin with its format"),
    ],
)
def test_a_broken_protocol_is_explained_without_showing_data(wire: bytes, text: str) -> None:
    connection = ready()
    assert connection.receive_data(wire) == []
    assert isinstance(connection.error, RemoteProtocolError)
    assert str(connection.error).startswith(text)


@given(st.binary(max_size=200), own.cuts)
def test_arbitrary_bytes_end_in_an_error_or_in_waiting(data: bytes, cuts: list[int]) -> None:
    results = []
    for chunks in ([data], byte_by_byte(data), pieces(data, cuts)):
        connection = ready(Options(decoder="python"))
        for _ in range(3):
            connection.send(exchange())
        found = [item for chunk in chunks for item in connection.receive_data(chunk)]
        assert connection.error is None or isinstance(connection.error, RemoteProtocolError)
        results.append((kept(found), repr(connection.error)))
    assert results[0] == results[1] == results[2]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_instead_of_a_welcome(data: bytes) -> None:
    connection = Connection()
    connection.receive_data(data)
    assert connection.state is State.GREETING


def test_a_reply_over_the_limit_is_an_error_of_its_own() -> None:
    connection = ready(Options(max_reply=100_000))
    small, large = exchange(), exchange()
    connection.send(small)
    connection.send(large)
    completed = connection.receive_data(b"+PONG\r\n" + resp(b"x" * 200_000))
    assert completed == [small]
    assert isinstance(connection.error, ReplyTooLarge)


@pytest.mark.parametrize(
    ("options", "wire"),
    [
        (Options(max_bulk=100), b"!101\r\n"),
        (Options(max_elements=100), b"*101\r\n"),
        (Options(max_depth=10), b"%2\r\n:1\r\n" * 20),
    ],
)
@pytest.mark.parametrize("decoder", DECODERS)
def test_the_options_limit_strings_elements_and_levels(decoder: DecoderKind, options: Options, wire: bytes) -> None:
    connection = ready(replace(options, decoder=decoder))
    connection.send(exchange())
    assert connection.receive_data(b"*1\r\n" + wire if wire.startswith(b"%") else wire) == []
    assert "limit" in str(connection.error)


@pytest.mark.parametrize("decoder", DECODERS)
def test_attributes_stand_beside_the_reply_that_they_belong_to(decoder: DecoderKind) -> None:
    connection = ready(Options(decoder=decoder))
    one, two = exchange(("GET", "a"), ("GET", "b"), ("GET", "c")), exchange()
    connection.send(one)
    connection.send(two)
    wire = b":1\r\n|1\r\n+ttl\r\n:5\r\n:2\r\n>1\r\n+x\r\n|1\r\n+ttl\r\n:6\r\n:3\r\n+PONG\r\n"
    for chunks in ([wire], byte_by_byte(wire)):
        if one.replies:
            connection, one, two = ready(Options(decoder=decoder)), exchange(*one.commands), exchange()
            connection.send(one)
            connection.send(two)
        found = [item for chunk in chunks for item in connection.receive_data(chunk)]
        assert kept(found) == [("push", [b"x"]), *kept([one, two])]
        assert one.replies == [1, 2, 3]
        assert one.attributes == {1: {b"ttl": 5}, 2: {b"ttl": 6}}
        assert two.attributes == {}


def test_pushes_and_replies_do_not_add_up_to_a_large_reply() -> None:
    connection = ready(Options(max_reply=100_000))
    for _ in range(10):
        assert len(connection.receive_data(resp(PushOf(["message", "c", b"x" * 30_000])))) == 1
    for _ in range(10):
        connection.send(exchange())
        assert len(connection.receive_data(resp(b"x" * 30_000))) == 1
    assert connection.error is None


def test_an_exchange_tells_about_how_large_its_replies_were() -> None:
    connection = ready()
    one = exchange(("GET", "a"), ("GET", "b"))
    connection.send(one)
    wire = resp(b"x" * 1000) + resp(b"y" * 2000)
    for piece in pieces(wire, [500, 1500]):
        connection.receive_data(piece)
    assert one.nbytes == len(wire)
