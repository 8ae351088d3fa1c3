"""The group or its stream vanishes under a consumer that waits: it goes on, and sees what is added later."""

from __future__ import annotations

import pytest

from streamcore import NoGroupError, WrongTypeError
from streamcore.errors import ReplyError, UnblockedError
from streamcore.events import Event, GroupCreated, GroupRecreated
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, pending, take_and_ack
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.core("group/test_group_creation", "group/test_absence", "consumer/test_gap_detection")

ENDS = {
    "group destroyed": ["XGROUP", "DESTROY", "s", "g"],
    "stream deleted": ["DEL", "s"],
    "everything deleted": ["FLUSHALL"],
}


@pytest.mark.every_server
@pytest.mark.parametrize("end", ENDS)
async def test_it_is_created_again(runtime: Runtime, server: EmbeddedServer, raw: Raw, end: str) -> None:
    add(raw, range(3))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", consumer="me", count=2) as consumer,
        runtime.tasks() as tasks,
    ):
        assert await take_and_ack(consumer, 3) == [0, 1, 2]
        await consumer.flush()
        for n in (3, 4):
            waiting = tasks.start(take_and_ack, consumer, 1)
            await blocked(runtime, raw)
            raw(*ENDS[end])
            add(raw, [n])
            numbers = await waiting.result()
            while numbers[-1] < n:  # entries that are still in the stream may come again, as far as they must
                numbers = await take_and_ack(consumer, 1)
            assert numbers == [n]
            await consumer.flush()
    assert pending(raw) == 0
    kinds = [type(event) for event in events if isinstance(event, GroupCreated | GroupRecreated)]
    assert kinds == [GroupCreated, GroupRecreated, GroupRecreated]


async def test_one_of_several_streams_goes(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(["a", "b"], group="g", decode="utf-8") as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(anext, consumer)
        await blocked(runtime, raw)
        raw("DEL", "a")
        await blocked(runtime, raw)
        add(raw, [1], "a")
        assert (await waiting.result()).stream == "a"
        add(raw, [2], "b")
        assert (await anext(consumer)).stream == "b"


async def test_what_was_acknowledged_for_a_group_that_is_gone(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        entries = [await anext(consumer) for _ in range(3)]
        raw("FLUSHALL")
        for entry in entries:
            entry.ack()
        assert await consumer.flush()
        add(raw, [3])
        assert await take_and_ack(consumer, 1) == [3]


async def test_it_is_not_created_where_that_is_forbidden(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", create=False) as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(anext, consumer)
        await blocked(runtime, raw)
        raw("XGROUP", "DESTROY", "s", "g")
        assert isinstance(await waiting.raised(), NoGroupError | UnblockedError)
        with pytest.raises(ReplyError):  # and so does every later use
            await consumer.get(timeout=1)


@pytest.mark.every_server
async def test_a_string_in_its_place(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g") as consumer,
        runtime.tasks() as tasks,
    ):
        waiting = tasks.start(anext, consumer)
        await blocked(runtime, raw)
        raw("SET", "s", "text")
        assert isinstance(await waiting.raised(), WrongTypeError)


async def test_a_followed_stream_begins_anew(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """A plain consumer stays blocked, and sees what has a higher id than the last one that it has seen."""
    add(raw, range(2))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}) as consumer,
        runtime.tasks() as tasks,
    ):
        for _ in range(2):
            await anext(consumer)
        waiting = tasks.start(anext, consumer)
        await blocked(runtime, raw)
        raw("DEL", "s")
        await runtime.sleep(0.002)  # ids are milliseconds
        add(raw, [2])
        assert (await waiting.result())["n"] == b"2"
