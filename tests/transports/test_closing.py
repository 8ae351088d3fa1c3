"""Uses at the wrong time: before entering, after leaving, by two at once, in a forked child."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamcore import ClosedError, ConcurrentUseError, ConnectionLost, ForkedError
from streamcore.commands import ping
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import HASTE, add, blocked, clients, entered, take, take_and_ack
from transports.anyio import Client, Consumer, GroupConsumer, Producer
from transports.embedded import EmbeddedServer

# -- before and after --------------------------------------------------------------------------------------------------


async def each_use_raises(
    expected: type[Exception],
    text: str,
    client: Client,
    consumer: Consumer[Any],
    group: GroupConsumer[Any],
    producer: Producer,
) -> None:
    uses: list[Callable[[], Awaitable[object]]] = [
        client.ping,
        lambda: client.pipeline([ping()]),
        lambda: consumer.get(timeout=1),
        lambda: anext(consumer),
        lambda: anext(consumer.batches()),
        lambda: group.get(timeout=1),
        lambda: anext(group.batches()),
        group.flush,
        lambda: producer.send({"n": 1}),
        lambda: producer.send_many([{"n": 1}]),
    ]
    for use in uses:
        with pytest.raises(expected, match=text):
            await use()


async def test_before_entering_and_after_leaving(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(300))
    client = runtime.connect(server.url)
    parts = client.consumer({"s": "0"}), client.group_consumer("s", group="g"), client.producer("s")
    await each_use_raises(ClosedError, "is not open: enter it first", client, *parts)
    async with client:
        await each_use_raises(ClosedError, "is not open: enter it first", runtime.connect(server.url), *parts)
        consumer, group, producer = parts
        async with consumer, group, producer:
            assert await take(consumer, 50) == await take_and_ack(group, 50)
    await each_use_raises(ClosedError, "is closed; open a new one", client, *parts)
    for one in (client, *parts):
        with pytest.raises(ClosedError, match="is closed; open a new one"):
            await one.__aenter__()
        await one.aclose()  # again does nothing
    with pytest.raises(ClosedError):
        client.consumer("s")


async def test_entering_twice(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        with pytest.raises(ConcurrentUseError, match="is open already"):
            await client.__aenter__()
        assert await client.ping() == b"PONG"
        async with client.consumer("s") as consumer:
            with pytest.raises(ConcurrentUseError, match="is open already"):
                await consumer.__aenter__()


# -- while somebody waits ----------------------------------------------------------------------------------------------


async def test_closing_the_client_while_others_wait(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.tasks() as tasks,
        runtime.connect(server.url) as client,
        client.consumer("s") as consumer,
        client.group_consumer("s", group="g") as group,
    ):
        waiting = [tasks.start(anext, consumer), tasks.start(anext, group.batches())]
        await blocked(runtime, raw, 2)
        began = time.monotonic()
        await client.aclose()
        errors = [await task.raised() for task in waiting]
        assert time.monotonic() - began < 2
    assert [type(error) for error in errors] == [ClosedError, ClosedError]
    await runtime.until(lambda: not clients(raw))


async def test_closing_the_client_while_the_server_is_away(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, log: pytest.LogCaptureFixture
) -> None:
    async with runtime.tasks() as tasks, runtime.connect(proxy.url) as client, client.consumer("s") as consumer:
        waiting = [tasks.start(anext, consumer), tasks.start(client.incr, "n")]
        await waiting[1].result()
        await blocked(runtime, raw)
        proxy.refuse()
        proxy.cut()
        await runtime.until(lambda: log.text.count("ConnectAttemptFailed") >= 4)
        waiting[1] = tasks.start(client.incr, "n")
        await runtime.sleep(0.1)
        await client.aclose()
        assert isinstance(await waiting[0].raised(), ClosedError)
        error = await waiting[1].raised()
    assert isinstance(error, ConnectionLost)
    assert not error.sent
    assert "the client was closed" in str(error)


async def test_closing_while_requests_are_unanswered(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    async with runtime.tasks() as tasks, runtime.connect(proxy.url) as client:
        await client.ping()
        proxy.freeze("downstream")
        waiting = tasks.start(client.incr, "n")
        await runtime.until(lambda: raw("GET", "n") == b"1")
        await client.aclose()
        error = await waiting.raised()
    assert isinstance(error, ConnectionLost)
    assert error.sent


async def test_leaving_while_the_server_is_paused(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    """Unsettled acknowledgements are waited for, but not for ever."""
    with Raw(fresh_server.address) as raw:
        add(raw, range(5))
    try:
        async with (
            entered(lambda: runtime.connect(fresh_server.url, request_timeout=HASTE)) as client,
            entered(lambda: client.group_consumer("s", group="g", block=0.1)) as consumer,
        ):
            await take_and_ack(consumer, 5)
            fresh_server.pause()
            began = time.monotonic()
        assert time.monotonic() - began < 2
    finally:
        fresh_server.resume()


# -- by two at once ----------------------------------------------------------------------------------------------------


async def test_two_users_of_one_consumer(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.consumer("s") as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(anext, consumer)
        await blocked(runtime, raw)
        for second in (lambda: anext(consumer), lambda: consumer.get(timeout=0), lambda: anext(consumer.batches())):
            with pytest.raises(ConcurrentUseError, match="belongs to one task or thread at a time; open another one"):
                await second()
        add(raw, [0])
        assert (await waiting.result())["n"] == b"0"  # the first has not been disturbed
        add(raw, [1])
        assert (await anext(consumer))["n"] == b"1"  # one after the other they may


# -- in a forked child -------------------------------------------------------------------------------------------------


def test_a_client_that_was_not_entered_is_nobodys_yet(runtime: Runtime, server: EmbeddedServer) -> None:
    """As of a module that makes its client when it is imported, in a server that forks its workers then."""
    client = runtime.connect(server.url)

    async def use(name: str) -> None:
        async with client, client.producer(name) as producer:
            await producer.send({"n": 1})
            assert await client.xlen(name) == 1
            if name == "parent":
                pid = os.fork()
                if not pid:
                    os._exit(0 if await is_refused() else 1)
                assert os.waitpid(pid, 0)[1] == 0

    async def is_refused() -> bool:
        with pytest.raises(ForkedError):
            await client.ping()
        return True

    pid = os.fork()
    if not pid:
        status = 1
        try:
            runtime.run(lambda: use("child"))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    runtime.run(lambda: use("parent"))


async def test_a_forked_child(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(300))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}) as consumer,
        client.group_consumer("s", group="g") as group,
        client.producer("s") as producer,
    ):
        assert await take(consumer, 50) == await take_and_ack(group, 50) == list(range(50))
        pid = os.fork()
        if not pid:
            status = 1
            try:
                expected = "belongs to the parent process; call connect"
                await each_use_raises(ForkedError, expected, client, consumer, group, producer)
                for closing in (group, consumer, producer, client):
                    await closing.aclose()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        assert status == 0
        assert await take(consumer, 250) == await take_and_ack(group, 250) == list(range(50, 300))
        await producer.send({"n": 300})
        assert await take(consumer, 1) == await take_and_ack(group, 1) == [300]
        assert await client.ping() == b"PONG"
