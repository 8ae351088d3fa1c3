"""Connections that look alive and are not: found within ``block`` and the request timeout, and survived."""

from __future__ import annotations

import time

import pytest

from streamcore import ConnectionLost
from streamcore.events import Disconnected, Event, StaleConnectionKilled
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import HASTE, add, answer, blocked, clients, entered, pending, take, take_and_ack
from transports.embedded import EmbeddedServer

TIMES = {"request_timeout": HASTE, "connect_timeout": HASTE}
BLOCK = 0.3


async def test_a_silent_network(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    events: list[Event] = []
    async with (
        entered(lambda: runtime.connect(proxy.url, on_event=events.append, **TIMES)) as client,
        entered(lambda: client.consumer({"s": "0"}, block=BLOCK)) as follower,
        entered(lambda: client.group_consumer("s", group="g", block=BLOCK)) as consumer,
        runtime.tasks() as tasks,
    ):
        following, consuming = tasks.start(take, follower, 3), tasks.start(take_and_ack, consumer, 3)
        await blocked(runtime, raw, 2)
        add(raw, [0])
        await runtime.sleep(0.05)
        proxy.freeze(swallow=True)
        add(raw, [1])
        before = proxy.accepted
        began = time.monotonic()
        await runtime.until(lambda: proxy.accepted >= before + 2)  # both have given up, and dialled again
        assert time.monotonic() - began < BLOCK + HASTE + 3
        proxy.thaw()
        add(raw, [2])
        assert await following.result() == sorted(await consuming.result()) == [0, 1, 2]
        assert await consumer.flush(timeout=5)
        assert pending(raw) == 0
    assert sum(isinstance(event, Disconnected) for event in events) >= 2


async def test_a_stopped_server(runtime: Runtime, fresh_server: EmbeddedServer, log: pytest.LogCaptureFixture) -> None:
    server = fresh_server
    with Raw(server.address) as raw:
        async with (
            entered(lambda: runtime.connect(server.url, **TIMES)) as client,
            entered(lambda: client.consumer({"s": "0"}, block=BLOCK)) as follower,
            entered(lambda: client.group_consumer("s", group="g", block=BLOCK)) as consumer,
            runtime.tasks() as tasks,
        ):
            add(raw, [0])
            assert await take(follower, 1) == await take_and_ack(consumer, 1) == [0]
            following, consuming = tasks.start(take, follower, 1), tasks.start(take_and_ack, consumer, 1)
            await runtime.sleep(0.02)
            server.pause()
            try:
                with pytest.raises(ConnectionLost) as caught:
                    await client.incr("n")
                assert caught.value.sent
                await runtime.until(
                    lambda: log.text.count(" of s Disconnected") + log.text.count(" on s Disconnected") >= 2
                )
            finally:
                server.resume()
            add(raw, [1])
            assert await following.result() == await consuming.result() == [1]
            assert await answer(client.ping) == b"PONG"
        assert pending(raw) == 0


@pytest.mark.every_server
async def test_a_ghost_is_killed_before_it_takes_more(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    """The server holds our old connection, blocked in its read, and serves it first."""
    events: list[Event] = []
    async with (
        runtime.connect(proxy.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", consumer="me") as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(take_and_ack, consumer, 2)
        await blocked(runtime, raw)
        [ghost] = clients(raw, "xreadgroup")
        proxy.abandon(told="client")
        add(raw, [0])  # nobody but the ghost is there to take it
        await runtime.until(lambda: clients(raw, "xreadgroup") and ghost["id"] not in {c["id"] for c in clients(raw)})
        add(raw, [1])
        began = time.monotonic()
        assert sorted(await waiting.result()) == [0, 1]
        assert time.monotonic() - began < 2
        assert await consumer.flush()
        assert pending(raw) == 0
    assert [event for event in events if isinstance(event, StaleConnectionKilled)] == [
        StaleConnectionKilled(int(ghost["id"]))
    ]


async def test_the_ghost_of_an_earlier_run(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    """A crashed process left a blocked reader under our name; what it takes is found by the audit."""
    raw("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    with Raw(server.address) as ghost:
        ghost.send("XREADGROUP", "GROUP", "g", "me", "BLOCK", 0, "STREAMS", "s", ">")
        await blocked(runtime, raw)
        async with (
            runtime.connect(server.url) as client,
            client.group_consumer("s", group="g", consumer="me", audit_interval=0.2, block=0.1) as consumer,
        ):
            add(raw, [0])
            add(raw, [1])
            assert ghost.read()
            assert sorted(await take_and_ack(consumer, 2)) == [0, 1]
            assert await consumer.flush()
            assert pending(raw) == 0


async def test_a_stalled_handler_keeps_its_connection(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """While the application is slow, or even blocks its event loop, nobody is blamed for silence."""
    add(raw, range(2000))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append, request_timeout=1.0) as client,
        client.group_consumer("s", group="g", block=0.1, count=10) as consumer,
    ):
        assert await take_and_ack(consumer, 5) == list(range(5))
        await runtime.sleep(1.3)
        assert await take_and_ack(consumer, 95) == list(range(5, 100))
        time.sleep(1.3)
        assert await take_and_ack(consumer, 30) == list(range(100, 130))
    assert not [event for event in events if isinstance(event, Disconnected)]
