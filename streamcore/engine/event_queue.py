"""Events between an engine and the application: in their order, each in its place, and not more than anybody would want to read."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..events import Event, EventsDropped

MAX_EVENTS: Final = 1000


class EventQueue:
    """Events that nobody took yet, at most ``MAX_EVENTS``, each with its place: the number of batches that came before it."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Event]] = deque()
        self._dropped = 0

    def add(self, event: Event, place: int) -> None:
        """Keep an event; the oldest one goes where there are too many."""
        if len(self._kept) >= MAX_EVENTS:
            self._kept.popleft()
            self._dropped += 1
        self._kept.append((place, event))

    def is_due(self, reached: int | None) -> bool:
        """Whether ``take`` has something for whoever has come to the place ``reached``; None: to the end."""
        return bool(self._dropped or (self._kept and (reached is None or self._kept[0][0] <= reached)))

    def take(self, reached: int | None = None) -> Event | None:
        """The oldest event that is due; where older ones had to go, their number first."""
        if not self.is_due(reached):
            return None
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return EventsDropped(dropped)
        return self._kept.popleft()[1]
