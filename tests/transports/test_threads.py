"""Threads of ours that cannot be started, or die before or amid their work: whoever waits for them is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from selectors import DefaultSelector
from typing import Any

import pytest

import transports.blocking
from streamcore import GroupEntry
from tests.support.raw import Raw
from tests.transports.steps import add, pending
from transports._threads import Worker
from transports.blocking import GroupConsumer, connect
from transports.embedded import EmbeddedServer

Entry = GroupEntry[bytes]


@pytest.fixture(autouse=True)
def _nobody_prints_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)


@contextmanager
def threads_die_at_birth(named: str) -> Iterator[None]:
    """Threads of that name end when Python calls their ``run``, which is before their work."""

    def kill(*_: object) -> None:
        if threading.current_thread().name.startswith(named):
            raise MemoryError("nothing is left")

    threading.settrace(kill)
    try:
        yield
    finally:
        threading.settrace(None)


@contextmanager
def no_more_threads(
    monkeypatch: pytest.MonkeyPatch, named: str, after: int = 0, wait: Callable[[], object] = bool
) -> Iterator[None]:
    """The system has so many more threads of that name, and then, after a while, no more."""
    started = 0
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        nonlocal started
        if thread.name.startswith(named):
            started += 1
            if started > after:
                wait()
                raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield


@pytest.fixture
def consumer(server: EmbeddedServer, raw: Raw) -> Iterator[GroupConsumer[bytes]]:
    add(raw, range(10))
    with (
        transports.blocking.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", block=0.2) as consumer,
    ):
        yield consumer


def until_drained(consumer: GroupConsumer[bytes], seen: list[int]) -> Callable[[Entry], None]:
    def work(entry: Entry) -> None:
        seen.append(int(entry["n"]))
        if len(seen) == 10:
            consumer.drain()

    return work


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_handlers_thread_that_dies_at_birth_ends_the_run(
    consumer: GroupConsumer[bytes], raw: Raw, concurrency: int
) -> None:
    seen: list[int] = []
    with threads_die_at_birth("streamcore handler"), pytest.raises(RuntimeError, match="before its work began"):
        consumer.run(until_drained(consumer, seen), concurrency=concurrency)
    assert seen == []
    consumer.run(until_drained(consumer, seen), concurrency=concurrency)
    assert sorted(seen) == list(range(10))
    assert consumer.flush()
    assert pending(raw) == 0


def test_where_no_more_threads_can_be_started_those_that_run_end_first(
    consumer: GroupConsumer[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    begun = threading.Event()

    def work(entry: Entry) -> None:
        begun.set()
        threading.Event().wait(0.3)
        ended.append(int(entry["n"]))

    with (
        no_more_threads(monkeypatch, "streamcore handler", after=2, wait=begun.wait),
        pytest.raises(RuntimeError, match="can't start"),
    ):
        consumer.run(work, concurrency=3)
    assert 1 <= len(ended) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("streamcore handler")]
    assert len(ended) + len([*iter(lambda: consumer.get(timeout=0.1), None)]) == 10


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), KeyboardInterrupt()])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_whatever_a_handler_dies_of_is_raised(
    consumer: GroupConsumer[bytes], error: BaseException, concurrency: int
) -> None:
    def work(_: Entry) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        consumer.run(work, concurrency=concurrency)
    assert caught.value is error


def test_a_thread_that_ends_without_a_word_ends_the_run(
    consumer: GroupConsumer[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does whose last words fail, too: here the second of two, while the first has nothing to do."""
    seen: list[int] = []

    def run(worker: Worker) -> None:
        worker._begun.open()
        if not worker._thread.name.endswith("1"):
            worker._work()
            worker._returned = True
            worker._ended.open()

    monkeypatch.setattr(Worker, "_run", run)
    with pytest.raises(RuntimeError, match="in the middle of its work"):
        consumer.run(lambda entry: seen.append(int(entry["n"])), concurrency=2)
    assert sorted(seen) == list(range(len(seen)))


def test_a_worker_tells_of_its_life() -> None:
    go = threading.Event()
    inside: list[bool] = []

    def work() -> None:
        inside.append(worker.is_current)
        go.wait()

    worker = Worker(work, "worker")
    assert not worker.has_begun
    worker.start()
    assert (worker.has_begun, worker.is_lost, worker.is_current, worker.wait(0.01)) == (True, False, False, False)
    go.set()
    assert worker.wait()
    assert worker.wait(0)
    assert (worker.is_lost, inside) == (False, [True])


def test_a_worker_whose_work_fails_is_lost() -> None:
    def work() -> None:
        raise SystemExit

    worker = Worker(work, "worker")
    worker.start()
    assert worker.wait()
    assert worker.is_lost


def test_a_worker_that_python_has_lost_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "_run", lambda worker: worker._begun.open())
    worker = Worker(list[Any], "worker")
    worker.start()
    assert worker.wait()
    assert worker.is_lost


def test_a_thread_that_pumps_hears_what_another_one_has_pumped(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = DefaultSelector.select

    def slowly(selector: DefaultSelector, timeout: float | None = None) -> Any:
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.1)  # held up on its way to sleep; the other thread does all the work meanwhile
        return select(selector, timeout)

    with (
        Raw(server.address) as raw,
        connect(server.url) as client,
        client.consumer({"s": "0"}, background=False) as consumer,
    ):
        taking = threading.Thread(target=consumer.get)
        taking.start()
        time.sleep(0.1)
        monkeypatch.setattr(DefaultSelector, "select", slowly)
        began = time.monotonic()
        assert consumer.add_stream("t", "0")
        took = time.monotonic() - began
        monkeypatch.undo()
        raw("XADD", "t", "1-0", "f", "v")
        taking.join()
    assert took < 2, "it was done long before"
