"""The driver of an engine on trio, after ``docs/drivers.md``: a system task for each link owns its socket.

So no cancelled task can leave a socket in the middle of a frame. System tasks stand outside the user's nurseries: they are
shielded from KeyboardInterrupt, and an error in the user's block is not wrapped in an exception group. Every input is followed by
``settle``, which asks the links that have changed for their outputs. All calls go through the engine's ``Entrance``: there is a single
thread, and a signal handler may interrupt it anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

import trio

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine

from .._entrance import Entrance, give_up_links
from .._sockets import loss
from ..address import Target
from .link_task import LinkTask
from .waiters import Waiters


class Driver:
    """Keeps a socket for each link of an engine that wants a connection, moves the bytes, and tells the time.

    ``waiters`` are woken after each input. ``enter`` calls a function of the engine, and raises ``ConcurrentUseError`` in the
    middle of another call.
    """

    def __init__(self, engine: Engine, target: Target, waiters: Waiters) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self.target = target
        self.waiters = waiters
        self._engine = engine
        self._timer = trio.Event()
        self._timer_at: float | None = None
        self._tasks: dict[Link, LinkTask] = {}
        self._woken = False
        self.enter = Entrance(engine, self._mend, self._wakeup).call
        engine.on_wakeup = self._wakeup
        trio.lowlevel.spawn_system_task(self._keep_time)
        self.flush()

    @property
    def connect_timeout(self) -> float:
        """Seconds for a dial and the introduction of its connection."""
        return self._engine.options.connect_timeout

    @property
    def has_sockets(self) -> bool:
        """Whether a socket is open, or being dialled."""
        return bool(self._tasks)

    def flush(self) -> None:
        """Move the outputs of the engine, after a call that may have changed them."""
        self.enter(self.settle)

    def tell(self, tell: Callable[[], object]) -> None:
        """Give the engine an input, move its outputs, and wake waiting tasks."""
        self.enter(partial(self._tell, tell))

    def lost(self, link: Link, error: Exception | None) -> None:
        """Report a socket that is gone."""
        self.enter(partial(self._lose, link, error))

    def close(self) -> None:
        """Begin to close the sockets of an engine that was closed; they are when there are none."""
        self.abandon()
        self.flush()

    def abandon(self) -> None:
        """Wake this run no more: an entry may be acknowledged when it has gone."""
        self._engine.on_wakeup = _ignore

    # -- within the entrance ------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Tell the time where it is due, open and close sockets as the links want, and write."""
        self._woken = False
        engine, now = self._engine, trio.current_time()
        due = engine.next_timeout()
        if due is not None and due <= now:
            engine.handle_timeout(now)
            self.waiters.wake()
        for link in engine.changed_links():
            task = self._tasks.get(link)
            if link.wants_connection:
                if task is None:
                    self._tasks[link] = task = LinkTask(self, link)
                    task.start()
                else:
                    task.move()
            elif task is not None:
                task.drop()
        if engine.closed:
            self.waiters.wake()
        self._set_timer(engine.next_timeout())

    def _tell(self, tell: Callable[[], object]) -> None:
        tell()
        self.settle()
        self.waiters.wake()

    def _lose(self, link: Link, error: Exception | None) -> None:
        del self._tasks[link]
        link.connection_lost(loss(error, link, self.target), trio.current_time())

    def _mend(self) -> None:
        """Go on by new connections: an exception has hit the engine itself, in a call by a task, when a signal handler raised."""
        give_up_links(self._engine, self._tasks, trio.current_time())
        self.waiters.wake()

    # -- the engine's wake-up, and its timer --------------------------------------------------------------------------

    def _wakeup(self) -> None:
        if not self._woken:
            self._woken = True
            self.token.run_sync_soon(self.flush)

    def _set_timer(self, due: float | None) -> None:
        """Have the timer look again where it would come later than ``due``, and where it is to end."""
        if self._engine.closed or (due is not None and (self._timer_at is None or due < self._timer_at)):
            self._timer.set()

    async def _keep_time(self) -> None:
        while not self._engine.closed:
            self._timer = trio.Event()
            self._timer_at = self._engine.next_timeout()
            with trio.move_on_at(inf if self._timer_at is None else self._timer_at):
                await self._timer.wait()
            if not self._engine.closed:
                self.flush()


def _ignore() -> None:
    """Wake no run: this engine has ended."""
