"""What happens while a loop waits is told when it happens, not when the next thing comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore import InvalidArgument, KeyEvent
from streamcore.events import ConnectAttemptFailed, Disconnected, Event, Reconnected, SubscriptionFailed
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add
from transports.anyio import Client
from transports.embedded import EmbeddedServer

READERS: dict[str, Callable[[Client], Any]] = {
    "consumer": lambda client: client.consumer({"s": "$"}, block=1),
    "group": lambda client: client.group_consumer("s", group="g", consumer="me", start="$", block=1),
    "pubsub": lambda client: client.pubsub(["a"]),
    "channels": lambda client: client.channels(),
    "channels of pub/sub": lambda client: client.channels(kind="pubsub"),
}


async def first(items: Any) -> Any:
    return await anext(aiter(items))


def of(heard: list[Event], owner: str) -> list[type[Event]]:
    """What was heard of the links of an engine since the last time."""
    return [type(event) for event in heard if getattr(event, "owner", "").startswith(owner)]


@pytest.mark.runtimes("async", "background")
@pytest.mark.parametrize("kind", READERS)
async def test_a_lost_and_a_restored_connection_are_heard_of_while_a_loop_waits(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, kind: str
) -> None:
    heard: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=heard.append) as client,
        READERS[kind](client) as reader,
        runtime.tasks() as tasks,
    ):
        if kind.startswith("channels"):
            await reader.subscribe("room")
        waiting = tasks.start(first, reader)
        await runtime.sleep(0.1)
        heard.clear()
        for clients in ("normal", "pubsub"):
            raw("CLIENT", "KILL", "TYPE", clients, "SKIPME", "yes")
        await runtime.until(lambda: Reconnected in of(heard, reader_name(kind)))
        assert of(heard, reader_name(kind))[0] is Disconnected
        assert not waiting.finished
        raw("PUBLISH", "a", "x")
        add(raw, [1])
        await client.channels(kind="pubsub").publish("x", "room")
        await client.channels().publish("x", "room")
        await waiting.result()


def reader_name(kind: str) -> str:
    return {"consumer": "Consumer of s", "group": "GroupConsumer me of g on s", "pubsub": "PubSub"}.get(
        kind, "Channels"
    )


@pytest.mark.runtimes("async", "background")
async def test_so_are_they_by_handlers_and_by_run(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    heard: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=heard.append) as client,
        client.pubsub(channel_handlers={"a": print}),
        client.group_consumer("s", group="g", consumer="me", block=1) as consumer,
        runtime.tasks() as tasks,
    ):
        running = tasks.start(consumer.run, print)
        await runtime.sleep(0.1)
        heard.clear()
        for clients in ("normal", "pubsub"):
            raw("CLIENT", "KILL", "TYPE", clients, "SKIPME", "yes")
        for owner in ("PubSub", "GroupConsumer me"):
            await runtime.until(lambda owner=owner: Reconnected in of(heard, owner))  # type: ignore[misc]
        consumer.drain()
        await running.result()


@pytest.mark.runtimes("async", "background")
async def test_an_idle_client_and_an_idle_producer_hear_of_it_too(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    heard: list[Event] = []
    async with runtime.connect(server.url, on_event=heard.append) as client, client.producer("s"):
        raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        for owner in ("Client", "Producer of s"):
            await runtime.until(lambda owner=owner: Reconnected in of(heard, owner))  # type: ignore[misc]


@pytest.mark.runtimes("async", "background")
async def test_a_server_that_stays_away_is_heard_of(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    heard: list[Event] = []
    async with (
        runtime.connect(fresh_server.url, on_event=heard.append) as client,
        client.consumer({"s": "$"}, block=1) as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(first, consumer)
        await runtime.sleep(0.1)
        fresh_server.kill()
        await runtime.until(lambda: ConnectAttemptFailed in of(heard, "Consumer"))
        assert Disconnected in of(heard, "Consumer")
        fresh_server.restart()
        await runtime.until(lambda: Reconnected in of(heard, "Consumer"))
        with Raw(fresh_server.address) as raw:
            add(raw, [1])
        await waiting.result()


@pytest.mark.runtimes("async", "background")
async def test_what_on_event_raises_is_raised_in_the_loop_that_waits(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    def refuse(event: Event) -> None:
        if isinstance(event, Disconnected) and event.owner.startswith("Consumer"):
            raise LookupError("the listener's own")

    async with (
        runtime.connect(server.url, on_event=refuse) as client,
        client.consumer({"s": "$"}, block=1) as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(first, consumer)
        await runtime.sleep(0.1)
        raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert isinstance(await waiting.raised(), LookupError)
        add(raw, [1])
        assert int((await anext(consumer))["n"]) == 1  # nothing is lost


@pytest.mark.runtimes("async", "background")
async def test_what_it_raises_aside_is_raised_by_the_next_use(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    heard: list[Event] = []

    def refuse(event: Event) -> None:
        heard.append(event)
        if type(event) is Disconnected:
            raise LookupError("the listener's own")

    async with runtime.connect(server.url, on_event=refuse) as client:
        raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await runtime.until(lambda: Disconnected in of(heard, "Client"))
        with pytest.raises(LookupError, match="the listener's own"):
            await client.ping()
        assert await client.ping()


async def test_a_server_that_tells_of_keys_no_more_after_a_restart(
    runtime: Runtime, fresh_server: EmbeddedServer
) -> None:
    heard: list[Event] = []
    with Raw(fresh_server.address) as raw:
        raw("CONFIG", "SET", "notify-keyspace-events", "KA")
    async with runtime.connect(fresh_server.url, on_event=heard.append) as client, client.key_events("k") as events:
        fresh_server.kill()
        fresh_server.restart()
        with pytest.raises(InvalidArgument, match="publishes nothing"):
            await anext(events)
        assert [event.names for event in heard if isinstance(event, SubscriptionFailed)] == [(b"__keyspace@0__:k",)]
        with Raw(fresh_server.address) as raw:
            raw("CONFIG", "SET", "notify-keyspace-events", "KA")
            raw("SET", "k", "v")
        assert await events.get(timeout=10) == KeyEvent(b"k", "set", 0)


async def test_an_error_that_on_error_has_had_is_logged_without_its_traceback(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, log: pytest.LogCaptureFixture
) -> None:
    add(raw, range(2))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:

        def work(entry: Any) -> None:
            if int(entry["n"]) == 1:
                consumer.drain()
            raise LookupError("not today")

        await consumer.run(work, on_error=lambda entry, error: "dead_letter")
    failures = [record for record in log.records if "handler failed" in record.message]
    assert [record.exc_info for record in failures] == [None, None]
    assert failures[0].message.endswith(" of s, dead_letter: LookupError: not today")
