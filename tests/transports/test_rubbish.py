"""A server that answers what is no answer: the link is dropped, and dialled again with back-off."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

import pytest

from streamcore import ConnectFailed, ConnectionLost, RemoteProtocolError
from streamcore.events import ConnectAttemptFailed, Disconnected, Event
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, refused, take_and_ack
from transports.embedded import EmbeddedServer

HELLO = b"%1\r\n$6\r\nserver\r\n$4\r\nfake\r\n"


class Fake:
    """A server of one line: ``answers`` maps a command's name to what is sent for it."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self.answers = {b"HELLO": HELLO, b"CLIENT": b"+OK\r\n", **answers}
        self.times: list[float] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self.port = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.times.append(time.monotonic())
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                for command in data.split(b"*")[1:]:
                    connection.sendall(self.answers.get(command.split(b"\r\n")[2], b"+OK\r\n"))


RUBBISH = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "bytes": b"\x00\x01\x02\xff\r\n",
    "a broken array": b"*x\r\n",
    "a length without end": b"$1000000000000000000000000\r\n",
}


@pytest.mark.parametrize("rubbish", RUBBISH)
async def test_instead_of_a_reply(runtime: Runtime, rubbish: str) -> None:
    events: list[Event] = []
    with Fake({b"INCR": RUBBISH[rubbish], b"PING": b"+PONG\r\n"}) as fake:
        async with runtime.connect(fake.url, on_event=events.append) as client:
            with pytest.raises(ConnectionLost) as caught:
                await client.incr("n")
            assert caught.value.sent
            assert await client.ping() == b"PONG"  # over another connection
    [lost] = [event for event in events if isinstance(event, Disconnected)]
    assert isinstance(lost.error, RemoteProtocolError)


async def test_more_than_was_asked(runtime: Runtime) -> None:
    """What came before the rubbish is good, and nobody gets a reply that was not asked for."""
    events: list[Event] = []
    with Fake({b"GET": b"$1\r\na\r\n$1\r\nb\r\n", b"PING": b"+PONG\r\n"}) as fake:
        async with runtime.connect(fake.url, on_event=events.append) as client:
            assert await client.get("key") == b"a"
            assert await client.ping() == b"PONG"
            assert await client.get("key") == b"a"
            assert await client.ping() == b"PONG"
    lost = [event.error for event in events if isinstance(event, Disconnected)]
    assert [type(error) for error in lost] == [RemoteProtocolError, RemoteProtocolError]
    assert "nobody asked for" in str(lost[0])


async def test_waiting_requests_learn_their_fate(runtime: Runtime) -> None:
    """What was sent may have been executed; what was not goes over the next connection."""
    with Fake({b"INCR": b"?\r\n"}) as fake:
        async with runtime.connect(fake.url) as client, runtime.tasks() as tasks:
            failing = [tasks.start(client.incr, "n") for _ in range(5)]
            errors = [await task.raised() for task in failing]
            assert all(isinstance(error, ConnectionLost) for error in errors)
            fake.answers[b"INCR"] = b":1\r\n"
            assert await client.incr("n") == 1


@pytest.mark.parametrize("rubbish", RUBBISH)
async def test_instead_of_a_greeting(runtime: Runtime, rubbish: str) -> None:
    with Fake({b"HELLO": RUBBISH[rubbish]}) as fake:
        dials = 0
        for patience in (0.5, 5.0):  # the second, where the machine has stalled during the first
            before = len(fake.times)
            with pytest.raises(ConnectionLost, match=f"127.0.0.1:{fake.port}"):
                await runtime.connect(fake.url, request_timeout=patience).__aenter__()
            dials = len(fake.times) - before
            if rubbish == "HTTP" or dials >= 2:
                break
        if rubbish == "HTTP":
            assert dials == 1, "an HTTP server does not become another one"
        else:
            assert 2 <= dials < 40, "it is dialled again, with back-off"


async def refused_by(runtime: Runtime, url: str) -> ConnectFailed:
    error, _ = await refused(lambda patience: runtime.connect(url, request_timeout=patience))
    return error


async def test_an_empty_or_a_strange_greeting(runtime: Runtime) -> None:
    for greeting in (b":1\r\n", b"+OK\r\n", b"*0\r\n"):
        with Fake({b"HELLO": greeting}) as fake:
            error = await refused_by(runtime, fake.url)
        assert "is this a Redis or Valkey server" in str(error)


async def test_a_server_that_closes_at_once(runtime: Runtime) -> None:
    with closing_server() as url:
        error = await refused_by(runtime, url)
    assert re.search(r"closed the connection|reset by peer", str(error))


async def test_a_consumer_that_reads_rubbish(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """A man in the middle spoils one reply; the entries in it are fetched again."""
    add(raw, range(20))
    events: list[Event] = []
    with Spoiler(server.port) as spoiler:
        async with (
            runtime.connect(spoiler.url, on_event=events.append) as client,
            client.group_consumer("s", group="g", count=5, claim_idle=None) as consumer,
        ):
            numbers = await take_and_ack(consumer, 5)
            spoiler.spoil = True
            numbers += await take_and_ack(consumer, 15)
            add(raw, range(20, 30))
            numbers += await take_and_ack(consumer, 10)
    assert sorted(numbers) == list(range(30))
    assert any(isinstance(event, Disconnected | ConnectAttemptFailed) for event in events)


class Spoiler:
    """Forwards bytes, and on demand turns the next piece of the server's into rubbish."""

    def __init__(self, port: int) -> None:
        self.spoil = False
        self._target = "127.0.0.1", port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._forward(client, server, lambda data: data)
                self._forward(server, client, self._spoiled)

    def _forward(self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
        def run() -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(change(data))
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

        threading.Thread(target=run, daemon=True).start()

    def _spoiled(self, data: bytes) -> bytes:
        spoil, self.spoil = self.spoil, False
        return b"\x00" + data[1:] if spoil else data


@contextmanager
def closing_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def run() -> None:
            listener.settimeout(0.02)
            while not ended.is_set():
                with suppress(OSError):
                    listener.accept()[0].close()

        thread = threading.Thread(target=run)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        thread.join()
