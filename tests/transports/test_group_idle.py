"""A member of a group that stops when there is nothing more, on every runtime."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import GroupEntry
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from transports.embedded import EmbeddedServer


def fill(raw: Raw, first: int, last: int, stream: str = "s") -> None:
    for number in range(first, last + 1):
        raw("XADD", stream, f"{number}-0", "n", number)


def left(raw: Raw) -> int:
    return int(raw("XPENDING", "s", "g")[0])


@pytest.mark.parametrize("options", [{"block": None}, {"block": 0.05}], ids=["polling", "waiting"])
async def test_a_loop_ends_and_may_be_begun_again(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, options: dict[str, Any]
) -> None:
    fill(raw, 1, 250)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", stop_on_idle=True, **options) as consumer,
    ):
        first = [entry.id.ms async for entry in consumer]
        assert first == list(range(1, 251))
        assert await consumer.get(timeout=5) is None
        fill(raw, 251, 255)
        second = []
        async for entry in consumer:
            second.append(entry.id.ms)
            entry.ack()
        assert second == list(range(251, 256))
        fill(raw, 256, 256)
        assert [entry.id.ms async for batch in consumer.batches() for entry in batch] == [256]
        fill(raw, 257, 257)
        assert [item.id.ms async for item in consumer.with_events() if isinstance(item, GroupEntry)] == [257]


async def test_what_was_acknowledged_by_the_loop_itself(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    fill(raw, 1, 3)
    options: dict[str, Any] = {"group": "g", "ack": "auto", "stop_on_idle": True, "block": None}
    async with runtime.connect(server.url) as client, client.group_consumer("s", **options) as consumer:
        assert [entry.id.ms async for entry in consumer] == [1, 2, 3]
        fill(raw, 4, 4)
        assert [len(batch) async for batch in consumer.batches()] == [1]
        fill(raw, 5, 5)
        assert [item async for item in consumer.with_events()][-1].id.ms == 5  # type: ignore[union-attr]
    assert left(raw) == 0


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_run_ends_when_all_is_done(runtime: Runtime, server: EmbeddedServer, raw: Raw, concurrency: int) -> None:
    fill(raw, 1, 20)
    attempts: dict[int, int] = {}

    def handle(entry: Any) -> None:
        attempts[entry.id.ms] = entry.deliveries
        if entry.id.ms % 10 == 0 and entry.deliveries < 3:
            raise ValueError("not yet")

    options: dict[str, Any] = {"group": "g", "stop_on_idle": True, "block": None}
    async with runtime.connect(server.url) as client, client.group_consumer("s", **options) as consumer:
        await consumer.run(handle, concurrency=concurrency)
        assert attempts == {n: 3 if n % 10 == 0 else 1 for n in range(1, 21)}
        fill(raw, 21, 21)
        await consumer.run(handle, concurrency=concurrency)
        assert 21 in attempts
    assert left(raw) == 0


async def test_streams_with_groups_of_their_own(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    fill(raw, 1, 3)
    fill(raw, 4, 5, "t")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer({"s": "g", "t": "h"}, stop_on_idle=True, block=None) as consumer,
    ):
        assert sorted([entry.id.ms async for entry in consumer]) == [1, 2, 3, 4, 5]
