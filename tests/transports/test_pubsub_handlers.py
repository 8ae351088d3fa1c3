"""Handlers of messages: called instead of handing over, whatever they do and however they end."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from streamcore import ClosedError, Message
from streamcore.events import Event, HandlerFailed
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.test_pubsub import pumped_until, take
from transports.blocking import connect
from transports.embedded import EmbeddedServer


async def test_handlers_are_called_instead_of_handing_over(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    plain: list[Any] = []
    awaited: list[Any] = []

    async def handler(message: Message[str]) -> None:
        await runtime.sleep(0)
        awaited.append(message.data)

    async with (
        runtime.connect(server.url) as client,
        client.pubsub(
            ["handed"], channel_handlers={"a": plain.append}, pattern_handlers={"p*": handler}, decode="utf-8"
        ) as pubsub,
    ):
        await pubsub.subscribe({"b b": handler}, c=plain.append)
        for channel in ("a", "px", "b b", "c", "handed"):
            raw("PUBLISH", channel, channel)
        assert await take(pubsub, 1) == ["handed"]
        await pumped_until(pubsub, lambda: len(plain) == len(awaited) == 2)
        assert [message["data"] for message in plain] == ["a", "c"]
        assert awaited == ["px", "b b"]
        await pubsub.unsubscribe("c")
        await pubsub.subscribe("a")
        raw("PUBLISH", "a", "handed, too")
        assert await take(pubsub, 1) == ["handed, too"]


async def test_a_handler_may_subscribe_and_un_subscribe(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    seen: list[str] = []

    async def follow(message: Message[str]) -> None:
        seen.append(message.channel)
        await pubsub.subscribe({message.data: follow})
        await pubsub.unsubscribe(message.channel)

    async with (
        runtime.connect(server.url) as client,
        client.pubsub(["other"], channel_handlers={"0": follow}, decode="utf-8") as pubsub,
    ):
        for n in range(5):
            await pumped_until(pubsub, lambda n=n: raw("PUBSUB", "NUMSUB", str(n))[1])  # type: ignore[misc]  # mypy#12557
            raw("PUBLISH", n, n + 1)
            await pumped_until(pubsub, lambda n=n: len(seen) > n)  # type: ignore[misc]
        await pumped_until(pubsub, lambda: pubsub.subscriptions.confirmed == {"other", "5"})
    assert seen == ["0", "1", "2", "3", "4"]


async def test_a_failing_handler_is_told_and_the_others_go_on(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    events: list[Event] = []
    done: list[bytes] = []

    async def handler(message: Message[bytes]) -> None:
        if message.data == b"bad":
            raise RuntimeError("no")
        done.append(message.data)

    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.pubsub(channel_handlers={"a": handler}) as pubsub,
    ):
        for data in ("1", "bad", "2"):
            raw("PUBLISH", "a", data)
        await pumped_until(pubsub, lambda: len(done) == 2)
    [failed] = [event for event in events if isinstance(event, HandlerFailed)]
    assert (failed.channel, str(failed.error)) == (b"a", "no")


async def test_an_error_of_on_event_ends_the_subscriber(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    def on_event(event: Event) -> None:
        if isinstance(event, HandlerFailed):
            raise LookupError("out of here")  # noqa: TRY004  # not about types

    async def handler(message: Message[bytes]) -> None:
        raise RuntimeError("no")

    async with (
        runtime.connect(server.url, on_event=on_event) as client,
        client.pubsub(channel_handlers={"a": handler}) as pubsub,
    ):
        raw("PUBLISH", "a", "1")
        with pytest.raises(LookupError, match="out of here"):
            await pumped_until(pubsub, lambda: False)


async def test_a_handler_may_close_its_subscriber(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async def handler(message: Message[bytes]) -> None:
        await pubsub.aclose()
        closed.append(message)

    closed: list[Any] = []
    async with runtime.connect(server.url) as client, client.pubsub(channel_handlers={"a": handler}) as pubsub:
        raw("PUBLISH", "a", "1")
        with pytest.raises(ClosedError):
            await pumped_until(pubsub, lambda: False)
        await runtime.until(lambda: closed)


@pytest.mark.runtimes("async")
async def test_leaving_cancels_a_handler_that_waits(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    began, ended = runtime.flag(), []

    async def handler(message: Message[bytes]) -> None:
        began.set()
        try:
            await runtime.sleep(60)
        finally:
            ended.append(message)

    async with runtime.connect(server.url) as client, client.pubsub(channel_handlers={"a": handler}):
        raw("PUBLISH", "a", "1")
        await began.wait()
    assert ended


@pytest.mark.runtimes("asyncio", "anyio-asyncio")
async def test_a_handler_that_awaits_something_cancelled_is_told(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    import asyncio

    events: list[Event] = []

    async def handler(message: Message[bytes]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.pubsub(channel_handlers={"a": handler}) as pubsub,
    ):
        raw("PUBLISH", "a", "1")
        await pumped_until(pubsub, lambda: [event for event in events if isinstance(event, HandlerFailed)])


async def test_once_it_is_closed_no_handler_is_called(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    handled: list[bytes] = []

    async def handler(message: Message[bytes]) -> None:
        handled.append(message.data)
        await pubsub.aclose()

    async with runtime.connect(server.url) as client:
        async with client.pubsub(channel_handlers={"a": handler}) as pubsub:
            pipeline = [("PUBLISH", "a", str(n)) for n in range(600)]
            for command in pipeline:
                raw(*command)
            with pytest.raises(ClosedError):
                await pumped_until(pubsub, lambda: False)
        assert handled == [b"0"]


def test_an_interrupted_handler_leaves_the_calls_behind_its_own(server: EmbeddedServer, raw: Raw) -> None:
    handled: list[bytes] = []

    def handler(message: Message[bytes]) -> None:
        if message.data == b"1":
            raise KeyboardInterrupt
        handled.append(message.data)

    with (
        connect(server.url) as client,
        client.pubsub(channel_handlers={"a": handler}, background=False) as pubsub,
    ):
        for n in range(4):
            raw("PUBLISH", "a", n)
        with pytest.raises(KeyboardInterrupt):
            pubsub.get_message(timeout=5)
        while len(handled) < 3:
            pubsub.get_message(timeout=0.01)
        assert handled == [b"0", b"2", b"3"]


def test_a_handler_that_exits_ends_the_subscriber_with_a_word(server: EmbeddedServer, raw: Raw) -> None:
    def handler(message: Message[bytes]) -> None:
        sys.exit("enough")

    with connect(server.url) as client, client.pubsub(channel_handlers={"a": handler}) as pubsub:
        raw("PUBLISH", "a", "1")
        with pytest.raises(RuntimeError, match="a handler has ended its thread: SystemExit"):
            pubsub.get_message(timeout=5)


def test_many_threads_that_subscribe_at_once_have_one_thread_for_handlers(server: EmbeddedServer) -> None:
    def ignore(message: Message[Any]) -> None: ...

    before = set(threading.enumerate())
    with connect(server.url) as client, client.pubsub(lazy=True) as pubsub:
        threads = [threading.Thread(target=pubsub.subscribe, args=({str(n): ignore},)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = [thread.name for thread in set(threading.enumerate()) - before]
        assert sum(name.endswith("handlers") for name in names) == 1
