"""Waits that are given up at any moment: a waiter is lost, and nothing else."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from streamcore.commands import get
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime, Task
from tests.transports.steps import add, clients, drain, pending, take_and_ack
from transports.anyio import Client, GroupConsumer
from transports.embedded import EmbeddedServer

MANY = 1000


async def test_a_thousand_waits_for_entries(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """By whatever means a runtime has; threads by ``timeout``. No entry is lost, doubled, or out of order."""
    draw = random.Random(5)
    sent: list[int] = []

    async def produce() -> None:
        with Raw(server.address) as mine:
            while len(given_up) < MANY:
                more = range(len(sent), len(sent) + draw.randrange(1, 8))
                add(mine, more)
                sent.extend(more)
                await runtime.sleep(draw.choice([0.0, 0.001, 0.003]))

    given_up: list[None] = []
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", count=4, claim_idle=None) as consumer,
        runtime.tasks() as tasks,
    ):
        producing = tasks.start(produce)
        numbers: list[int] = []
        while len(given_up) < MANY:
            entry = await runtime.briefly(draw.choice([0, 0.0001, 0.0005, 0.001]), consumer.get)
            if entry is None:
                given_up.append(None)
            else:
                numbers.append(int(entry["n"]))
                entry.ack()
        await producing.result()
        numbers += await drain(consumer, len(sent) - len(numbers))
        assert numbers == sent
        assert await consumer.flush()
        assert pending(raw) == 0


@pytest.mark.runtimes("async")
async def test_tasks_cancelled_from_outside(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """A task that is cancelled at any moment has its entry, or has left it to the next one."""
    draw = random.Random(6)
    numbers: list[int] = []

    async def consume(consumer: GroupConsumer[Any]) -> None:
        async for entry in consumer:
            numbers.append(int(entry["n"]))
            entry.ack()

    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", count=3) as consumer:
        for n in range(0, 600, 3):
            add(raw, range(n, n + 3))
            async with runtime.tasks() as tasks:
                consuming: Task[None] = tasks.start(consume, consumer)
                await runtime.sleep(draw.choice([0.0, 0.0, 0.0003, 0.001]))
                consuming.cancel()
        numbers += await drain(consumer, 600 - len(numbers))
    assert numbers == list(range(600))
    assert pending(raw) == 0


@pytest.mark.runtimes("async")
async def test_a_thousand_requests(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """Whoever is still there gets the own reply, never that of somebody who has left."""
    for n in range(40):
        raw("SET", f"key{n}", n)
    given_up: list[None] = []
    done: list[None] = []

    async def work(client: Client, n: int) -> None:
        draw = random.Random(n)
        while len(given_up) < MANY:
            seconds = draw.choice([0, 0.0002, 0.0005, 0.001, 0.05])
            if draw.random() < 0.5:
                reply: Any = await runtime.briefly(seconds, client.get, f"key{n}")
                expected: Any = b"%d" % n
            else:
                reply = await runtime.briefly(seconds, client.pipeline, [get(f"key{n}"), get("none"), get(f"key{n}")])
                expected = [b"%d" % n, None, b"%d" % n]
            (given_up if reply is None else done).append(None)
            assert reply is None or reply == expected
        assert await client.get(f"key{n}") == b"%d" % n

    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        for n in range(40):
            tasks.start(work, client, n)
    assert len(done) > 100


@pytest.mark.runtimes("async")
async def test_entries_whose_sender_left(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """Cancelled before the write it is not sent, after the write it is: in the stream once at most."""
    draw = random.Random(8)
    sure: list[int] = []
    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        for n in range(300):
            id_ = await runtime.briefly(draw.choice([0, 0.0001, 0.0003, 0.001]), producer.send, {"n": n})
            sure += [] if id_ is None else [n]
        await producer.send({"n": 300})
    numbers = [int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")]
    assert numbers == sorted(set(numbers))
    assert set(sure) <= set(numbers)


@pytest.mark.runtimes("async")
async def test_entering_and_leaving(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """Cancelled anywhere between dialling and closing, no connection is left behind."""
    draw = random.Random(9)
    add(raw, range(10))
    entered: list[None] = []

    async def come_and_go() -> None:
        async with (
            runtime.connect(server.url) as client,
            client.consumer({"s": "0"}) as follower,
            client.group_consumer("s", group="g") as consumer,
            client.producer("p") as producer,
        ):
            entered.append(None)
            await anext(follower)
            await producer.send({"n": 0})
            await anext(consumer)
            await consumer.flush()

    durations: list[float] = []
    for _ in range(3):
        began = time.monotonic()
        await come_and_go()
        durations.append(time.monotonic() - began)
    duration = min(*durations, 0.1)  # else a machine that stalls would make it a hundred stalls
    for _ in range(100):
        await runtime.briefly(draw.uniform(0, duration), come_and_go)
    await runtime.until(lambda: not clients(raw))
    assert 3 < len(entered) < 103


@pytest.mark.runtimes("async")
async def test_a_cancelled_block_sends_its_acknowledgements(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(20))
    handled = runtime.flag()

    async def consume() -> None:
        async with (
            runtime.connect(server.url) as client,
            client.group_consumer("s", group="g", ack_delay=5) as consumer,
        ):
            await take_and_ack(consumer, 15)
            handled.set()
            await runtime.sleep(60)

    async with runtime.tasks() as tasks:
        consuming = tasks.start(consume)
        await handled.wait()
        consuming.cancel()
    assert pending(raw) == 5
    await runtime.until(lambda: not clients(raw))
