"""Subscribers whose link breaks, goes silent, or is cut off because they are slow: never without a word."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any, Literal

import pytest

from streamcore import Message
from streamcore.events import Connected, Disconnected, Event, MessagesDropped, Reconnected, SubscriptionGap
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import PATIENCE, Runtime
from tests.transports.steps import entered, until_quiet
from tests.transports.test_pubsub import take
from transports.embedded import EmbeddedServer


def kill_all(raw: Raw) -> None:
    raw("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")


def gaps(events: list[Event]) -> int:
    return sum(isinstance(event, SubscriptionGap) for event in events)


async def pumped_until(pubsub: Any, condition: Callable[[], object], *, within: float = PATIENCE) -> None:
    """Wait for something, also where nothing happens between calls; no message may come meanwhile."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        assert await pubsub.get_message(timeout=0.01) is None


@pytest.mark.every_server
async def test_a_killed_connection_is_restored_with_handlers_and_told(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    events: list[Event] = []
    handled: list[Any] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.pubsub(["a"], ["p*"], channel_handlers={"h": handled.append}) as pubsub,
        client.sharded_pubsub(["s"]) as sharded,
    ):
        for n in range(1, 4):
            kill_all(raw)
            await pumped_until(pubsub, lambda: raw("PUBSUB", "NUMSUB", "a", "h") == [b"a", 1, b"h", 1])
            await pumped_until(pubsub, lambda: raw("PUBSUB", "NUMPAT") == 1)
            await pumped_until(sharded, lambda: raw("PUBSUB", "SHARDNUMSUB", "s") == [b"s", 1])
            raw("PUBLISH", "p1", n)
            raw("SPUBLISH", "s", n)
            raw("PUBLISH", "h", n)
            assert await anext(pubsub) == Message("pmessage", b"p1", b"p*", b"%d" % n)
            assert await anext(sharded) == Message("smessage", b"s", None, b"%d" % n)
            await pumped_until(pubsub, lambda n=n: len(handled) == n)  # type: ignore[misc]  # mypy#12557
        assert gaps(events) == 6
        assert {Disconnected, Reconnected} <= {type(event) for event in events}


async def test_ten_thousand_channels_come_back(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    names = [f"channel:{n}" for n in range(10_000)]
    async with runtime.connect(server.url) as client, client.pubsub(names, subscription_timeout=10) as pubsub:
        for _ in range(2):
            kill_all(raw)
            await pumped_until(pubsub, lambda: raw("PUBSUB", "NUMSUB", names[0], names[-1])[1::2] == [1, 1])
            raw("PUBLISH", names[-1], "1")
            assert (await anext(pubsub)).data == b"1"
        await pumped_until(pubsub, lambda: len(pubsub.subscriptions.confirmed) == 10_000)
        assert len(raw("PUBSUB", "CHANNELS", "channel:*")) == 10_000


async def test_events_stand_between_messages(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"], decode="utf-8") as pubsub:
        items = pubsub.with_events()
        raw("PUBLISH", "a", "1")
        found: list[object] = [await anext(items) for _ in range(2)]
        kill_all(raw)
        found += [await anext(items) for _ in range(3)]
        await pubsub.subscribe("b")
        raw("PUBLISH", "a", "2")
        found.append(await anext(items))
        await pubsub.unsubscribe()
        found += [item async for item in items]
    told = [item.data if isinstance(item, Message) else type(item) for item in found]
    assert sorted(map(str, told[2:5])) == sorted(map(str, [Disconnected, Reconnected, SubscriptionGap]))
    assert told[:2] + told[5:] == [Connected, "1", "2"]


async def test_a_silent_network_is_found_out(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    events: list[Event] = []
    async with (
        entered(lambda: runtime.connect(proxy.url, on_event=events.append, request_timeout=0.5)) as client,
        entered(lambda: client.pubsub(["a"], max_idle_seconds=0.6)) as pubsub,
    ):
        await pumped_until(pubsub, lambda: raw("PUBSUB", "NUMSUB", "a")[1] == 1)
        before = proxy.accepted
        proxy.freeze(swallow=True)
        began = time.monotonic()
        raw("PUBLISH", "a", "lost")
        await pumped_until(pubsub, lambda: proxy.accepted > before)
        assert time.monotonic() - began < 4
        proxy.thaw()
        await pumped_until(pubsub, lambda: gaps(events) and pubsub.subscriptions.confirmed)
        raw("PUBLISH", "a", "2")
        assert (await anext(pubsub)).data == b"2"


@pytest.mark.every_server
async def test_a_stopped_server_is_found_out(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(fresh_server.url, on_event=events.append) as client,
        client.pubsub(["a"], max_idle_seconds=0.5) as pubsub,
    ):
        fresh_server.pause()
        try:
            began = time.monotonic()
            await pumped_until(pubsub, lambda: gaps(events))
            assert time.monotonic() - began < 4
        finally:
            fresh_server.resume()
        await pumped_until(pubsub, lambda: pubsub.subscriptions.confirmed)
        assert await client.publish("a", "1") >= 1
        assert (await anext(pubsub)).data == b"1"


async def test_an_idle_link_is_kept_alive(runtime: Runtime, server: EmbeddedServer) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.pubsub(["a"], max_idle_seconds=0.3) as pubsub,
    ):
        assert await pubsub.get_message(timeout=1) is None
        await client.publish("a", "1")
        assert (await anext(pubsub)).data == b"1"
    assert not [event for event in events if isinstance(event, Disconnected)]


async def test_cuts_at_any_place_of_a_resubscription(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    names = [f"channel:{n}" for n in range(1200)]
    events: list[Event] = []
    async with (
        runtime.connect(proxy.url, on_event=events.append) as client,
        client.pubsub(names, subscription_timeout=10) as pubsub,
    ):
        proxy.cut()
        for n in range(1, 7):
            proxy.cut_after(n * 5000, "downstream" if n % 2 else "upstream")
            await pumped_until(pubsub, lambda: len(pubsub.subscriptions.confirmed) == 1200)
        told = gaps(events)
        proxy.cut()
        await pumped_until(pubsub, lambda: gaps(events) > told and len(pubsub.subscriptions.confirmed) == 1200)
        raw("PUBLISH", names[700], "1")
        assert (await anext(pubsub)).data == b"1"


# -- slow subscribers ----------------------------------------------------------------------------------------------------


PAYLOAD = "x" * 1000


def flood(raw: Raw, count: int) -> None:
    for first in range(0, count, 500):
        for n in range(first, first + 500):
            raw.send("PUBLISH", "a", f"{n:06}{PAYLOAD}")
        for _ in range(500):
            raw.read()


@pytest.mark.every_server
async def test_a_slow_subscriber_is_cut_off_and_told(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    """With "block" our memory stays flat; the server's buffer fills, and it closes the connection."""
    events: list[Event] = []
    with Raw(fresh_server.address) as raw:
        raw("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
        async with (
            runtime.connect(fresh_server.url, on_event=events.append) as client,
            client.pubsub(["a"], queue_size=100) as pubsub,
        ):
            flood(raw, 500)
            assert (await anext(pubsub)).data[:6] == b"000000"
            await runtime.sleep(0.05)
            tracemalloc.start()
            flood(raw, 15_000)
            await runtime.sleep(0.1)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 5_000_000  # of 15 MB that were published
            numbers = [0]
            while not gaps(events):
                message = await pubsub.get_message(timeout=1)
                if message is not None:
                    numbers.append(int(message.data[:6]))
            last = numbers.pop()  # the gap came before it, where there was one
            assert numbers == list(range(500)) + list(range(len(numbers) - 500))
            assert last >= 0
            async for _ in until_quiet(pubsub.get_message, 0.5):
                pass
            assert pubsub.subscriptions.confirmed == {b"a"}
            raw("PUBLISH", "a", "after")
            assert (await anext(pubsub)).data == b"after"
            assert pubsub.dropped == 0


@pytest.mark.runtimes("async", "background")  # between calls, a pumped one reads nothing that it could drop
@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
async def test_what_is_dropped_is_counted(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, when_full: Literal["drop_oldest", "drop_newest"]
) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.pubsub(["a"], queue_size=50, when_full=when_full) as pubsub,
    ):
        flood(raw, 1000)
        await runtime.sleep(0.1)
        numbers = [int(message.data[:6]) async for message in until_quiet(pubsub.get_message)]
        dropped = sum(event.messages for event in events if isinstance(event, MessagesDropped))
        assert dropped == pubsub.dropped > 0
        assert len(numbers) + dropped == 1000
        assert numbers == sorted(numbers)
        assert numbers[-1] == 999 if when_full == "drop_oldest" else numbers[0] == 0
        assert not gaps(events)


async def test_subscribing_while_the_inbox_is_full(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"], queue_size=10) as pubsub:
        flood(raw, 1000)
        await runtime.sleep(0.05)
        await pubsub.subscribe("b")
        raw("PUBLISH", "b", "1")
        assert [int((await anext(pubsub)).data[:6]) for _ in range(1000)] == list(range(1000))
        assert (await anext(pubsub)).data == b"1"


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
