"""Channels over broken connections, a server that dies, and keys that vanish: nothing is lost, or it is told."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamcore import ChannelMessage
from streamcore.errors import ConnectionLost, RequestTimeout
from streamcore.events import Event, Gap, StreamReset, SubscriptionGap
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import PATIENCE, Runtime
from tests.transports.steps import HASTE, answer, entered
from tests.transports.test_channels import data
from transports.embedded import EmbeddedServer


def kill_all(raw: Raw) -> None:
    for kind in ("normal", "pubsub"):
        raw("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def told(events: list[Event], *kinds: type) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


def calls(raw: Raw, command: str) -> list[bytes]:
    """How often the server has run a command, with the time that it took."""
    lines: list[bytes] = raw("INFO", "commandstats").splitlines()
    return [line for line in lines if line.startswith(b"cmdstat_%b:" % command.encode())]


@pytest.mark.every_server
async def test_killed_connections_cost_nothing(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.channels() as channels,
    ):
        await channels.subscribe("a")
        for n in range(10):
            if n % 3 == 0:
                kill_all(raw)
            await channels.publish(str(n), "a")
            if n % 2:
                assert await data(channels, 2) == [b"%d" % (n - 1), b"%d" % n]
        kill_all(raw)
        async with channels.subscriber("a", history=3) as other:
            assert await data(other, 3) == [b"7", b"8", b"9"]
        assert raw("XLEN", "channels_a") == 10
    assert not told(events, Gap, StreamReset)


@pytest.mark.every_server
async def test_pubsub_tells_where_it_may_have_missed_something(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, client.channels(kind="pubsub") as channels:
        await channels.subscribe("a")
        async with channels.subscriber("b") as other:
            kill_all(raw)
            found: list[list[Any]] = []
            for subscriber, name in ((channels, "a"), (other, "b")):
                items, seen = subscriber.with_events(), list[Any]()
                while not any(isinstance(item, SubscriptionGap) for item in seen):
                    seen.append(await anext(items))
                while raw("PUBSUB", "NUMSUB", f"channels_{name}")[1] == 0:
                    await subscriber.get(timeout=0.01)
                raw("PUBLISH", f"channels_{name}", name)
                assert await data(subscriber, 1) == [name.encode()]
                found.append(seen)
            assert all(not isinstance(item, ChannelMessage) for seen in found for item in seen)


async def test_a_publication_whose_reply_is_lost_is_there_once(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    async with runtime.connect(proxy.url) as client:
        channels = client.channels()
        await channels.publish("0", ["a", "b"])
        for n in range(1, 8):
            proxy.cut_after(n * 5, "downstream" if n % 2 else "upstream", hard=n % 3 == 0)
            ids = await channels.publish(str(n), ["a", "b"])
            assert [str(message.id) for message in await channels.get_history("a", 1)] == [str(ids[0])]
        raw("SCRIPT", "FLUSH")
        proxy.cut_after(3, "downstream")
        await channels.publish("8", ["a", "b"])
        for name in ("a", "b"):
            assert [message.data for message in await channels.get_history(name)] == [b"%d" % n for n in range(9)]


@pytest.mark.every_server
@pytest.mark.parametrize("names", [["a"], ["{a}1", "{a}2"]], ids=["one", "several"])
async def test_a_first_attempt_that_arrives_behind_its_repetition_appends_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, names: list[str]
) -> None:
    async with runtime.connect(proxy.url) as client, runtime.tasks() as tasks:
        channels = client.channels(retention=1, history=1)
        await channels.publish("0", names)
        proxy.freeze("upstream")
        publishing = tasks.start(channels.publish, "1", names)
        while not proxy.withholds:
            await runtime.sleep(0.01)
        proxy.detach()
        while not publishing.finished:
            await runtime.sleep(0.01)
        await channels.publish("2", names)  # what the repetition has appended is trimmed away
        before = calls(raw, "evalsha")
        proxy.thaw()
        while calls(raw, "evalsha") == before:
            await runtime.sleep(0.01)
        for name in names:
            assert [message.data for message in await channels.get_history(name)] == [b"2"]
        [mark] = [key for key in raw("KEYS", "*") if b":said:" in key]
        assert 0 < raw("PTTL", mark) <= 1_000_000


async def test_a_publication_that_cannot_be_confirmed_is_an_error_in_time(
    runtime: Runtime, server: EmbeddedServer, proxy: Proxy
) -> None:
    async with entered(lambda: runtime.connect(proxy.url, request_timeout=0.5)) as client:
        channels, fleeting = client.channels(), client.channels(kind="pubsub")
        await channels.publish("0", "a", timeout=PATIENCE)
        proxy.refuse()
        proxy.cut()
        began = time.monotonic()
        with pytest.raises(ConnectionLost):
            await fleeting.publish("x", "a")
        with pytest.raises((ConnectionLost, RequestTimeout)):
            await channels.publish("x", "a")
        assert time.monotonic() - began < 5
        proxy.accept()
        await channels.publish("1", "a", timeout=20)
        assert [message.data for message in await answer(channels.get_history, "a")][-1] == b"1"


async def test_a_publication_may_be_tried_for_longer(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    async with entered(lambda: runtime.connect(fresh_server.url, request_timeout=HASTE)) as client:
        channels = client.channels()
        await channels.publish("0", "a", timeout=PATIENCE)
        fresh_server.kill()
        async with runtime.tasks() as tasks:
            publishing = tasks.start(publish_for, channels, 20)
            await runtime.sleep(1)
            assert not publishing.finished
            fresh_server.restart()
            await publishing.result()
        assert [message.data for message in await answer(channels.get_history, "a")] == [b"0", b"1"]


async def publish_for(channels: Any, timeout: float) -> None:
    await channels.publish("1", "a", timeout=timeout)


async def test_the_server_is_killed_and_comes_back(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(fresh_server.url, on_event=events.append) as client,
        client.channels(ttl=60) as channels,
    ):
        await channels.subscribe("a")
        await channels.publish("0", "a")
        assert await data(channels, 1) == [b"0"]
        for n in range(1, 4):
            fresh_server.kill()
            fresh_server.restart()
            await channels.publish(str(n), "a")
            assert await data(channels, 1) == [b"%d" % n]
    assert not told(events, Gap, StreamReset)


@pytest.mark.every_server
async def test_after_flushall_a_channel_begins_anew_and_that_is_told(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, client.channels(ttl=60) as channels:
        await channels.subscribe("a")
        items = channels.with_events()
        for n in range(3):
            await channels.publish(str(n), "a")
        seen: list[Any] = []
        while len(told(seen, ChannelMessage)) < 3:
            seen.append(await anext(items))
        raw("FLUSHALL")
        await runtime.sleep(0.005)  # ids begin with milliseconds: what comes later shall have a later one
        seen = []
        n = 0
        while not told(seen, Gap, StreamReset):
            await channels.publish(str(n), "a")
            n += 1
            seen.append(await anext(items))
        await channels.publish("last", "a")
        while not (isinstance(seen[-1], ChannelMessage) and seen[-1].data == b"last"):
            seen.append(await anext(items))
        assert [item.data for item in told(seen, ChannelMessage)] == [*(b"%d" % one for one in range(n)), b"last"]


@pytest.mark.every_server
async def test_a_channel_that_expires_begins_anew_in_silence(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.channels(ttl=0.6) as channels,
    ):
        await channels.subscribe("a")
        for n in range(2):
            for _ in range(3):
                await channels.publish(str(n), "a")
            assert await data(channels, 3) == [b"%d" % n] * 3
            await runtime.until(lambda: raw("EXISTS", "channels_a") == 0)
            if n == 1:
                async with channels.subscriber("a", history=3) as other:
                    await channels.publish("for both", "a")
                    assert await data(other, 1) == await data(channels, 1) == [b"for both"]
    assert not told(events, Gap, StreamReset)


async def test_what_expired_while_nobody_was_connected_is_told(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(proxy.url, on_event=events.append) as client,
        client.channels(ttl=0.8) as channels,
    ):
        await channels.subscribe("a")
        await channels.publish("0", "a")
        assert await data(channels, 1) == [b"0"]
        proxy.refuse()
        proxy.cut()
        assert await channels.get(timeout=0.1) is None
        await runtime.sleep(1.0)
        proxy.accept()
        deadline = time.monotonic() + PATIENCE
        while not told(events, Gap, StreamReset):
            assert time.monotonic() < deadline
            assert await channels.get(timeout=0.02) is None
        await channels.publish("1", "a")
        assert await data(channels, 1) == [b"1"]


def commands_so_far(raw: Raw) -> int:
    """All that the server has been asked, except by us."""
    lines = raw("INFO", "commandstats").decode().splitlines()
    counts = {line.split(":")[0]: int(line.split("calls=")[1].split(",")[0]) for line in lines if "calls=" in line}
    return sum(count for name, count in counts.items() if name != "cmdstat_info")


@pytest.mark.runtimes("asyncio", "trio", "background")
@pytest.mark.parametrize("kind", ["streams", "pubsub"])
async def test_idle_channels_send_next_to_nothing(runtime: Runtime, fresh_server: EmbeddedServer, kind: Any) -> None:
    async with runtime.connect(fresh_server.url) as client, client.channels(kind=kind) as channels:
        await channels.subscribe([f"c{n}" for n in range(50)])
        await channels.publish("x", "c7")
        assert await data(channels, 1) == [b"x"]
        assert await channels.get(timeout=0.2) is None
        with Raw(fresh_server.address) as raw:
            before = commands_so_far(raw)
            assert await channels.get(timeout=6) is None
            assert commands_so_far(raw) - before <= 6


@pytest.mark.runtimes("async", "background")
async def test_closing_takes_no_time(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        channels = client.channels()
        await channels.__aenter__()
        await channels.subscribe(["a", "b"])
        async with runtime.tasks() as tasks:
            waiting = tasks.start(channels.get)
            await runtime.sleep(0.05)
            began = time.monotonic()
            await channels.aclose()
            assert time.monotonic() - began < 2  # a read waits for 5
            await waiting.raised()


@pytest.mark.runtimes("asyncio", "trio", "background", "pumped")
async def test_a_script_that_keeps_the_server_busy_is_waited_for(
    runtime: Runtime, fresh_server: EmbeddedServer
) -> None:
    with Raw(fresh_server.address) as raw, Raw(fresh_server.address) as script:
        raw("CONFIG", "SET", "busy-reply-threshold", "1")
        async with (
            runtime.connect(fresh_server.url) as client,
            client.channels(queue_size=2) as channels,
            runtime.tasks() as tasks,
        ):
            await channels.subscribe("a")
            for n in range(8):
                await channels.publish(str(n), "a")
            assert await data(channels, 2) == [b"0", b"1"]
            script.send("EVAL", "while true do end", "0")
            await runtime.until(lambda: is_busy(raw))
            late = tasks.start(lambda: channels.publish("8", "a", timeout=PATIENCE))
            behind = tasks.start(data, channels, 7)
            await runtime.sleep(0.2)
            assert not late.finished
            raw("SCRIPT", "KILL")
            await late.result()
            assert await behind.result() == [b"%d" % n for n in range(2, 9)]


def is_busy(raw: Raw) -> bool:
    raw.send("GET", "x")
    return str(raw.read()).startswith("BUSY")
