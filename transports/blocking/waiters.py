"""The threads that wait for an engine.

Each waits for a plain lock that another thread gives free: unlike conditions and events, a lock has no inside of its own in which a
signal handler could catch it.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any


class Waiters(dict[Any, None]):
    """The locks of waiting threads. A lock leaves when it is given free; a thread that waits no longer takes its own out."""

    def add(self) -> Any:
        """A lock to wait for, given free by the next change of the engine."""
        lock = taken_lock()
        self[lock] = None
        return lock

    def wake(self) -> None:
        """Wake the waiting threads: the engine has changed."""
        for lock in list(self):
            with suppress(RuntimeError):  # given free already, by a call that was torn before the next line
                lock.release()
            self.pop(lock, None)


def taken_lock() -> Any:
    """A lock that a thread can wait for."""
    lock = Lock()
    lock.acquire()
    return lock


def wait(lock: Any, deadline: float | None) -> None:
    """Wait until a lock is given free; until ``deadline`` at most, in seconds of the monotonic clock."""
    if deadline is None:
        lock.acquire()
    else:
        lock.acquire(timeout=max(deadline - monotonic(), 0.0))
