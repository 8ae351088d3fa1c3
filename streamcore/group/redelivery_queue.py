"""The redelivery queue: pending entries that were handed over before, here or to another member, in their order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
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
    """The entries that wait, in their order and by stream; true while there are any."""

    def __init__(self) -> None:
        self._queue: OrderedDict[Waiting, None] = OrderedDict()
        self._of: dict[bytes, dict[Waiting, None]] = {}  # no stream without any

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._queue)

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting in self._queue

    @property
    def first(self) -> Waiting:
        """The entry that is handed over next; the queue is not empty."""
        return next(iter(self._queue))

    def add(self, waiting: Iterable[Waiting]) -> None:
        """Append entries that are pending for us and were handed over before."""
        for one in waiting:
            self._queue[one] = None
            self._of.setdefault(one.stream, {})[one] = None

    def of(self, stream: bytes) -> tuple[Waiting, ...]:
        """The entries of a stream that wait for their redelivery, in order."""
        return tuple(self._of.get(stream, ()))

    def ids(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that wait for their redelivery."""
        return {waiting.id for waiting in self.of(stream)}

    def streams(self) -> set[bytes]:
        """The streams of which any entry waits for its redelivery."""
        return set(self._of)

    def waiting(self, stream: bytes) -> list[bytes]:
        """The ids of a stream that wait for their redelivery, in order."""
        return [waiting.id for waiting in self.of(stream)]

    def forget(self, stream: bytes, ids: set[bytes] | None = None) -> None:
        """Forget entries of a stream, or all of them, that are not ours any more."""
        self.remove([waiting for waiting in self.of(stream) if ids is None or waiting.id in ids])

    def remove(self, entries: Iterable[Waiting]) -> None:
        """Remove entries that are handed over, or not ours any more."""
        for one in entries:
            self._queue.pop(one, None)
            own = self._of.get(one.stream, {})
            own.pop(one, None)
            if not own:
                self._of.pop(one.stream, None)

    def clear(self, stream: bytes | None = None) -> list[Waiting]:
        """Remove all entries, or all of a stream, and return them."""
        left = list(self._queue if stream is None else self.of(stream))
        self.remove(left)
        return left

    def recount(self) -> None:
        """Find the entries of each stream anew: a signal handler may have raised between two changes."""
        self._of = {}
        for one in self._queue:
            self._of.setdefault(one.stream, {})[one] = None
