"""The table at the end of a long run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from .episode import Outcome, Plan
from .schedule import DECK, KILLS


class Tally:
    """The sum of all runs so far."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.by: dict[str, Counter[str]] = {"runtime": Counter(), "server": Counter()}
        self.events: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()
        self.problems: list[str] = []
        self.runs = 0

    @property
    def kills(self) -> int:
        return sum(self.kinds[kind] for kind in KILLS)

    def add(self, plan: Plan, outcome: Outcome) -> None:
        kills = sum(strike.kills for strike in outcome.struck)
        self.runs += 1
        self.kinds.update(strike.kind for strike in outcome.struck)
        self.by["runtime"][plan.runtime.name] += kills
        self.by["server"][plan.server.name + (", behind TLS" if plan.tls else "")] += kills
        self.events += outcome.account.events
        self.numbers.update(outcome.account.numbers)
        self.numbers["connections of ours that were lost"] += outcome.breaks
        self.problems += [f"run {self.runs} ({plan}): {problem}" for problem in outcome.account.problems]

    def show(self, console: Console, seed: int, seconds: float) -> None:
        _table(console, f"kills in {self.runs} runs, seed {seed}", self._rows(KILLS), total=self.kills)
        _table(console, "disturbances", self._rows(DECK.keys() - KILLS.keys()))
        for what, counts in self.by.items():
            _table(console, f"kills by {what}", counts)
        _table(console, "events that were told", dict(sorted(self.events.items())))
        _table(console, f"the account, after {seconds:.0f} s", self.numbers)
        for problem in self.problems:
            console.print(f"WRONG: {problem}", soft_wrap=True)
        if not self.problems:
            console.print(
                "Nothing is lost, nothing is invented, order is kept, every hole was told, every reply was its own"
                " request's, and nothing came more often than the faults allow."
            )

    def _rows(self, kinds: Iterable[str]) -> dict[str, int]:
        return {kind: self.kinds[kind] for kind in DECK if kind in kinds}


def _table(console: Console, title: str, rows: Mapping[str, int], *, total: int | None = None) -> None:
    table = Table(title=title, box=SIMPLE, show_header=False, title_justify="left", show_footer=total is not None)
    table.add_column(footer="together")
    table.add_column(justify="right", footer=f"{total:,}" if total is not None else "")
    for what, count in rows.items():
        table.add_row(what, f"{count:,}")
    console.print(table)
