"""Clients of a cluster that is broken meanwhile: a task for each stream appends numbers, and shard channels are heard.

``python -m benchmarks.contestants.recovery CLIENT PORT SECONDS`` prints what it has seen, as JSON. Each library is used as its
documentation recommends, with one client, the default settings of its retries, and requests that may take 5 seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from itertools import count
from typing import Any, Final, Protocol

STREAMS: Final = [f"stream-{number}" for number in range(12)]
CHANNELS: Final = [f"channel-{number}" for number in range(12)]
PAUSE: Final = 0.005  # seconds between the answer to an XADD and the next
TIMEOUT: Final = 5.0


class Notes:
    """``answered``: when an XADD of a stream was; ``gaps``: how often a gap of a channel was told, if the client tells."""

    def __init__(self) -> None:
        self.answered: dict[str, list[float]] = {name: [] for name in STREAMS}
        self.errors: dict[str, int] = {}
        self.heard: dict[str, list[Any]] = {name: [] for name in CHANNELS}

    def hear(self, channel: Any, data: Any) -> None:
        name = channel if isinstance(channel, str) else bytes(channel).decode()
        self.heard[name].append(int(data))

    def gap(self, channel: str) -> None:
        self.heard[channel].append("gap")

    def fail(self, error: BaseException) -> None:
        name = type(error).__name__
        self.errors[name] = self.errors.get(name, 0) + 1


class Contestant(Protocol):
    async def open(self, port: int) -> None: ...
    async def add(self, stream: str, number: int) -> None: ...
    async def listen(self, notes: Notes) -> None: ...


class Ours:
    async def open(self, port: int) -> None:
        from transports.asyncio import connect

        self.client = connect(f"redis://127.0.0.1:{port}", cluster=True, request_timeout=TIMEOUT)
        await self.client.__aenter__()

    async def add(self, stream: str, number: int) -> None:
        await self.client.xadd(stream, {"n": str(number)})

    async def listen(self, notes: Notes) -> None:
        from streamcore.events import SubscriptionGap
        from streamcore.pubsub import Message

        async with self.client.sharded_pubsub(CHANNELS) as pubsub:
            async for item in pubsub.with_events():
                if isinstance(item, SubscriptionGap):
                    for channel in CHANNELS if item.names is None else [name.decode() for name in item.names]:
                        notes.gap(channel)
                elif isinstance(item, Message):
                    notes.hear(item.channel, item.data)


class RedisPy:
    async def open(self, port: int) -> None:
        from redis.asyncio import RedisCluster

        self.client: Any = RedisCluster(host="127.0.0.1", port=port, socket_timeout=TIMEOUT)
        await self.client.initialize()

    async def add(self, stream: str, number: int) -> None:
        await self.client.xadd(stream, {"n": number})

    async def listen(self, notes: Notes) -> None:
        pubsub = self.client.pubsub()
        await pubsub.ssubscribe(*CHANNELS)
        while True:
            try:
                message = await pubsub.get_sharded_message(ignore_subscribe_messages=True, timeout=0.01)
            except Exception as error:  # of whatever the client raises
                notes.fail(error)
                await asyncio.sleep(0.05)
                continue
            if message is not None and message["type"] == "smessage":
                notes.hear(message["channel"], message["data"])


class Coredis:
    async def open(self, port: int) -> None:
        import coredis

        self.client: Any = coredis.RedisCluster("127.0.0.1", port, stream_timeout=TIMEOUT)
        await self.client.__aenter__()

    async def add(self, stream: str, number: int) -> None:
        await self.client.xadd(stream, {"n": number})

    async def listen(self, notes: Notes) -> None:
        async with self.client.sharded_pubsub(channels=CHANNELS, ignore_subscribe_messages=True) as pubsub:
            async for message in pubsub:
                if message["type"] in ("message", "smessage"):
                    notes.hear(message["channel"], message["data"])


class Glide:
    async def open(self, port: int) -> None:
        from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress

        self.port = port
        addresses, timeout = [NodeAddress("127.0.0.1", port)], int(TIMEOUT * 1000)
        configuration = GlideClusterClientConfiguration(addresses, request_timeout=timeout)
        self.client: Any = await GlideClusterClient.create(configuration)

    async def add(self, stream: str, number: int) -> None:
        await self.client.xadd(stream, [("n", str(number))])

    async def listen(self, notes: Notes) -> None:
        from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress

        how = GlideClusterClientConfiguration.PubSubChannelModes.Sharded
        wanted = GlideClusterClientConfiguration.PubSubSubscriptions({how: set(CHANNELS)}, None, None)
        addresses = [NodeAddress("127.0.0.1", self.port)]
        client = await GlideClusterClient.create(
            GlideClusterClientConfiguration(addresses, pubsub_subscriptions=wanted)
        )
        while True:
            message = await client.get_pubsub_message()
            notes.hear(message.channel, message.message)


CLIENTS: Final[dict[str, type[Contestant]]] = {
    "ours": Ours,
    "redis-py": RedisPy,
    "coredis": Coredis,
    "valkey-glide": Glide,
}


async def run(contestant: Contestant, port: int, seconds: float) -> Notes:
    notes = Notes()
    await contestant.open(port)

    async def append(stream: str) -> None:
        for number in count():
            try:
                await contestant.add(stream, number)
                notes.answered[stream].append(time.monotonic())
            except Exception as error:  # of whatever the client raises
                notes.fail(error)
            await asyncio.sleep(PAUSE)

    async def listen() -> None:
        try:
            await contestant.listen(notes)
        except Exception as error:
            notes.fail(error)

    tasks = [asyncio.create_task(append(stream)) for stream in STREAMS] + [asyncio.create_task(listen())]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    with suppress(TimeoutError):
        await asyncio.wait(tasks, timeout=1)
    return notes


def main(name: str, port: str, seconds: str) -> None:
    import os

    with asyncio.Runner() as runner:
        notes = runner.run(asyncio.wait_for(run(CLIENTS[name](), int(port), float(seconds)), float(seconds) + 30))
        print(json.dumps(vars(notes)), flush=True)
        os._exit(0)  # a client that hangs shall not keep the others waiting


if __name__ == "__main__":
    main(*sys.argv[1:])
