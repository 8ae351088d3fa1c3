"""Each interface in use, so that it sends all that it ever sends; each takes a fraction of a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from streamcore.producer.durability import Disk, NotDurable, Replicas
from transports.asyncio import GroupConsumer

from .world import USER, World

STREAM: Final = "orders"
MORE: Final = "{orders}:more"
GROUP: Final = "billing"
NAME: Final = "worker-1"
LEASE: Final = "{orders}:name:billing:worker-1"
LATER: Final = "{orders}:later:billing"
LONG: Final = 10**7  # milliseconds
PATIENCE: Final = 3.0


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that is about to happen."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def _blocked(world: World, command: str) -> Callable[[], list[bytes]]:
    """The connections that wait in a read."""
    return lambda: [line for line in world.raw("CLIENT", "LIST").splitlines() if f" cmd={command} ".encode() in line]


async def connection(world: World) -> None:
    async with world.connect(database=1) as client:
        await client.pipeline([])


# -- streams -----------------------------------------------------------------------------------------------------------


async def consumer(world: World) -> None:
    """Follow a stream, prove each batch, follow another one while a read waits."""
    add = world.raw
    add("XADD", STREAM, "*", "n", 1)
    async with world.connect() as client, client.consumer({STREAM: "0"}, block=1.0) as consumer:
        for n in range(2, 4):
            assert await consumer.get(timeout=PATIENCE) is not None
            add("XADD", STREAM, "*", "n", n)
        assert await consumer.get(timeout=PATIENCE) is not None
        await until(_blocked(world, "xread"))
        add("XADD", "clicks", "*", "n", 1)
        await consumer.add_stream("clicks", "0")
        assert await consumer.get(timeout=PATIENCE) is not None


def _others(world: World) -> None:
    """A group with a member that has died with an entry, one that has nothing, and an entry that was given back."""
    raw = world.raw
    ids = [raw("XADD", STREAM, "*", "n", n) for n in range(4)]
    raw("XGROUP", "CREATE", STREAM, GROUP, 0)
    for name in ("dead", "gone", "streamcore:nacked"):
        raw("XREADGROUP", "GROUP", GROUP, name, "COUNT", 1, "STREAMS", STREAM, ">")
    raw("XACK", STREAM, GROUP, ids[1])
    for name, id_ in (("dead", ids[0]), ("streamcore:nacked", ids[2])):
        raw("XCLAIM", STREAM, GROUP, name, 0, id_, "IDLE", LONG, "RETRYCOUNT", 1, "JUSTID")
    raw("ZADD", LATER, 1, ids[2])


def _former(world: World) -> None:
    """A former process of the member's name, whose connection is still there."""
    other = world.other()
    number = dict(zip(*[iter(other("HELLO", 2, "SETNAME", "ghost"))] * 2, strict=True))[b"id"]
    run = other("INFO", "server").split(b"run_id:")[1].split(b"\r")[0]
    world.raw("HSET", LEASE, "holder", "ghost", "client", number, "run", run)


async def _take(consumer: GroupConsumer[bytes], entries: int) -> None:
    for _ in range(entries):
        entry = await consumer.get(timeout=PATIENCE)
        assert entry is not None
        entry.ack()


async def member(world: World) -> None:
    """Come after others, take over what they have left, lose the connection, read one more stream, and leave."""
    _others(world)
    _former(world)
    await asyncio.sleep(0.11)  # until ``gone`` counts as idle
    options: dict[str, Any] = {"remove_idle_consumers": 0.1, "block": 1.0, "count": 10}
    async with (
        world.connect() as client,
        client.group_consumer(STREAM, group=GROUP, consumer=NAME, **options) as consumer,
    ):
        await _take(consumer, 3)
        await consumer.flush()
        await until(_blocked(world, "xreadgroup"))
        [line] = _blocked(world, "xreadgroup")()
        world.raw("CLIENT", "KILL", "ID", line.split()[0].removeprefix(b"id="))
        world.raw("XADD", STREAM, "*", "n", 5)
        await _take(consumer, 1)
        await until(_blocked(world, "xreadgroup"))
        await consumer.add_stream(MORE)
        world.raw("XADD", MORE, "*", "n", 1)
        await _take(consumer, 1)
        world.raw("XADD", STREAM, "*", "n", 6)
        await until(lambda: world.raw("XPENDING", STREAM, GROUP)[0])  # it is read ahead, and given back


async def retries(world: World) -> None:
    """Give back for long, give up, and acknowledge what is ours alone."""
    for n in range(3):
        world.raw("XADD", STREAM, "*", "n", n)
    options: dict[str, Any] = {
        "exclusive": False,
        "remove_idle_consumers": None,
        "detect_gaps": None,
        "release_on_close": False,
    }
    async with (
        world.connect() as client,
        client.group_consumer(STREAM, group=GROUP, consumer=NAME, fenced=True, claim_idle=1.0, **options) as consumer,
    ):
        first, second, third = [await consumer.get(timeout=PATIENCE) for _ in range(3)]
        assert first is not None
        assert second is not None
        assert third is not None
        first.ack()
        await consumer.flush()
        second.nack(delay=3600)
        await consumer.flush(timeout=0.3)
        third.dead_letter("in vain")
        await consumer.flush(timeout=0.3)
        await consumer.get(timeout=0)


async def producer(world: World) -> None:
    async with world.connect() as client, client.producer(STREAM, maxlen=10) as producer:
        await producer.send({"n": 1})


async def durable(world: World) -> None:
    """Wait for replicas that are not there."""
    async with world.connect() as client:
        for durability in (Replicas(1, timeout=0.02), Disk(local=False, replicas=1, timeout=0.02)):
            if durability.feature is None or world.knows("waitaof"):
                async with client.producer(STREAM, durability=durability) as producer:
                    try:
                        await producer.send({"n": 1})
                    except NotDurable as error:
                        if error.__cause__ is not None:
                            raise


async def once(world: World) -> None:
    """More than is remembered."""
    async with world.connect() as client, client.producer(STREAM, producer_id="till", idempotent=True) as producer:
        await producer.send({"n": 1})
        await producer.send_many({"n": n} for n in range(1005))


# -- messages ----------------------------------------------------------------------------------------------------------


async def publish(world: World) -> None:
    async with world.connect() as client:
        await client.publish("news", "x")
        await client.spublish("room", "x")


async def pubsub(world: World) -> None:
    async with world.connect() as client, client.pubsub("news", max_idle_seconds=0.15) as pubsub:
        await pubsub.psubscribe("news.*")
        world.raw("PUBLISH", "news.today", "x")
        assert await pubsub.get_message(timeout=PATIENCE) is not None
        await asyncio.sleep(0.12)
        await pubsub.punsubscribe("news.*")
        await pubsub.unsubscribe("news")


async def sharded(world: World) -> None:
    async with world.connect() as client, client.sharded_pubsub("room") as pubsub:
        await pubsub.unsubscribe("room")


async def key_events(world: World) -> None:
    world.raw("CONFIG", "SET", "notify-keyspace-events", "KA")
    try:
        async with world.connect() as client, client.key_events("user:*") as events:
            world.raw("SET", "user:1", "x")
            assert await events.get(timeout=PATIENCE) is not None
    finally:
        world.raw("CONFIG", "SET", "notify-keyspace-events", "")


async def tracking(world: World) -> None:
    told: list[Any] = []
    async with world.connect() as client, client.pubsub(track="user:", on_invalidate=told.append):
        world.raw("SET", "user:1", "x")
        await until(lambda: told)


# -- channels ----------------------------------------------------------------------------------------------------------


async def channels_publish(world: World) -> None:
    """Publish in several channels and in one, look back, and lose the connection before the server has run anything."""
    async with world.connect() as client:
        channels = client.channels(ttl=60)
        await channels.publish(b"x", ["room", "hall"])
        await channels.get_history("room")
        world.raw("CLIENT", "PAUSE", 10_000, "WRITE")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(channels.publish(b"x", "room"))
            await until(_blocked(world, "evalsha"))
            world.raw("CLIENT", "KILL", "USER", USER)
            world.raw("CLIENT", "UNPAUSE")


async def channels_subscribe(world: World) -> None:
    """Join with a history and behind an id, hear what comes, join another one while a read waits."""
    id_ = world.raw("XADD", "channels_room", "*", "data", "1", "nonce", "a")
    async with world.connect() as client, client.channels() as channels:
        await channels.subscribe("room", history=5)
        async with channels.subscriber("room", after=id_.decode()) as subscriber:
            for n in range(2):
                world.raw("XADD", "channels_room", "*", "data", "2", "nonce", str(n))
                assert await subscriber.get(timeout=PATIENCE) is not None
            await until(_blocked(world, "xread"))
            await subscriber.subscribe("hall")
            world.raw("XADD", "channels_hall", "*", "data", "3", "nonce", "b")
            assert await subscriber.get(timeout=PATIENCE) is not None


async def channels_flush(world: World) -> None:
    world.raw("XADD", "channels_room", "*", "data", "1", "nonce", "a")
    async with world.connect() as client:
        assert await client.channels().flush_all() == 1


async def channels_pubsub(world: World) -> None:
    async with world.connect() as client, client.channels(kind="pubsub") as channels:
        await channels.subscribe("room")
        await channels.publish(b"x", "room")
        assert await channels.get(timeout=PATIENCE) is not None
        await channels.unsubscribe("room")
        while world.raw("PUBSUB", "NUMSUB", "channels_room")[1] and not world.degraded:
            await channels.get(timeout=0.01)
