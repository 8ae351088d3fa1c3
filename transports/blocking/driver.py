"""The driver of an engine for threads, after ``docs/drivers.md``: a thread moves the bytes, step by step.

That is a daemon thread of the engine's own, in which ``run`` takes the steps, or the thread that waits. Each step sleeps in
``select`` for bytes, for the timer, and for a byte in a socket pair that tells it to look again. Calls go through the engine's
``SharedEntrance``; a caller itself writes the bytes that its call made ready.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import TypeVar

from streamcore.connection.link import AT_ONCE
from streamcore.engine.engine import Engine

from .._entrance import give_up_links
from ..address import Target
from .call_queue import CallQueue
from .entrance import SharedEntrance
from .switchboard import Ready, Switchboard
from .waiters import Waiters

T = TypeVar("T")


class Driver:
    """Keeps a socket for each link of an engine that wants a connection, moves the bytes, and tells the time.

    ``waiters`` are woken after each input. ``woken``: the engine has changed in a call whose bytes have not left yet.
    """

    def __init__(self, engine: Engine, target: Target, waiters: Waiters, name: str, *, background: bool) -> None:
        self.board = Switchboard(engine, target, name)
        self.ring = self.board.ring
        self.entrance = SharedEntrance(engine, self._mend, self.ring)
        self.woken = False
        self._engine = engine
        self._waiters = waiters
        self._background = background
        self._asleep_until: float | None = None
        self._calls = CallQueue()
        self._failure: Exception | None = None
        engine.on_wakeup = self._wakeup

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in its turn, and wake waiting threads; from any thread, and in signal handlers."""
        self._calls.append(function)
        self.ring()

    # -- within the entrance ------------------------------------------------------------------------------------------

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine, and write the bytes that this made ready."""
        if self._calls:
            self._calls.run()
            self._waiters.wake()
        result = function()
        self.flush()
        return result

    def flush(self) -> None:
        """Write the bytes that the engine has ready, and wake the thread that moves them where it sleeps too long."""
        self.woken = False
        engine, sleeps_until = self._engine, self._asleep_until
        is_behind = self.board.send()
        due = engine.next_timeout()
        if due == AT_ONCE and self._background:  # a pump looks at its sockets before it tells the time
            now = monotonic()
            if sleeps_until is None or now < sleeps_until:  # else that thread does: no caller deals with what is late
                engine.handle_timeout(now)
                is_behind |= self.board.send()
                self._waiters.wake()
                due = engine.next_timeout()
        if is_behind or engine.closed or (due is not None and (sleeps_until is None or due < sleeps_until)):
            self.ring()

    def stop(self) -> None:
        """Close the engine, with the error of the thread that moved its bytes where there is an error."""
        if self._failure is None:
            self._engine.close()
        else:
            self._engine.fail(self._failure)
        self._waiters.wake()

    def _wakeup(self) -> None:
        """The engine has changed. A call that is inside writes the bytes that are ready, and looks at ``woken`` when it has left."""
        if get_ident() in self.entrance.visitors:
            self.woken = True
        else:
            self.ring()

    def _mend(self) -> None:
        """Go on by new connections, or end: an exception has hit the engine itself."""
        if self._background and self._failure is None:
            give_up_links(self._engine, self.board.wires, monotonic())
            self._waiters.wake()
            self.ring()
        else:
            self.stop()

    # -- the thread that moves the bytes ------------------------------------------------------------------------------

    def run(self) -> None:
        """Move the bytes until the engine is closed, in a thread of its own."""
        self.entrance.serve(background=True)
        try:
            while not self._engine.closed:
                self.step(None)
        except Exception as error:  # noqa: BLE001  # any error is told to the threads that wait
            self._failure = error
        except BaseException as error:  # noqa: BLE001  # the same
            self._failure = RuntimeError(f"the thread of this {self._engine.label} was ended: {error!r}")
            self._failure.__cause__ = error
        finally:
            self.entrance.leave()
            self.entrance.call(self.stop)
            self.entrance.call(self.board.hang_up)

    def step(self, deadline: float | None) -> None:
        """Open and close sockets as the links want; then wait for bytes or for the timer, until ``deadline`` at most, and tell the engine."""
        happened, wait = self.entrance.call(self._prepare, deadline)
        if not happened:
            self.entrance.call(self._take_in, self.board.select(0.0 if self.woken else wait))

    def _prepare(self, deadline: float | None) -> tuple[bool, float | None]:
        """Whether something has happened already, and how long to sleep if not."""
        self.woken = False
        happened = self.board.reconcile()
        due = self._engine.next_timeout()
        self._asleep_until = due = min((at for at in (due, deadline) if at is not None), default=None)
        if happened:
            self._waiters.wake()
        return happened, None if due is None else max(due - monotonic(), 0.0)

    def _take_in(self, ready: Ready) -> None:
        happened = self.board.take_in(ready)
        happened |= self._calls.run()
        now = monotonic()
        due = self._engine.next_timeout()
        if due is not None and due <= now:
            self._engine.handle_timeout(now)
            happened = True
        if happened:
            self._waiters.wake()
