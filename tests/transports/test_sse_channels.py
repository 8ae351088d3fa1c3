"""Channels as server-sent events: what many browsers get of one reader, with a history, after a break, and when they are slow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streamcore.channels import ChannelMessage
from streamcore.errors import ClosedError, InvalidArgument
from tests.support.pages import Page
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import clients
from transports.anyio import Client
from transports.embedded import EmbeddedServer
from transports.sse import ServerSentEvent, channel_events

pytestmark = pytest.mark.runtimes("async")


@asynccontextmanager
async def hub(runtime: Runtime, server: EmbeddedServer, **options: Any) -> AsyncIterator[Any]:
    client: Client = runtime.connect(server.url)
    async with client, client.channels(**options) as channels:
        yield channels


def data(page: Page) -> list[str]:
    return [one.data for one in page.got if one.event == "message"]


async def shown(runtime: Runtime, page: Page, expected: list[str]) -> None:
    await runtime.until(lambda: data(page) == expected)


async def begun(runtime: Runtime, page: Page) -> None:
    await runtime.until(lambda: page.pieces)


@pytest.mark.parametrize("history", [0, 1, 3, 10])
async def test_a_page_gets_some_history_and_then_what_comes(
    runtime: Runtime, server: EmbeddedServer, history: int
) -> None:
    async with hub(runtime, server) as channels, runtime.tasks() as tasks:
        for number in range(5):
            await channels.publish(f"old {number}", "room")
        page = Page(runtime)
        tasks.start(page.visit, channel_events(channels, "room", history=history))
        await begun(runtime, page)
        await channels.publish("new", "room")
        await channels.publish("elsewhere", "other")
        old = [f"old {number}" for number in range(5)]
        await shown(runtime, page, [*(old[-history:] if history else []), "new"])
        page.leave()


@pytest.mark.every_server
async def test_pages_come_back_behind_their_last_message(runtime: Runtime, server: EmbeddedServer) -> None:
    async with hub(runtime, server) as channels, runtime.tasks() as tasks:
        events = channel_events(channels, "room", history=1)
        seen: list[str] = []
        last: str | None = None
        for visit in range(4):
            page = Page(runtime, last_event_id=last)
            tasks.start(page.visit, events)
            await begun(runtime, page)
            await channels.publish(f"{visit} here", "room")
            expected = [f"{visit - 1} away", f"{visit} here"] if visit else ["0 here"]
            await shown(runtime, page, expected)
            page.leave()
            seen += data(page)
            last = page.last_event_id
            await channels.publish(f"{visit} away", "room")
        assert len(seen) == 7


async def test_a_page_that_left_before_the_first_message_misses_none(runtime: Runtime, server: EmbeddedServer) -> None:
    async with hub(runtime, server) as channels, runtime.tasks() as tasks:
        for old in ([], ["a", "b", "c"]):
            for message in old:
                await channels.publish(message, "room")
            events = channel_events(channels, "room")
            first = Page(runtime)
            tasks.start(first.visit, events)
            await begun(runtime, first)
            first.leave()
            await channels.publish("missed", "room")
            second = Page(runtime, last_event_id=first.last_event_id)
            tasks.start(second.visit, events)
            await shown(runtime, second, ["missed"])
            assert first.got == []
            second.leave()


async def test_fifty_pages_share_one_reader(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with hub(runtime, server) as channels, runtime.tasks() as tasks:
        await channels.subscribe("room")
        connections = len(clients(raw))
        events = channel_events(channels, "room")
        pages = [Page(runtime) for _ in range(50)]
        for page in pages:
            tasks.start(page.visit, events)
        for page in pages:
            await begun(runtime, page)
        assert len(clients(raw)) == connections
        await channels.publish("x", "room")
        for page in pages:
            await shown(runtime, page, ["x"])
            page.leave()


async def test_a_page_that_stalls_holds_up_nobody_and_catches_up(runtime: Runtime, server: EmbeddedServer) -> None:
    async with hub(runtime, server, queue_size=10) as channels, runtime.tasks() as tasks:
        events = channel_events(channels, "room")
        slow, fast = Page(runtime), Page(runtime)
        for page in (slow, fast):
            tasks.start(page.visit, events)
            await begun(runtime, page)
        slow.stall()
        messages = [f"{number} {'x' * 10_000}" for number in range(100)]
        for message in messages:
            await channels.publish(message, "room")
        await shown(runtime, fast, messages)
        assert len(data(slow)) < 100
        slow.go_on()
        await shown(runtime, slow, messages)
        assert [one.event for one in slow.got] == ["message"] * 100
        slow.leave()
        fast.leave()


@pytest.mark.every_server
async def test_what_was_trimmed_meanwhile_is_told(runtime: Runtime, server: EmbeddedServer) -> None:
    async with hub(runtime, server, history=3, retention=3) as channels, runtime.tasks() as tasks:
        first = [str(id_) for number in range(3) for id_ in await channels.publish(f"{number}", "room")]
        for number in range(3, 9):
            await channels.publish(f"{number}", "room")
        events = channel_events(channels, "room", history=3)
        page, new = Page(runtime, last_event_id=first[0]), Page(runtime)
        for one in (page, new):
            tasks.start(one.visit, events)
            await shown(runtime, one, ["6", "7", "8"])
            one.leave()
        assert [one.event for one in page.got] == ["gap", "message", "message", "message"]
        assert page.got[0].json["after"] == first[0]
        assert [one.event for one in new.got] == ["message"] * 3, "who comes for the first time misses nothing"


async def test_names_and_data_are_what_the_encoder_says(runtime: Runtime, server: EmbeddedServer) -> None:
    def encode(message: ChannelMessage[str]) -> ServerSentEvent | str | None:
        if message.data == "skip":
            return None
        return ServerSentEvent(message.data.upper(), event=message.channel)

    async with hub(runtime, server, decode="utf-8") as channels, runtime.tasks() as tasks:
        page = Page(runtime)
        tasks.start(page.visit, channel_events(channels, "room", encode=encode))
        await begun(runtime, page)
        for message in ("a", "skip", "b"):
            await channels.publish(message, "room")
        await runtime.until(lambda: len(page.got) == 2)
        assert [(one.event, one.data) for one in page.got] == [("room", "A"), ("room", "B")]
        page.leave()


async def test_of_pubsub_there_are_messages_without_ids(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with hub(runtime, server, kind="pubsub") as channels, runtime.tasks() as tasks:
        page, back = Page(runtime), Page(runtime, last_event_id="1-1")
        for one in (page, back):
            tasks.start(one.visit, channel_events(channels, "room"))
            await begun(runtime, one)
        await channels.publish("x", "room")
        for one in (page, back):
            await shown(runtime, one, ["x"])
            assert one.last_event_id == ""
        raw("CLIENT", "KILL", "TYPE", "pubsub")
        await runtime.until(lambda: [one.event for one in page.got] == ["message", "gap"])
        assert page.got[1].json == {"after": None, "before": None, "entries": None, "rewound": False}
        for one in (page, back):
            one.leave()


async def test_closing_the_hub_ends_the_answers_and_later_ones(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.tasks() as tasks:
        async with hub(runtime, server) as channels:
            events = channel_events(channels, "room")
            page = Page(runtime)
            visit = tasks.start(page.visit, events)
            await begun(runtime, page)
        await visit.result()
        assert page.ended
        late = Page(runtime)
        await late.visit(events)
        assert (late.status, late.ended) == (200, True)


async def test_arguments_are_checked_where_they_are_given(runtime: Runtime, server: EmbeddedServer) -> None:
    async with hub(runtime, server) as channels:
        with pytest.raises(InvalidArgument, match="channel"):
            channel_events(channels, "")
        with pytest.raises(InvalidArgument, match="history"):
            channel_events(channels, "room", history=-1)
    with pytest.raises(ClosedError):
        channels.subscriber("room")


async def test_who_saw_the_channel_empty_is_told_what_was_trimmed_since(
    runtime: Runtime, server: EmbeddedServer
) -> None:
    async with hub(runtime, server, history=2, retention=2) as channels, runtime.tasks() as tasks:
        events = channel_events(channels, "room")
        first = Page(runtime)
        tasks.start(first.visit, events)
        await begun(runtime, first)
        first.leave()
        assert first.last_event_id == "0-0"
        for number in range(5):
            await channels.publish(f"{number}", "room")
        back = Page(runtime, last_event_id=first.last_event_id)
        tasks.start(back.visit, events)
        await shown(runtime, back, ["3", "4"])
        assert [one.event for one in back.got] == ["gap", "message", "message"]
        assert back.got[0].json["entries"] == 3
        back.leave()


async def test_a_channel_that_has_expired_meanwhile_begins_anew(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with hub(runtime, server, ttl=3600) as channels, runtime.tasks() as tasks:
        [last] = await channels.publish("old", "room")
        raw("PEXPIRE", channels.key("room"), 1)
        await runtime.until(lambda: not raw("EXISTS", channels.key("room")))
        back = Page(runtime, last_event_id=str(last))
        tasks.start(back.visit, channel_events(channels, "room"))
        await begun(runtime, back)
        await channels.publish("new", "room")
        await shown(runtime, back, ["new"])
        back.leave()
