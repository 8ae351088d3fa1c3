"""Channels in a real cluster: slots move and primaries change beneath them, in every program that uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore.commands import key_slot, publish
from streamcore.errors import CrossSlotError, InvalidArgument
from streamcore.events import ChannelEnded, Event, Gap, StreamReset
from tests.support.pages import Page
from tests.transports.runtimes import Runtime
from transports.anyio import Client
from transports.embedded import EmbeddedCluster
from transports.litestar import PubSubChannelsBackend, StreamChannelsBackend
from transports.sse import channel_events

ROOMS = ["room-1", "room-2", "room-3", "room-4", "{room-1}2"]
"""Channels of four slots, at all primaries."""

PATIENT = {"request_timeout": 20.0}
"""The machine may be busy."""

pytestmark = pytest.mark.timeout(90)


def move(cluster: EmbeddedCluster, key: bytes) -> None:
    """Move the slot of a key to another primary."""
    primaries = map(cluster.owner, (0, 8000, 16000))
    cluster.move_slot(key_slot(key), next(node for node in primaries if node.id != cluster.owner(key).id))


async def heard(channels: Any, count: int) -> dict[str, list[str]]:
    """What the next messages are, by channel."""
    found: dict[str, list[str]] = {}
    for _ in range(count):
        message = await channels.get(timeout=20)
        assert message is not None
        found.setdefault(message.channel, []).append(message.data)
    return found


@pytest.mark.every_server
async def test_channels_are_followed_while_slots_move_and_primaries_change(
    runtime: Runtime, cluster: EmbeddedCluster
) -> None:
    events: list[Event] = []
    url = cluster.nodes[0].url
    async with (
        runtime.connect(url, on_event=events.append, **PATIENT) as client,
        client.channels(history=10, decode="utf-8") as channels,
    ):
        await channels.subscribe(ROOMS)
        expected: list[str] = []
        for n in range(4):
            for room in ROOMS:
                await channels.publish(str(n), room, timeout=20)
            expected.append(str(n))
            if n == 1:
                cluster.wait_replicated()
                cluster.failover(cluster.owner(channels.key(ROOMS[0])))
            else:
                move(cluster, channels.key(ROOMS[n % 3]))
            if n == 2:
                await channels.unsubscribe(ROOMS[3])
        got = await heard(channels, 4 * 4)
        assert got == {room: expected for room in ROOMS if room != ROOMS[3]}
        await channels.subscribe(ROOMS[3], history=4)  # after a while away: its history, and what comes
        await channels.publish("live", ROOMS[3])
        assert await heard(channels, 5) == {ROOMS[3]: [*expected[-4:], "live"]}
        assert [message.data for message in await channels.get_history(ROOMS[0])] == expected
        assert [event for event in events if isinstance(event, (Gap, StreamReset, ChannelEnded))] == []
        assert await channels.flush_all() == len(ROOMS)


@pytest.mark.core("channels/test_publishing_in_clusters")
async def test_several_channels_get_a_message_at_once_where_they_share_a_slot(
    runtime: Runtime, cluster: EmbeddedCluster
) -> None:
    async with runtime.connect(cluster.url) as client:
        async with client.channels(prefix="{shop}", decode="utf-8") as channels:
            await channels.subscribe(ROOMS)
            assert len(await channels.publish("all", ROOMS)) == 5
            assert await heard(channels, 5) == {room: ["all"] for room in ROOMS}
        apart = client.channels(prefix="apart", decode="utf-8")
        with pytest.raises(CrossSlotError, match="'room-1' and 'room-2' are of two slots"):
            await apart.publish("x", ROOMS)
        assert [await apart.get_history(room) for room in ROOMS] == [[]] * 5


@pytest.mark.core("pubsub/test_any_node")
async def test_without_a_history_they_are_heard_from_all_nodes(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with (
        runtime.connect(cluster.url) as client,
        client.channels(kind="pubsub", decode="utf-8") as channels,
    ):
        await channels.subscribe(ROOMS[:2])
        for node in client.nodes():
            await client.on(node).execute(publish(channels.key(ROOMS[0]), node.id))
        assert sorted((await heard(channels, 6))[ROOMS[0]]) == sorted(node.id for node in client.nodes())
        assert await channels.publish("both", ROOMS[:2]) == [None, None]
        assert await heard(channels, 2) == {room: ["both"] for room in ROOMS[:2]}


EARLY: dict[str, Callable[[Client], Any]] = {
    "consumer": lambda client: client.consumer("s"),
    "group consumer": lambda client: client.group_consumer("s", group="g"),
    "producer": lambda client: client.producer("s"),
    "pubsub": lambda client: client.pubsub("c"),
    "sharded": lambda client: client.sharded_pubsub("c"),
    "channels": lambda client: client.channels(),
    "channels without a history": lambda client: client.channels(kind="pubsub"),
    "key events": lambda client: client.key_events("k*"),
}


async def test_parts_that_were_made_before_a_cluster_was_found_say_so(
    runtime: Runtime, cluster: EmbeddedCluster
) -> None:
    client = runtime.connect(cluster.nodes[1].url)
    parts = {name: make(client) for name, make in EARLY.items()}
    async with client:
        for part in parts.values():
            with pytest.raises(InvalidArgument, match=r"made before its client was entered.*cluster=True"):
                async with part:
                    pass
        await parts["channels"].publish("x", "room-1")  # which needs nothing but the client
        [message] = await parts["channels"].get_history("room-1")
        assert message.data == b"x"
        assert await parts["channels without a history"].publish("x", "room-1") == [None]
        assert await parts["channels"].flush_all() == 1
    for options in ({"url": cluster.nodes[1].url, "cluster": True}, {"url": cluster.url}):
        client = runtime.connect(**options)
        early = client.channels(decode="utf-8")
        async with client, early:
            await early.subscribe(ROOMS)
            for room in ROOMS:
                await early.publish("x", room)
            assert len(await heard(early, 5)) == 5


@pytest.mark.runtimes("asyncio")
async def test_litestars_backend_of_streams(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    backend = StreamChannelsBackend(10, url=cluster.nodes[0].url)
    await backend.on_startup()
    await backend.subscribe(ROOMS)
    events = backend.stream_events()
    for n in range(3):
        for room in ROOMS:
            await backend.publish(b"%d" % n, [room])
        move(cluster, backend.channels.key(ROOMS[n]))
    got = [await anext(events) for _ in range(3 * len(ROOMS))]
    for room in ROOMS:
        assert [data for channel, data in got if channel == room] == [b"0", b"1", b"2"]
        assert await backend.get_history(room, 2) == [b"1", b"2"]
    with pytest.raises(CrossSlotError):
        await backend.publish(b"x", ROOMS)
    assert await backend.flush_all() == len(ROOMS)
    await backend.on_shutdown()
    tagged = StreamChannelsBackend(10, url=cluster.url, key_prefix="{shop}")
    await tagged.publish(b"x", ROOMS)  # before the start, over a connection of its own
    assert [await tagged.get_history(room) for room in ROOMS] == [[b"x"]] * 5


@pytest.mark.runtimes("asyncio")
async def test_litestars_backend_of_pubsub(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    backend = PubSubChannelsBackend(url=cluster.nodes[0].url)
    await backend.on_startup()
    await backend.subscribe(ROOMS)
    await backend.publish(b"x", ROOMS)
    events = backend.stream_events()
    assert sorted([await anext(events) for _ in ROOMS]) == sorted((room, b"x") for room in ROOMS)
    await backend.on_shutdown()


@pytest.mark.runtimes("async")
async def test_a_page_comes_back_behind_its_last_message_while_the_slot_moves(
    runtime: Runtime, cluster: EmbeddedCluster
) -> None:
    async with (
        runtime.connect(cluster.nodes[0].url, **PATIENT) as client,
        client.channels() as channels,
        runtime.tasks() as tasks,
    ):
        events = channel_events(channels, "room-1", history=1)
        seen: list[str] = []
        last: str | None = None
        for visit in range(3):
            page = Page(runtime, last_event_id=last)
            tasks.start(page.visit, events)
            await runtime.until(lambda: page.pieces)  # noqa: B023  # waited for here
            await channels.publish(f"{visit} here", "room-1")
            expected = [f"{visit - 1} away", f"{visit} here"] if visit else ["0 here"]
            await runtime.until(lambda: [one.data for one in page.got if one.event == "message"] == expected)  # noqa: B023
            page.leave()
            seen += expected
            last = page.last_event_id
            move(cluster, channels.key("room-1"))
            await channels.publish(f"{visit} away", "room-1")
        assert len(seen) == 5
