"""The driver of an engine on asyncio and uvloop, after ``docs/drivers.md``: callbacks of the event loop own the sockets.

Cancelling a task touches no socket, therefore. Every input is followed by ``settle``, which asks the links that have changed for
their outputs. All calls go through the engine's ``Entrance``: there is a single thread, and a signal handler may interrupt it
anywhere.
"""

from __future__ import annotations

import asyncio
from asyncio import current_task
from collections.abc import Callable
from functools import partial
from math import inf
from threading import get_ident

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine

from .._entrance import Entrance, give_up_links
from .._sockets import loss
from ..address import Target
from .wire import Wire


class Driver:
    """Keeps a socket for each link of an engine that wants a connection, moves the bytes, and tells the time.

    ``wake`` is called after each input: calls that wait for the engine look again. ``enter`` calls a function of the engine,
    and raises ``ConcurrentUseError`` in the middle of another call.
    """

    def __init__(self, engine: Engine, target: Target, wake: Callable[[], object]) -> None:
        self.loop = asyncio.get_running_loop()
        self.target = target
        self.wake = wake
        self._engine = engine
        self._wires: dict[Link, Wire] = {}
        self._thread = get_ident()
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._entrance = Entrance(engine, self._mend, self._wakeup)
        self.enter = self._entrance.call
        engine.on_wakeup = self._wakeup
        self.flush()

    def flush(self) -> None:
        """Move the outputs of the engine, after a call that may have changed them."""
        self.enter(self.settle)

    def tell(self, tell: Callable[[], object]) -> None:
        """Give the engine an input, move its outputs, and wake waiting calls."""
        self.enter(partial(self._tell, tell))

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have the loop call a function, from any thread; unless a task is at work, the loop may sleep, and this be a signal handler."""
        loop = self.loop
        if get_ident() == self._thread and current_task(loop) is not None:
            loop.call_soon(function)
        else:
            loop.call_soon_threadsafe(function)

    async def aclose(self) -> None:
        """Close the sockets of an engine that was closed."""
        self._engine.on_wakeup = _ignore  # an entry may be acknowledged when this loop has gone
        dials = [wire.dial for wire in self._wires.values()]
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes aborted sockets in its next round

    def abandon(self) -> None:
        """Let go of the sockets where the loop does not run."""
        self._engine.on_wakeup = _ignore
        for wire in self._wires.values():
            wire.abandon()

    # -- within the entrance ------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Tell the time where it is due, open and close sockets as the links want, and write."""
        self._woken = False
        engine, now = self._engine, self.loop.time()
        due = engine.next_timeout()
        if due is not None and due <= now:
            engine.handle_timeout(now)
            self.wake()
            due = engine.next_timeout()
        for link in engine.changed_links():
            wire = self._wires.get(link)
            if link.wants_connection:
                if wire is None:
                    self._wires[link] = Wire(self, link)
                else:
                    wire.move()
            elif wire is not None:
                del self._wires[link]
                wire.drop()
                self._wakeup()  # that may have changed other links, and the next timeout
                self.wake()
        if engine.closed:
            self.wake()
        self._set_timer(due)

    def lose(self, link: Link, error: Exception | None) -> None:
        """Report a socket that is gone."""
        del self._wires[link]
        link.connection_lost(loss(error, link, self.target), self.loop.time())

    def _tell(self, tell: Callable[[], object]) -> None:
        tell()
        self.settle()
        self.wake()

    def _mend(self) -> None:
        """Go on by new connections: an exception has hit the engine itself, in a call by a task or in the loop."""
        give_up_links(self._engine, self._wires, self.loop.time())
        self.wake()

    # -- the engine's wake-up, and its timer --------------------------------------------------------------------------

    def _wakeup(self) -> None:
        if not self._woken:
            self._woken = True
            try:
                if self._entrance.is_used and get_ident() == self._thread:
                    self.loop.call_soon(self.enter, self.settle)
                else:
                    self.call_soon(self.flush)
            except BaseException:  # a signal handler has raised: the next call shall wake
                self._woken = False
                raise

    def _set_timer(self, due: float | None) -> None:
        """Keep a timer that comes no later than ``due``; a timer that comes too early only asks again."""
        if due is None or due >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self.loop.call_at(due, self._elapsed), due

    def _elapsed(self) -> None:
        self._timer, self._timer_at = None, inf
        self.flush()


def _ignore() -> None:
    """Wake no loop: this engine has ended."""
