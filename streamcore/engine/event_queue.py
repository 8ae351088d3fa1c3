"""Events between an engine and the application: in order, each at its place, and at most ``MAX_EVENTS``."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..events import Event, EventsDropped

MAX_EVENTS: Final = 1000


class EventQueue:
    """A queue of events, at most ``MAX_EVENTS``, each with its place: the number of batches that came before it."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Event]] = deque()
        self._dropped = 0

    def add(self, event: Event, place: int) -> None:
        """Append an event; a full queue drops its oldest, and counts it."""
        if len(self._kept) >= MAX_EVENTS:
            self._kept.popleft()
            self._dropped += 1
        self._kept.append((place, event))

    def is_due(self, reached: int | None) -> bool:
        """Tell whether ``take`` returns an event, after ``reached`` batches; None: after all of them."""
        return bool(self._dropped or (self._kept and (reached is None or self._kept[0][0] <= reached)))

    def take(self, reached: int | None = None) -> Event | None:
        """Take the oldest due event; after drops, first an ``EventsDropped`` with their number."""
        if not self.is_due(reached):
            return None
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return EventsDropped(dropped)
        return self._kept.popleft()[1]
