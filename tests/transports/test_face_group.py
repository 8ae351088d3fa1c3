"""What a member tells of its group."""

from __future__ import annotations

import pytest

from streamcore import InvalidArgument, ReplyError, WrongTypeError
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, drain, take, take_and_ack
from transports.embedded import EmbeddedServer


@pytest.mark.every_server
async def test_the_lag_counts_what_nobody_was_given_yet(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(30), "a")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(["a", "b"], group="g", count=10, prefetch=1) as consumer,
    ):
        assert await take(consumer, 1) == [0]
        await runtime.until(lambda: raw("XPENDING", "a", "g")[0] in (10, 20))
        given = raw("XPENDING", "a", "g")[0]
        assert await consumer.lag() == {b"a": 30 - given, b"b": 0}


@pytest.mark.every_server
async def test_a_lag_that_the_server_does_not_know(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """An entry that was deleted in the middle of what is not read yet makes it uncountable."""
    ids = add(raw, range(30))
    raw("XDEL", "s", ids[25])
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", count=5, prefetch=1) as consumer,
    ):
        assert await take(consumer, 1) == [0]
        assert await consumer.lag() == {b"s": None}


async def test_a_group_that_has_vanished_has_no_lag(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", on_group_lost="raise") as consumer,
    ):
        assert await take(consumer, 3) == [0, 1, 2]
        raw("XGROUP", "DESTROY", "s", "g")
        assert await consumer.lag() == {b"s": None}
        with pytest.raises(ReplyError, match="NOGROUP"):
            await consumer.pending()
        raw("DEL", "s")
        with pytest.raises(ReplyError):
            await consumer.lag()


@pytest.mark.every_server
async def test_what_is_pending_for_whom(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    ids = add(raw, range(10))
    add(raw, range(2), "t")
    raw("XGROUP", "CREATE", "s", "g", "0")
    raw("XREADGROUP", "GROUP", "g", "other", "COUNT", 4, "STREAMS", "s", ">")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(["s", "t"], group="g", consumer="me") as consumer,
    ):
        assert len(await take_and_ack(consumer, 8)) == 8
        assert await consumer.flush()
        found = await consumer.pending()
    assert found[b"s"] == (4, found[b"s"].lowest, found[b"s"].highest, {b"other": 4})
    assert [bytes(found[b"s"].lowest or ()), bytes(found[b"s"].highest or ())] == [ids[0], ids[3]]
    assert found[b"t"] == (0, None, None, {})


async def test_they_do_not_wait_for_a_read_that_blocks(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", block=10) as consumer:
        assert await consumer.get(timeout=0.05) is None
        assert await consumer.lag() == {b"s": 0}
        assert (await consumer.pending())[b"s"].entries == 0


async def test_another_stream_joins_while_a_read_waits(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3), "t")
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", block=10) as consumer:
        assert await consumer.get(timeout=0.05) is None
        assert await consumer.add_stream("t")
        assert not await consumer.add_stream("t")
        assert await take_and_ack(consumer, 3) == [0, 1, 2]
        assert await consumer.flush()
        assert (await consumer.lag()) == {b"s": 0, b"t": 0}


async def test_a_stream_that_cannot_join_leaves_no_trace(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("SET", "t", "text")
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g", block=0.2) as consumer:
        with pytest.raises(WrongTypeError):
            await consumer.add_stream("t")
        add(raw, [0])
        assert await take_and_ack(consumer, 1) == [0]
        with pytest.raises(InvalidArgument, match="cannot be read through group"):
            await consumer.add_stream("u", group="h")


async def test_a_stream_that_is_removed_is_handed_over_no_more(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(10), "s")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer(["s", "t"], group="g", block=0.2) as consumer,
    ):
        assert await take_and_ack(consumer, 3) == [0, 1, 2]
        removed = [consumer.remove_stream("s"), consumer.remove_stream("s")]
        assert removed == [True, False]
        add(raw, [0], "t")
        assert await take_and_ack(consumer, 1) == [0]
        assert await consumer.flush()
        async with client.group_consumer("s", group="g", consumer="other") as other:
            assert await drain(other, 7) == list(range(3, 10))


async def test_a_stream_joins_one_of_several_groups(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(2), "u")
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer({"s": "g", "t": "h"}, block=0.2) as consumer,
    ):
        with pytest.raises(InvalidArgument, match="group is missing"):
            await consumer.add_stream("u")
        assert await consumer.add_stream("u", group="h")
        assert await take_and_ack(consumer, 2) == [0, 1]
        assert await consumer.flush()
        assert {stream: found.entries for stream, found in (await consumer.pending()).items()} == {
            b"s": 0,
            b"t": 0,
            b"u": 0,
        }
        assert raw("XINFO", "GROUPS", "u")[0][1] == b"h"
