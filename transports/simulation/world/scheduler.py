"""Virtual time: a heap of timed happenings, lots drawn from a seed, the story, and the digest.

Nothing here waits: the next happening is taken from the heap, and it is that time. Every lot is drawn from a stream of its own,
named by its use (``lots("delay of ...")``), so that leaving a fault out does not reshuffle all that comes after.
Every move is put into ``digest``: equal seeds give equal digests, in every process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from struct import pack
from typing import Final
from zlib import crc32

BEGIN: Final = 1_000_000.0
"""Seconds; the world's clock starts here, so that the ids of entries are as long as real ones."""


class Violation(Exception):
    """A promise is broken, as an oracle has seen."""

    def __init__(self, oracle: str, message: str) -> None:
        super().__init__(f"{oracle}: {message}")
        self.oracle = oracle
        self.message = message


class Scheduler:
    """The time, the lots and the story of a run. ``story`` is kept only where ``tells``."""

    def __init__(self, seed: int, *, tells: bool = False) -> None:
        self.seed = seed
        self.now = BEGIN
        self.tells = tells
        self.story: list[str] = []
        self.digest = crc32(b"%d" % seed)
        self.faults: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()  # entries, duplicates, whatever is worth a number in the summary
        self.alike = self.lots("alike").random() < 0.25  # all programs call ``random.seed`` with the same number
        self.faulty = True  # until the world is healed
        self.healed_at = 0.0
        self.steps = 0
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._pushed = 0

    # -- lots ---------------------------------------------------------------------------------------------------------

    def lots(self, purpose: str) -> Random:
        """A stream of lots for a purpose."""
        return Random((self.seed << 32) ^ crc32(purpose.encode()))  # noqa: S311  # a run shall be repeatable

    # -- time ---------------------------------------------------------------------------------------------------------

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Let something happen then."""
        self._pushed += 1
        heappush(self._heap, (when, self._pushed, action))

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Let something happen in so many seconds."""
        self._pushed += 1
        heappush(self._heap, (self.now + seconds, self._pushed, action))

    def run(self, until: float, done: Callable[[], bool] | None = None) -> None:
        """Let everything happen that is due until then; or less, where it is ``done`` before."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            when, _, action = heappop(heap)
            self.now = max(self.now, when)
            self.steps += 1
            action()
            if done is not None and not self.steps & 15 and done():
                return
        if done is None or not done():
            self.now = max(self.now, until)

    # -- what is noticed ----------------------------------------------------------------------------------------------

    def saw(self, data: bytes) -> None:
        """Something has moved: it goes into the digest, with its time."""
        self.digest = crc32(data, crc32(pack("d", self.now), self.digest))

    def tell(self, who: str, text: str) -> None:
        """A line of the story; ask ``tells`` before making an expensive line."""
        if self.tells:
            self.story.append(f"{self.now - BEGIN:8.3f}  {who:<10} {text}")

    def fault(self, kind: str, text: str) -> None:
        """A fault has struck."""
        self.faults[kind] += 1
        self.saw(kind.encode())
        self.tell("* " + kind, text)

    def violated(self, oracle: str, message: str) -> None:
        """Raise ``Violation``."""
        self.tell("!", f"{oracle}: {message}")
        raise Violation(oracle, message)
