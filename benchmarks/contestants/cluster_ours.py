"""This library in a cluster, through its public face only. Consumers have entered when the clock starts, and wait for entries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.cluster_job import ClusterJob
from benchmarks.contestants.loops import in_tasks, run
from benchmarks.contestants.ours import connect_asyncio, connect_blocking
from benchmarks.entries import POOL

SIZE = 1_000


# -- writing ---------------------------------------------------------------------------------------------------------


async def _write_tasks(job: ClusterJob) -> None:
    pool, streams = job.fields(), job.streams
    async with connect_asyncio(job) as client:
        await asyncio.gather(*[client.xlen(stream) for stream in streams])  # opens the connections
        job.start()
        seen = await in_tasks(job.n, lambda number: client.xadd(streams[number % len(streams)], pool[number % POOL]))
        job.finish(seen)


async def _write_pipelines(job: ClusterJob) -> None:
    from streamcore.commands import xadd

    pool, streams, seen = job.fields(), job.streams, 0
    async with connect_asyncio(job) as client:
        await asyncio.gather(*[client.xlen(stream) for stream in streams])
        job.start()
        for _ in range(job.n // SIZE):
            sent = [xadd(streams[number % len(streams)], pool[number]) for number in range(SIZE)]
            seen += len(await client.pipeline(sent))
        job.finish(seen)


def write_tasks(job: ClusterJob) -> None:
    run(job, _write_tasks)


def write_pipelines(job: ClusterJob) -> None:
    run(job, _write_pipelines)


def write_blocking_pipelines(job: ClusterJob) -> None:
    from streamcore.commands import xadd, xlen

    pool, streams, seen = job.fields(), job.streams, 0
    with connect_blocking(job) as client:
        client.pipeline([xlen(stream) for stream in streams])
        job.start()
        for _ in range(job.n // SIZE):
            sent = [xadd(streams[number % len(streams)], pool[number]) for number in range(SIZE)]
            seen += len(client.pipeline(sent))
        job.finish(seen)


# -- groups ----------------------------------------------------------------------------------------------------------


async def _consume(job: ClusterJob, work: Callable[[Any, Callable[[int], bool]], Coroutine[Any, Any, None]]) -> None:
    """Consumers in tasks of a loop, until they have seen all entries together."""
    seen = 0
    all_seen = asyncio.Event()

    def count(entries: int) -> bool:
        nonlocal seen
        seen += entries
        if seen >= job.n:
            all_seen.set()
        return seen >= job.n

    async with connect_asyncio(job) as client, AsyncExitStack() as stack:
        consumers = [
            await stack.enter_async_context(
                client.group_consumer(job.streams, group=job.group, consumer=f"{job.consumer}-{at}", count=job.count)
            )
            for at in range(job.consumers)
        ]
        await asyncio.sleep(1)  # they have settled in
        job.start()
        working = [asyncio.ensure_future(work(entries, count)) for entries in consumers]
        await all_seen.wait()
        await asyncio.gather(*[consumer.flush() for consumer in consumers])
        job.finish(seen)
        for task in working:
            task.cancel()


async def _each(entries: Any, count: Callable[[int], bool]) -> None:
    async for entry in entries:
        entry.ack()
        if count(1):
            break


async def _batches(entries: Any, count: Callable[[int], bool]) -> None:
    async for batch in entries.batches():
        batch.ack()
        if count(len(batch)):
            break


async def _group(job: ClusterJob) -> None:
    await _consume(job, _each)


async def _group_batches(job: ClusterJob) -> None:
    await _consume(job, _batches)


def group(job: ClusterJob) -> None:
    run(job, _group)


def group_batches(job: ClusterJob) -> None:
    run(job, _group_batches)
