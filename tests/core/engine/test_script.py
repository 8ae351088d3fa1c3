"""Scripts, and the end of a connection or of a script."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.connection.exchange import Exchange
from streamcore.connection.link import AT_ONCE
from streamcore.connection.link_state import State
from streamcore.engine.script import WAIT, Script, Steps, call, checked
from streamcore.errors import (
    UNAVAILABLE,
    ConnectionLost,
    NoPermissionError,
    RemoteProtocolError,
    ReplyError,
    reply_error,
)
from streamcore.events import Disconnected, Event, StaleConnectionKilled
from streamcore.options import Options
from streamcore.testing.pair import Pair
from streamcore.testing.resp import HELLO, OK, PushOf, resp
from tests.core.support import strategies as own
from tests.core.support.story import Story, asking, listening, silent
from tests.core.support.strategies import byte_by_byte, pieces, plain

# -- scripts -----------------------------------------------------------------------------------------------------------


def test_a_script_begins_when_its_link_is_up() -> None:
    story = Story(listening)
    pair = Pair(story, greets=False)
    assert (story.runner.running, story.log) == (False, [])
    pair.server.reply(resp(HELLO), OK, OK)
    assert (story.runner.running, story.log) == (True, ["begin"])


def test_a_script_may_have_several_exchanges_in_flight_and_gets_their_answers_in_order() -> None:
    pair = Pair(story := Story(asking("a", "b", "c")))
    for word in "abc":
        pair.server.expect("ECHO", word)
    pair.server.answer("a", "b")
    pair.server.answer("c")
    assert story.log == ["begin", [b"a"], [b"b"], [b"c"]]


def test_a_waiting_script_can_be_woken() -> None:
    pair = Pair(story := Story(asking("a")))
    story.runner.wake()
    story.runner.wake()
    pair.server.answer("a")
    assert story.log == ["begin", "woken", "woken", [b"a"]]


def test_a_wake_up_for_a_script_that_does_not_run_is_nothing() -> None:
    pair = Pair(story := Story(listening), greets=False)
    story.runner.wake()
    pair.server.reply(resp(HELLO), OK, OK)
    pair.server.close()
    story.runner.wake()
    assert story.log == ["begin", "end"]


def at_once(story: Story) -> Script:
    yield Exchange([("ECHO", "a")])
    yield Exchange([("ECHO", "b")])
    story.log.append("end")


def after_one_answer(story: Story) -> Script:
    yield Exchange([("ECHO", "b")])
    yield from call(("ECHO", "a"))
    story.log.append("end")


@pytest.mark.parametrize("script", [at_once, after_one_answer])
def test_a_script_that_has_ended_leaves_its_link_up_and_hears_no_more(script: Callable[[Story], Script]) -> None:
    pair = Pair(story := Story(script))
    pair.server.answer("a")
    assert story.log == ["end"]
    assert not story.runner.running
    story.runner.wake()
    pair.server.answer("b")
    assert pair.server.link.is_up
    pair.server.commands.clear()
    pair.advance(10.0)
    pair.server.expect("PING")


def test_pushes_are_no_answers() -> None:
    pair = Pair(story := Story(asking("a")))
    pair.server.push("invalidate", ["k"])
    pair.server.reply(resp(PushOf(["x"])) + resp("a"))
    assert story.log == ["begin", [b"a"]]


def test_call_is_one_exchange_and_its_replies_whatever_wakes_the_script_meanwhile() -> None:
    def script(story: Story) -> Script:
        replies = yield from call(("GET", "a"), ("GET", "b"), timeout=3.0)
        story.log += replies
        yield from listening(story)

    pair = Pair(story := Story(script))
    pair.server.expect("GET", "a")
    pair.server.expect("GET", "b")
    assert pair.engine.next_timeout() == pair.now + 3.0
    pair.server.answer("1")
    story.runner.wake()
    assert story.log == []
    pair.server.answer("2")
    assert story.log == [b"1", b"2", "begin"]


def test_checked_lets_replies_pass_and_raises_errors() -> None:
    assert checked(None) is None
    assert checked([b"x"]) == [b"x"]
    with pytest.raises(ReplyError, match="ERR bad"):
        checked(reply_error("ERR bad"))


@given(st.lists(st.lists(own.replies, min_size=1, max_size=2), max_size=4), own.cuts)
def test_a_script_lives_through_the_same_however_its_answers_are_cut(asked: list[list[Any]], cuts: list[int]) -> None:
    def script(story: Story) -> Script:
        for replies in asked:
            yield Exchange([("ECHO", "x")] * len(replies))
        yield from listening(story)

    wire = b"".join(resp(reply) for replies in asked for reply in replies)
    for cut in (lambda data: [data], byte_by_byte, lambda data: pieces(data, cuts)):
        pair = Pair(story := Story(script))
        pair.cut = cut
        pair.server.reply(wire)
        assert story.log == ["begin", *([plain(reply) for reply in replies] for replies in asked)]


# -- the end of a connection, and of a script --------------------------------------------------------------------------


def test_a_script_dies_with_its_connection_and_begins_again_on_the_next() -> None:
    pair = Pair(story := Story(asking("a", "b")))
    pair.server.answer("a")
    pair.server.close()
    assert story.log == ["begin", [b"a"], "end"]
    assert not story.runner.running
    pair.advance(1.0)
    assert story.log == ["begin", [b"a"], "end", "begin"]
    pair.server.expect("ECHO", "a")
    pair.server.expect("ECHO", "b")
    pair.server.answer("a", "b")
    assert story.log[4:] == [[b"a"], [b"b"]]


def test_a_connection_that_is_lost_before_it_was_up_has_no_script() -> None:
    pair = Pair(story := Story(listening), greets=False)
    pair.server.close()
    assert story.log == []


@pytest.mark.parametrize("word", sorted(UNAVAILABLE - {"MOVED", "ASK"}))
def test_a_server_that_cannot_serve_is_left_and_dialled_again_after_the_back_off(word: str) -> None:
    def script(story: Story) -> Script:
        [reply] = yield from call(("XREADGROUP",))
        checked(reply)

    pair = Pair(story := Story(script, options=Options(backoff_initial=1.0)))
    waits = []
    for _ in range(3):
        pair.events()
        before = pair.server.dials
        pair.server.answer(reply_error(f"{word} not now"))
        [event] = pair.events()
        assert isinstance(event, Disconnected)
        assert isinstance(event.error, ReplyError)
        assert event.error.code == word
        due = pair.engine.next_timeout()
        assert due is not None
        waits.append(due - pair.now)
        pair.advance(due - pair.now)
        assert pair.server.dials == before + 1
    assert waits == [1.0, 2.0, 4.0]
    assert not story.closed


@pytest.mark.parametrize("error", [KeyError("a bug"), TypeError("a reply of another shape")])
def test_a_script_that_stumbles_over_a_reply_says_so(error: Exception) -> None:
    def script(story: Story) -> Script:
        yield from call(("GET", "k"))
        raise error

    pair = Pair(story := Story(script))
    pair.server.answer("v")
    with pytest.raises(RemoteProtocolError, match="makes no sense, or this is a bug of ours") as raised:
        story.check()
    assert raised.value.__cause__ is error
    assert not pair.server.link.wants_connection


@pytest.mark.parametrize("error", [reply_error("NOPERM no"), reply_error("ERR bad"), ConnectionLost("x")])
def test_any_other_error_of_a_script_ends_the_engine_and_surfaces_there(error: Exception) -> None:
    def script(story: Story) -> Script:
        try:
            yield from call(("GET", "k"))
            raise error
        finally:
            story.log.append("end")

    pair = Pair(story := Story(script))
    pair.server.answer("v")
    assert (story.log, story.runner.running) == (["end"], False)
    assert story.error is error
    assert pair.wakeups == 1
    with pytest.raises(type(error)) as raised:
        story.check()
    assert raised.value is error
    assert "script" in [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert not pair.server.link.wants_connection


def test_what_a_signal_handler_raises_in_a_script_comes_out_and_ends_nothing() -> None:
    """The core has no part in it: whoever runs the engine decides."""

    def script(story: Story) -> Script:
        yield from call(("GET", "k"))
        raise TimeoutError("an alarm of the application")

    pair = Pair(story := Story(script))
    with pytest.raises(TimeoutError, match="an alarm"):
        pair.server.answer("v")
    assert story.error is None
    assert not story.closed


def test_what_a_signal_handler_raises_while_a_script_is_closed_comes_out_too() -> None:
    def script(story: Story) -> Script:
        try:
            yield WAIT
        finally:
            raise TimeoutError("an alarm of the application")

    pair = Pair(story := Story(script))
    with pytest.raises(TimeoutError, match="an alarm"):
        pair.server.close()
    assert story.error is None
    assert not story.closed


def test_an_error_at_the_very_beginning_of_a_script_is_no_different() -> None:
    def script(story: Story) -> Script:
        yield from ()
        raise NoPermissionError("NOPERM", "no")

    pair = Pair(Story(script))
    with pytest.raises(NoPermissionError):
        pair.engine.check()


def test_a_part_of_a_reply_that_cannot_be_sent_or_parsed_is_the_servers_fault() -> None:
    def script(story: Story) -> Script:
        yield from call(("SET", "k", None))

    with pytest.raises(RemoteProtocolError, match="makes no sense"):
        Pair(Story(script)).engine.check()


def raising(story: Story) -> Script:
    try:
        yield WAIT
    finally:
        raise LookupError("a bug in finally")


def stubborn(story: Story) -> Script:
    try:
        yield WAIT
    finally:
        yield WAIT


@pytest.mark.parametrize(("script", "kind"), [(raising, LookupError), (stubborn, RuntimeError)])
def test_an_error_while_a_script_is_closed_ends_the_engine_and_not_the_driver(
    script: Callable[[Story], Script], kind: type[Exception]
) -> None:
    pair = Pair(story := Story(script))
    pair.server.close()
    with pytest.raises(RemoteProtocolError) as raised:
        story.check()
    assert isinstance(raised.value.__cause__, kind)
    pair.settle()
    assert pair.server.link.state is State.RESTING


def test_a_server_found_unavailable_while_a_script_is_closed_is_dialled_again_all_the_same() -> None:
    def script(story: Story) -> Script:
        try:
            yield WAIT
        finally:
            raise reply_error("READONLY no")

    pair = Pair(story := Story(script))
    pair.server.close()
    assert not story.closed
    assert pair.server.link.state is State.BACKING_OFF


def closing_while_it_runs(step: Callable[[], Steps[None]]) -> Callable[[Story], Script]:
    """Emits an event, upon which the listener closes the engine, and goes on by ``step``."""

    def script(story: Story) -> Script:
        try:
            yield from call(("GET", "k"))
            story.tell(StaleConnectionKilled(1))
            yield from step()
            story.log.append("went on")
        finally:
            story.log.append("end")

    return script


def exchange_step() -> Steps[None]:
    yield Exchange([("GET", "too late")])


def wait_step() -> Steps[None]:
    yield WAIT


def error_step() -> Steps[None]:
    yield from ()
    raise LookupError("a bug")


def no_step() -> Steps[None]:
    yield from ()


@pytest.mark.parametrize(
    ("step", "log"),
    [
        (exchange_step, ["end"]),
        (wait_step, ["end"]),
        (error_step, ["end"]),
        (no_step, ["went on", "end"]),
    ],
)
def test_a_script_that_loses_its_link_while_it_runs_ends_at_its_next_step(
    step: Callable[[], Steps[None]], log: list[str]
) -> None:
    pair = Pair(story := Story(closing_while_it_runs(step)))
    pair.server.expect("GET", "k")

    def close_at_ghosts(event: Event) -> None:
        if isinstance(event, StaleConnectionKilled):
            story.close()

    story.on_event = close_at_ghosts
    pair.server.answer("v", "stray")
    assert story.log == log
    assert story.error is None
    assert not story.runner.running
    pair.server.expect_nothing()
    assert pair.server.link.state is State.RESTING


@pytest.mark.parametrize("step", [exchange_step, wait_step, no_step])
def test_a_script_that_drops_its_own_link_begins_again_on_the_next(step: Callable[[], Steps[None]]) -> None:
    def script(story: Story) -> Script:
        try:
            yield from call(("GET", "k"))
            story.runner.link.drop(ConnectionLost("enough"))
            yield from step()
        finally:
            story.log.append("end")

    pair = Pair(story := Story(script))
    pair.server.answer("v")
    assert story.log == ["end"]
    pair.advance(1.0)
    pair.server.expect("GET", "k")
    assert story.error is None
    assert story.runner.running


def test_whoever_is_told_that_a_link_is_up_may_close_the_engine() -> None:
    story = Story(listening)
    story.on_event = lambda event: story.close()
    pair = Pair(story)
    assert story.log == []
    assert pair.server.link.state is State.RESTING


def test_a_link_that_is_opened_has_to_be_told_the_time() -> None:
    assert Story(silent).next_timeout() == AT_ONCE
