"""Engines with a reader, or several: they hand over the batches of each, and the events of all."""

from __future__ import annotations

from typing import Generic, Unpack

from ..engine.engine import Engine, EngineOptions
from ..events import Event
from .prefetch import B
from .reader import Reader


class ReadingEngine(Engine, Generic[B]):
    """The base of engines that read streams: pause and resume, and events in their places.

    Each event comes behind all batches of its reader that had arrived before
    it; of events that are due, the oldest comes first.
    """

    def __init__(self, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(**engine)
        self.readers: list[Reader[B]] = []

    @property
    def is_ready(self) -> bool:
        """Whether all streams are read, or their groups entered."""
        return all(reader.is_ready for reader in self.readers)

    @property
    def has_batch(self) -> bool:
        """Whether ``take`` would return a batch now."""
        return any(reader.has_batch for reader in self.readers)

    def pause(self) -> None:
        """Hand over nothing, and read nothing more, until ``resume``."""
        for reader in self.readers:
            reader.pause()

    def resume(self) -> None:
        """Go on after ``pause``."""
        for reader in self.readers:
            reader.resume()

    def next_event_in_place(self) -> Event | None:
        due = [reader for reader in self.readers if reader.has_event]
        return min(due, key=_oldest).next_event() if due else None

    @property
    def has_event_in_place(self) -> bool:
        return any(reader.has_event for reader in self.readers)


def _oldest(reader: Reader[B]) -> int:
    return reader.oldest_event
