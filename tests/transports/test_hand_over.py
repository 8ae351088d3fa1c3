"""What a signal handler raises in the hand-over loses no entry, and no message in silence: it is the next one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import transports.blocking
from streamcore.entries import Batch, Entry, GroupBatch, GroupEntry
from streamcore.events import Gap, SubscriptionGap
from tests.support.alarms import interrupted_at
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add
from tests.transports.test_signals import storm_of_interrupts
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def _pythons_own_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every second entry is interrupted while it is made."""
    made = [0]

    def alarmed(kind: type[Any]) -> type[Any]:
        class Alarmed(kind):  # type: ignore[misc]  # any
            def __init__(self, batch: Any, raw: Any) -> None:
                made[0] += 1
                if made[0] % 2:
                    raise KeyboardInterrupt
                super().__init__(batch, raw)

        return Alarmed

    monkeypatch.setattr(Batch, "view", alarmed(Entry))
    monkeypatch.setattr(GroupBatch, "view", alarmed(GroupEntry))
    return made


@pytest.mark.parametrize("how", ["get", "iteration", "events"])
@pytest.mark.parametrize("grouped", [False, True])
async def test_an_entry_that_is_interrupted_while_it_is_made_comes_again(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, interrupted: list[int], how: str, grouped: bool
) -> None:
    add(raw, range(12))
    seen: list[int] = []
    async with runtime.connect(server.url) as client:
        opened: Any = (
            client.group_consumer("s", group="g", consumer="me", count=5)
            if grouped
            else client.consumer({"s": "0"}, count=5)
        )
        async with opened as consumer:
            events = consumer.with_events()
            if hasattr(events, "__await__"):
                events = await events
            while len(seen) < 12:
                try:
                    if how == "get":
                        entry = await consumer.get(timeout=5)
                    elif how == "iteration":
                        entry = await anext(consumer)
                    else:
                        entry = await anext(events)
                except KeyboardInterrupt:
                    continue
                if isinstance(entry, Entry):
                    seen.append(int(entry["n"]))
    assert seen == list(range(12))
    assert interrupted[0] == 24


@pytest.mark.parametrize("how", ["get", "iteration", "batches"])
def test_no_entry_is_lost_in_a_storm_of_interrupts(
    server: EmbeddedServer, raw: Raw, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # an interrupt in a finalizer is Python's to ignore
    sent = interrupts = 0
    handed: list[Any] = []
    with (
        transports.blocking.connect(server.url) as client,
        client.consumer({"s": "0"}, count=3, block=0.05) as consumer,
    ):
        batches = consumer.batches()
        calls: dict[str, Callable[[], Any]] = {
            "get": lambda: consumer.get(timeout=0.01),
            "iteration": consumer.__next__,  # ``next`` would end in C, where handlers may raise
            "batches": batches.__next__,
        }
        call = calls[how]
        with storm_of_interrupts(1000) as storm:
            while storm.is_alive():
                add(raw, range(sent, sent + 10))
                sent += 10
                due = len(handed) + 5
                while len(handed) < due:
                    try:
                        found = call()
                    except KeyboardInterrupt:
                        interrupts += 1
                    else:
                        handed.extend([] if found is None else found if how == "batches" else [found])
        while len(handed) < sent and (entry := consumer.get(timeout=10)) is not None:
            handed.append(entry)
    assert interrupts > 100
    assert [int(entry["n"]) for entry in handed] == list(range(sent))


@pytest.mark.parametrize("how", ["get_message", "iteration", "wait", "key_events"])
def test_no_message_is_lost_in_silence_wherever_a_call_is_interrupted(
    server: EmbeddedServer, raw: Raw, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # an interrupt in a finalizer is Python's to ignore
    raw("CONFIG", "SET", "notify-keyspace-events", "KA")
    told: list[Any] = []
    lost = number = 0
    with (
        transports.blocking.connect(server.url, on_event=told.append) as client,
        client.pubsub("c") as pubsub,
        client.key_events("k*") as events,
    ):
        calls: dict[str, Callable[[], Any]] = {
            "get_message": lambda: pubsub.get_message(timeout=0.5),
            "iteration": pubsub.__next__,
            "wait": lambda: pubsub.wait_for_message(lambda _: True, timeout=0.5),
            "key_events": lambda: events.get(timeout=0.5),
        }

        def publish(number: int) -> None:
            raw(*(("SET", f"k{number}", "v") if how == "key_events" else ("PUBLISH", "c", number)))

        def received(within: float) -> int | None:
            found: Any = events.get(timeout=within) if how == "key_events" else pubsub.get_message(timeout=within)
            return None if found is None else number_of(found)

        def gaps() -> int:
            return len([event for event in told if isinstance(event, SubscriptionGap)])

        def number_of(found: Any) -> int:
            return int(found.key[1:] if how == "key_events" else found.data)

        is_interrupted = True
        while is_interrupted:
            number += 1
            before = gaps()
            publish(number)
            found, is_interrupted = interrupted_at(number, calls[how])
            came: int | None = 0 if found is None else number_of(found)
            while came == 0 or (came is None and gaps() == before):
                came = received(0.1)
            assert came in {number, None}
            publish(0)
            while received(0.01) != 0:  # until the subscription stands again
                publish(0)
            assert came == number or gaps() > before
            lost += came is None
    assert number - lost > 5
    assert number > 20


@pytest.mark.parametrize("how", ["get", "iteration", "events"])
def test_no_message_of_a_channel_is_lost_in_silence_wherever_a_call_is_interrupted(
    server: EmbeddedServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    told: list[Any] = []
    lost = number = 0
    with (
        transports.blocking.connect(server.url, on_event=told.append) as client,
        client.channels() as channels,
        channels.subscriber("c") as subscriber,
    ):
        key = channels.key("c")
        events = subscriber.with_events()
        calls: dict[str, Callable[[], Any]] = {
            "get": lambda: subscriber.get(timeout=0.5),
            "iteration": subscriber.__next__,
            "events": events.__next__,
        }
        is_interrupted = True
        while is_interrupted:
            number += 1
            told.clear()
            channels.publish(str(number), "c")
            found, is_interrupted = interrupted_at(number, calls[how])
            while found is None or isinstance(found, Gap) or int(found.data) < number:
                found = subscriber.get(timeout=0.1)
                if found is None and any(isinstance(event, Gap) for event in told):
                    lost += 1
                    break
            assert {(gap.stream, gap.certain) for gap in told if isinstance(gap, Gap)} <= {(key, False)}
            assert found is None or int(found.data) == number
    assert number - lost > 5
    assert number > 20


@pytest.mark.parametrize(
    ("how", "grouped"),
    [("get", False), ("iteration", False), ("events", False), ("batches", False), ("get", True), ("batches", True)],
)
def test_no_entry_is_lost_wherever_a_call_is_interrupted(
    server: EmbeddedServer, raw: Raw, how: str, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with transports.blocking.connect(server.url) as client:
        consumer: Any = (
            client.group_consumer("s", group="g", consumer="me", exclusive=False)
            if grouped
            else client.consumer({"s": "0"})
        )
        with consumer:
            events, batches = consumer.with_events(), consumer.batches()
            calls: dict[str, Callable[[], Any]] = {
                "get": lambda: consumer.get(timeout=1),
                "iteration": consumer.__next__,
                "events": events.__next__,
                "batches": batches.__next__,
            }
            number, is_interrupted = 0, True
            while is_interrupted:
                number += 1
                add(raw, [number])
                found, is_interrupted = interrupted_at(number, calls[how])
                seen: list[int] = []
                while number not in seen:  # a group may hand over again what came before
                    if not isinstance(found, (Entry, Batch, GroupBatch)):
                        found = consumer.get(timeout=10)
                        assert found is not None
                    for entry in [found] if isinstance(found, Entry) else found:
                        seen.append(int(entry["n"]))
                        if isinstance(entry, GroupEntry):
                            entry.ack()
                    found = None
                assert grouped or seen == [number]
    assert number > 20
