"""What a type checker makes of the public face; it is checked, and never run.

``make lint`` checks this file as every other; ``test_typing.py`` does so among the tests.
"""

from __future__ import annotations

from typing import Any, assert_type

import transports.anyio
import transports.asyncio
import transports.blocking
import transports.trio
from streamcore import Batch, Command, Entry, GroupBatch, GroupEntry, StreamId
from streamcore.commands import (
    DeliveredEntry,
    EntryFields,
    PendingSummary,
    Removal,
    StreamEntry,
    get,
    raw,
    xadd,
    xautoclaim,
    xautoclaim_justid,
    xclaim_justid,
    xdelex,
    xinfo_groups,
    xinfo_stream_full,
    xlen,
    xpending_range,
    xrange,
    xread,
    xreadgroup,
)


async def clients_of_all_runtimes() -> None:
    async with transports.asyncio.connect("redis://localhost") as client:
        assert_type(client, transports.asyncio.Client)
    async with transports.trio.connect() as client:
        assert_type(client, transports.trio.Client)
    async with transports.anyio.connect(request_timeout=1, database=3) as client:
        assert_type(client, transports.anyio.Client)
    with transports.blocking.connect() as blocking:
        assert_type(blocking, transports.blocking.Client)


async def commands(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(xlen("s"), Command[int])
    assert_type(await client.xlen("s"), int)
    assert_type(blocking.xlen(b"s"), int)
    assert_type(await client.get("key"), bytes | None)
    assert_type(blocking.get("key"), bytes | None)
    assert_type(await client.execute(get("key").text()), str | None)
    assert_type(blocking.execute(get("key").text()), str | None)
    assert_type(await client.execute(raw("OBJECT", "FREQ", "key")), Any)
    assert_type(await client.xrange("s", count=5), list[StreamEntry])
    assert_type(await client.xpending("s", "g"), PendingSummary)
    assert_type(await client.ttl("key"), float | None)
    assert_type(await client.hgetall("h"), dict[bytes, bytes])
    assert_type(await client.expire("key", 1.5), bool)
    assert_type(await client.pipeline([xadd("s", {"a": 1}), xlen("s")]), list[Any])
    assert_type(blocking.pipeline([get("key")]), list[Any])
    await client.xadd("s", {"number": 1, "text": "a"})
    await client.hset("h", {"number": 1, "text": "a"})
    mixed = [get("key"), xlen("s")]
    assert_type(await client.pipeline(mixed), list[Any])


async def transactions(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(await client.transaction([xlen("s")]), list[Any])
    assert_type(blocking.transaction([xlen("s")], raise_errors=True), list[Any])
    async with client.transaction(watch="k") as tx:
        assert_type(tx, transports.asyncio.Transaction)
        assert_type(await tx.get("k"), bytes | None)
        tx.queue(xlen("s"), get("k"))
        assert_type(tx.answers, list[Any])
        assert_type(await tx.commit(), list[Any])
    with blocking.transaction(watch=["k", b"l"]) as sync_tx:
        assert_type(sync_tx, transports.blocking.Transaction)
        assert_type(sync_tx.xlen("s"), int)

    async def body(tx: transports.asyncio.Transaction) -> str:
        return f"{await tx.get('k')!r}"

    assert_type(await client.transact(body, watch=["k"]), str)
    assert_type(blocking.transact(lambda tx: tx.xlen("s"), watch="s"), int)


async def scripts(client: transports.trio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(client.script("return 1", int), transports.trio.Script[int])
    assert_type(await client.script("return 1", int)(keys=["k"], args=[1]), int)
    assert_type(blocking.script("return 1", str)(), str)
    assert_type(blocking.script("return 1").sha, str)


def streams_and_groups(client: transports.blocking.Client) -> None:
    position = {"a": "$", "b": "5-1"}
    assert_type(client.execute(xread(position)), dict[bytes, list[StreamEntry]])
    assert_type(xread({"a": "$", "b": StreamId(5), b"c": 1767225600000}), Command[dict[bytes, list[StreamEntry]]])
    [(id_, fields)] = client.execute(xrange("s", count=1))
    assert_type(id_, StreamId)
    assert_type(fields[b"total"], bytes)
    assert_type(fields.pairs(), list[tuple[bytes, bytes]])
    for delivered in client.execute(xreadgroup("g", "c", {b"s": ">"}))[b"s"]:
        assert_type(delivered.fields, EntryFields | None)
        assert_type(delivered.idle, float | None)
    claimed = client.execute(xautoclaim("s", "g", "c", min_idle=60))
    assert_type(claimed.claimed, list[DeliveredEntry])
    assert_type(claimed.cursor, StreamId)
    assert_type(client.execute(xautoclaim_justid("s", "g", "c", min_idle=60)).claimed, list[StreamId])
    assert_type(client.execute(xclaim_justid("s", "g", "c", "1-1", min_idle=60)), list[StreamId])
    assert_type(client.execute(xpending_range("s", "g", count=5))[0].idle, float)
    assert_type(client.execute(xdelex("s", "1-1", refs="acked")), list[Removal])
    assert_type(client.execute(xinfo_groups("s"))[0].lag, int | None)
    assert_type(client.execute(xinfo_stream_full("s")).groups[0].consumers[0].active_time, float | None)


async def consumers_of_bytes(client: transports.asyncio.Client) -> None:
    async with client.consumer({"s": "0"}) as consumer:
        assert_type(consumer, transports.asyncio.Consumer[bytes])
        async for entry in consumer:
            assert_type(entry, Entry[bytes])
            assert_type(entry.stream, bytes)
            assert_type(entry.id, StreamId)
            assert_type(entry.fields, dict[bytes, bytes])
            assert_type(entry["total"], bytes)
            assert_type(entry.get("total"), bytes | None)
        async for batch in consumer.batches():
            assert_type(batch, Batch[bytes])
        assert_type(await consumer.get(timeout=1), Entry[bytes] | None)
        assert_type(consumer.cursor(), dict[bytes, StreamId])


async def consumers_of_text(client: transports.asyncio.Client) -> None:
    async with client.consumer("s", decode="utf-8") as consumer:
        assert_type(consumer, transports.asyncio.Consumer[str])
        async for entry in consumer:
            assert_type(entry.fields, dict[str, str])
            assert_type(entry.pairs(), list[tuple[str, str]])
    async with client.group_consumer(["a", "b"], group="g", decode="utf-8", count=10) as group:
        assert_type(group, transports.asyncio.GroupConsumer[str])
        async for text in group:
            assert_type(text, GroupEntry[str])
            assert_type(text["total"], str)
            text.ack()
        async for batch in group.batches():
            assert_type(batch, GroupBatch[str])
            assert_type([entry.id for entry in batch], list[StreamId])
            assert_type(batch[0], GroupEntry[str])
            batch.ack()
        assert_type(await group.get(0.5), GroupEntry[str] | None)
        assert_type(await group.flush(), bool)


def consumers_for_threads(client: transports.blocking.Client) -> None:
    with client.group_consumer("s", group="g", background=False) as group:
        for entry in group:
            assert_type(entry, GroupEntry[bytes])
        for batch in group.batches():
            assert_type(batch, GroupBatch[bytes])
        assert_type(group.get(timeout=1), GroupEntry[bytes] | None)
    with client.consumer({"s": StreamId(5, 1)}, decode="ascii") as consumer:
        for text in consumer:
            assert_type(text, Entry[str])


async def producers(client: transports.trio.Client, blocking: transports.blocking.Client) -> None:
    async with client.producer("s", maxlen=1000) as producer:
        assert_type(await producer.send({"a": 1, b"b": 2.5, "c": "text", "d": b"bytes"}), StreamId)
        fields = {"number": 1, "text": "a"}
        assert_type(await producer.send(fields), StreamId)
        assert_type(await producer.send_many([{"a": "1"}, [("b", b"2")]]), list[StreamId])
    with blocking.producer(b"s") as sync_producer:
        assert_type(sync_producer.send({"a": 1}, id="5-*"), StreamId)
        assert_type(sync_producer.send_many(iter([{"a": 1}])), list[StreamId])
