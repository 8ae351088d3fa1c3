"""Engines of threads that are never closed: when the last reference to the holder has gone, they are closed here, and that is warned of.

Its thread would go on for ever else: a member of a group would renew, and withhold from others, entries that are not worked at. So neither
the engine nor its driver may hold the application's object, except weakly. A finalizer is called anywhere, in the middle of
anything: it only starts a thread, which waits for locks and for the server.
"""

from __future__ import annotations

import os
import warnings
import weakref
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from streamcore.engine.engine import Engine
from streamcore.errors import ConcurrentUseError
from streamcore.group.consumer import GroupConsumer
from streamcore.producer.producer import Producer, settling

from .lifecycle import Opened
from .logs import PATIENCE, Journal
from .runtime import ThreadDriver
from .settings import Settings


def weakly(method: Callable[..., Any]) -> Callable[..., None]:
    """A bound method, as long as its object is there; afterwards nothing."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        found = reference()
        if found is not None:
            found(*arguments)

    return call


class Forgettable(Opened[ThreadDriver]):
    """An engine in use by threads, which is closed when its last reference has gone."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings)
        self._finalizer: weakref.finalize[..., Any] | None = None
        engine.on_event = weakly(self._happened)
        self._journal = Journal(engine.title, monotonic, weakly(self._aside))

    def go_on_by(self, engine: Engine, settings: Settings) -> None:
        """Use another engine from now on, as ``Opened.go_on_by``."""
        super().go_on_by(engine, settings)
        engine.on_event = weakly(self._happened)

    def check_close(self) -> None:
        """Raises ``ConcurrentUseError`` where closing would wait for the call that it has interrupted."""
        driver = self._driver
        if driver is not None and not self.forked:
            driver.check_close()

    def _start(self, driver: ThreadDriver) -> None:
        """Begin to move bytes, and not before it would be closed, wherever this is interrupted."""
        finalizer = self._finalizer = weakref.finalize(self, _forgotten, driver, self.engine, os.getpid())
        finalizer.atexit = False
        driver.start()

    def _finish(self, close: Callable[[], None]) -> None:
        """Close; where a signal handler raises meanwhile, as Ctrl-C does, the rest is closed in a thread of its own."""
        try:
            close()
        except ConcurrentUseError:
            raise
        except BaseException:
            if self._finalizer is not None and not self.forked:
                _close_aside(self._finalizer)
            raise

    def _stop(self, driver: ThreadDriver | None) -> None:
        """Close the engine, with its driver where it has a driver."""
        if driver is None or self.forked:
            self.engine.close()
        else:
            driver.close()
        if self._finalizer is not None:
            self._finalizer.detach()  # not before it is closed: this may be interrupted
        if not self.forked:
            self._journal.end(PATIENCE)


def _close_aside(finalizer: weakref.finalize[..., Any]) -> None:
    """Close in a thread an engine that its user could not close altogether; where it is closed, nothing happens."""
    found = finalizer.detach()
    if found is not None:
        _, _, (driver, engine, _), _ = found
        with suppress(RuntimeError):  # the interpreter ends
            start_new_thread(_close, (driver, engine))


def _forgotten(driver: ThreadDriver, engine: Engine, process: int) -> None:
    if os.getpid() != process:  # a forked child has no business with its parent's links
        return
    with suppress(RuntimeError):  # the interpreter ends
        start_new_thread(_close, (driver, engine))
    warnings.warn(
        f"a {engine.label} was never closed; it is now: use 'with', or call close()", ResourceWarning, stacklevel=1
    )


def _close(driver: ThreadDriver, engine: Engine) -> None:
    try:
        if isinstance(engine, GroupConsumer):
            member: GroupConsumer[Any] = engine
            driver.call(member.leave)
            driver.until(lambda: member.settled or member.closed, engine.options.request_timeout)
        elif isinstance(engine, Producer):
            driver.call(engine.hurry)
            driver.until(settling(driver.call(engine.unanswered)), engine.patience)
    finally:
        driver.close()
