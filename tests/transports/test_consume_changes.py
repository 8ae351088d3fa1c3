"""Consumers whose streams change while they read; gaps and rewinds; idleness; streams in one order."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from streamcore import ConnectionLost, InvalidArgument, StreamId, StreamResetError, WrongTypeError
from streamcore.events import Gap, StreamReset
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, clients, take
from transports.embedded import EmbeddedServer

# -- where to start ----------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_at_the_last_entry_or_at_a_moment(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for ms in (1000, 2000, 3000):
        raw("XADD", "s", f"{ms}-1", "n", ms)
    async with runtime.connect(server.url) as client:
        for start, numbers in (("+", [3000]), (2000, [2000, 3000]), (datetime.fromtimestamp(2, UTC), [2000, 3000])):
            async with client.consumer({"s": start}, stop_on_idle=True, block=0.01) as consumer:
                assert [int(entry["n"]) async for entry in consumer] == numbers


# -- changes -----------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_a_stream_is_added_while_a_read_waits(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3), "t")
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}) as consumer, runtime.tasks() as tasks:
        taking = tasks.start(take, consumer, 4)
        await blocked(runtime, raw)
        began = time.monotonic()
        assert await consumer.add_stream("t", "0")
        assert time.monotonic() - began < 2, "it did not wait for the read, which waits for 5 seconds"
        assert not await consumer.add_stream("t")
        with pytest.raises(InvalidArgument, match="followed already"):
            await consumer.add_stream("t", "0")
        add(raw, [7])
        assert sorted(await taking.result()) == [0, 1, 2, 7]


async def test_a_stream_that_cannot_be_added_leaves_no_trace(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    raw("SET", "text", "x")
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}) as consumer:
        with pytest.raises(WrongTypeError):
            await consumer.add_stream("text")
        add(raw, [1])
        assert await take(consumer, 1) == [1]
        assert list(consumer.cursor()) == [b"s"]


async def test_a_stream_is_removed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3), "s")
    async with runtime.connect(server.url) as client, client.consumer({"s": "0", "t": "0"}) as consumer:
        assert await take(consumer, 1) == [0]
        assert await called(consumer.remove_stream, "s")
        assert not await called(consumer.remove_stream, "s")
        add(raw, [7], "t")
        assert await take(consumer, 1) == [7]


async def test_seeking_drops_what_was_read_ahead(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(10))
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}, count=4) as consumer:
        assert await take(consumer, 2) == [0, 1]
        await consumer.seek("s", ids[7])
        assert await take(consumer, 2) == [8, 9]
        await consumer.seek("s", "0")
        assert await take(consumer, 3) == [0, 1, 2]
        with pytest.raises(InvalidArgument, match="'t' is not followed"):
            await consumer.seek("t", "0")


async def test_pausing(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}, count=1) as consumer:
        assert await take(consumer, 1) == [0]
        await called(consumer.pause)
        assert await consumer.get(timeout=0.05) is None
        await called(consumer.resume)
        assert await take(consumer, 2) == [1, 2]


async def called(method: Any, *args: Any) -> Any:
    """What the async face has as a plain method can be awaited under threads' harness only."""
    result = method(*args)
    return await result if hasattr(result, "__await__") else result


# -- idleness and disconnections ---------------------------------------------------------------------------------------


async def test_the_iteration_ends_when_nothing_is_left(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(250))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}, stop_on_idle=True, block=None) as consumer,
    ):
        assert [int(entry["n"]) async for entry in consumer] == list(range(250))
        assert await consumer.get() is None
        add(raw, [250])
        assert [int(entry["n"]) async for entry in consumer] == [250], "one may begin again"
        assert [len(batch) async for batch in consumer.batches()] == []
        add(raw, [251])
        assert [len(batch) async for batch in consumer.batches()] == [1], "so may this"


async def test_a_value_for_idleness(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, [1])
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}, idle_value=None, block=0.01) as consumer,
    ):
        assert await take(consumer, 1) == [1]
        values: list[Any] = [await anext(consumer)]
        add(raw, [2])
        while values[-1] is None:
            values.append(await anext(consumer))
        assert values[0] is None
        assert values[-1]["n"] == b"2"


@pytest.mark.parametrize("how", ["raise", "yield"])
async def test_a_disconnection_in_the_iteration(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, how: Any
) -> None:
    add(raw, [1])
    async with runtime.connect(proxy.url) as client, client.consumer({"s": "0"}, on_disconnect=how) as consumer:
        assert await take(consumer, 1) == [1]
        await blocked(runtime, raw)
        proxy.cut()
        if how == "raise":
            with pytest.raises(ConnectionLost):
                await anext(consumer)
        else:
            assert isinstance(await anext(consumer), ConnectionLost)
        add(raw, [2])
        assert await take(consumer, 1) == [2], "and it goes on"


# -- history -----------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_what_was_trimmed_before_it_could_be_read(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    seen: list[Any] = []
    add(raw, range(10))
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.consumer({"s": "0"}, count=5, prefetch=1) as consumer,
    ):
        numbers = await take(consumer, 5)
        await runtime.until(lambda: len(clients(raw, "xread")) == 1)
        await runtime.sleep(0.05)
        add(raw, range(10, 100))
        raw("XTRIM", "s", "MAXLEN", 5)
        while numbers[-1] < 99:
            numbers += await take(consumer, 1)
    gaps = [event for event in seen if isinstance(event, Gap)]
    missing = set(range(100)) - set(numbers)
    assert missing
    assert sum(gap.entries or 0 for gap in gaps) == len(missing)
    assert numbers == sorted(numbers)


async def test_a_stream_that_began_anew(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    seen: list[Any] = []
    for ms in range(100, 105):
        raw("XADD", "s", f"{ms}-0", "n", ms)
    async with runtime.connect(server.url, on_event=seen.append) as client:
        async with client.consumer({"s": "0"}, block=0.05) as consumer:
            assert await take(consumer, 5) == [100, 101, 102, 103, 104]
            raw("DEL", "s")
            raw("XADD", "s", "1-0", "n", 1)
            with pytest.raises(StreamResetError, match="stream 's' ends at 1-0, before 104-0"):
                await take(consumer, 1)
        async with client.consumer({"s": "104-0"}, on_rewind="restart") as again:
            assert await take(again, 1) == [1]
    rewinds = [event for event in seen if isinstance(event, StreamReset)]
    assert rewinds == [StreamReset(b"s", StreamId(104), StreamId(1))] * 2


@pytest.mark.every_server
@pytest.mark.parametrize("start", ["0", "101-0"])
async def test_another_stream_under_the_same_name_that_has_passed_the_cursor(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, start: str
) -> None:
    """What was unread in the former one is gone (case 27c); some of the new one may be trimmed as well (case 50)."""
    seen: list[Any] = []
    for ms in range(100, 110):
        raw("XADD", "s", f"{ms}-0", "n", ms)
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.consumer({"s": start}, count=1, prefetch=1, block=0.05) as consumer,
    ):
        first = 100 if start == "0" else 102
        assert await take(consumer, 2) == [first, first + 1]
        raw("MULTI")
        raw("DEL", "s")
        for ms in range(200, 212):
            raw("XADD", "s", f"{ms}-0", "n", ms)
        raw("EXEC")
        numbers = await take(consumer, 1)
        while numbers[-1] < 211:
            numbers += await take(consumer, 1)
    gaps = [event for event in seen if isinstance(event, Gap)]
    assert [number for number in numbers if number >= 200] == list(range(200, 212))
    assert [(gap.entries, gap.certain) for gap in gaps] == [(None, False)]
    assert gaps[0].after < StreamId(110)


@pytest.mark.every_server
async def test_a_saved_cursor_whose_entry_is_gone_proves_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    seen: list[Any] = []
    for ms in range(200, 203):
        raw("XADD", "s", f"{ms}-0", "n", ms)
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.consumer({"s": "101-0"}) as consumer,
    ):
        assert await take(consumer, 3) == [200, 201, 202]
    gaps = [event for event in seen if isinstance(event, Gap)]
    assert gaps == [Gap(b"s", StreamId(101), StreamId(200), None, certain=False)]


async def test_trimming_what_was_read_is_no_gap(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    seen: list[Any] = []
    async with (
        runtime.connect(server.url, on_event=seen.append) as client,
        client.consumer({"s": "$"}, count=3) as consumer,
    ):
        for n in range(50):
            add(raw, [n])
            assert await take(consumer, 1) == [n]
            raw("XTRIM", "s", "MAXLEN", 0)
    assert not [event for event in seen if isinstance(event, (Gap, StreamReset))]


# -- order -------------------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_the_entries_of_three_streams_in_one_order(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    names = ("a", "b", "c")
    for n in range(1, 301):
        raw("XADD", names[n * n % 7 % 3], f"{n}-0", "n", n)
    async with (
        runtime.connect(server.url) as client,
        client.consumer(dict.fromkeys(names, "0"), merge="id", count=10) as consumer,
    ):
        assert await take(consumer, 300) == list(range(1, 301))


async def test_streams_as_keywords(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for n in range(1, 7):
        raw("XADD", ("timeout", "block", "s")[n % 3], f"{n}-0", "n", n)
    async with runtime.connect(server.url) as client:
        async with client.streams({b"s": 3}, timeout=0, block=None) as consumer:
            raw("XADD", "block", "9-0", "n", 9)
            assert await take(consumer, 4) == [3, 5, 6, 9]
        async with client.streams(["s"], block="3") as other:
            raw("XADD", "s", "10-0", "n", 10)
            assert await take(other, 3) == [4, 9, 10]
        with pytest.raises(InvalidArgument, match="no stream was given"):
            client.streams()


async def test_latecomers_are_waited_for(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        runtime.tasks() as tasks,
        client.consumer({"a": "0", "b": "0"}, merge="id", merge_wait=1.0) as consumer,
    ):
        taking = tasks.start(take, consumer, 2)
        raw("XADD", "a", "20-0", "n", 20)
        await runtime.sleep(0.1)
        raw("XADD", "b", "10-0", "n", 10)
        assert await taking.result() == [10, 20]
