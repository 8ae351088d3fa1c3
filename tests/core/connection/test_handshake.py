"""Introductions, and what a refusal means."""

from __future__ import annotations

import re

import pytest

from streamcore.connection.handshake import greeting, is_permanent, misplaced, refusal, senseless, stranger
from streamcore.errors import (
    AuthenticationError,
    ConnectFailed,
    ConnectionLost,
    LoginRefused,
    RemoteProtocolError,
    reply_error,
)
from streamcore.options import Login, ServerKind

SECRET = "sesame"


def test_a_user_without_a_password_is_not_the_default_user() -> None:
    assert greeting(Login("ann"))[0] == ("HELLO", "3", "AUTH", "ann", "")


def test_a_database_other_than_0_is_selected_last() -> None:
    assert greeting(Login(database=7))[-1] == ("SELECT", "7")
    assert greeting(Login(database=7, reads=True))[-2:] == [("SELECT", "7"), ("READONLY",)]


def test_a_refused_login_that_rotates_is_not_permanent() -> None:
    error = refusal(reply_error("WRONGPASS no"), "HELLO", Login("ann", SECRET, rotates=True))
    assert isinstance(error, LoginRefused)
    assert not error.permanent
    assert not is_permanent(error)
    assert str(error).startswith("WRONGPASS no; the next dial asks credentials= anew")


UNKNOWN_HELLO = [
    "NOPROTO unsupported protocol version",
    "ERR unknown command `HELLO`, with args beginning with: `3`",
    "ERR unsupported command 'HELLO'",
    "ERR unknown command 'hello'",
    "unsupported command",
    "ERR Command not supported",
]


@pytest.mark.parametrize("line", UNKNOWN_HELLO)
def test_a_server_or_a_proxy_without_resp3_is_one_for_ever(line: str) -> None:
    error = refusal(reply_error(line), "HELLO", Login())
    assert error.permanent
    assert "does not speak RESP3: it knows no HELLO 3" in str(error)
    assert "args" not in str(error)


@pytest.mark.parametrize(
    ("line", "word", "permanent", "text"),
    [
        ("NOPERM no", "HELLO", True, "its ACL needs +hello"),
        ("NOPERM no", "SELECT", True, "its ACL needs +select"),
        ("ERR DB index is out of range", "SELECT", True, "the server has no database 7"),
        ("ERR max number of clients reached", "HELLO", False, "too many clients already: close some, or raise"),
        ("ERR max number of clients + cluster connections reached", "HELLO", False, "too many clients"),
        ("DENIED protected mode", "HELLO", False, "does not let us in: DENIED protected mode (in reply to HELLO)"),
        ("LOADING", "HELLO", False, "does not let us in: LOADING (in reply to HELLO)"),
        ("BUSY a script runs", "SELECT", False, "does not let us in: BUSY a script runs (in reply to SELECT)"),
        ("ERR upstream failure", "HELLO", False, "does not let us in: ERR upstream failure"),
    ],
)
def test_a_refusal_is_a_failed_connection_that_says_what_to_do(
    line: str, word: str, permanent: bool, text: str
) -> None:
    error = refusal(reply_error(line), word, Login(database=7))
    assert type(error) is ConnectFailed
    assert error.permanent is permanent
    assert text in str(error)


@pytest.mark.parametrize("line", ["WRONGPASS invalid username-password pair", "NOAUTH HELLO must be called with AUTH"])
def test_a_refused_login_is_both_a_failed_connection_and_an_authentication_error(line: str) -> None:
    error = refusal(reply_error(line), "HELLO", Login())
    assert isinstance(error, LoginRefused)
    assert isinstance(error, ConnectFailed)
    assert isinstance(error, AuthenticationError)
    assert (error.permanent, error.sent, error.code, error.command) == (True, False, line.partition(" ")[0], "HELLO")
    assert "check the user and password" in str(error)
    assert str(error).startswith(line[:9])


@pytest.mark.parametrize(
    "reply",
    [
        f"ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `ann`, `{SECRET}`, ",
        f"ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `ann`, `{SECRET[:3]}",
        f"ERR unsupported command HELLO 3 AUTH ann {SECRET[:3]}",
        f"ERR syntax error in HELLO option '{SECRET}'",
        f"ERR no {SECRET}",
        f"WRONGPASS {SECRET} is wrong",
        f"NOPERM {SECRET}",
        f"ERR max number of clients {SECRET}",
    ],
)
def test_a_refusal_never_shows_the_password(reply: str) -> None:
    error = refusal(reply_error(reply), "HELLO", Login("ann", SECRET))
    assert SECRET[:3] not in f"{error} {error!r} {vars(error)}"


def test_an_answer_of_resp2_is_a_refusal_of_resp3() -> None:
    error = senseless([b"server", b"redis", b"version", b"6.0.0", b"proto", 2])
    assert isinstance(error, ConnectFailed)
    assert error.permanent


@pytest.mark.parametrize("reply", [[], [b"HELLO", b"3"], b"OK", None, 7, {b"a"}])
def test_any_other_answer_is_none_of_a_server(reply: object) -> None:
    error = senseless(reply)
    assert type(error) is RemoteProtocolError
    assert f"a reply of type {type(reply).__name__}: is this" in str(error)


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (b"\x15\x03\x03\x00\x02", "speaks TLS on this port: use rediss://"),
        (b"\x15", "speaks TLS"),
        (b"HTTP/", "an HTTP server"),
        (b"HT", "an HTTP server"),
        (b"<!DOC", "an HTTP server"),
    ],
)
def test_another_protocol_is_named(first: bytes, text: str) -> None:
    error = stranger(first)
    assert error is not None
    assert error.permanent
    assert text in str(error)


@pytest.mark.parametrize("first", [b"", b"SSH-2", b"HELLO", b"\x16\x03", b"-ERR", b"220 m"])
def test_what_is_not_known_is_not_named(first: bytes) -> None:
    assert stranger(first) is None


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (None, False),
        (OSError(), False),
        (ConnectionLost("x"), False),
        (ConnectFailed("x"), False),
        (ConnectFailed("x", permanent=True), True),
        (LoginRefused("WRONGPASS", "x"), True),
        (reply_error("WRONGPASS x"), True),
        (reply_error("NOPERM x"), True),
        (reply_error("LOADING x"), False),
    ],
)
def test_only_what_time_cannot_heal_is_permanent(error: Exception | None, permanent: bool) -> None:
    assert is_permanent(error) is permanent


PRIMARY = {b"mode": b"standalone", b"role": b"master"}
REPLICA = {b"mode": b"standalone", b"role": b"replica"}
SENTINEL = {b"mode": b"sentinel"}


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (PRIMARY, ServerKind.DATA),
        (REPLICA, ServerKind.DATA),
        ({}, ServerKind.DATA),
        (PRIMARY, ServerKind.PRIMARY),
        (SENTINEL, ServerKind.SENTINEL),
    ],
)
def test_a_server_of_the_right_kind(told: dict[bytes, bytes], wanted: ServerKind) -> None:
    assert misplaced(told, wanted) is None


@pytest.mark.parametrize(
    ("told", "wanted", "text", "permanent"),
    [
        (SENTINEL, ServerKind.DATA, r"it is a Sentinel.* redis\+sentinel://HOST:PORT/SERVICE", True),
        (SENTINEL, ServerKind.PRIMARY, "it is a Sentinel", False),
        (REPLICA, ServerKind.PRIMARY, "it is a replica", False),
        ({}, ServerKind.PRIMARY, "it is a replica", False),
        (PRIMARY, ServerKind.SENTINEL, "it is no Sentinel but a server with data: .* redis://HOST:PORT", True),
    ],
)
def test_a_server_of_another_kind_is_refused(
    told: dict[bytes, bytes], wanted: ServerKind, text: str, permanent: bool
) -> None:
    refused = misplaced(told, wanted)
    assert refused is not None
    assert re.match(text, str(refused))
    assert refused.permanent is permanent
