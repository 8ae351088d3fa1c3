"""The simulator at work: some seeds, the same seed twice, a broken engine, and the command.

``make sim`` runs a thousand seeds. A failure here is replayed by ``streamcore sim --seed N --trace``.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from click.testing import CliRunner

from streamcore.errors import ReplyError
from streamcore.group.low_water import LowWater
from tests.test_architecture import ROOT
from transports.cli.app import streamcore
from transports.simulation import CLUSTER_SCENARIOS, SCENARIOS, Size, kinds_of, shrink, simulate, tale
from transports.simulation.faults import logins
from transports.simulation.run import planned


@pytest.mark.parametrize("first", range(0, 60, 6))
def test_no_oracle_has_anything_to_say(first: int) -> None:
    for seed in range(first, first + 6):
        outcome = simulate(seed)
        assert not outcome.failed, f"streamcore sim --seed {seed} --trace: {outcome.oracle}: {outcome.message}"
        assert sum(outcome.faults.values()) > 50


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_seed_is_the_same_run_in_every_process(scenario: str) -> None:
    program = (
        f"from transports.simulation import simulate; print(simulate(3, scenario={scenario!r}, faults=120).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "77")
    }
    outcome = simulate(3, scenario=scenario, faults=120, tells=True)
    assert outcome.story
    assert digests == {b"%d\n" % outcome.digest}


def test_another_seed_is_another_run() -> None:
    assert len({simulate(seed, scenario="group", faults=20).digest for seed in range(5)}) == 5


@pytest.mark.parametrize("scenario", ["group", "applications"])
def test_a_group_of_more_streams_than_have_a_turn_in_each_round(scenario: str) -> None:
    outcome = simulate(1, scenario=scenario, size=Size(streams=40, entries=800))
    assert not outcome.failed, outcome.message
    assert outcome.handed > 300


def test_faults_that_are_left_out_do_not_change_the_others() -> None:
    whole = planned(5, "group")
    assert [fault.index for fault in whole] == list(range(len(whole)))
    assert whole == planned(5, "group", Size(members=1, senders=1, entries=5))
    assert simulate(5, scenario="group", only=range(len(whole))).digest == simulate(5, scenario="group").digest
    assert not simulate(5, scenario="group", only=[]).faults - simulate(5, scenario="group").faults


def test_a_script_does_what_it_says_and_is_never_drawn() -> None:
    outcome = simulate(0, scenario="restored", tells=True)
    assert (outcome.oracle, dict(outcome.faults)) == ("", {"stream restored": 1})
    assert sum("hears of Gap" in line for line in outcome.story) == 1
    assert {name for name, scenario in SCENARIOS.items() if not scenario.weight} == {
        "restored",
        "rotation",
        *CLUSTER_SCENARIOS,
    }


def test_logins_rotate_and_every_connection_comes_back() -> None:
    faults = Counter[str]()
    for seed in range(6):
        outcome = simulate(seed, scenario="rotation")
        assert not outcome.failed, f"streamcore sim --seed {seed} --scenario rotation --trace: {outcome.message}"
        faults += outcome.faults
    assert min(faults[kind] for kind in logins.KINDS) > 50


@pytest.fixture
def broken_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that was lost is created anew at the end of its stream, as others do."""

    def restart_point(self: LowWater, stream: bytes, told: list[Any]) -> str:
        return "0" if isinstance(told[0], ReplyError) else str(told[0][b"last-generated-id"], "ascii")

    monkeypatch.setattr(LowWater, "restart_point", restart_point)


def failing_seed() -> Any:
    return next(outcome for seed in range(100) if (outcome := simulate(seed, scenario="group")).failed)


@pytest.mark.usefixtures("broken_engine")
def test_a_broken_engine_is_noticed_and_the_run_is_made_small() -> None:
    failed = failing_seed()
    told: list[tuple[int, int]] = []
    found = shrink(failed, scenario="group", attempts=120, progress=lambda *progress: told.append(progress))
    assert found.outcome.oracle == failed.oracle
    assert len(found.only) < len(planned(failed.seed, "group")) / 5
    assert found.attempts == len(told) <= 120
    again = simulate(failed.seed, scenario="group", only=found.only, size=found.size)
    assert (again.message, again.digest) == (found.outcome.message, found.outcome.digest)
    lines = tale(found.outcome)
    assert "!" in lines[-1]
    assert failed.oracle in lines[-1]
    assert len(lines) < len(found.outcome.story)


def run_command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(streamcore, ["sim", *arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_command_adds_up_what_was_done() -> None:
    status, output = run_command("--seeds", "3", "--first", "7", "--at-least", "30")
    assert status == 0
    outcomes = [simulate(seed) for seed in (7, 8, 9)]
    assert f"{sum(sum(one.faults.values()) for one in outcomes):,}" in output
    assert "No oracle has anything to say." in output


@pytest.mark.usefixtures("broken_engine")
def test_the_command_fails_and_tells_how_to_replay() -> None:
    seed = failing_seed().seed
    status, output = run_command("--seeds", "1", "--first", str(seed), "--scenario", "group", "--no-shrink")
    assert status == 1
    assert "FAILED" in output
    assert f"streamcore sim --seed {seed} --trace --scenario group" in output
    status, output = run_command("--seed", str(seed), "--scenario", "group")
    assert status == 1
    assert "lines; --trace prints all" in output


def test_the_command_fails_where_too_little_has_gone_wrong() -> None:
    status, output = run_command("--seeds", "1", "--at-least", "1000000", "--each-at-least", "1000")
    assert status == 1
    assert "1,000,000 were asked for" in output
    assert all(repr(name) in output for name, kind in kinds_of().items() if kind.counts)


def test_the_command_replays_a_part_of_a_plan() -> None:
    status, output = run_command("--seed", "4", "--scenario", "group", "--faults", "-", "--size", "1,1,5,3", "--trace")
    assert status == 0
    assert "member-1.1 starts" in output
    assert "p3.1 " in output
    assert "digest" in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scenario", "nobody"], "there is no scenario 'nobody'"),
        (["--trace"], "need --seed"),
        (["--seed", "1", "--faults", "x"], "is no list of numbers"),
        (["--seed", "1", "--size", "1,2"], "takes three or four numbers"),
        (["--seeds", "0"], "--seeds"),
    ],
)
def test_the_command_refuses_bad_input(arguments: list[str], complaint: str) -> None:
    status, output = run_command(*arguments)
    assert status == 2
    assert complaint in output
