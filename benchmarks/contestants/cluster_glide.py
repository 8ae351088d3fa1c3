"""valkey-glide's client of a cluster."""

from __future__ import annotations

import asyncio
from typing import Any

from glide import (
    ClusterBatch,
    GlideClusterClient,
    GlideClusterClientConfiguration,
    NodeAddress,
    ProtocolVersion,
    StreamReadGroupOptions,
)

from benchmarks.cluster_job import ClusterJob
from benchmarks.contestants.loops import in_tasks, run
from benchmarks.entries import POOL

SIZE = 1_000


async def open_client(job: ClusterJob) -> GlideClusterClient:
    addresses = [NodeAddress(job.host, port) for port in job.ports]
    client = await GlideClusterClient.create(
        GlideClusterClientConfiguration(addresses, request_timeout=20_000, protocol=ProtocolVersion.RESP2)
    )
    await asyncio.gather(*[client.xlen(stream) for stream in job.streams])
    return client


async def _write_tasks(job: ClusterJob) -> None:
    client = await open_client(job)
    pool: list[Any] = [list(fields.items()) for fields in job.fields()]
    streams = job.streams
    job.start()
    seen = await in_tasks(job.n, lambda number: client.xadd(streams[number % len(streams)], pool[number % POOL]))
    job.finish(seen)
    await client.close()


async def _write_pipelines(job: ClusterJob) -> None:
    client, streams, seen = await open_client(job), job.streams, 0
    pool: list[Any] = [list(fields.items()) for fields in job.fields()]
    job.start()
    for _ in range(job.n // SIZE):
        batch = ClusterBatch(is_atomic=False)
        for number in range(SIZE):
            batch.xadd(streams[number % len(streams)], pool[number])
        seen += len(await client.exec(batch, raise_on_error=True) or ())
    job.finish(seen)
    await client.close()


def write_tasks(job: ClusterJob) -> None:
    run(job, _write_tasks)


def write_pipelines(job: ClusterJob) -> None:
    run(job, _write_pipelines)


async def _group_pipelines(job: ClusterJob) -> None:
    """The acknowledgements of a round and the reads of the next in one batch."""
    client, options = await open_client(job), StreamReadGroupOptions(count=job.count)
    keys = [stream.encode() for stream in job.streams]

    async def consume(consumer: str) -> int:
        seen = 0
        ids: list[list[Any]] = [[] for _ in keys]
        while True:
            batch = ClusterBatch(is_atomic=False)
            for key, own in zip(keys, ids, strict=True):
                if own:
                    batch.xack(key, job.group, own)
                batch.xreadgroup({key: ">"}, job.group, consumer, options)
            replies: Any = iter(await client.exec(batch, raise_on_error=True) or ())
            found: list[list[Any]] = []
            for key, own in zip(keys, ids, strict=True):
                if own:
                    next(replies)
                found.append(list((next(replies) or {}).get(key, ())))
            ids = found
            if not any(ids):
                return seen
            seen += sum(map(len, ids))

    job.start()
    job.finish(sum(await asyncio.gather(*[consume(f"{job.consumer}-{at}") for at in range(job.consumers)])))
    await client.close()


async def _group_gather(job: ClusterJob) -> None:
    """The streams of a consumer at the same time, each read and acknowledged in turns."""
    client, options = await open_client(job), StreamReadGroupOptions(count=job.count)

    async def follow(consumer: str, stream: str) -> int:
        seen, key = 0, stream.encode()
        while True:
            response: Any = await client.xreadgroup({stream: ">"}, job.group, consumer, options) or {}
            entries = response.get(key, {})
            if not entries:
                return seen
            await client.xack(stream, job.group, list(entries))
            seen += len(entries)

    job.start()
    followers = [follow(f"{job.consumer}-{at}", stream) for at in range(job.consumers) for stream in job.streams]
    job.finish(sum(await asyncio.gather(*followers)))
    await client.close()


def group_pipelines(job: ClusterJob) -> None:
    run(job, _group_pipelines)


def group_gather(job: ClusterJob) -> None:
    run(job, _group_gather)
