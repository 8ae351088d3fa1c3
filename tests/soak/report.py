"""The table at the end."""

from __future__ import annotations

from collections import Counter

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from .account import Account
from .faults import Fault
from .settings import Settings


def show(console: Console, settings: Settings, account: Account, faults: list[Fault], seconds: float) -> None:
    for title, rows in (
        (f"faults in {settings.seconds:g} s, seed {settings.seed}", Counter(fault.kind for fault in faults)),
        ("events that the workers were told", account.events),
        (f"the account, after {seconds:.0f} s", account.numbers),
    ):
        table = Table(title=title, box=SIMPLE, show_header=False, title_justify="left")
        table.add_column()
        table.add_column(justify="right")
        for what, count in rows.items():
            table.add_row(what, f"{count:,}")
        console.print(table)
    for problem in account.problems:
        console.print(f"WRONG: {problem}", soft_wrap=True)
    if not account.problems:
        console.print("Nothing is lost, nothing is invented, and nothing came more often than the faults allow.")
