"""The way into an engine: one call at a time, and none within another.

An engine is not re-entrant. A lock keeps other threads out of it, and not the one that is inside: signal handlers and
finalizers run there between any two steps, and may call anything. So each call leaves a mark, and a call that finds its own
thread's mark is refused. The mark comes before the lock: whoever is interrupted between the two would hold a lock that is not
marked, and what has interrupted him could wait for a thread that waits for that lock.

The lock is one that knows its owner, and is asked for in the block that gives it back: on Python 3.14, what a signal handler raises
may come between a ``with`` statement's taking a lock and its beginning, and nobody would give that back.

A signal handler that raises, as Ctrl-C does, tears the call that it has interrupted: nobody knows how far that was. So a call
that has not ended well, by its return or by an error of the engine's own, is followed by ``mend`` before the next one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from threading import RLock, get_ident
from typing import Final, TypeVar, TypeVarTuple
from weakref import WeakValueDictionary

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.errors import ConcurrentUseError, ConnectionLost, StreamcoreError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

OURS: Final = frozenset({"streamcore", "transports", "codecs", "encodings"})
"""Where the engine's own errors come from; it decodes what it hands over."""

REENTERED: Final = (
    "called in the middle of another call of a client in the same thread, by a signal handler, a finalizer or a callback "
    "that has interrupted it; set a flag there, end a consumer by drain(), or hand the call to another thread"
)
WAITS_FOR_ITSELF: Final = (
    "called in the thread that moves the bytes of a client, by a finalizer or a signal handler that has interrupted it; it "
    "would wait for itself: hand the call to another thread"
)

_entrances: Final[WeakValueDictionary[int, SharedEntrance]] = WeakValueDictionary()
_movers: Final[set[int]] = set()
"""The threads that move the bytes of engines in the background: for them, others wait."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_movers.clear)


class Entrance:
    """Lets calls into an engine that one thread runs: an event loop's.

    ``mend`` is called before the next call where one was torn, and ``alarm`` to have a next one. ``is_used``: a call is inside.
    """

    def __init__(self, engine: Engine, mend: Callable[[], object], alarm: Callable[[], object]) -> None:
        self._engine = engine
        self._mend = mend
        self._alarm = alarm
        self._is_torn = False
        self.is_used = False

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine. Raises ``ConcurrentUseError`` in the middle of another call."""
        if self.is_used:
            raise ConcurrentUseError(REENTERED)
        is_torn = True  # until it is known to be whole, so that nothing need be done where it is not
        try:
            self.is_used = True
            if self._is_torn:
                self._mend()
            result = function()
            is_torn = False
        except BaseException as error:
            is_torn = self._tears(error)
            raise
        finally:
            self._is_torn, self.is_used = is_torn, False
        return result

    def _tears(self, error: BaseException) -> bool:
        """Whether a call that has ended by this error has left nobody knows what; then there is a next one."""
        if self._is_own(error):
            return False
        self._alarm()
        return True

    def _is_own(self, error: BaseException) -> bool:
        """Whether the engine has raised it, and not a signal handler, which may have used another client."""
        if error is self._engine.error:
            return True
        if not isinstance(error, (StreamcoreError, UnicodeError)):
            return False
        trace = error.__traceback__
        while trace is not None:
            module: str = trace.tb_frame.f_globals.get("__name__", "")
            if module.partition(".")[0] not in OURS:
                return False
            trace = trace.tb_next
        return not isinstance(error, ConcurrentUseError)  # no engine raises it: it was another one that refused a call


class SharedEntrance(Entrance):
    """Lets calls of any thread into an engine.

    ``visitors`` are the threads whose call is inside, or waits for the lock; ``mover`` is the one that moves the bytes, or 0.
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
        """Raises ``ConcurrentUseError`` where a call would wait for what it has interrupted, or hold up another engine."""
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
        """Raises ``ConcurrentUseError`` to a thread that is inside, and to one that must not wait for those that are.

        Two threads that are in an engine each, and want to go to the other's, would wait for ever; and for a thread that moves
        the bytes of another engine, somebody waits.
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
        """The calling thread is the one that moves the bytes from now on."""
        self.mover = me = get_ident()
        if background:
            _movers.add(me)

    def leave(self) -> None:
        """The calling thread is so no more."""
        _movers.discard(self.mover)
        self.mover = 0


def give_up_links(engine: Engine, served: Container[Link], now: float) -> None:
    """Mend an engine by new connections: what was under way is lost, or repeated, as with any that breaks.

    What is ready to leave may have left: that was not noted, perhaps. ``served`` are the links for which there is a socket, or
    a dial.
    """
    for link in engine.links():
        link.data_sent(len(link.data_to_send()))
        link.drop(ConnectionLost("interrupted in the middle of a call"))
        if link not in served:  # nobody has come to dialling, and nobody would tell that it is lost
            link.connection_lost(None, now)
