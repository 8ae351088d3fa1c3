"""Batches read ahead of the application.

Servers bound a reply only by COUNT, so the byte bound stops *further* reads, and these are sized by it (``portions``).
A reply over the limit of all replies halves COUNT.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..entries import BaseBatch

B = TypeVar("B", bound=BaseBatch[Any, Any])


def _nothing() -> None:
    """Tell no reader."""


class Prefetch(Generic[B]):
    """Batches in the order of their arrival: no further read while there are ``reads`` of them, or ``size`` bytes."""

    def __init__(self, reads: int, size: int) -> None:
        self.added = 0  # batches so far
        self.on_removal: Callable[[], object] = _nothing  # called when a batch has left, and ``reached`` may be another
        self._reads = reads
        self._limit = size
        self._size = 0
        self._whole = 0  # ready batches that count as reads
        self._streams: set[bytes] = set()  # no batch of another stream is ready
        self._ready: deque[tuple[B, bool, int]] = deque()  # the number counts the batches up to this batch

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def reached(self) -> int:
        """How many of the batches ``added`` are followed only by batches that are still here."""
        return self._ready[0][2] - 1 if self._ready else self.added

    def add(self, batch: B, *, whole: bool = True) -> None:
        """Append a batch; a part (not ``whole``) counts together with a following batch."""
        self.added += 1
        self._streams.add(batch.key)
        self._ready.append((batch, whole, self.added))
        self._size += batch.size
        self._whole += whole

    def put_back(self, batch: B) -> None:
        """Put a taken batch back at the head of the queue."""
        self._streams.add(batch.key)
        self._ready.appendleft((batch, True, self.reached))
        self._size += batch.size
        self._whole += 1

    @property
    def first(self) -> B | None:
        """The batch that ``pop`` would return; None where no batch has arrived."""
        return self._ready[0][0] if self._ready else None

    def pop(self) -> B | None:
        """Take the next batch for the application; None where nothing has arrived."""
        if not self._ready:
            return None
        batch, whole, _ = self._ready.popleft()
        if self._ready:
            self._size -= batch.size
            self._whole -= whole
        else:
            self._size = self._whole = 0
            self._streams.clear()
        self.on_removal()
        return batch

    def drop(self, stream: bytes) -> list[B]:
        """Remove the batches of a stream, and return them."""
        if stream not in self._streams:
            return []
        dropped = [batch for batch, *_ in self._ready if batch.key == stream]
        self._ready = deque(kept for kept in self._ready if kept[0].key != stream)
        self.recount()
        self.on_removal()
        return dropped

    def recount(self) -> None:
        """Count the batches anew: a signal handler may have raised in the middle of a change."""
        self._size = sum(batch.size for batch, _, _ in self._ready)
        self._whole = sum(whole for _, whole, _ in self._ready)
        self._streams = {batch.key for batch, _, _ in self._ready}

    def withdraw(self, stream: bytes, ids: set[bytes]) -> None:
        """Remove single entries of a stream from its batches: they are not the consumer's any more."""
        if stream not in self._streams:
            return
        for batch, *_ in self._ready:
            if batch.key == stream:
                batch.raw = [entry for entry in batch.raw if entry[0] not in ids]
        self._ready = deque(kept for kept in self._ready if kept[0].raw)
        self.recount()
        self.on_removal()

    def has_room(self, in_flight: int) -> bool:
        """Whether another read may be sent while ``in_flight`` reads are unanswered."""
        return self._whole + in_flight < self._reads and self._size < self._limit
