"""What an adversary found in commands and requests, so that it stays found."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import Command, get, incr, raw, xadd, xtrim
from streamcore.errors import InvalidArgument
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair


def test_a_bound_that_cannot_be_sent_is_refused_by_name() -> None:
    for build in (lambda: xtrim("s", maxlen=10**30), lambda: xadd("s", {"f": "v"}, maxlen=10**30)):
        with pytest.raises(InvalidArgument):
            build()


def test_the_debugger_of_scripts_does_not_run_on_a_shared_connection() -> None:
    with pytest.raises(InvalidArgument, match="SCRIPT DEBUG"):
        raw("SCRIPT", "DEBUG", "YES")


@pytest.mark.parametrize(
    "words", [("SUBSCRIBE", "c"), ("subscribe", "c"), ("MULTI",), ("WATCH", "k"), ("BLPOP", "k", 0)]
)
def test_a_command_that_was_made_by_hand_is_refused_as_well(words: tuple[Any, ...]) -> None:
    client = Multiplexer()
    pair = Pair(client)
    with pytest.raises(InvalidArgument):
        client.submit([Command(words)], lambda request: None)
    pair.settle()
    pair.server.expect_nothing()


@pytest.mark.parametrize("together", [False, True])
def test_an_answer_that_is_no_text_does_not_hide_the_other_answers(together: bool) -> None:
    client = Multiplexer()
    pair = Pair(client)
    asked: list[Command[Any]] = [get("k").text(), incr("n")]
    ask = client.transact if together else client.submit
    request: Request = ask(asked, lambda request: None)
    pair.settle()
    pair.server.answer(*(["OK", "QUEUED", "QUEUED", [b"\xff", 1]] if together else [b"\xff", 1]))
    broken, number = request.answers()
    assert isinstance(broken, Exception)
    assert number == 1
