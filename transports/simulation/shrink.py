"""Make a failing run small: leave faults out, and then programs and entries, for as long as the same oracle fails.

A subset of the faults is the same faults, at the same times, with the same lots, so most subsets of a failing run are runs of
the same kind. First halves are left out, then quarters, and so on to single faults (delta debugging).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from .run import Outcome, planned, simulate
from .world.plan import Size

ATTEMPTS: Final = 250
"""Runs that one failure is worth."""

Progress = Callable[[int, int], object]


@dataclass
class Shrunk:
    """The smallest run that was found; ``outcome`` has its story."""

    only: list[int]
    size: Size
    outcome: Outcome
    attempts: int


def shrink(
    failed: Outcome, *, scenario: str | None = None, attempts: int = ATTEMPTS, progress: Progress | None = None
) -> Shrunk:
    """Find a small run of a seed in which the same oracle fails. ``progress`` is told of attempts, and of faults that are left."""
    return _Shrinker(failed, scenario, attempts, progress).shrunk()


class _Shrinker:
    def __init__(self, failed: Outcome, scenario: str | None, attempts: int, progress: Progress | None) -> None:
        self._failed = failed
        self._add = scenario
        self._most = attempts
        self._progress = progress
        self._attempts = 0
        self._only = [fault.index for fault in planned(failed.seed, scenario)]
        self._size = Size()

    def shrunk(self) -> Shrunk:
        self._drop_later_faults()
        self._drop_programs()
        self._drop_faults()
        self._drop_programs()
        outcome = simulate(self._failed.seed, scenario=self._add, only=self._only, size=self._size, tells=True)
        return Shrunk(self._only, self._size, outcome, self._attempts)

    def _drop_later_faults(self) -> None:
        """The faults that would have struck afterwards; first of all, so that most attempts are short."""
        struck = [fault.index for fault in planned(self._failed.seed, self._add) if fault.at <= self._failed.seconds]
        self._attempt(struck, self._size)

    def _drop_faults(self) -> None:
        length = len(self._only) // 2
        while length and self._attempts < self._most:
            at = 0
            while at < len(self._only):
                if not self._attempt(self._only[:at] + self._only[at + length :], self._size):
                    at += length
            length //= 2

    def _drop_programs(self) -> None:
        for entries in (10, 20, 40, 80, 120):
            if entries < self._size.entries and self._attempt(self._only, replace(self._size, entries=entries)):
                break
        for members in range(1, self._size.members):
            if self._attempt(self._only, replace(self._size, members=members)):
                break
        if self._size.senders > 1:
            self._attempt(self._only, replace(self._size, senders=1))

    def _attempt(self, only: list[int], size: Size) -> bool:
        """Whether the same oracle fails in a smaller run; shrinking goes on from that run then."""
        if self._attempts >= self._most:
            return False
        self._attempts += 1
        failed = simulate(self._failed.seed, scenario=self._add, only=only, size=size).oracle == self._failed.oracle
        if failed:
            self._only, self._size = only, size
        if self._progress is not None:
            self._progress(self._attempts, len(self._only))
        return failed


def tale(outcome: Outcome) -> list[str]:
    """The lines of a story that matter for its end: the faults, processes that came and went, and all about the names in the oracle's message."""
    named = set(_NAMES.findall(outcome.message))
    return [line for line in outcome.story if _MARKS.match(line[9:]) or any(word in line for word in named)]


_NAMES: Final = re.compile(r"\b(?:[\w-]+:\d+|\d+-\d+)\b")
_MARKS: Final = re.compile(
    r" *(?:[*!] |\S+ +(?:starts|leaves|dies|has (?:ended|left)|hears of "
    r"(?:Group|Gap|Ownership|Pending|Consumer|Dead|Stream|Possible|Subscription)))"
)
