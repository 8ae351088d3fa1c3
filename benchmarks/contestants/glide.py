"""valkey-glide, the asyncio client."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from glide import (
    Batch,
    GlideClient,
    GlideClientConfiguration,
    NodeAddress,
    ProtocolVersion,
    StreamReadGroupOptions,
    StreamReadOptions,
)

from benchmarks.contestants.loops import in_tasks, run
from benchmarks.entries import POOL
from benchmarks.job import Job

BLOCK: Final = 5000


async def open_client(job: Job) -> GlideClient:
    """RESP2, because it costs a little less than RESP3 here; a timeout that does not interrupt a blocking read."""
    address = NodeAddress(job.host, job.port)
    configuration = GlideClientConfiguration([address], request_timeout=20_000, protocol=ProtocolVersion.RESP2)
    return await GlideClient.create(configuration)


def new_entries(job: Job) -> dict[Any, Any]:
    return {job.stream: ">"}


# -- groups ----------------------------------------------------------------------------------------------------------


async def _group_ack_each(job: Job) -> None:
    client, streams, seen = await open_client(job), new_entries(job), 0
    options = StreamReadGroupOptions(count=job.count, block_ms=BLOCK)
    key = job.stream.encode()
    job.start()
    while seen < job.n:
        response = await client.xreadgroup(streams, job.group, job.consumer, options) or {}
        for entry_id in response.get(key, {}):
            await client.xack(job.stream, job.group, [entry_id])
            seen += 1
    job.finish(seen)
    await client.close()


async def _group_ack_gather(job: Job) -> None:
    """An acknowledgement of each entry, those of a batch at the same time: they share its connection."""
    client, streams, seen = await open_client(job), new_entries(job), 0
    options = StreamReadGroupOptions(count=job.count, block_ms=BLOCK)
    key = job.stream.encode()
    job.start()
    while seen < job.n:
        response = await client.xreadgroup(streams, job.group, job.consumer, options) or {}
        entries = response.get(key, {})
        await asyncio.gather(*[client.xack(job.stream, job.group, [entry_id]) for entry_id in entries])
        seen += len(entries)
    job.finish(seen)
    await client.close()


async def _group_ack_batch(job: Job) -> None:
    client, streams, seen = await open_client(job), new_entries(job), 0
    options = StreamReadGroupOptions(count=job.count, block_ms=BLOCK)
    key = job.stream.encode()
    job.start()
    while seen < job.n:
        response = await client.xreadgroup(streams, job.group, job.consumer, options) or {}
        entries = response.get(key, {})
        await client.xack(job.stream, job.group, list(entries))
        seen += len(entries)
    job.finish(seen)
    await client.close()


async def _group_ack_pipeline(job: Job) -> None:
    """The acknowledgement of a batch and the next read in one Batch: one round trip less."""
    client, streams, seen = await open_client(job), new_entries(job), 0
    key = job.stream.encode()
    options = StreamReadGroupOptions(count=job.count)
    job.start()
    response: Any = await client.xreadgroup(streams, job.group, job.consumer, options)
    while response:
        entries = response[key]
        seen += len(entries)
        batch = Batch(is_atomic=False)
        batch.xack(job.stream, job.group, list(entries))
        batch.xreadgroup(streams, job.group, job.consumer, options)
        replies: Any = await client.exec(batch, raise_on_error=True)
        response = replies[1]
    job.finish(seen)
    await client.close()


def group_ack_each(job: Job) -> None:
    run(job, _group_ack_each)


def group_ack_gather(job: Job) -> None:
    run(job, _group_ack_gather)


def group_ack_batch(job: Job) -> None:
    run(job, _group_ack_batch)


def group_ack_pipeline(job: Job) -> None:
    run(job, _group_ack_pipeline)


# -- following -------------------------------------------------------------------------------------------------------


async def _follow_batch(job: Job) -> None:
    client, seen, last = await open_client(job), 0, b"0"
    options = StreamReadOptions(count=job.count, block_ms=BLOCK)
    key = job.stream.encode()
    job.start()
    while seen < job.n:
        response = await client.xread({job.stream: last}, options) or {}
        entries = response[key]
        seen += len(entries)
        last = next(reversed(list(entries)))
    job.finish(seen)
    await client.close()


def follow_batch(job: Job) -> None:
    run(job, _follow_batch)


# -- producing -------------------------------------------------------------------------------------------------------


async def _produce_tasks(job: Job) -> None:
    """All tasks share its multiplexed connection."""
    client = await open_client(job)
    pool: list[Any] = [list(fields.items()) for fields in job.fields()]
    job.start()
    job.finish(await in_tasks(job.n, lambda number: client.xadd(job.stream, pool[number % POOL])))
    await client.close()


async def _produce_pipeline(job: Job) -> None:
    client = await open_client(job)
    pool: list[Any] = [list(fields.items()) for fields in job.fields()]
    size, seen = job.options["size"], 0
    chunks = [pool[first : first + size] for first in range(0, POOL, size)] * (job.n // POOL)
    job.start()
    for chunk in chunks:
        batch = Batch(is_atomic=False)
        for values in chunk:
            batch.xadd(job.stream, values)
        seen += len(await client.exec(batch, raise_on_error=True) or ())
    job.finish(seen)
    await client.close()


def produce_tasks(job: Job) -> None:
    run(job, _produce_tasks)


def produce_pipeline(job: Job) -> None:
    run(job, _produce_pipeline)


# -- latency ---------------------------------------------------------------------------------------------------------


async def _latency(job: Job) -> None:
    client, last = await open_client(job), b"0"
    options = StreamReadOptions(block_ms=BLOCK)
    key = job.stream.encode()
    job.ready()
    while len(job.samples) < job.n:
        response: Any = await client.xread({job.stream: last}, options)
        for entry_id, [[_, sent]] in response[key].items():
            job.sample(sent)
            last = entry_id
    await client.close()


def latency(job: Job) -> None:
    run(job, _latency)
