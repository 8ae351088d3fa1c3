"""Connections that break: nothing is lost, nothing comes twice, and the consumer goes on."""

from __future__ import annotations

import random
import threading
from contextlib import suppress

import pytest

from streamcore import ConnectionLost, StreamcoreError
from streamcore.events import Disconnected, EntriesRecovered, Event, Reconnected
from tests.support.proxy import Direction, Proxy
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, answer, blocked, entered, pending, take, take_and_ack
from transports.embedded import EmbeddedServer


def kill_all(raw: Raw) -> None:
    raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.mark.every_server
async def test_client_kill_in_the_middle_of_a_batch(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(500))
    events: list[Event] = []
    async with runtime.connect(server.url, on_event=events.append) as client:
        async with client.group_consumer("s", group="g", count=50) as consumer:
            numbers = await take_and_ack(consumer, 20)
            for _ in range(5):
                kill_all(raw)
                numbers += await take_and_ack(consumer, 90)
            numbers += await take_and_ack(consumer, 30)
            assert numbers == list(range(500))  # one process sees each entry once, and in order
            assert await consumer.get(timeout=0.05) is None
        assert pending(raw) == 0
        kinds = {type(event) for event in events}
        assert {Disconnected, Reconnected} <= kinds


@pytest.mark.every_server
async def test_client_kill_while_waiting(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}) as follower,
        client.group_consumer("s", group="g") as consumer,
        runtime.tasks() as tasks,
    ):
        for n in range(5):
            following, consuming = tasks.start(take, follower, 1), tasks.start(take_and_ack, consumer, 1)
            await blocked(runtime, raw, 2)
            kill_all(raw)
            add(raw, [n])
            assert await following.result() == await consuming.result() == [n]
    assert pending(raw) == 0


async def test_new_from_now_on_is_asked_once(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    """What is added while there is no connection counts as new, too."""
    async with runtime.connect(proxy.url) as client, client.consumer({"s": "$"}) as consumer:
        proxy.refuse()
        proxy.cut()
        add(raw, range(3))
        proxy.accept()
        assert await take(consumer, 3) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(3))
async def test_cuts_at_random_places_of_frames(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, seed: int
) -> None:
    """Both consumers see every entry exactly once, wherever in a request or a reply the connection ends."""
    draw = random.Random(seed)
    events: list[Event] = []
    async with (
        runtime.connect(proxy.url, on_event=events.append) as client,
        client.consumer({"s": "0"}, count=7) as follower,
        client.group_consumer("s", group="g", count=7, claim_idle=None) as consumer,
    ):
        expected = 0
        for _ in range(12):
            direction: Direction = draw.choice(["upstream", "downstream"])
            proxy.cut_after(draw.randrange(1, 2500), direction, hard=draw.random() < 0.5)
            more = draw.randrange(20, 60)
            add(raw, range(expected, expected + more))
            followed = await take(follower, more)
            consumed = await take_and_ack(consumer, more)
            assert followed == list(range(expected, expected + more))
            assert sorted(consumed) == followed
            expected += more
        assert await consumer.flush()
        assert await follower.get(timeout=0) is await consumer.get(timeout=0) is None
    assert pending(raw) == 0
    assert sum(isinstance(event, Reconnected) for event in events) >= 5


async def test_an_acknowledgement_whose_answer_is_lost(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    add(raw, range(10))
    events: list[Event] = []
    async with (
        runtime.connect(proxy.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", ack_delay=5) as consumer,
        runtime.tasks() as tasks,
    ):
        entries = [await anext(consumer) for _ in range(10)]
        assert await consumer.get(timeout=0.1) is None  # the next read waits in the server
        entries[0].ack()
        assert await consumer.flush()  # the link for acknowledgements is there
        proxy.freeze("downstream", swallow=True)  # the server acts, and we never hear of it
        for entry in entries[1:]:
            entry.ack()
        flushing = tasks.start(consumer.flush)
        await runtime.until(lambda: pending(raw) == 0)
        proxy.cut()
        proxy.thaw()
        assert await flushing.result()  # the repeated one is confirmed
        add(raw, [10])
        assert await take_and_ack(consumer, 1) == [10]
    assert pending(raw) == 0
    assert "AckMissed" not in {type(event).__name__ for event in events}


async def test_entries_whose_reply_is_lost(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(proxy.url, on_event=events.append) as client,
        client.group_consumer("s", group="g") as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(take_and_ack, consumer, 5)
        await blocked(runtime, raw)
        proxy.freeze("downstream", swallow=True)
        add(raw, range(5))
        await runtime.until(lambda: pending(raw) > 0)
        proxy.cut()
        proxy.thaw()
        assert sorted(await waiting.result()) == list(range(5))
    assert pending(raw) == 0
    assert any(isinstance(event, EntriesRecovered) for event in events)


@pytest.mark.every_server
async def test_the_server_is_killed_and_comes_back(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    """Under ``appendfsync always`` the pending list survives; nothing is lost, only what is unacknowledged may repeat."""
    server = fresh_server
    with Raw(server.address) as raw:
        add(raw, range(200))
    async with (
        runtime.connect(server.url) as client,
        client.producer("s") as producer,
        client.group_consumer("s", group="g", count=20) as consumer,
    ):
        numbers = await take_and_ack(consumer, 50)
        assert await consumer.flush()
        numbers += await take_and_ack(consumer, 25)
        server.kill()
        server.restart()
        numbers += await take_and_ack(consumer, 125)
        assert sorted(numbers) == list(range(200))
        await producer.send({"n": 200})
        assert await take_and_ack(consumer, 1) == [200]
        assert await consumer.get(timeout=0.05) is None
    with Raw(server.address) as raw:
        assert pending(raw) == 0


async def test_a_server_without_memory_of_us(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """Restarted with nothing in it: the group is created again, and the consumers go on with what is new."""
    add(raw, range(5))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        assert await take_and_ack(consumer, 5) == list(range(5))
        server.kill()
        server.restart()
        with Raw(server.address) as raw_again:
            add(raw_again, [5])
            assert await take_and_ack(consumer, 1) == [5]


async def test_a_server_that_is_loading(
    runtime: Runtime, server_kind: ServerKind, log: pytest.LogCaptureFixture
) -> None:
    delay = {"key-load-delay": "50"}  # microseconds per command; every 1024 commands it looks at its clients
    with server_kind.create(appendonly="everysec", config=delay) as server:
        with Raw(server.address) as raw:
            raw("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
            add(raw, range(4000), "other")
            raw("CONFIG", "SET", "appendfsync", "always")
            add(raw, range(10))
        async with (
            runtime.connect(server.url) as client,
            client.group_consumer("s", group="g") as consumer,
            runtime.tasks() as tasks,
        ):
            assert await take_and_ack(consumer, 10) == list(range(10))
            waiting = tasks.start(take_and_ack, consumer, 1)
            while "LOADING" not in log.text:  # it may have been loaded before anybody asked
                server.kill()
                restarting = threading.Thread(target=server.restart)
                restarting.start()
                await runtime.until(lambda: "LOADING" in log.text or not restarting.is_alive())  # noqa: B023
                restarting.join()
            with Raw(server.address) as raw:
                add(raw, [10])
            assert await waiting.result() == [10]


@pytest.mark.every_server
async def test_a_primary_that_becomes_a_replica_and_returns(
    runtime: Runtime, fresh_server: EmbeddedServer, log: pytest.LogCaptureFixture
) -> None:
    server = fresh_server
    with Raw(server.address) as raw:
        async with (
            entered(lambda: runtime.connect(server.url, request_timeout=0.5)) as client,
            entered(lambda: client.group_consumer("s", group="g")) as consumer,
            runtime.tasks() as tasks,
        ):
            add(raw, [0])
            assert await take_and_ack(consumer, 1) == [0]
            waiting = tasks.start(take_and_ack, consumer, 3)
            await blocked(runtime, raw)
            raw("REPLICAOF", "127.0.0.1", 1)
            await runtime.until(lambda: "READONLY" in log.text)
            with pytest.raises(StreamcoreError, match="READONLY"):
                await answer(client.incr, "n")
            raw("REPLICAOF", "NO", "ONE")
            add(raw, [1, 2, 3])
            assert sorted(await waiting.result()) == [1, 2, 3]
            while not raw("EXISTS", "n"):
                with suppress(ConnectionLost):  # the back-off may have grown beyond the request timeout
                    assert await client.incr("n") == 1
        assert pending(raw) == 0
