"""A server that deduplicates by itself."""

from __future__ import annotations

import pytest

from streamcore.testing.resp import HELLO


@pytest.fixture
def redis8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HELLO, "server", "redis")
    monkeypatch.setitem(HELLO, "version", "8.6.3")
