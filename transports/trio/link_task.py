"""The system task that owns the socket of a link, from the dial to its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import trio

from streamcore.connection.link import Link

from .._sockets import Dialling, Wire
from ..address import Target
from .asking import Asking
from .waiters import Waiters


class TaskOwner(Protocol):
    """The driver of an engine, as the tasks of its links know it."""

    target: Target
    waiters: Waiters

    @property
    def connect_timeout(self) -> float: ...

    # Enter the engine with an input, move its outputs, and wake the tasks that wait.
    def tell(self, tell: Callable[[], object]) -> None: ...

    # Tell a link that its socket is gone, and enter the engine for that.
    def lost(self, link: Link, error: Exception | None) -> None: ...


class LinkTask:
    """Dials for a link, and reads; writes are made by the calls that have something to write."""

    def __init__(self, driver: TaskOwner, link: Link) -> None:
        self._driver = driver
        self._link = link
        self._scope = trio.CancelScope()
        self._wire: Wire | None = None  # from the end of the dial on
        ask = driver.target.credentials
        self._asking = None if ask is None else Asking(driver, link, ask)

    def start(self) -> None:
        """Dial; the driver is told of the end of the socket in any case."""
        trio.lowlevel.spawn_system_task(self._run)

    def drop(self) -> None:
        """Close the socket, or give up the dial: the link does not want it any more."""
        self._scope.cancel()

    def move(self) -> None:
        """Write the bytes of the link, as far as there is room; ask for its credentials, where it wants them."""
        if self._asking is not None:
            self._asking.look()
        wire = self._wire
        if wire is None or wire.full:
            return
        with suppress(OSError):  # reading meets the same error, and tells it
            if not wire.send():
                trio.lowlevel.spawn_system_task(self._move_later, wire)

    async def _move_later(self, wire: Wire) -> None:
        if wire is not self._wire:  # closed before this task has begun
            return
        with suppress(OSError, trio.ClosedResourceError):
            await trio.lowlevel.wait_writable(wire.sock)
            self._driver.tell(partial(self._go_on, wire))

    def _go_on(self, wire: Wire) -> None:
        wire.full = False
        self.move()

    async def _run(self) -> None:
        error: Exception | None = None
        try:
            with self._scope:
                await self._connect_and_read()
        except Exception as reason:  # noqa: BLE001  # no error may end the run of trio
            error = reason
        finally:
            wire, self._wire = self._wire, None
            if self._asking is not None:
                self._asking.drop()
            if wire is not None:
                trio.lowlevel.notify_closing(wire.sock)
                wire.sock.close()
            self._driver.lost(self._link, error)
        self._driver.tell(_nothing)

    async def _connect_and_read(self) -> None:
        driver, link = self._driver, self._link
        dialling = Dialling(link, driver.target, driver.connect_timeout)
        try:
            sock = await trio.to_thread.run_sync(dialling.run, abandon_on_cancel=True)
        except trio.Cancelled:
            dialling.close()
            raise
        wire = self._wire = Wire(link, sock)
        driver.tell(partial(link.connection_made, trio.current_time()))
        while True:
            if link.wants_data:
                await trio.lowlevel.wait_readable(sock)
            else:
                await driver.waiters.changed.wait()
            if link.wants_data:
                driver.tell(partial(_receive, wire))
                if wire.error is not None:
                    raise wire.error


def _receive(wire: Wire) -> None:
    try:
        wire.receive(trio.current_time())
    except OSError as error:
        wire.error = error


def _nothing() -> None:
    """Tell the engine nothing but that time has passed."""
