from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command, ScanPage
from streamcore.errors import InvalidArgument

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("command", "sent", "repeatable"),
    [
        (commands.delete("a", b"b"), ("DEL", b"a", b"b"), False),
        (commands.unlink("a"), ("UNLINK", b"a"), False),
        (commands.exists("a", bytearray(b"b"), memoryview(b"c")), ("EXISTS", b"a", b"b", b"c"), True),
        (commands.expire("a", 1.5), ("PEXPIRE", b"a", 1500), True),
        (commands.expire("a", timedelta(minutes=1)), ("PEXPIRE", b"a", 60_000), True),
        (commands.expire("a", 0.0001), ("PEXPIRE", b"a", 1), True),
        (commands.expire("a", 1, xx=True), ("PEXPIRE", b"a", 1000, "XX"), True),
        (commands.expire("a", 1, nx=True), ("PEXPIRE", b"a", 1000, "NX"), False),
        (commands.expire("a", 1, gt=True), ("PEXPIRE", b"a", 1000, "GT"), False),
        (commands.expire("a", 1, lt=True), ("PEXPIRE", b"a", 1000, "LT"), False),
        (commands.expire("a", 1, xx=True, lt=True), ("PEXPIRE", b"a", 1000, "XX", "LT"), False),
        (commands.expireat("a", NOON), ("PEXPIREAT", b"a", 1_777_636_800_000), True),
        (commands.expireat("a", 1_777_636_800.25, xx=True), ("PEXPIREAT", b"a", 1_777_636_800_250, "XX"), True),
        (
            commands.expireat("a", NOON.astimezone(timezone(timedelta(hours=2)))),
            ("PEXPIREAT", b"a", 1_777_636_800_000),
            True,
        ),
        (commands.persist("a"), ("PERSIST", b"a"), False),
        (commands.ttl("a"), ("PTTL", b"a"), True),
        (commands.expiretime("a"), ("PEXPIRETIME", b"a"), True),
        (commands.type_("a"), ("TYPE", b"a"), True),
        (commands.rename("a", "b"), ("RENAME", b"a", b"b"), False),
        (commands.scan(), ("SCAN", 0), True),
        (
            commands.scan(17, match="a*", count=10, type="stream"),
            ("SCAN", 17, "MATCH", b"a*", "COUNT", 10, "TYPE", b"stream"),
            True,
        ),
        (commands.memory_usage("a"), ("MEMORY", "USAGE", b"a"), True),
        (commands.memory_usage("a", samples=0), ("MEMORY", "USAGE", b"a", "SAMPLES", 0), True),
    ],
)
def test_what_is_sent_and_whether_it_may_be_repeated(
    command: Command[Any], sent: tuple[Any, ...], repeatable: bool
) -> None:
    assert (command.args, command.repeatable) == (sent, repeatable)


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        (commands.expire("a", 1), 1, True),
        (commands.expire("a", 1), 0, False),
        (commands.persist("a"), 1, True),
        (commands.ttl("a"), 1500, 1.5),
        (commands.ttl("a"), 0, 0.0),
        (commands.ttl("a"), -1, math.inf),
        (commands.ttl("a"), -2, None),
        (commands.expiretime("a"), 1_777_636_800_001, NOON + timedelta(milliseconds=1)),
        (commands.expiretime("a"), -1, None),
        (commands.expiretime("a"), -2, None),
        (commands.scan(), [b"0", []], ScanPage(0, [])),
        (commands.scan(), [b"18446744073709551615", [b"a"]], ScanPage(18446744073709551615, [b"a"])),
    ],
)
def test_what_the_reply_means(command: Command[Any], reply: Any, answer: Any) -> None:
    assert command.parse is not None
    assert command.parse(reply) == answer


def test_a_moment_beyond_the_calendar_is_the_last_one_in_it() -> None:
    parse = commands.expiretime("a").parse
    assert parse is not None
    latest = parse(2**62)
    assert latest is not None
    assert latest.replace(microsecond=0) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (commands.delete, "name at least one key"),
        (commands.unlink, "name at least one key"),
        (commands.exists, "name at least one key"),
        (lambda: commands.delete(""), "key is empty"),
        (lambda: commands.delete(["a"]), "key must be str or bytes, not list"),  # type: ignore[arg-type]
        (lambda: commands.type_(memoryview(b"abcd")[::2]), "key is a memoryview with gaps"),
        (lambda: commands.expire("a", 0), "time must be more than 0 seconds"),
        (lambda: commands.expire("a", float("nan")), "time must be a finite number"),
        (lambda: commands.expire("a", 1, nx=True, gt=True), "give nx or gt, not both"),
        (lambda: commands.expire("a", 1, nx=True, xx=True), "give nx or xx, not both"),
        (lambda: commands.expire("a", 1, gt=True, lt=True, xx=True), "give gt or lt, not both"),
        (lambda: commands.expireat("a", datetime(2026, 5, 1)), "when is a datetime without a timezone"),  # noqa: DTZ001
        (lambda: commands.expireat("a", True), "when must be a finite number of seconds"),
        (lambda: commands.rename("a", ""), "newkey is empty"),
        (lambda: commands.scan(-1), "cursor must be at least 0"),
        (lambda: commands.scan(count=0), "count must be at least 1"),
        (lambda: commands.scan(match=""), "match is empty"),
        (lambda: commands.memory_usage("a", samples=-1), "samples must be at least 0"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
