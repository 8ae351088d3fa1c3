"""Backends of Litestar's channels, its own and ours, each as an application has it: one process publishes and hears."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, Final

from litestar.channels.backends.base import ChannelsBackend

from benchmarks.contestants.loops import run
from benchmarks.job import Job

CHANNEL: Final = "room"
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.004
IDLE_SECONDS: Final = 3.0


async def _measure(backend: ChannelsBackend, job: Job) -> None:
    await backend.on_startup()
    await backend.subscribe([CHANNEL])
    heard = asyncio.Event()

    async def hear() -> None:
        async for _, sent in backend.stream_events():
            if job.sample(sent):
                heard.set()

    hearing = asyncio.create_task(hear())
    await asyncio.sleep(0.2)
    for _ in range(job.n):
        await backend.publish(b"%d" % time.perf_counter_ns(), [CHANNEL])
        await asyncio.sleep(random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
    await heard.wait()
    control = job.control()
    before, processor = _commands(control), time.process_time()
    await asyncio.sleep(IDLE_SECONDS)
    job.results["client"] = (time.process_time() - processor) / IDLE_SECONDS * 1000
    job.results["idle"] = (_commands(control) - before - 1) / IDLE_SECONDS
    while not hearing.done():  # redis-py loses a cancellation now and then
        hearing.cancel()
        await asyncio.wait([hearing], timeout=0.2)
    await backend.on_shutdown()


def _commands(control: Any) -> int:
    info: bytes = control.call("INFO", "stats")
    return int(info.split(b"total_commands_processed:")[1].split(b"\r")[0])


async def _theirs(job: Job) -> None:
    from litestar.channels.backends.redis import RedisChannelsPubSubBackend, RedisChannelsStreamBackend
    from redis.asyncio import Redis

    async with Redis.from_url(job.url) as redis:
        if job.options["kind"] == "streams":
            await _measure(RedisChannelsStreamBackend(100, redis=redis), job)
        else:
            await _measure(RedisChannelsPubSubBackend(redis=redis), job)


async def _ours(job: Job) -> None:
    from transports.litestar import PubSubChannelsBackend, StreamChannelsBackend

    if job.options["kind"] == "streams":
        await _measure(StreamChannelsBackend(100, url=job.url), job)
    else:
        await _measure(PubSubChannelsBackend(url=job.url), job)


def theirs(job: Job) -> None:
    run(job, _theirs)


def ours(job: Job) -> None:
    run(job, _ours)
