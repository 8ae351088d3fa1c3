"""How threads use an engine: they call it, and wait until its driver has brought an answer.

In the background, keep-alive, timed acknowledgements and recovery go on while user code runs: a daemon thread moves the bytes.
With ``background=False``, the thread that waits does so, as a *pump*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from threading import get_ident
from time import monotonic
from typing import Any, TypeVar

from streamcore.commands import Command
from streamcore.engine.engine import Engine
from streamcore.requests import Request, Submit

from .._threads import LOOK, Worker
from ..address import Target
from .driver import Driver
from .waiters import Waiters, taken_lock, wait

T = TypeVar("T")


class Runtime:
    """Runs an engine for the threads that use it."""

    def __init__(self, engine: Engine, target: Target, *, background: bool = True) -> None:
        self._engine = engine
        self._background = background
        self._name = f"streamcore {type(engine).__name__}"
        self._waiters = Waiters()
        self._driver = Driver(engine, target, self._waiters, self._name, background=background)
        self._entrance = self._driver.entrance
        self._workers: list[Worker] = []
        self._thread = Worker(self._driver.run, self._name)

    def start(self) -> None:
        """Begin to move bytes: in the background, in a thread of its own."""
        if self._background:
            self._thread.start()

    # -- calling, and waiting -----------------------------------------------------------------------------------------

    def call(self, function: Callable[[], T]) -> T:
        """Call a function of the engine, and write the bytes that this makes ready."""
        driver = self._driver
        result = self._entrance.call(driver.call, function)
        if driver.woken:
            driver.ring()
        return result

    def hold(self, function: Callable[[], T]) -> T:
        """Call a function that changes no output of the engine, while no other thread is in it."""
        return self._entrance.call(function)

    def until(self, ask: Callable[[], T], within: float | None = None) -> T:
        """Ask until the answer is true, again after each change; after ``within`` seconds, the last answer."""
        driver = self._driver
        deadline = None if within is None else monotonic() + within
        late = False
        while True:
            answer, waiter = self._entrance.call(self._ask, ask, late)
            if driver.woken:
                driver.ring()
            if waiter is None:
                return answer
            try:
                self._entrance.check_wait()
                if self._background:
                    wait(waiter, deadline)
                else:
                    self._pump(waiter, deadline)
            finally:
                self._waiters.pop(waiter, None)
            late = deadline is not None and deadline <= monotonic()

    def request(self, submit: Submit, commands: Sequence[Command[Any]]) -> Request:
        """Submit commands and wait until they are finished; where the caller is interrupted, their reply is dropped."""
        self._entrance.check_wait()
        finished = taken_lock()
        request = self.call(lambda: submit(commands, lambda _: finished.release()))
        try:
            finished.acquire()
        except BaseException:
            request.finished = True
            raise
        return request

    def _ask(self, ask: Callable[[], T], late: bool) -> tuple[T, Any]:
        """The answer; where it is worth waiting for another answer, a lock to wait for. Within the entrance."""
        answer = self._driver.call(ask)
        return answer, None if answer or late else self._waiters.add()

    # -- from signal handlers, and beside the caller ------------------------------------------------------------------

    def soon(self, function: Callable[[], object]) -> None:
        """Call a function of the engine in its turn, and wake waiting threads; from any thread, and in signal handlers."""
        self._driver.soon(function)

    def spawn(self, work: Callable[[], None]) -> None:
        """Run work in a thread beside the user's, which ends when the engine is closed."""
        worker = Worker(work, f"{self._name} handlers")
        worker.start()
        self._workers.append(worker)

    def aside(self, work: Callable[[], object]) -> None:
        """Run work that may take long in a thread of its own. Raises ``RuntimeError`` where no thread can be had."""
        Worker(work, f"{self._name} log").start()

    # -- closing ------------------------------------------------------------------------------------------------------

    def check_close(self) -> None:
        """Raises ``ConcurrentUseError`` where closing would wait for the call that it has interrupted."""
        self._entrance.check_close()

    def close(self) -> None:
        """Close the engine and its sockets, also while other threads wait for it."""
        self.check_close()
        self._entrance.call(self._driver.stop)
        self._driver.ring()
        if self._thread.has_begun:
            self._thread.wait()
        while (waiter := self._entrance.call(self._hang_up)) is not None:
            waiter.acquire(timeout=LOOK)
        for worker in self._workers:
            if not worker.is_current:  # a handler may close what it belongs to
                worker.wait(self._engine.options.request_timeout)
        self._driver.board.close()

    def _hang_up(self) -> Any:
        """Close the sockets. Where another thread still moves their bytes, a lock to wait for instead."""
        if self._entrance.mover:
            return self._waiters.add()
        self._driver.board.hang_up()
        return None

    # -- without a thread in the background ---------------------------------------------------------------------------

    def _pump(self, waiter: Any, deadline: float | None) -> None:
        """Move the bytes in the calling thread until the engine changes, or the deadline has passed.

        Other threads wait meanwhile: a second pump would not see the bytes that this finds in the sockets.
        """
        entrance, me = self._entrance, get_ident()
        try:
            if entrance.call(self._serve):
                while waiter in self._waiters and not self._engine.closed:
                    self._driver.step(deadline)
                    if deadline is not None and deadline <= monotonic():
                        break
            else:
                wait(waiter, min(monotonic() + LOOK, deadline or inf))
        except BaseException:
            if entrance.mover == me:
                entrance.call(self._driver.stop)
            raise
        finally:
            if entrance.mover == me:
                entrance.mover = 0  # at once: a signal handler may raise in any call
                entrance.call(self._leave)

    def _serve(self) -> bool:
        """Pump from now on, unless another thread does."""
        if self._entrance.mover:
            return False
        self._entrance.serve(background=False)
        return True

    def _leave(self) -> None:
        """Leave the pump to the next thread that waits."""
        if self._engine.closed:
            self._driver.board.hang_up()
        self._waiters.wake()
