"""``ack="auto"``: an entry is acknowledged when the same iterator is asked for the next one, and in no other way."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import GroupEntry
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, pending
from transports.anyio import Client, GroupConsumer
from transports.embedded import EmbeddedServer


def auto(client: Client, **options: Any) -> GroupConsumer[bytes]:
    return client.group_consumer("s", group="g", consumer="me", ack="auto", **options)


async def unsettled(consumer: GroupConsumer[Any], raw: Raw) -> list[int]:
    """The numbers of the entries that are pending, once all acknowledgements have arrived."""
    assert await consumer.flush()
    ids = [row[0] for row in raw("XPENDING", "s", "g", "-", "+", 100)]
    return [int(raw("XRANGE", "s", id_, id_)[0][1][1]) for id_ in ids]


async def test_asking_for_the_next_entry_acknowledges_the_last(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(5))
    async with runtime.connect(server.url) as client, auto(client) as consumer:
        entries = aiter(consumer)
        for number in range(5):
            assert int((await anext(entries))["n"]) == number
            assert await unsettled(consumer, raw) == list(range(number, 5))


async def test_breaking_off_does_not(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    async with runtime.connect(server.url) as client, auto(client) as consumer:
        async for entry in consumer:
            if int(entry["n"]) == 2:
                break
        assert await unsettled(consumer, raw) == [2, 3, 4]


async def test_an_exception_does_not(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))

    async def work() -> None:
        async with runtime.connect(server.url) as client, auto(client) as consumer:
            async for entry in consumer:
                if int(entry["n"]) == 2:
                    raise LookupError("the handler's own")

    with pytest.raises(LookupError):
        await work()
    assert pending(raw) == 3


async def test_another_iterator_does_not(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    async with runtime.connect(server.url) as client, auto(client) as consumer:
        first, second = aiter(consumer), aiter(consumer)
        await anext(first)
        await anext(second)
        await anext(second)
        assert await unsettled(consumer, raw) == [0, 2, 3, 4]
        await anext(first)
        assert await unsettled(consumer, raw) == [2, 3, 4]


@pytest.mark.runtimes("async")
async def test_a_cancelled_wait_does_not_acknowledge_what_comes_then(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(1))
    async with runtime.connect(server.url) as client, auto(client) as consumer:
        entries = aiter(consumer)
        await anext(entries)
        assert await runtime.briefly(0.05, anext, entries) is None
        assert await unsettled(consumer, raw) == []  # the work on it was done
        add(raw, [1])
        assert int((await anext(entries))["n"]) == 1
        assert await unsettled(consumer, raw) == [1]


async def test_leaving_does_not(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(2))
    async with runtime.connect(server.url) as client:
        async with auto(client) as consumer:
            entries = aiter(consumer)
            await anext(entries)
            await anext(entries)
        assert [int(raw("XRANGE", "s", *[raw("XPENDING", "s", "g")[1]] * 2)[0][1][1])] == [1]


async def test_single_calls_need_acknowledgements(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(4))
    async with runtime.connect(server.url) as client, auto(client) as consumer:
        for _ in range(2):
            assert await consumer.get(timeout=1) is not None
            await anext(consumer)
        assert await unsettled(consumer, raw) == [0, 1, 2, 3]


async def test_batches_too(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(20))
    async with runtime.connect(server.url) as client, auto(client, count=10, prefetch=1) as consumer:
        batches = aiter(consumer.batches())
        assert len(await anext(batches)) == 10
        assert (await unsettled(consumer, raw))[:10] == list(range(10))
        assert len(await anext(batches)) == 10
        assert await unsettled(consumer, raw) == list(range(10, 20))


async def test_with_events_too(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    async with runtime.connect(server.url) as client, auto(client) as consumer:
        async for item in consumer.with_events():
            if isinstance(item, GroupEntry) and int(item["n"]) == 3:
                break
        assert await unsettled(consumer, raw) == [3, 4]


async def test_what_was_refused_is_not_acknowledged(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(4))
    async with runtime.connect(server.url) as client, auto(client, claim_idle=None) as consumer:
        async for entry in consumer:
            if int(entry["n"]) == 1:
                entry.nack(delay=50)
            if int(entry["n"]) == 3:
                break
        assert await unsettled(consumer, raw) == [1, 3]


async def test_explicit_acknowledgements_do_no_harm(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, auto(client) as consumer:
        entries = aiter(consumer)
        for _ in range(3):
            (await anext(entries)).ack()
        assert await unsettled(consumer, raw) == []
