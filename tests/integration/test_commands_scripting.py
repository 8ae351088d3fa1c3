"""Scripts and functions against every server, in both protocols."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from streamcore.commands import (
    Function,
    FunctionStats,
    Library,
    Script,
    dbsize,
    eval_,
    eval_ro,
    evalsha,
    evalsha_ro,
    fcall,
    fcall_ro,
    function_delete,
    function_dump,
    function_flush,
    function_kill,
    function_list,
    function_load,
    function_restore,
    function_stats,
    ping,
    script_exists,
    script_flush,
    script_kill,
    script_load,
)
from streamcore.errors import BusyError, NoScriptError, NotBusyError, ReplyError, UnkillableError
from tests.integration.lines import Ask, Line
from tests.support.raw import Raw
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.every_server

SOURCE = "return {KEYS[1] or false, ARGV[1] or false, #KEYS, #ARGV}"
LIBRARY = """#!lua name=numbers
redis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)
redis.register_function{
    function_name='look', callback=function(keys) return redis.call('GET', keys[1]) end,
    description='reads', flags={'no-writes'}}
redis.register_function{function_name='spin', callback=function() while true do end end, flags={'no-writes'}}
"""


@pytest.fixture(autouse=True)
def no_code(server: EmbeddedServer) -> Iterator[None]:
    """Scripts and functions survive FLUSHALL."""
    yield
    with Raw(server.address) as raw:
        raw("SCRIPT", "FLUSH")
        raw("FUNCTION", "FLUSH")


class TestScripts:
    def test_get_keys_and_arguments(self, ask: Ask) -> None:
        assert ask(eval_(SOURCE, ["k", "l"], ["a", 2, b"\xff"])) == [b"k", b"a", 2, 3]
        assert ask(eval_(SOURCE)) == [None, None, 0, 0]
        assert ask(eval_ro("return redis.call('DBSIZE')")) == 0

    def test_that_write_may_not_run_as_reading(self, ask: Ask) -> None:
        with pytest.raises(ReplyError, match="Write commands are not allowed from read-only scripts"):
            ask(eval_ro("return redis.call('SET', KEYS[1], 1)", ["k"]))
        assert ask(dbsize()) == 0

    def test_raise_errors_of_their_own(self, ask: Ask) -> None:
        with pytest.raises(ReplyError) as caught:
            ask(eval_("return redis.error_reply('MINE is wrong')"))
        assert (caught.value.code, caught.value.message, caught.value.command) == ("MINE", "is wrong", "EVAL")

    def test_are_called_by_their_hash(self, ask: Ask) -> None:
        with pytest.raises(NoScriptError):
            ask(evalsha(Script(SOURCE).sha))
        sha = ask(script_load(SOURCE))
        assert sha == Script(SOURCE).sha
        assert ask(evalsha(sha, ["k"])) == ask(evalsha_ro(sha, ["k"])) == [b"k", None, 1, 0]
        assert ask(script_exists(sha, "0" * 40)) == [True, False]
        assert ask(script_flush()) == ask(script_flush(asynchronous=True)) == b"OK"
        assert ask(script_flush(asynchronous=False)) == b"OK"
        assert ask(script_exists(sha)) == [False]

    def test_as_values_have_typed_answers(self, ask: Ask) -> None:
        for readonly in (False, True):
            script = Script("return ARGV[1]", float, readonly=readonly)
            assert ask(script.eval(args=["1.5"])) == 1.5
            assert ask(script.evalsha(args=["2.5"])) == 2.5

    def test_that_do_not_run_cannot_be_killed(self, ask: Ask) -> None:
        with pytest.raises(NotBusyError):
            ask(script_kill())
        with pytest.raises(NotBusyError):
            ask(function_kill())


class TestFunctions:
    def test_are_called(self, ask: Ask) -> None:
        assert ask(function_load(LIBRARY)) == "numbers"
        assert ask(fcall("add", ["n"], [5])) == 5
        assert ask(fcall_ro("look", ["n"])) == b"5"
        with pytest.raises(ReplyError, match="Can not execute a script with write flag"):
            ask(fcall_ro("add", ["n"], [5]))
        with pytest.raises(ReplyError, match="Function not found"):
            ask(fcall("nosuch"))

    def test_come_in_libraries(self, ask: Ask) -> None:
        ask(function_load(LIBRARY))
        with pytest.raises(ReplyError, match="already exists"):
            ask(function_load(LIBRARY))
        assert ask(function_load(LIBRARY, replace=True)) == "numbers"
        [library] = ask(function_list(libraryname="num*", withcode=True))
        assert (library.name, library.engine, library.code, library.other) == ("numbers", "LUA", LIBRARY.encode(), {})
        assert {function.name: function for function in library.functions} == {
            "add": Function("add", None, frozenset()),
            "look": Function("look", "reads", frozenset({"no-writes"})),
            "spin": Function("spin", None, frozenset({"no-writes"})),
        }
        assert [(type(each), each.code) for each in ask(function_list())] == [(Library, None)]
        assert ask(function_list(libraryname="nosuch")) == []
        assert ask(function_stats()) == FunctionStats(None, {"LUA": (1, 3)})
        assert ask(function_delete("numbers")) == b"OK"
        with pytest.raises(ReplyError, match="Library not found"):
            ask(function_delete("numbers"))

    def test_move_from_server_to_server(self, ask: Ask) -> None:
        ask(function_load(LIBRARY))
        payload = ask(function_dump())
        assert ask(function_flush()) == ask(function_flush(asynchronous=True)) == b"OK"
        assert ask(function_restore(payload)) == b"OK"
        with pytest.raises(ReplyError, match="already exists"):
            ask(function_restore(payload, append=True))
        assert ask(function_restore(payload, replace=True)) == b"OK"
        assert ask(function_restore(payload, flush=True)) == b"OK"
        assert ask(function_stats()).engines == {"LUA": (1, 3)}
        assert ask(function_flush(asynchronous=False)) == b"OK"


class TestWhatRunsTooLong:
    """Each with a thread that waits for the end of the script."""

    @pytest.fixture
    def spin(self, server: EmbeddedServer) -> Iterator[Line]:
        with Raw(server.address, timeout=10) as raw, Raw(server.address) as admin:
            before = admin("CONFIG", "GET", "busy-reply-threshold")[1]
            admin("CONFIG", "SET", "busy-reply-threshold", 10)
            yield Line(raw)
            admin("CONFIG", "SET", "busy-reply-threshold", before)

    def test_is_seen_and_killed(self, line: Line, spin: Line) -> None:
        line(function_load(LIBRARY))
        ended: list[Exception] = []
        thread = threading.Thread(target=lambda: ended.append(_error_of(spin)))
        thread.start()
        while True:
            try:
                line(ping())
            except BusyError:
                break
        running = line(function_stats()).running
        assert running is not None
        assert (running.name, running.command) == ("spin", [b"FCALL", b"spin", b"0"])
        assert 0 < running.duration < 10
        assert line(function_kill()) == b"OK"
        thread.join()
        assert [type(error) for error in ended] == [ReplyError]

    def test_is_not_killed_once_it_has_written(self, fresh_server: EmbeddedServer) -> None:
        with Raw(fresh_server.address) as raw, Raw(fresh_server.address) as busy:
            raw("CONFIG", "SET", "busy-reply-threshold", 10)
            busy.send("EVAL", "redis.call('SET', KEYS[1], 1) while true do end", 1, "k")
            ask = Line(raw)
            while True:
                try:
                    ask(ping())
                except BusyError:
                    break
            with pytest.raises(UnkillableError):
                ask(script_kill())
            fresh_server.kill()


def _error_of(spin: Line) -> Exception:
    with pytest.raises(ReplyError) as caught:
        spin(fcall("spin"))
    return caught.value
