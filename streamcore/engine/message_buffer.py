"""Messages that wait for the application: a queue bounded in number and bytes, with markers in their places.

A marker is an item that is no message: an event, a gap, a drop, a confirmation, an error. Most markers are *beside* the
bounds: they fill no buffer. What a marker tells, and which messages are dropped first, the buffer's owner decides.

A signal handler may raise in the middle of a call. Markers are counted before they enter and after they have left, so
that no marker is ever taken for a message; and counts that such an interruption has left wrong are right again once the
buffer is empty. An event is told once: its marker leaves behind the emission, and is noted as told right before it. Python
calls signal handlers behind calls, so between that note and the emission no call may stand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from ..events import Event, MessagesDropped

T = TypeVar("T")
M = TypeVar("M")

DropPolicy: TypeAlias = Literal["drop_oldest", "drop_newest"]
CHUNK: Final = 250
"""How many messages are handed over at once, and are outside the bounds then."""


class Marker:
    """An item of a buffer that is no message."""

    __slots__ = ()

    def tell(self, emit: Callable[[Event], None]) -> None:
        """Emit the event of the marker, unless it was emitted."""

    def leave(self) -> None:
        """Note that the marker has left a buffer. Raises the error that it stands for."""


class DropMarker(Marker):
    """A ``count`` of messages that were dropped at this place."""

    __slots__ = ("count", "told")

    def __init__(self, count: int) -> None:
        self.count = count
        self.told = False

    @property
    def event(self) -> MessagesDropped:
        """The event of the dropped messages."""
        return MessagesDropped(self.count)

    def add(self, count: int) -> bool:
        """Count more dropped messages, unless the number was told; tell whether it was not."""
        if not self.told:
            self.count += count
        return not self.told

    def tell(self, emit: Callable[[Event], None]) -> None:
        if not self.told:
            event = self.event
            self.told = True
            emit(event)


class MessageBuffer(ABC, Generic[T, M]):
    """A queue of at most ``limit`` messages and about ``nbytes`` bytes, and of markers between them.

    ``measure`` counts the bytes of messages. ``dropped`` is the number of messages that were dropped.
    """

    def __init__(self, limit: int, nbytes: int, measure: Callable[[Sequence[T]], int], chunk: int = CHUNK) -> None:
        self.dropped: int = 0
        self._limit = limit
        self._most = nbytes
        self._measure = measure
        self._chunk = chunk
        self._items: deque[T | M] = deque()
        self._nbytes: int = 0
        self._markers = 0  # with what is to be told in front of all items
        self._beside = 0
        self._untold = 0  # messages that were dropped in front, and are not told yet

    @property
    def is_full(self) -> bool:
        """Whether the buffer has no room for a message."""
        return len(self._items) - self._beside >= self._limit or self._nbytes >= self._most

    def extend(self, messages: Sequence[T]) -> None:
        """Append messages, however many."""
        nbytes = self._measure(messages)  # first: it refuses messages that cannot be measured
        self._items.extend(messages)
        self._nbytes += nbytes

    def fill(self, messages: Sequence[T]) -> None:
        """Append the first messages, as many as there is room for in number, and drop the others."""
        room = 0 if self._nbytes >= self._most else max(self._limit + self._beside - len(self._items), 0)
        if room >= len(messages):
            self.extend(messages)
        else:
            self.extend(messages[:room])
            self.dropped += len(messages) - room
            self._mark_drops(len(messages) - room)

    @abstractmethod
    def _mark_drops(self, count: int) -> None:
        """Mark that so many messages were dropped behind all items."""

    def _drop_in_front(self) -> None:
        """Count a message as dropped in front of all items."""
        if not self._untold:
            self._count(1, 0)
        self._untold += 1
        self.dropped += 1

    def _take_plain(self) -> list[Any]:
        """Take the next messages, at most a chunk; only while there is no marker."""
        items = self._items
        taken: list[Any]
        if len(items) <= self._chunk:
            taken = list(items)
            self._nbytes = 0
            items.clear()
        else:
            pop = items.popleft
            taken = [pop() for _ in range(self._chunk)]
            self._nbytes -= self._measure(taken)
        return taken

    def _count(self, markers: int, beside: int) -> None:
        """Count markers that are about to enter, or with negative numbers that have left."""
        self._markers += markers
        self._beside += beside

    def _check_counts(self) -> None:
        """Put the counts right where the buffer is empty."""
        if not self._items:
            self._nbytes = self._markers = self._beside = 0
