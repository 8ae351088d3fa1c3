"""What a signal handler raises in the hand-over loses no entry: it is the next one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import transports.blocking
from streamcore.entries import Batch, Entry, GroupBatch, GroupEntry
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
