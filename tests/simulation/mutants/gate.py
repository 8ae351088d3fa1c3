"""Hunts mutants, each in a process of its own, and remembers the seed that killed each one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .mutant import Mutant

ROOT: Final = Path(__file__).parents[3]
KNOWN: Final = Path(__file__).with_name("seeds.txt")
SEEDS: Final = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: killed by an ``oracle`` at a ``seed``, or, with None, alive after ``tried`` seeds."""

    name: str
    seed: int | None
    oracle: str
    message: str
    tried: int
    seconds: float

    @property
    def killed(self) -> bool:
        return self.seed is not None


def remembered() -> dict[str, tuple[int, str]]:
    """By which seed and oracle each mutant died the last time."""
    if not KNOWN.exists():
        return {}
    rows = (line.split() for line in KNOWN.read_text("utf-8").splitlines() if not line.startswith("#"))
    return {name: (int(seed), oracle) for name, seed, oracle in rows}


def remember(verdicts: Iterable[Verdict]) -> None:
    """Write down those that were killed, beside what was known of others."""
    known = remembered() | {one.name: (one.seed, one.oracle) for one in verdicts if one.seed is not None}
    lines = [f"{name} {seed} {oracle}\n" for name, (seed, oracle) in sorted(known.items())]
    KNOWN.write_text(
        "# mutant, the seed that kills it, the oracle. Written by python -m tests.simulation.mutants --save\n"
        + "".join(lines),
        "utf-8",
    )


def hunt(mutant: Mutant, *, seeds: int = SEEDS, afresh: bool = False) -> Verdict:
    """Run a mutant until a seed kills it: the one that is remembered, unless ``afresh``, then 0 and so on."""
    known = None if afresh else remembered().get(mutant.name)
    first = [] if known is None else [known[0]]
    return _run(
        mutant.name, mutant.name, mutant.scenario, [*first, *(seed for seed in range(seeds) if seed not in first)]
    )


def control(scenario: str, seeds: Iterable[int]) -> Verdict:
    """Run the core as it is over all of these seeds."""
    return _run(f"(none: {scenario})", "", scenario, list(seeds))


def _run(label: str, name: str, scenario: str, seeds: list[int]) -> Verdict:
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.simulation.mutants.worker", name, scenario, *map(str, seeds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the worker of {label} has failed: {done.stderr.strip()[-2000:]}")
    told = json.loads(done.stdout)
    return Verdict(label, told["seed"], told["oracle"], told["message"], told["tried"], time.monotonic() - began)
