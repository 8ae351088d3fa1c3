"""The tasks that wait for an engine in a run of trio."""

from __future__ import annotations

from collections.abc import Callable

import trio


class Waiters:
    """``changed`` is the event of the next change, a new event each time.

    ``choosy``: the events of tasks to which not every change is worth a look.
    """

    def __init__(self) -> None:
        self.changed = trio.Event()
        self.choosy: dict[trio.Event, Callable[[], bool]] = {}

    def wake(self) -> None:
        """Wake the tasks to which the last change of the engine is worth a look."""
        self.changed.set()
        self.changed = trio.Event()
        for event in [event for event, worth in self.choosy.items() if worth()]:
            event.set()
