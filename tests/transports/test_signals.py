"""Ctrl-C: the engine is not torn, and what the application holds can still be acknowledged."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import trio

import transports
import transports.blocking
import transports.trio
from streamcore import ClosedError, GroupEntry
from streamcore.commands import get
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, clients, drain, pending, take_and_ack
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
        async with (
            runtime.connect(server.url) as client,
            client.group_consumer("s", group="g", ack_delay=5) as consumer,
        ):
            await take_and_ack(consumer, 15)
            await consumer.get(timeout=0.05)
            while True:
                await consumer.get()

    with pytest.raises(BaseException) as caught, interrupt_after(0.3):
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


async def _storm_over_trio(server: EmbeddedServer, raw: Raw) -> None:
    """As above; what is not marked by ``disable_ki_protection`` is the test's own code."""
    sent = interrupts = 0
    seen: list[int] = []
    async with (
        transports.trio.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", count=2, ack_delay=0.001) as consumer,
    ):

        @trio.lowlevel.disable_ki_protection
        async def interruptible_get() -> GroupEntry[bytes] | None:
            return await consumer.get(timeout=0.001)

        with storm_of_interrupts(500, signal.getsignal(signal.SIGINT)) as storm:
            while storm.is_alive():
                add(raw, [sent, sent + 1])
                sent += 2
                try:
                    while (entry := await interruptible_get()) is not None:
                        seen.append(int(entry["n"]))
                        entry.ack()
                except KeyboardInterrupt:
                    interrupts += 1
        with suppress(KeyboardInterrupt):  # the last one may come late
            await trio.sleep(0.01)
        add(raw, range(sent, sent + 10))
        while sent + 9 not in seen:
            seen += await drain(consumer)
        assert await consumer.flush()
    assert interrupts > 50
    assert set(range(sent, sent + 10)) <= set(seen)
    left = [row[0] for row in raw("XPENDING", "s", "g", "-", "+", 10_000)]
    unseen = set(range(sent + 10)) - set(seen)
    assert unseen <= {int(raw("XRANGE", "s", id_, id_)[0][1][1]) for id_ in left}


def test_trios_engine_survives_at_any_moment(server: EmbeddedServer, raw: Raw) -> None:
    trio.run(trio.lowlevel.enable_ki_protection(_storm_over_trio), server, raw)


def test_no_reply_crosses_over_at_any_moment(server: EmbeddedServer, raw: Raw) -> None:
    for n in range(10):
        raw("SET", f"key{n}", n)
    interrupts = done = 0
    with transports.blocking.connect(server.url) as client:
        with storm_of_interrupts(500) as storm:
            while storm.is_alive():
                try:
                    assert client.get(f"key{done % 10}") == b"%d" % (done % 10)
                    done += 1
                except KeyboardInterrupt:
                    interrupts += 1
        assert client.pipeline([get(f"key{n}") for n in range(10)]) == [b"%d" % n for n in range(10)]
    assert interrupts > 50
    assert done > 50


@contextmanager
def storm_of_interrupts(count: int, handler: Any = None) -> Iterator[threading.Thread]:
    """Ctrl-C, again and again, until the thread has ended; the test's own code is left alone."""
    draw, over = random.Random(3), threading.Event()

    def blow() -> None:
        for _ in range(count):
            if over.wait(draw.uniform(0, 0.002)):
                return
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, handler or interrupt_the_library)
    thread = threading.Thread(target=blow)
    thread.start()
    try:
        yield thread
    finally:
        over.set()
        thread.join()


LIBRARY = str(Path(transports.__file__).parent)


def interrupt_the_library(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith(LIBRARY):
            raise KeyboardInterrupt
        frame = frame.f_back


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
