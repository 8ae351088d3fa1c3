"""Entries that a group loses, because they were trimmed or deleted before it was given them, are told, and nothing else is."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streamcore import StreamId
from streamcore.events import Degraded, Event, Gap, GroupRecreated
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, drain, take_and_ack
from transports.anyio import GroupConsumer
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.core("group/test_gap_detection", "group/test_group_history", "group/test_lost")

SOON: dict[str, Any] = {"group": "g", "consumer": "me", "audit_interval": 0.03, "block": 0.03}
PAUSE = 0.1  # seconds without an entry


def gaps(seen: list[Event]) -> list[Gap]:
    return [event for event in seen if isinstance(event, Gap)]


def ids(raw_ids: list[bytes]) -> list[StreamId]:
    return [StreamId.parse(id_) for id_ in raw_ids]


def reached(raw: Raw) -> StreamId:
    """How far the group is."""
    [group] = raw("XINFO", "GROUPS", "s")
    return StreamId.parse(dict(zip(group[::2], group[1::2], strict=True))[b"last-delivered-id"])


def looks(raw: Raw) -> int:
    """How often members have asked for the state of the stream."""
    found = re.search(rb"cmdstat_xinfo\|stream:calls=(\d+)", raw("INFO", "commandstats"))
    return int(found[1]) if found else 0


async def audited(runtime: Runtime, raw: Raw, members: int = 1) -> None:
    """Wait until each member has made an audit that has begun since."""
    before = looks(raw)
    await runtime.until(lambda: looks(raw) >= before + 3 * members)


async def pause(runtime: Runtime, raw: Raw, consumer: GroupConsumer[Any]) -> None:
    """Until the consumer has looked after things; it has one entry of a batch in hand."""
    await audited(runtime, raw)
    await take_and_ack(consumer, 1)
    assert await consumer.flush()
    await audited(runtime, raw)


@pytest.mark.every_server
@pytest.mark.parametrize(("detect_gaps", "how"), [("audit", "MAXLEN"), ("always", "MINID")])
async def test_what_is_trimmed_ahead_of_the_group(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, detect_gaps: Any, how: str
) -> None:
    seen: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer("s", count=5, prefetch=1, **SOON, detect_gaps=detect_gaps) as consumer,
    ):
        added = ids(add(raw, range(30)))
        assert await take_and_ack(consumer, 3) == [0, 1, 2]
        await pause(runtime, raw, consumer)
        at = added.index(reached(raw))
        raw("XTRIM", "s", how, str(added[at + 6]) if how == "MINID" else 30 - (at + 6))
        await pause(runtime, raw, consumer)
        assert await drain(consumer, 20, quiet=PAUSE) == [n for n in range(5, 30) if not at < n < at + 6]
    [gap] = gaps(seen)
    assert (gap.stream, gap.before, gap.entries) == (b"s", added[at + 6], 5)
    assert gap.after <= added[at]


@pytest.mark.every_server
async def test_what_is_trimmed_while_a_read_waits(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    seen: list[Event] = []
    add(raw, range(3))
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer("s", group="g", consumer="me", detect_gaps="always") as consumer,
    ):
        assert await take_and_ack(consumer, 3) == [0, 1, 2]
        assert await consumer.flush()
        await blocked(runtime, raw)
        raw("MULTI")
        raw("XADD", "s", "*", "n", 7)
        raw("XTRIM", "s", "MAXLEN", 0)
        raw("XADD", "s", "*", "n", 8)
        lost, _, last = raw("EXEC")
        assert await take_and_ack(consumer, 1) == [8]
        await blocked(runtime, raw)
    [gap] = gaps(seen)
    assert gap.after < StreamId.parse(lost)
    assert gap.before == StreamId.parse(last)


@pytest.mark.every_server
async def test_what_is_deleted_ahead_of_the_group(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    seen: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer("s", count=5, prefetch=1, **SOON) as consumer,
    ):
        added = ids(add(raw, range(30)))
        assert await take_and_ack(consumer, 3) == [0, 1, 2]
        await pause(runtime, raw, consumer)
        raw("XDEL", "s", str(added[20]))
        await pause(runtime, raw, consumer)
        assert await drain(consumer, 24, quiet=PAUSE) == [*range(5, 20), *range(21, 30)]
    [gap] = gaps(seen)
    assert gap.entries == 1
    assert gap.before is not None
    assert gap.after < added[20] < gap.before


@pytest.mark.every_server
async def test_trimming_and_deleting_what_was_delivered_is_no_gap(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    seen: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer("s", count=5, **SOON, detect_gaps="always") as consumer,
    ):
        for n in range(40):
            [id_] = add(raw, [n])
            assert await take_and_ack(consumer, 1) == [n]
            if n % 3:
                raw("XTRIM", "s", "MAXLEN", n % 2)
            else:
                raw("XDEL", "s", id_)
        raw("XTRIM", "s", "MAXLEN", 0)
        assert await consumer.get(timeout=PAUSE) is None
    assert gaps(seen) == []


@pytest.mark.every_server
@pytest.mark.parametrize("group_exists", [True, False])
async def test_what_is_missing_when_a_member_comes(
    runtime: Runtime, server: EmbeddedServer, server_kind: ServerKind, raw: Raw, group_exists: bool
) -> None:
    """Redis 7.0 does not know for certain how far a group is, so a loss is possible; a new group takes what is there."""
    seen: list[Event] = []
    added = ids(add(raw, range(20)))
    if group_exists:
        raw("XGROUP", "CREATE", "s", "g", "0")
        raw("XREADGROUP", "GROUP", "g", "other", "COUNT", 4, "STREAMS", "s", ">")
    raw("XTRIM", "s", "MAXLEN", 10)
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer("s", **SOON) as consumer,
    ):
        assert await drain(consumer, 10, quiet=PAUSE) == list(range(10, 20))
    known = server_kind.name != "redis7"
    missing = Gap(b"s", added[3], added[10], 6 if known else None, certain=known)
    assert gaps(seen) == ([missing] if group_exists else [])


@pytest.mark.every_server
async def test_each_member_is_told_and_none_twice(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    seen: dict[str, list[Event]] = {"a": [], "b": []}
    options: dict[str, Any] = {**SOON, "count": 5, "prefetch": 1}
    del options["consumer"]
    async with (
        runtime.connect(server.url, on_event=seen["a"].append) as one,
        runtime.connect(server.url, on_event=seen["b"].append) as two,
        one.group_consumer("s", **options, consumer="a") as a,
        two.group_consumer("s", **options, consumer="b") as b,
    ):
        await audited(runtime, raw, 2)  # both know that nothing is missing
        assert [await a.get(timeout=0), await b.get(timeout=0)] == [None, None]
        add(raw, range(60))
        taken = await take_and_ack(a, 3) + await take_and_ack(b, 3)
        await audited(runtime, raw, 2)
        for consumer in (a, b):
            taken += await take_and_ack(consumer, 1)
            assert await consumer.flush()
        await audited(runtime, raw, 2)
        raw("XTRIM", "s", "MAXLEN", 20)
        await audited(runtime, raw, 2)
        for consumer in (a, b):  # as long as both are behind the gap
            taken += await take_and_ack(consumer, 1)
            assert await consumer.flush()
        await audited(runtime, raw, 2)
        taken += await drain(a, quiet=PAUSE) + await drain(b, quiet=PAUSE)
    lost = 60 - len(set(taken))
    assert lost > 0
    assert [[gap.entries for gap in gaps(events)] for events in seen.values()] == [[lost], [lost]]


@pytest.mark.every_server
async def test_a_group_that_was_created_again_goes_on_to_be_watched(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    seen: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer("s", count=5, prefetch=1, **SOON) as consumer,
    ):
        add(raw, range(10))
        assert await drain(consumer, 10, quiet=PAUSE) == list(range(10))
        await audited(runtime, raw)
        raw("XGROUP", "DESTROY", "s", "g")
        raw("XTRIM", "s", "MAXLEN", 0)
        while not any(isinstance(event, GroupRecreated) for event in seen):
            assert await consumer.get(timeout=PAUSE) is None
        assert await drain(consumer, quiet=PAUSE) == []
        assert [type(event) for event in seen if isinstance(event, GroupRecreated)] == [GroupRecreated]
        assert [gap for gap in gaps(seen) if gap.certain] == []
        added = ids(add(raw, range(10, 40)))
        assert await take_and_ack(consumer, 3) == [10, 11, 12]
        await pause(runtime, raw, consumer)
        raw("XTRIM", "s", "MAXLEN", 5)
        await pause(runtime, raw, consumer)
        rest = await drain(consumer, 5, quiet=PAUSE)
    lost = 40 - 15 - len(rest)
    assert rest[-5:] == list(range(35, 40))
    assert [(gap.before, gap.entries) for gap in gaps(seen) if gap.certain] == [(added[-5], lost)]


async def test_where_it_is_forbidden_that_is_said_once_and_nothing_else_stops(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    raw("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all", "-xinfo|stream")
    seen: list[Event] = []
    try:
        async with (
            runtime.connect(server.url.replace("://", "://worker:secret@"), on_event=seen.append) as client,
            client.group_consumer("s", **SOON, detect_gaps="always") as consumer,
        ):
            for n in range(5):
                add(raw, [n])
                assert await take_and_ack(consumer, 1) == [n]
                await runtime.sleep(PAUSE / 2)
    finally:
        raw("ACL", "DELUSER", "worker")
    assert [event for event in seen if isinstance(event, Degraded)] == [Degraded("gap detection", "+xinfo|stream")]


async def test_who_does_not_want_to_know_asks_nothing(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    asked = "cmdstat_xinfo|stream"
    raw("CONFIG", "RESETSTAT")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", **SOON, detect_gaps=None) as consumer,
    ):
        add(raw, range(5))
        assert await drain(consumer, 5, quiet=PAUSE) == list(range(5))
    assert asked.encode() not in raw("INFO", "commandstats")
