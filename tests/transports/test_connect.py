"""The ways to a server: TCP, unix sockets, TLS, users, databases, names; and every way to get it wrong."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamcore import (
    AuthenticationError,
    ConnectFailed,
    ConnectionLost,
    InvalidArgument,
    InvalidURL,
    NoPermissionError,
)
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.support.servers import VALKEY, Certificates
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, clients, take, take_and_ack
from transports.address import TLS
from transports.embedded import EmbeddedServer, free_port

PASSWORD = "s3cr#t/ü"
ENCODED = "s3cr%23t%2F%C3%BC"


@pytest.fixture
def user(raw: Raw) -> Iterator[str]:
    """A user of the server with PASSWORD, who may do everything."""
    raw("ACL", "SETUSER", "alice", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    yield "alice"
    raw("ACL", "DELUSER", "alice")


# -- ways that work ----------------------------------------------------------------------------------------------------


@pytest.mark.every_server
async def test_a_user_a_name_and_a_database(runtime: Runtime, server: EmbeddedServer, raw: Raw, user: str) -> None:
    url = f"redis://{user}:{ENCODED}@127.0.0.1:{server.port}/3?client_name=tester"
    async with runtime.connect(url) as client:
        assert await client.xadd("s", {"n": 0})
        async with client.consumer({"s": "0"}) as follower, client.group_consumer("s", group="g") as consumer:
            assert await take(follower, 1) == await take_and_ack(consumer, 1) == [0]
            connected = clients(raw)
    assert {(one["user"], one["db"]) for one in connected} == {("alice", "3")}
    assert all(one["name"].startswith("tester") for one in connected)
    assert raw("EXISTS", "s") == 0
    raw("SELECT", 3)
    assert raw("EXISTS", "s") == 1


async def test_the_same_by_keywords(runtime: Runtime, server: EmbeddedServer, raw: Raw, user: str) -> None:
    keywords = {"username": user, "password": PASSWORD, "database": 2, "client_name": "keywords"}
    async with runtime.connect(f"valkey://localhost:{server.port}", **keywords) as client:
        await client.ping()
        [connected] = clients(raw)
    assert (connected["user"], connected["db"], connected["name"]) == ("alice", "2", "keywords")


async def test_the_environment_variable(
    runtime: Runtime, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    async with runtime.connect(None) as client:  # type: ignore[arg-type]  # it is optional
        assert await client.ping() == b"PONG"


async def test_a_unix_socket(runtime: Runtime) -> None:
    with VALKEY.create(unix=True) as server:
        async with runtime.connect(server.url) as client, client.producer("s") as producer:
            await producer.send_many({"n": n} for n in range(10))
            async with client.group_consumer("s", group="g") as consumer:
                assert await take_and_ack(consumer, 10) == list(range(10))


@pytest.fixture
def tls_proxy(server: EmbeddedServer, certificates: Certificates) -> Iterator[Proxy]:
    with Proxy(server.address, tls=certificates.server()) as proxy:
        yield proxy


@pytest.fixture
def ca_file(certificates: Certificates, tmp_path: Path) -> Path:
    return certificates.write_ca(tmp_path / "ca.pem")


async def test_tls(runtime: Runtime, raw: Raw, tls_proxy: Proxy, ca_file: Path) -> None:
    add(raw, range(1000))
    async with runtime.connect(f"rediss://localhost:{tls_proxy.port}?ca_file={ca_file}") as client:
        await client.set("large", bytes(1_000_000))
        assert await client.get("large") == bytes(1_000_000)
        async with client.group_consumer("s", group="g") as consumer:
            assert await take_and_ack(consumer, 1000) == list(range(1000))
            tls_proxy.cut(hard=True)
            add(raw, range(1000, 1010))
            assert await take_and_ack(consumer, 10) == list(range(1000, 1010))


async def test_tls_with_a_context_of_ones_own_and_a_certificate(
    runtime: Runtime, server: EmbeddedServer, certificates: Certificates
) -> None:
    with Proxy(server.address, tls=certificates.server(require_client=True)) as proxy:
        context = certificates.client(certificate=True)
        for tls in (context, TLS(ssl_context=context)):
            async with runtime.connect(f"redis://127.0.0.1:{proxy.port}", tls=tls) as client:
                assert await client.ping() == b"PONG"


async def test_tls_unchecked(runtime: Runtime, tls_proxy: Proxy) -> None:
    async with runtime.connect(f"rediss://127.0.0.1:{tls_proxy.port}?verify=none") as client:
        assert await client.ping() == b"PONG"


# -- ways that do not --------------------------------------------------------------------------------------------------


async def refused(runtime: Runtime, url: str, **options: Any) -> Exception:
    """What entering a client of that URL raises; a consumer of another client must not hang either."""
    began = time.monotonic()
    with pytest.raises(Exception) as caught:
        async with runtime.connect(url, **options):
            pytest.fail("the server let us in")
    assert time.monotonic() - began < 5
    return caught.value


async def test_a_certificate_of_an_unknown_authority(runtime: Runtime, tls_proxy: Proxy) -> None:
    error = await refused(runtime, f"rediss://localhost:{tls_proxy.port}")
    assert isinstance(error, ConnectFailed)
    assert error.permanent
    assert f"the certificate of localhost:{tls_proxy.port} (TLS) is not trusted" in str(error)
    assert "pass ca_file=" in str(error)


async def test_a_certificate_of_another_name(runtime: Runtime, tls_proxy: Proxy, ca_file: Path) -> None:
    url = f"rediss://localhost:{tls_proxy.port}?ca_file={ca_file}&server_hostname=example.org"
    error = await refused(runtime, url)
    assert isinstance(error, ConnectFailed)
    assert error.permanent
    assert "is for another name" in str(error)
    async with runtime.connect(url + "&check_hostname=false") as client:
        assert await client.ping() == b"PONG"


async def test_tls_where_there_is_none(runtime: Runtime, server: EmbeddedServer) -> None:
    error = await refused(runtime, f"rediss://127.0.0.1:{server.port}", request_timeout=0.5)
    assert isinstance(error, ConnectFailed)
    assert f"127.0.0.1:{server.port} (TLS)" in str(error)
    assert "redis://" in str(error)


async def test_no_tls_where_there_is_some(runtime: Runtime, tls_proxy: Proxy) -> None:
    error = await refused(runtime, f"redis://127.0.0.1:{tls_proxy.port}", request_timeout=0.5)
    assert isinstance(error, ConnectionLost)
    assert f"127.0.0.1:{tls_proxy.port}" in str(error)


async def test_a_ca_file_that_does_not_exist(runtime: Runtime, tls_proxy: Proxy) -> None:
    error = await refused(runtime, f"rediss://127.0.0.1:{tls_proxy.port}?ca_file=/no/such.pem", request_timeout=0.5)
    assert "/no/such.pem" in str(error)
    assert "correct the path" in str(error)


async def test_nobody_listens(runtime: Runtime) -> None:
    port = free_port()
    began = time.monotonic()
    error = await refused(runtime, f"redis://127.0.0.1:{port}", request_timeout=0.4)
    assert 0.35 <= time.monotonic() - began < 2
    assert isinstance(error, ConnectFailed)
    assert f"127.0.0.1:{port} refused the connection: does a server listen there?" in str(error)


async def test_nobody_answers(runtime: Runtime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = await refused(runtime, f"redis://127.0.0.1:{port}", request_timeout=0.3)
    assert isinstance(error, ConnectionLost)
    assert f"127.0.0.1:{port}" in str(error)


async def test_an_unknown_host(runtime: Runtime) -> None:
    error = await refused(runtime, "redis://no-such-host.invalid", request_timeout=0.3)
    assert isinstance(error, ConnectionLost)
    assert "no-such-host.invalid:6379" in str(error)


async def test_a_unix_socket_that_does_not_exist(runtime: Runtime, tmp_path: Path) -> None:
    error = await refused(runtime, f"unix://{tmp_path}/none.sock", request_timeout=0.3)
    assert isinstance(error, ConnectFailed)
    assert f"{tmp_path}/none.sock does not exist" in str(error)


@pytest.mark.every_server
async def test_a_wrong_password(runtime: Runtime, server: EmbeddedServer, user: str) -> None:
    error = await refused(runtime, f"redis://{user}:wrong@127.0.0.1:{server.port}")
    assert isinstance(error, AuthenticationError)
    assert "check the user and password" in str(error)


async def test_no_password_where_one_is_needed(runtime: Runtime) -> None:
    with VALKEY.create(config={"requirepass": PASSWORD}) as server:
        assert isinstance(await refused(runtime, server.url), AuthenticationError)
        async with runtime.connect(f"redis://:{ENCODED}@127.0.0.1:{server.port}") as client:
            assert await client.ping() == b"PONG"


async def test_a_database_that_does_not_exist(runtime: Runtime, server: EmbeddedServer) -> None:
    error = await refused(runtime, f"{server.url}/4711")
    assert isinstance(error, ConnectFailed)
    assert "no database 4711" in str(error)


async def test_a_user_without_permission(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    raw("ACL", "SETUSER", "bob", "on", "nopass", "~s", "+@all", "-xreadgroup", "-incr", "-client|kill", "-info")
    try:
        async with runtime.connect(f"redis://bob:@127.0.0.1:{server.port}") as client:
            with pytest.raises(NoPermissionError, match=r"NOPERM .*\(in reply to INCR\)"):
                await client.incr("s")
            with pytest.raises(NoPermissionError, match="NOPERM"):
                await client.get("other")
            with pytest.raises(NoPermissionError, match=r"NOPERM .*\(in reply to XREADGROUP\)"):
                async with client.group_consumer("s", group="g") as consumer:
                    await anext(consumer)
            async with client.consumer({"s": "0"}) as follower:
                assert await take(follower, 3) == [0, 1, 2]
            assert await client.ping() == b"PONG"
    finally:
        raw("ACL", "DELUSER", "bob")


BAD_URLS = {
    "http://localhost": "unknown scheme 'http'",
    "localhost:6379": "scheme",
    "redis://localhost:99999": "bad port",
    "redis://localhost:port": "bad port",
    "redis://localhost/three": "no database number",
    "redis://localhost?dbb=3": "unknown parameter 'dbb': did you mean db",
    "unix://": "names no socket",
    "redis://user@localhost": "without a password",
}


@pytest.mark.parametrize("url", BAD_URLS)
async def test_a_url_that_makes_no_sense(runtime: Runtime, url: str) -> None:
    with pytest.raises(InvalidURL, match=BAD_URLS[url]):
        runtime.connect(url)


async def test_keywords_that_make_no_sense(runtime: Runtime) -> None:
    keywords: dict[str, Any] = {
        "request_timeout": float("nan"),
        "connect_timeout": -1,
        "database": -1,
        "client_name": "with space",
        "tls": "yes",
        "username": 5,
        "no_such_keyword": 1,
    }
    for name, value in keywords.items():
        with pytest.raises((InvalidArgument, TypeError), match=name):
            runtime.connect("redis://localhost", **{name: value})
    with pytest.raises(InvalidArgument, match="a unix socket has no TLS"):
        runtime.connect("unix:///s", tls=ssl.create_default_context())
