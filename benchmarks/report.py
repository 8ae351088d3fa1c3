"""Tables for people, and the same numbers as JSON."""

from __future__ import annotations

import platform
import statistics
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.table import Metric, Outcome, Target

STYLE = {"limit": "cyan", "peer": "", "ours": "bold green"}
LIBRARIES = ("hiredis", "redis", "coredis", "valkey-glide", "trio", "uvloop", "streamcore-redis")


def number(value: float, metric: Metric) -> str:
    return f"{value:,.{metric.digits}f}"


def factor(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def heading(outcome: Outcome) -> str:
    table, setting = outcome.table, outcome.setting
    count = f", COUNT {setting.count}" if setting.count else ""
    return f"{table.title}{count} (n = {setting.n:,}, rounds: {len(outcome.rounds)})"


def make_console() -> Console:
    """As wide as the terminal; wide enough for the tables where the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def print_outcome(console: Console, outcome: Outcome) -> None:
    console.print()
    console.print(measurements(outcome))
    for reason in dict.fromkeys(outcome.left_out.values()):
        labels = [label for label, why in outcome.left_out.items() if why == reason]
        console.print(f"left out ({reason}): {'; '.join(labels)}", markup=False, style="yellow")
    if (against := against_peers(outcome)).row_count:
        console.print(against)
    if (reached := targets(outcome)).row_count:
        console.print(reached)


def measurements(outcome: Outcome) -> RichTable:
    table = outcome.table
    first, *others = table.metrics
    grid = RichTable(title=heading(outcome), box=box.SIMPLE_HEAD, title_justify="left")
    grid.add_column("contestant", no_wrap=True)
    for title in (first.heading, "min .. max", "x reference", *[metric.heading for metric in others]):
        grid.add_column(title, justify="right")
    for contestant in table.contestants:
        values = outcome.values(contestant.label)
        if not values:
            continue
        grid.add_row(
            contestant.label + (" (reference)" if contestant.label == table.reference else ""),
            number(statistics.median(values), first),
            f"{number(min(values), first)} .. {number(max(values), first)}",
            factor(outcome.ratio(contestant.label, table.reference)),
            *[number(statistics.median(outcome.values(contestant.label, metric.key)), metric) for metric in others],
            style=STYLE[contestant.kind],
        )
    return grid


def against_peers(outcome: Outcome) -> RichTable:
    """Ours divided by each peer."""
    grid = RichTable(title="Ours, as a multiple of", box=box.SIMPLE_HEAD, title_justify="left")
    grid.add_column("", no_wrap=True)
    best = {title: other for title, labels in outcome.table.peers.items() if (other := outcome.best(labels))}
    for title in best:
        grid.add_column(title, justify="right")
    for contestant in outcome.table.contestants:
        if best and contestant.kind == "ours" and outcome.values(contestant.label):
            ratios = [factor(outcome.ratio(contestant.label, other)) for other in best.values()]
            grid.add_row(contestant.label, *ratios, style=STYLE["ours"])
    return grid


def targets(outcome: Outcome) -> RichTable:
    grid = RichTable(title="Targets", box=box.SIMPLE_HEAD, title_justify="left")
    for title in ("ours", "against", "target", "measured", ""):
        grid.add_column(title, justify="right" if title in ("target", "measured") else "left")
    for target in outcome.table.targets:
        measured = outcome.measure(target)
        if measured is None:
            continue
        verdict = "[green]reached[/]" if outcome.reaches(target, measured) else "[red]missed[/]"
        sign = "≤" if outcome.table.less_is_better else "≥"
        grid.add_row(target.ours, against(outcome, target), f"{sign} {target.bound:g}", factor(measured), verdict)
    return grid


def against(outcome: Outcome, target: Target) -> str:
    best = outcome.best(target.against, target.metric) or "itself"
    return f"{best} ({target.metric})" if target.metric else best


# -- JSON ------------------------------------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def as_json(outcome: Outcome) -> dict[str, Any]:
    table = outcome.table
    return {
        "benchmark": table.name,
        "title": table.title,
        "n": outcome.setting.n,
        "count": outcome.setting.count,
        "reference": table.reference,
        "kinds": {contestant.label: contestant.kind for contestant in table.contestants},
        "rounds": outcome.rounds,
        "left_out": outcome.left_out,
        "targets": [
            {
                "ours": target.ours,
                "against": outcome.best(target.against, target.metric),
                "metric": target.metric or table.metrics[0].key,
                "bound": target.bound,
                "measured": measured,
                "reached": outcome.reaches(target, measured),
            }
            for target in table.targets
            if (measured := outcome.measure(target)) is not None
        ],
    }
