from __future__ import annotations

import pickle

import pytest

from streamcore.engine.degradation import Degradation, missing_for
from streamcore.errors import ExecAbortError, NoPermissionError, ReplyError, reply_error
from streamcore.events import Degraded, Event
from streamcore.scripts.lease import HOLD

SCRIPT_7 = "ERR The user executing the script can't run this command or subcommand script: 5ed185f36b, on @user_script:"

# What Valkey 9.1, Redis 8.6 and Redis 7.0 say.
SAID = {
    "NOPERM User bob has no permissions to run the 'get' command": "+get",
    "NOPERM this user has no permissions to run the 'xinfo|stream' command": "+xinfo|stream",
    "NOPERM No permissions to access a key": "a key of X",
    "NOPERM this user has no permissions to access one of the keys used as arguments": "a key of X",
    "NOPERM No permissions to access a channel": "a channel of X",
    "NOPERM this user has no permissions to access one of the channels used as arguments": "a channel of X",
    "ERR ACL failure in script: User bob has no permissions to run the 'hmget' command script: on @user_script:2.": "+hmget",
    "ERR ACL failure in script: No permissions to access a key script: f18a, on @user_script:1.": "a key of X",
    "ERR ACL failure in script: No permissions to access a channel script: on @user_script:1.": "a channel of X",
    "ERR ACL failure in script: User bob has no permissions to run the 'get' command": "+get",
    f"{SCRIPT_7}6.": "a command of the script",
    "ERR The user executing the script can't run this command or subcommand": "a command of the script",
    "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments "
    "script: 131b5f2ed4, on @user_script:1.": "a key of X",
    "ERR The user executing the script can't publish to the channel mentioned in the command script: f, on "
    "@user_function:1.": "a channel of X",
    "NOPERM in words of its own": "+x",
}


@pytest.mark.parametrize("line", SAID)
def test_a_refusal_is_one_class_and_names_what_is_missing(line: str) -> None:
    error = reply_error(line, "X")
    assert isinstance(error, NoPermissionError)
    assert (error.missing, error.code) == (SAID[line], line.split(maxsplit=1)[0])
    assert pickle.loads(pickle.dumps(error)).missing == error.missing


def test_without_a_command_it_is_not_named() -> None:
    error = reply_error("NOPERM No permissions to access a key")
    assert isinstance(error, NoPermissionError)
    assert error.missing == "a key"


def test_an_exec_that_is_refused_says_why() -> None:
    error = reply_error(
        "EXECABORT Transaction discarded because of: NOPERM User bob has no permissions to run the 'exec' command"
    )
    assert isinstance(error, ExecAbortError)
    assert isinstance(error.__cause__, NoPermissionError)
    assert error.__cause__.missing == "+exec"


@pytest.mark.parametrize(
    "line",
    ["ERR no such key script: on @user_script:1.", "ERR Unknown command called from script script: on @user_script:1."],
)
def test_other_errors_of_scripts_are_none(line: str) -> None:
    assert type(reply_error(line)) is ReplyError


@pytest.mark.parametrize(
    ("line", "command", "missing"),
    [
        (f"{SCRIPT_7}2.", ("EVAL", HOLD, 1, b"k"), "+hmget"),
        (f"{SCRIPT_7}5.", ("EVAL", HOLD, 1, b"k"), "+pexpire"),
        (f"{SCRIPT_7}2.", ("EVAL", "\nredis.call('XGROUP', 'DELCONSUMER', KEYS[1])", 1, b"k"), "+xgroup|delconsumer"),
        (f"{SCRIPT_7}1.", ("EVAL", "redis.call(unpack(claim))", 1, b"k"), "a command of the script"),
        (f"{SCRIPT_7}9.", ("EVAL", "return 1", 1, b"k"), "a command of the script"),
        (f"{SCRIPT_7}1.", ("EVALSHA", "5ed185f36b", 1, b"k"), "a command of the script"),
        (
            "ERR The user executing the script can't run this command or subcommand",
            ("EVAL", "", 0),
            "a command of the script",
        ),
        ("NOPERM No permissions to access a key", ("EVAL", "", 2, b"s", b"{s}:dead", b"x"), "~s ~{s}:dead"),
        ("NOPERM No permissions to access a key", ("EVAL", "", 0), "a key of EVAL"),
        ("NOPERM No permissions to access a key", ("XINFO", "STREAM", "s"), "~s"),
        ("NOPERM No permissions to access a key", ("XRANGE", b"s", "-", "+"), "~s"),
        ("NOPERM no", ("XINFO", "STREAM", b"s"), "+xinfo|stream"),
        ("NOPERM no", ("INFO", "server"), "+info"),
        ("ERR unknown command 'INFO'", ("CLIENT", "LIST", "ID", 1), "CLIENT LIST"),
    ],
)
def test_where_the_command_is_known_its_keys_are_named_and_what_a_line_of_a_script_runs(
    line: str, command: tuple[object, ...], missing: str
) -> None:
    assert missing_for(reply_error(line), command) == missing


def test_each_degradation_is_told_once_until_there_is_a_new_connection() -> None:
    told: list[Event] = []
    degradation = Degradation(told.append)
    refused = reply_error("NOPERM User bob has no permissions to run the 'info' command")
    for _ in range(2):
        for reply in (refused, reply_error("ERR unknown command"), b"run_id:1"):
            is_forbidden = degradation.is_forbidden("this", ("INFO",), reply)
            assert is_forbidden is (reply is refused)
        degradation.tell("that", "+info")
    assert told == [Degraded("this", "+info"), Degraded("that", "+info")]
    degradation.begin()
    degradation.tell("that", "+info")
    assert told[2:] == [Degraded("that", "+info")]
