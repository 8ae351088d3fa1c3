"""What an adversary found in subscribers on every runtime, and what mending it must not break."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from streamcore import ClosedError, Message
from streamcore.events import Event, SubscriptionGap
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.test_pubsub import pumped_until, take
from transports.blocking import connect
from transports.embedded import EmbeddedServer


async def test_a_predicate_that_raises_loses_no_message_behind_its_own(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"], decode="utf-8") as pubsub:
        for data in ("0", "no number", "2", "3"):
            raw("PUBLISH", "a", data)
        with pytest.raises(ValueError, match="invalid literal"):
            await pubsub.wait_for_message(lambda message: int(message.data) == 2, timeout=5)
        assert await take(pubsub, 2) == ["2", "3"]


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


async def test_with_one_place_in_the_queue_messages_come_after_a_gap(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.pubsub(["a"], queue_size=1) as pubsub,
    ):
        raw("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
        await pumped_until(pubsub, lambda: any(isinstance(event, SubscriptionGap) for event in events))
        await pumped_until(pubsub, lambda: pubsub.subscriptions.confirmed)
        for n in range(3):
            raw("PUBLISH", "a", n)
            assert await take(pubsub, 1) == [b"%d" % n]


# -- threads -------------------------------------------------------------------------------------------------------------


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
