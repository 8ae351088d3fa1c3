"""Errors on the way in: each is a ``ConnectFailed`` that says what is wrong, and whether dialling again can help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamcore import ConnectFailed, LoginRefused
from streamcore.events import ConnectAttemptFailed, Event
from tests.support.raw import Raw
from tests.support.servers import VALKEY, Certificates
from tests.support.stranger import Stranger
from tests.transports.runtimes import Runtime
from tests.transports.steps import entered
from tests.transports.steps import refused as refused_entering
from transports.embedded import EmbeddedServer


async def refused(runtime: Runtime, url: str, *, answers: bool = True, **options: Any) -> ConnectFailed:
    """What entering raises, at once where it is permanent, else after the request timeout."""
    error, _ = await refused_entering(
        lambda patience: runtime.connect(url, request_timeout=patience, **options), answers=answers
    )
    assert not error.sent
    return error


@dataclass(frozen=True)
class Kind:
    """Who may be met on a port, and what has to be said of it."""

    answer: Callable[[bytes], bytes | None]
    text: str
    permanent: bool
    first: bytes = b""
    scheme: str = "redis"

    @property
    def answers(self) -> bool:
        return self.text != "did not answer"


def echo(data: bytes) -> bytes:
    return data


def says(text: bytes) -> Callable[[bytes], bytes]:
    return lambda _: text


def hangs_up(_: bytes) -> None:
    return None


STRANGERS = {
    "Redis 5": Kind(
        says(b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n"), "not speak RESP3", True
    ),
    "a proxy without HELLO": Kind(says(b"-ERR unsupported command 'HELLO'\r\n"), "or a proxy in front of it", True),
    "RESP2 alone": Kind(says(b"-NOPROTO unsupported protocol version\r\n"), "does not speak RESP3", True),
    "RESP2 all the same": Kind(says(b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n+proto\r\n:2\r\n"), "speak RESP3", True),
    "HTTP": Kind(says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "an HTTP server listens there", True),
    "HTTP 0.9": Kind(says(b"<!DOCTYPE HTML>\n"), "an HTTP server listens there", True),
    "HTTP behind TLS": Kind(says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not by TLS: use redis://", True, b"", "rediss"),
    "TLS": Kind(says(b"\x15\x03\x01\x00\x02\x02\x46"), "speaks TLS on this port: use rediss://", True),
    "TLS without a word": Kind(hangs_up, "if that port speaks TLS, use rediss://", False),
    "Redis behind TLS": Kind(says(b"-ERR Protocol error\r\n"), "not by TLS: use redis://", True, b"", "rediss"),
    "too many clients": Kind(hangs_up, "too many clients", False, b"-ERR max number of clients reached\r\n"),
    "SSH": Kind(says(b""), "does not speak RESP", False, b"SSH-2.0-OpenSSH_9.2\r\n"),
    "an echo": Kind(echo, "does not speak RESP", False),
    "silence": Kind(says(b""), "did not answer", False),
    "a wrong password": Kind(says(b"-WRONGPASS no\r\n"), "check the user and password", True),
    "no right to say HELLO": Kind(says(b"-NOPERM no\r\n"), "its ACL needs +hello", True),
    "protected mode": Kind(hangs_up, "DENIED protected mode", False, b"-DENIED protected mode\r\n"),
}


@pytest.mark.parametrize("who", STRANGERS)
async def test_who_is_met_is_named(runtime: Runtime, who: str) -> None:
    kind = STRANGERS[who]
    with Stranger(kind.answer, first=kind.first) as stranger:
        error = await refused(runtime, f"{kind.scheme}://127.0.0.1:{stranger.port}", answers=kind.answers)
    assert kind.text in str(error)
    assert error.permanent is kind.permanent
    assert f"127.0.0.1:{stranger.port}" in str(error) or isinstance(error, LoginRefused)


async def test_too_many_clients_at_a_real_server(runtime: Runtime) -> None:
    with VALKEY.create(config={"maxclients": "1"}) as server, Raw(server.address) as raw:
        assert raw("PING") == b"PONG"
        events: list[Event] = []
        error = await refused(runtime, server.url, on_event=events.append)
    assert "too many clients already: close some, or raise its maxclients" in str(error)
    assert isinstance(events[0], ConnectAttemptFailed)
    assert isinstance(events[0].error, ConnectFailed)


async def test_a_replica_where_writes_are_needed(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    with Raw(fresh_server.address) as raw:
        raw("REPLICAOF", "127.0.0.1", 1)

    @asynccontextmanager
    async def reading(patience: float) -> AsyncIterator[None]:
        async with (
            entered(lambda: runtime.connect(fresh_server.url, request_timeout=patience)) as client,
            client.group_consumer("s", group="g"),
        ):
            yield

    error, _ = await refused_entering(reading)
    assert "is a replica and takes no writes: dial its primary" in str(error)
    assert not error.permanent


async def test_a_client_certificate_that_tls_13_misses_after_the_handshake(
    runtime: Runtime, certificates: Certificates, tmp_path: Path
) -> None:
    ca_file = certificates.write_ca(tmp_path / "ca.pem")
    with Stranger(says(b"+OK\r\n"), tls=certificates.server(require_client=True)) as stranger:
        error = await refused(runtime, f"rediss://127.0.0.1:{stranger.port}?ca_file={ca_file}")
    assert "refused our side of the TLS handshake" in str(error)
    assert "pass cert_file=... and key_file=... that it trusts" in str(error)
    assert error.permanent


@pytest.mark.parametrize("name", ["trio", "anyio"])
def test_a_runtime_that_is_not_installed_is_named_with_its_extra(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; import transports.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert f"MissingExtra: there is no {name} here: pip install 'streamcore-redis[{name}]'" in done.stderr
