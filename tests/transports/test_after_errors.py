"""What an error of the application, or of the server, must not take with it."""

from __future__ import annotations

import pytest

from streamcore import NoPermissionError
from streamcore.events import Event, GroupCreated
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, pending, take, take_and_ack
from transports.embedded import EmbeddedServer


async def test_a_listener_that_raises_loses_no_batch(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    def listen(event: Event) -> None:
        if type(event) is GroupCreated:
            raise ValueError("the application's own")

    add(raw, range(3))
    async with (
        runtime.connect(server.url, on_event=listen) as client,
        client.group_consumer("s", group="g") as consumer,
    ):
        with pytest.raises(ValueError, match="the application's own"):
            await consumer.get()
        assert await take_and_ack(consumer, 3) == [0, 1, 2]
    assert pending(raw) == 0


async def test_flush_says_why_nothing_can_be_confirmed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("ACL", "SETUSER", "reader", "on", "nopass", "~*", "&*", "+@all", "-xack")
    try:
        add(raw, range(2))
        url = server.url.replace("redis://", "redis://reader:@")
        async with runtime.connect(url) as client, client.group_consumer("s", group="g", ack_delay=10) as consumer:
            assert await take(consumer, 1) == [0]
            entry = await anext(consumer)
            entry.ack()
            with pytest.raises(NoPermissionError):
                await consumer.flush()
    finally:
        raw("ACL", "DELUSER", "reader")
    assert pending(raw) == 2


async def test_entries_settled_elsewhere_make_room(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(4))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", max_in_flight=2, audit_interval=0.1) as consumer,
    ):
        assert await take(consumer, 2) == [0, 1]
        raw("XACK", "s", "g", *ids[:2])
        assert await take_and_ack(consumer, 2) == [2, 3]
    assert pending(raw) == 0
