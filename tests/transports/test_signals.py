"""Ctrl-C: the engine is not torn, and what the application holds can still be acknowledged."""

from __future__ import annotations

import _thread
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import transports.blocking
from streamcore import ClosedError
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, clients, pending, take_and_ack
from transports.embedded import EmbeddedServer


@contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """Ctrl-C, once."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.fixture(autouse=True)
def _pythons_own_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.runtimes("asyncio", "uvloop", "trio", "anyio-asyncio", "anyio-trio")
def test_leaving_by_ctrl_c_sends_acknowledgements(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(20))

    async def program() -> None:
        async with runtime.connect(server.url) as client:
            async with client.group_consumer("s", group="g", ack_delay=5) as consumer:
                await take_and_ack(consumer, 15)
                await consumer.get(timeout=0.05)
                while True:
                    await consumer.get()

    with pytest.raises(BaseException) as caught, interrupt_after(0.3):  # noqa: PT012
        runtime.run(program)
    assert "KeyboardInterrupt" in repr(caught.value)
    assert pending(raw) == 5
    deadline = time.monotonic() + 5
    while clients(raw):
        assert time.monotonic() < deadline


@pytest.mark.runtimes("trio", "anyio-trio")
async def test_trios_engine_survives(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.group_consumer("s", group="g") as consumer:
        for n in range(3):
            with pytest.raises(KeyboardInterrupt), interrupt_after(0.05):
                await consumer.get()
            add(raw, [n])
            assert await take_and_ack(consumer, 1) == [n]
            assert await client.ping() == b"PONG"
    assert pending(raw) == 0


def test_the_background_engine_survives(server: EmbeddedServer, raw: Raw) -> None:
    with (
        transports.blocking.connect(server.url) as client,
        client.group_consumer("s", group="g") as consumer,
        client.producer("p") as producer,
    ):
        for n in range(3):
            with pytest.raises(KeyboardInterrupt), interrupt_after(0.05):
                consumer.get()
            add(raw, [n])
            entry = next(consumer)
            assert entry["n"] == b"%d" % n
            entry.ack()
        server.pause()
        try:
            with pytest.raises(KeyboardInterrupt), interrupt_after(0.05):
                client.get("key")
            with pytest.raises(KeyboardInterrupt), interrupt_after(0.05):
                producer.send({"n": 0})
        finally:
            server.resume()
        assert client.ping() == b"PONG"
        producer.send({"n": 1})
    assert raw("XLEN", "p") == 2  # the interrupted one had left
    assert pending(raw) == 0


def test_the_background_engine_survives_at_any_moment(server: EmbeddedServer, raw: Raw) -> None:
    """Entries flow, and Ctrl-C comes again and again, wherever the thread happens to be."""
    draw = random.Random(3)
    finished = threading.Event()

    def interrupt() -> None:
        for _ in range(300):
            time.sleep(draw.uniform(0, 0.002))
            _thread.interrupt_main()
        finished.set()

    sent = 0
    seen: list[int] = []
    interrupts = 0
    interrupting = threading.Thread(target=interrupt)
    with (
        transports.blocking.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", count=2, audit=0.2, block=0.1) as consumer,
    ):
        interrupting.start()
        while not finished.is_set():
            try:
                if sent < 3000:
                    signal.pthread_sigmask(signal.SIG_BLOCK, [])
                    raw("XADD", "s", "*", "n", sent)
                    sent += 1
                entry = consumer.get(timeout=0.001)
                if entry is not None:
                    seen.append(int(entry["n"]))
                    entry.ack()
            except KeyboardInterrupt:
                interrupts += 1
                raw.close()
                raw.__init__(server.address)  # type: ignore[misc]  # it may have been interrupted in mid-frame
    assert interrupts


def test_the_pumped_engine_is_closed(server: EmbeddedServer, raw: Raw) -> None:
    """Nobody knows what an interrupted pump has seen: the consumer refuses further use, and the client goes on."""
    add(raw, range(3))
    with transports.blocking.connect(server.url) as client:
        with client.group_consumer("s", group="g", consumer="me", background=False) as consumer:
            first = next(consumer)
            for _ in range(2):
                next(consumer)
            with pytest.raises(KeyboardInterrupt), interrupt_after(0.1):
                consumer.get()
            first.ack()
            with pytest.raises(ClosedError):
                consumer.get(timeout=0)
        assert client.ping() == b"PONG"
        with client.group_consumer("s", group="g", consumer="me", background=False) as consumer:
            assert [entry["n"] for entry in [next(consumer) for _ in range(3)]] == [b"0", b"1", b"2"]
