"""coredis's client of a cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import coredis
from coredis.patterns.streams import GroupConsumer

from benchmarks.cluster_job import ClusterJob
from benchmarks.contestants.loops import in_tasks, run
from benchmarks.entries import POOL

SIZE = 1_000
BLOCK = 100


def open_client(job: ClusterJob) -> Any:
    return coredis.RedisCluster(job.host, job.port)


async def greet(client: Any, job: ClusterJob) -> None:
    """Open the connections."""
    await asyncio.gather(*[client.xlen(stream) for stream in job.streams])


async def _write_tasks(job: ClusterJob) -> None:
    pool, streams = job.fields(), job.streams
    async with open_client(job) as client:
        await greet(client, job)

        async def send(number: int) -> None:
            await client.xadd(streams[number % len(streams)], pool[number % POOL])

        job.start()
        job.finish(await in_tasks(job.n, send))


async def _write_pipelines(job: ClusterJob) -> None:
    pool, streams, seen = job.fields(), job.streams, 0
    async with open_client(job) as client:
        await greet(client, job)
        job.start()
        for _ in range(job.n // SIZE):
            async with client.pipeline() as pipeline:
                sending = [pipeline.xadd(streams[number % len(streams)], pool[number]) for number in range(SIZE)]
            seen += len([await one for one in sending])
        job.finish(seen)


def write_tasks(job: ClusterJob) -> None:
    run(job, _write_tasks)


def write_pipelines(job: ClusterJob) -> None:
    run(job, _write_pipelines)


# -- groups ----------------------------------------------------------------------------------------------------------


async def _in_consumers(job: ClusterJob, consume: Any) -> None:
    async with open_client(job) as client:
        await greet(client, job)
        job.start()
        names = [f"{job.consumer}-{at}" for at in range(job.consumers)]
        job.finish(sum(await asyncio.gather(*[consume(client, name) for name in names])))


async def _group_turns(job: ClusterJob) -> None:
    """A read and an acknowledgement of each stream in turn."""

    async def consume(client: Any, consumer: str) -> int:
        seen, found = 0, True
        while found:
            found = False
            for stream in job.streams:
                response = await client.xreadgroup(job.group, consumer, {stream: ">"}, count=job.count)
                entries = (response or {}).get(stream.encode(), ())
                if entries:
                    await client.xack(stream, job.group, [entry.identifier for entry in entries])
                    seen += len(entries)
                    found = True
        return seen

    await _in_consumers(job, consume)


async def _group_pipelines(job: ClusterJob) -> None:
    """The acknowledgements of a round and the reads of the next in one pipeline."""
    keys = [stream.encode() for stream in job.streams]

    async def consume(client: Any, consumer: str) -> int:
        seen = 0
        ids: list[list[Any]] = [[] for _ in keys]
        while True:
            async with client.pipeline() as pipeline:
                for key, own in zip(keys, ids, strict=True):
                    if own:
                        pipeline.xack(key, job.group, own)
                reading = [pipeline.xreadgroup(job.group, consumer, {key: ">"}, count=job.count) for key in keys]
            responses = [await one or {} for one in reading]
            ids = [
                [entry.identifier for entry in response.get(key, ())]
                for key, response in zip(keys, responses, strict=True)
            ]
            if not any(ids):
                return seen
            seen += sum(map(len, ids))

    await _in_consumers(job, consume)


async def _group_consumers(job: ClusterJob) -> None:
    """Its GroupConsumer; the acknowledgements of a stream are sent for COUNT entries at once."""

    async def consume(client: Any, name: str) -> int:
        seen = 0
        handled: dict[Any, list[Any]] = {}
        consumer = GroupConsumer(client, job.streams, job.group, name, buffer_size=job.count - 1, timeout=BLOCK)
        async with consumer:
            async for stream, entry in consumer:
                own = handled.setdefault(stream, [])
                own.append(entry.identifier)
                seen += 1
                if len(own) == job.count:
                    await client.xack(stream, job.group, own)
                    own.clear()
        for stream, own in handled.items():
            if own:
                await client.xack(stream, job.group, own)
        return seen

    await _in_consumers(job, consume)


def group_turns(job: ClusterJob) -> None:
    run(job, _group_turns)


def group_pipelines(job: ClusterJob) -> None:
    run(job, _group_pipelines)


def group_consumers(job: ClusterJob) -> None:
    run(job, _group_consumers)
