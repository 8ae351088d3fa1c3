from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command, Popped
from streamcore.commands.command import LinkUse
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (commands.lpush("l", "a", 1), ("LPUSH", b"l", "a", 1), False),
        (commands.rpush("l", b""), ("RPUSH", b"l", b""), False),
        (commands.lpop("l"), ("LPOP", b"l"), False),
        (commands.lpop("l", count=2), ("LPOP", b"l", 2), False),
        (commands.rpop("l"), ("RPOP", b"l"), False),
        (commands.rpop("l", count=2), ("RPOP", b"l", 2), False),
        (commands.lrange("l"), ("LRANGE", b"l", 0, -1), True),
        (commands.lrange("l", 1, -2), ("LRANGE", b"l", 1, -2), True),
        (commands.llen("l"), ("LLEN", b"l"), True),
        (commands.ltrim("l", -10, -1), ("LTRIM", b"l", -10, -1), False),
        (commands.blpop("a", "b", timeout=1.5), ("BLPOP", b"a", b"b", 1.5), False),
        (commands.brpop("a", timeout=timedelta(minutes=1)), ("BRPOP", b"a", 60.0), False),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


def test_waiting_takes_a_link_of_its_own_for_as_long_as_it_lasts() -> None:
    command = commands.blpop("a", "b", timeout=1.5)
    assert (command.traits.use, command.traits.block, command.keys) == (LinkUse.DEDICATED, 1.5, (b"a", b"b"))


def test_a_very_short_wait_does_not_become_an_endless_one() -> None:
    assert commands.blpop("a", timeout=1e-6).args == ("BLPOP", b"a", 0.001)


def test_what_was_popped_comes_with_its_list() -> None:
    parse = commands.blpop("a", timeout=1).parse
    assert parse is not None
    assert parse([b"a", b"x"]) == Popped(b"a", b"x")
    assert parse(None) is None


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: commands.lpush("l"), "lpush needs at least one value"),
        (lambda: commands.rpush("l"), "rpush needs at least one value"),
        (lambda: commands.lpop("l", count=0), "count must be at least 1"),
        (lambda: commands.lrange("l", 0.0), "start must be a whole number"),  # type: ignore[arg-type]
        (lambda: commands.ltrim("l", 0, None), "stop must be a whole number"),  # type: ignore[arg-type]
        (lambda: commands.blpop("l", timeout=0), "timeout must be more than 0 seconds"),
        (lambda: commands.brpop("l", timeout=float("inf")), "timeout must be a finite number of seconds"),
        (lambda: commands.brpop("l", timeout=None), "timeout must be a finite number of seconds"),  # type: ignore[arg-type]
        (lambda: commands.blpop(timeout=1), "name at least one key"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
