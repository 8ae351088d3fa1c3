"""A pytest plugin with a fixture, ``streamcore_server``: an embedded Valkey that the whole test session shares.

Switch it on with ``pytest_plugins = ["transports.pytest_plugin"]`` in the topmost ``conftest.py``. Tests that share
the server also share its data: use other keys, or ``FLUSHALL`` in a fixture of yours.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from transports.embedded import EmbeddedServer

__all__ = ["streamcore_server"]


@pytest.fixture(scope="session")
def streamcore_server() -> Iterator[EmbeddedServer]:
    """A running server; ``streamcore_server.url`` is for ``connect()``."""
    with EmbeddedServer() as server:
        yield server
