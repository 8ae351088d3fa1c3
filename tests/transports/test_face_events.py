"""Events in order with the data, and the end of an iteration."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import ClosedError, Entry, StreamResetError
from streamcore.events import (
    AckMissed,
    Connected,
    Disconnected,
    EntriesRecovered,
    Event,
    Gap,
    GroupCreated,
    Reconnected,
    StreamReset,
)
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, clients, pending, take
from transports.embedded import EmbeddedServer


def shown(item: object) -> object:
    """An entry's number, or an event's class."""
    return int(item["n"]) if isinstance(item, Entry) else type(item)


async def collect(items: Any, until: object) -> list[object]:
    """What an iteration gives, as ``shown``, up to and with one of these."""
    found: list[object] = []
    while not found or found[-1] != until:
        found.append(shown(await anext(items)))
    return found


def kill(raw: Raw) -> None:
    """Close all connections but our own."""
    raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def test_an_event_comes_between_the_entries_where_it_happened(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(4))
    raw("XGROUP", "CREATE", "s", "g", "0")
    raw("XREADGROUP", "GROUP", "g", "me", "COUNT", 2, "STREAMS", "s", ">")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me") as consumer,
    ):
        found = await collect(aiter(consumer.with_events()), 3)
    assert found == [Connected, EntriesRecovered, 0, 1, 2, 3]


async def test_a_gap_comes_next_to_the_batch_that_shows_it(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """With a prefetch of one read, the second one is sent when the first batch is taken; by then something is gone."""
    add(raw, range(6))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}, count=2, prefetch=1, block=0.1) as consumer,
    ):
        await runtime.until(lambda: clients(raw, "xread") or runtime.name == "pumped")
        items = aiter(consumer.with_events())
        assert await collect(items, 0) == [Connected, 0]
        raw("XTRIM", "s", "MAXLEN", 2)
        add(raw, [6])
        found = await collect(items, 6)
    assert [item for item in found if item is not Gap] in ([1, 4, 5, 6], [1, 2, 3, 4, 5, 6])
    assert (Gap in found) is (2 not in found)


async def test_what_was_read_ahead_comes_before_what_happened_then(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(10))
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}, count=5) as consumer:
        items = aiter(consumer.with_events())
        assert await collect(items, 0) == [Connected, 0]
        kill(raw)
        add(raw, [10])
        found = await collect(items, 10)
    assert [item for item in found if isinstance(item, int)] == list(range(1, 11))
    assert [item for item in found if not isinstance(item, int)] == [Disconnected, Reconnected]
    assert found[:4] == [1, 2, 3, 4]  # the batch in hand is handed over first


async def test_events_are_told_while_there_are_no_entries(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", block=0.1) as consumer,
    ):
        items = aiter(consumer.with_events())
        assert [shown(await anext(items)) for _ in range(2)] == [Connected, GroupCreated]
        kill(raw)
        assert shown(await anext(items)) is Disconnected
        assert shown(await anext(items)) is Reconnected


async def test_on_event_hears_each_event_once_as_well(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    heard: list[Event] = []
    add(raw, range(2))
    async with (
        runtime.connect(server.url, on_event=heard.append) as client,
        client.group_consumer("s", group="g") as consumer,
    ):
        found = await collect(aiter(consumer.with_events()), 1)
        assert found == [Connected, GroupCreated, 0, 1]
        assert await consumer.get(timeout=0) is None
    consumers = [type(event) for event in heard if not isinstance(event, Connected)]
    assert consumers.count(GroupCreated) == 1
    assert AckMissed not in consumers


async def test_an_event_that_on_event_raises_about_is_not_lost(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    def refuse(event: Event) -> None:
        if type(event) is GroupCreated:
            raise LookupError("the listener's own")

    add(raw, range(2))
    async with (
        runtime.connect(server.url, on_event=refuse) as client,
        client.group_consumer("s", group="g") as consumer,
    ):
        items = aiter(consumer.with_events())
        with pytest.raises(LookupError, match="the listener's own"):
            await anext(items)
        assert await collect(items, 1) == [Connected, GroupCreated, 0, 1]


async def test_another_iteration_goes_on_with_the_events_that_were_not_told(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(4))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        assert shown(await anext(aiter(consumer.with_events()))) is Connected
        assert await take(consumer, 2) == [0, 1]  # says nothing of events
        assert await collect(aiter(consumer.with_events()), GroupCreated) == [2, 3, GroupCreated]


@pytest.mark.runtimes("async")
async def test_a_cancelled_call_has_taken_no_event(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.consumer({"s": "$"}) as consumer:
        items = aiter(consumer.with_events())
        assert shown(await anext(items)) is Connected
        assert await runtime.briefly(0.05, anext, items) is None
        kill(raw)
        add(raw, [7])
        assert await collect(items, 7) == [Disconnected, Reconnected, 7]


async def test_what_was_dropped_holds_no_event_up(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """The batches before a lost connection are dropped by a seek: the events come at once."""
    add(raw, range(40))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}, count=10, prefetch=2, block=0.1) as consumer,
    ):
        items = aiter(consumer.with_events())
        assert await collect(items, 0) == [Connected, 0]
        kill(raw)
        await consumer.seek("s", "$")
        add(raw, [40])
        found = await collect(items, 40)
    assert [item for item in found if item not in (Connected, 40)] == [Disconnected, Reconnected]


async def test_an_error_comes_behind_the_event_that_explains_it(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(3))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}, block=0.1) as consumer,
    ):
        items = aiter(consumer.with_events())
        assert await collect(items, 2) == [Connected, 0, 1, 2]
        raw("DEL", "s")
        raw("XADD", "s", "1-1", "n", 9)
        assert shown(await anext(items)) is StreamReset
        with pytest.raises(StreamResetError):
            await anext(items)


async def test_merged_streams_have_their_events_no_later_than_in_their_place(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    for number in range(6):
        raw("XADD", "ab"[number % 2], f"{number + 1}-0", "n", number)
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"a": "0", "b": "0"}, merge="id", block=0.1) as consumer,
    ):
        items = aiter(consumer.with_events())
        assert await collect(items, 5) == [Connected, *range(6)]
        kill(raw)
        add(raw, [6], "a")
        found = await collect(items, 6)
    assert [item for item in found if isinstance(item, int)] == [6]
    assert Disconnected in found


async def test_stop_on_idle_ends_it_behind_the_last_event(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}, stop_on_idle=True, block=0.05) as consumer,
    ):
        assert [shown(item) async for item in consumer.with_events()] == [Connected, 0, 1, 2]
        add(raw, range(3, 5))
        assert [shown(item) async for item in consumer.with_events()] == [3, 4]


async def test_streams_of_several_groups_have_their_events_too(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    for stream in "st":
        add(raw, range(3), stream)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer({"s": "g", "t": "h"}, block=0.2) as consumer,
    ):
        items = aiter(consumer.with_events())
        found = [shown(await anext(items)) for _ in range(10)]
    assert sorted(item for item in found if isinstance(item, int)) == [0, 0, 1, 1, 2, 2]
    assert [found.count(kind) for kind in (Connected, GroupCreated)] == [2, 2]


async def test_closing_ends_it(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g") as consumer:
            items = aiter(consumer.with_events())
            await anext(items)
        with pytest.raises(ClosedError):
            await anext(items)


# -- the end --------------------------------------------------------------------------------------------------------------


async def test_history_only_ends_when_that_is_through(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    raw("XGROUP", "CREATE", "s", "g", "0")
    raw("XREADGROUP", "GROUP", "g", "me", "COUNT", 3, "STREAMS", "s", ">")
    numbers = []
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", history_only=True) as consumer,
    ):
        async for entry in consumer:
            numbers.append(int(entry["n"]))
            entry.ack()
        assert await consumer.get() is None
        assert [batch async for batch in consumer.batches()] == []
        assert [item async for item in consumer.with_events() if isinstance(item, Entry)] == []
    assert numbers == [0, 1, 2]
    assert pending(raw) == 0


async def test_draining_hands_over_what_is_here_and_ends(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(30))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", count=10, prefetch=1) as consumer,
    ):
        assert await take(consumer, 1) == [0]
        consumer.drain()
        consumer.drain()
        rest = [int(entry["n"]) async for entry in consumer]
        assert rest == list(range(1, len(rest) + 1))
        assert len(rest) < 30
        assert await consumer.get() is None
        assert pending(raw) == 1 + len(rest)


async def test_draining_ends_a_call_that_waits(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", block=10) as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(consumer.get)
        await blocked(runtime, raw)
        consumer.drain()
        assert await waiting.result() is None


async def test_draining_what_is_not_open_does_nothing(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, [0])
    async with runtime.connect(server.url) as client:
        consumer = client.group_consumer("s", group="g", block=0.1)
        consumer.drain()
        async with consumer:
            assert await take(consumer, 1) == [0]
            assert await consumer.get(timeout=0.2) is None
            add(raw, [1])
            assert await take(consumer, 1) == [1]
        consumer.drain()


async def test_a_listener_that_fails_at_the_end_does_not_spoil_leaving(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """The end was found, and is told by the next call; there may be none."""
    failing: list[bool] = []

    def refuse(event: Event) -> None:
        if failing:
            raise LookupError("the listener's own")

    raw("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    async with (
        runtime.connect(server.url, on_event=refuse) as client,
        client.group_consumer("s", group="g", consumer="me", history_only=True) as consumer,
    ):
        failing.append(True)
        with pytest.raises(LookupError):
            await consumer.get()
        failing.clear()
    assert pending(raw) == 0
