"""Run seeds, in this process or in several, and add up their numbers."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from transports.simulation import Outcome, simulate


@dataclass
class Total:
    """The numbers of all runs together. ``failures`` are kept, the others are not."""

    seeds: int = 0
    seconds: float = 0.0  # of virtual time
    entries: int = 0
    handed: int = 0
    duplicates: int = 0
    lost: int = 0
    possible: int = 0
    in_vain: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    slowest: float = 0.0  # healing, in seconds of virtual time

    def add(self, outcome: Outcome) -> None:
        """Add the numbers of a run."""
        self.seeds += 1
        self.seconds += outcome.seconds
        self.entries += outcome.entries
        self.handed += outcome.handed
        self.duplicates += outcome.duplicates
        self.lost += outcome.lost
        self.possible += outcome.possible
        self.in_vain += outcome.in_vain
        self.faults.update(outcome.faults)
        self.slowest = max(self.slowest, outcome.healing)
        if outcome.failed:
            self.failures.append(outcome)


def outcomes(seeds: Iterable[int], jobs: int, scenario: str | None) -> Iterator[Outcome]:
    """Run seeds; in the order in which they are done."""
    run = partial(simulate, scenario=scenario)
    if jobs == 1:
        _spare_the_collector()
        yield from map(run, seeds)
        return
    # Not forked: a child would inherit threads of whoever calls this.
    with get_context("spawn").Pool(jobs, initializer=_spare_the_collector) as pool:
        yield from pool.imap_unordered(run, seeds, chunksize=8)


def _spare_the_collector() -> None:
    """A world is thrown away as a whole; looking for garbage while it runs takes a fifth of the time."""
    gc.set_threshold(200_000, 20, 20)
