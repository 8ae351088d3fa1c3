"""The proof of the demo: the table from the results on the server is the table from the file, and nothing is missing.

Both tables come from the same few lines, over pairs of a group and a value: once from the file, row by row, and once
from the records of the workers. Sums are exact (``fsum``), so that the order of the entries, which is different in every
run, makes no difference to the last digit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import fsum
from typing import NamedTuple

from .source import Pair, number


class Group(NamedTuple):
    """A line of the table: how many entries have a value, their mean, and how many have none."""

    entries: int
    mean: float | None
    missing: int


Table = dict[str, Group]


def tabulate(pairs: Iterable[Pair]) -> Table:
    """Group, count and average; the largest group first."""
    values: defaultdict[str, list[float | None]] = defaultdict(list)
    for key, value in pairs:
        values[key or ""].append(number(value))
    table = {key: _group(found) for key, found in values.items()}
    return dict(sorted(table.items(), key=lambda line: (-line[1].entries, line[0])))


def _group(values: list[float | None]) -> Group:
    present = [value for value in values if value is not None]
    return Group(len(present), fsum(present) / len(present) if present else None, len(values) - len(present))


@dataclass
class Speed:
    """The work of a runtime: its results on the server, all that it wrote, and the seconds spent on them."""

    processed: int = 0
    written: int = 0
    busy: float = 0.0

    @property
    def rate(self) -> float:
        return self.written / self.busy if self.busy else 0.0


@dataclass
class Recovery:
    """Something was killed. ``seconds`` until an entry was processed again; None where none was left to process."""

    what: str
    seconds: float | None


@dataclass
class Account:
    """The numbers at the end of a run."""

    rows: int
    sent: int
    in_stream: int
    processed: int
    pending: int
    redelivered: int
    written_again: int
    reconnects: int
    seconds: float
    speeds: dict[str, Speed] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    moved: int = 0  # slots

    @property
    def lost(self) -> int:
        return max(self.rows - self.processed, 0)


def problems(account: Account, table: Table, expected: Table) -> list[str]:
    """Everything that is wrong with a run, in words; empty where the proof holds."""
    found = []
    if account.lost:
        found.append(f"{account.lost:,} of {account.rows:,} entries were lost")
    if account.in_stream != account.rows:
        found.append(f"the stream has {account.in_stream:,} entries, the file {account.rows:,} rows")
    if account.pending:
        found.append(f"{account.pending:,} entries were never acknowledged")
    found += [
        f"{key or '(none)'}: the results say {table.get(key)}, the file {expected.get(key)}"
        for key in sorted(table.keys() | expected.keys())
        if table.get(key) != expected.get(key)
    ]
    return found
