"""The lines of the log: how often a kind is written, and where from.

A server that is away, or a handler that always fails, makes the same event again and again. The first ``LINES`` of a period
are written; the others are counted, and told in one line when the period is over and something happens again, or at
the end.

The log's handlers and filters are the application's. They may take long, raise, wait for a lock whose holder waits for us, or
use the very client that has something to say. So a ``Journal`` notes lines where something happens, which is in the middle of an
engine's input, and has them written elsewhere; and an error of a handler ends with its line.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import RLock, get_ident
from typing import Any, Final, TypeAlias

LINES: Final = 5
PERIOD: Final = 10.0
KEPT: Final = 1000
"""Lines that may wait to be written, in a log that is too slow for them."""

PATIENCE: Final = 1.0
"""Seconds for which closing in threads waits for a log that is just written, by a handler that may in its turn wait for that closing."""

_logger: Final = logging.getLogger("streamcore")
Line: TypeAlias = tuple[int, str, tuple[Any, ...], Exception | None]


def write_line(level: int, text: str, *values: object, error: Exception | None = None) -> None:
    """Write a line. An error of a handler of the log is told as logging itself tells it: on stderr, if at all."""
    try:
        _logger.log(level, text, *values, exc_info=error)
    except Exception:  # noqa: BLE001  # a handler may raise anything
        if logging.raiseExceptions and sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None without a console
            with suppress(OSError):
                print("--- Logging error ---", file=sys.stderr)  # noqa: T201
                traceback.print_exc()


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


class Journal:
    """The lines of an engine. ``aside`` calls a function soon, outside of all engines, or raises ``RuntimeError``."""

    def __init__(self, label: str, clock: Callable[[], float], aside: Callable[[Callable[[], object]], object]) -> None:
        self._label = label
        self._aside = aside
        self._limiter = Limiter(clock)
        self._lines: deque[Line] = deque()
        self._left_out = 0  # because there were too many
        self._is_due = False  # somebody has been asked to write
        self._writing = RLock()
        self._writer = 0  # the thread that writes

    def note(self, kind: str, level: int, what: object, error: Exception | None = None) -> None:
        """Have a line written, unless there were many of its kind just now. Calls no handler, and takes no lock."""
        self._note_left_out()
        if not _logger.disabled and level >= _logger.getEffectiveLevel() and self._limiter.admit(kind, level):
            self._add(level, "%s %s", (self._label, what), error)
        self.hurry()

    def hurry(self) -> None:
        """Have the noted lines written, unless that was asked for already."""
        if self._lines and not self._is_due:
            self._is_due = True
            try:
                self._aside(self.write)
            except BaseException as failure:
                self._is_due = False
                if not isinstance(failure, RuntimeError):  # no loop, or no thread: with the next line, or at the end
                    raise

    def write(self, patience: float = 0.0) -> None:
        """Write the noted lines. Another thread that is writing goes on with them; wait for it for so many seconds."""
        self._is_due = False
        me, waits = get_ident(), patience > 0
        while (self._lines or waits) and self._writer != me:
            try:
                if not self._writing.acquire(timeout=patience):
                    return
                waits, patience = False, 0.0
                self._writer = me
                while self._lines:
                    level, text, values, error = self._lines.popleft()
                    write_line(level, text, *values, error=error)
            finally:
                if self._writer == me:
                    self._writer = 0
                try:  # noqa: SIM105  # see ``SharedEntrance.call``
                    self._writing.release()
                except RuntimeError:  # somebody else has it
                    pass

    def end(self, patience: float = 0.0) -> None:
        """Write everything, with the counts of lines left out so far; see ``write``."""
        self._note_left_out(at_the_end=True)
        self.write(patience)

    def _note_left_out(self, *, at_the_end: bool = False) -> None:
        for kind, lines, level in self._limiter.over(at_the_end=at_the_end):
            self._add(level, "%s %d more %s in %g s", (self._label, lines, kind, PERIOD))
        if self._left_out and (at_the_end or not self._lines):
            lost, self._left_out = self._left_out, 0
            self._add(logging.WARNING, "%s %d more lines, for which the log was too slow", (self._label, lost))

    def _add(self, level: int, text: str, values: tuple[Any, ...], error: Exception | None = None) -> None:
        if len(self._lines) < KEPT:
            self._lines.append((level, text, values, error))
        else:
            self._left_out += 1
