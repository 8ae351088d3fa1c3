"""How long an outage was: of the keys of the struck node, and of all others, by the answers of probes and by entries handed over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from .nemesis import Blow
from .workload import ClusterNotes


class Pauses(NamedTuple):
    """The longest pause of names, in seconds, and the median of theirs; None: no name was busy."""

    longest: float
    middle: float

    def __str__(self) -> str:
        return f"{self.longest:.3f}"


class Outage(NamedTuple):
    """``served``: seconds until the node's slots had a primary again."""

    blow: Blow
    served: float
    probes_there: Pauses | None
    probes_elsewhere: Pauses | None
    streams_there: Pauses | None
    streams_elsewhere: Pauses | None


def outages(notes: ClusterNotes, blows: Iterable[Blow]) -> list[Outage]:
    handed: dict[str, list[float]] = defaultdict(list)
    for notebook in notes.handled.values():
        for line in notebook.lines:
            if line.kind == "H":
                handed[line.words[0]].append(line.at)
    for times in handed.values():
        times.sort()
    return [
        Outage(
            blow,
            blow.served - blow.began,
            *(pauses(notes.probes, blow, there=there) for there in (True, False)),
            *(pauses(handed, blow, there=there) for there in (True, False)),
        )
        for blow in blows
    ]


def pauses(times: Mapping[str, list[float]], blow: Blow, *, there: bool) -> Pauses | None:
    """The pauses that end after a blow and begin before the cluster was in order again."""
    found = [
        max(gaps)
        for name, at in times.items()
        if (name in blow.victims) is there
        and (gaps := [late - early for early, late in pairwise(at) if late > blow.began and early < blow.ended])
    ]
    return Pauses(max(found), median(found)) if found else None
