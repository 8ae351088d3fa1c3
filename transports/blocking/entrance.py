"""The way into an engine for calls of any thread, and the thread that moves its bytes.

An engine is not re-entrant. A lock keeps other threads out of it, and not the thread that is inside: signal handlers and
finalizers run there between any two steps, and may call anything. So each call leaves a mark, and a call that finds its own
thread's mark is refused. The mark comes before the lock: a call that is interrupted between the two would hold a lock that is not
marked, and its interrupter could wait for a thread that waits for that lock.

The lock knows its owner, and is asked for in the block that gives it back: on Python 3.14, the exception of a signal
handler may come between a ``with`` statement's taking a lock and its beginning, and the lock would stay taken for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import RLock, get_ident
from typing import Final, TypeVar, TypeVarTuple
from weakref import WeakValueDictionary

from streamcore.engine.engine import Engine
from streamcore.errors import ConcurrentUseError

from .._entrance import REENTERED, Entrance

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WAITS_FOR_ITSELF: Final = (
    "called in the thread that moves the bytes of a client, by a finalizer or a signal handler that has interrupted it; it "
    "would wait for itself: hand the call to another thread"
)

_entrances: Final[WeakValueDictionary[int, SharedEntrance]] = WeakValueDictionary()
_movers: Final[set[int]] = set()
"""The threads that move the bytes of engines in the background: for them, others wait."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_movers.clear)


class SharedEntrance(Entrance):
    """Lets calls of any thread into an engine.

    ``visitors`` are the threads whose call is inside, or waits for the lock; ``mover`` is the thread that moves the bytes, or 0.
    """

    def __init__(self, engine: Engine, mend: Callable[[], object], alarm: Callable[[], object]) -> None:
        super().__init__(engine, mend, alarm)
        self.visitors: set[int] = set()
        self.mover = 0
        self._lock = RLock()
        _entrances[id(self)] = self

    def call(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """The same, with arguments."""
        me, visitors = get_ident(), self.visitors
        if visitors:
            self._check_visit(me)
        lock = self._lock
        try:
            visitors.add(me)
            try:
                lock.acquire()
                is_torn = True
                try:
                    if self._is_torn:
                        self._mend()
                    result = function(*args)
                    is_torn = False
                except BaseException as error:
                    is_torn = self._tears(error)
                    raise
                finally:
                    self._is_torn = is_torn
            finally:
                try:  # noqa: SIM105  # ``suppress`` is Python code, in which a signal handler may raise
                    lock.release()
                except RuntimeError:  # it was not given, before a signal handler has raised
                    pass
        finally:
            visitors.discard(me)
        return result

    def check_wait(self) -> None:
        """Raises ``ConcurrentUseError`` where a call would wait for a call that it has interrupted, or hold up another engine."""
        self.check_close()
        if get_ident() in _movers:
            raise ConcurrentUseError(WAITS_FOR_ITSELF)

    def check_close(self) -> None:
        """Raises ``ConcurrentUseError`` where the end of the thread that moves the bytes would wait for itself."""
        me = get_ident()
        if me in self.visitors:
            raise ConcurrentUseError(REENTERED)
        if me == self.mover:
            raise ConcurrentUseError(WAITS_FOR_ITSELF)

    def _check_visit(self, me: int) -> None:
        """Raises ``ConcurrentUseError`` to a thread that is inside, and to a thread that must not wait for the threads inside.

        Two threads that are in an engine each, and want to go to the other's, would wait for ever; and for a thread that moves
        the bytes of another engine, a caller waits.
        """
        if me in self.visitors:
            raise ConcurrentUseError(REENTERED)
        if me == self.mover:
            return
        if me in _movers:
            raise ConcurrentUseError(WAITS_FOR_ITSELF)
        for reference in _entrances.valuerefs():
            other = reference()
            if other is not None and me in other.visitors:
                raise ConcurrentUseError(REENTERED)

    # -- the thread that moves the bytes ------------------------------------------------------------------------------

    def serve(self, *, background: bool) -> None:
        """Enter the calling thread as the mover of the bytes."""
        self.mover = me = get_ident()
        if background:
            _movers.add(me)

    def leave(self) -> None:
        """End the calling thread's moving of the bytes."""
        _movers.discard(self.mover)
        self.mover = 0
