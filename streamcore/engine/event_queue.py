"""Events between an engine and the application: in order, each at its place, and at most ``MAX_EVENTS``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from ..events import Event, EventsDropped

MAX_EVENTS: Final = 1000


class EventQueue:
    """A queue of events, at most ``MAX_EVENTS``, each with its place: the number of batches that came before it.

    ``numbers`` counts the events of queues whose order matters.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._kept: deque[tuple[int, int, Event]] = deque()  # each with its place and its number
        self._dropped = 0

    def add(self, event: Event, place: int = 0) -> None:
        """Append an event; a full queue drops its oldest, and counts it."""
        if len(self._kept) >= MAX_EVENTS:
            self._dropped += 1
            self._kept.popleft()
        self._kept.append((place, next(self._numbers), event))

    @property
    def oldest(self) -> int:
        """The number of the oldest event; only where there is an event."""
        return self._kept[0][1]

    def is_due(self, reached: int | None) -> bool:
        """Tell whether ``take`` returns an event, after ``reached`` batches; None: after all of them."""
        return bool(self._dropped or (self._kept and (reached is None or self._kept[0][0] <= reached)))

    def take(self, reached: int | None = None) -> Event | None:
        """Take the oldest due event; after drops, first an ``EventsDropped`` with their number."""
        if not self.is_due(reached):
            return None
        if self._dropped:
            event = EventsDropped(self._dropped)
            self._dropped = 0
            return event
        return self._kept.popleft()[2]
