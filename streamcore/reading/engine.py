"""Engines with a reader, or several: they hand over the batches of each, and the events of all."""

from __future__ import annotations

from functools import partial
from typing import Generic, Unpack

from ..engine.engine import Engine, EngineOptions
from ..events import Event
from .due_events import DueEvents
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
        self._entering: dict[Reader[B], None] = {}
        self._due_events = DueEvents()

    def add_reader(self, reader: Reader[B], *, is_awaited: bool = True) -> None:
        """Hand over the batches and events of a reader, which has not begun. ``is_awaited``: the engine is not ready before it is."""
        self.readers.append(reader)
        if is_awaited:
            self._entering[reader] = None
        reader.on_ready = partial(self._entering.pop, reader, None)
        reader.on_event_due = partial(self._due_events.add, reader)

    @property
    def is_ready(self) -> bool:
        """Whether all streams are read, or their groups entered."""
        return not self._entering

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
        return self._due_events.take()

    @property
    def has_event_in_place(self) -> bool:
        return self._due_events.has_event
