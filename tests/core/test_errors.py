from __future__ import annotations

import copy
import pickle

import pytest

import streamcore.errors
from streamcore.errors import (
    REPLY_ERRORS,
    UNAVAILABLE,
    AuthenticationError,
    ConnectFailed,
    ConnectionLost,
    DeliveryUnknown,
    InvalidArgument,
    InvalidURL,
    MissingExtra,
    NoGroupError,
    ReplyError,
    ReplyTooLarge,
    RequestTimeout,
    StreamcoreError,
    reply_error,
)

CLASSES = [kind for kind in vars(streamcore.errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", CLASSES)
def test_all_errors_are_ours_and_say_what_they_mean(kind: type[Exception]) -> None:
    assert issubclass(kind, StreamcoreError)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (InvalidArgument, ValueError),
        (InvalidURL, ValueError),
        (MissingExtra, ImportError),
        (ConnectionLost, ConnectionError),
        (ConnectFailed, ConnectionError),
        (DeliveryUnknown, ConnectionError),
        (RequestTimeout, TimeoutError),
        (RequestTimeout, ConnectionError),
    ],
)
def test_a_newcomer_catches_the_builtin(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (ConnectionLost("x"), False),
        (ConnectionLost("x", sent=True), True),
        (ConnectFailed("x"), False),
        (DeliveryUnknown("x"), True),
        (RequestTimeout("x"), True),
    ],
)
def test_a_network_error_tells_whether_the_request_was_sent(error: ConnectionLost, sent: bool) -> None:
    assert error.sent is sent
    assert str(error) == "x"


def test_a_failed_dial_tells_whether_another_can_help() -> None:
    assert not ConnectFailed("refused").permanent
    assert ConnectFailed("bad certificate", permanent=True).permanent


@pytest.mark.parametrize(("word", "kind"), REPLY_ERRORS.items())
def test_the_first_word_of_an_error_reply_decides_its_class(word: str, kind: type[ReplyError]) -> None:
    error = reply_error(f"{word} any text, it differs between servers", "XADD")
    assert type(error) is kind
    assert (error.code, error.message, error.command) == (word, "any text, it differs between servers", "XADD")


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if issubclass(kind, ReplyError) and kind is not ReplyError])
def test_every_class_of_reply_errors_has_a_word(kind: type[ReplyError]) -> None:
    assert kind in REPLY_ERRORS.values()


def test_an_unknown_word_is_a_plain_reply_error() -> None:
    error = reply_error("WHATEVER happened")
    assert type(error) is ReplyError
    assert str(error) == "WHATEVER happened"


@pytest.mark.parametrize(("line", "text"), [("", ""), ("ERR", "ERR"), ("ERR bad", "ERR bad")])
def test_an_error_reads_as_the_server_said_it(line: str, text: str) -> None:
    assert str(reply_error(line)) == text


def test_an_error_names_the_command_once_it_is_known() -> None:
    error = reply_error("NOGROUP No such key")
    error.command = "XREADGROUP"
    assert str(error) == "NOGROUP No such key (in reply to XREADGROUP)"
    assert isinstance(error, NoGroupError)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("x", sent=True),
        ConnectFailed("x", permanent=True),
        DeliveryUnknown("x"),
        RequestTimeout("x"),
        reply_error("WRONGPASS no", "HELLO"),
        ReplyTooLarge("x"),
    ],
)
def test_errors_survive_the_way_to_another_process(error: Exception) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_a_refused_login_is_no_reason_to_dial_again() -> None:
    unavailable = {REPLY_ERRORS.get(word, ReplyError) for word in UNAVAILABLE}
    assert AuthenticationError not in unavailable
    assert not UNAVAILABLE & {"NOGROUP", "WRONGTYPE", "NOPERM", "UNBLOCKED", "ERR"}
