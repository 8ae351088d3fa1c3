"""This library, through its public face only: ``transports.asyncio``, ``transports.trio``, ``transports.blocking``.

This is the one place that knows our own API. Everything is imported where it is used, so that a transport which is not
there drops its own rows and nothing else.

The clock starts *before* a consumer is entered, because entering may already read ahead: our rows pay for the consumer's
own connection and handshake, which the others have open by then. It stops after the consumer is left, which sends the
last acknowledgements.
"""

from __future__ import annotations

from typing import Any

from benchmarks.contestants.loops import TASKS, in_tasks, run
from benchmarks.entries import POOL
from benchmarks.job import Job


def connect_asyncio(job: Job) -> Any:
    from transports.asyncio import connect

    return connect(job.url)


def connect_trio(job: Job) -> Any:
    from transports.trio import connect

    return connect(job.url)


def connect_blocking(job: Job) -> Any:
    from transports.blocking import connect

    return connect(job.url)


def group_consumer(client: Any, job: Job, **options: Any) -> Any:
    options |= {name: value for name, value in job.options.items() if name in ("fenced", "detect_gaps")}
    return client.group_consumer(job.stream, group=job.group, consumer=job.consumer, count=job.count, **options)


def consumer(client: Any, job: Job) -> Any:
    return client.consumer({job.stream: "0"}, count=job.count)


# -- groups ----------------------------------------------------------------------------------------------------------


async def _group(connection: Any, job: Job) -> None:
    seen, n = 0, job.n
    async with connection as client:
        job.start()
        async with group_consumer(client, job) as entries:
            async for entry in entries:
                entry.ack()
                seen += 1
                if seen == n:
                    break
        job.finish(seen)


async def _group_fields(connection: Any, job: Job) -> None:
    """The same, for a handler that looks at every field."""
    seen, n = 0, job.n
    async with connection as client:
        job.start()
        async with group_consumer(client, job) as entries:
            async for entry in entries:
                dict(entry.fields)
                entry.ack()
                seen += 1
                if seen == n:
                    break
        job.finish(seen)


async def _group_batches(connection: Any, job: Job) -> None:
    seen, n = 0, job.n
    async with connection as client:
        job.start()
        async with group_consumer(client, job) as entries:
            async for batch in entries.batches():
                batch.ack()
                seen += len(batch)
                if seen >= n:
                    break
        job.finish(seen)


async def _group_asyncio(job: Job) -> None:
    await _group(connect_asyncio(job), job)


async def _group_asyncio_fields(job: Job) -> None:
    await _group_fields(connect_asyncio(job), job)


async def _group_asyncio_batches(job: Job) -> None:
    await _group_batches(connect_asyncio(job), job)


def group_asyncio(job: Job) -> None:
    run(job, _group_asyncio)


def group_asyncio_fields(job: Job) -> None:
    run(job, _group_asyncio_fields)


def group_asyncio_batches(job: Job) -> None:
    run(job, _group_asyncio_batches)


def group_trio(job: Job) -> None:
    import trio

    trio.run(_group, connect_trio(job), job)


def group_trio_batches(job: Job) -> None:
    import trio

    trio.run(_group_batches, connect_trio(job), job)


def group_blocking(job: Job) -> None:
    seen, n = 0, job.n
    with connect_blocking(job) as client:
        job.start()
        with group_consumer(client, job, background=job.options["background"]) as entries:
            for entry in entries:
                entry.ack()
                seen += 1
                if seen == n:
                    break
        job.finish(seen)


def group_blocking_batches(job: Job) -> None:
    seen, n = 0, job.n
    with connect_blocking(job) as client:
        job.start()
        with group_consumer(client, job, background=job.options["background"]) as entries:
            for batch in entries.batches():
                batch.ack()
                seen += len(batch)
                if seen >= n:
                    break
        job.finish(seen)


# -- following -------------------------------------------------------------------------------------------------------


async def _follow(connection: Any, job: Job) -> None:
    seen, n = 0, job.n
    async with connection as client:
        job.start()
        async with consumer(client, job) as entries:
            async for _entry in entries:
                seen += 1
                if seen == n:
                    break
        job.finish(seen)


async def _follow_batches(connection: Any, job: Job) -> None:
    seen, n = 0, job.n
    async with connection as client:
        job.start()
        async with consumer(client, job) as entries:
            async for batch in entries.batches():
                seen += len(batch)
                if seen >= n:
                    break
        job.finish(seen)


async def _follow_asyncio(job: Job) -> None:
    await _follow(connect_asyncio(job), job)


async def _follow_asyncio_batches(job: Job) -> None:
    await _follow_batches(connect_asyncio(job), job)


def follow_asyncio(job: Job) -> None:
    run(job, _follow_asyncio)


def follow_asyncio_batches(job: Job) -> None:
    run(job, _follow_asyncio_batches)


def follow_trio(job: Job) -> None:
    import trio

    trio.run(_follow, connect_trio(job), job)


def follow_blocking(job: Job) -> None:
    seen, n = 0, job.n
    with connect_blocking(job) as client:
        job.start()
        with consumer(client, job) as entries:
            for _entry in entries:
                seen += 1
                if seen == n:
                    break
        job.finish(seen)


# -- producing -------------------------------------------------------------------------------------------------------


async def _xadd_tasks(job: Job) -> None:
    pool = job.fields()
    async with connect_asyncio(job) as client:
        await client.ping()
        job.start()
        job.finish(await in_tasks(job.n, lambda number: client.xadd(job.stream, pool[number % POOL])))


async def _xadd_tasks_trio(job: Job) -> None:
    import trio

    pool, counts = job.fields(), []
    async with connect_trio(job) as client:
        await client.ping()

        async def task(numbers: range) -> None:
            done = 0
            for number in numbers:
                await client.xadd(job.stream, pool[number % POOL])
                done += 1
            counts.append(done)

        job.start()
        async with trio.open_nursery() as nursery:
            for first in range(TASKS):
                nursery.start_soon(task, range(first, job.n, TASKS))
        job.finish(sum(counts))


async def _producer_tasks(job: Job) -> None:
    pool = job.fields()
    async with connect_asyncio(job) as client:
        job.start()
        async with client.producer(job.stream) as producer:
            seen = await in_tasks(job.n, lambda number: producer.send(pool[number % POOL]))
        job.finish(seen)


async def _producer_many(job: Job) -> None:
    pool, size, seen = job.fields(), job.options["size"], 0
    chunks = [pool[first : first + size] for first in range(0, POOL, size)] * (job.n // POOL)
    async with connect_asyncio(job) as client:
        job.start()
        async with client.producer(job.stream) as producer:
            for chunk in chunks:
                seen += len(await producer.send_many(chunk))
        job.finish(seen)


async def _producer_nowait(job: Job) -> None:
    pool = job.fields()
    async with connect_asyncio(job) as client:
        job.start()
        async with client.producer(job.stream) as producer:
            sent = [await producer.send_nowait(pool[number % POOL]) for number in range(job.n)]
            await producer.flush()
        job.finish(len([entry.id for entry in sent]))


async def _producer_many_once(job: Job) -> None:
    pool, size, seen = job.fields(), job.options["size"], 0
    chunks = [pool[first : first + size] for first in range(0, POOL, size)] * (job.n // POOL)
    async with connect_asyncio(job) as client:
        job.start()
        async with client.producer(job.stream, idempotent=True) as producer:
            for chunk in chunks:
                seen += len(await producer.send_many(chunk))
        job.finish(seen)


def xadd_tasks_asyncio(job: Job) -> None:
    run(job, _xadd_tasks)


def xadd_tasks_trio(job: Job) -> None:
    import trio

    trio.run(_xadd_tasks_trio, job)


def producer_tasks_asyncio(job: Job) -> None:
    run(job, _producer_tasks)


def producer_many_asyncio(job: Job) -> None:
    run(job, _producer_many)


def producer_nowait_asyncio(job: Job) -> None:
    run(job, _producer_nowait)


def producer_many_once_asyncio(job: Job) -> None:
    run(job, _producer_many_once)


def producer_nowait_blocking(job: Job) -> None:
    pool = job.fields()
    with connect_blocking(job) as client:
        job.start()
        with client.producer(job.stream, linger=job.options["linger"]) as producer:
            sent = [producer.send_nowait(pool[number % POOL]) for number in range(job.n)]
            producer.flush()
        job.finish(len([entry.id for entry in sent]))


def producer_many_blocking(job: Job) -> None:
    pool, size, seen = job.fields(), job.options["size"], 0
    chunks = [pool[first : first + size] for first in range(0, POOL, size)] * (job.n // POOL)
    with connect_blocking(job) as client:
        job.start()
        with client.producer(job.stream) as producer:
            for chunk in chunks:
                seen += len(producer.send_many(chunk))
        job.finish(seen)


# -- latency ---------------------------------------------------------------------------------------------------------


async def _latency(connection: Any, job: Job) -> None:
    in_group = job.options["kind"] == "group"
    async with connection as client, (group_consumer if in_group else consumer)(client, job) as entries:
        job.ready()
        async for entry in entries:
            last = job.sample(entry["sent"])
            if in_group:
                entry.ack()
            if last:
                break


async def _latency_asyncio(job: Job) -> None:
    await _latency(connect_asyncio(job), job)


def latency_asyncio(job: Job) -> None:
    run(job, _latency_asyncio)


def latency_trio(job: Job) -> None:
    import trio

    trio.run(_latency, connect_trio(job), job)


def latency_blocking(job: Job) -> None:
    in_group = job.options["kind"] == "group"
    options = {"background": job.options["background"]} if "background" in job.options else {}
    with connect_blocking(job) as client:
        entries_of = group_consumer(client, job, **options) if in_group else consumer(client, job)
        with entries_of as entries:
            job.ready()
            for entry in entries:
                last = job.sample(entry["sent"])
                if in_group:
                    entry.ack()
                if last:
                    break


# -- pub/sub ---------------------------------------------------------------------------------------------------------


async def _pubsub(connection: Any, job: Job) -> None:
    seen = 0
    async with connection as client, client.pubsub(channels=[job.stream]) as pubsub:
        job.ready()
        async for _message in pubsub:
            if not seen:
                job.start()
            elif seen == job.n:
                break
            seen += 1
        job.finish(seen)


async def _pubsub_asyncio(job: Job) -> None:
    await _pubsub(connect_asyncio(job), job)


def pubsub_asyncio(job: Job) -> None:
    run(job, _pubsub_asyncio)


def pubsub_trio(job: Job) -> None:
    import trio

    trio.run(_pubsub, connect_trio(job), job)


def pubsub_blocking(job: Job) -> None:
    seen = 0
    options = {"background": job.options["background"]} if "background" in job.options else {}
    with connect_blocking(job) as client, client.pubsub(channels=[job.stream], **options) as pubsub:
        job.ready()
        for _message in pubsub:
            if not seen:
                job.start()
            elif seen == job.n:
                break
            seen += 1
        job.finish(seen)
