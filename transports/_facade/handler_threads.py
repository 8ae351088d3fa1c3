"""Handlers in threads: the handlers of entries that ``GroupConsumer.run`` calls, and those of a subscriber's messages.

``run`` has as many threads as handlers may run at a time, each of which takes entries in turn. Their shared state is under the
driver's lock: with another lock beside it, a finalizer that uses the consumer would make two threads wait for each other.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, Generic, TypeVar

from streamcore.entries import GroupEntry
from streamcore.pubsub import Call, PubSub

from .._threads import LOOK, Worker
from .handler_pool import Line, Pool, acknowledge, refuse_coroutine
from .lifecycle import Opened
from .runtime import ThreadDriver
from .subscribing import is_left
from .telling import NEWS

E = TypeVar("E", bound=GroupEntry[Any])


def work_through(
    pool: Pool[E], running: Opened[ThreadDriver], driver: ThreadDriver, handler: Callable[[E], object]
) -> None:
    """Handle entries until the pool stops; raises the error that has stopped it."""
    workers = _Workers(pool, running, driver, handler)
    threads = [workers.thread(number) for number in range(pool.concurrency)]
    try:
        for thread in threads:
            thread.start()
        workers.wait_for(threads)
    except BaseException:  # Ctrl-C: those that run may end, unless it comes again
        workers.halt()
        for thread in threads:
            if thread.has_begun:  # who has not begun begins nothing now
                thread.wait()
        raise
    finally:
        workers.give_back()
    if pool.error is not None:
        raise pool.error


class _Workers(Generic[E]):
    """The state that the threads share."""

    def __init__(
        self, pool: Pool[E], running: Opened[ThreadDriver], driver: ThreadDriver, handler: Callable[[E], object]
    ) -> None:
        self._pool = pool
        self._running = running
        self._driver = driver
        self._handler = handler
        self._telling = Lock()

    def thread(self, number: int) -> Worker:
        """Another thread of these."""
        return Worker(partial(self._run, copy_context()), f"streamcore handler {number}")

    def wait_for(self, threads: Sequence[Worker]) -> None:
        """Wait until all have ended. A thread that is lost without a word ends the others, too."""
        for thread in threads:
            while not thread.wait(LOOK):
                self._look_at(threads)
        self._look_at(threads)

    def _look_at(self, threads: Sequence[Worker]) -> None:
        if self._pool.error is None and any(thread.is_lost for thread in threads):
            self._fail(RuntimeError("a handler's thread has ended in the middle of its work"))
        elif self._pool.error is not None:  # whoever has failed may not have come to telling the others
            self._driver.soon(_look_again)

    def _run(self, context: Context) -> None:
        try:
            context.run(self._work)
        except BaseException as error:  # noqa: BLE001  # raised by ``work_through``, when the others have ended
            self._fail(error)

    def _work(self) -> None:
        """Handle entries in turn."""
        while self._has_work():
            while (job := self._begin()) is not None:
                self._handle(*job)
        if self._pool.waiting:
            self._driver.soon(_look_again)

    def halt(self) -> None:
        """Begin nothing more."""
        self._pool.halt()
        self._driver.soon(_look_again)

    def give_back(self) -> None:
        """Return to the engine the entries that no handler has begun."""
        self._pool.halt()
        if self._running.is_open:
            self._driver.call(self._pool.give_back)

    def _begin(self) -> tuple[Line[E], E] | None:
        job, calls_others = self._driver.hold(self._next)
        if calls_others:
            self._driver.soon(_look_again)
        return job

    def _next(self) -> tuple[tuple[Line[E], E] | None, bool]:
        job = self._pool.begin()
        return job, self._pool.calls_others()

    def _has_work(self) -> bool:
        pool, driver, running = self._pool, self._driver, self._running
        driver.hold(partial(self._waits, 1))
        try:
            while driver.until(running.or_news(pool.look)) is NEWS:
                with self._telling:
                    running.tell_events()
        finally:
            driver.hold(partial(self._waits, -1))
        with self._telling:
            running.tell_events()
        return driver.hold(lambda: pool.has_work)

    def _waits(self, more: int) -> None:
        self._pool.waiting += more

    def _handle(self, line: Line[E], entry: E) -> None:
        try:
            result = self._handler(entry)
        except Exception as error:  # noqa: BLE001  # on_error decides
            verdict = self._pool.settle(entry, error)
            if verdict != "raise":
                self._running.log("failures of the handler", logging.WARNING, *self._pool.report(entry, error, verdict))
        else:
            refuse_coroutine(result)  # it would be acknowledged unhandled
            acknowledge(entry)
        self._driver.hold(partial(self._pool.finish, line))

    def _fail(self, error: BaseException) -> None:
        self._driver.hold(partial(self._pool.fail, error))
        self._driver.soon(_look_again)


def _look_again() -> None:
    """Do nothing: the call itself wakes the threads that wait."""


def call_handler(engine: PubSub[Any], driver: ThreadDriver, call: Call) -> None:
    """Call a handler of a subscriber; if it raises, the engine is told."""
    try:
        refuse_coroutine(call.handler(call.argument))
    except Exception as error:  # noqa: BLE001  # a handler may raise anything
        driver.call(partial(engine.handler_failed, call, error))


def run_handlers(engine: PubSub[Any], driver: ThreadDriver, work: Callable[[], None]) -> None:
    """Do the work of a thread that calls handlers, and end the engine with it where it ends in the middle, as by ``sys.exit``.

    Else no handler would be called any more, in silence.
    """
    try:
        work()
    except BaseException as error:  # noqa: BLE001  # see above
        ended = RuntimeError(f"a handler has ended its thread: {error!r}")
        ended.__cause__ = error
        driver.call(partial(engine.fail, ended))


class Pump:
    """Runs an engine in the thread that waits for its messages, and calls the handlers there."""

    def __init__(self, engine: PubSub[Any], running: Any, calls: deque[Call]) -> None:
        self._engine = engine
        self._running = running
        self._calls = calls  # taken from the engine, and not made yet

    def wait(self, ask: Callable[[], Any], within: float | None) -> Any:
        """Wait until ``ask`` finds an answer; handlers are called meanwhile."""
        running, engine, calls = self._running, self._engine, self._calls
        deadline = None if within is None else monotonic() + within
        while True:
            found = running.wait(
                partial(self._look, ask), None if deadline is None else max(deadline - monotonic(), 0.0)
            )
            if found is not calls or not calls:
                return found
            running.tell_events()
            while calls and not is_left(engine):
                call_handler(engine, running.driver, calls.popleft())

    def _look(self, ask: Callable[[], Any]) -> Any:
        if not self._calls:
            self._calls.extend(self._engine.take_waiting_calls())
        return self._calls or ask()
