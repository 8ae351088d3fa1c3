"""What the rows of cardinalities have in common: what a server tells of its commands, and a line of the table."""

from __future__ import annotations

from typing import Final, NamedTuple

from benchmarks.raw import Raw

NOT_OURS: Final = frozenset({"config", "info", "xadd", "slowlog"})


def stats(raw: Raw) -> dict[str, tuple[int, float]]:
    """Calls, and microseconds of a call, of each command."""
    found: dict[str, tuple[int, float]] = {}
    for line in raw.call("INFO", "commandstats").decode().splitlines():
        if line.startswith("cmdstat_"):
            name, _, values = line.removeprefix("cmdstat_").partition(":")
            told = dict(pair.split("=") for pair in values.split(","))
            found[name] = int(told["calls"]), float(told["usec_per_call"])
    return found


class Line(NamedTuple):
    """A column of two runs: a little, much, their ratio, and its limit."""

    heading: str
    little: float
    much: float
    ratio: float
    limit: str
