"""A name with several addresses, of which not all answer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from streamcore import ConnectFailed
from tests.transports.runtimes import Runtime
from transports._addresses import NoneReached, Place, connect_first, places
from transports.embedded import EmbeddedServer, free_port

NAME = "two.example"
Resolves = Callable[..., None]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Resolves:
    """Give ``NAME`` these addresses."""
    real = socket.getaddrinfo

    def to(*hosts: str) -> None:
        def resolve(host: Any, port: Any, *arguments: Any, **keywords: Any) -> Any:
            if host != NAME:
                return real(host, port, *arguments, **keywords)
            return [info for one in hosts for info in real(one, port, type=socket.SOCK_STREAM)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    return to


@contextmanager
def swallowing(port: int) -> Iterator[None]:
    """127.0.0.2 answers no SYN: a listener whose backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(("127.0.0.2", port))
        yield


async def test_the_next_address_is_dialled_where_the_first_refuses(
    runtime: Runtime, server: EmbeddedServer, resolves: Resolves
) -> None:
    resolves("127.0.0.2", "127.0.0.1")
    async with runtime.connect(f"redis://{NAME}:{server.port}") as client:
        assert await client.ping() == b"PONG"


async def test_the_next_address_is_dialled_where_the_first_is_silent(
    runtime: Runtime, server: EmbeddedServer, resolves: Resolves
) -> None:
    resolves("127.0.0.2", "127.0.0.1")
    with swallowing(server.port):
        async with runtime.connect(f"redis://{NAME}:{server.port}", connect_timeout=3) as client:
            assert await client.ping() == b"PONG"


async def test_the_error_names_all_of_them(runtime: Runtime, resolves: Resolves) -> None:
    resolves("127.0.0.2", "127.0.0.1")
    with pytest.raises(ConnectFailed, match=r"refused the connection.* \[.*\(127.0.0.2\); .*\(127.0.0.1\)\]"):
        async with runtime.connect(f"redis://{NAME}:{free_port()}", request_timeout=0.3):
            pass


def test_families_take_turns(resolves: Resolves) -> None:
    resolves("::1", "::2", "127.0.0.1", "127.0.0.2")
    assert [place.where[0] for place in places(NAME, 1)] == ["::1", "127.0.0.1", "::2", "127.0.0.2"]


def test_time_is_up(server: EmbeddedServer, resolves: Resolves) -> None:
    resolves("127.0.0.2", "127.0.0.2")
    with swallowing(server.port), pytest.raises(NoneReached, match=r"timed out \(127.0.0.2\); timed out"):
        connect_first(NAME, server.port, 0.4)


def test_an_address_that_cannot_be_dialled_at_all(resolves: Resolves, server: EmbeddedServer) -> None:
    resolves("255.255.255.255", "127.0.0.1")
    connect_first(NAME, server.port, 1).close()


def test_an_error_without_a_number() -> None:
    error = Place(socket.AF_INET, ("127.0.0.2", 1)).failed(TimeoutError())
    assert error.strerror == "TimeoutError (127.0.0.2)"
