"""Entries that are given back: by ``nack``, at once, after a while, after a long while."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamcore import InvalidArgument
from streamcore.events import AckMissed, ConsumerRemoved, Event
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, drain, pending, take
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.core("group/test_settling", "group/test_returns", "group/test_removal")


@pytest.mark.every_server
async def test_it_comes_again_at_once_and_the_counter_rises(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        first, second, third = [await anext(consumer) for _ in range(3)]
        second.nack()
        first.ack()
        third.ack()
        began = time.monotonic()
        again = await anext(consumer)
        assert (again.id, again["n"], again.deliveries) == (second.id, b"1", 2)
        assert time.monotonic() - began < 4.0, (
            "not only when a read comes back by itself, or idle entries are looked for"
        )
        again.ack()
        assert await consumer.flush()
    assert pending(raw) == 0


async def test_another_member_may_have_it(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(2))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="first") as first:
            batch = await anext(first.batches())
            batch.nack()
            assert await first.flush()
        async with client.group_consumer("s", group="g", consumer="second") as second:
            assert await drain(second, 2) == [0, 1]


@pytest.mark.every_server
async def test_it_waits_for_as_long_as_it_shall(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(2))
    options: dict[str, Any] = {"claim_idle": 1.0, "block": 0.2}
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", **options) as consumer:
        short, long = [await anext(consumer) for _ in range(2)]
        began = time.monotonic()
        short.nack(delay=0.5)
        long.nack(delay=1.6)  # longer than entries have to be idle
        waited = {}
        for _ in range(2):
            entry = await anext(consumer)
            waited[entry["n"]] = time.monotonic() - began
            entry.ack()
    assert 0.5 <= waited[b"0"] < waited[b"1"]
    assert 1.6 <= waited[b"1"] < 4.0


async def test_nobody_takes_it_before_its_time(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1))
    options: dict[str, Any] = {"claim_idle": 0.2, "block": 0.1}
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="first", **options) as first:
            entry = await anext(first)
            began = time.monotonic()
            entry.nack(delay=1.5)
            assert await first.flush()
        async with client.group_consumer("s", group="g", consumer="second", **options) as second:
            assert await take(second, 1) == [0]
            assert time.monotonic() - began >= 1.5
    assert pending(raw) == 1


async def test_of_a_name_that_comes_back(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="me", claim_idle=2) as consumer:
            (await anext(consumer)).nack(delay=30)
        async with client.group_consumer("s", group="g", consumer="me", claim_idle=2, audit_interval=0.1) as consumer:
            assert await consumer.get(timeout=0.4) is None, "its own backlog does not have it"
    assert pending(raw) == 1


async def test_where_nothing_is_claimed_what_was_given_back_comes_again(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(1))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", claim_idle=None) as consumer,
    ):
        (await anext(consumer)).nack()
        assert await take(consumer, 1) == [0]


async def test_what_others_have_taken_is_not_given_back(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    [id_] = add(raw, range(1))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", audit_interval=60) as consumer,
    ):
        entry = await anext(consumer)
        raw("XCLAIM", "s", "g", "another", 0, id_)
        entry.nack()
        assert await consumer.flush()
        assert await consumer.get(timeout=0.2) is None
    assert AckMissed(b"s", 1) in events
    assert raw("XPENDING", "s", "g", "-", "+", 1)[0][1] == b"another"


async def test_a_bad_delay_is_refused_and_nothing_happens(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        entry = await anext(consumer)
        bad: list[Any] = [-1, float("nan"), "soon"]
        for delay in bad:
            with pytest.raises(InvalidArgument):
                entry.nack(delay=delay)
        assert not entry.settled()
        entry.ack()
        assert await consumer.flush()
        assert entry.settled()


@pytest.mark.every_server
async def test_consumers_that_are_gone_for_good_are_removed_only_if_nothing_is_pending(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(2))
    events: list[Event] = []
    async with runtime.connect(server.url, on_event=events.append) as client:
        async with client.group_consumer("s", group="g", consumer="empty", count=1) as consumer:
            (await anext(consumer)).ack()
        async with client.group_consumer("s", group="g", consumer="laden", count=1) as consumer:
            await anext(consumer)
        await runtime.sleep(0.3)
        async with client.group_consumer("s", group="g", consumer="me", remove_idle_consumers=0.25) as consumer:
            while not any(isinstance(event, ConsumerRemoved) for event in events):
                assert await consumer.get(timeout=0.1) is None
            assert await consumer.get(timeout=0.3) is None
        assert {one[1] for one in raw("XINFO", "CONSUMERS", "s", "g")} >= {b"laden"}
    assert [event for event in events if isinstance(event, ConsumerRemoved)] == [ConsumerRemoved(b"s", b"empty")]
    assert pending(raw) == 1


@pytest.mark.every_server
async def test_on_leaving_nothing_is_taken_back_from_another_member(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    ids = add(raw, range(5))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="leaver") as consumer,
    ):
        assert await take(consumer, 1) == [0]
        raw("XCLAIM", "s", "g", "other", 0, ids[2], "RETRYCOUNT", 7)
    rows = {row[0]: row[1:] for row in raw("XPENDING", "s", "g", "-", "+", 10)}
    assert [rows[id_][0] for id_ in ids] == [b"leaver", b"leaver", b"other", b"leaver", b"leaver"]
    assert [rows[id_][2] for id_ in ids] == [1, 0, 7, 0, 0]
    assert [rows[id_][1] > 50_000 for id_ in ids] == [False, True, False, True, True]


@pytest.mark.every_server
async def test_a_full_server_delays_what_is_given_back_and_does_not_forget_the_delay(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(1))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", claim_idle=0.5) as consumer,
    ):
        entry = await anext(consumer)
        raw("CONFIG", "SET", "maxmemory", 1)
        try:
            entry.nack(delay=30.0)
            assert not await consumer.flush(timeout=0.3)
            assert [row[1] for row in raw("XPENDING", "s", "g", "-", "+", 9)] == [b"me"]
        finally:
            raw("CONFIG", "SET", "maxmemory", 0)
        assert await consumer.flush(timeout=3.0)
        assert [row[1] for row in raw("XPENDING", "s", "g", "-", "+", 9)] == [b"streamcore:nacked"]
        assert raw("ZCARD", "{s}:later:g") == 1
        assert await consumer.get(timeout=1.0) is None
    assert pending(raw) == 1
