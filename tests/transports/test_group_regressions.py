"""What an adversary has found in the members of a group, each once, on real servers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, pending, take
from transports.embedded import EmbeddedServer


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


@pytest.mark.runtimes("async", "background")
async def test_entries_in_hand_are_kept_though_others_claim_what_was_idle_for_a_moment(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(2))
    options: dict[str, Any] = {"claim_idle": 0.9, "block": 0.1}
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", claim_idle=0.9) as consumer,
    ):
        entries = [await anext(consumer) for _ in range(2)]
        async with client.group_consumer("s", group="g", **options) as other:
            assert await other.get(timeout=2.0) is None
        for entry in entries:
            entry.ack()
        assert await consumer.flush()


@pytest.mark.runtimes("asyncio", "trio", "background", "pumped")
async def test_a_stream_is_added_while_a_backlog_waits_to_be_handed_over(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(3))
    raw("XGROUP", "CREATE", "s", "g", 0)
    raw("XREADGROUP", "GROUP", "g", "me", "COUNT", 3, "STREAMS", "s", ">")
    async with (
        runtime.connect(server.url, request_timeout=2.0) as client,
        client.group_consumer("s", group="g", consumer="me") as consumer,
    ):
        assert await consumer.add_stream("t")
        add(raw, [7], "t")
        assert sorted(await take(consumer, 4)) == [0, 1, 2, 7]


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
