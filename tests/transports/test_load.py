"""Much to do and nothing to do: bounded memory in front of a long stream, and a quiet idle consumer."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.raw import Raw
from tests.support.servers import VALKEY
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, take, take_and_ack
from transports.embedded import EmbeddedServer

MILLION = 1_000_000
MEGABYTE = 1 << 20


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture(scope="module")
def full_server() -> Iterator[EmbeddedServer]:
    """A server with a million entries in its stream ``s``."""
    script = "for n = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'n', n, 'payload', ARGV[2]) end"
    with VALKEY.create() as server, Raw(server.address, timeout=60) as raw:
        for _ in range(20):
            raw("EVAL", script, 1, "s", MILLION // 20, "x" * 100)
        assert raw("XLEN", "s") == MILLION
        yield server


@pytest.mark.timeout(60)  # the fixture takes some seconds
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of this process from /proc")
@pytest.mark.parametrize("count", [100, 5000])
async def test_a_million_entries_and_a_stalled_handler(
    runtime: Runtime, full_server: EmbeddedServer, count: int
) -> None:
    async with runtime.connect(full_server.url) as client:
        gc.collect()
        before = resident()
        async with (
            client.consumer({"s": "0"}, count=count) as follower,
            client.group_consumer("s", group=f"{runtime.name}-{count}", count=count) as consumer,
        ):
            await anext(follower)
            await anext(consumer)
            await runtime.sleep(0.3)  # stalled
            assert resident() - before < 40 * MEGABYTE
            numbers = await take(follower, 3 * count)
            assert numbers == list(range(2, 3 * count + 2))
            await take_and_ack(consumer, min(3 * count, 9000))
            assert resident() - before < 60 * MEGABYTE


async def test_large_entries_are_bounded_by_bytes(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """A reply is as large as COUNT makes it; from then on ``prefetch_bytes`` holds back further reads."""
    blob = bytes(200_000)
    for n in range(50):
        raw("XADD", "s", "*", "n", n, "blob", blob)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", count=5, prefetch=20, prefetch_bytes=MEGABYTE) as consumer,
    ):
        assert await take_and_ack(consumer, 1) == [0]
        await runtime.sleep(0.1)
        delivered = raw("XPENDING", "s", "g")[0]
        assert delivered <= 20  # one batch with the application, and a megabyte of two batches
        assert await take_and_ack(consumer, 49) == list(range(1, 50))


def commands_processed(raw: Raw) -> int:
    info: bytes = raw("INFO", "stats")
    return int(info.split(b"total_commands_processed:")[1].split(b"\r")[0])


async def test_an_idle_consumer_is_quiet(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}) as follower,
        client.group_consumer("s", group="g") as consumer,
        runtime.tasks() as tasks,
    ):
        assert await take(follower, 3) == await take_and_ack(consumer, 3)
        waiting = [tasks.start(take, follower, 1), tasks.start(take_and_ack, consumer, 1)]
        await blocked(runtime, raw, 2)
        await runtime.until(lambda: raw("XPENDING", "s", "g")[0] == 0)  # the acknowledgement has left
        commands, used, began = commands_processed(raw), time.process_time(), time.monotonic()
        await runtime.sleep(2)
        assert time.process_time() - used < 0.1
        seconds = time.monotonic() - began
        assert commands_processed(raw) - commands - 1 <= 2 * seconds  # of two consumers; the one is ours
        add(raw, [3])
        for task in waiting:
            assert await task.result() == [3]
