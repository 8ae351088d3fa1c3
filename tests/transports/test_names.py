"""A member's name belongs to one process: the last one that has come. Nobody adopts another's work in silence."""

from __future__ import annotations

import pytest

from streamcore import ConsumerFencedError
from streamcore.events import ConsumerFenced, Degraded, Event, StaleConnectionKilled
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, clients, drain, take
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.core("group/test_name_lease")


@pytest.mark.every_server
async def test_an_older_twin_is_told_and_stops(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(10))
    events: list[Event] = []
    async with runtime.connect(server.url, on_event=events.append) as client, runtime.connect(server.url) as other:
        older = client.group_consumer("s", group="g", consumer="me", audit_interval=0.2, block=0.2)
        newer = other.group_consumer("s", group="g", consumer="me")
        async with older:
            assert await take(older, 3) == [0, 1, 2]
            async with newer:
                with pytest.raises(ConsumerFencedError, match="'me'"):
                    await take(older, 1000)
                assert sorted(await drain(newer, 10)) == list(range(10))
    assert ConsumerFenced(b"s", b"me") in events
    assert raw("XPENDING", "s", "g")[0] == 0


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_at_once_where_its_connection_may_be_closed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(server.url) as client,
        runtime.connect(server.url, on_event=events.append) as other,
        client.group_consumer("s", group="g", consumer="me") as older,
        other.group_consumer("s", group="g", consumer="me") as newer,
    ):
        with pytest.raises(ConsumerFencedError):
            await older.get(timeout=4)  # its read waits for 5 seconds, and so does its audit
        assert await newer.get(timeout=0) is None
    assert any(isinstance(event, StaleConnectionKilled) for event in events)


async def test_one_after_the_other_is_nobodys_twin(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    events: list[Event] = []
    async with runtime.connect(server.url, on_event=events.append) as client:
        for _ in range(3):
            async with client.group_consumer("s", group="g", consumer="me") as consumer:
                assert await consumer.get(timeout=0) is None
            assert raw("KEYS", "*name*") == [], "it was given free"
    assert not any(isinstance(event, (ConsumerFenced, StaleConnectionKilled)) for event in events)


async def test_members_without_a_name_of_their_own_hold_none(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        assert await consumer.get(timeout=0) is None
        assert raw("KEYS", "*name*") == []
        assert len(raw("XINFO", "CONSUMERS", "s", "g")) <= 1
    assert raw("XINFO", "CONSUMERS", "s", "g") == [], "and are gone when they have left"


async def test_twins_that_are_wanted(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", exclusive=False) as one,
        client.group_consumer("s", group="g", consumer="me", exclusive=False) as two,
    ):
        assert await one.get(timeout=0.1) is None
        assert await two.get(timeout=0.1) is None


async def test_a_lease_that_is_flushed_away_is_taken_again(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", audit_interval=0.1, block=0.1) as consumer,
    ):
        raw("DEL", *raw("KEYS", "*name*"))
        while not raw("KEYS", "*name*"):
            assert await consumer.get(timeout=0.1) is None
        assert len(raw("KEYS", "*name*")) == 1


async def test_where_it_is_forbidden_that_is_said_and_nothing_else_stops(
    runtime: Runtime, fresh_server: EmbeddedServer
) -> None:
    raw = Raw(fresh_server.address)
    raw("ACL", "SETUSER", "worker", "on", ">secret", "~s", "+@all")
    add(raw, range(3))
    events: list[Event] = []
    url = fresh_server.url.replace("://", "://worker:secret@")
    async with (
        runtime.connect(url, on_event=events.append) as client,
        client.group_consumer("s", group="g", consumer="me") as consumer,
    ):
        assert await drain(consumer, 3) == [0, 1, 2]
    raw.close()
    told = [event for event in events if isinstance(event, Degraded)]
    assert told[0] == Degraded("guarding the name", "~{s}:name:g:me")


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_a_ghost_of_a_former_process_is_closed(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """Its connection is still open on the server, blocked, and would be served first."""
    run_id = raw("INFO", "server").split(b"run_id:")[1].split(b"\r")[0]
    raw("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    ghost = Raw(server.address)
    ghost("CLIENT", "SETNAME", "streamcore:0123")
    number = ghost("CLIENT", "ID")
    raw("HSET", "{s}:name:g:me", "holder", "streamcore:0123", "client", number, "run", run_id)
    ghost.send("XREADGROUP", "GROUP", "g", "me", "BLOCK", 20000, "STREAMS", "s", ">")
    stranger = Raw(server.address)
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", consumer="me") as consumer:
        assert str(number) not in {one["id"] for one in clients(raw)}
        add(raw, range(1))
        assert await take(consumer, 1) == [0]
    assert stranger("PING") == b"PONG"
    with pytest.raises((EOFError, OSError)):
        ghost.read()
    ghost.close()
    stranger.close()


@pytest.mark.runtimes("asyncio", "background")
@pytest.mark.parametrize(("field", "value"), [("run", "another"), ("holder", "streamcore:9999")])
async def test_a_stranger_under_its_number_is_left_alone(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, field: str, value: str
) -> None:
    """The server was started again, and its numbers began anew; or the number is now somebody else's."""
    run_id = raw("INFO", "server").split(b"run_id:")[1].split(b"\r")[0]
    stranger = Raw(server.address)
    stranger("CLIENT", "SETNAME", "streamcore:0123")
    lease = {"holder": "streamcore:0123", "client": stranger("CLIENT", "ID"), "run": run_id, field: value}
    raw("HSET", "{s}:name:g:me", *(word for pair in lease.items() for word in pair))
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", consumer="me") as consumer:
        assert await consumer.get(timeout=0.1) is None
    assert stranger("PING") == b"PONG"
    stranger.close()
