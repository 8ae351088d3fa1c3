"""Handlers of the log are the application's own code: they raise, take long, and use the very client that has something to say."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import transports.blocking
from streamcore import ClosedError
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, take
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.timeout(30)


class Shipping(logging.Handler):
    """Does something with each line. A filter may raise as ``handle`` does here: logging does not guard it."""

    def __init__(self, ship: Callable[[str], object]) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._ship = ship

    def handle(self, record: logging.LogRecord) -> bool:
        line = record.getMessage()
        self.lines.append(line)
        self._ship(line)
        return True


@contextmanager
def shipped(ship: Callable[[str], object]) -> Iterator[Shipping]:
    logger, handler = logging.getLogger("streamcore"), Shipping(ship)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
        logger.setLevel(before[0])


def full(line: str) -> None:
    raise OSError("the disk is full")


def blocking(face: Any) -> Any:
    return getattr(face, "_blocking", face)


async def test_a_handler_that_raises_ends_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, capsys: pytest.CaptureFixture[str]
) -> None:
    with shipped(full) as handler:
        async with (
            runtime.connect(server.url) as client,
            client.consumer({"s": "$"}, block=0.2) as consumer,
        ):
            for number in range(3):
                heard = len(handler.lines)
                raw("CLIENT", "KILL", "TYPE", "normal")
                assert await consumer.get(timeout=0.3) is None
                add(raw, [number])
                assert await take(consumer, 1) == [number]
                assert await client.ping() == b"PONG"
                await runtime.until(lambda: len(handler.lines) > heard)  # noqa: B023  # called within the round
    assert "the disk is full" in capsys.readouterr().err


async def test_a_handler_may_use_the_consumer_that_has_something_to_say(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    errors: list[Exception] = []
    places: list[object] = []
    closed: list[str] = []  # the last line may come when the consumer is closed
    async with runtime.connect(server.url) as client, client.consumer({"s": "0"}, block=0.2) as consumer:
        used = blocking(consumer)

        def use(line: str) -> None:
            try:
                used.pause()
                places.append(used.cursor())
                used.resume()
            except ClosedError:
                closed.append(line)
            except Exception as error:
                errors.append(error)

        with shipped(use) as handler:
            for number in range(3):
                heard = len(handler.lines)
                raw("CLIENT", "KILL", "TYPE", "normal")
                add(raw, [number])
                assert await take(consumer, 1) == [number]
                assert await client.ping() == b"PONG"
                await runtime.until(lambda: len(handler.lines) > heard)  # noqa: B023  # called within the round
    assert places
    assert errors == []
    assert len(closed) < 3


@pytest.mark.parametrize("which", ["own", "other"])
def test_a_handler_may_wait_for_an_answer_in_threads(server: EmbeddedServer, raw: Raw, which: str) -> None:
    with (
        transports.blocking.connect(server.url) as client,
        transports.blocking.connect(server.url) as other,
    ):
        used = client if which == "own" else other
        with (
            shipped(lambda line: used.xadd("log", {"line": line})) as handler,
            client.group_consumer("s", group="g", consumer="me", block=0.2) as consumer,
        ):
            for number in range(3):
                heard = len(handler.lines)
                raw("CLIENT", "KILL", "TYPE", "normal")
                while len(handler.lines) == heard:
                    assert client.ping() == b"PONG"
                add(raw, [number])
                entry = consumer.get(timeout=10)
                assert entry is not None
                entry.ack()
        assert int(raw("XLEN", "log")) >= 3


def test_a_handler_that_waits_for_whoever_closes_holds_nobody_up(server: EmbeddedServer, raw: Raw) -> None:
    """As by a lock that the closing thread holds."""
    goes_on, waits = threading.Event(), threading.Event()

    def wait(line: str) -> None:
        waits.set()
        goes_on.wait(20)

    with shipped(wait):
        client = transports.blocking.connect(server.url).__enter__()
        raw("CLIENT", "KILL", "TYPE", "normal")
        assert client.ping() == b"PONG"
        assert waits.wait(10)
        client.close()
        with pytest.raises(ClosedError):
            client.ping()
        goes_on.set()
