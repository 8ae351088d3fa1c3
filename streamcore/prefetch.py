"""Batches that have arrived and wait for the application: bounded by reads and by bytes.

Servers bound a reply only by COUNT, so the byte bound stops *further* reads.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

from .entries import Batch

B = TypeVar("B", bound=Batch[Any])


class Prefetch(Generic[B]):
    """``reads`` replies, or ``size`` bytes, are fetched ahead of the application and no more."""

    def __init__(self, reads: int, size: int) -> None:
        self._reads = reads
        self._limit = size
        self._size = 0
        self._ready: deque[B] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, batch: B) -> None:
        self._size += batch.size
        self._ready.append(batch)

    def pop(self) -> B | None:
        """The next batch for the application; None where nothing has arrived."""
        if not self._ready:
            return None
        batch = self._ready.popleft()
        self._size -= batch.size
        return batch

    def has_room(self, in_flight: int) -> bool:
        """Whether another read may be sent while ``in_flight`` reads are unanswered."""
        return len(self._ready) + in_flight < self._reads and self._size < self._limit
