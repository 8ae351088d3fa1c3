"""What the clients in our own process write down: lines as in the soak's journals, and what those have no words for."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from streamcore import StreamId
from streamcore.events import Event
from tests.soak.journal import Journal, Line

GAP: Final = "gap"
DONE: Final = "done"
UNKNOWN: Final = "unknown"
UNSENT: Final = "unsent"
Heard: TypeAlias = int | str  # a published number, or GAP


class Notebook(Journal):
    """A journal in memory."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, kind: str, *words: object) -> None:
        self.lines.append(Line(time.monotonic(), kind, [*map(str, words)]))


class Seen(NamedTuple):
    stream: str
    id: str
    number: int


@dataclass
class Reading:
    """One life of the reader, from the cursor that was saved before."""

    cursor: dict[str, StreamId]
    seen: list[Seen] = field(default_factory=list)


@dataclass
class Notes:
    """``handled``: by member of the group. ``answered`` and ``failed``: requests, by who asks. ``pushed``: what became of each
    value, in one of the words above.
    """

    sent: Notebook = field(default_factory=Notebook)
    handled: dict[str, Notebook] = field(default_factory=lambda: defaultdict(Notebook))
    told: Notebook = field(default_factory=Notebook)
    readings: list[Reading] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)  # replies that belong to another request
    pushed: dict[str, str] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def event(self, event: Event) -> None:
        """Of every engine of the client."""
        with self._lock:
            self.events[type(event).__name__] += 1
        self.told.event(event)
