"""The way into an engine: a call at a time, and none within another.

An engine is not re-entrant. Signal handlers and finalizers run between any two steps of a call, and may call anything. So each call
leaves a mark, and a call that finds a mark is refused. For calls of several threads, see ``transports.blocking.entrance``.

A signal handler that raises, as Ctrl-C does, tears the call that it has interrupted, and how far that was is unknown. So a call
that has not ended well, by its return or by an error of the engine's own, is followed by ``mend`` before the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final, TypeVar

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.errors import ConcurrentUseError, ConnectionLost, StreamcoreError

T = TypeVar("T")

OURS: Final = frozenset({"streamcore", "transports", "codecs", "encodings"})
"""Where the engine's own errors come from; it decodes what it hands over."""

REENTERED: Final = (
    "called in the middle of another call of a client in the same thread, by a signal handler, a finalizer or a callback "
    "that has interrupted it; set a flag there, end a consumer by drain(), or hand the call to another thread"
)


class Entrance:
    """Lets calls into an engine that a single thread runs: an event loop's.

    ``mend`` is called before the next call where a call was torn, and ``alarm`` to have a next call. ``is_used``: a call is inside.
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
        """Whether a call that has ended by this error is torn; then a next call is asked for."""
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


def give_up_links(engine: Engine, served: Container[Link], now: float) -> None:
    """Mend an engine by new connections: requests under way are lost, or repeated, as on any connection that breaks.

    Bytes that are ready to leave may have left: that was not noted, perhaps. ``served`` are the links for which there is a socket, or
    a dial.
    """
    for link in engine.links():
        link.data_sent(len(link.data_to_send()))
        link.drop(ConnectionLost("interrupted in the middle of a call"))
        if link not in served:  # nobody has come to dialling, and nobody would tell that it is lost
            link.connection_lost(None, now)
