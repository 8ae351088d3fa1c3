"""How often the same thing is logged."""

from __future__ import annotations

import logging
import re

import pytest

from streamcore.events import AckMissed, Connected, StaleConnectionKilled
from streamcore.group.consumer import GroupConsumer
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add
from transports._facade import telling
from transports._facade.logs import LINES, PERIOD, Limiter
from transports._facade.telling import Telling
from transports.embedded import EmbeddedServer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_lines_of_a_period_are_written_and_the_others_counted_by_kind() -> None:
    clock = Clock()
    limiter = Limiter(clock, lines=2, period=10)
    assert [limiter.admit("a", 20) for _ in range(4)] == [True, True, False, False]
    assert limiter.admit("b", 20)
    clock.now += 9.9
    assert list(limiter.over()) == []
    assert not limiter.admit("a", 30)
    clock.now += 0.1
    assert list(limiter.over()) == [("a", 3, 30)]
    assert list(limiter.over()) == []
    assert limiter.admit("a", 20)


def test_at_the_end_nothing_waits_for_its_period() -> None:
    limiter = Limiter(Clock(), lines=1)
    for kind in "aab":
        limiter.admit(kind, 20)
    assert list(limiter.over(at_the_end=True)) == [("a", 1, 20)]
    assert list(limiter.over(at_the_end=True)) == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(telling, "monotonic", clock)
    return clock


def test_a_flood_of_events_is_a_few_lines_and_a_number(clock: Clock, log: pytest.LogCaptureFixture) -> None:
    teller = Telling(GroupConsumer("s", group="g", consumer="me"), None)
    for number in range(1000):
        teller.engine.on_event(StaleConnectionKilled(number))
        teller.engine.on_event(AckMissed(b"s", 1))
    assert len(log.records) == 2 * LINES
    clock.now += PERIOD
    teller.engine.on_event(Connected("main", "here", "valkey 9"))
    assert [(record.levelno, record.message) for record in log.records[-3:]] == [
        (logging.INFO, "GroupConsumer me of g on s 995 more StaleConnectionKilled in 10 s"),
        (logging.WARNING, "GroupConsumer me of g on s 995 more AckMissed in 10 s"),
        (
            logging.DEBUG,
            "GroupConsumer me of g on s Connected(link='main', address='here', server='valkey 9', owner='')",
        ),
    ]


def test_what_nobody_logs_is_not_counted_either(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "streamcore")
    teller = Telling(GroupConsumer("s", group="g", consumer="me"), None)
    for number in range(100):
        teller.engine.on_event(StaleConnectionKilled(number))
    clock.now += PERIOD
    teller.engine.on_event(AckMissed(b"s", 1))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_leaving_tells_what_was_left_out(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, log: pytest.LogCaptureFixture
) -> None:
    ids = add(raw, range(2 * LINES))
    async with runtime.connect(server.url) as client:
        async with client.group_consumer("s", group="g") as consumer:
            for id_ in ids:
                entry = await anext(consumer)
                raw("XACK", "s", "g", id_)
                entry.ack()
                await consumer.flush()
        told = [record.message for record in log.records if "AckMissed" in record.message]
    assert len(told) == LINES + 1
    assert re.fullmatch(rf"GroupConsumer \S+ of g on s {LINES} more AckMissed in 10 s", told[-1])
