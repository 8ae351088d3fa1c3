"""Hypothesis for the core: few examples, because there are many tests; no deadlines, because machines are shared. And a model server."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.core.support.server import Server

settings.register_profile("core", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("core")


@pytest.fixture
def server() -> Server:
    """A model server, where the other tests have a real one."""
    return Server()
