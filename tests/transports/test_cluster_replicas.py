"""Reads from the replicas of a real cluster: commands, streams and shard channels, while replicas are killed and promoted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamcore import InvalidArgument
from streamcore.commands import get, incr
from streamcore.events import Event, Gap, StreamReset
from tests.support.cluster import ask
from tests.transports.runtimes import Runtime
from transports.embedded import EmbeddedCluster, EmbeddedNode, EmbeddedServer

KEY = "{orders}1"


def calls(node: EmbeddedNode, command: str) -> int:
    """How often a node has run a command."""
    line = next(
        (line for line in ask(node, "INFO", "commandstats").split() if line.startswith(f"cmdstat_{command}:".encode())),
        b"=0,",
    )
    return int(line.partition(b"=")[2].partition(b",")[0])


@pytest.mark.every_server
async def test_commands_that_only_read(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    primary = cluster.owner(KEY)
    replica = cluster.replica_of(primary)
    before = calls(primary, "get"), calls(replica, "get")
    async with runtime.connect(cluster.url, read_from="replica") as client:
        await client.set(KEY, "1")
        cluster.wait_replicated()
        assert await client.get(KEY) == b"1"
        assert await client.pipeline([get(KEY), get(KEY)]) == [b"1", b"1"]
        assert await client.pipeline([incr(KEY), get(KEY)]) == [2, b"2"]
        assert await client.transaction([get(KEY)]) == [b"2"]
        assert await client.execute(get(KEY), read_from="primary") == b"2"
        with pytest.raises(InvalidArgument, match="read_from must be"):
            await client.execute(get(KEY), read_from="nearest")  # type: ignore[arg-type]
        assert (calls(primary, "get") - before[0], calls(replica, "get") - before[1]) == (3, 3)
        cluster.wait_replicated()
        replica.kill()
        assert await client.pipeline([get(KEY)], read_from="replica") == [b"2"]
        cluster.heal()
        promoted = cluster.failover(cluster.owner(KEY))
        await client.set(KEY, "3")
        cluster.wait_replicated()
        assert await client.get(KEY) == b"3"
        assert cluster.owner(KEY) is promoted


async def test_a_single_server_answers_all(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url, read_from="any") as client:
        await client.set("k", "1")
        assert await client.get("k") == b"1"
        assert await client.execute(get("k"), read_from="replica") == b"1"
        async with client.consumer({"s": "0"}) as consumer:
            await client.xadd("s", {"n": "1"})
            entry = await consumer.get()
            assert entry is not None
            assert entry.fields == {b"n": b"1"}


async def test_streams_and_shard_channels(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    events: list[Event] = []
    options: Any = {"read_from": "replica", "on_event": events.append, "request_timeout": 30}
    async with (
        runtime.connect(cluster.url, **options) as client,
        client.consumer({"{orders}": "0"}, block=0.2) as consumer,
        client.sharded_pubsub("{orders}news", subscription_timeout=10) as news,
    ):
        replica = cluster.replica_of(cluster.owner(KEY))
        reads = calls(replica, "xread")
        for number in range(1, 7):
            await client.xadd("{orders}", {"n": str(number)})
            entry = await consumer.get()
            assert entry is not None
            assert entry.fields == {b"n": str(number).encode()}
            text, heard = str(number).encode(), None
            for _ in range(50):  # what is published while the replica changes its role may be missed
                await client.spublish("{orders}news", text)
                heard = await news.wait_for_message(carries(text), 0.2)
                if heard is not None:
                    break
            assert heard is not None
            if number == 1:
                await runtime.until(lambda: calls(replica, "xread") > reads)
                assert "{orders}news" in ask(replica, "PUBSUB", "SHARDCHANNELS")[0].decode()
            elif number == 3:
                cluster.failover(cluster.owner(KEY))
                await client.set(KEY, "1")
    assert not any(isinstance(event, (Gap, StreamReset)) for event in events)


def carries(text: bytes) -> Callable[[Any], bool]:
    return lambda message: bool(message.data == text)
