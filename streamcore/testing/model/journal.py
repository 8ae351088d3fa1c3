"""What was written, in order: the commands of a server that its disk and its replicas repeat to have what it has.

Scripts and transactions are kept as the commands that they have called; each comes with its database and its time, since ids and
expiries are made of that. So a repetition gives equal data. What one command of a client has caused is one ``unit``, of which a
disk or a replica has all or nothing. Positions count all that was ever written; what nobody needs any more is forgotten.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple


class Write(NamedTuple):
    """A command that may have written. ``ms`` is the server's wall clock, ``at`` the time that it was told."""

    unit: int
    database: int
    words: list[bytes]
    ms: int
    at: float


class Journal:
    """All writes from ``start`` to ``end``."""

    def __init__(self) -> None:
        self.start = 0
        self._writes: list[Write] = []

    @property
    def end(self) -> int:
        """The position behind the last write."""
        return self.start + len(self._writes)

    def append(self, write: Write) -> None:
        """One more write; its time is not before that of the last one."""
        self._writes.append(write)

    def between(self, position: int, end: int) -> list[Write]:
        """The writes from one position to another."""
        return self._writes[position - self.start : end - self.start]

    def aged(self, age: float, now: float) -> int:
        """The position behind what is at least so old."""
        return self.start + bisect_right(self._writes, now, key=lambda write: write.at + age)

    def boundary(self, position: int) -> int:
        """The position, or, where that is in the middle of a unit, the one behind the unit."""
        writes, index = self._writes, position - self.start
        while 0 < index < len(writes) and writes[index].unit == writes[index - 1].unit:
            index += 1
        return self.start + index

    def time_of(self, position: int) -> float:
        """When the write at a position was made."""
        return self._writes[position - self.start].at

    def forget(self, position: int) -> None:
        """Keep nothing from before a position."""
        del self._writes[: position - self.start]
        self.start = max(self.start, position)

    def cut(self, position: int) -> None:
        """Nothing was written from a position on, as it turns out."""
        del self._writes[position - self.start :]
