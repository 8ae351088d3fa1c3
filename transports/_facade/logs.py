"""How many lines a log gets: a few per kind and period, then the number of those that were left out.

A server that is away, or a handler that always fails, makes the same event again and again. The first ``LINES`` of a period
are written; the others are counted, and told in one line when the period is over and something happens again, or at
the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

LINES: Final = 5
PERIOD: Final = 10.0


class _Period:
    def __init__(self, began: float) -> None:
        self.began = began
        self.written = 0
        self.left_out = 0
        self.level = 0


class Limiter:
    """Counts lines by kind; ``clock`` tells seconds."""

    def __init__(self, clock: Callable[[], float], *, lines: int = LINES, period: float = PERIOD) -> None:
        self._clock = clock
        self._lines = lines
        self._period = period
        self._periods: dict[str, _Period] = {}

    def admit(self, kind: str, level: int) -> bool:
        """Whether a line of this kind may be written now; if not, it is counted."""
        period = self._periods.get(kind)
        if period is None:
            period = self._periods[kind] = _Period(self._clock())
        if period.written < self._lines:
            period.written += 1
            return True
        period.left_out += 1
        period.level = max(period.level, level)
        return False

    def over(self, *, at_the_end: bool = False) -> Iterator[tuple[str, int, int]]:
        """For each period that is over, and left something out: the kind, how many, and the highest level of these."""
        now = self._clock()
        for kind, period in tuple(self._periods.items()):
            if at_the_end or now - period.began >= self._period:
                self._periods.pop(kind, None)
                if period.left_out:
                    yield kind, period.left_out, period.level
