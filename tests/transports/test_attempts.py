"""The server's counter of deliveries says how often the application has begun with an entry; what failed too often is a dead letter."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import InvalidArgument, WrongTypeError
from streamcore.events import DeadLettered, Event, OwnershipLost, PendingEntriesDeleted, SettlingRefused
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, clients, pending, take, take_and_ack
from transports.anyio import Client
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.core("group/test_attempts", "group/test_dead_letters", "group/test_redelivery")


def deliveries(raw: Raw, stream: str = "s") -> dict[bytes, int]:
    """How often each pending entry was delivered, as the server counts."""
    return {id_: times for id_, _, _, times in raw("XPENDING", stream, "g", "-", "+", 1000)}


async def crash(runtime: Runtime, client: Client, raw: Raw, **options: Any) -> list[int]:
    """A worker that takes one entry and dies of it: neither settled nor given back."""
    consumer = client.group_consumer("s", group="g", consumer="worker", release_on_close=False, **options)
    async with consumer:
        return await take(consumer, 1)


@pytest.mark.every_server
async def test_a_crash_loop_condemns_the_culprit_and_not_its_neighbours(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    ids = add(raw, range(100))
    async with runtime.connect(server.url) as client:
        for attempt in range(1, 6):
            assert await crash(runtime, client, raw, max_deliveries=5) == [0]
            assert deliveries(raw) == {ids[0]: attempt, **dict.fromkeys(ids[1:], 1)}
        async with client.group_consumer("s", group="g", consumer="worker", max_deliveries=5) as consumer:
            assert await take_and_ack(consumer, 99) == list(range(1, 100))
    assert pending(raw) == 0
    [[_, letter]] = raw("XRANGE", "{s}:dead", "-", "+")
    assert dict(zip(letter[::2], letter[1::2], strict=True)) == {
        b"n": b"0",
        b"dead:reason": b"delivered too often",
        b"dead:attempts": b"5",
        b"dead:stream": b"s",
        b"dead:id": ids[0],
        b"dead:group": b"g",
        b"dead:consumer": b"worker",
    }


async def test_an_entry_says_which_attempt_this_is(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1))
    async with runtime.connect(server.url) as client:
        for attempt in (1, 2, 3):
            async with client.group_consumer("s", group="g", consumer="worker") as consumer:
                entry = await anext(consumer)
                assert (entry["n"], entry.deliveries) == (b"0", attempt)


@pytest.mark.every_server
async def test_what_was_given_back_unseen_has_not_been_delivered(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    ids = add(raw, range(30))
    async with runtime.connect(server.url) as client:
        for _ in range(5):
            async with client.group_consumer("s", group="g", consumer="worker", max_deliveries=2) as consumer:
                assert (await consumer.get(timeout=5)) is not None
                assert deliveries(raw)[ids[29]] == 1
            assert deliveries(raw)[ids[29]] == 0


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_reconnects_are_no_attempts(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(30))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="worker", count=10, max_deliveries=2) as consumer,
    ):
        numbers = await take(consumer, 1)
        for _ in range(5):
            for one in clients(raw):
                raw("CLIENT", "KILL", "ID", one["id"])
            numbers += await take(consumer, 5)
        numbers += await take(consumer, 4)
        assert numbers == list(range(30))
        assert deliveries(raw) == dict.fromkeys(ids, 1)


@pytest.mark.every_server
async def test_what_is_refused_for_the_last_time_is_a_dead_letter(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(3))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer(
            "s", group="g", consumer="worker", max_deliveries=3, dead_letter_stream="graveyard"
        ) as consumer,
    ):
        for attempt in (1, 2, 3):
            for entry in [await anext(consumer) for _ in range(3 if attempt == 1 else 1)]:
                assert entry.deliveries == attempt
                if entry["n"] == b"1":
                    entry.nack(reason="no such order")
                else:
                    entry.ack()
        assert await consumer.get(timeout=0.3) is None
        assert await consumer.flush()
        assert pending(raw) == 0
    [[letter, fields]] = raw("XRANGE", "graveyard", "-", "+")
    assert fields[:6] == [b"n", b"1", b"dead:reason", b"no such order", b"dead:attempts", b"3"]
    [told] = [event for event in events if isinstance(event, DeadLettered)]
    assert (told.letters, told.letter, told.deliveries, told.reason) == (b"graveyard", letter, 3, "no such order")


async def test_a_dead_letter_on_request(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(4))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        entry = await anext(consumer)
        entry.dead_letter("not an order")
        entry.ack()
        entry.nack()
        batch = await anext(consumer.batches())
        batch.dead_letter("none of them")
        assert await consumer.flush()
        assert entry.settled()
    letters = raw("XRANGE", "{s}:dead", "-", "+")
    assert sorted(fields[1] for _, fields in letters) == [b"0", b"1", b"2", b"3"] or len(letters) == 3
    assert pending(raw) == 0


async def test_a_deleted_entry_cannot_be_a_letter_and_is_a_tombstone(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    [id_] = add(raw, range(1))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer("s", group="g") as consumer,
    ):
        entry = await anext(consumer)
        raw("XDEL", "s", id_)
        entry.dead_letter()
        assert await consumer.flush()
        assert await consumer.get(timeout=0) is None
    assert PendingEntriesDeleted(b"s", (id_,)) in events
    assert pending(raw) == raw("EXISTS", "{s}:dead") == 0


async def test_what_another_member_has_taken_over_is_not_ours_to_bury(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    [id_] = add(raw, range(1))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", audit_interval=60) as consumer,
    ):
        entry = await anext(consumer)
        raw("XCLAIM", "s", "g", "another", 0, id_)
        entry.dead_letter()
        assert await consumer.flush()
        assert await consumer.get(timeout=0) is None
    assert OwnershipLost(b"s", (id_,)) in events
    assert (pending(raw), raw("EXISTS", "{s}:dead")) == (1, 0)


async def test_dead_letters_that_are_no_stream_lose_nothing(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(2))
    raw("SET", "{s}:dead", "a string")
    told: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=told.append) as client,
        client.group_consumer("s", group="g", consumer="worker", count=1) as consumer,
    ):
        (await anext(consumer)).dead_letter()
        assert not await consumer.flush(timeout=0.3)
        assert int((await anext(consumer))["n"]) == 1  # which ends nothing
        assert pending(raw) == 2
        await runtime.until(lambda: any(isinstance(event, SettlingRefused) for event in told))
        [refused] = [event for event in told if isinstance(event, SettlingRefused)]
        assert (refused.key, refused.group, refused.consumer) == (b"{s}:dead", b"g", b"worker")
        assert isinstance(refused.error, WrongTypeError)
        raw("DEL", "{s}:dead")
        assert await consumer.flush()
        assert (pending(raw), raw("XLEN", "{s}:dead")) == (1, 1)


async def test_options_that_contradict_each_other(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        contradictions: list[dict[str, Any]] = [
            {"dead_letter_stream": "s"},
            {"max_deliveries": 0},
            {"ack": "none", "max_deliveries": 3},
            {"ack": "none", "fenced": True},
            {"history_only": True, "backlog": False},
            {"on_group_lost": "ignore"},
            {"consumer": "streamcore:nacked"},
        ]
        for options in contradictions:
            with pytest.raises(InvalidArgument):
                client.group_consumer("s", group="g", **options)
