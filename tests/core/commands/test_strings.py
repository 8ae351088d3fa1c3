from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command, set_
from streamcore.errors import InvalidArgument

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (commands.get("a"), ("GET", b"a"), True),
        (commands.getdel("a"), ("GETDEL", b"a"), False),
        (commands.getex("a"), ("GETEX", b"a"), True),
        (commands.getex("a", ex=1.5), ("GETEX", b"a", "PX", 1500), True),
        (commands.getex("a", exat=NOON), ("GETEX", b"a", "PXAT", 1_777_636_800_000), True),
        (commands.getex("a", persist=True), ("GETEX", b"a", "PERSIST"), True),
        (set_("a", 5), ("SET", b"a", 5), True),
        (set_("a", b"", ex=timedelta(seconds=2)), ("SET", b"a", b"", "PX", 2000), True),
        (set_("a", "x", exat=1.5), ("SET", b"a", "x", "PXAT", 1500), True),
        (set_("a", "x", keepttl=True), ("SET", b"a", "x", "KEEPTTL"), True),
        (set_("a", "x", nx=True), ("SET", b"a", "x", "NX"), False),
        (set_("a", "x", xx=True, ex=1), ("SET", b"a", "x", "XX", "PX", 1000), True),
        (set_("a", "x", get=True), ("SET", b"a", "x", "GET"), False),
        (set_("a", "x", nx=True, get=True, keepttl=True), ("SET", b"a", "x", "NX", "GET", "KEEPTTL"), False),
        (commands.mget("a", "b"), ("MGET", b"a", b"b"), True),
        (commands.mset({"a": 1, b"b": "x"}), ("MSET", b"a", 1, b"b", "x"), True),
        (commands.incr("a"), ("INCR", b"a"), False),
        (commands.incrby("a", -5), ("INCRBY", b"a", -5), False),
        (commands.incrbyfloat("a", 0.5), ("INCRBYFLOAT", b"a", 0.5), False),
        (commands.decr("a"), ("DECR", b"a"), False),
        (commands.decrby("a", 5), ("DECRBY", b"a", 5), False),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (set_("a", 1, nx=True), b"OK", True),
        (set_("a", 1, nx=True), None, False),
        (set_("a", 1, xx=True), None, False),
        (set_("a", 1, nx=False), b"OK", True),
        (commands.incrbyfloat("a", 0.5), b"10.5", 10.5),
        (commands.incrbyfloat("a", 0.5), b"3.0e3", 3000.0),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


def test_set_answers_the_former_value_where_that_is_asked_for() -> None:
    assert set_("a", 1, get=True, nx=True).parse is None
    assert set_("a", 1).parse is None


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: commands.get(""), "key is empty"),
        (lambda: commands.getex("a", ex=1, persist=True), "give ex or persist, not both"),
        (lambda: set_("a", 1, nx=True, xx=True), "give nx or xx, not both"),
        (lambda: set_("a", 1, ex=1, exat=2, keepttl=True), "give ex or exat or keepttl, not all"),
        (lambda: set_("a", 1, ex=0), "ex must be more than 0 seconds"),
        (lambda: set_("a", None), "argument 2 of SET: a value of type NoneType cannot be sent"),  # type: ignore[call-overload]
        (lambda: set_("a", True), "argument 2 of SET: a value of type bool cannot be sent"),
        (lambda: set_("a", "\udc80"), "argument 2 of SET: text cannot be sent as UTF-8"),
        (lambda: set_("a", 1 << 70), "argument 2 of SET: an integer of more than 64 bits"),
        (commands.mget, "name at least one key"),
        (lambda: commands.mset({}), "mset needs at least one key"),
        (lambda: commands.mset({"": 1}), "key is empty"),
        (lambda: commands.incrby("a", 1.0), "increment must be a whole number"),  # type: ignore[arg-type]
        (lambda: commands.incrby("a", True), "increment must be a whole number"),
        (lambda: commands.incrbyfloat("a", float("nan")), "increment must be a number, not nan"),
        (lambda: commands.incrbyfloat("a", "1"), "increment must be a number"),  # type: ignore[arg-type]
        (lambda: commands.decrby("a", None), "decrement must be a whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()


def test_what_is_refused_does_not_show_the_value() -> None:
    with pytest.raises(InvalidArgument) as raised:
        set_("a", ["sesame"])  # type: ignore[call-overload]
    assert "sesame" not in str(raised.value)
