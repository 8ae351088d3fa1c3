"""Handlers in tasks: the handlers of entries that ``GroupConsumer.run`` calls, and those of a subscriber's messages.

``run`` has as many tasks as handlers may run at a time, each of which takes the entries in turn. A subscriber has a single task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from streamcore.entries import GroupEntry
from streamcore.pubsub import Call, PubSub

from .handler_pool import Line, Pool, acknowledge
from .lifecycle import Opened
from .runtime import AsyncDriver
from .telling import NEWS

E = TypeVar("E", bound=GroupEntry[Any])


async def work_through(
    pool: Pool[E], running: Opened[AsyncDriver], driver: AsyncDriver, handler: Callable[[E], object]
) -> None:
    """Handle entries until the pool stops; raises the error that has stopped it."""
    worker = _Worker(pool, running, driver, handler)
    try:
        if pool.concurrency == 1:
            await worker.work()
        else:
            await driver.together(worker.work, pool.concurrency)
    except BaseExceptionGroup as errors:
        [error, *others] = errors.exceptions
        if others:
            raise
        raise error from None
    finally:
        running.call(pool.give_back)
    if pool.error is not None:
        raise pool.error


class _Worker(Generic[E]):
    """Has no state of its own: its tasks share it."""

    def __init__(
        self, pool: Pool[E], running: Opened[AsyncDriver], driver: AsyncDriver, handler: Callable[[E], object]
    ) -> None:
        self._pool = pool
        self._running = running
        self._driver = driver
        self._handler = handler

    async def work(self) -> None:
        """Handle entries in turn."""
        pool = self._pool
        while await self._has_work():
            while (job := pool.begin()) is not None:
                if pool.calls_others():
                    self._driver.soon(_look_again)
                await self._handle(*job)
        if pool.waiting:
            self._driver.soon(_look_again)

    async def _has_work(self) -> bool:
        pool, running = self._pool, self._running
        await self._driver.checkpoint()
        pool.waiting += 1
        try:
            running.check()
            while await running.entered().until(running.or_news(pool.look)) is NEWS:
                running.tell_events()
            running.tell_events()
        except Exception as error:  # noqa: BLE001  # raised by ``work_through``, when the others have ended
            self._fail(error)
        finally:
            pool.waiting -= 1
        return pool.has_work

    async def _handle(self, line: Line[E], entry: E) -> None:
        try:
            result = self._handler(entry)
            if result is not None and isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001  # on_error decides
            self._failed(entry, error)
        except (KeyboardInterrupt, SystemExit) as error:
            self._fail(error)
        except BaseException as error:
            if not self._driver.is_stray(error):
                raise
            stray = RuntimeError("the handler has awaited something that was cancelled")
            stray.__cause__ = error
            self._failed(entry, stray)
        else:
            acknowledge(entry)
        self._pool.finish(line)

    def _failed(self, entry: E, error: Exception) -> None:
        verdict = self._pool.settle(entry, error)
        if verdict != "raise":
            self._running.log("failures of the handler", logging.WARNING, *self._pool.report(entry, error, verdict))

    def _fail(self, error: BaseException) -> None:
        self._pool.fail(error)
        self._driver.soon(_look_again)


def _look_again() -> None:
    """Do nothing: the call itself wakes the tasks that wait."""


async def call_handler(engine: PubSub[Any], driver: AsyncDriver, call: Call) -> None:
    """Call a handler of a subscriber, and await it; if it raises, the engine is told."""
    try:
        result = call.handler(call.argument)
        if isawaitable(result):
            await result
    except Exception as error:  # noqa: BLE001  # a handler may raise anything
        driver.call(partial(engine.handler_failed, call, error))
    except BaseException as error:
        if not driver.is_stray(error):
            raise
        stray = RuntimeError("the handler has awaited something that was cancelled")
        driver.call(partial(engine.handler_failed, call, stray))
