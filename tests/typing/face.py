"""What a type checker makes of the public face; it is checked, and never run.

``make lint`` checks this file as every other; ``test_typing.py`` does so among the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, assert_type

import transports.anyio
import transports.asyncio
import transports.blocking
import transports.trio
from streamcore import (
    Batch,
    ChannelMessage,
    Command,
    CommandErrors,
    Entry,
    Event,
    GroupBatch,
    GroupEntry,
    KeyEvent,
    Message,
    ServerNode,
    StreamcoreError,
    StreamId,
)
from streamcore.commands import (
    AutoClaimResult,
    ClientInfo,
    ConsumerInfo,
    DeliveredEntry,
    EntryFields,
    GroupInfo,
    Library,
    NodeInfo,
    PendingEntry,
    PendingSummary,
    Persisted,
    Popped,
    PrimaryRole,
    Removal,
    ReplicaRole,
    ScanPage,
    Script,
    SentinelRole,
    Shard,
    StreamEntry,
    StreamFullInfo,
    StreamInfo,
    get,
    lpop,
    raw,
    rpop,
    set_,
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
    zrange,
    zrangebyscore,
)
from streamcore.events import Degraded, Gap, StreamReset


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


async def nodes(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    [node, *_] = client.nodes()
    assert_type(node, ServerNode)
    assert_type(node.role, Literal["primary", "replica"])
    assert_type(blocking.nodes(), list[ServerNode])
    assert_type(await client.each("all", xlen("s")), dict[ServerNode, int | Exception])
    assert_type(blocking.each("replicas", get("k").text()), dict[ServerNode, str | Exception | None])
    at = client.on(node)
    assert_type(at, transports.asyncio.NodeClient)
    assert_type(await at.xlen("s"), int)
    assert_type(await at.transaction([xlen("s")]), list[Any])
    assert_type(blocking.on(node), transports.blocking.NodeClient)
    assert_type(blocking.on(node).execute(get("k")), bytes | None)
    assert_type(at.transaction(watch="k"), transports.asyncio.Transaction)
    async for key in client.scan_keys(match="k*", type="stream"):
        assert_type(key, bytes)
    assert_type(next(iter(blocking.scan_keys())), bytes)


def clusters() -> None:
    transports.asyncio.connect(["redis://a", "redis://b"], cluster=True, prefer="ip", follow="seeds")
    transports.asyncio.connect("redis://a,b", read_from="replica")
    transports.blocking.connect("redis://a,b", address_map={("a", 1): ("b", 2)}, refresh_interval=timedelta(minutes=1))
    transports.asyncio.connect("redis+sentinel://a/s", sentinel_username="u", sentinel_password="p", sentinel_tls=True)
    transports.trio.connect(
        "redis://a", follow=lambda host, port: port == 6379, address_map=lambda host, port: (host, port)
    )


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


# -- commands: one of each family, and every overload, in both kinds of client ------------------------------------------


async def strings(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(set_("k", 1), Command[bytes])
    assert_type(set_("k", b"v", ex=1.5, keepttl=False), Command[bytes])
    assert_type(set_("k", "v", nx=True), Command[bool])
    assert_type(set_("k", "v", xx=True, exat=datetime.now(UTC)), Command[bool])
    assert_type(set_("k", "v", get=True), Command[bytes | None])
    assert_type(set_("k", "v", nx=True, get=True), Command[bytes | None])
    assert_type(await client.set("k", "v"), bytes)
    assert_type(await client.set("k", "v", nx=True), bool)
    assert_type(blocking.set("k", "v", xx=True, ex=1), bool)
    assert_type(blocking.set("k", "v", get=True), bytes | None)
    assert_type(blocking.execute(set_("k", "v", get=True).text()), str | None)
    assert_type(await client.execute(set_("k", "v").text("ascii")), str)
    assert_type(await client.mget("k", b"l"), list[bytes | None])
    assert_type(blocking.mset({"k": 1, "l": "v"}), bytes)
    assert_type(blocking.incrby("k", 5), int)
    assert_type(await client.incrbyfloat("k", 0.5), float)
    assert_type(await client.getex("k", ex=timedelta(minutes=1)), bytes | None)


async def keys(client: transports.trio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(await client.delete("k", b"l"), int)
    assert_type(blocking.expire("k", timedelta(seconds=1), nx=True), bool)
    assert_type(await client.expireat("k", datetime.now(UTC)), bool)
    assert_type(blocking.expiretime("k"), datetime | None)
    assert_type(await client.type("k"), bytes)
    page = await client.scan(match="a*", type="stream")
    assert_type(page, ScanPage)
    assert_type(page.cursor, int)
    assert_type(blocking.scan().keys, list[bytes])
    assert_type(blocking.memory_usage("k"), int | None)


async def lists(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(lpop("k"), Command[bytes | None])
    assert_type(lpop("k", count=2), Command[list[bytes] | None])
    assert_type(rpop("k"), Command[bytes | None])
    assert_type(rpop("k", count=2), Command[list[bytes] | None])
    assert_type(await client.lpop("k"), bytes | None)
    assert_type(await client.lpop("k", count=2), list[bytes] | None)
    assert_type(blocking.rpop("k"), bytes | None)
    assert_type(blocking.rpop("k", count=2), list[bytes] | None)
    assert_type(await client.lrange("k"), list[bytes])
    assert_type(await client.blpop("k", "l", timeout=1), Popped | None)
    if popped := blocking.brpop("k", timeout=1):
        assert_type(popped.value, bytes)


async def sorted_sets(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(zrange("k", 0, -1), Command[list[bytes]])
    assert_type(zrange("k", 0, -1, withscores=True), Command[list[tuple[bytes, float]]])
    assert_type(zrange("k", "(1", "+inf", byscore=True, limit=(0, 5)), Command[list[bytes]])
    assert_type(zrangebyscore("k", 0, 1.5), Command[list[bytes]])
    assert_type(zrangebyscore("k", "-inf", "(3", withscores=True), Command[list[tuple[bytes, float]]])
    assert_type(await client.zrange("k", 0, 1), list[bytes])
    assert_type(await client.zrange("k", 0, 1, rev=True, withscores=True), list[tuple[bytes, float]])
    assert_type(blocking.zrangebyscore("k", 0, 1), list[bytes])
    assert_type(blocking.zrangebyscore("k", 0, 1, withscores=True), list[tuple[bytes, float]])
    assert_type(await client.zadd("k", {"a": 1, b"b": 2.5}, gt=True), int)
    assert_type(blocking.zadd_incr("k", "a", 1), float | None)
    assert_type(await client.zscore("k", "a"), float | None)
    assert_type(blocking.zpopmin("k"), list[tuple[bytes, float]])


async def sets_and_hashes(client: transports.anyio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(await client.sadd("k", "a", 1, b"b"), int)
    assert_type(blocking.smembers("k"), set[bytes])
    assert_type(await client.sismember("k", "a"), bool)
    assert_type(await client.hget("k", 1), bytes | None)
    assert_type(blocking.hmget("k", "a", "b"), list[bytes | None])
    assert_type(blocking.hgetall("k"), dict[bytes, bytes])
    assert_type(await client.hexists("k", "a"), bool)


async def appending_and_trimming(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(await client.xadd("s", {"a": 1}, nomkstream=True), StreamId | None)
    assert_type(blocking.xadd("s", [("a", 1), ("a", b"2")], id="5-*", minid=datetime.now(UTC)), StreamId | None)
    assert_type(blocking.xadd("s", {"a": 1}, idmp=("producer", b"1")), StreamId | None)
    assert_type(await client.xtrim("s", maxlen=5, refs="acked"), int)
    assert_type(await client.xdelex("s", "1-1", StreamId(5), b"6-0"), list[Removal])
    assert_type(blocking.xackdel("s", "g", "1-1", refs="delete"), list[Removal])
    assert_type(blocking.xrevrange("s", "+", datetime.now(UTC)), list[StreamEntry])
    assert_type(await client.xread({"s": "$"}, block=1), dict[bytes, list[StreamEntry]])
    assert_type(await client.xcfgset("s", idmp_maxsize=5), bytes)


async def groups(client: transports.trio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(await client.xgroup_create("s", "g", start="$"), bytes)
    assert_type(blocking.xgroup_destroy("s", "g"), bool)
    assert_type(await client.xgroup_createconsumer("s", "g", "c"), bool)
    assert_type(blocking.xgroup_delconsumer("s", "g", "c"), int)
    read = await client.xreadgroup("g", "c", {"s": ">"}, block=1, claim=60)
    assert_type(read, dict[bytes, list[DeliveredEntry]])
    assert_type(blocking.xreadgroup("g", "c", {"s": "0"})[b"s"][0].fields, EntryFields | None)
    assert_type(await client.xclaim("s", "g", "c", "1-1", min_idle=1), list[DeliveredEntry])
    assert_type(await client.xclaim_justid("s", "g", "c", "1-1", min_idle=1), list[StreamId])
    assert_type(await client.xautoclaim("s", "g", "c", min_idle=1), AutoClaimResult[DeliveredEntry])
    assert_type(blocking.xautoclaim_justid("s", "g", "c", min_idle=1), AutoClaimResult[StreamId])
    assert_type(blocking.xpending_range("s", "g", count=1), list[PendingEntry])
    assert_type(blocking.xack("s", "g", "1-1"), int)
    assert_type(await client.xnack("s", "g", "1-1", mode="fail"), int)


async def what_streams_are(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(await client.xinfo_stream("s"), StreamInfo)
    assert_type((await client.xinfo_stream("s")).first_entry, StreamEntry | None)
    assert_type(blocking.xinfo_stream_full("s"), StreamFullInfo)
    assert_type(blocking.xinfo_stream_full("s").groups[0].pending[0].consumer, bytes)
    assert_type(await client.xinfo_groups("s"), list[GroupInfo])
    assert_type(blocking.xinfo_consumers("s", "g"), list[ConsumerInfo])
    assert_type(blocking.xinfo_consumers("s", "g")[0].inactive, float | None)


async def scripting(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(client.script("return 1"), transports.asyncio.Script[Any])
    assert_type(await client.script("return 1")(), Any)
    assert_type(blocking.script(b"return 1", int), transports.blocking.Script[int])
    assert_type(blocking.script("return 1", int)(["k"], [1, "a"]), int)
    assert_type(Script("return 1", float), Script[float])
    assert_type(Script("return 1", float).evalsha(["k"]), Command[float])
    assert_type(Script("return 1"), Script[Any])
    assert_type(Script("return 1", readonly=True).eval(), Command[Any])
    assert_type(await client.eval("return 1", ["k"], [1]), Any)
    assert_type(await client.script_load("return 1"), str)
    assert_type(blocking.script_exists("sha"), list[bool])
    assert_type(blocking.function_list(withcode=True), list[Library])
    assert_type(await client.fcall("f", ["k"]), Any)


async def the_server(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(await client.ping(), bytes)
    assert_type(blocking.info("server", "memory"), dict[str, str])
    assert_type(await client.time(), datetime)
    assert_type(blocking.config_get("max*"), dict[str, str])
    assert_type(await client.wait(1, timeout=0.5), int)
    assert_type(blocking.waitaof(1, 0, timeout=0.5), Persisted)
    match await client.role():
        case PrimaryRole() as primary:
            assert_type(primary.replicas[0].port, int)
        case ReplicaRole() as replica:
            assert_type(replica.state, str)
        case sentinel:
            assert_type(sentinel, SentinelRole)
    assert_type(blocking.command_getkeys(xlen("s")), list[bytes])
    assert_type(await client.client_info(), ClientInfo)
    assert_type(blocking.client_list(type="normal"), list[ClientInfo])
    assert_type(blocking.client_kill(id=[1, 2]), int)
    assert_type(await client.client_unblock(5), bool)
    assert_type(await client.publish("news", b"hello"), int)
    assert_type(blocking.pubsub_numsub("news"), dict[bytes, int])
    assert_type(await client.cluster_shards(), list[Shard])
    assert_type(blocking.cluster_nodes(), list[NodeInfo])


async def errors_of_many(client: transports.asyncio.Client) -> None:
    try:
        await client.pipeline([xlen("s")], raise_errors=True)
    except CommandErrors as group:
        assert_type(group.answers, Sequence[Any])
        assert_type(group.exceptions, tuple[StreamcoreError | ExceptionGroup[StreamcoreError], ...])


# -- consumers ----------------------------------------------------------------------------------------------------------


async def changing_consumers(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    starts = {"a": "0", "b": StreamId(5), "c": 1767225600000, "d": datetime.now(UTC), "e": "+"}
    async with client.consumer(
        starts, merge="id", merge_wait=0.2, stop_on_idle=True, block=None, idle_value=None, on_disconnect="yield"
    ) as consumer:
        assert_type(consumer, transports.asyncio.Consumer[bytes])
        assert_type(await consumer.add_stream("f"), bool)
        assert_type(await consumer.add_stream(b"g", datetime.now(UTC)), bool)
        assert_type(consumer.remove_stream("f"), bool)
        await consumer.seek("a", "$")
        consumer.pause()
        consumer.resume()
    with blocking.consumer("s", decode="utf-8", on_rewind="restart", detect_gaps=False) as text:
        assert_type(text, transports.blocking.Consumer[str])
        assert_type(text.add_stream("t", 0), bool)
        assert_type(text.cursor(), dict[bytes, StreamId])


def events(event: Event) -> None:
    match event:
        case Gap():
            assert_type(event.entries, int | None)
            assert_type(event.before, StreamId | None)
        case StreamReset():
            assert_type(event.last, StreamId)
        case Degraded():
            assert_type(event.missing, str)
        case _:
            pass


async def consumers_of_bytes(client: transports.asyncio.Client) -> None:
    async with client.consumer({"s": "0"}) as consumer:
        assert_type(consumer, transports.asyncio.Consumer[bytes])
        async for entry in consumer:
            assert_type(entry, Entry[bytes])
            assert_type(entry.stream, bytes)
            assert_type(entry.id, StreamId)
            assert_type(entry.fields, dict[bytes, bytes])
            assert_type(entry["total"], bytes)
            assert_type("total" in entry, bool)
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
        async for item in group.with_events():
            if isinstance(item, GroupEntry):
                assert_type(item["total"], str)
            else:
                events(item)
        assert_type(await group.get(0.5), GroupEntry[str] | None)
        assert_type(await group.flush(), bool)
        assert_type(await group.lag(), dict[bytes, int | None])
        assert_type((await group.pending())[b"a"], PendingSummary)
        assert_type(await group.add_stream("c"), bool)
        assert_type(group.remove_stream("c"), bool)
        await group.run(handle_text, concurrency=2, order="stream", on_error=decide, nack_delay=1.5, grace=0)
        group.drain()
    stopping = client.group_consumer({"a": "g", "b": "h"}, stop_on_idle=True, block=None)
    assert_type(stopping, transports.asyncio.GroupConsumer[bytes])
    assert_type(client.group_consumer({b"a": "g"}, decode="utf-8"), transports.asyncio.GroupConsumer[str])


async def handle_text(entry: GroupEntry[str]) -> None:
    assert_type(entry["total"], str)


def decide(entry: GroupEntry[str], error: Exception) -> Literal["nack", "dead_letter"] | None:
    return "nack" if entry.deliveries < 3 else "dead_letter"


def handle_bytes(entry: GroupEntry[bytes]) -> int:
    return len(entry["total"])


def consumers_for_threads(client: transports.blocking.Client) -> None:
    with client.group_consumer("s", group="g", background=False) as group:
        for entry in group:
            assert_type(entry, GroupEntry[bytes])
        for batch in group.batches():
            assert_type(batch, GroupBatch[bytes])
        assert_type(group.get(timeout=1), GroupEntry[bytes] | None)
        assert_type(next(group.with_events()), GroupEntry[bytes] | Event)
        assert_type(group.run(handle_bytes, on_error="raise"), None)
    with client.consumer({"s": StreamId(5, 1)}, decode="ascii") as consumer:
        for text in consumer:
            assert_type(text, Entry[str])


async def hear(message: Message[str]) -> None:
    assert_type("data" in message, bool)
    assert_type(message.data, str)


async def subscribers(client: transports.anyio.Client, blocking: transports.blocking.Client) -> None:
    async with client.pubsub(["a"], patterns="p*") as pubsub:
        async for message in pubsub:
            assert_type(message, Message[bytes])
            assert_type(message.pattern, bytes | None)
        assert_type(await pubsub.get_message(timeout=1), Message[bytes] | None)
        assert_type(pubsub.subscriptions.confirmed, frozenset[bytes])
    async with client.pubsub(channel_handlers={"a": hear}, decode="utf-8", when_full="drop_oldest") as text:
        await text.subscribe({b"b": hear}, c=hear)
        assert_type(await text.wait_for_message(lambda message: message.data == "x"), Message[str] | None)
        async for item in text.with_events():
            assert_type(item, Message[str] | Event)
    async with client.channels(ttl=60, kind="streams") as channels, channels.subscriber("a", history=2) as subscriber:
        assert_type(await channels.publish("x", ["a", b"b"], timeout=10), list[StreamId | None])
        async for channel_message in channels:
            channel, data = channel_message
            assert_type((channel, data, channel_message.id), tuple[bytes, bytes, StreamId | None])
        assert_type(await subscriber.get(timeout=0), ChannelMessage[bytes] | None)
        assert_type(await channels.get_history("a"), list[ChannelMessage[bytes]])
        assert_type(channels.cursor(), dict[bytes, StreamId])
        async for channel_item in subscriber.with_events():
            assert_type(channel_item, ChannelMessage[bytes] | Event)
    with blocking.channels(decode="utf-8", background=False) as told:
        assert_type(next(told), ChannelMessage[str])
        assert_type(told.subscriptions, frozenset[str])
    async with client.sharded_pubsub(["s"], decode="utf-8") as sharded, client.key_events("*") as keys:
        assert_type(await anext(sharded), Message[str])
        assert_type(await anext(keys), KeyEvent[bytes])
    with blocking.pubsub(["a"], decode="utf-8", background=False) as pumped, blocking.key_events("k") as events:
        assert_type(next(pumped), Message[str])
        assert_type(next(pumped.with_events()), Message[str] | Event)
        assert_type(events.get(), KeyEvent[bytes] | None)


async def producers(client: transports.trio.Client, blocking: transports.blocking.Client) -> None:
    async with client.producer("s", maxlen=1000) as producer:
        assert_type(await producer.send({"a": 1, b"b": 2.5, "c": "text", "d": b"bytes"}), StreamId)
        fields = {"number": 1, "text": "a"}
        assert_type(await producer.send(fields), StreamId)
        assert_type(await producer.send_many([{"a": "1"}, [("b", b"2")]]), list[StreamId])
    with blocking.producer(b"s") as sync_producer:
        assert_type(sync_producer.send({"a": 1}, id="5-*"), StreamId)
        assert_type(sync_producer.send_many(iter([{"a": 1}])), list[StreamId])


async def reads_from_replicas(client: transports.asyncio.Client, blocking: transports.blocking.Client) -> None:
    assert_type(await client.execute(get("k"), read_from="replica"), bytes | None)
    assert_type(blocking.execute(get("k"), read_from="any"), bytes | None)
    assert_type(await client.pipeline([get("k")], read_from="primary"), list[Any])
    assert_type(Command.raw("MODULE.GET", "k", reads=True), Command[Any])
    assert_type(client.consumer("s", read_from="replica"), transports.asyncio.Consumer[bytes])
    client.sharded_pubsub("c", read_from="any")
