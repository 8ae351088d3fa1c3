from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (commands.sadd("s", "a", 1, b""), ("SADD", b"s", "a", 1, b""), False),
        (commands.srem("s", "a"), ("SREM", b"s", "a"), False),
        (commands.smembers("s"), ("SMEMBERS", b"s"), True),
        (commands.sismember("s", "a"), ("SISMEMBER", b"s", "a"), True),
        (commands.scard("s"), ("SCARD", b"s"), True),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (commands.smembers("s"), [b"b", b"a"], {b"a", b"b"}),
        (commands.smembers("s"), [], set()),
        (commands.sismember("s", "a"), 1, True),
        (commands.sismember("s", "a"), 0, False),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: commands.sadd("s"), "sadd needs at least one member"),
        (lambda: commands.srem("s"), "srem needs at least one member"),
        (lambda: commands.sadd("s", ["a"]), "argument 2 of SADD: a value of type list cannot be sent"),  # type: ignore[arg-type]
        (lambda: commands.scard(""), "key is empty"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
