"""One consumer that reads each stream through a group of its own."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import GroupEntry, InvalidArgument, WrongTypeError
from streamcore.events import Connected, EntriesRecovered, Event, GroupRecreated
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, clients, drain, pending
from transports.anyio import GroupConsumer
from transports.embedded import EmbeddedServer

GROUPS = {"orders": "billing", "clicks": "stats", "returns": "billing"}


async def take(consumer: GroupConsumer[str], count: int, *, ack: bool = True) -> dict[str, list[int]]:
    """The numbers of the next entries, by stream."""
    seen: dict[str, list[int]] = {}
    for _ in range(count):
        entry = await anext(consumer)
        seen.setdefault(entry.stream, []).append(int(entry["n"]))
        if ack:
            entry.ack()
    return seen


def left(raw: Raw) -> list[int]:
    return [pending(raw, stream, group) for stream, group in GROUPS.items()]


@pytest.mark.every_server
async def test_each_stream_is_read_and_settled_through_its_own_group(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    for stream in GROUPS:
        add(raw, range(250), stream)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(GROUPS, consumer="me", decode="utf-8") as consumer,
    ):
        assert await take(consumer, 750) == {stream: list(range(250)) for stream in GROUPS}
        assert await consumer.flush()
        assert left(raw) == [0, 0, 0]
        add(raw, [250], "clicks")
        assert await take(consumer, 1, ack=False) == {"clicks": [250]}
        lag, waiting = await consumer.lag(), await consumer.pending()
    assert lag == {b"orders": 0, b"returns": 0, b"clicks": 0}
    assert {stream: summary.entries for stream, summary in waiting.items()} == {
        b"orders": 0,
        b"returns": 0,
        b"clicks": 1,
    }


async def test_a_quiet_group_does_not_wait_for_a_busy_one(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(2000), "orders")
    add(raw, range(20), "clicks")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(GROUPS, decode="utf-8", count=10) as consumer,
    ):
        seen = await take(consumer, 100)
    assert seen["clicks"] == list(range(20))


async def test_batches_and_new_entries(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(GROUPS, decode="utf-8") as consumer,
        runtime.tasks() as tasks,
    ):

        async def work() -> list[str]:
            streams = []
            async for batch in consumer.batches():
                batch.ack()
                streams.append(batch.stream)
                if len(streams) == 3:
                    return streams
            return streams

        working = tasks.start(work)
        await blocked(runtime, raw, 2)
        for stream in GROUPS:
            add(raw, [0], stream)
            await runtime.sleep(0.02)
        assert sorted(await working.result()) == sorted(GROUPS)
        assert await consumer.flush()
    assert left(raw) == [0, 0, 0]


async def test_acknowledging_when_asked_for_the_next(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for stream in GROUPS:
        add(raw, range(5), stream)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(GROUPS, ack="auto") as consumer,
    ):
        count = 0
        async for _ in consumer:
            count += 1
            if count == 15:
                break
        assert await consumer.flush()
        assert sum(left(raw)) == 1


@pytest.mark.every_server
async def test_leaving_gives_back_what_nobody_has_seen(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for stream in GROUPS:
        add(raw, range(30), stream)
    async with runtime.connect(server.url) as client:
        async with client.group_consumer(GROUPS, consumer="one", decode="utf-8", count=10) as consumer:
            first = await take(consumer, 3)
        assert sum(left(raw)) > 3
        assert clients(raw, "xreadgroup") == []
        async with client.group_consumer(GROUPS, consumer="two", decode="utf-8", block=0.1) as consumer:
            rest: dict[str, list[int]] = {}
            while sum(map(len, rest.values())) < 90 - 3:
                entry = await anext(consumer)
                rest.setdefault(entry.stream, []).append(int(entry["n"]))
                entry.ack()
            assert await consumer.get(timeout=0.2) is None
    assert {stream: sorted(first.get(stream, []) + rest[stream]) for stream in GROUPS} == {
        stream: list(range(30)) for stream in GROUPS
    }
    assert left(raw) == [0, 0, 0]


async def test_draining(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for stream in GROUPS:
        add(raw, range(200), stream)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(GROUPS, count=10) as consumer,
    ):
        await anext(consumer)
        consumer.drain()
        more = len(await drain(consumer))
    assert more < 200


@pytest.mark.every_server
async def test_a_connection_that_breaks_costs_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    seen: list[Event] = []
    async with (
        runtime.connect(proxy.url, on_event=seen.append) as client,
        client.group_consumer(GROUPS, decode="utf-8", consumer="me") as consumer,
    ):
        for round_ in range(3):
            for stream in GROUPS:
                add(raw, [round_], stream)
            assert await take(consumer, 3) == {stream: [round_] for stream in GROUPS}
            proxy.cut()
        assert await consumer.flush()
    assert left(raw) == [0, 0, 0]
    assert not [event for event in seen if isinstance(event, GroupRecreated)]


async def test_the_error_of_one_group_ends_all(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, [0], "orders")
    async with runtime.connect(server.url) as client:
        async with client.group_consumer(GROUPS, decode="utf-8", block=0.1) as consumer:
            assert await take(consumer, 1) == {"orders": [0]}
            raw("SET", "clicks", "text")
            with pytest.raises(WrongTypeError, match="WRONGTYPE"):
                await take(consumer, 1)
        await runtime.until(lambda: clients(raw, "xreadgroup") == [])


async def test_one_group_that_vanishes_is_created_again(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    seen: list[Any] = []
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.group_consumer(GROUPS, decode="utf-8", block=0.1) as consumer,
    ):
        raw("XGROUP", "DESTROY", "clicks", "stats")
        for stream in GROUPS:
            add(raw, [0], stream)
        assert await take(consumer, 3) == {stream: [0] for stream in GROUPS}
    assert [(event.stream, event.group) for event in seen if isinstance(event, GroupRecreated)] == [
        (b"clicks", b"stats")
    ]


async def test_where_a_stream_has_a_group_there_is_no_other(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        given: dict[str, Any] = {"group": "g"}
        with pytest.raises(InvalidArgument, match="group is named twice"):
            client.group_consumer(GROUPS, **given)
        missing: dict[str, Any] = {}
        with pytest.raises(InvalidArgument, match="group is missing"):
            client.group_consumer(["a", "b"], **missing)


async def test_a_handler_gets_the_entries_of_all_groups(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for stream in GROUPS:
        add(raw, range(100), stream)
    seen: dict[str, list[int]] = {stream: [] for stream in GROUPS}
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(GROUPS, decode="utf-8", count=10) as consumer,
    ):

        def work(entry: GroupEntry[str]) -> None:
            seen[entry.stream].append(int(entry["n"]))
            if sum(map(len, seen.values())) == 300:
                consumer.drain()

        await consumer.run(work, concurrency=3, order="stream")
    assert seen == {stream: list(range(100)) for stream in GROUPS}
    assert left(raw) == [0, 0, 0]


async def test_events_come_in_their_places(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for stream, group in GROUPS.items():
        add(raw, [0], stream)
        raw("XGROUP", "CREATE", stream, group, "0")
        raw("XREADGROUP", "GROUP", group, "me", "STREAMS", stream, ">")
    told: list[Any] = []
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(GROUPS, consumer="me", decode="utf-8") as consumer,
    ):
        async for one in consumer.with_events():
            told.append(one)
            if len([one for one in told if isinstance(one, GroupEntry)]) == 3:
                break
    recovered = [one.stream for one in told if isinstance(one, EntriesRecovered)]
    assert sorted(recovered) == sorted(stream.encode() for stream in GROUPS)
    assert {one.link for one in told if isinstance(one, Connected)} >= {"main of billing", "main of stats"}
