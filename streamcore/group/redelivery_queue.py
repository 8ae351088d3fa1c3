"""The redelivery queue: pending entries that were handed over before, here or to another member, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Waiting(NamedTuple):
    """An entry of the redelivery queue, and how often it was handed over so far.

    ``is_unsure``: it was delivered once, and the application may not have seen it.
    """

    stream: bytes
    id: bytes
    deliveries: int
    is_unsure: bool = False


class RedeliveryQueue:
    """The entries that wait; true while there are any."""

    def __init__(self) -> None:
        self._queue: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._queue)

    @property
    def first(self) -> Waiting:
        """The entry that is handed over next; the queue is not empty."""
        return self._queue[0]

    def add(self, waiting: Iterable[Waiting]) -> None:
        """Append entries that are pending for us and were handed over before."""
        self._queue.extend(waiting)

    def ids(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that wait for their redelivery."""
        return {waiting.id for waiting in self._queue if waiting.stream == stream}

    def streams(self) -> set[bytes]:
        """The streams of which any entry waits for its redelivery."""
        return {waiting.stream for waiting in self._queue}

    def waiting(self, stream: bytes) -> list[bytes]:
        """The ids of a stream that wait for their redelivery, in order."""
        return [waiting.id for waiting in self._queue if waiting.stream == stream]

    def forget(self, stream: bytes, ids: set[bytes] | None = None) -> None:
        """Forget entries of a stream, or all of them, that are not ours any more."""
        gone = self.ids(stream) if ids is None else ids
        self._queue = deque(waiting for waiting in self._queue if waiting.stream != stream or waiting.id not in gone)

    def remove(self, entries: Sequence[Waiting]) -> None:
        """Remove entries that are handed over, or not ours any more."""
        self._queue = deque(waiting for waiting in self._queue if waiting not in entries)

    def clear(self, stream: bytes | None = None) -> list[Waiting]:
        """Remove all entries, or all of a stream, and return them."""
        left = [waiting for waiting in self._queue if stream in {None, waiting.stream}]
        self.remove(left)
        return left
