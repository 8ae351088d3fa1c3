"""The chaos in brief: each kind of fault once, dealt to the runtimes, each on another server; ``make chaos`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.settings import Settings
from tests.support.servers import available_servers
from tests.transports.runtimes import named

from .episode import Plan, play
from .schedule import sample

SEED = 7
RUNTIMES = ("asyncio", "uvloop", "trio", "anyio-trio", "background", "pumped")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(len(RUNTIMES)), ids=RUNTIMES)
def test_what_breaks_heals_and_the_account_is_right(part: int, tmp_path: Path) -> None:
    servers = available_servers()
    [runtime] = named(RUNTIMES[part])
    settings = Settings(str(tmp_path), seed=SEED + part, rate=200.0, claim_idle=1.5, max_deliveries=3, poison_every=300)
    strikes = sample(SEED, len(RUNTIMES))[part]
    plan = Plan(runtime, servers[part % len(servers)], settings, strikes, tls=part % 2 == 1, patient=False)
    outcome = play(plan)
    assert not outcome.account.problems
    assert [strike.kind for strike in outcome.struck] == [strike.kind for strike in strikes]
    assert outcome.account.numbers["different ones"]
    assert outcome.breaks
