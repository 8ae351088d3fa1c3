from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import (
    Command,
    Function,
    FunctionStats,
    Library,
    RunningFunction,
    Script,
    eval_,
    fcall,
    function_restore,
    raw,
)
from streamcore.errors import InvalidArgument

SOURCE = "return ARGV"


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (eval_(SOURCE), ("EVAL", b"return ARGV", 0), False),
        (eval_(SOURCE, ["a", b"b"], ["x", 1]), ("EVAL", b"return ARGV", 2, b"a", b"b", "x", 1), False),
        (commands.eval_ro(SOURCE, ("a",)), ("EVAL_RO", b"return ARGV", 1, b"a"), True),
        (commands.evalsha("ab" * 20, iter(["a"])), ("EVALSHA", b"ab" * 20, 1, b"a"), False),
        (commands.evalsha_ro("ab" * 20, args=["x"]), ("EVALSHA_RO", b"ab" * 20, 0, "x"), True),
        (fcall("f", ["a"], [b""]), ("FCALL", b"f", 1, b"a", b""), False),
        (commands.fcall_ro("f"), ("FCALL_RO", b"f", 0), True),
        (commands.script_load(SOURCE), ("SCRIPT", "LOAD", b"return ARGV"), True),
        (commands.script_exists("a", b"b"), ("SCRIPT", "EXISTS", b"a", b"b"), True),
        (commands.script_flush(), ("SCRIPT", "FLUSH"), True),
        (commands.script_flush(asynchronous=True), ("SCRIPT", "FLUSH", "ASYNC"), True),
        (commands.script_kill(), ("SCRIPT", "KILL"), False),
        (commands.function_load("#!lua"), ("FUNCTION", "LOAD", b"#!lua"), False),
        (commands.function_load("#!lua", replace=True), ("FUNCTION", "LOAD", "REPLACE", b"#!lua"), True),
        (commands.function_list(), ("FUNCTION", "LIST"), True),
        (
            commands.function_list(libraryname="a*", withcode=True),
            ("FUNCTION", "LIST", "LIBRARYNAME", b"a*", "WITHCODE"),
            True,
        ),
        (commands.function_delete("l"), ("FUNCTION", "DELETE", b"l"), False),
        (commands.function_flush(asynchronous=False), ("FUNCTION", "FLUSH", "SYNC"), False),
        (commands.function_dump(), ("FUNCTION", "DUMP"), True),
        (function_restore(b"\x00"), ("FUNCTION", "RESTORE", b"\x00"), False),
        (function_restore(b"\x00", append=True), ("FUNCTION", "RESTORE", b"\x00", "APPEND"), False),
        (function_restore(b"\x00", flush=True), ("FUNCTION", "RESTORE", b"\x00", "FLUSH"), False),
        (function_restore(b"\x00", replace=True), ("FUNCTION", "RESTORE", b"\x00", "REPLACE"), False),
        (commands.function_stats(), ("FUNCTION", "STATS"), True),
        (commands.function_kill(), ("FUNCTION", "KILL"), False),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


def test_the_keys_of_a_script_are_those_that_were_named_as_such() -> None:
    assert eval_(SOURCE, ["a", "b"], ["c"]).keys == (b"a", b"b")
    assert fcall("f", args=["c"]).keys == ()


LIBRARY = {
    b"library_name": b"l",
    b"engine": b"LUA",
    b"functions": [{b"name": b"f", b"description": b"d", b"flags": [b"no-writes"]}],
}

FLAT = [
    b"library_name",
    b"l",
    b"engine",
    b"LUA",
    b"functions",
    [[b"name", b"f", b"description", None, b"flags", []]],
]

RUNNING = {b"name": b"f", b"command": [b"FCALL", b"f", b"0"], b"duration_ms": 1500}
ENGINES = {b"LUA": {b"libraries_count": 1, b"functions_count": 2}}


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (commands.script_load(SOURCE), b"abcd", "abcd"),
        (commands.script_exists("a", "b"), [1, 0], [True, False]),
        (commands.function_load("#!lua"), b"l", "l"),
        (commands.function_list(), [], []),
        (
            commands.function_list(),
            [dict(LIBRARY)],
            [Library("l", "LUA", [Function("f", "d", frozenset({"no-writes"}))], None)],
        ),
        (
            commands.function_list(withcode=True),
            [[*FLAT, b"library_code", b"#!lua", b"new", 1]],
            [Library("l", "LUA", [Function("f", None, frozenset())], b"#!lua", {b"new": 1})],
        ),
        (
            commands.function_stats(),
            {b"running_script": None, b"engines": ENGINES},
            FunctionStats(None, {"LUA": (1, 2)}),
        ),
        (
            commands.function_stats(),
            [b"running_script", None, b"engines", [b"LUA", [b"libraries_count", 1, b"functions_count", 2]]],
            FunctionStats(None, {"LUA": (1, 2)}),
        ),
        (
            commands.function_stats(),
            {b"running_script": RUNNING, b"engines": {}},
            FunctionStats(RunningFunction("f", [b"FCALL", b"f", b"0"], 1.5), {}),
        ),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


class TestScript:
    def test_is_called_by_its_source_and_by_its_hash(self) -> None:
        script = Script(SOURCE)
        assert script.sha == sha1(SOURCE.encode()).hexdigest()
        assert script.eval(["a"], [1]).args == ("EVAL", b"return ARGV", 1, b"a", 1)
        assert script.evalsha(["a"], [1]).args == ("EVALSHA", script.sha.encode(), 1, b"a", 1)
        assert script.eval().keys == ()
        assert repr(script) == f"<Script {script.sha}>"

    def test_makes_an_answer_of_its_reply(self) -> None:
        script = Script(b"return 5", str)
        for command in (script.eval(), script.evalsha()):
            assert command.parse is not None
            assert command.parse(5) == "5"
        assert Script(SOURCE).eval().parse is None

    def test_that_only_reads_may_be_repeated(self) -> None:
        script = Script(SOURCE, readonly=True)
        assert script.eval().args[0] == "EVAL_RO"
        assert script.evalsha().args[0] == "EVALSHA_RO"
        assert script.eval().repeatable
        assert not Script(SOURCE).evalsha().repeatable


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: eval_(""), "script is empty"),
        (lambda: eval_(SOURCE, "key"), "keys must be a list, not str"),
        (lambda: eval_(SOURCE, [], b"arg"), "args must be a list, not bytes"),
        (lambda: eval_(SOURCE, 1), "keys must be a list, not int"),  # type: ignore[arg-type]
        (lambda: eval_(SOURCE, [""]), "key is empty"),
        (lambda: eval_(SOURCE, ["a"], [None]), "argument 4 of EVAL: a value of type NoneType"),  # type: ignore[list-item]
        (lambda: Script(""), "source is empty"),
        (lambda: commands.evalsha(""), "sha is empty"),
        (commands.script_exists, "script_exists needs at least one sha"),
        (lambda: function_restore(b"x", flush=True, replace=True), "give flush or replace, not both"),
        (lambda: commands.function_delete(""), "libraryname is empty"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()


def test_the_debugger_of_scripts_does_not_run_on_a_shared_connection() -> None:
    with pytest.raises(InvalidArgument, match="SCRIPT DEBUG"):
        raw("SCRIPT", "DEBUG", "YES")
