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
        (commands.hset("h", {"f": 1, b"g": "x", 3: 2.5}), ("HSET", b"h", "f", 1, b"g", "x", 3, 2.5), False),
        (commands.hget("h", "f"), ("HGET", b"h", "f"), True),
        (commands.hget("h", ""), ("HGET", b"h", ""), True),
        (commands.hmget("h", "f", 3), ("HMGET", b"h", "f", 3), True),
        (commands.hgetall("h"), ("HGETALL", b"h"), True),
        (commands.hdel("h", "f", b"g"), ("HDEL", b"h", "f", b"g"), False),
        (commands.hlen("h"), ("HLEN", b"h"), True),
        (commands.hexists("h", "f"), ("HEXISTS", b"h", "f"), True),
        (commands.hincrby("h", "f", -1), ("HINCRBY", b"h", "f", -1), False),
        (commands.hkeys("h"), ("HKEYS", b"h"), True),
        (commands.hvals("h"), ("HVALS", b"h"), True),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


@pytest.mark.parametrize("reply", [{b"f": b"1", b"g": b"2"}, [b"f", b"1", b"g", b"2"], [(b"f", b"1"), (b"g", b"2")]])
def test_a_hash_is_a_dict_in_both_protocols(reply: Any) -> None:
    parse = commands.hgetall("h").parse
    assert parse is not None
    assert parse(reply) == {b"f": b"1", b"g": b"2"}


def test_whether_a_field_exists_is_a_bool() -> None:
    parse = commands.hexists("h", "f").parse
    assert parse is not None
    assert [parse(1), parse(0)] == [True, False]


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: commands.hset("h", {}), "hset needs at least one field"),
        (lambda: commands.hmget("h"), "hmget needs at least one field"),
        (lambda: commands.hdel("h"), "hdel needs at least one field"),
        (lambda: commands.hget("", "f"), "key is empty"),
        (lambda: commands.hget("h", None), "argument 2 of HGET: a value of type NoneType"),  # type: ignore[arg-type]
        (lambda: commands.hset("h", {"f": None}), "argument 3 of HSET: a value of type NoneType"),  # type: ignore[dict-item]
        (lambda: commands.hincrby("h", "f", 0.5), "increment must be a whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
