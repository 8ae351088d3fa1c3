"""Engines of threads that are never closed: when the last reference to the holder has gone, they are closed here, and that is warned of.

Its thread would go on for ever else: a member of a group would renew, and withhold from others, what nobody works at. So neither
the engine nor its driver may hold what the application holds, except weakly. A finalizer is called anywhere, in the middle of
anything: it only starts a thread, which waits for locks and for the server.
"""

from __future__ import annotations

import os
import warnings
import weakref
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from streamcore.engine.engine import Engine
from streamcore.errors import ConcurrentUseError
from streamcore.group.consumer import GroupUnion
from streamcore.group.member import GroupConsumer
from streamcore.producer.producer import Producer, settling

from .runtime import ThreadDriver


def weakly(method: Callable[..., Any]) -> Callable[..., None]:
    """A bound method, as long as its object is there; afterwards nothing."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        found = reference()
        if found is not None:
            found(*arguments)

    return call


def close_when_forgotten(holder: object, driver: ThreadDriver, engine: Engine) -> weakref.finalize[..., Any]:
    """Close an engine when ``holder`` has gone; to be detached when it is closed in order."""
    finalizer = weakref.finalize(holder, _forgotten, driver, engine, os.getpid())
    finalizer.atexit = False
    return finalizer


def close_in_order(close: Callable[[], None], finalizer: weakref.finalize[..., Any] | None) -> None:
    """Close by the holder; where a signal handler raises meanwhile, as Ctrl-C does, what is left is closed in a thread of its own."""
    try:
        close()
    except ConcurrentUseError:
        raise
    except BaseException:
        if finalizer is not None:
            _close_aside(finalizer)
        raise


def _close_aside(finalizer: weakref.finalize[..., Any]) -> None:
    """Close what the holder could not close altogether; where it is closed, nothing happens."""
    found = finalizer.detach()
    if found is not None:
        _, _, (driver, engine, process), _ = found
        if os.getpid() == process:
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
        if isinstance(engine, (GroupConsumer, GroupUnion)):
            member: GroupConsumer[Any] | GroupUnion[Any] = engine
            driver.call(member.leave)
            driver.until(lambda: member.settled or member.closed, engine.options.request_timeout)
        elif isinstance(engine, Producer):
            driver.call(engine.hurry)
            driver.until(settling(driver.call(engine.unanswered)), engine.patience)
    finally:
        driver.close()
