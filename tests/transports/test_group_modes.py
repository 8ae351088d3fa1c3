"""Ways in which a member of a group may read and acknowledge: fenced, without acknowledgement, its own history only."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import NoGroupError
from streamcore.events import AcksConfirmed, Event, GroupRecreated, OwnershipLost, PossibleLoss
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, clients, drain, pending, take, take_and_ack
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.core("group/test_settling", "group/test_ends", "group/test_group_creation")


@pytest.mark.every_server
async def test_a_fenced_acknowledgement_does_nothing_to_what_another_has_taken_over(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    ids = add(raw, range(4))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", fenced=True, audit_interval=60) as consumer,
    ):
        assert await take(consumer, 1) == [0]
        batch = await anext(consumer.batches())
        raw("XCLAIM", "s", "g", "another", 0, ids[2])
        batch.ack()
        assert await consumer.flush()
        assert await consumer.get(timeout=0) is None
    assert OwnershipLost(b"s", (ids[2],)) in events
    assert {row[0] for row in raw("XPENDING", "s", "g", "-", "+", 10)} == {ids[0], ids[2]}


@pytest.mark.every_server
async def test_fenced_acknowledgements_of_thousands(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(2500))
    options: dict[str, Any] = {"fenced": True, "count": 1000}
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", **options) as consumer:
        assert await take_and_ack(consumer, 2500) == list(range(2500))
    assert pending(raw) == 0


@pytest.mark.every_server
async def test_without_acknowledgement_nothing_is_pending(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(250))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", ack="none") as consumer:
            numbers = await take(consumer, 149)
            entry = await anext(consumer)
            entry.ack()
            entry.nack()
            assert numbers == list(range(149))
            assert await consumer.flush()
        assert pending(raw) == 0


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_without_acknowledgement_a_lost_reply_is_said(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", ack="none", count=10) as consumer,
    ):
        await blocked(runtime, raw)
        for one in clients(raw, "xreadgroup"):
            raw("CLIENT", "KILL", "ID", one["id"])
        add(raw, range(3))
        assert await take(consumer, 3) == [0, 1, 2]
    assert PossibleLoss(10) in events


async def test_without_acknowledgement_leaving_says_what_is_lost(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(10))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", ack="none", count=10) as consumer,
    ):
        assert await take(consumer, 4) == [0, 1, 2, 3]
    assert PossibleLoss(6) in events


@pytest.mark.every_server
async def test_its_own_history_only_and_then_the_end(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(250))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="me", count=120, release_on_close=False) as consumer:
            await take(consumer, 120)
        own = {id_ for id_, *_ in raw("XPENDING", "s", "g", "-", "+", 1000, "me")}
        raw("XDEL", "s", ids[7])
        numbers = []
        async with client.group_consumer("s", group="g", consumer="me", history_only=True) as consumer:
            async for entry in consumer:
                numbers.append(int(entry["n"]))
                entry.ack()
            assert await consumer.get(timeout=5) is None, "and at once"
    assert numbers == [number for number, id_ in enumerate(ids) if id_ in own and number != 7]
    assert pending(raw) == 0


async def test_a_history_of_nothing_ends_at_once(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="me", history_only=True) as consumer:
            assert [entry async for entry in consumer] == []
        async with client.group_consumer("s", group="g", consumer="me") as consumer:
            assert await drain(consumer, 5) == [0, 1, 2, 3, 4]


@pytest.mark.every_server
async def test_a_group_that_vanishes_may_be_an_error(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(2))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", on_group_lost="raise") as consumer,
    ):
        assert await take_and_ack(consumer, 2) == [0, 1]
        raw("XGROUP", "DESTROY", "s", "g")
        with pytest.raises(NoGroupError, match="stream 's' has lost its group 'g'"):
            await anext(consumer)


async def test_what_is_settled_is_told_where_that_is_wanted(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(3))
    for fenced in (False, True):
        events: list[Event] = []
        raw("XGROUP", "CREATE", "s", f"g{fenced}", "0")
        async with (
            runtime.connect(server.url, on_event=events.append) as client,
            client.group_consumer("s", group=f"g{fenced}", report_acks=True, fenced=fenced) as consumer,
        ):
            first = await anext(consumer)
            first.ack()
            assert not first.settled()
            await consumer.flush()
            assert first.settled()
            assert await take_and_ack(consumer, 2) == [1, 2]
            await consumer.flush()
            assert await consumer.get(timeout=0) is None
        settled = [id_ for event in events if isinstance(event, AcksConfirmed) for id_ in event.ids]
        assert settled == ids


async def test_a_group_that_vanishes_is_made_again_as_often_as_it_does(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", block=0.1) as consumer,
    ):
        for number in range(5):
            add(raw, [number])
            raw("XGROUP", "DESTROY", "s", "g")
            await drain(consumer, quiet=0.2)
    assert sum(isinstance(event, GroupRecreated) for event in events) >= 4


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_a_full_server_is_read_all_the_same(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    """Who else should make room?"""
    raw = Raw(fresh_server.address)
    [first, *_] = add(raw, range(10))
    raw("XGROUP", "CREATE", "s", "g", "0")
    raw("CONFIG", "SET", "maxmemory", 1, "maxmemory-policy", "noeviction")
    async with (
        runtime.connect(fresh_server.url) as client,
        client.group_consumer("s", group="g", consumer="me", audit_interval=0.1, block=0.1) as consumer,
    ):
        (await anext(consumer)).dead_letter("while it is full")
        assert await take_and_ack(consumer, 9) == list(range(1, 10))
        await runtime.until(lambda: raw("XPENDING", "s", "g")[0] == 1)
        assert await consumer.get(timeout=0.5) is None
        assert [row[0] for row in raw("XPENDING", "s", "g", "-", "+", 10)] == [first]
        raw("CONFIG", "SET", "maxmemory", 0)
        assert await consumer.flush()
    assert pending(raw) == 0
    assert raw("XLEN", "{s}:dead") == 1
    raw.close()
