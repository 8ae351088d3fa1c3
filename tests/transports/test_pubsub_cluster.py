"""Shard channels of a real cluster: each message that is missed lies in a gap that was told, none comes twice, and none is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from streamcore.cluster.cluster import Cluster
from streamcore.cluster.multiplexer import ClusterMultiplexer
from streamcore.commands import key_slot, spublish
from streamcore.errors import StreamcoreError
from streamcore.events import Event, SubscriptionGap
from streamcore.pubsub import Message, PubSub
from streamcore.pubsub.replaced_primaries import SETTLING
from tests.support.servers import ServerKind
from transports._facade.settings import Settings
from transports.asyncio.runtime import Runtime
from transports.embedded import EmbeddedCluster, EmbeddedNode

every_server = pytest.mark.every_server
CHANNELS = [f"channel{number}" for number in range(12)]
WAIT = 30.0


class Story:
    """A subscriber to all channels, with a publisher for each, while a cluster is changed in another thread."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        settings = Settings.of(f"redis://127.0.0.1:{cluster.nodes[0].port}", {})
        # A node of Redis 7.0 that becomes a replica keeps its subscribers, and tells nothing: the next topology does.
        address: Any = settings.target.address
        router = Cluster([address], refresh_interval=0.5).router
        engine: dict[str, Any] = {**settings.engine(), "router": router}
        self._target = settings.target
        self.publishers = ClusterMultiplexer(**engine)
        self.subscriber = PubSub[bytes](shard_channels=CHANNELS, **engine)
        self.log: list[tuple[float, Message[bytes] | Event]] = []
        """Messages and events, each in its place, with the times at which they were taken."""
        self.sent: dict[bytes, list[int]] = {name.encode(): [] for name in CHANNELS}
        self._is_over = False

    async def tell(self, change: Callable[[], None]) -> None:
        """Run until the cluster is changed and all channels are alive again."""
        calls, listening = Runtime(self.publishers, self._target), Runtime(self.subscriber, self._target)
        try:
            assert await listening.until(self._is_ready, WAIT)
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(self._hear(listening))
                for name in CHANNELS:
                    group.create_task(self._publish(calls, name))
                await asyncio.sleep(0.3)
                await asyncio.to_thread(change)
                changed = {name: numbers[-1] for name, numbers in self.sent.items()}
                async with asyncio.timeout(WAIT):
                    while any(self._newest(name) <= number for name, number in changed.items()):
                        await asyncio.sleep(0.05)
                self._is_over = True
                await asyncio.sleep(SETTLING + 0.3)  # a gap may be told again
                hearing.cancel()
        finally:
            self.publishers.close()
            self.subscriber.close()
            await calls.aclose()
            await listening.aclose()

    def _is_ready(self) -> bool:
        confirmed = self.subscriber.subscriptions.shard_channels.confirmed
        return self.subscriber.is_ready and len(confirmed) == len(CHANNELS)

    async def _publish(self, calls: Runtime, name: str) -> None:
        number = 0
        while not self._is_over:
            number += 1
            request = await calls.request(self.publishers.submit, [spublish(name, str(number))])
            with suppress(StreamcoreError):
                request.answer()
                self.sent[name.encode()].append(number)
            await asyncio.sleep(0.01)

    async def _hear(self, listening: Runtime) -> None:
        while True:
            self.log += [(monotonic(), item) for item in await listening.until(self._next)]

    def _next(self) -> list[Message[bytes] | Event]:
        event = self.subscriber.next_event_in_place()
        return [*self.subscriber.take()] if event is None else [event]

    def _newest(self, name: bytes) -> int:
        found = (int(item.data) for _, item in reversed(self.log) if isinstance(item, Message) and item.channel == name)
        return next(found, 0)

    def untold(self) -> list[str]:
        """What was missed without a gap, came twice, or out of order. A gap may be told again where it ends.

        At a failover in order the last messages may come again, from the new primary.
        """
        found: dict[str, tuple[bytes, float]] = {}
        last: dict[bytes, int] = {}
        in_gap: set[bytes] = set()
        for at, item in self.log:
            if isinstance(item, SubscriptionGap):
                names = item.names or ()
                in_gap.update(names)
                found = {told: (n, t) for told, (n, t) in found.items() if n not in names or at - t > 2 * SETTLING}
            elif isinstance(item, Message):
                name, number = item.channel, int(item.data)
                before = last.get(name, number - 1)
                missed = [one for one in self.sent[name] if before < one < number]
                if (missed or number <= before) and name not in in_gap:
                    found[f"{name!r}: {number} behind {before}"] = name, at
                last[name] = number
                in_gap.discard(name)
        return [*found]


def primaries(cluster: EmbeddedCluster) -> list[EmbeddedNode]:
    return [cluster.owner(slot) for slot in (0, 8000, 16000)]


def move_all(cluster: EmbeddedCluster, how: Any) -> None:
    for number, name in enumerate(CHANNELS):
        owner = cluster.owner(name)
        cluster.move_slot(key_slot(name), [node for node in primaries(cluster) if node is not owner][number % 2], how)


def run(cluster: EmbeddedCluster, change: Callable[[], None]) -> None:
    story = Story(cluster)
    asyncio.run(story.tell(change))
    assert story.untold() == []
    assert any(isinstance(item, SubscriptionGap) for _, item in story.log)


@every_server
def test_slots_move(cluster: EmbeddedCluster) -> None:
    run(cluster, lambda: move_all(cluster, "classic"))


@every_server
def test_slots_move_at_once(cluster: EmbeddedCluster, server_kind: ServerKind) -> None:
    if server_kind.name == "redis7":
        pytest.skip("Redis 7.0 moves no slot at once")
    run(cluster, lambda: move_all(cluster, "atomic"))


@every_server
def test_a_primary_is_killed(cluster: EmbeddedCluster) -> None:
    def kill() -> None:
        cluster.crash(cluster.owner(8000))

    run(cluster, kill)


@every_server
def test_a_primary_stays_silent(cluster: EmbeddedCluster) -> None:
    def stop() -> None:
        cluster.pause(cluster.owner(8000))

    run(cluster, stop)


@every_server
def test_primaries_fail_over_in_order(cluster: EmbeddedCluster) -> None:
    def fail_over() -> None:
        for primary in primaries(cluster):
            cluster.failover(primary)

    run(cluster, fail_over)
