from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command, zadd, zadd_incr, zrange, zrangebyscore
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (zadd("z", {"a": 1, b"b": 2.5}), ("ZADD", b"z", 1, "a", 2.5, b"b"), False),
        (zadd("z", {"a": math.inf}, nx=True, ch=True), ("ZADD", b"z", "NX", "CH", math.inf, "a"), False),
        (zadd("z", {"a": 1}, xx=True, gt=True), ("ZADD", b"z", "XX", "GT", 1, "a"), False),
        (zadd("z", {"a": 1}, lt=True), ("ZADD", b"z", "LT", 1, "a"), False),
        (zadd_incr("z", "a", -1.5), ("ZADD", b"z", "INCR", -1.5, "a"), False),
        (zadd_incr("z", "a", 1, xx=True), ("ZADD", b"z", "XX", "INCR", 1, "a"), False),
        (commands.zrem("z", "a", 1), ("ZREM", b"z", "a", 1), False),
        (commands.zscore("z", "a"), ("ZSCORE", b"z", "a"), True),
        (commands.zcard("z"), ("ZCARD", b"z"), True),
        (zrange("z", 0, -1), ("ZRANGE", b"z", 0, -1), True),
        (zrange("z", 0, -1, rev=True, withscores=True), ("ZRANGE", b"z", 0, -1, "REV", "WITHSCORES"), True),
        (
            zrange("z", "(1.5", math.inf, byscore=True, limit=(2, -1), withscores=True),
            ("ZRANGE", b"z", "(1.5", math.inf, "BYSCORE", "LIMIT", 2, -1, "WITHSCORES"),
            True,
        ),
        (zrange("z", "-inf", b"+inf", byscore=True), ("ZRANGE", b"z", "-inf", b"+inf", "BYSCORE"), True),
        (zrange("z", "[a", b"(c", bylex=True), ("ZRANGE", b"z", b"[a", b"(c", "BYLEX"), True),
        (
            zrange("z", "+", "-", bylex=True, rev=True, limit=(0, 5)),
            ("ZRANGE", b"z", b"+", b"-", "BYLEX", "REV", "LIMIT", 0, 5),
            True,
        ),
        (zrangebyscore("z", 1, b"(2"), ("ZRANGEBYSCORE", b"z", 1, b"(2"), True),
        (
            zrangebyscore("z", "-inf", 5, limit=(1, 2), withscores=True),
            ("ZRANGEBYSCORE", b"z", "-inf", 5, "LIMIT", 1, 2, "WITHSCORES"),
            True,
        ),
        (commands.zremrangebyscore("z", "(1", 5), ("ZREMRANGEBYSCORE", b"z", "(1", 5), False),
        (commands.zpopmin("z"), ("ZPOPMIN", b"z", 1), False),
        (commands.zpopmin("z", 5), ("ZPOPMIN", b"z", 5), False),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


@pytest.mark.parametrize(
    "command",
    [zrange("z", 0, -1, withscores=True), zrangebyscore("z", 0, 1, withscores=True), commands.zpopmin("z", 2)],
)
@pytest.mark.parametrize("reply", [[[b"a", 1.0], [b"b", math.inf]], [b"a", b"1", b"b", b"inf"]])
def test_scores_are_numbers_in_both_protocols(command: Command[Any], reply: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == [(b"a", 1.0), (b"b", math.inf)]
    assert command.parse([]) == []


@pytest.mark.parametrize("command", [commands.zscore("z", "a"), zadd_incr("z", "a", 1)])
def test_a_lone_score_is_a_number_or_none(command: Command[Any]) -> None:
    assert command.parse is not None
    assert [command.parse(reply) for reply in (2.5, b"2.5", b"-inf", None)] == [2.5, 2.5, -math.inf, None]


def test_members_without_scores_are_answered_as_they_are() -> None:
    assert zrange("z", 0, -1).parse is None


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: zadd("z", {}), "zadd needs at least one member"),
        (lambda: zadd("z", {"a": math.nan}), "a score must be a number, not nan"),
        (lambda: zadd("z", {"a": "1"}), "a score must be a number"),  # type: ignore[dict-item]
        (lambda: zadd("z", {"a": True}), "a score must be a number"),
        (lambda: zadd("z", {"a": 1}, nx=True, xx=True), "give nx or xx, not both"),
        (lambda: zadd("z", {"a": 1}, nx=True, gt=True), "give nx or gt, not both"),
        (lambda: zadd("z", {"a": 1}, xx=True, gt=True, lt=True), "give gt or lt, not both"),
        (lambda: zadd_incr("z", "a", math.nan), "increment must be a number"),
        (lambda: commands.zrem("z"), "zrem needs at least one member"),
        (lambda: zrange("z", 0, -1, byscore=True, bylex=True), "give byscore or bylex, not both"),
        (lambda: zrange("z", "-", "+", bylex=True, withscores=True), "give bylex or withscores, not both"),
        (lambda: zrange("z", 0, -1, limit=(0, 1)), "limit needs byscore or bylex"),
        (lambda: zrange("z", "(1", 5), "start is a rank, a whole number"),
        (lambda: zrange("z", 0, 1.5), "stop must be a whole number"),
        (lambda: zrange("z", "x", 5, byscore=True), "start must be a score, '\\(' before a score"),
        (lambda: zrange("z", 0, b"nan", byscore=True), "stop must be a score"),
        (lambda: zrange("z", "a", "+", bylex=True), "start must be '\\[' or '\\(' before a member"),
        (lambda: zrange("z", 5, "+", bylex=True), "start must be str or bytes, not int"),
        (lambda: zrangebyscore("z", 0, 1, limit=5), "limit must be an offset and a count"),  # type: ignore[call-overload]
        (lambda: zrangebyscore("z", 0, 1, limit=(1, 2, 3)), "limit must be an offset and a count"),  # type: ignore[arg-type]
        (lambda: zrangebyscore("z", 0, 1, limit=(-1, 2)), "limit's offset must be at least 0"),
        (lambda: zrangebyscore("z", math.nan, 1), "min must be a number"),
        (lambda: commands.zpopmin("z", 0), "count must be at least 1"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
