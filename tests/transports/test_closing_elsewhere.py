"""Closing from another event loop than the one that a client was opened in: at the end of a test suite, or of a program."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
import uvloop

import transports.anyio
import transports.asyncio
import transports.trio
from streamcore.events import AcksUnconfirmed, Event
from tests.support.raw import Raw
from tests.transports.test_forgotten import until
from transports.embedded import EmbeddedServer

Opened = tuple[Any, Any]
KINDS = ["client", "consumer", "group", "producer", "pubsub", "channels"]
LOOPS: dict[str, tuple[Any, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": (transports.asyncio, asyncio.SelectorEventLoop),
    "uvloop": (transports.asyncio, uvloop.new_event_loop),
    "anyio": (transports.anyio, asyncio.SelectorEventLoop),
}
every_loop = pytest.mark.parametrize("name", LOOPS)
every_kind = pytest.mark.parametrize("kind", KINDS)
pytestmark = pytest.mark.timeout(20)


@pytest.fixture(autouse=True)
def nothing_is_left_to_others() -> Iterator[None]:
    """asyncio warns of transports over which their loop was closed: as well it may."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


async def opened(module: Any, url: str, kind: str, told: list[Event]) -> Opened:
    client = module.connect(url, on_event=told.append)
    await client.__aenter__()
    make: dict[str, Callable[[], Any]] = {
        "client": lambda: client,
        "consumer": lambda: client.consumer("s"),
        "group": lambda: client.group_consumer("s", group="g", consumer="c"),
        "producer": lambda: client.producer("s", linger=5),
        "pubsub": lambda: client.pubsub("c"),
        "channels": client.channels,
    }
    part = make[kind]()
    if part is not client:
        await part.__aenter__()
    return client, part


async def close(client: Any, part: Any) -> None:
    for one in (part, client, part):
        await one.aclose()


def gone(raw: Raw) -> Callable[[], bool]:
    return lambda: len(raw("CLIENT", "LIST").splitlines()) == 1


@every_loop
@every_kind
def test_the_loop_is_closed(server: EmbeddedServer, raw: Raw, name: str, kind: str) -> None:
    module, new_loop = LOOPS[name]
    loop = new_loop()
    pair = loop.run_until_complete(opened(module, server.url, kind, []))
    loop.close()
    asyncio.run(close(*pair))
    until(gone(raw))


@every_loop
@every_kind
def test_the_loop_does_not_run(server: EmbeddedServer, raw: Raw, name: str, kind: str) -> None:
    module, new_loop = LOOPS[name]
    loop = new_loop()
    pair = loop.run_until_complete(opened(module, server.url, kind, []))
    asyncio.run(close(*pair))
    loop.run_until_complete(asyncio.sleep(0.01))  # what it was left to do, it does when it runs again
    loop.close()
    until(gone(raw))


def in_a_thread(run: Callable[..., Any], main: Callable[[], Coroutine[Any, Any, None]]) -> threading.Thread:
    thread = threading.Thread(target=run, args=(main,))
    thread.start()
    return thread


@every_kind
def test_the_loop_runs_in_another_thread(server: EmbeddedServer, raw: Raw, kind: str) -> None:
    pair: list[Any] = []
    done = threading.Event()

    async def main() -> None:
        client, part = await opened(transports.asyncio, server.url, kind, [])
        if kind == "producer":
            await part.send_nowait({"n": 1})
        pair.extend((client, part))
        while not done.is_set():
            await asyncio.sleep(0.005)

    thread = in_a_thread(lambda main: asyncio.run(main()), main)
    until(lambda: len(pair) == 2)
    asyncio.run(close(*pair))
    assert raw("XLEN", "s") == (kind == "producer"), "it was done in order"
    until(gone(raw))
    done.set()
    thread.join()


@every_kind
def test_another_run_of_trio(server: EmbeddedServer, raw: Raw, kind: str) -> None:
    pair: list[Any] = []

    async def main() -> None:
        pair.extend(await opened(transports.trio, server.url, kind, []))

    trio.run(main)
    trio.run(close, *pair)
    until(gone(raw))


@every_kind
def test_a_run_of_trio_in_another_thread(server: EmbeddedServer, raw: Raw, kind: str) -> None:
    pair: list[Any] = []
    done = threading.Event()

    async def main() -> None:
        client, part = await opened(transports.trio, server.url, kind, [])
        if kind == "producer":
            await part.send_nowait({"n": 1})
        pair.extend((client, part))
        while not done.is_set():
            await trio.sleep(0.005)

    thread = in_a_thread(trio.run, main)
    until(lambda: len(pair) == 2)
    trio.run(close, *pair)
    assert raw("XLEN", "s") == (kind == "producer"), "it was done in order"
    until(gone(raw))
    done.set()
    thread.join()


def test_what_could_not_be_told_the_server_is_told_the_application(server: EmbeddedServer, raw: Raw) -> None:
    raw("XADD", "s", "*", "n", "1")
    told: list[Event] = []

    async def main() -> Opened:
        client, group = await opened(transports.asyncio, server.url, "group", told)
        entry = await group.get(timeout=5)
        # The next read has left, and the acknowledgement does not ride with it.
        assert await group.get(timeout=0.1) is None
        entry.ack()
        return client, group

    loop = asyncio.SelectorEventLoop()
    pair = loop.run_until_complete(main())
    loop.close()
    asyncio.run(close(*pair))
    assert AcksUnconfirmed(1) in told


def test_anyio_on_the_other_runtime(server: EmbeddedServer, raw: Raw) -> None:
    loop = asyncio.SelectorEventLoop()
    pair = loop.run_until_complete(opened(transports.anyio, server.url, "consumer", []))
    loop.close()
    trio.run(close, *pair)
    until(gone(raw))
    trios: list[Any] = []

    async def main() -> None:
        trios.extend(await opened(transports.anyio, server.url, "consumer", []))

    trio.run(main)
    with suppress(RuntimeError):
        asyncio.run(close(*trios))
    until(gone(raw))
