"""A pytest plugin with two fixtures, each shared by the whole test session.

``streamcore_server`` is an embedded Valkey, ``streamcore_cluster`` an embedded cluster of three primaries and their replicas,
which is healed and emptied after each test.

Switch it on with ``pytest_plugins = ["transports.pytest_plugin"]`` in the topmost ``conftest.py``. Tests that share
the server also share its data: use other keys, or ``FLUSHALL`` in a fixture of yours.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from transports.embedded import EmbeddedCluster, EmbeddedServer

__all__ = ["streamcore_cluster", "streamcore_cluster_of_session", "streamcore_server"]


@pytest.fixture(scope="session")
def streamcore_server() -> Iterator[EmbeddedServer]:
    """A running server; ``streamcore_server.url`` is for ``connect()``."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="session")
def streamcore_cluster_of_session() -> Iterator[EmbeddedCluster]:
    """A running cluster that nobody heals; tests take ``streamcore_cluster``."""
    with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture
def streamcore_cluster(streamcore_cluster_of_session: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """A running cluster without keys, which a test may break; ``streamcore_cluster.url`` is for ``connect()``."""
    yield streamcore_cluster_of_session
    streamcore_cluster_of_session.heal()
    streamcore_cluster_of_session.flush()
