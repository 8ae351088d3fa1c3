"""What a refusal leaves behind, and rules that people write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from streamcore.commands import raw
from streamcore.errors import NoPermissionError
from streamcore.events import Degraded
from transports.embedded import EmbeddedServer

from .world import World

pytestmark = [pytest.mark.every_server, pytest.mark.timeout(20)]


@pytest.fixture
def world(server: EmbeddedServer) -> Iterator[World]:
    world = World(server)
    yield world
    world.close()


@pytest.mark.parametrize("name", ["worker-1", None])
@pytest.mark.parametrize(
    "rule",
    [
        "+@all -@keyspace",
        "+@all -@scripting",
        "+@stream +@connection",
        "+@stream +@connection +@scripting",
        "+xreadgroup +xack +xpending +xclaim +xinfo|groups",
    ],
)
def test_a_member_lives_by_any_rule_that_lets_it_read_and_acknowledge(
    world: World, rule: str, name: str | None
) -> None:
    world.raw("XADD", "orders", "*", "n", 1)
    world.raw("XGROUP", "CREATE", "orders", "billing", 0)
    world.allow(["~orders", "~{orders}:*", *rule.split()])
    told: list[Degraded] = []

    async def live() -> None:
        options: dict[str, Any] = {
            "audit_interval": 0.02,
            "block": 0.01,
            "claim_idle": 0.1,
            "remove_idle_consumers": 0.001,
        }
        async with (
            world.connect() as client,
            client.group_consumer("orders", group="billing", consumer=name, **options) as consumer,
        ):
            for _ in range(2):
                entry = await consumer.get(timeout=2)
                assert entry is not None
                entry.ack()
                assert await consumer.flush()
                world.raw("XADD", "orders", "*", "n", 1)
                await asyncio.sleep(0.06)  # audits
            told.extend(world.degraded)

    asyncio.run(live())
    assert len(told) == len(set(told)), "once, and not at each audit"


async def _bury(world: World) -> None:
    world.raw("XADD", "orders", "*", "n", 1)
    async with world.connect() as client, client.group_consumer("orders", group="billing") as consumer:
        entry = await consumer.get(timeout=2)
        assert entry is not None
        entry.dead_letter("in vain")
        await consumer.flush(timeout=0.1)
        raise NoPermissionError("NOPERM", "as the others")


async def _append(world: World) -> None:
    async with world.connect() as client, client.producer("orders", idempotent=True) as producer:
        await producer.send({"n": 1})
        raise NoPermissionError("NOPERM", "Redis 8.6 has no script")


async def _publish(world: World) -> None:
    async with world.connect() as client:
        await client.channels(ttl=60).publish(b"x", "room")


@pytest.mark.parametrize(
    ("act", "without", "key", "left"),
    [(_bury, "xack", "{orders}:dead", 0), (_append, "pexpire", "orders", 0), (_publish, "pexpire", "channels_room", 0)],
)
def test_a_script_that_is_refused_has_done_nothing(
    world: World, act: Callable[[World], Awaitable[None]], without: str, key: str, left: int
) -> None:
    world.allow(["~*", "&*", "+@all", f"-{without}"])

    async def go() -> None:
        with pytest.raises(NoPermissionError):
            await act(world)

    asyncio.run(go())
    idmp = act is _append and b"redis_version:8" in world.raw("INFO", "server")
    assert world.raw("XLEN", key) == left + idmp


def test_a_right_that_is_given_back_counts_from_the_next_connection_on(world: World) -> None:
    rules = ["~orders", "~{orders}:*", "+@all"]
    world.raw("XGROUP", "CREATE", "orders", "billing", 0, "MKSTREAM")
    world.allow([*rules, "-eval"])

    async def live() -> None:
        async with (
            world.connect() as client,
            client.group_consumer(
                "orders", group="billing", consumer="worker-1", block=0.05, audit_interval=0.05
            ) as consumer,
        ):
            await consumer.get(timeout=0.2)
            assert world.degraded == [Degraded("guarding the name", "+eval")]
            assert not world.raw("EXISTS", "{orders}:name:billing:worker-1")
            world.allow(rules)
            world.raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            for _ in range(100):
                await consumer.get(timeout=0.02)
                if world.raw("EXISTS", "{orders}:name:billing:worker-1"):
                    return
            raise AssertionError("the name is not guarded")

    asyncio.run(live())


def test_the_error_of_a_script_of_ones_own_is_the_same(world: World) -> None:
    world.allow(["~s", "+@all", "-get"])

    async def ask() -> None:
        async with world.connect() as client:
            for words in (("EVAL", "return redis.call('GET', KEYS[1])", 1, "s"), ("GET", "s")):
                with pytest.raises(NoPermissionError) as raised:
                    await client.execute(raw(*words))
                assert raised.value.missing in {"+get", "a command of the script"}

    asyncio.run(ask())
