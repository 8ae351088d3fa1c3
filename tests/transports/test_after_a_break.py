"""What a break must leave as it was: order, delivery counters, other people's connections; and clocks that jump."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import trio

import transports.blocking.driver
import transports.blocking.runtime
import transports.blocking.switchboard
import transports.blocking.waiters
from streamcore.events import Disconnected, EntriesRecovered, Event, OwnershipLost, Reconnected, StaleConnectionKilled
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, blocked, clients, drain, pending, take, take_and_ack, until_quiet
from transports.embedded import EmbeddedServer

MANY = 1000


async def test_a_thousand_waits_of_a_follower_that_are_given_up(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """By whatever means a runtime has; threads by ``timeout``. No entry is lost, doubled, or out of order."""
    draw = random.Random(11)
    sent: list[int] = []
    given_up: list[None] = []

    async def produce() -> None:
        with Raw(server.address) as mine:
            while len(given_up) < MANY:
                more = range(len(sent), len(sent) + draw.randrange(1, 8))
                add(mine, more)
                sent.extend(more)
                await runtime.sleep(draw.choice([0.0, 0.001, 0.003]))

    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}, count=4) as consumer,
        runtime.tasks() as tasks,
    ):
        producing = tasks.start(produce)
        numbers: list[int] = []
        while len(given_up) < MANY:
            entry = await runtime.briefly(draw.choice([0, 0.0001, 0.0005, 0.001]), consumer.get)
            if entry is None:
                given_up.append(None)
            else:
                numbers.append(int(entry["n"]))
        await producing.result()
        numbers += await take(consumer, len(sent) - len(numbers))
        numbers += [int(entry["n"]) async for entry in until_quiet(consumer.get)]
        assert numbers == sent


@pytest.mark.every_server
async def test_reconnecting_counts_no_delivery(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    """Neither for what the application holds, nor for what it has not seen yet: a link that flaps condemns no entry."""
    events: list[Event] = []
    add(raw, range(3))
    async with (
        runtime.connect(proxy.url, on_event=events.append) as client,
        client.group_consumer("s", group="g", consumer="me") as consumer,
        runtime.tasks() as tasks,
    ):
        assert await take(consumer, 3) == [0, 1, 2]
        for n in range(3, 6):
            waiting = tasks.start(take, consumer, 1)
            await blocked(runtime, raw)
            proxy.freeze("downstream", swallow=True)
            add(raw, [n])
            await runtime.until(lambda expected=n + 1: pending(raw) == expected)  # type: ignore[misc]
            proxy.cut()
            proxy.thaw()
            assert await waiting.result() == [n]
        assert [row[3] for row in raw("XPENDING", "s", "g", "-", "+", 10)] == [1] * 6
    assert sum(event.entries for event in events if isinstance(event, EntriesRecovered)) == 3
    assert sum(isinstance(event, Reconnected) for event in events) >= 3


@pytest.mark.every_server
async def test_an_id_that_is_given_twice_is_not_settled_by_what_is_said_of_the_first(
    runtime: Runtime, fresh_server: EmbeddedServer
) -> None:
    """The server has lost an entry that is in our hands, and has given its id to another one, which another member has."""
    server = fresh_server
    events: list[Event] = []
    with Proxy(server.address) as proxy, Raw(server.address) as raw:
        async with (
            runtime.connect(proxy.url, on_event=events.append) as client,
            client.group_consumer("s", group="g", consumer="me") as consumer,
        ):
            [id_] = add(raw, [1])
            entry = await anext(consumer)
            proxy.refuse()
            proxy.cut()
            server.kill()
            server.restart()
            with Raw(server.address) as again:
                again("DEL", "s")
                again("XADD", "s", id_, "n", 2)
                again("XGROUP", "CREATE", "s", "g", 0)
                again("XREADGROUP", "GROUP", "g", "other", "STREAMS", "s", ">")
                proxy.accept()
                entry.ack()
                while not any(isinstance(event, OwnershipLost) for event in events):
                    assert await consumer.get(timeout=0.1) is None
                assert await consumer.flush()
                assert [row[:2] for row in again("XPENDING", "s", "g", "-", "+", 10)] == [[id_, b"other"]]
    assert [event.ids for event in events if isinstance(event, OwnershipLost)] == [(id_,)]


@pytest.mark.every_server
async def test_a_stranger_under_our_former_id_lives(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    """Ids of connections begin anew with the server. The stranger even has our connection's name; the server is another run."""
    server = fresh_server
    events: list[Event] = []
    with ExitStack() as strangers, Proxy(server.address) as proxy, Raw(server.address) as raw:
        for _ in range(300):  # so that ours is free after the restart, which uses up some for its own questions
            Raw(server.address).close()
        async with (
            runtime.connect(proxy.url, on_event=events.append) as client,
            client.group_consumer("s", group="g", consumer="me") as consumer,
            runtime.tasks() as tasks,
        ):
            waiting = tasks.start(take_and_ack, consumer, 1)
            await blocked(runtime, raw)
            [ours] = clients(raw, "xreadgroup")
            proxy.refuse()
            proxy.cut()
            server.kill()
            server.restart()
            stranger = strangers.enter_context(Raw(server.address))
            while (id_ := stranger("CLIENT", "ID")) < int(ours["id"]):
                stranger.close()
                stranger = strangers.enter_context(Raw(server.address))
            assert id_ == int(ours["id"])
            stranger("CLIENT", "SETNAME", ours["name"])
            proxy.accept()
            add(stranger, [7])
            assert await waiting.result() == [7]
            assert await consumer.flush()
            assert stranger("CLIENT", "ID") == id_
    assert not [event for event in events if isinstance(event, StaleConnectionKilled)]


class Clock:
    """The clock of every driver, which can jump."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        room = transports.blocking
        for module in (room.driver, room.runtime, room.switchboard, room.waiters):
            monkeypatch.setattr(module, "monotonic", self._shifted(time.monotonic))
        monkeypatch.setattr(trio, "current_time", self._shifted(trio.current_time))
        monkeypatch.setattr(asyncio.SelectorEventLoop, "time", lambda loop: time.monotonic() + self._ahead)

    def _shifted(self, clock: Callable[[], float]) -> Callable[[], float]:
        return lambda: clock() + self._ahead

    def jump(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.mark.runtimes("asyncio", "trio", "threads")
@pytest.mark.parametrize("seconds", [3.0, 30.0, 3600.0])
async def test_a_clock_that_jumps_forward_loses_nothing_and_doubles_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A machine that slept, a process that was stopped: every timer is due at once, and nobody is to blame for it."""
    clock = Clock(monkeypatch)
    add(raw, range(10))
    events: list[Event] = []
    async with (
        runtime.connect(server.url, on_event=events.append) as client,
        client.consumer({"s": "0"}, block=0.2) as follower,
        client.group_consumer("s", group="g", consumer="me", block=0.2, claim_idle=None) as consumer,
    ):
        followed, consumed = await take(follower, 5), await take_and_ack(consumer, 5)
        held = await anext(consumer)
        for n in range(10, 40, 10):
            clock.jump(seconds)
            assert await client.ping() == b"PONG"
            add(raw, range(n, n + 10))
            followed += await take(follower, 10)
            consumed += await take_and_ack(consumer, 10)
        held.ack()
        followed += await take(follower, 5)
        consumed += await drain(consumer, 39 - len(consumed))
        assert followed == list(range(40))
        assert sorted([int(held["n"]), *consumed]) == followed
        assert await consumer.flush()
    assert pending(raw) == 0
    assert len([event for event in events if isinstance(event, Disconnected)]) <= 3 * 3


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_a_member_whose_clock_jumps_keeps_what_it_holds(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long an entry has been idle is told by the server: our own clock gives us nothing of another member's."""
    clock = Clock(monkeypatch)
    add(raw, range(5))
    options: dict[str, Any] = {"group": "g", "claim_idle": 2.0, "block": 0.1}
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", consumer="slow", **options) as slow,
        client.group_consumer("s", consumer="eager", **options) as eager,
    ):
        assert await take(slow, 5) == [0, 1, 2, 3, 4]
        for _ in range(5):
            clock.jump(600)
            assert await eager.get(timeout=0.1) is None
    assert [row[3] for row in raw("XPENDING", "s", "g", "-", "+", 10, "slow")] == [1] * 5
