"""coredis: its own consumers, and the plain commands below them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import coredis
from coredis.patterns.streams import Consumer, GroupConsumer

from benchmarks.contestants.loops import in_tasks, run
from benchmarks.entries import POOL
from benchmarks.job import Job

BLOCK: Final = 5000


def open_client(job: Job) -> coredis.Redis[bytes]:
    return coredis.Redis(job.host, job.port)


# -- groups ----------------------------------------------------------------------------------------------------------


async def _group_consumer(job: Job) -> None:
    """The GroupConsumer of its handbook, and an acknowledgement of each entry."""
    async with open_client(job) as client:
        consumer = GroupConsumer(
            client, [job.stream], job.group, job.consumer, buffer_size=job.count - 1, timeout=BLOCK
        )
        async with consumer:
            seen = 0
            job.start()
            async for _stream, entry in consumer:
                await client.xack(job.stream, job.group, [entry.identifier])
                seen += 1
                if seen == job.n:
                    break
            job.finish(seen)


async def _group_consumer_batch(job: Job) -> None:
    """The GroupConsumer; the acknowledgements are collected by hand, and sent for COUNT entries at once."""
    async with open_client(job) as client:
        consumer = GroupConsumer(
            client, [job.stream], job.group, job.consumer, buffer_size=job.count - 1, timeout=BLOCK
        )
        async with consumer:
            seen, handled = 0, []
            job.start()
            async for _stream, entry in consumer:
                handled.append(entry.identifier)
                seen += 1
                if len(handled) == job.count or seen == job.n:
                    await client.xack(job.stream, job.group, handled)
                    handled = []
                if seen == job.n:
                    break
            job.finish(seen)


async def _group_ack_each(job: Job) -> None:
    async with open_client(job) as client:
        streams, seen = {job.stream: ">"}, 0
        await client.ping()
        job.start()
        while seen < job.n:
            response = await client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
            for entry in (response or {}).get(job.stream.encode(), ()):
                await client.xack(job.stream, job.group, [entry.identifier])
                seen += 1
        job.finish(seen)


async def _group_ack_gather(job: Job) -> None:
    """An acknowledgement of each entry, those of a batch at the same time: they share its connection."""
    async with open_client(job) as client:
        streams, seen = {job.stream: ">"}, 0
        await client.ping()
        job.start()
        while seen < job.n:
            response = await client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
            entries = (response or {}).get(job.stream.encode(), ())

            async def ack(entry: Any) -> None:
                await client.xack(job.stream, job.group, [entry.identifier])

            await asyncio.gather(*[ack(entry) for entry in entries])
            seen += len(entries)
        job.finish(seen)


async def _group_ack_batch(job: Job) -> None:
    async with open_client(job) as client:
        streams, seen = {job.stream: ">"}, 0
        await client.ping()
        job.start()
        while seen < job.n:
            response = await client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
            entries = (response or {}).get(job.stream.encode(), ())
            await client.xack(job.stream, job.group, [entry.identifier for entry in entries])
            seen += len(entries)
        job.finish(seen)


async def _group_ack_pipeline(job: Job) -> None:
    """The acknowledgement of a batch and the next read in one pipeline: one round trip less."""
    async with open_client(job) as client:
        streams, seen = {job.stream: ">"}, 0
        await client.ping()
        job.start()
        response = await client.xreadgroup(job.group, job.consumer, streams, count=job.count, block=BLOCK)
        while response:
            entries = response[job.stream.encode()]
            seen += len(entries)
            async with client.pipeline(transaction=False) as pipeline:
                pipeline.xack(job.stream, job.group, [entry.identifier for entry in entries])
                reading = pipeline.xreadgroup(job.group, job.consumer, streams, count=job.count)
            response = await reading
        job.finish(seen)


def group_consumer(job: Job) -> None:
    run(job, _group_consumer)


def group_consumer_batch(job: Job) -> None:
    run(job, _group_consumer_batch)


def group_ack_each(job: Job) -> None:
    run(job, _group_ack_each)


def group_ack_gather(job: Job) -> None:
    run(job, _group_ack_gather)


def group_ack_batch(job: Job) -> None:
    run(job, _group_ack_batch)


def group_ack_pipeline(job: Job) -> None:
    run(job, _group_ack_pipeline)


# -- following -------------------------------------------------------------------------------------------------------


async def _follow_consumer(job: Job) -> None:
    """The Consumer of its handbook, one entry at a time."""
    async with open_client(job) as client:
        start: Any = {job.stream: {"identifier": "0-0"}}
        consumer = Consumer(client, [job.stream], buffer_size=job.count - 1, timeout=BLOCK, **start)
        async with consumer:
            seen = 0
            job.start()
            async for _stream, _entry in consumer:
                seen += 1
                if seen == job.n:
                    break
            job.finish(seen)


async def _follow_batch(job: Job) -> None:
    async with open_client(job) as client:
        seen, last = 0, b"0"
        await client.ping()
        job.start()
        while seen < job.n:
            response = await client.xread({job.stream: last}, count=job.count, block=BLOCK)
            entries: Any = (response or {}).get(job.stream.encode(), ())
            seen += len(entries)
            last = entries[-1].identifier
        job.finish(seen)


def follow_consumer(job: Job) -> None:
    run(job, _follow_consumer)


def follow_batch(job: Job) -> None:
    run(job, _follow_batch)


# -- producing -------------------------------------------------------------------------------------------------------


async def _produce_tasks(job: Job) -> None:
    """All tasks share its multiplexed connection."""
    async with open_client(job) as client:
        fields: list[Any] = job.fields()
        await client.ping()

        async def send(number: int) -> None:
            await client.xadd(job.stream, fields[number % POOL])

        job.start()
        job.finish(await in_tasks(job.n, send))


async def _produce_pipeline(job: Job) -> None:
    async with open_client(job) as client:
        pool: list[Any] = job.fields()
        size, seen = job.options["size"], 0
        chunks = [pool[first : first + size] for first in range(0, POOL, size)] * (job.n // POOL)
        await client.ping()
        job.start()
        for chunk in chunks:
            async with client.pipeline(transaction=False) as pipeline:
                sending = [pipeline.xadd(job.stream, fields) for fields in chunk]
            seen += len([await one for one in sending])
        job.finish(seen)


def produce_tasks(job: Job) -> None:
    run(job, _produce_tasks)


def produce_pipeline(job: Job) -> None:
    run(job, _produce_pipeline)


# -- latency ---------------------------------------------------------------------------------------------------------


async def _latency(job: Job) -> None:
    async with open_client(job) as client:
        last = b"0"
        await client.ping()
        job.ready()
        while len(job.samples) < job.n:
            response: Any = await client.xread({job.stream: last}, block=BLOCK)
            for entry in response[job.stream.encode()]:
                job.sample(entry.field_values[b"sent"])
                last = entry.identifier


def latency(job: Job) -> None:
    run(job, _latency)


# -- pub/sub ---------------------------------------------------------------------------------------------------------


async def _pubsub_receive(job: Job) -> None:
    async with open_client(job) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(job.stream)
        await asyncio.sleep(0.1)
        job.ready()
        messages: Any = aiter(pubsub)
        await anext(messages)
        job.start()
        seen = 0
        async for _message in messages:
            seen += 1
            if seen == job.n:
                break
        job.finish(seen)


def pubsub_receive(job: Job) -> None:
    run(job, _pubsub_receive)
