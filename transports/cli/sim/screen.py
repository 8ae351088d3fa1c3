"""The output of ``streamcore sim``: progress while it runs, the summary, and a failure as a story."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic, process_time
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from transports.simulation import Outcome, Shrunk, tale

from .work import Total

MAX_LINES: Final = 120
"""Lines of a story that are shown; of a longer one the last."""

WIDTH: Final = 200
"""Characters of a line that are shown."""


class Bar(Protocol):
    """Shows progress."""

    def __call__(self, done: int, text: str) -> None: ...


class Screen:
    """Standard output: a terminal, a file or a pipe."""

    def __init__(self) -> None:
        self.console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
        self._began = monotonic()
        self._used = process_time()

    @contextmanager
    def bar(self, total: int, what: str) -> Iterator[Bar]:
        """A bar on a terminal, a line every ten seconds elsewhere."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            task = progress.add_task(what, total=total)
            printed = monotonic()

            def show(done: int, text: str) -> None:
                nonlocal printed
                progress.update(task, completed=done, description=text)
                if not self.console.is_terminal and monotonic() - printed > 10:
                    printed = monotonic()
                    self.console.print(f"{done:,} of {total:,}: {text}")

            yield show

    def summary(self, total: Total, jobs: int) -> None:
        """Print the runs in numbers."""
        seconds = monotonic() - self._began
        grid = Grid.grid(padding=(0, 2))
        grid.add_column()
        grid.add_column(justify="right")
        grid.add_column()
        used = f", {process_time() - self._used:,.0f} s of one core" if jobs == 1 else f", {jobs} processes"
        grid.add_row("seeds", f"{total.seeds:,}", f"in {seconds:,.1f} s{used}")
        grid.add_row(
            "virtual time",
            f"{total.seconds / 3600:,.2f} h",
            f"{total.seconds / max(seconds, 0.01):,.0f} times as fast as life",
        )
        grid.add_row("entries", f"{total.entries:,}", "appended by producers")
        grid.add_row("handed over", f"{total.handed:,}", "to members, readers and subscribers")
        grid.add_row("duplicates", f"{total.duplicates:,}", "each of them for a reason")
        grid.add_row("lost", f"{total.lost:,}")
        grid.add_row(
            "possible gaps", f"{total.possible:,}", f"of groups; in {total.in_vain:,} of them nothing was lost"
        )
        grid.add_row("slowest recovery", f"{total.slowest:.2f} s", "of virtual time, until everything was done")
        grid.add_row("faults", f"{sum(total.faults.values()):,}")
        self.console.print(grid)
        faults = Grid.grid(padding=(0, 2))
        for _ in range(3):
            faults.add_column()
            faults.add_column(justify="right")
        for row in _rows(total.faults.most_common(), 3):
            faults.add_row("", *row)
        faults.columns[0].width = 0
        self.console.print(faults)

    def failures(self, total: Total) -> None:
        """Which seeds have failed, by oracle."""
        by_oracle: dict[str, list[Outcome]] = {}
        for one in sorted(total.failures, key=lambda outcome: outcome.seed):
            by_oracle.setdefault(one.oracle, []).append(one)
        for oracle, outcomes in by_oracle.items():
            seeds = ", ".join(str(one.seed) for one in outcomes[:12]) + (", ..." if len(outcomes) > 12 else "")
            self.console.print(f"FAILED {oracle}: {len(outcomes)} seeds: {seeds}")
            self.console.print(f"    {outcomes[0].message}")

    def story(self, outcome: Outcome) -> None:
        """Print the story of a failure, as far as it matters for the end."""
        lines = tale(outcome)
        if len(lines) > MAX_LINES:
            self.console.print(f"     ...  ({len(lines) - MAX_LINES} lines before)")
        for line in lines[-MAX_LINES:]:
            self.console.print(line if len(line) <= WIDTH else f"{line[:WIDTH]} ...")
        self.console.print(f"({len(lines)} of {len(outcome.story)} lines; --trace prints all)")

    def shrunk(self, failed: Outcome, found: Shrunk) -> None:
        """A failure, as small as it could be made."""
        self.console.print(
            f"\nThe smallest run of seed {failed.seed} in which {failed.oracle} fails: {len(found.only)} faults, "
            f"{found.size.members} members, {found.size.senders} producers, {found.size.entries} entries "
            f"({found.attempts} attempts)\n"
        )
        self.story(found.outcome)
        self.console.print(f"\n{found.outcome.oracle}: {found.outcome.message}\n")


def _rows(pairs: Iterable[tuple[str, int]], width: int) -> Iterator[list[str]]:
    row: list[str] = []
    for name, count in pairs:
        row += [name, f"{count:,}"]
        if len(row) == 2 * width:
            yield row
            row = []
    if row:
        yield row
