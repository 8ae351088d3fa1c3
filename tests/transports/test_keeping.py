"""What a member of a group holds stays its own while it works, and is free for others when it leaves."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.events import AcksUnconfirmed, Event
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import HASTE, add, entered, pending, take, take_and_ack
from transports.embedded import EmbeddedServer


@pytest.mark.every_server
@pytest.mark.runtimes("async", "background")
async def test_a_handler_may_take_longer_than_entries_may_be_idle(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(5))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="slow", claim_idle=1.5) as slow,
        client.group_consumer("s", group="g", consumer="eager", claim_idle=1.5, block=0.1) as eager,
    ):
        assert await take(slow, 5) == [0, 1, 2, 3, 4]
        assert await eager.get(timeout=2.5) is None
    assert pending(raw) == 5


@pytest.mark.runtimes("async", "background")
async def test_unless_nothing_is_renewed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="slow", claim_idle=0.6, renew=False) as slow,
        client.group_consumer("s", group="g", consumer="eager", claim_idle=0.6, block=0.1) as eager,
    ):
        assert await take(slow, 5) == [0, 1, 2, 3, 4]
        assert sorted(await take_and_ack(eager, 5)) == [0, 1, 2, 3, 4]


@pytest.mark.every_server
async def test_what_was_read_ahead_is_given_back_on_leaving(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(30))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="first", count=10, claim_idle=5) as first:
            assert await take_and_ack(first, 3) == [0, 1, 2]
            assert await take(first, 1) == [3]
        rows = raw("XPENDING", "s", "g", "IDLE", 4000, "-", "+", 100)
        kept = {row[0] for row in raw("XPENDING", "s", "g", "-", "+", 100)} - {row[0] for row in rows}
        assert len(kept) == 1, "only what was handed over and not acknowledged is kept for this name"
        async with client.group_consumer("s", group="g", consumer="second", claim_idle=4) as second:
            assert sorted(await take_and_ack(second, 26)) == list(range(4, 30))
    assert pending(raw) == 1


@pytest.mark.runtimes("asyncio", "trio", "background", "pumped")
async def test_leaving_a_server_that_is_gone_says_what_is_open(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    raw = Raw(fresh_server.address)
    add(raw, range(5))
    events: list[Event] = []
    async with (
        entered(lambda: runtime.connect(fresh_server.url, on_event=events.append, request_timeout=HASTE)) as client,
        entered(lambda: client.group_consumer("s", group="g")) as consumer,
    ):
        batch = await anext(consumer.batches())
        fresh_server.kill()
        batch.ack()
    assert AcksUnconfirmed(5) in events
    raw.close()


@pytest.mark.runtimes("async", "background")
async def test_entries_in_hand_are_kept_though_others_claim_what_was_idle_for_a_moment(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(2))
    options: dict[str, Any] = {"claim_idle": 1.5, "block": 0.1}
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", claim_idle=1.5) as consumer,
    ):
        entries = [await anext(consumer) for _ in range(2)]
        async with client.group_consumer("s", group="g", **options) as other:
            assert await other.get(timeout=2.5) is None
        for entry in entries:
            entry.ack()
        assert await consumer.flush()
