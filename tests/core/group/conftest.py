"""A check in every test of this room: no member changes its deadline without telling its timer."""

from __future__ import annotations

import pytest

from streamcore.engine.timers import DerivedTimer
from streamcore.group.consumer import GroupConsumer
from streamcore.reading.engine import ReadingEngine


@pytest.fixture(autouse=True)
def deadlines_follow_from_the_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive the deadline of each member anew whenever the engine is asked for its own, and compare it with that of its timer."""
    tell = ReadingEngine.next_timeout

    def next_timeout(self: GroupConsumer[bytes]) -> float | None:
        told = tell(self)
        for timer in self._timers._orders:
            if isinstance(timer, DerivedTimer):
                assert timer.at == timer.derive()
        return told

    monkeypatch.setattr(GroupConsumer, "next_timeout", next_timeout, raising=False)
