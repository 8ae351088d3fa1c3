"""A name with several addresses, of which not all answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from streamcore import ConnectFailed
from tests.transports.runtimes import Runtime
from transports._addresses import Place, connect_first, numeric, places
from transports._dial_errors import NoneReached
from transports.asyncio.addresses import connect_first as connect_first_of_asyncio
from transports.embedded import EmbeddedServer, free_port

NAME = "two.example"
NO_FAMILY = "of a family that this machine does not have"
Resolves = Callable[..., None]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Resolves:
    """Give ``NAME`` these addresses."""
    real = socket.getaddrinfo

    def to(*hosts: str) -> None:
        def resolve(host: Any, port: Any, *arguments: Any, **keywords: Any) -> Any:
            if host != NAME:
                return real(host, port, *arguments, **keywords)
            found: list[Any] = []
            for one in hosts:
                strange = [(99, socket.SOCK_STREAM, 6, "", ("::9", port, 0, 0))]
                found += strange if one is NO_FAMILY else real(one, port, type=socket.SOCK_STREAM)
            return found

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    return to


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """All sockets that were opened to dial."""
    sockets: list[socket.socket] = []
    real = Place.open

    def open_and_note(place: Place) -> socket.socket:
        sockets.append(real(place))
        return sockets[-1]

    monkeypatch.setattr(Place, "open", open_and_note)
    return sockets


async def closed(runtime: Runtime, sockets: list[socket.socket], *, but: int) -> None:
    """Wait until all of them are closed, but for so many."""
    for _ in range(200):
        if sum(sock.fileno() != -1 for sock in sockets) <= but:
            return
        await runtime.sleep(0.02)
    pytest.fail(f"still open: {sockets}")


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


async def test_an_address_of_a_family_that_is_not_there_is_passed_over(
    runtime: Runtime, server: EmbeddedServer, resolves: Resolves
) -> None:
    """As with IPv6 where the kernel was started without it, and ``localhost`` still means ``::1`` first."""
    resolves(NO_FAMILY, "127.0.0.1")
    async with runtime.connect(f"redis://{NAME}:{server.port}") as client:
        assert await client.ping() == b"PONG"
    resolves(NO_FAMILY, "127.0.0.2")
    with pytest.raises(ConnectFailed, match=r"\[.*\(::9\); .*\(127.0.0.2\)\]"):
        async with runtime.connect(f"redis://{NAME}:{free_port()}", request_timeout=0.3):
            pass


async def test_of_two_sockets_one_is_kept(
    runtime: Runtime, server: EmbeddedServer, resolves: Resolves, opened: list[socket.socket]
) -> None:
    resolves("127.0.0.2", "127.0.0.1")
    with swallowing(server.port):
        async with runtime.connect(f"redis://{NAME}:{server.port}", connect_timeout=3) as client:
            assert await client.ping() == b"PONG"
            assert len(opened) == 2
            assert opened[0].fileno() == -1


async def test_a_dial_that_is_given_up_in_its_middle_leaves_nothing_open(
    runtime: Runtime, server: EmbeddedServer, resolves: Resolves, opened: list[socket.socket]
) -> None:
    resolves("127.0.0.2", "127.0.0.2")
    with swallowing(server.port):
        for patience in (0.4, 0.9):  # the second, where the machine has stalled before it came to the second address
            opened.clear()
            with pytest.raises(ConnectFailed):
                async with runtime.connect(
                    f"redis://{NAME}:{server.port}", request_timeout=patience, connect_timeout=1
                ):
                    pass
            if len(opened) > 1:
                break
        assert len(opened) == 2
        await closed(runtime, opened, but=0)


@pytest.mark.runtimes("asyncio", "uvloop")
async def test_a_dial_that_is_given_up_when_it_has_connected_leaves_nothing_open(
    runtime: Runtime, server: EmbeddedServer, opened: list[socket.socket]
) -> None:
    """Cancelled at each of its steps."""
    for steps in range(8):
        dial = asyncio.ensure_future(connect_first_of_asyncio("127.0.0.1", server.port))
        for _ in range(steps):
            await asyncio.sleep(0)
        dial.cancel()
        with suppress(asyncio.CancelledError):
            (await dial).close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert [sock.fileno() for sock in opened] == [-1] * len(opened)
    assert opened


def test_small_writes_leave_at_once() -> None:
    with Place(socket.AF_INET, ("127.0.0.1", 1)).open() as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getblocking()


def test_an_address_is_no_name() -> None:
    assert [place.where[:2] for place in numeric("127.0.0.1", 5)] == [("127.0.0.1", 5)]
    assert [place.where[:2] for place in numeric("::1", 5)] == [("::1", 5)]
    assert numeric("localhost", 5) == []


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
