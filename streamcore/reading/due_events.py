"""The events that are due among many readers, the oldest first, without asking the others.

A reader adds itself when its oldest event becomes due: it has come while no batch is here, or the last batch before it is taken.
So it stands in a heap, once, by the number of that event. Where the batch is put back, or the event has gone from a full queue,
what stands there is out of date, and is set right when it comes to be the first.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Protocol

from ..events import Event


class EventReader(Protocol):
    """A reader with events, each behind the batches that had arrived before it."""

    @property
    def has_event(self) -> bool: ...

    @property
    def oldest_event(self) -> int: ...

    def next_event(self) -> Event | None: ...


class DueEvents:
    """The readers whose oldest event is due, by its number."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, EventReader]] = []  # no two have the number of an event
        self._added: set[EventReader] = set()

    def add(self, reader: EventReader) -> None:
        """Add a reader whose oldest event is due; once is enough.

        Where a signal handler raises in between, the reader is added again, and not lost.
        """
        if reader not in self._added:
            heappush(self._heap, (reader.oldest_event, reader))
            self._added.add(reader)

    @property
    def has_event(self) -> bool:
        """Whether ``take`` would return an event."""
        return any(reader.has_event for _, reader in self._heap)

    def take(self) -> Event | None:
        """Take the oldest of the events that are due; None where none is."""
        heap = self._heap
        while heap:
            number, reader = heap[0]
            is_right = reader.has_event and reader.oldest_event == number
            event = reader.next_event() if is_right else None
            self._added.discard(reader)
            heappop(heap)
            if reader.has_event:
                self.add(reader)
            if event is not None:
                return event
        return None
