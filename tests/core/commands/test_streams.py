from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command, PendingSummary, xadd
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument

FIELDS = {"f": "v"}


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (xadd("s", FIELDS), ("XADD", b"s", "*", "f", "v")),
        (xadd(b"s", [("f", 1), ("f", 2.5)]), ("XADD", b"s", "*", "f", 1, "f", 2.5)),
        (xadd("s", iter([(b"f", b"v")])), ("XADD", b"s", "*", b"f", b"v")),
        (xadd("s", FIELDS, id="5"), ("XADD", b"s", "5-0", "f", "v")),
        (xadd("s", FIELDS, id="5-*"), ("XADD", b"s", "5-*", "f", "v")),
        (xadd("s", FIELDS, id=StreamId(5, 1)), ("XADD", b"s", "5-1", "f", "v")),
        (xadd("s", FIELDS, nomkstream=True), ("XADD", b"s", "NOMKSTREAM", "*", "f", "v")),
        (xadd("s", FIELDS, maxlen=10), ("XADD", b"s", "MAXLEN", "~", 10, "*", "f", "v")),
        (xadd("s", FIELDS, maxlen=0, approximate=False), ("XADD", b"s", "MAXLEN", "=", 0, "*", "f", "v")),
        (xadd("s", FIELDS, minid="7"), ("XADD", b"s", "MINID", "~", "7-0", "*", "f", "v")),
        (commands.xlen("s"), ("XLEN", b"s")),
        (commands.xdel("s", "1", StreamId(2, 3)), ("XDEL", b"s", "1-0", "2-3")),
        (commands.xtrim("s", maxlen=5), ("XTRIM", b"s", "MAXLEN", "~", 5)),
        (commands.xtrim("s", minid=StreamId(5), approximate=False), ("XTRIM", b"s", "MINID", "=", "5-0")),
        (commands.xrange("s"), ("XRANGE", b"s", "-", "+")),
        (commands.xrange("s", "(5", StreamId(6, 1), count=2), ("XRANGE", b"s", "(5-0", "6-1", "COUNT", 2)),
        (commands.xrevrange("s"), ("XREVRANGE", b"s", "+", "-")),
        (commands.xrevrange("s", "9", "(5-1", count=1), ("XREVRANGE", b"s", "9-0", "(5-1", "COUNT", 1)),
        (commands.xack("s", "g", "1", StreamId(2)), ("XACK", b"s", b"g", "1-0", "2-0")),
        (commands.xgroup_create("s", "g"), ("XGROUP", "CREATE", b"s", b"g", "0-0", "MKSTREAM")),
        (commands.xgroup_create("s", "g", start="$", mkstream=False), ("XGROUP", "CREATE", b"s", b"g", "$")),
        (commands.xgroup_create("s", "g", start=StreamId(5)), ("XGROUP", "CREATE", b"s", b"g", "5-0", "MKSTREAM")),
        (commands.xgroup_destroy("s", "g"), ("XGROUP", "DESTROY", b"s", b"g")),
        (commands.xpending("s", "g"), ("XPENDING", b"s", b"g")),
    ],
)
def test_what_is_sent(command: Command[Any], sent: tuple[Any, ...]) -> None:
    assert command.args == sent


def test_only_questions_may_be_repeated() -> None:
    asking: list[Command[Any]] = [
        commands.xlen("s"),
        commands.xrange("s"),
        commands.xrevrange("s"),
        commands.xpending("s", "g"),
    ]
    changing: list[Command[Any]] = [
        xadd("s", FIELDS),
        xadd("s", FIELDS, id="5"),
        commands.xdel("s", "1"),
        commands.xtrim("s", maxlen=1),
    ]
    assert all(command.repeatable for command in asking)
    assert not any(command.repeatable for command in changing)


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (xadd("s", FIELDS), b"5-1", StreamId(5, 1)),
        (xadd("s", FIELDS, nomkstream=True), None, None),
        (commands.xrange("s"), [], []),
        (
            commands.xrange("s"),
            [[b"1-0", [b"a", b"1", b"b", b"2"]], [b"2-0", [b"a", b"3"]]],
            [(StreamId(1), {b"a": b"1", b"b": b"2"}), (StreamId(2), {b"a": b"3"})],
        ),
        (
            commands.xpending("s", "g"),
            [3, b"1-0", b"4-2", [[b"me", b"2"], [b"you", b"1"]]],
            PendingSummary(3, StreamId(1), StreamId(4, 2), {b"me": 2, b"you": 1}),
        ),
        (commands.xpending("s", "g"), [0, None, None, None], PendingSummary(0, None, None, {})),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


def bad(**options: Any) -> Callable[[], object]:
    return lambda: xadd("s", **{"fields": FIELDS, **options})


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: xadd("", FIELDS), "stream is empty"),
        (bad(fields={}), "an entry needs at least one field"),
        (bad(fields=[]), "an entry needs at least one field"),
        (bad(fields="ab"), "fields must be a mapping or pairs, not str"),
        (bad(fields=[("a", "b", "c")]), "fields must be a mapping or pairs, not list"),
        (bad(fields=5), "fields must be a mapping or pairs, not int"),
        (bad(fields=None), "fields must be a mapping or pairs, not NoneType"),
        (bad(id="x"), "'x' is not a stream id"),
        (bad(id="x-*"), "'x' is not a stream id"),
        (bad(id=""), "'' is not a stream id"),
        (bad(id=5), "5 is not a stream id"),
        (bad(maxlen=5, minid="1"), "give maxlen or minid, not both"),
        (bad(maxlen=-1), "maxlen must be at least 0, not -1"),
        (bad(maxlen=True), "maxlen must be a whole number"),
        (bad(maxlen=1.5), "maxlen must be a whole number"),
        (bad(minid=""), "'' is not a stream id"),
        (lambda: commands.xdel("s"), "xdel needs at least one id"),
        (lambda: commands.xtrim("s"), "xtrim needs maxlen or minid"),
        (lambda: commands.xrange("s", count=0), "count must be at least 1"),
        (lambda: commands.xrange("s", "((1"), r"'\(1' is not a stream id"),
        (lambda: commands.xrevrange("s", "last"), "'last' is not a stream id"),
        (lambda: commands.xack("s", "g"), "xack needs at least one id"),
        (lambda: commands.xgroup_create("s", "g", start=">"), "'>' is not a stream id"),
        (lambda: commands.xgroup_create("s", ""), "group is empty"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
