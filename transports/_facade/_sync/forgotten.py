"""What was opened, and is closed by nobody: when its last reference has gone, it is closed here, and that is warned of.

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
from typing import TYPE_CHECKING, Any

from streamcore.engine.engine import Engine
from streamcore.group.consumer import GroupUnion
from streamcore.group.member import GroupConsumer
from streamcore.producer.producer import Producer, settling

if TYPE_CHECKING:
    from .lifecycle import Driver


def weakly(method: Callable[..., Any]) -> Callable[..., None]:
    """A bound method, as long as its object is there; afterwards nothing."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        found = reference()
        if found is not None:
            found(*arguments)

    return call


def close_when_forgotten(holder: object, driver: Driver, engine: Engine) -> weakref.finalize[..., Any]:
    """Close an engine when ``holder`` has gone; to be detached when it is closed in order."""
    finalizer = weakref.finalize(holder, _forgotten, driver, engine, os.getpid())
    finalizer.atexit = False
    return finalizer


def close_aside(finalizer: weakref.finalize[..., Any]) -> None:
    """Close in a thread of its own what its user could not close altogether; where it is closed, nothing happens."""
    found = finalizer.detach()
    if found is not None:
        _, _, (driver, engine, _), _ = found
        with suppress(RuntimeError):  # the interpreter ends
            start_new_thread(_close, (driver, engine))


def _forgotten(driver: Driver, engine: Engine, process: int) -> None:
    if os.getpid() != process:  # a forked child has no business with its parent's links
        return
    with suppress(RuntimeError):  # the interpreter ends
        start_new_thread(_close, (driver, engine))
    warnings.warn(
        f"a {engine.label} was never closed; it is now: use 'with', or call close()", ResourceWarning, stacklevel=1
    )


def _close(driver: Driver, engine: Engine) -> None:
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
