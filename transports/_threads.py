"""Threads for a piece of work each, whose beginning and end can be relied on.

``Thread`` is not subclassed: its private names are Python's, and differ from version to version. Nor is its ``join`` relied on: before
Python 3.13, a ``join`` that Ctrl-C has interrupted takes a thread for ended that runs on. Nor are its events: they have a lock of their own
inside, which an interrupted ``wait`` may leave taken on Python 3.14, and then ``set`` would wait for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

LOOK: Final = 0.5
"""Seconds between two looks at a thread that has not told yet that its work has begun, or ended."""


class Latch:
    """Something that happens once, and can be waited for."""

    def __init__(self) -> None:
        self.is_open = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        """It has happened; called once."""
        self.is_open = True
        self._lock.release()

    def wait(self, timeout: float) -> bool:
        """Wait until it has happened, at most ``timeout`` seconds; whether it has."""
        if not self.is_open and self._lock.acquire(timeout=timeout):
            self._lock.release()  # the next one may go on; interrupted before that, it has to wait for its time to be over
        return self.is_open


class Worker:
    """A daemon thread for a call of ``work``, whose error ends the thread, as it would any thread."""

    def __init__(self, work: Callable[[], object], name: str) -> None:
        self._work = work
        self._begun = Latch()
        self._ended = Latch()
        self._returned = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, and return when its work has begun. Raises ``RuntimeError`` where it never will."""
        self._thread.start()
        while not self._begun.wait(LOOK):
            if self._is_gone and not self._begun.is_open:
                raise RuntimeError(f"the thread {self._thread.name!r} has ended before its work began")

    @property
    def has_begun(self) -> bool:
        """Whether the work was begun; it may have ended since."""
        return self._begun.is_open

    @property
    def is_current(self) -> bool:
        """Whether the caller is a part of the work."""
        return self._thread is threading.current_thread()

    @property
    def is_lost(self) -> bool:
        """Whether the thread has ended, and its work has not returned."""
        return (self._ended.is_open or self._is_gone) and not self._returned

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended, at most ``timeout`` seconds; whether it has."""
        while not (self._ended.wait(LOOK if timeout is None else timeout) or self._is_gone):
            if timeout is not None:
                return False
        return True

    @property
    def _is_gone(self) -> bool:
        """Whether a thread that was started has ended, as Python itself knows: the work may not have told."""
        return self._thread not in threading.enumerate()

    def _run(self) -> None:
        try:
            self._begun.open()
            self._work()
            self._returned = True
        finally:
            self._ended.open()
