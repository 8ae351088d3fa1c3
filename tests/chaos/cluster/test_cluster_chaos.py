"""The chaos of clusters in brief: each kind of fault once; ``make chaos-cluster`` is the long one."""

from __future__ import annotations

import pytest

from tests.soak.settings import Settings
from tests.transports.runtimes import named
from transports.embedded import EmbeddedCluster

from .episode import Plan, play
from .schedule import sample

SEED = 7


@pytest.mark.timeout(300)
def test_what_breaks_heals_and_the_account_is_right(cluster: EmbeddedCluster) -> None:
    [runtime] = named("asyncio")
    settings = Settings("", seed=SEED, rate=200.0, claim_idle=8.0, poison_every=300)
    strikes = sample(SEED)
    outcome = play(Plan(runtime, settings, strikes, streams=12, hasty=True), cluster)
    assert outcome.account.problems == []
    assert [blow.kind for blow in outcome.blows] == [strike.kind for strike in strikes]
    assert outcome.account.numbers["different ones"]
