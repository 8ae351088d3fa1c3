"""Consumer groups while nothing breaks: reading, acknowledging, sharing, leaving."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from streamcore import GroupEntry, NoGroupError, WrongTypeError
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, clients, drain, pending, take, take_and_ack
from transports.embedded import EmbeddedServer


@pytest.mark.every_server
async def test_acknowledging_each_entry(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1000))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="me") as consumer:
            assert await take_and_ack(consumer, 1000) == list(range(1000))
            assert await consumer.get(timeout=0) is None
        assert await client.xpending("s", "g") == (0, None, None, {})


@pytest.mark.every_server
async def test_acknowledging_batches(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1000))
    numbers: list[int] = []
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", decode="utf-8") as consumer:
        async for batch in consumer.batches():
            numbers += [int(entry["n"]) for entry in batch]
            batch.ack()
            if len(numbers) == 1000:
                break
    assert numbers == list(range(1000))
    assert pending(raw) == 0


async def test_entries_first_and_the_rest_of_their_batch(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(10))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        first = await anext(consumer)
        assert await take_and_ack(consumer, 3) == [1, 2, 3]
        rest = await anext(consumer.batches())
        assert [int(entry["n"]) for entry in rest] == [4, 5, 6, 7, 8, 9]
        rest.ack()
        assert await consumer.flush()
        assert pending(raw) == 1  # the first entry is its own business
        first.ack()
    assert pending(raw) == 0


async def test_new_entries_follow_the_backlog(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(250))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g") as consumer,
        runtime.tasks() as tasks,
    ):
        taking = tasks.start(take_and_ack, consumer, 270)
        await blocked(runtime, raw)
        for n in range(250, 270):
            add(raw, [n])
        assert await taking.result() == list(range(270))
    assert pending(raw) == 0


async def test_acknowledging_in_other_threads(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(400))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        entries = [await anext(consumer) for _ in range(400)]

        def work(mine: list[GroupEntry[bytes]]) -> None:
            for entry in mine:
                entry.ack()
                time.sleep(0)

        threads = [threading.Thread(target=work, args=(entries[n::8],)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while runtime.name == "pumped" and pending(raw):  # nothing happens between calls
            assert await consumer.get(timeout=0.1) is None
        await runtime.until(lambda: pending(raw) == 0)


async def test_acknowledging_when_all_is_over(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """Too late is no error, in whatever thread: the entry stays pending."""
    add(raw, range(2))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        entries = [await anext(consumer) for _ in range(2)]
    entries[0].ack()
    late = threading.Thread(target=entries[1].ack)
    late.start()
    late.join()
    assert pending(raw) == 2


@pytest.mark.every_server
async def test_acknowledgements_do_not_wait_for_a_blocked_read(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(5))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g") as consumer,
        runtime.tasks() as tasks,
    ):
        entries = [await anext(consumer) for _ in range(5)]
        waiting = tasks.start(anext, consumer)
        await blocked(runtime, raw)
        assert pending(raw) == 5
        for left, entry in enumerate(reversed(entries)):
            entry.ack()
            await runtime.until(lambda expected=4 - left: pending(raw) == expected, within=2)  # type: ignore[misc]
        add(raw, [5])
        assert int((await waiting.result())["n"]) == 5


async def test_flush_waits_for_the_servers_word(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(50))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", ack_delay=5) as consumer:
        for acknowledged in (10, 20, 30):
            await take_and_ack(consumer, 10)
            assert await consumer.flush()
            assert raw("XPENDING", "s", "g")[:2] == [50 - acknowledged, ids[acknowledged]]
        assert await consumer.flush(timeout=0)  # nothing to flush


async def test_leaving_sends_what_is_acknowledged(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(50))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", ack_delay=5) as consumer:
            await take_and_ack(consumer, 20)
        assert pending(raw) == 30
        assert [one["cmd"] for one in clients(raw)] != ["xreadgroup"]


async def test_closing_the_client_sends_them_too(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(50))
    async with runtime.connect(server.url) as client:
        consumer = await client.group_consumer("s", group="g", ack_delay=5).__aenter__()
        await take_and_ack(consumer, 20)
    assert pending(raw) == 30


async def test_leaving_by_an_error_sends_them_too(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(50))

    async def work() -> None:
        async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
            await take_and_ack(consumer, 20)
            raise LookupError("the handler's own")

    with pytest.raises(LookupError, match="the handler's own"):
        await work()
    assert pending(raw) == 30


async def test_leaving_does_not_wait_for_a_blocked_read(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g") as consumer:
            await take_and_ack(consumer, 1)
            await blocked(runtime, raw) if runtime.name != "pumped" else await consumer.get(timeout=0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 3
    assert pending(raw) == 0


@pytest.mark.every_server
async def test_two_consumers_share_without_overlap(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1500))

    taken: list[int] = []

    async def work(consumer: Any) -> list[int]:
        mine: list[int] = []
        async with consumer:
            while len(taken) < 2000:
                more = await drain(consumer)
                mine += more
                taken.extend(more)
            return mine

    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        working = [tasks.start(work, client.group_consumer("s", group="g", consumer=name)) for name in "ab"]
        for n in range(1500, 2000, 50):
            add(raw, range(n, n + 50))
            await runtime.sleep(0.005)
        numbers = [await task.result() for task in working]
    assert sorted(numbers[0] + numbers[1]) == list(range(2000))
    assert pending(raw) == 0


async def test_several_streams_through_one_group(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for stream in "abc":
        add(raw, range(30), stream)
    seen: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(["a", "b", "c"], group="g", decode="utf-8") as consumer,
    ):
        for _ in range(90):
            entry = await anext(consumer)
            seen[entry.stream].append(int(entry["n"]))
            entry.ack()
    assert seen == {stream: list(range(30)) for stream in "abc"}
    assert [pending(raw, stream) for stream in "abc"] == [0, 0, 0]


@pytest.mark.parametrize(("start", "expected"), [("0", [0, 1, 2, 3]), ("$", [3])])
async def test_where_a_new_group_begins(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, start: str, expected: list[int]
) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", start=start) as consumer:
        add(raw, [3])
        assert await take(consumer, len(expected)) == expected


async def test_a_group_that_must_exist(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client:
        for stream in ("s", "no-such-stream"):
            with pytest.raises(NoGroupError, match=f"{stream}.*has no group 'g'; create it, or pass create=True"):
                await client.group_consumer(stream, group="g", create=False).__aenter__()
        assert raw("EXISTS", "no-such-stream") == 0
        raw("XGROUP", "CREATE", "s", "g", "0")
        async with client.group_consumer("s", group="g", create=False) as consumer:
            assert await take(consumer, 3) == [0, 1, 2]


async def test_a_key_that_is_no_stream(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("SET", "s", "text")
    async with runtime.connect(server.url) as client:
        with pytest.raises(WrongTypeError, match="WRONGTYPE"):
            await client.group_consumer("s", group="g").__aenter__()
        with pytest.raises(WrongTypeError, match="WRONGTYPE"):
            async with client.consumer({"s": "0"}) as consumer:
                await anext(consumer)
        with pytest.raises(WrongTypeError, match="WRONGTYPE"):
            await client.xlen("s")
        with pytest.raises(WrongTypeError, match="WRONGTYPE"):
            async with client.producer("s") as producer:
                await producer.send({"n": 0})


async def test_no_more_in_flight_than_allowed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(200))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", count=10, max_in_flight=30) as consumer:
            first = [await anext(consumer) for _ in range(30)]
            assert await consumer.get(timeout=0.1) is None
            assert pending(raw) == 30
            for entry in first:
                entry.ack()
            assert await drain(consumer, 170) == list(range(30, 200))
        assert pending(raw) == 0


async def test_a_consumer_goes_on_where_its_name_left_off(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(10))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g", consumer="me", release_on_close=False) as consumer:
            assert await take_and_ack(consumer, 2) == [0, 1]
            assert await take(consumer, 3) == [2, 3, 4]
        add(raw, range(10, 13))
        async with client.group_consumer("s", group="g", consumer="other") as consumer:
            assert await take(consumer, 3) == [10, 11, 12]  # what was fetched by "me" is still pending there
        async with client.group_consumer("s", group="g", consumer="me") as consumer:
            assert await take_and_ack(consumer, 8) == list(range(2, 10))
            assert await consumer.get(timeout=0.05) is None
    assert [row[3] for row in raw("XPENDING", "s", "g", "-", "+", 10, "other")] == [1, 1, 1]


async def test_without_backlog_the_old_stays_pending(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    raw("XGROUP", "CREATE", "s", "g", "0")
    raw("XREADGROUP", "GROUP", "g", "me", "COUNT", 3, "STREAMS", "s", ">")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", backlog=False) as consumer,
    ):
        assert await take_and_ack(consumer, 2) == [3, 4]
        assert await consumer.get(timeout=0.05) is None
    assert pending(raw) == 3


async def test_idle_entries_of_others_are_claimed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    raw("XGROUP", "CREATE", "s", "g", "0")
    raw("XREADGROUP", "GROUP", "g", "dead", "COUNT", 3, "STREAMS", "s", ">")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", claim_idle=0.2, block=0.05) as consumer,
    ):
        assert await take_and_ack(consumer, 5) == [3, 4, 0, 1, 2]
        assert await consumer.flush()
        assert pending(raw) == 0


@pytest.mark.runtimes("asyncio", "trio", "background", "pumped")
async def test_a_stream_is_added_while_a_backlog_waits_to_be_handed_over(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(3))
    raw("XGROUP", "CREATE", "s", "g", 0)
    raw("XREADGROUP", "GROUP", "g", "me", "COUNT", 3, "STREAMS", "s", ">")
    async with (
        runtime.connect(server.url, request_timeout=2.0) as client,
        client.group_consumer("s", group="g", consumer="me") as consumer,
    ):
        assert await consumer.add_stream("t")
        add(raw, [7], "t")
        assert sorted(await take(consumer, 4)) == [0, 1, 2, 7]
