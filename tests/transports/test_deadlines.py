"""What waits for an answer ends in its time, whatever the server sends instead."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from streamcore import ConnectFailed, ConnectionLost, RequestTimeout, UnreadableError
from streamcore.events import Disconnected, Event
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import HASTE, entered
from transports.embedded import EmbeddedServer

WELCOME = b"%1\r\n$6\r\nserver\r\n$4\r\nfake\r\n+OK\r\n+OK\r\n"
NOTHING = {"a reply that never ends": b"$100000000\r\n", "pushes": b">2\r\n$10\r\ninvalidate\r\n_\r\n"}


@pytest.fixture(scope="module")
def limited() -> Iterator[EmbeddedServer]:
    """A server that reads no string longer than 1 MiB, and says early that it is busy."""
    with EmbeddedServer(config={"proto-max-bulk-len": "1048576", "busy-reply-threshold": "100"}) as server:
        yield server


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[str]:
    """A server that welcomes, takes everything, and sends ``first``, and then a drop again and again."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(WELCOME + first)
            connection.setblocking(False)
            while not over.wait(0.02):
                with suppress(BlockingIOError):
                    while connection.recv(1 << 20):
                        pass
                connection.send(drop)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)


@pytest.mark.parametrize("what", NOTHING)
async def test_a_server_that_sends_and_does_not_answer(runtime: Runtime, what: str) -> None:
    events: list[Event] = []
    first = NOTHING[what]
    with dripping(first, b"x" if what.startswith("a reply") else first) as url:
        async with entered(lambda: runtime.connect(url, request_timeout=0.1, on_event=events.append)) as client:
            began = time.monotonic()
            for _ in range(10):  # more than may be unanswered at once
                with pytest.raises((RequestTimeout, ConnectionLost)):
                    await client.set("k", b"v" * (8 << 20))
            assert time.monotonic() - began < 10 * (2 * 0.1 + 1)
    assert any(isinstance(event, Disconnected) for event in events)


async def test_a_gateway_that_has_forgotten_the_connection(
    runtime: Runtime, server: EmbeddedServer, proxy: Proxy
) -> None:
    """A new connection is as good as ever: what may be repeated has its answer in time."""
    async with runtime.connect(proxy.url, request_timeout=2) as client:
        assert await client.set("k", "v")
        async with client.producer("s", idempotent=True) as producer, client.channels() as channels:
            await producer.send({"n": "1"})
            proxy.abandon()
            assert await client.get("k") == b"v"
            proxy.abandon()
            await producer.send({"n": "2"})
            proxy.abandon()
            await channels.publish("m", "room")
        assert await client.xlen("s") == 2
        assert len(await channels.get_history("room")) == 1


async def test_a_server_that_is_busy_is_waited_for(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    events: list[Event] = []
    async with (
        runtime.connect(fresh_server.url, request_timeout=3, on_event=events.append) as client,
        runtime.tasks() as tasks,
    ):
        assert await client.set("k", "v")
        fresh_server.pause()
        waiting = tasks.start(client.get, "k")
        await runtime.sleep(1.6)
        fresh_server.resume()
        assert await waiting.result() == b"v"
        assert await client.get("k") == b"v"
    assert not any(isinstance(event, Disconnected) for event in events)


@pytest.mark.parametrize("size", [(1 << 20) + 1, 16 << 20], ids=["read", "too long to be written before it closes"])
async def test_behind_what_the_server_could_not_read(runtime: Runtime, limited: EmbeddedServer, size: int) -> None:
    """It closes, and has executed nothing that stands behind: all of that is sent again."""
    async with runtime.connect(limited.url) as client:
        await client.unlink("s", "t")
    async with runtime.connect(limited.url) as client, client.producer("s") as producer, runtime.tasks() as tasks:
        for number in range(5):
            with pytest.raises(UnreadableError):
                await client.set("k", b"x" * size)
            await client.xadd("t", {"n": number})
            culprit = tasks.start(producer.send, {"x": b"x" * size})
            others = [tasks.start(producer.send, {"n": n}) for n in range(5)]
            assert isinstance(await culprit.raised(), UnreadableError)
            for other in others:
                await other.result()
        assert (await client.xlen("t"), await client.xlen("s")) == (5, 25)


BUSY = "local t = redis.call('TIME'); local e = t[1] + t[2] / 1e6 + ARGV[1]; repeat t = redis.call('TIME') until t[1] + t[2] / 1e6 > e"


def says_busy(server: EmbeddedServer) -> bool:
    with Raw(server.address) as raw:
        raw.send("PING")
        return bool(raw.read() != b"PONG")


@pytest.mark.parametrize(("kind", "request_timeout"), [("streams", 1.5), ("pubsub", 10)])
async def test_publishing_waits_for_the_end_of_a_script(
    runtime: Runtime, limited: EmbeddedServer, kind: Any, request_timeout: float
) -> None:
    """With a history an attempt that was not answered is repeated, within ``timeout``; without, it would come twice."""
    async with (
        runtime.connect(limited.url, request_timeout=10) as busy,
        runtime.connect(limited.url, request_timeout=request_timeout) as client,
        runtime.tasks() as tasks,
    ):
        channels = client.channels(kind=kind)
        await channels.publish("warm", "room")
        script = tasks.start(busy.eval, BUSY, [], [3.5])
        await runtime.until(lambda: says_busy(limited))  # before that it answers nothing
        assert len(await channels.publish("m", "room", timeout=10)) == 1
        await script.result()


@pytest.mark.parametrize("what", ["nobody accepts", "nobody greets", "nobody confirms"])
async def test_entering_a_subscriber_takes_no_longer_than_its_subscription_timeout(
    runtime: Runtime, server: EmbeddedServer, proxy: Proxy, what: str
) -> None:
    """To reach the server and to hear of the first subscriptions, together, however long a request may take."""
    async with runtime.connect(proxy.url, request_timeout=20, connect_timeout=20) as client:
        if what == "nobody accepts":
            proxy.refuse()
        errors: list[Exception] = []
        for timeout in (0.3, 3.0):  # the second, where the machine has stalled on the way to the first subscription
            proxy.delay(timeout / 3 if what == "nobody confirms" else 5)
            began = time.monotonic()
            with pytest.raises((ConnectFailed, RequestTimeout)) as caught:
                async with client.pubsub(["a"], subscription_timeout=timeout):
                    pass
            assert time.monotonic() - began < timeout + 4
            errors.append(caught.value)
            if what != "nobody confirms" or isinstance(caught.value, RequestTimeout):
                break
        proxy.delay(0)
        proxy.accept()
        if what == "nobody confirms":
            assert isinstance(errors[-1], RequestTimeout)
            assert "within 0.3 s" in str(errors[-1]) or "within 3 s" in str(errors[-1])


async def test_entering_a_subscriber_has_a_longer_subscription_timeout(
    runtime: Runtime, server: EmbeddedServer, proxy: Proxy
) -> None:
    async with (
        entered(lambda: runtime.connect(proxy.url, request_timeout=HASTE, connect_timeout=5)) as client,
        runtime.tasks() as tasks,
    ):
        proxy.refuse()
        subscriber = client.pubsub(["a"], subscription_timeout=10)
        entering = tasks.start(subscriber.__aenter__)
        await runtime.sleep(0.6)
        proxy.accept()
        await entering.result()
        assert subscriber.subscriptions.confirmed == {b"a"}
        await subscriber.aclose()


async def test_rows_that_hold_up_the_event_loop(runtime: Runtime, server: EmbeddedServer) -> None:
    """Answers have come in time, and lie unread: they are not late."""

    def rows() -> Iterator[dict[str, str]]:
        for number in range(4):
            if number % 2:
                time.sleep(1.2)
            yield {"n": str(number)}

    async with runtime.connect(server.url, request_timeout=1) as client, client.producer("s") as producer:
        assert len(await producer.send_many(rows())) == 4
