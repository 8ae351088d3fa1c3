"""redis-py, with hiredis. RESP2 or RESP3, and reads of 32 or 64 KiB, make no difference here: these are its defaults,
with a connection of its own instead of the pool, which saves a little for each command."""

from __future__ import annotations

from typing import Any, Final

import redis
import redis.asyncio

from benchmarks.contestants.loops import TASKS, in_tasks, run
from benchmarks.entries import POOL
from benchmarks.job import Job

BLOCK: Final = 5000


def open_sync(job: Job, **settings: Any) -> redis.Redis:
    client = redis.Redis(job.host, job.port, single_connection_client=True, **settings)
    client.ping()
    return client


async def open_async(job: Job, **settings: Any) -> redis.asyncio.Redis:
    client = redis.asyncio.Redis(host=job.host, port=job.port, single_connection_client=True, **settings)
    await client.ping()
    return client


def new_entries(job: Job) -> dict[Any, Any]:
    return {job.stream: ">"}


def entries_of(response: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of the one stream that was asked for, in each of the shapes that redis-py knows."""
    if not response:
        return []
    [(_, entries)] = response.items() if isinstance(response, dict) else response
    return entries  # type: ignore[no-any-return]


# -- groups ----------------------------------------------------------------------------------------------------------


def group_ack_each(job: Job) -> None:
    client, streams, seen = open_sync(job), new_entries(job), 0
    job.start()
    while seen < job.n:
        response = client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
        for entry_id, _fields in entries_of(response):
            client.xack(job.stream, job.group, entry_id)
            seen += 1
    job.finish(seen)


def group_ack_batch(job: Job) -> None:
    client, streams, seen = open_sync(job), new_entries(job), 0
    job.start()
    while seen < job.n:
        response = client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
        entries = entries_of(response)
        client.xack(job.stream, job.group, *[entry_id for entry_id, _fields in entries])
        seen += len(entries)
    job.finish(seen)


def group_ack_pipeline(job: Job) -> None:
    """The acknowledgement of a batch and the next read in one pipeline: one round trip less."""
    client, streams, seen = open_sync(job), new_entries(job), 0
    job.start()
    entries = entries_of(client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK))
    while entries:
        seen += len(entries)
        pipeline = client.pipeline(transaction=False)
        pipeline.xack(job.stream, job.group, *[entry_id for entry_id, _fields in entries])
        pipeline.xreadgroup(job.group, job.consumer, streams, count=job.count)
        _acked, response = pipeline.execute()
        entries = entries_of(response)
    job.finish(seen)


async def _group_ack_each(job: Job) -> None:
    client, streams, seen = await open_async(job), new_entries(job), 0
    job.start()
    while seen < job.n:
        response = await client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
        for entry_id, _fields in entries_of(response):
            await client.xack(job.stream, job.group, entry_id)
            seen += 1
    job.finish(seen)
    await client.aclose()


async def _group_ack_batch(job: Job) -> None:
    client, streams, seen = await open_async(job), new_entries(job), 0
    job.start()
    while seen < job.n:
        response = await client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
        entries = entries_of(response)
        await client.xack(job.stream, job.group, *[entry_id for entry_id, _fields in entries])
        seen += len(entries)
    job.finish(seen)
    await client.aclose()


async def _group_ack_pipeline(job: Job) -> None:
    client, streams, seen = await open_async(job), new_entries(job), 0
    job.start()
    response = await client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
    entries = entries_of(response)
    while entries:
        seen += len(entries)
        pipeline = client.pipeline(transaction=False)
        pipeline.xack(job.stream, job.group, *[entry_id for entry_id, _fields in entries])
        pipeline.xreadgroup(job.group, job.consumer, streams, count=job.count)
        _acked, response = await pipeline.execute()
        entries = entries_of(response)
    job.finish(seen)
    await client.aclose()


def group_async_ack_each(job: Job) -> None:
    run(job, _group_ack_each)


def group_async_ack_batch(job: Job) -> None:
    run(job, _group_ack_batch)


def group_async_ack_pipeline(job: Job) -> None:
    run(job, _group_ack_pipeline)


# -- following -------------------------------------------------------------------------------------------------------


def follow_batch(job: Job) -> None:
    client, seen, last = open_sync(job), 0, b"0"
    job.start()
    while seen < job.n:
        entries = entries_of(client.xread({job.stream: last}, count=job.count, block=BLOCK))
        seen += len(entries)
        last = entries[-1][0]
    job.finish(seen)


async def _follow_batch(job: Job) -> None:
    client, seen, last = await open_async(job), 0, b"0"
    job.start()
    while seen < job.n:
        entries = entries_of(await client.xread({job.stream: last}, count=job.count, block=BLOCK))
        seen += len(entries)
        last = entries[-1][0]
    job.finish(seen)
    await client.aclose()


def follow_async_batch(job: Job) -> None:
    run(job, _follow_batch)


# -- producing -------------------------------------------------------------------------------------------------------


def produce_pipeline(job: Job) -> None:
    client, pool, size, seen = open_sync(job), job.fields(), job.options["size"], 0
    chunks = [pool[first : first + size] for first in range(0, POOL, size)] * (job.n // POOL)
    job.start()
    for chunk in chunks:
        pipeline = client.pipeline(transaction=False)
        for fields in chunk:
            pipeline.xadd(job.stream, fields)  # type: ignore[arg-type]  # dict is invariant
        seen += len(pipeline.execute())
    job.finish(seen)


async def _produce_tasks(job: Job) -> None:
    """A pool with a connection for each of the tasks, or ``options["connections"]`` which they wait for."""
    size = job.options.get("connections", TASKS)
    pool = redis.asyncio.BlockingConnectionPool(host=job.host, port=job.port, max_connections=size)
    client, fields = redis.asyncio.Redis(connection_pool=pool), job.fields()
    await in_tasks(TASKS, lambda _: client.ping())  # opens the connections
    job.start()
    seen = await in_tasks(job.n, lambda number: client.xadd(job.stream, fields[number % POOL]))  # type: ignore[arg-type]
    job.finish(seen)
    await client.aclose()
    await pool.aclose()


def produce_tasks(job: Job) -> None:
    run(job, _produce_tasks)


# -- latency ---------------------------------------------------------------------------------------------------------


def _handle(job: Job, response: Any) -> bytes:
    entries = entries_of(response)
    for _entry_id, fields in entries:
        job.sample(fields[b"sent"])
    return entries[-1][0]


def latency_sync(job: Job) -> None:
    client, last = open_sync(job, socket_timeout=None), b"0"
    job.ready()
    while len(job.samples) < job.n:
        last = _handle(job, client.xread({job.stream: last}, block=BLOCK))


async def _latency_async(job: Job) -> None:
    client, last = await open_async(job, socket_timeout=None), b"0"
    job.ready()
    while len(job.samples) < job.n:
        last = _handle(job, await client.xread({job.stream: last}, block=BLOCK))
    await client.aclose()


def latency_async(job: Job) -> None:
    run(job, _latency_async)


# -- pub/sub ---------------------------------------------------------------------------------------------------------


def pubsub_receive(job: Job) -> None:
    client: Any = redis.Redis(job.host, job.port)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(job.stream)
    pubsub.get_message(timeout=1)
    job.ready()
    messages = pubsub.listen()
    next(messages)
    job.start()
    seen = 0
    for _message in messages:
        seen += 1
        if seen == job.n:
            break
    job.finish(seen)


async def _pubsub_receive(job: Job) -> None:
    client: Any = redis.asyncio.Redis(host=job.host, port=job.port)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    await pubsub.subscribe(job.stream)
    await pubsub.get_message(timeout=1)
    job.ready()
    messages = pubsub.listen()
    await anext(messages)
    job.start()
    seen = 0
    async for _message in messages:
        seen += 1
        if seen == job.n:
            break
    job.finish(seen)
    await pubsub.aclose()
    await client.aclose()


def pubsub_async_receive(job: Job) -> None:
    run(job, _pubsub_receive)
