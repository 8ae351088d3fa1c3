"""Mistakes that people make in their first hour: each is told at once, in words that say what to do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import trio

import transports.asyncio
import transports.trio
from streamcore import ClosedError, ConcurrentUseError, InvalidArgument
from streamcore.commands import ping
from streamcore.events import HandlerFailed
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, drain
from transports import blocking
from transports.embedded import EmbeddedServer

GUESSES: dict[str, tuple[Callable[[Any], object], str]] = {
    "a misspelt name": (lambda c: c.group_consumer("s", group="g", consumr="me"), r"group_consumer.*mean 'consumer'\?"),
    "a misspelt option": (lambda c: c.group_consumer("s", group="g", max_delivery=3), "mean 'max_deliveries'"),
    "an option of another call": (lambda c: c.consumer("s", group="g"), r"consumer\(\) got .*'group'; it takes decode"),
    "a producer's": (lambda c: c.producer("s", max_len=3), r"producer\(\) got .*mean 'maxlen'"),
    "a subscriber's": (lambda c: c.pubsub("s", pattern="t"), r"pubsub\(\) got .*mean 'patterns'"),
    "a shard subscriber's": (lambda c: c.sharded_pubsub("s", chanel_handlers={}), "mean 'channel_handlers'"),
    "key events'": (lambda c: c.key_events("s", db=3), r"key_events\(\) got .*it takes database"),
}


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("connect", [transports.asyncio.connect, blocking.connect], ids=["asyncio", "threads"])
def test_an_unknown_keyword_is_told_with_what_may_have_been_meant(connect: Callable[[], Any], guess: str) -> None:
    call, words = GUESSES[guess]
    with pytest.raises(TypeError, match=words):
        call(connect())


def test_a_keyword_that_connect_does_not_know() -> None:
    connect: Any = blocking.connect
    with pytest.raises(TypeError, match=r"connect\(\) got .*'host'; it takes url, username"):
        connect(host="localhost")


@pytest.mark.parametrize("name", ["consumer", "group_consumer", "producer", "pubsub", "sharded_pubsub", "key_events"])
@pytest.mark.parametrize("connect", [transports.asyncio.connect, blocking.connect], ids=["asyncio", "threads"])
def test_each_keyword_of_a_signature_is_among_those_that_are_listed(connect: Callable[[], Any], name: str) -> None:
    method = getattr(connect(), name)
    with pytest.raises(TypeError) as told:
        method("s", **({"group": "g"} if name == "group_consumer" else {}), qqqqqq=1)
    listed = str(told.value).partition("it takes ")[2].split(", ")
    named = [one.name for one in inspect.signature(method).parameters.values() if one.kind is one.KEYWORD_ONLY]
    assert set(named) <= set(listed)


def test_a_coroutine_function_in_threads_acknowledges_nothing(server: EmbeddedServer) -> None:
    async def handle(entry: object) -> None: ...

    with blocking.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        client.xadd("s", {"n": 1})
        with pytest.raises(InvalidArgument, match="coroutine function, which threads cannot run"):
            consumer.run(handle)
        assert client.xpending("s", "g").entries == 1


def test_nor_is_it_a_handler_of_messages_there(server: EmbeddedServer) -> None:
    async def handle(message: object) -> None: ...

    with blocking.connect(server.url) as client, client.pubsub(channel_handlers={"news": handle}) as pubsub:
        client.publish("news", "hello")
        failed = next(one for one in pubsub.with_events() if isinstance(one, HandlerFailed))
        assert "coroutine function" in str(failed.error)


def test_a_handler_that_was_called_by_mistake(server: EmbeddedServer) -> None:
    with blocking.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        handler: Any = None  # what a call of the function has returned
        with pytest.raises(InvalidArgument, match="something to call, not None; pass the function itself"):
            consumer.run(handler)


def test_a_client_belongs_to_its_event_loop(server: EmbeddedServer) -> None:
    async def use_in_another_thread() -> None:
        async with transports.asyncio.connect(server.url) as client:
            with pytest.raises(ConcurrentUseError, match=r"another event loop.*call connect\(\) in this one"):
                await asyncio.to_thread(lambda: asyncio.run(client.execute(ping())))
            await client.ping()

    asyncio.run(use_in_another_thread())


def test_or_to_its_run_of_trio(server: EmbeddedServer) -> None:
    async def use_in_another_thread() -> None:
        async with transports.trio.connect(server.url) as client:
            with pytest.raises(ConcurrentUseError, match="another run of trio"):
                await trio.to_thread.run_sync(lambda: trio.run(client.execute, ping()))
            await client.ping()

    trio.run(use_in_another_thread)


async def test_a_client_that_is_left_first_gives_back_what_its_consumers_have_begun(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client:
        consumer = client.group_consumer("s", group="g", consumer="first")
        await consumer.__aenter__()
        (await anext(consumer)).ack()
    with pytest.raises(ClosedError, match="closed; open a new one"):
        await consumer.get(timeout=0)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="second") as second,
    ):
        assert await drain(second, 2) == [1, 2]
