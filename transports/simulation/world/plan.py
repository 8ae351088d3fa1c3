"""The meaning of a seed: which faults strike, when, and how hard; drawn before anything happens.

A fault is a value with lots of its own, and finds its target when it strikes. So any of them can be left out, and the others are
what they were: that is how a failing run is shrunk. Each seed has favourites among the kinds, so that some worlds are full of
a sort of trouble, and others of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

FAULTS: Final = 460
"""Faults that are planned for each run; those that find no target do not count."""

SAFETY: Final = 9.0
"""Seconds for which faults strike."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``at`` is in seconds since the beginning; ``a``, ``b`` and ``c`` are lots, for its target and its strength."""

    index: int
    at: float
    kind: str
    a: float
    b: float
    c: float


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is: shrinking makes it smaller. ``streams``: of a group, each with a sender (None: a few, drawn)."""

    members: int = 3
    senders: int = 2
    entries: int = 200
    streams: int | None = None
    seconds: float = SAFETY


def plan(seed: int, weights: dict[str, float], size: Size, faults: int) -> list[Fault]:
    """The faults of a seed, in their order."""
    lots = Random(seed * 2 + 1)  # noqa: S311  # a run shall be repeatable
    kinds = list(weights)
    favours = [weights[kind] * lots.choice([0.3, 1.0, 1.0, 2.0]) for kind in kinds]
    chosen = lots.choices(kinds, favours, k=faults)
    times = sorted(lots.random() * size.seconds for _ in chosen)
    return [
        Fault(index, at, kind, lots.random(), lots.random(), lots.random())
        for index, (at, kind) in enumerate(zip(times, chosen, strict=True))
    ]
