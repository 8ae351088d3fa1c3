"""The journal of a server: its writes in order, which its disk and its replicas repeat to get equal data.

Scripts and transactions are kept as the commands that they have called; each comes with its database and its time, since ids
and expiries are made of that. The writes of a client's command are a *unit*, of which a disk or a replica has all or none.
Positions count all writes ever; writes that every disk and replica has are forgotten.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple


class Write(NamedTuple):
    """A command that may have written. ``ms`` is the server's wall clock, ``at`` its timer in seconds."""

    unit: int
    database: int
    words: list[bytes]
    ms: int
    at: float


class Journal:
    """The writes of a server, from the position ``start`` to ``end``."""

    def __init__(self) -> None:
        self.start = 0
        self._writes: list[Write] = []

    @property
    def end(self) -> int:
        """The position behind the last write."""
        return self.start + len(self._writes)

    def append(self, write: Write) -> None:
        """Append a write; its time is not before the time of the last write."""
        self._writes.append(write)

    def between(self, position: int, end: int) -> list[Write]:
        """The writes from a position to another."""
        return self._writes[position - self.start : end - self.start]

    def aged(self, age: float, now: float) -> int:
        """The position behind the writes that are at least ``age`` seconds old."""
        return self.start + bisect_right(self._writes, now, key=lambda write: write.at + age)

    def boundary(self, position: int) -> int:
        """The position, or, in the middle of a unit, the position behind the unit."""
        writes, index = self._writes, position - self.start
        while 0 < index < len(writes) and writes[index].unit == writes[index - 1].unit:
            index += 1
        return self.start + index

    def time_of(self, position: int) -> float:
        """When the write at a position was made, in seconds."""
        return self._writes[position - self.start].at

    def forget(self, position: int) -> None:
        """Forget the writes before a position."""
        del self._writes[: position - self.start]
        self.start = max(self.start, position)

    def cut(self, position: int) -> None:
        """Remove the writes from a position on: the server has lost them."""
        del self._writes[position - self.start :]
