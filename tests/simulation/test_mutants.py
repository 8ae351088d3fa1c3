"""The mutation gate: the simulator notices every known failure of other clients, made in our own core; see ``mutants``.

    python -m tests.simulation.mutants --save

tells the same as a table, and remembers the seeds, so that one seed for each mutant is enough here as long as nothing changes.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, Stale
from tests.simulation.mutants.gate import SEEDS, control, hunt, remembered
from tests.simulation.mutants.hook import MutatingFinder
from tests.simulation.mutants.mutant import Edit

ISSUE = {  # the words of issue 6, and what they are called here; of redirects there are none without a cluster: refusals stand for them
    "skip the own-pending re-read": "own-pending-not-read-again",
    "skip the kill of the old connection": "ghost-not-killed",
    "re-resolve `$`": "end-resolved-again",
    "reuse a connection with an unread reply": "unread-reply-to-the-next",
    "a read deadline equal to BLOCK": "read-deadline-is-block",
    "recreate the group at `$`": "group-recreated-at-the-end",
    "unfenced dead-lettering": "unfenced-dead-letter",
    "count reconnects as attempts": "reconnect-counts-as-attempt",
    "forget handlers on resubscribe": "handlers-forgotten",
    "lose a channel dropped during resubscription": "channel-lost-while-resubscribing",
    "back-off that never resets": "backoff-never-resets",
    "drop the completions before an error in the same chunk": "completions-lost-before-an-error",
    "ack before the handler": "ack-before-the-handler",
    "acks lost on reconnect": "acks-lost-on-reconnect",
    "save the fetch cursor in place of the hand-over cursor": "fetched-cursor-saved",
    "kill by id without checking whose it is": "kill-by-id-unchecked",
    "re-create the group below one's own mark instead of the group's": "group-recreated-below-own-mark",
    "unbounded queue": "prefetch-unbounded",
    "claim cursor never wraps": "claim-cursor-never-wraps",
    "a tombstone crashes": "tombstone-crashes",
    "a retried XADD": "retried-xadd",
    "a MOVED loop": "refusals-reset-the-backoff",
    "a timer that fires early": "timer-early",
    "a lost wake-up": "lost-wake-up",
}


def source(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text("utf-8")


def test_every_mutant_changes_one_place_and_is_still_python() -> None:
    for mutant in MUTANTS.values():
        for edit in mutant.edits:
            original = source(edit.module)
            assert compile(edit.apply(original), edit.module, "exec") != compile(original, edit.module, "exec")


def test_all_failures_of_the_issue_are_in_the_catalogue() -> None:
    assert set(ISSUE.values()) <= set(MUTANTS)
    assert len(MUTANTS) >= 32
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) and mutant.models for name, mutant in MUTANTS.items())


def test_a_text_that_is_not_there_exactly_once_is_an_error() -> None:
    for text in ("not there", "import "):
        with pytest.raises(Stale, match="not once"):
            Edit("streamcore.connection.link", text, "").apply(source("streamcore.connection.link"))


def test_a_module_is_changed_while_it_is_imported_and_not_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "streamcore_mutated.py"
    path.write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    mutant = Mutant("wrong", "streamcore_mutated", "return 42", "return 43", "off by one")
    finder = MutatingFinder(mutant.edits)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    from streamcore_mutated import answer  # type: ignore[import-not-found]  # written a moment ago

    monkeypatch.delitem(sys.modules, "streamcore_mutated")
    assert answer() == 43
    assert finder.applied == mutant.edits
    assert [one.name for one in tmp_path.iterdir()] == ["streamcore_mutated.py"]
    assert "42" in path.read_text()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", dict.fromkeys(mutant.scenario for mutant in MUTANTS.values()))
def test_the_core_as_it_is_survives_the_seeds_that_kill_mutants(scenario: str) -> None:
    seeds = sorted({seed for name, (seed, _) in remembered().items() if MUTANTS[name].scenario == scenario})
    verdict = control(scenario, seeds)
    assert not verdict.killed, f"seed {verdict.seed}: {verdict.oracle}: {verdict.message}"
    assert verdict.tried == len(seeds)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
def test_the_simulator_kills(name: str) -> None:
    verdict = hunt(MUTANTS[name])
    assert verdict.killed, f"it survived {SEEDS} seeds; it models: {MUTANTS[name].models}"
