"""Calls of an engine that wait for their turn: signal handlers and finalizers may not make them where they run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class CallQueue(deque[Callable[[], object]]):
    """Functions to call in the order of their coming, appended by any thread."""

    def run(self) -> bool:
        """Make the calls that wait; whether there were any."""
        found = bool(self)
        while self:
            self[0]()
            self.popleft()  # and not before: if it is interrupted, it is called again
        return found
