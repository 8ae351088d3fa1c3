"""The output of the demo: live on a terminal, at most a line of progress a second elsewhere; then the table and the account."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from time import monotonic
from typing import Final

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from .account import Account, Recovery, Table
from .progress import Progress

MAX_LINES: Final = 40  # of the table

LEGEND: Final = """
Recovery time: from the signal to the first entry processed afterwards, of a
worker by itself, of the server by any, of a node's streams from one of them.
Entries/s: while a worker is busy, from entries in its hands to their results on
the server; with the wait for a dead server, without the wait for the replay and
the reading ahead during it.
"""


class Screen:
    """Standard output: a terminal, a file or a pipe."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # a name that the terminal cannot show is no reason to fail
        self.console = Console(markup=False, highlight=False, emoji=False)
        self._began = monotonic()
        self._progress: Progress | None = None
        self._printed_at = 0.0

    def say(self, text: str) -> None:
        """Something worth a line of its own happened."""
        self.console.print(f"{monotonic() - self._began:5.1f} s  {text}", soft_wrap=True)

    @contextmanager
    def following(self, progress: Progress) -> Iterator[None]:
        """Show the progress of a run as long as it lasts."""
        self._progress, self._printed_at = progress, monotonic()
        if self.console.is_terminal:
            with Live(get_renderable=self._view, console=self.console, refresh_per_second=12, transient=True):
                yield
        else:
            yield
        self._progress = None

    def refresh(self) -> None:
        """Where there is no terminal, print a line, unless the last line is younger than a second."""
        progress = self._progress
        if progress is None or self.console.is_terminal or monotonic() - self._printed_at < 1:
            return
        self._printed_at = monotonic()
        by_worker = ", ".join(f"{worker.runtime} {worker.speed.written:,}" for worker in progress.workers)
        share = progress.processed / progress.total
        self.say(f"{share:4.0%}  sent {progress.sent:,}, processed {progress.processed:,} ({by_worker})")

    def _view(self) -> RenderableType:
        progress = self._progress
        if progress is None:
            return ""
        total = Grid.grid(padding=(0, 2))
        for what, done in (("sent", progress.sent), ("processed", progress.processed)):
            total.add_row(what, ProgressBar(progress.total, done, width=40), f"{done:,} of {progress.total:,}")
        crew = Grid(box=SIMPLE)
        for column in ("worker", "state"):
            crew.add_column(column)
        for column in ("results", "entries/s"):
            crew.add_column(column, justify="right")
        for worker in progress.workers:
            style = "red" if worker.state in {"killed", "starting"} else "green"
            crew.add_row(
                worker.runtime, Text(worker.state, style), f"{worker.speed.written:,}", f"{worker.speed.rate:,.0f}"
            )
        return Group(total, crew)

    # -- the end ------------------------------------------------------------------------------------------------------

    def show_table(self, table: Table, *, key: str, value: str, names: dict[str, str]) -> None:
        """The results per group. ``names`` explains the groups; with them, the entries are departures."""
        grid = Grid(box=SIMPLE)
        for column in [key, "name"] if names else [key]:
            grid.add_column(column, no_wrap=True)
        numbers = ("departures", "mean delay", "cancelled") if names else ("entries", f"mean {value}", "without")
        for column in numbers:
            grid.add_column(column, justify="right")
        for group, (entries, mean, missing) in list(table.items())[:MAX_LINES]:
            cells = [printable(group) or "(none)", *([names.get(group, "")] if names else [])]
            grid.add_row(*cells, f"{entries:,}", "-" if mean is None else f"{mean:,.2f}", f"{missing:,}")
        self.console.print(grid)
        if len(table) > MAX_LINES:
            self.console.print(f"  and {len(table) - MAX_LINES:,} smaller groups\n")
        if names:
            self.console.print("  Delays in minutes; a cancelled flight has none.\n")

    def show_account(self, account: Account) -> None:
        """Print the numbers of the run, with their meaning."""
        grid = Grid.grid(padding=(0, 2))
        grid.add_column()
        grid.add_column(justify="right")
        grid.add_column()
        grid.add_row("sent", f"{account.sent:,}", f"in {account.seconds:.1f} s, until the last one was processed")
        grid.add_row("processed", f"{account.processed:,}")
        grid.add_row("lost", f"{account.lost:,}")
        grid.add_row("redelivered", f"{account.redelivered:,}", "handed out again by the server")
        grid.add_row("recorded again", f"{account.written_again:,}", "were on record already, and count once")
        grid.add_row("reconnects", f"{account.reconnects:,}", "also those that found the server still loading")
        if account.moved:
            grid.add_row("slots moved", f"{account.moved:,}", "with their streams, to other primaries")
        for recovery in account.recoveries:
            grid.add_row("recovery time", _seconds(recovery), f"of the {recovery.what}")
        for runtime, speed in account.speeds.items():
            grid.add_row("entries/s", f"{speed.rate:,.0f}", f"{runtime}, which processed {speed.processed:,}")
        self.console.print(grid)
        self.console.print(LEGEND)


def _seconds(recovery: Recovery) -> str:
    return "-" if recovery.seconds is None else f"{recovery.seconds:.2f} s"


def printable(text: str) -> str:
    """Text of a stranger, without characters that would command the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
