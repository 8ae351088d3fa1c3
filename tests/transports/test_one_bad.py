"""One bad thing among many: it is told in its place, and neither hides nor ends the others."""

from __future__ import annotations

import pytest

from streamcore import Command, RemoteProtocolError, WrongTypeError
from streamcore.events import ChannelEnded, Event
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.test_channels import data
from transports.embedded import EmbeddedServer


@pytest.mark.every_server
async def test_a_channel_whose_key_is_no_stream_is_left_by_those_in_it(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.channels(prefix="") as channels,
        channels.subscriber("good") as good,
        channels.subscriber("cart:77") as bad,
    ):
        raw("HSET", "cart:77", "a", "b")
        await channels.publish("1", "good")
        assert await data(good, 1) == [b"1"]
        with pytest.raises(WrongTypeError, match="channel 'cart:77'"):
            await bad.get(timeout=10)
        assert (await bad.get(timeout=0), bad.subscriptions) == (None, frozenset())
        await channels.publish("2", "good")
        assert await data(good, 1) == [b"2"]
        raw("DEL", "cart:77")
        await bad.subscribe("cart:77")
        await channels.publish("3", "cart:77")
        assert await data(bad, 1) == [b"3"]
        await channels.subscribe("third")
    assert [event.stream for event in events if isinstance(event, ChannelEnded)] == [b"cart:77"]


async def test_a_visitor_of_a_key_that_is_no_stream_ends_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    raw("SET", "session", "a string")
    async with (
        runtime.connect(server.url) as client,
        client.channels(prefix="") as channels,
        channels.subscriber("good") as good,
    ):
        with pytest.raises(WrongTypeError):
            await channels.subscribe("session")
        await channels.publish("1", "good")
        assert await data(good, 1) == [b"1"]


async def test_a_parser_of_the_application_that_fails_costs_no_other_answer(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    def parse(reply: bytes) -> int:
        raise FileNotFoundError("what it looked into")

    raw("SET", "k", "v")
    get: Command[bytes] = Command(("GET", "k"))
    async with runtime.connect(server.url) as client:
        first, failed, last = await client.pipeline([get, Command(("GET", "k"), parse), get])
    assert (first, last) == (b"v", b"v")
    assert isinstance(failed, RemoteProtocolError)
    assert isinstance(failed.__cause__, FileNotFoundError)
