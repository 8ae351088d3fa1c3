"""redis-py's clients of a cluster, with hiredis."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import Any

from redis.asyncio.cluster import RedisCluster as AsyncCluster
from redis.cluster import RedisCluster

from benchmarks.cluster_job import ClusterJob
from benchmarks.contestants.loops import TASKS, in_tasks, run
from benchmarks.contestants.redis_py import entries_of
from benchmarks.entries import POOL

SIZE = 1_000


def open_sync(job: ClusterJob) -> Any:
    client: Any = RedisCluster(host=job.host, port=job.port)
    pipeline = client.pipeline()
    for stream in job.streams:
        pipeline.xlen(stream)
    pipeline.execute()
    return client


async def open_async(job: ClusterJob) -> Any:
    """Up to a connection to each node for each of the tasks, opened here."""
    client: Any = AsyncCluster(host=job.host, port=job.port, max_connections=TASKS)
    await client.initialize()
    streams = job.streams
    await in_tasks(TASKS, lambda number: client.xlen(streams[number % len(streams)]))
    return client


# -- writing ---------------------------------------------------------------------------------------------------------


async def _write_tasks(job: ClusterJob) -> None:
    pool, streams = job.fields(), job.streams
    client = await open_async(job)
    job.start()
    seen = await in_tasks(job.n, lambda number: client.xadd(streams[number % len(streams)], pool[number % POOL]))
    job.finish(seen)
    await client.aclose()


async def _write_async_pipelines(job: ClusterJob) -> None:
    pool, streams, seen = job.fields(), job.streams, 0
    client = await open_async(job)
    job.start()
    for _ in range(job.n // SIZE):
        pipeline = client.pipeline()
        for number in range(SIZE):
            pipeline.xadd(streams[number % len(streams)], pool[number])
        seen += len(await pipeline.execute())
    job.finish(seen)
    await client.aclose()


def write_tasks(job: ClusterJob) -> None:
    run(job, _write_tasks)


def write_async_pipelines(job: ClusterJob) -> None:
    run(job, _write_async_pipelines)


def write_pipelines(job: ClusterJob) -> None:
    client, pool, streams, seen = open_sync(job), job.fields(), job.streams, 0
    job.start()
    for _ in range(job.n // SIZE):
        pipeline = client.pipeline()
        for number in range(SIZE):
            pipeline.xadd(streams[number % len(streams)], pool[number])
        seen += len(pipeline.execute())
    job.finish(seen)


# -- groups: the acknowledgements of a round and the reads of the next in one pipeline -------------------------------


def fill_pipeline(pipeline: Any, job: ClusterJob, consumer: str, streams: list[str], ids: list[list[bytes]]) -> None:
    for stream, own in zip(streams, ids, strict=True):
        if own:
            pipeline.xack(stream, job.group, *own)
        pipeline.xreadgroup(job.group, consumer, {stream: ">"}, count=job.count)


def take_replies(replies: list[Any], ids: list[list[bytes]]) -> list[list[bytes]]:
    """The ids that each stream has brought; the replies to XACK are passed over."""
    answers = iter(replies)
    found = []
    for own in ids:
        if own:
            next(answers)
        found.append([entry_id for entry_id, _fields in entries_of(next(answers))])
    return found


def group_pipelines(job: ClusterJob) -> None:
    seen: list[int] = []

    def consume(client: Any, consumer: str) -> None:
        streams = job.streams
        ids: list[list[bytes]] = [[] for _ in streams]
        while True:
            pipeline = client.pipeline()
            fill_pipeline(pipeline, job, consumer, streams, ids)
            ids = take_replies(pipeline.execute(), ids)
            if not any(ids):
                break
            seen.append(sum(map(len, ids)))

    clients = [open_sync(job) for _ in range(job.consumers)]
    threads = [Thread(target=consume, args=(one, f"{job.consumer}-{at}")) for at, one in enumerate(clients)]
    job.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job.finish(sum(seen))


async def _group_async_pipelines(job: ClusterJob) -> None:
    client = await open_async(job)

    async def consume(consumer: str) -> int:
        streams, seen = job.streams, 0
        ids: list[list[bytes]] = [[] for _ in streams]
        while True:
            pipeline = client.pipeline()
            fill_pipeline(pipeline, job, consumer, streams, ids)
            ids = take_replies(await pipeline.execute(), ids)
            if not any(ids):
                return seen
            seen += sum(map(len, ids))

    job.start()
    job.finish(sum(await asyncio.gather(*[consume(f"{job.consumer}-{at}") for at in range(job.consumers)])))
    await client.aclose()


def group_async_pipelines(job: ClusterJob) -> None:
    run(job, _group_async_pipelines)
