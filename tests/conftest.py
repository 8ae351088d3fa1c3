"""Fixtures for tests that need a real server.

A test runs against the wheel's Valkey; with ``@pytest.mark.every_server`` it runs once for each kind of server that the
machine has. ``server`` is shared by the whole session and empty at each test's beginning. A test that changes the
server's configuration, kills it or needs its data to survive takes ``fresh_server``. ``cluster`` is shared by the session as
well; it may be broken, and is healed and emptied after each test; and so are ``sentinels``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from streamcore.commands import flushall
from tests.support.proxy import Proxy
from tests.support.servers import VALKEY, Certificates, ServerKind, available_servers
from transports.embedded import EmbeddedCluster, EmbeddedSentinels, EmbeddedServer


def pytest_configure(config: pytest.Config) -> None:
    # What a shell runs in its background ignores Ctrl-C, and so would everything that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "every_server: run once for each kind of server that this machine has")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server_kind" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_server"):
        kinds = available_servers()
        metafunc.parametrize("server_kind", kinds, ids=[kind.name for kind in kinds])


class ServerPool:
    """The session's servers, one of each kind, started when a test first asks for it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._servers: dict[ServerKind, EmbeddedServer] = {}

    def empty_server(self, kind: ServerKind) -> EmbeddedServer:
        if kind not in self._servers:
            self._servers[kind] = self._stack.enter_context(kind.create())
        server = self._servers[kind]
        if server.is_running():
            server.resume()
        else:
            server.restart()
        from tests.support.raw import Raw  # it needs hiredis, and the tests of the core shall not: PyPy has none

        with Raw(server.address) as raw:
            raw("FLUSHALL")
        return server


@pytest.fixture(scope="session")
def server_pool() -> Iterator[ServerPool]:
    with ExitStack() as stack:
        yield ServerPool(stack)


@pytest.fixture
def server_kind() -> ServerKind:
    """The kind of server that this test runs against."""
    return VALKEY


@pytest.fixture
def server(server_pool: ServerPool, server_kind: ServerKind) -> EmbeddedServer:
    """The session's server of that kind, emptied."""
    return server_pool.empty_server(server_kind)


@pytest.fixture
def fresh_server(server_kind: ServerKind) -> Iterator[EmbeddedServer]:
    """A server for this test alone: to be killed, paused, restarted. Every write is on the disk before its reply."""
    with server_kind.create(appendonly="always") as server:
        yield server


@pytest.fixture(scope="session")
def cluster_pool() -> Iterator[Callable[[ServerKind], EmbeddedCluster]]:
    """The session's clusters, one of each kind, started when a test first asks for it."""
    with ExitStack() as stack:
        yield cache(lambda kind: stack.enter_context(kind.create_cluster()))


@pytest.fixture
def cluster(
    cluster_pool: Callable[[ServerKind], EmbeddedCluster], server_kind: ServerKind
) -> Iterator[EmbeddedCluster]:
    """The session's cluster of that kind, three primaries and a replica of each, without keys; the test may break it."""
    cluster = cluster_pool(server_kind)
    yield cluster
    cluster.heal()
    cluster.flush()


@pytest.fixture(scope="session")
def sentinels_pool() -> Iterator[Callable[[ServerKind], EmbeddedSentinels]]:
    """The session's Sentinels with their servers, of each kind, started when a test first asks for them."""
    with ExitStack() as stack:
        yield cache(lambda kind: stack.enter_context(EmbeddedSentinels(server=kind.binary)))


@pytest.fixture
def sentinels(
    sentinels_pool: Callable[[ServerKind], EmbeddedSentinels], server_kind: ServerKind
) -> Iterator[EmbeddedSentinels]:
    """The session's three Sentinels of that kind, with a primary and a replica, without keys; the test may break them."""
    sentinels = sentinels_pool(server_kind)
    yield sentinels
    sentinels.heal()
    sentinels.primary.ask(flushall())


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[Proxy]:
    """A faulty network in front of ``server``."""
    with Proxy(server.address) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return Certificates()
