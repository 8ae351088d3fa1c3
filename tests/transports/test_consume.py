"""Following streams by XREAD."""

from __future__ import annotations

import time

import pytest

from streamcore import StreamId
from streamcore.events import Event, Gap
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, take
from transports.blocking import connect
from transports.embedded import EmbeddedServer


@pytest.mark.every_server
async def test_from_the_beginning(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1000))
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}) as consumer:
        assert await take(consumer, 1000) == list(range(1000))
        assert await consumer.get(timeout=0) is None


async def test_from_the_end(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, client.consumer({"s": "$"}) as consumer:
        add(raw, [3, 4])  # entering has resolved what "$" is
        assert await take(consumer, 2) == [3, 4]


async def test_a_name_alone_means_the_end(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, client.consumer("s") as consumer:
        add(raw, [3])
        assert await take(consumer, 1) == [3]


async def test_the_end_of_a_stream_that_does_not_exist_yet(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.consumer({"s": "$"}) as consumer:
        add(raw, [0, 1])
        assert await take(consumer, 2) == [0, 1]


async def test_behind_an_id(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(5))
    async with runtime.connect(server.url) as client:
        for start in (ids[2].decode(), StreamId.parse(ids[2])):
            async with client.consumer({"s": start}) as consumer:
                assert await take(consumer, 2) == [3, 4]


async def test_several_streams_with_different_starts(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3), "all")
    ids = add(raw, range(10, 13), "some")
    add(raw, range(20, 23), "new")
    starts = {"all": "0", "some": ids[0].decode(), "new": "$"}
    seen: dict[str, list[int]] = {name: [] for name in starts}
    async with runtime.connect(server.url) as client, client.consumer(starts, decode="utf-8") as consumer:
        add(raw, [23], "new")
        for _ in range(6):
            entry = await anext(consumer)
            seen[entry.stream].append(int(entry["n"]))
    assert seen == {"all": [0, 1, 2], "some": [11, 12], "new": [23]}


async def test_a_cursor_resumes(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(10), "a"), add(raw, range(10), "b")
    numbers = []
    async with runtime.connect(server.url) as client:
        async with client.consumer({"a": "0", "b": "0"}, count=3) as consumer:
            for _ in range(3):
                numbers += [(e.stream, int(e["n"])) for e in await anext(consumer.batches())]
            first = await anext(consumer)
            numbers.append((first.stream, int(first["n"])))
            cursor = consumer.cursor()
            assert cursor[first.stream] == first.id, "not the last entry of its batch"
        async with client.consumer(cursor) as consumer:
            numbers += [(e.stream, int(e["n"])) for e in [await anext(consumer) for _ in range(20 - len(numbers))]]
            assert consumer.cursor() == {b"a": StreamId.parse(ids[0][-1]), b"b": StreamId.parse(ids[1][-1])}
    assert sorted(numbers) == [(name, n) for name in (b"a", b"b") for n in range(10)]


@pytest.mark.every_server
async def test_a_backlog_and_then_new_entries(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(500))
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}) as consumer, runtime.tasks() as tasks:
        taking = tasks.start(take, consumer, 520)
        await blocked(runtime, raw)
        for n in range(500, 520):
            add(raw, [n])
        assert await taking.result() == list(range(520))


async def test_batches_and_what_is_left_of_one(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(20))
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}, count=10) as consumer:
        assert await take(consumer, 4) == [0, 1, 2, 3]
        batches = consumer.batches()
        first, second = await anext(batches), await anext(batches)
        assert [int(e["n"]) for e in first] == list(range(4, 10))
        assert [int(e["n"]) for e in second] == list(range(10, 20))
        assert (first.stream, len(first), first[0]["n"]) == (b"s", 6, b"4")


async def test_an_entry_as_bytes_and_as_text(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("XADD", "überall", "5-1", "größe", "groß", "a", "1", "a", "2")
    async with runtime.connect(server.url) as client:
        async with client.consumer({"überall": "0"}) as consumer:
            entry = await anext(consumer)
        async with client.consumer({"überall": "0"}, decode="utf-8") as texts:
            text = await anext(texts)
    assert (entry.stream.decode(), entry.id, entry.fields) == (
        "überall",
        StreamId(5, 1),
        {"größe".encode(): "groß".encode(), b"a": b"2"},
    )
    assert entry["größe"] == "groß".encode()
    assert (text.stream, text.id, text.fields) == ("überall", StreamId(5, 1), {"größe": "groß", "a": "2"})
    assert text.pairs() == [("größe", "groß"), ("a", "1"), ("a", "2")]


async def test_a_timeout_is_kept(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.consumer("s", block=0.02) as consumer:
        began = time.monotonic()
        assert await consumer.get(timeout=0.2) is None  # although a reply, without entries, comes every 20 ms
        assert 0.19 <= time.monotonic() - began < 2  # clocks are not all equally fine
        assert await consumer.get(timeout=0) is None
        add(raw, [0])
        entry = await consumer.get(timeout=5)
        assert entry is not None
        assert entry["n"] == b"0"


async def test_looking_without_waiting_finds_what_comes(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}) as consumer:
        add(raw, [0])
        entry, deadline = None, time.monotonic() + 5
        while entry is None and time.monotonic() < deadline:
            entry = await consumer.get(timeout=0)
        assert entry is not None


async def test_leaving_in_the_middle(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1000))
    async with runtime.connect(server.url) as client:
        async with client.consumer({"s": "0"}) as consumer:
            async for entry in consumer:
                if entry["n"] == b"250":
                    break
        assert await client.ping() == b"PONG"
    await runtime.until(lambda: b"connected_clients:1\r" in raw("INFO", "clients"))


class StopHere(Exception):
    """What the application raises at a gap."""


def test_a_cursor_does_not_pass_what_a_raising_listener_kept_back(server: EmbeddedServer) -> None:
    def stop_at_gaps(event: Event) -> None:
        if isinstance(event, Gap):
            raise StopHere

    with Raw(server.address) as raw:
        for number in range(1, 11):
            raw("XADD", "s", f"{number}-0", "f", "v")
        taken: list[int] = []
        with (
            connect(server.url, on_event=stop_at_gaps) as client,
            client.consumer({"s": "3-0"}, count=2) as consumer,
        ):
            raw("XTRIM", "s", "MAXLEN", 5)
            with pytest.raises(StopHere):
                taken.extend(entry.id.ms for entry in consumer)
            cursor = consumer.cursor()[b"s"].ms
            assert consumer.remove_stream("s")
            left_over = consumer.get(0.1)
    assert cursor <= (taken or [3])[-1], "whoever goes on from there loses a batch"
    assert left_over is None, "an entry of a stream that is followed no more"
