"""The soak, for some seconds, with faults in quick succession; ``make soak`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .run import soak
from .settings import Settings

SECONDS = 12.0


@pytest.mark.timeout(200)
def test_nothing_is_lost_invented_or_repeated_beyond_the_bound(tmp_path: Path) -> None:
    settings = Settings(str(tmp_path), seconds=SECONDS, seed=3, rate=150, pause=0.6, claim_idle=3.0, poison_every=1500)
    account, faults = soak(settings)
    assert not account.problems
    assert account.numbers["different ones"] > SECONDS * settings.rate / 2
    assert len({fault.kind for fault in faults}) >= 6
