from __future__ import annotations

import copy
import pickle

import pytest

import streamcore.errors
from streamcore.errors import (
    REPLY_ERRORS,
    UNAVAILABLE,
    AuthenticationError,
    ClosedError,
    CommandErrors,
    ConcurrentUseError,
    ConnectFailed,
    ConnectionLost,
    DeliveryUnknown,
    InvalidArgument,
    InvalidURL,
    LoginRefused,
    MissingExtra,
    NoGroupError,
    RedirectRefusedError,
    ReplyError,
    ReplyTooLarge,
    RequestTimeout,
    SlotRedirect,
    StreamcoreError,
    UnreadableError,
    WrongTypeError,
    about,
    is_interruption,
    reply_error,
)

SECRET = "sesame"

CLASSES = [
    kind
    for kind in vars(streamcore.errors).values()
    if isinstance(kind, type) and kind.__module__ == streamcore.errors.__name__
]


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
        (LoginRefused, ConnectionError),
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
    assert (error.code, error.command) == (word, "XADD")
    assert error.message.startswith("any text, it differs between servers")
    assert (kind.__doc__ or "").count(f"``{word}``") == 1


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "NOAUTH Authentication required.",
            "NOAUTH Authentication required; give the user and password to connect() (in reply to GET)",
        ),
        ("NOAUTH", "NOAUTH give the user and password to connect() (in reply to GET)"),
    ],
)
def test_a_missing_login_says_where_it_belongs(line: str, text: str) -> None:
    assert str(reply_error(line, "GET")) == text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ERR unknown command 'STE', with args beginning with: 'key' 'sesame' ", "unknown command 'STE'"),
        ("ERR unknown command `STE`, with args beginning with: `sesame`, ", "unknown command `STE`"),
        ("ERR unknown command 'PNIG', with args beginning with: ", "unknown command 'PNIG'"),
        ("ERR unknown subcommand 'NO-TOUCH'. Try CLIENT HELP.", "unknown subcommand 'NO-TOUCH'. Try CLIENT HELP."),
    ],
)
def test_arguments_that_a_server_quotes_are_left_out(line: str, message: str) -> None:
    error = reply_error(line)
    assert error.message == message
    assert "sesame" not in f"{error} {error!r} {error.args}"


class TestCommandErrors:
    WRONG, LATE = reply_error("WRONGTYPE no list", "LPUSH"), reply_error("ERR no", "INCR")

    def group(self) -> CommandErrors:
        group = CommandErrors("2 of 3 commands failed", [self.WRONG, self.LATE])
        group.answers = [self.WRONG, b"OK", self.LATE]
        return group

    def test_is_an_error_of_ours_and_a_group(self) -> None:
        group = self.group()
        assert isinstance(group, StreamcoreError)
        assert isinstance(group, ExceptionGroup)
        assert group.exceptions == (self.WRONG, self.LATE)
        assert str(group) == "2 of 3 commands failed (2 sub-exceptions)"
        assert tuple(CommandErrors("1 of 1", [self.LATE]).answers) == ()

    def test_is_taken_apart_by_class(self) -> None:
        seen: list[BaseExceptionGroup] = []
        try:
            raise self.group()
        except* WrongTypeError as group:
            seen.append(group)
        except* ReplyError as group:
            seen.append(group)
        assert [(type(group), group.exceptions) for group in seen] == [
            (CommandErrors, (self.WRONG,)),
            (CommandErrors, (self.LATE,)),
        ]

    def test_survives_the_way_to_another_process(self) -> None:
        twin = pickle.loads(pickle.dumps(self.group()))
        assert type(twin) is CommandErrors
        assert [str(error) for error in twin.exceptions] == [str(self.WRONG), str(self.LATE)]
        assert [type(answer) for answer in twin.answers] == [WrongTypeError, bytes, ReplyError]


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in CLASSES
        if issubclass(kind, ReplyError)
        and kind not in {ReplyError, LoginRefused, SlotRedirect, RedirectRefusedError}  # made here, of others
    ],
)
def test_every_class_of_reply_errors_has_a_word(kind: type[ReplyError]) -> None:
    assert kind in (*REPLY_ERRORS.values(), UnreadableError)  # whose word is that of many others


@pytest.mark.parametrize(
    ("line", "slot", "host", "port"),
    [
        ("MOVED 3828 127.0.0.1:27300", 3828, "127.0.0.1", 27300),
        ("MOVED 3828 node-7.example.net:6379", 3828, "node-7.example.net", 6379),
        ("MOVED 3828 :6380", 3828, "", 6380),
        ("ASK 16383 ::1:6380", 16383, "::1", 6380),
        ("ASK 0 ?:0", 0, "?", 0),
        ("MOVED", None, "", 0),
        ("MOVED away", None, "", 0),
        ("ASK 3828 127.0.0.1", None, "", 0),
        ("ASK x 127.0.0.1:6379", None, "127.0.0.1", 0),
    ],
)
def test_a_redirect_is_data(line: str, slot: int | None, host: str, port: int) -> None:
    for error in (reply_error(line), about(reply_error(line), "stream", b"s")):
        assert isinstance(error, SlotRedirect)
        assert (error.slot, error.host, error.port) == (slot, host, port)


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


def example(kind: type[StreamcoreError]) -> StreamcoreError:
    if issubclass(kind, ReplyError):
        return kind("CODE", "text", "XADD")
    if issubclass(kind, CommandErrors):
        return kind("text", [ReplyError("CODE", "text")])
    return kind("text")


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_of_every_class_survive_the_way_to_another_process(kind: type[StreamcoreError]) -> None:
    error = example(kind)
    error.add_note("a note")
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is kind
    assert (str(twin), str(vars(twin))) == (str(error), str(vars(error)))


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


class _Alarm(Exception):
    """Raised by a signal handler of an application."""


@pytest.mark.parametrize(
    ("error", "interrupts"),
    [
        (_Alarm(), True),
        (TimeoutError("an alarm"), True),
        (ConcurrentUseError("refused in the handler"), True),
        (ClosedError("of this engine"), False),
        (ReplyError("ERR", "no"), False),
        (KeyError("a bug"), False),
    ],
)
def test_what_a_signal_handler_has_raised_is_told_from_an_error_of_the_core(error: Exception, interrupts: bool) -> None:
    assert is_interruption(error) is interrupts
