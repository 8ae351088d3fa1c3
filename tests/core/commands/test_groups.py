from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import (
    AutoClaimResult,
    Command,
    DeliveredEntry,
    EntryFields,
    PendingEntry,
    PendingSummary,
    Removal,
    xautoclaim,
    xautoclaim_justid,
    xclaim,
    xclaim_justid,
    xgroup_create,
    xnack,
    xpending_range,
    xreadgroup,
)
from streamcore.commands.command import LinkUse
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument

WHERE = b"s", b"g"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = [b"1-0", [b"a", b"1"]]
DELIVERED = DeliveredEntry(StreamId(1), EntryFields([b"a", b"1"]))


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (xgroup_create("s", "g"), ("XGROUP", "CREATE", *WHERE, "0-0", "MKSTREAM")),
        (xgroup_create("s", "g", start=b"$", mkstream=False), ("XGROUP", "CREATE", *WHERE, "$")),
        (xgroup_create("s", "g", start=StreamId(5)), ("XGROUP", "CREATE", *WHERE, "5-0", "MKSTREAM")),
        (
            xgroup_create("s", "g", start=NEW_YEAR, entries_read=0),
            ("XGROUP", "CREATE", *WHERE, f"1767225599999-{(1 << 64) - 1}", "MKSTREAM", "ENTRIESREAD", 0),
        ),
        (commands.xgroup_setid("s", "g", "$"), ("XGROUP", "SETID", *WHERE, "$")),
        (commands.xgroup_setid("s", "g", "5", entries_read=4), ("XGROUP", "SETID", *WHERE, "5-0", "ENTRIESREAD", 4)),
        (commands.xgroup_destroy("s", "g"), ("XGROUP", "DESTROY", *WHERE)),
        (commands.xgroup_createconsumer("s", "g", "c"), ("XGROUP", "CREATECONSUMER", *WHERE, b"c")),
        (commands.xgroup_delconsumer("s", "g", "c"), ("XGROUP", "DELCONSUMER", *WHERE, b"c")),
        (xreadgroup("g", "c", {"s": ">"}), ("XREADGROUP", "GROUP", b"g", b"c", "STREAMS", b"s", ">")),
        (
            xreadgroup("g", "c", {"a": b">", "b": "0"}, count=5, block=0.1, noack=True, claim=timedelta(minutes=1)),
            (
                *("XREADGROUP", "GROUP", b"g", b"c", "COUNT", 5, "BLOCK", 100, "CLAIM", 60_000, "NOACK"),
                *("STREAMS", b"a", b"b", ">", "0-0"),
            ),
        ),
        (commands.xack("s", "g", "1", StreamId(2), b"3-1"), ("XACK", *WHERE, "1-0", "2-0", "3-1")),
        (commands.xackdel("s", "g", "1"), ("XACKDEL", *WHERE, "IDS", 1, "1-0")),
        (commands.xackdel("s", "g", "1", "2", refs="keep"), ("XACKDEL", *WHERE, "KEEPREF", "IDS", 2, "1-0", "2-0")),
        (xnack("s", "g", "1", mode="silent"), ("XNACK", *WHERE, "SILENT", "IDS", 1, "1-0")),
        (
            xnack("s", "g", "1", "2", mode="fail", retrycount=0, force=True),
            ("XNACK", *WHERE, "FAIL", "IDS", 2, "1-0", "2-0", "RETRYCOUNT", 0, "FORCE"),
        ),
        (xnack("s", "g", "1", mode="fatal", force=True), ("XNACK", *WHERE, "FATAL", "IDS", 1, "1-0", "FORCE")),
        (commands.xpending("s", "g"), ("XPENDING", *WHERE)),
        (xpending_range("s", "g", count=9), ("XPENDING", *WHERE, "-", "+", 9)),
        (
            xpending_range("s", "g", "(5", 7, count=9, consumer="c", idle=0.5),
            ("XPENDING", *WHERE, "IDLE", 500, "(5-0", "7", 9, b"c"),
        ),
        (xclaim("s", "g", "c", "1", "2-1", min_idle=60), ("XCLAIM", *WHERE, b"c", 60_000, "1-0", "2-1")),
        (
            xclaim("s", "g", "c", "1", min_idle=0, idle=5, retrycount=3, force=True, lastid=b"2-1"),
            ("XCLAIM", *WHERE, b"c", 0, "1-0", "IDLE", 5000, "RETRYCOUNT", 3, "FORCE", "LASTID", "2-1"),
        ),
        (xclaim("s", "g", "c", "1", min_idle=0, time=1.5), ("XCLAIM", *WHERE, b"c", 0, "1-0", "TIME", 1500)),
        (
            xclaim_justid("s", "g", "c", "1", min_idle=0, time=NEW_YEAR),
            ("XCLAIM", *WHERE, b"c", 0, "1-0", "TIME", 1_767_225_600_000, "JUSTID"),
        ),
        (xautoclaim("s", "g", "c", min_idle=1), ("XAUTOCLAIM", *WHERE, b"c", 1000, "0")),
        (
            xautoclaim("s", "g", "c", min_idle=1, start=StreamId(5, 1), count=10),
            ("XAUTOCLAIM", *WHERE, b"c", 1000, "5-1", "COUNT", 10),
        ),
        (
            xautoclaim_justid("s", "g", "c", min_idle=1, start="(5-1"),
            ("XAUTOCLAIM", *WHERE, b"c", 1000, "(5-1", "JUSTID"),
        ),
    ],
)
def test_what_is_sent(command: Command[Any], sent: tuple[Any, ...]) -> None:
    assert command.args == sent


EVERYTHING: list[Command[Any]] = [
    xgroup_create("s", "g"),
    commands.xgroup_setid("s", "g", "5"),
    commands.xgroup_setid("s", "g", "$"),
    commands.xgroup_destroy("s", "g"),
    commands.xgroup_createconsumer("s", "g", "c"),
    commands.xgroup_delconsumer("s", "g", "c"),
    xreadgroup("g", "c", {"s": "0"}),
    xreadgroup("g", "c", {"s": ">"}, count=1, block=1, noack=True, claim=1),
    commands.xack("s", "g", "1"),
    commands.xackdel("s", "g", "1"),
    xnack("s", "g", "1", mode="fail"),
    commands.xpending("s", "g"),
    xpending_range("s", "g", count=1, idle=1),
    xclaim("s", "g", "c", "1", min_idle=1),
    xclaim_justid("s", "g", "c", "1", min_idle=1),
    xautoclaim("s", "g", "c", min_idle=1),
    xautoclaim_justid("s", "g", "c", min_idle=1),
]


@pytest.mark.parametrize("command", EVERYTHING, ids=lambda command: command.name)
def test_the_stream_is_the_key_wherever_it_stands(command: Command[Any]) -> None:
    assert command.keys == (b"s",)


BUILDERS: list[Callable[[Any, Any, Any], object]] = [
    lambda s, g, c: xgroup_create(s, g),
    lambda s, g, c: commands.xgroup_setid(s, g, "5"),
    lambda s, g, c: commands.xgroup_destroy(s, g),
    commands.xgroup_createconsumer,
    commands.xgroup_delconsumer,
    lambda s, g, c: xreadgroup(g, c, {s: "0"}),
    lambda s, g, c: commands.xack(s, g, "1"),
    lambda s, g, c: commands.xackdel(s, g, "1"),
    lambda s, g, c: xnack(s, g, "1", mode="fail"),
    lambda s, g, c: commands.xpending(s, g),
    lambda s, g, c: xpending_range(s, g, count=1, consumer=c),
    lambda s, g, c: xclaim(s, g, c, "1", min_idle=1),
    lambda s, g, c: xclaim_justid(s, g, c, "1", min_idle=1),
    lambda s, g, c: xautoclaim(s, g, c, min_idle=1),
    lambda s, g, c: xautoclaim_justid(s, g, c, min_idle=1),
    lambda s, g, c: commands.xinfo_consumers(s, g),
]


@pytest.mark.parametrize("build", BUILDERS)
def test_an_empty_name_is_refused_by_what_it_is_for(build: Callable[[Any, Any, Any], object]) -> None:
    with pytest.raises(InvalidArgument, match=r"^stream is empty"):
        build("", "g", "c")
    with pytest.raises(InvalidArgument, match=r"^group is empty"):
        build("s", b"", "c")


@pytest.mark.parametrize("build", [*BUILDERS[3:6], *BUILDERS[10:15]])
def test_so_is_an_empty_consumer(build: Callable[[Any, Any, Any], object]) -> None:
    with pytest.raises(InvalidArgument, match=r"^consumer is empty"):
        build("s", "g", "")


def test_only_questions_and_a_fixed_position_may_be_repeated() -> None:
    repeatable = [command.args[:2] for command in EVERYTHING if command.repeatable]
    assert repeatable == [("XGROUP", "SETID"), ("XPENDING", b"s"), ("XPENDING", b"s")]
    assert commands.xgroup_setid("s", "g", "5").repeatable
    assert not commands.xgroup_setid("s", "$", "$").repeatable


def test_a_read_that_blocks_gets_a_link_of_its_own() -> None:
    traits = xreadgroup("g", "c", {"s": ">"}, block=2).traits
    assert (traits.use, traits.block) == (LinkUse.DEDICATED, 2)
    assert xreadgroup("g", "c", {"s": ">"}).traits.use is LinkUse.SHARED


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (xreadgroup("g", "c", {"s": ">"}, block=1), ""),
        (xreadgroup("g", "c", {"s": ">"}, claim=0), "Redis 8.4; Valkey does not have it"),
        (xreadgroup("g", "c", {"s": ">"}, claim=0, block=1), "Redis 8.4; Valkey does not have it"),
        (commands.xackdel("s", "g", "1"), "Redis 8.2; Valkey does not have it"),
        (xnack("s", "g", "1", mode="fail"), "Redis 8.8; Valkey does not have it"),
    ],
)
def test_what_newer_servers_know_tells_which(command: Command[Any], needs: str) -> None:
    assert command.traits.needs == needs


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (commands.xgroup_destroy("s", "g"), 1, True),
        (commands.xgroup_createconsumer("s", "g", "c"), 0, False),
        (xreadgroup("g", "c", {"s": ">"}), {b"s": [ENTRY]}, {b"s": [DELIVERED]}),
        (xreadgroup("g", "c", {"s": ">"}), [[b"s", [ENTRY]]], {b"s": [DELIVERED]}),
        (xreadgroup("g", "c", {"s": ">"}), None, {}),
        (xreadgroup("g", "c", {"s": "0"}), {b"s": []}, {b"s": []}),
        (xreadgroup("g", "c", {"s": "0"}), {b"s": [[b"1-0", None]]}, {b"s": [DeliveredEntry(StreamId(1), None)]}),
        (
            xreadgroup("g", "c", {"s": ">"}, claim=0),
            {b"s": [[*ENTRY, 1500, 2]]},
            {b"s": [DELIVERED._replace(idle=1.5, deliveries=2)]},
        ),
        (commands.xackdel("s", "g", "1", "2"), [1, -1], [Removal.DELETED, Removal.UNKNOWN]),
        (
            commands.xpending("s", "g"),
            [3, b"1-0", b"4-2", [[b"me", b"2"], [b"you", b"1"]]],
            PendingSummary(3, StreamId(1), StreamId(4, 2), {b"me": 2, b"you": 1}),
        ),
        (commands.xpending("s", "g"), [0, None, None, None], PendingSummary(0, None, None, {})),
        (
            commands.xpending("s", "g"),
            [1, b"1-0", b"1-0", [[b"", b"1"]]],
            PendingSummary(1, StreamId(1), StreamId(1), {b"": 1}),
        ),
        (
            xpending_range("s", "g", count=9),
            [[b"1-0", b"me", 1500, 2], [b"2-0", b"", -1, 1], [b"3-0", None, 0, 1]],
            [
                PendingEntry(StreamId(1), b"me", 1.5, 2),
                PendingEntry(StreamId(2), b"", inf, 1),
                PendingEntry(StreamId(3), b"", 0, 1),
            ],
        ),
        (xclaim("s", "g", "c", "1", min_idle=0), [ENTRY], [DELIVERED]),
        (xclaim_justid("s", "g", "c", "1", min_idle=0), [b"1-0", b"2-3"], [StreamId(1), StreamId(2, 3)]),
        (
            xautoclaim("s", "g", "c", min_idle=0),
            [b"3-0", [ENTRY], [b"2-0"]],
            AutoClaimResult(StreamId(3), [DELIVERED], [StreamId(2)]),
        ),
        (
            xautoclaim_justid("s", "g", "c", min_idle=0),
            [b"0-0", [b"1-0"], []],
            AutoClaimResult(StreamId(0), [StreamId(1)], []),
        ),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: xgroup_create("s", "g", start=">"), "start: '>' is not a stream id"),
        (lambda: xgroup_create("s", ""), "group is empty"),
        (lambda: xgroup_create("s", "g", entries_read=-1), "entries_read must be at least 0"),
        (lambda: commands.xgroup_createconsumer("s", "g", ""), "consumer is empty"),
        (lambda: xreadgroup("g", "", {"s": ">"}), "consumer is empty"),
        (lambda: xreadgroup("g", "c", {}), "no stream was given"),
        (lambda: xreadgroup("g", "c", {"é": ">", "é".encode(): ">"}), "stream 'é' is named twice"),
        (lambda: xreadgroup("g", "c", {"s": "$"}), r"streams: '\$' is not a stream id"),
        (lambda: xreadgroup("g", "c", {"s": ">"}, block=-1), "block must be more than 0 seconds"),
        (lambda: xreadgroup("g", "c", {"s": ">"}, claim=-1), "claim must be at least 0 seconds"),
        (lambda: commands.xack("s", "g"), "xack needs at least one id"),
        (lambda: commands.xackdel("s", "g"), "xackdel needs at least one id"),
        (lambda: commands.xackdel("s", "g", "1", refs="no"), "refs must be"),  # type: ignore[arg-type]  # the mistake
        (lambda: xnack("s", "g", mode="fail"), "xnack needs at least one id"),
        (lambda: xnack("s", "g", "1", mode="FAIL"), "mode must be 'silent' or 'fail' or 'fatal', not 'FAIL'"),  # type: ignore[arg-type]  # the mistake
        (lambda: xnack("s", "g", "1", mode="fail", retrycount=-1), "retrycount must be at least 0"),
        (lambda: xpending_range("s", "g", count=0), "count must be at least 1"),
        (lambda: xpending_range("s", "g", "$", count=1), r"start: '\$' is not a stream id"),
        (lambda: xclaim("s", "g", "c", min_idle=0), "xclaim needs at least one id"),
        (lambda: xclaim("s", "g", "c", "1", min_idle=-1), "min_idle must be at least 0 seconds"),
        (lambda: xclaim("s", "g", "c", "1", min_idle=0, idle=1, time=1), "give idle or time, not both"),
        (lambda: xclaim("s", "g", "c", "1", min_idle=0, time=datetime(2026, 1, 1)), "time is a datetime without"),  # noqa: DTZ001  # the mistake
        (lambda: xclaim("s", "g", "c", "1", min_idle=0, lastid="$"), "lastid: .* is not a stream id"),
        (lambda: commands.xgroup_setid("s", "g", "0", entries_read=-1), "entries_read must be at least 0"),
        (lambda: xpending_range("s", "g", "-", "$", count=1), r"end: '\$' is not a stream id"),
        (lambda: xpending_range("s", "g", count=1, idle=-1), "idle must be at least 0 seconds"),
        (lambda: xclaim("s", "g", "c", "1", min_idle=0, idle=-1), "idle must be at least 0 seconds"),
        (lambda: xclaim("s", "g", "c", "1", min_idle=0, retrycount=-1), "retrycount must be at least 0"),
        (lambda: xautoclaim("s", "g", "c", min_idle=0, start="$"), r"start: '\$' is not a stream id"),
        (lambda: xautoclaim("s", "g", "c", min_idle=0, count=0), "count must be at least 1"),
        (lambda: xautoclaim("s", "g", "c", min_idle=float("nan")), "min_idle must be a finite number"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
