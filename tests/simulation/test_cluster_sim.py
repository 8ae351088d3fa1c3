"""The simulator's world of a cluster: some seeds of each of its scenarios, and the same seed twice.

A failure here is replayed by ``streamcore sim --scenario NAME --seed N --trace``.
"""

from __future__ import annotations

import pytest

from transports.simulation import CLUSTER_SCENARIOS, SCENARIOS, simulate, simulate_cluster

SEEDS = 1


@pytest.mark.parametrize("scenario", CLUSTER_SCENARIOS)
def test_no_oracle_has_anything_to_say(scenario: str) -> None:
    for seed in range(SEEDS):
        outcome = simulate(seed, scenario=scenario)
        assert not outcome.failed, f"streamcore sim --scenario {scenario} --seed {seed} --trace: {outcome.message}"
        assert sum(outcome.faults.values()) > 40


def test_a_seed_draws_its_scenario_and_is_the_same_run_again() -> None:
    first, second = simulate_cluster(0), simulate_cluster(0)
    assert first.digest == second.digest
    assert first.faults == second.faults


def test_no_seed_of_a_single_server_draws_a_cluster() -> None:
    assert not any(SCENARIOS[name].weight for name in CLUSTER_SCENARIOS)
