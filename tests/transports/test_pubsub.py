"""Subscribers on every runtime: messages, handlers, refusals, and the helpers around them."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from streamcore import ClosedError, ConcurrentUseError, ForkedError, InvalidArgument, KeyEvent, Message, RequestTimeout
from streamcore.commands import publish, spublish
from streamcore.errors import NoPermissionError
from streamcore.events import Event, SubscriptionFailed, SubscriptionGap
from streamcore.pubsub import MessageKind
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import PATIENCE, Runtime
from tests.transports.steps import answer, entered, until_quiet
from transports.embedded import EmbeddedServer


async def pumped_until(pubsub: Any, condition: Callable[[], object]) -> None:
    """Wait for something that happens to a subscriber, also where nothing happens between calls."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await pubsub.get_message(timeout=0.01)


def word(kind: MessageKind, name: str, count: Any) -> Message[Any]:
    """The server's word on a subscription."""
    return Message(kind, name, None, count)


async def take(pubsub: Any, count: int) -> list[Any]:
    """The data of the next messages."""
    return [(await anext(pubsub)).data for _ in range(count)]


# -- subscribing ---------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_messages_of_channels_patterns_and_shard_channels(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.pubsub(["news", b"\x00\xff"], "user:*") as pubsub,
        client.sharded_pubsub(["s"]) as sharded,
    ):
        assert pubsub.subscriptions.channels.confirmed == {b"news", b"\x00\xff"}
        assert pubsub.subscriptions.patterns.confirmed == {b"user:*"}
        for channel, data in (("news", "1"), (b"\x00\xff", b"\xfe\r\n\x00"), ("user:7", ""), ("other", "no")):
            raw("PUBLISH", channel, data)
        raw("SPUBLISH", "s", "4")
        raw("PUBLISH", "s", "no")
        assert [await anext(pubsub) for _ in range(3)] == [
            Message("message", b"news", None, b"1"),
            Message("message", b"\x00\xff", None, b"\xfe\r\n\x00"),
            Message("pmessage", b"user:7", b"user:*", b""),
        ]
        assert await anext(sharded) == Message("smessage", b"s", None, b"4")
        assert await pubsub.get_message(timeout=0) is await sharded.get_message(timeout=0) is None


@pytest.mark.every_server
async def test_text(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["ä"], decode="utf-8") as pubsub:
        raw("PUBLISH", "ä", "ö")
        raw("PUBLISH", "ä", b"\xff")
        raw("PUBLISH", "ä", "ü")
        assert (await anext(pubsub))["data"] == "ö"
        with pytest.raises(UnicodeDecodeError):
            await anext(pubsub)
        assert (await anext(pubsub)).channel == "ä"


@pytest.mark.every_server
async def test_subscribing_and_un_subscribing(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("a", "b", "c")
        await pubsub.psubscribe("p*", "q*")
        await pubsub.ssubscribe("s")
        assert pubsub.subscriptions.confirmed == {b"a", b"b", b"c", b"p*", b"q*", b"s"}
        await pubsub.unsubscribe("b")
        await pubsub.punsubscribe("p*", "unknown")
        assert raw("PUBSUB", "NUMSUB", "a", "b", "c") == [b"a", 1, b"b", 0, b"c", 1]
        assert raw("PUBSUB", "NUMPAT") == 1
        await pubsub.unsubscribe()
        await pubsub.punsubscribe()
        await pubsub.sunsubscribe()
        assert raw("PUBSUB", "CHANNELS") == raw("PUBSUB", "SHARDCHANNELS") == []
        assert pubsub.subscriptions.desired == set()
        await pubsub.unsubscribe()


async def test_what_has_arrived_is_handed_over_when_the_last_channel_goes(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"]) as pubsub:
        for n in range(5):
            raw("PUBLISH", "a", n)
        await pubsub.unsubscribe("a")
        assert [message.data async for message in pubsub] == [b"0", b"1", b"2", b"3", b"4"]
        assert [message async for message in pubsub] == []
        await pubsub.subscribe("a")
        raw("PUBLISH", "a", "5")
        assert await take(pubsub, 1) == [b"5"]


@pytest.mark.every_server
async def test_the_servers_word_on_subscriptions(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.pubsub(["a"], ignore_subscribe_messages=False, decode="utf-8") as pubsub,
    ):
        assert await pubsub.get_message(timeout=1) == word("subscribe", "a", 1)
        await pubsub.psubscribe("p*")
        await pubsub.unsubscribe("a")
        raw("PUBLISH", "p", "1")
        assert await pubsub.get_message(timeout=1) == word("psubscribe", "p*", 2)
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
        assert message == Message("pmessage", "p", "p*", "1")
        await pubsub.subscribe("b")
        assert await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.05) is None


async def test_many_messages_keep_their_order(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"]) as pubsub:
        for first in range(0, 5000, 1000):
            counts = await client.pipeline([publish("a", str(n)) for n in range(first, first + 1000)])
            assert counts == [1] * 1000
        assert await take(pubsub, 5000) == [b"%d" % n for n in range(5000)]


async def test_publishing_many_at_once_to_shard_channels(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.sharded_pubsub(["a"]) as pubsub:
        await pubsub.subscribe("b")
        assert await client.pipeline([spublish("a", "1"), spublish("b", "2"), spublish("c", "3")]) == [1, 1, 0]
        assert await take(pubsub, 2) == [b"1", b"2"]
        await pubsub.unsubscribe()
        assert [message async for message in pubsub] == []


# -- refusals ------------------------------------------------------------------------------------------------------------


def limited(server: EmbeddedServer, raw: Raw, *rules: str) -> str:
    """A user who may do what the rules say with channels; the URL by which to log in."""
    raw("ACL", "SETUSER", "limited", "on", "nopass", "+@all", "~*", "resetchannels", *rules)
    return server.url.replace("redis://", "redis://limited:any@").replace("valkey://", "valkey://limited:any@")


@pytest.mark.every_server
async def test_a_refusal_is_named_and_nothing_remains(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    with Raw(fresh_server.address) as raw:
        url = limited(fresh_server, raw, "&open*")
        async with runtime.connect(url) as client:
            with pytest.raises(NoPermissionError, match="channel 'secret'"):
                async with client.pubsub(["open", "secret"]):
                    pytest.fail("entered")
            async with client.pubsub(["open"]) as pubsub:
                began = time.monotonic()
                with pytest.raises(NoPermissionError, match="channel 'secret'"):
                    await pubsub.subscribe("open2", "secret", "open3")
                with pytest.raises(NoPermissionError, match=r"pattern 'p\*'"):
                    await pubsub.psubscribe("p*")
                assert time.monotonic() - began < 1.9  # the server's word, and no timeout
                assert pubsub.subscriptions.desired == pubsub.subscriptions.confirmed == {b"open"}


@pytest.mark.every_server
async def test_a_right_that_is_taken_away_and_given_back(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    events: list[Event] = []
    with Raw(fresh_server.address) as raw:
        url = limited(fresh_server, raw, "&a", "&b")
        async with runtime.connect(url, on_event=events.append) as client, client.pubsub(["a", "b"]) as pubsub:
            limited(fresh_server, raw, "&a")  # which closes the connection
            await pumped_until(pubsub, lambda: pubsub.subscriptions.failed)
            assert list(pubsub.subscriptions.failed) == [b"b"]
            await pumped_until(pubsub, lambda: pubsub.subscriptions.confirmed == {b"a"})
            raw("PUBLISH", "a", "1")
            assert await take(pubsub, 1) == [b"1"]
            [failed] = [event for event in events if isinstance(event, SubscriptionFailed)]
            assert (failed.names, str(failed.error).split()[0]) == ((b"b",), "NOPERM")
            limited(fresh_server, raw, "&a", "&b")
            await pumped_until(pubsub, lambda: pubsub.subscriptions.confirmed == {b"a", b"b"})
            assert not pubsub.subscriptions.failed
            raw("PUBLISH", "b", "2")
            assert await take(pubsub, 1) == [b"2"]
            gaps = [event.names for event in events if isinstance(event, SubscriptionGap)]
            assert gaps == [None, (b"b",)]


async def test_a_subscription_to_nothing_is_a_mistake(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.pubsub("a") as pubsub:
        with pytest.raises(InvalidArgument, match="name at least one channel to subscribe to"):
            await pubsub.subscribe()
        with pytest.raises(InvalidArgument, match="name at least one channel"):
            await pubsub.subscribe({})
        with pytest.raises(InvalidArgument, match="name at least one pattern"):
            await pubsub.psubscribe()
        with pytest.raises(InvalidArgument, match="name at least one shard channel"):
            await pubsub.ssubscribe()
        assert await client.pubsub_numsub() == {}
        async with client.sharded_pubsub() as sharded:
            with pytest.raises(InvalidArgument, match="name at least one shard channel"):
                await sharded.subscribe()


async def test_lazily_nobody_waits_for_the_server(runtime: Runtime, server: EmbeddedServer, proxy: Proxy) -> None:
    async with runtime.connect(proxy.url) as client:
        proxy.refuse()
        proxy.cut()
        began = time.monotonic()
        async with client.pubsub(["a"], lazy=True) as pubsub:
            await pubsub.subscribe("b")
            await pubsub.unsubscribe("a")
            assert time.monotonic() - began < 1.9
            assert pubsub.subscriptions.desired == {b"b"}
            assert pubsub.subscriptions.confirmed == set()
            proxy.accept()
            await pumped_until(pubsub, lambda: pubsub.subscriptions.confirmed == {b"b"})


async def test_no_confirmation_in_time(runtime: Runtime, server: EmbeddedServer, proxy: Proxy) -> None:
    async with (
        runtime.connect(proxy.url) as client,
        entered(lambda: client.pubsub(["a"], subscription_timeout=0.6, unsubscription_timeout=0.1)) as pubsub,
    ):
        proxy.freeze()
        with pytest.raises(RequestTimeout, match=r"no subscription was confirmed within 0\.6 s"):
            await pubsub.subscribe("b")
        await pubsub.unsubscribe("a")
        assert pubsub.subscriptions.desired == set()
        proxy.thaw()
        await answer(pubsub.subscribe, "c")
        assert pubsub.subscriptions.confirmed == {b"c"}


# -- getting messages ----------------------------------------------------------------------------------------------------


async def test_waiting_for_a_message(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"]) as pubsub:
        began = time.monotonic()
        assert await pubsub.get_message(timeout=0.1) is None
        assert 0.09 < time.monotonic() - began < 5
        for n in range(10):
            raw("PUBLISH", "a", n)
        assert await take(pubsub, 1) == [b"0"]
        found = await pubsub.wait_for_message(lambda message: int(message.data) >= 4, timeout=1)
        assert found is not None
        assert found.data == b"4"
        assert await take(pubsub, 1) == [b"5"]
        assert await pubsub.wait_for_message(lambda message: message.data == b"none", timeout=0.05) is None
        raw("PUBLISH", "a", "11")
        assert (await pubsub.wait_for_message(lambda message: True)).data == b"11"  # type: ignore[union-attr]  # waits
        with pytest.raises(InvalidArgument, match="timeout"):
            await pubsub.get_message(timeout=-1)


async def test_a_cancelled_call_loses_no_message(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"]) as pubsub:
        got = []
        for n in range(30):
            if n % 3 == 0:
                for k in range(3):
                    raw("PUBLISH", "a", n + k)
            message = await runtime.briefly(0.0005 * (n % 4), pubsub.get_message)
            if message is not None:
                got.append(message.data)
        got += [message.data async for message in until_quiet(pubsub.get_message)]
        assert got == [b"%d" % n for n in range(30)]


async def test_messages_belong_to_one_task(runtime: Runtime, server: EmbeddedServer) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.pubsub(["a"]) as pubsub,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(take, pubsub, 1)
        await runtime.sleep(0.05)
        with pytest.raises(ConcurrentUseError):
            await pubsub.get_message(timeout=0)
        await client.publish("a", "1")
        assert await waiting.result() == [b"1"]


async def test_others_subscribe_while_one_waits(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.pubsub(["a"]) as pubsub,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(take, pubsub, 1)
        await runtime.sleep(0.02)
        calls = [tasks.start(pubsub.subscribe, f"c{n}") for n in range(5)]
        for call in calls:
            await call.result()
        raw("PUBLISH", "c4", "1")
        assert await waiting.result() == [b"1"]
        assert len(pubsub.subscriptions.confirmed) == 6


async def test_several_subscribers_of_one_client(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"]) as one, client.pubsub(["a", "b"]) as other:
        assert raw("PUBLISH", "a", "1") == 2
        raw("PUBLISH", "b", "2")
        assert await take(one, 1) == [b"1"]
        assert await take(other, 2) == [b"1", b"2"]


async def test_before_and_after(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        pubsub = client.pubsub(["a"])
        with pytest.raises(ClosedError, match="not open"):
            await pubsub.get_message(timeout=0)
        with pytest.raises(ClosedError, match="not open"):
            await pubsub.subscribe("b")
        async with pubsub:
            await client.publish("a", "1")
            await client.publish("a", "2")
            assert await take(pubsub, 1) == [b"1"]
        assert pubsub.subscriptions.confirmed == set()
        for use in (pubsub.get_message, pubsub.subscribe, pubsub.unsubscribe):
            with pytest.raises(ClosedError):
                await use()
    async with runtime.connect(server.url) as client:
        pubsub = client.pubsub(["a"])
        await pubsub.__aenter__()
    with pytest.raises(ClosedError):  # with its client
        await pubsub.get_message(timeout=0)


async def test_a_forked_child_has_no_part_in_it(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    handled: list[Any] = []
    async with (
        runtime.connect(server.url) as client,
        client.pubsub(["a"], channel_handlers={"h": handled.append}) as pubsub,
    ):
        for n in range(10):
            raw("PUBLISH", "a", n)
        assert await take(pubsub, 5) == [b"%d" % n for n in range(5)]
        pid = os.fork()
        if not pid:
            status = 1
            try:
                for use in (pubsub.get_message, pubsub.__anext__, pubsub.subscribe, pubsub.unsubscribe):
                    with pytest.raises(ForkedError, match="belongs to the parent process"):
                        await use()
                await pubsub.aclose()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        assert status == 0
        assert await take(pubsub, 5) == [b"%d" % n for n in range(5, 10)]
        raw("PUBLISH", "h", "1")
        await pumped_until(pubsub, lambda: handled)


# -- helpers -------------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_what_happens_to_keys(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    with Raw(fresh_server.address) as raw:
        async with runtime.connect(fresh_server.url) as client:
            with pytest.raises(InvalidArgument, match="notify-keyspace-events is ''"):
                async with client.key_events("*"):
                    pytest.fail("entered")
            raw("CONFIG", "SET", "notify-keyspace-events", "KA")
            async with client.key_events("user:*", "x", decode="utf-8") as events:
                raw("SET", "user:1", "a")
                raw("SET", "other", "a")
                raw("DEL", "user:1")
                raw("XADD", "x", "*", "f", "v")
                assert await anext(events) == KeyEvent("user:1", "set", 0)
                assert await events.get(timeout=1) == KeyEvent("user:1", "del", 0)
                async for event in events:
                    assert (event.key, event.event) == ("x", "xadd")
                    break
                assert await events.get(timeout=0) is None
            async with client.key_events(b"k", database=3) as events:
                raw("SELECT", "3")
                raw("SET", "k", "a")
                assert await anext(events) == KeyEvent(b"k", "set", 3)
        raw("ACL", "SETUSER", "limited", "on", "nopass", "+@all", "~*", "&*", "-config")
        url = fresh_server.url.replace("://", "://limited:any@")
        async with runtime.connect(url) as client, client.key_events("k", database=3) as events:
            raw("DEL", "k")
            assert await anext(events) == KeyEvent(b"k", "del", 3)


@pytest.mark.every_server
async def test_invalidated_keys(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    told: list[frozenset[bytes] | None] = []

    async def on_invalidate(keys: frozenset[bytes] | None) -> None:
        told.append(keys)

    async with (
        runtime.connect(server.url) as client,
        client.pubsub(track="user:", on_invalidate=on_invalidate) as pubsub,
    ):
        raw("SET", "user:1", "a")
        raw("SET", "other", "a")
        await pumped_until(pubsub, lambda: told == [frozenset({b"user:1"})])
        raw("FLUSHALL")
        await pumped_until(pubsub, lambda: told[1:] == [None])
        raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await pumped_until(pubsub, lambda: told[2:] == [None, None])
        raw("SET", "user:2", "a")
        await pumped_until(pubsub, lambda: told[4:] == [frozenset({b"user:2"})])


async def test_tracking_that_is_refused(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    with Raw(fresh_server.address) as raw:
        raw("ACL", "SETUSER", "limited", "on", "nopass", "+@all", "~*", "&*", "-client|tracking")
        url = fresh_server.url.replace("://", "://limited:any@")
        async with runtime.connect(url) as client:
            with pytest.raises(NoPermissionError, match="CLIENT TRACKING"):
                async with client.pubsub(on_invalidate=print):
                    pytest.fail("entered")


async def test_a_predicate_that_raises_loses_no_message_behind_its_own(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, client.pubsub(["a"], decode="utf-8") as pubsub:
        for data in ("0", "no number", "2", "3"):
            raw("PUBLISH", "a", data)
        with pytest.raises(ValueError, match="invalid literal"):
            await pubsub.wait_for_message(lambda message: int(message.data) == 2, timeout=5)
        assert await take(pubsub, 2) == ["2", "3"]
