"""The tests' own tools: a faulty network that is not faulty in the way asked for would prove nothing."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import hiredis
import pytest

from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.support.servers import VALKEY, Certificates, ServerKind, available_servers
from transports.embedded import EmbeddedServer


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


# -- kinds of servers ---------------------------------------------------------------------------------------------------


def test_valkey_is_always_there() -> None:
    assert available_servers()[0] == VALKEY


@pytest.mark.every_server
def test_each_server_is_what_its_name_says(server: EmbeddedServer, server_kind: ServerKind) -> None:
    with Raw(server.address) as raw:
        hello = raw("HELLO", 3)
    name = {"valkey": b"valkey", "redis7": b"redis", "redis8": b"redis"}[server_kind.name]
    major = {"valkey": b"9", "redis7": b"7", "redis8": b"8"}[server_kind.name]
    assert hello[b"server"] == name
    if name == b"redis":
        assert hello[b"version"].startswith(major)


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_the_server_empty(server: EmbeddedServer, turn: int) -> None:
    with Raw(server.address) as raw:
        assert raw("DBSIZE") == 0
        raw("SET", "left over", turn)


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_the_server_alive(server: EmbeddedServer, turn: int) -> None:
    with Raw(server.address) as raw:
        assert raw("PING") == b"PONG"
    server.kill() if turn == 1 else server.pause()


def test_a_named_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCORE_REDIS7", "/no/such/server")
    available_servers.cache_clear()
    try:
        with pytest.raises(ValueError, match="/no/such/server"):
            available_servers()[1].create()
    finally:
        available_servers.cache_clear()


# -- the raw client -----------------------------------------------------------------------------------------------------


def test_raw_replies(server: EmbeddedServer) -> None:
    with Raw(server.address) as raw:
        assert raw("SET", b"\x00\r\n", 1.5) == b"OK"
        assert raw("MGET", b"\x00\r\n", "missing") == [b"1.5", None]
        with pytest.raises(hiredis.ReplyError, match="WRONGTYPE"):
            raw("XLEN", b"\x00\r\n")
        raw("HELLO", 3)
        raw.send("SUBSCRIBE", "news")
        raw.send("PUBLISH", "news", "x")
        raw.send("NONSENSE")
        assert sorted(map(repr, (raw.read() for _ in range(3)))) == [
            "1",
            "[b'message', b'news', b'x']",
            "[b'subscribe', b'news', 1]",
        ]
        assert isinstance(raw.read(), hiredis.ReplyError)
        raw("QUIT")
        with pytest.raises(EOFError):
            raw.read()


# -- the proxy ----------------------------------------------------------------------------------------------------------


def test_it_passes_everything_on(proxy: Proxy) -> None:
    big = bytes(range(256)) * 20_000  # 5 MB: more than all buffers together
    with Raw(proxy.port) as one, Raw(proxy.port) as two:
        assert one("SET", "big", big) == b"OK"
        assert two("GET", "big") == big
        assert (proxy.connections, proxy.accepted) == (2, 2)
    wait_until(lambda: proxy.connections == 0)
    assert proxy.accepted == 2


def test_a_unix_socket_behind_it() -> None:
    with VALKEY.create(unix=True) as server, Proxy(server.address) as proxy, Raw(proxy.port) as raw:
        assert raw("PING") == b"PONG"


def test_the_servers_end_passes_too(fresh_server: EmbeddedServer) -> None:
    with Proxy(fresh_server.address) as proxy, Raw(proxy.port) as raw:
        assert raw("PING") == b"PONG"
        fresh_server.kill()
        with pytest.raises((EOFError, ConnectionResetError)):
            raw.read()
        with pytest.raises(ConnectionResetError), Raw(proxy.port) as late:
            late.read()


def test_a_proxy_may_close_while_it_is_letting_somebody_in(server: EmbeddedServer) -> None:
    """What it left open would be reported later, as the fault of another test."""
    for _ in range(10):
        with ExitStack() as clients:
            with Proxy(server.address) as proxy:
                for _ in range(5):
                    clients.enter_context(socket.create_connection(proxy.address, 5))
            gc.collect()  # pytest makes an error of a socket that is found here


def test_half_of_a_connection_may_end_first() -> None:
    """A client that has said everything may still listen to the answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Proxy(listener.getsockname()) as proxy:
        with socket.create_connection(proxy.address, 5) as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(5)
                client.sendall(b"question")
                client.shutdown(socket.SHUT_WR)
                assert server.recv(100) == b"question"
                assert server.recv(100) == b""
                server.sendall(b"answer")
                assert client.recv(100) == b"answer"
                assert proxy.connections == 1
        wait_until(lambda: proxy.connections == 0)


@pytest.mark.parametrize("hard", [False, True])
def test_cut(proxy: Proxy, server: EmbeddedServer, *, hard: bool) -> None:
    with Raw(server.address) as direct, Raw(proxy.port) as raw:
        client_id = raw("CLIENT", "ID")
        proxy.cut(hard=hard)
        assert proxy.connections == 0
        with pytest.raises(ConnectionResetError if hard else EOFError):
            raw.read()
        wait_until(lambda: not direct("CLIENT", "LIST", "ID", client_id))
        with Raw(proxy.port) as again:
            assert again("PING") == b"PONG"


def test_refuse_and_accept(proxy: Proxy) -> None:
    port = proxy.port
    with Raw(port) as before:
        assert before("PING") == b"PONG"
        for _ in range(3):
            proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                Raw(port)
            assert before("PING") == b"PONG"
            proxy.accept()
            with Raw(port) as after:
                assert after("PING") == b"PONG"
        assert proxy.port == port


def test_freeze_withholds(proxy: Proxy, server: EmbeddedServer) -> None:
    with Raw(server.address) as direct, Raw(proxy.port) as raw:
        assert raw("PING") == b"PONG"
        proxy.freeze()
        raw.send("INCR", "n")
        assert raw.is_silent()
        assert direct("GET", "n") is None
        with Raw(proxy.port) as new:
            new.send("PING")
            assert new.is_silent()
        proxy.thaw()
        assert raw.read() == 1


def test_freeze_downstream_only(proxy: Proxy, server: EmbeddedServer) -> None:
    """The dangerous half: the server has executed the command, and the client will never know."""
    with Raw(server.address) as direct, Raw(proxy.port) as raw:
        assert raw("PING") == b"PONG"
        proxy.freeze("downstream")
        raw.send("INCR", "n")
        wait_until(lambda: direct("GET", "n") == b"1")
        assert raw.is_silent()
        proxy.thaw("downstream")
        assert raw.read() == 1


def test_freeze_swallows(proxy: Proxy, server: EmbeddedServer) -> None:
    with Raw(server.address) as direct, Raw(proxy.port) as raw:
        assert raw("PING") == b"PONG"
        proxy.freeze("upstream", swallow=True)
        raw.send("INCR", "lost")
        assert raw.is_silent()
        proxy.thaw()
        assert raw("INCR", "n") == 1
        assert direct("GET", "lost") is None


def test_a_frozen_connection_hides_its_end(proxy: Proxy, server: EmbeddedServer) -> None:
    with Raw(server.address) as direct, Raw(proxy.port) as raw:
        client_id = raw("CLIENT", "ID")
        proxy.freeze()
        direct("CLIENT", "KILL", "ID", client_id)
        assert raw.is_silent()
        proxy.thaw()
        with pytest.raises(EOFError):
            raw.read()


def test_a_frozen_connection_can_be_cut(proxy: Proxy) -> None:
    with Raw(proxy.port, timeout=1) as raw:
        assert raw("PING") == b"PONG"
        proxy.freeze()
        raw.send("PING")
        proxy.cut()
        with pytest.raises(EOFError):
            raw.read()


@pytest.mark.parametrize("hard", [False, True])
def test_cut_in_the_middle_of_a_reply(proxy: Proxy, server: EmbeddedServer, *, hard: bool) -> None:
    with Raw(server.address) as direct:
        direct("SET", "k", "0123456789")
    with Raw(proxy.port) as raw, Raw(proxy.port) as other:
        assert raw("PING") == other("PING") == b"PONG"
        proxy.cut_after(7, "downstream", hard=hard)
        assert proxy.cut_is_due
        raw.send("GET", "k")
        assert raw.socket.recv(100) == b"$10\r\n01"
        with pytest.raises(ConnectionResetError) if hard else pytest.raises(EOFError):
            raw.read()
        assert other("GET", "k") == b"0123456789", "only that connection, and only once"
        assert not proxy.cut_is_due


def test_cut_in_the_middle_of_a_command(proxy: Proxy, server: EmbeddedServer) -> None:
    with Raw(server.address) as direct, Raw(proxy.port) as raw:
        assert raw("PING") == b"PONG"
        first = b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"
        proxy.cut_after(len(first) + 5, "upstream")
        raw.socket.sendall(first + b"*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n")
        with pytest.raises(EOFError):
            raw.read()
        wait_until(lambda: direct("GET", "a") == b"1")
        assert direct("GET", "b") is None


def test_cut_after_counts_over_replies(proxy: Proxy) -> None:
    with Raw(proxy.port) as raw:
        assert raw("PING") == b"PONG"
        proxy.cut_after(len(b"+PONG\r\n") * 3, "downstream")
        assert [raw("PING") for _ in range(3)] == [b"PONG"] * 3
        with pytest.raises(EOFError):
            raw.read()


def is_once_quicker(seconds: float, ask: Callable[[], object]) -> bool:
    """Whether an answer comes in less: of several, as the machine may stall during one."""
    for _ in range(20):
        begin = time.monotonic()
        ask()
        if time.monotonic() - begin < seconds:
            return True
    return False


def test_delay(proxy: Proxy) -> None:
    with Raw(proxy.port) as raw:
        assert raw("PING") == b"PONG"
        proxy.delay(0.05)
        begin = time.monotonic()
        assert raw("PING") == b"PONG"
        assert time.monotonic() - begin >= 0.1, "there and back"
        proxy.delay(0.1, "downstream")
        proxy.delay(0, "upstream")
        begin = time.monotonic()
        assert raw("PING") == b"PONG"
        assert time.monotonic() - begin >= 0.1
        proxy.delay(0)
        assert is_once_quicker(0.1, lambda: raw("PING"))


def test_bandwidth(proxy: Proxy, server: EmbeddedServer) -> None:
    with Raw(server.address) as direct, Raw(proxy.port) as raw:
        direct("SET", "k", b"x" * 10_000)
        assert len(raw("GET", "k")) == 10_000
        proxy.bandwidth(50_000, "downstream")
        begin = time.monotonic()
        assert len(raw("GET", "k")) == 10_000
        assert time.monotonic() - begin >= 0.18
        proxy.bandwidth(None)
        assert is_once_quicker(0.18, lambda: raw("GET", "k"))


@pytest.mark.parametrize("told", ["client", "server", None])
def test_abandoned_connections(proxy: Proxy, server: EmbeddedServer, told: Literal["client", "server"] | None) -> None:
    """One end may know, the other one never will; who connects anew notices nothing."""
    with Raw(server.address) as direct, Raw(proxy.port) as raw:
        client_id = raw("CLIENT", "ID")
        proxy.abandon(told=told)
        if told == "client":
            with pytest.raises(EOFError):
                raw.read()
        else:
            raw.send("INCR", "n")
            assert raw.is_silent(0.2)
        if told == "server":
            wait_until(lambda: not direct("CLIENT", "LIST", "ID", client_id))
        else:
            assert direct("CLIENT", "LIST", "ID", client_id)
        with Raw(proxy.port) as new:
            assert new("INCR", "n") == 1
            proxy.abandon(told="client")
            if told is None:  # the former ones are told nothing by that
                assert raw.is_silent(0.2)
            proxy.cut()
            wait_until(lambda: not direct("CLIENT", "LIST", "ID", client_id))


def test_retarget(proxy: Proxy, fresh_server: EmbeddedServer) -> None:
    """New connections meet the new server, open ones stay."""
    with Raw(proxy.port) as before:
        before("SET", "k", "old")
        proxy.retarget(fresh_server.address)
        with Raw(proxy.port) as after:
            assert (before("GET", "k"), after("GET", "k")) == (b"old", None)


def test_nothing_is_left_of_a_proxy(server: EmbeddedServer) -> None:
    threads = threading.active_count()
    with Proxy(server.address) as proxy:
        idle, frozen, busy = (Raw(proxy.port) for _ in range(3))
        assert busy("PING") == b"PONG"
        proxy.freeze()
        frozen.send("PING")
    assert threading.active_count() == threads
    for raw in (idle, frozen, busy):
        with raw, pytest.raises(ConnectionResetError):
            raw.read()


# -- TLS ----------------------------------------------------------------------------------------------------------------


@contextmanager
def secured(proxy: Proxy, context: ssl.SSLContext, name: str = "localhost") -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(proxy.address, 5) as plain,
        context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False) as connection,
    ):
        yield connection


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_tls(server: EmbeddedServer, certificates: Certificates, tmp_path: Path, name: str) -> None:
    trusting = ssl.create_default_context(cafile=certificates.write_ca(tmp_path / "ca.pem"))
    with Proxy(server.address, tls=certificates.server()) as proxy:
        assert proxy.url == f"rediss://127.0.0.1:{proxy.port}"
        with secured(proxy, trusting, name) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(100) == b"+PONG\r\n"
        with pytest.raises(ssl.SSLCertVerificationError), secured(proxy, ssl.create_default_context()):
            pass


def test_a_cut_under_tls(server: EmbeddedServer, certificates: Certificates) -> None:
    """A soft cut ends TLS properly, a hard one does not: without ``suppress_ragged_eofs=False`` nobody could tell."""
    with Proxy(server.address, tls=certificates.server()) as proxy:
        with secured(proxy, certificates.client()) as soft:
            soft.sendall(b"PING\r\n")
            assert soft.recv(100) == b"+PONG\r\n"
            proxy.cut()
            assert soft.recv(100) == b""
        with secured(proxy, certificates.client()) as hard:
            hard.sendall(b"PING\r\n")
            assert hard.recv(100) == b"+PONG\r\n"
            proxy.cut(hard=True)
            with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
                hard.recv(100)


def test_client_certificates(server: EmbeddedServer, certificates: Certificates) -> None:
    with Proxy(server.address, tls=certificates.server(require_client=True)) as proxy:
        with secured(proxy, certificates.client(certificate=True)) as known:
            known.sendall(b"PING\r\n")
            assert known.recv(100) == b"+PONG\r\n"
        with secured(proxy, certificates.client()) as unknown, pytest.raises((ssl.SSLError, ConnectionResetError)):
            unknown.recv(100)  # TLS 1.3: the client has finished its handshake before the server refuses it
