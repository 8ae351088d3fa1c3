"""The deadlines of an engine, of its links and its parts, in one heap.

Each link, and the ``Timer`` of each part, sets its deadline in ``Changes.deadlines``. The last few that were set are kept beside the heap, since
most are set again at once; a deadline that comes out of the heap leaves its entry there until that is the first (lazy
deletion). So an input costs what the parts that it touches cost, however many others there are.

A ``DerivedTimer`` follows from the state of its part, which may also be changed by another thread. So a change only notes the
timer in a queue, and the deadline is derived before the next answer or act of ``Timers``, within the entrance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from math import inf
from typing import Final, Protocol

from ..connection.common import Changes

MOST: Final = 8
"""Deadlines that are kept beside the heap."""

SPARE: Final = 64
"""Entries of the heap that may be out of date, beside one for each deadline."""


class Timed(Protocol):
    """A link, or the timer of a part, which sets its deadline in ``Changes.deadlines``."""

    def handle_timeout(self, now: float) -> None:
        """Act on a deadline that has passed at ``now``, in seconds, and set the next."""
        ...


class Timer:
    """The deadline of a part of an engine, ``at`` a time. Once that has passed, ``act`` is called with the time, and sets it anew."""

    __slots__ = ("_act", "_deadlines", "at")

    def __init__(self, act: Callable[[float], None], changes: Changes) -> None:
        self.at = inf
        self._act = act
        self._deadlines = changes.deadlines

    def set(self, at: float) -> None:
        """Set the deadline, in seconds on the driver's clock; infinity: off."""
        self.at = self._deadlines[self] = at

    def handle_timeout(self, now: float) -> None:
        """Act on the deadline, which has passed."""
        self._act(now)


class DerivedTimer:
    """The deadline of a part, which follows from its state. Once that has passed, ``act`` is called with the time, in seconds.

    ``derive`` returns the deadline, in seconds, and changes nothing; ``at`` is what it has returned after the last ``touch``.
    """

    __slots__ = ("_act", "at", "derive", "touch")

    def __init__(self, derive: Callable[[], float], act: Callable[[float], None], touched: deque[DerivedTimer]) -> None:
        self.at = inf
        self.derive = derive
        self._act = act
        self.touch: Callable[[], None] = partial(touched.append, self)
        """Note that the state has changed which the deadline follows from; may be called in any thread."""

    def handle_timeout(self, now: float) -> None:
        """Act on the deadline, which has passed."""
        self.touch()
        self._act(now)


class Timers:
    """All deadlines of an engine. Deadlines of the same time are told in their ``order``."""

    def __init__(self, changes: Changes) -> None:
        self._latest = changes.deadlines
        self.touched: deque[DerivedTimer] = deque()  # of which the deadlines are to be derived
        self._orders: dict[Timed, int] = {}
        self._turns: list[Timed] = []  # the latest in their order, as of the last call of ``handle``
        self._heap: list[tuple[float, int, Timed]] = []
        self._queued: dict[Timed, float] = {}  # the deadlines in the heap, but for the latest

    def add(self, timed: Timed, order: int) -> None:
        """Add a link or a timer that has no deadline yet; no other may have its ``order``."""
        self._orders[timed] = order

    def remove(self, timed: Timed) -> None:
        """Forget a link or a timer."""
        self._latest.pop(timed, None)
        self._queued.pop(timed, None)
        self._turns = []

    def order(self, timed: Timed) -> int:
        """Return the order in which a link or a timer is told, among deadlines that have passed together."""
        return self._orders[timed]

    def next(self) -> float | None:
        """Return the earliest deadline, in seconds; None = never."""
        if self.touched:
            self._derive()
        latest = self._latest
        if self._heap or len(latest) > MOST:
            at = self._first_of_many()
        elif latest:
            at = min(latest.values())  # its keyword ``default`` would cost as much as all else here
        else:
            return None
        return None if at == inf else at

    def handle(self, now: float) -> None:
        """Tell the time, in seconds, to all that are due, in their order, also where another has made them due.

        A deadline that has passed again, or comes out of the heap meanwhile, may have to wait for the next call.
        """
        if self.touched:
            self._derive()
        latest = self._latest
        if self._heap:
            self._take_out(now)
        if len(self._turns) != len(latest):
            self._turns = sorted(latest, key=self._orders.__getitem__)
        for timed in self._turns:
            if latest.get(timed, inf) <= now:  # else another has put it off
                timed.handle_timeout(now)

    def _derive(self) -> None:
        """Derive the deadlines of the parts that have changed, and then take these from the queue.

        A signal handler that raises leaves them there, and a change meanwhile, in another thread, appends its own.
        """
        touched = self.touched
        taken = touched.copy()
        for timer in dict.fromkeys(taken):
            timer.at = self._latest[timer] = timer.derive()
        for _ in taken:
            touched.popleft()

    def _take_out(self, now: float) -> None:
        """Take the deadlines that are due at ``now`` out of the heap."""
        latest, heap = self._latest, self._heap
        while heap and heap[0][0] <= now:
            at, _, timed = heap[0]
            if self._queued.get(timed) == at:
                latest.setdefault(timed, at)
            heappop(heap)

    def _first_of_many(self) -> float:
        """Return the earliest deadline, and put the latest away if they have become many."""
        latest, heap, queued = self._latest, self._heap, self._queued
        if len(latest) > MOST:
            for timed, at in latest.items():
                heappush(heap, (at, self._orders[timed], timed))
                queued[timed] = at
            self._turns = []
            latest.clear()
            if len(heap) > 2 * len(queued) + SPARE:
                heap[:] = sorted([(at, self._orders[timed], timed) for timed, at in queued.items()])
        while heap and (heap[0][2] in latest or queued.get(heap[0][2]) != heap[0][0]):
            heappop(heap)
        return min([heap[0][0] if heap else inf, *latest.values()])
