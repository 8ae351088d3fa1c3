"""What a benchmark is: contestants, the metrics they are measured by, and the targets of the design."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.server import Cluster, Server

Sample = Mapping[str, float]
"""What one run of one contestant measured, by metric."""


@dataclass(frozen=True)
class Contestant:
    """One row. ``target`` is ``module:function`` below ``benchmarks.contestants``."""

    label: str
    target: str
    kind: Literal["limit", "peer", "ours"] = "peer"
    options: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    """Slow contestants run this share of n; entries per second need no other scaling."""
    needs: str = ""
    """A module without which this row is left out."""


@dataclass(frozen=True)
class Metric:
    key: str
    heading: str
    digits: int = 0


def throughput(things: str, thing: str) -> tuple[Metric, ...]:
    """What :meth:`benchmarks.job.Job.finish` measures."""
    return (
        Metric("rate", f"{things}/s"),
        Metric("client", f"client CPU µs/{thing}", digits=2),
        Metric("server", f"server CPU µs/{thing}", digits=2),
    )


@dataclass(frozen=True)
class Target:
    """``value(ours) / value(best of against)`` compared with ``bound``; with nothing in ``against``, the value itself."""

    ours: str
    against: tuple[str, ...]
    bound: float
    metric: str = ""
    """By default the table's first metric."""


@dataclass(frozen=True)
class Setting:
    """What the command line asked for."""

    n: int
    count: int


Run = Callable[[Contestant, Setting, Any], Sample]


@dataclass(frozen=True)
class Table:
    """One benchmark. The first metric decides; ``less_is_better`` tells which way."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    contestants: tuple[Contestant, ...]
    run: Run
    reference: str
    n: int
    peers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns for the rows of ours: a heading, and the labels whose best is divided by."""
    targets: tuple[Target, ...] = ()
    counts: tuple[int, ...] = (0,)
    """The table is made once for each COUNT; 0 where it means nothing."""
    less_is_better: bool = False
    servers: type[Server | Cluster] = Server
    """What it runs against."""
    n_is_most: bool = False
    """Where a run takes time for each of n, whoever runs: more is never asked for."""

    def __post_init__(self) -> None:
        labels = {contestant.label for contestant in self.contestants}
        named = {self.reference, *(label for group in self.peers.values() for label in group)}
        named |= {label for target in self.targets for label in (target.ours, *target.against)}
        if unknown := named - labels:
            raise ValueError(f"{self.name}: no contestant is called {sorted(unknown)}")


@dataclass
class Outcome:
    """All rounds of one table. ``rounds[i][label]`` is missing where a contestant was left out or failed."""

    table: Table
    setting: Setting
    rounds: list[dict[str, Sample]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def values(self, label: str, metric: str = "") -> list[float]:
        metric = metric or self.table.metrics[0].key
        return [samples[label][metric] for samples in self.rounds if label in samples]

    def ratio(self, label: str, other: str, metric: str = "") -> float | None:
        """The median over the rounds of label / other, each pair from the same round."""
        metric = metric or self.table.metrics[0].key
        pairs = [
            samples[label][metric] / samples[other][metric]
            for samples in self.rounds
            if label in samples and samples.get(other, {}).get(metric)
        ]
        return statistics.median(pairs) if pairs else None

    def best(self, labels: tuple[str, ...], metric: str = "") -> str | None:
        """Whichever of these contestants has the best median."""
        present = [label for label in labels if self.values(label, metric)]
        pick = min if self.table.less_is_better else max
        return pick(present, key=lambda label: statistics.median(self.values(label, metric)), default=None)

    def measure(self, target: Target) -> float | None:
        """The number to hold against ``target.bound``, or None without data."""
        if not target.against:
            values = self.values(target.ours, target.metric)
            return statistics.median(values) if values else None
        other = self.best(target.against, target.metric)
        return self.ratio(target.ours, other, target.metric) if other else None

    def reaches(self, target: Target, measured: float) -> bool:
        return measured <= target.bound if self.table.less_is_better else measured >= target.bound
