"""The socket of one link on asyncio and uvloop, from the dial on.

Of a host name all addresses are dialled, a moment apart, and the first that answers is taken.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from socket import SHUT_RDWR, socket
from typing import TYPE_CHECKING, cast

from streamcore.link import Link
from streamcore.options import MemoryAddress, UnixAddress

from ._addresses import APART, Place, none_of, places
from ._sockets import dial_error

if TYPE_CHECKING:
    from .asyncio import Driver


class Wire(asyncio.BufferedProtocol):
    """One link's socket, from the dial on. Once ``dropped`` it reports nothing more."""

    def __init__(self, driver: Driver, link: Link) -> None:
        self._driver = driver
        self._link = link
        self._buffer = memoryview(bytearray(link.read_size))
        self._transport: asyncio.Transport | None = None
        self._size = 0  # of what the buffer holds
        self._full = False
        self._reading = True
        self.dropped = False
        self.dial = driver.loop.create_task(self._connect())

    async def _connect(self) -> None:
        loop, target, address = self._driver.loop, self._driver.target, self._link.address
        await asyncio.sleep(0)  # a task that is begun eagerly is so within the entrance
        try:
            context = None if target.tls is None else target.tls.context()
            if isinstance(address, UnixAddress):
                await loop.create_unix_connection(lambda: self, address.path)
            elif isinstance(address, MemoryAddress):
                from . import memory

                await loop.create_connection(lambda: self, sock=memory.dial(address.name))
            else:
                name = target.server_hostname if context else None
                sock = await connect_first(address.host, address.port)
                try:
                    await loop.create_connection(lambda: self, sock=sock, ssl=context, server_hostname=name)
                except BaseException:
                    sock.close()
                    raise
        except Exception as error:  # noqa: BLE001  # whatever it is, dialling has failed
            self._lost(dial_error(error, target))

    def drop(self) -> None:
        """The link does not want this socket any more."""
        self.dropped = True
        self.dial.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._link.connection_lost(None, self._driver.loop.time())

    def abandon(self) -> None:
        """The same where the loop does not run: the server is told now, the rest is done if it ever runs again."""
        if self._transport is not None:
            # uvloop shows none after its end, and before one of no use.
            with suppress(OSError, TypeError, AttributeError):
                self._transport.get_extra_info("socket").shutdown(SHUT_RDWR)
        with suppress(RuntimeError):  # it is closed
            self._driver.loop.call_soon_threadsafe(self.drop)

    def move(self) -> None:
        """Write what the link has, and read or not as it wants."""
        transport, link = self._transport, self._link
        if transport is None:
            return
        if not self._full and (data := link.data_to_send()):
            transport.write(data)
            link.data_sent(len(data))
        if link.wants_data is not self._reading:
            self._reading = link.wants_data
            (transport.resume_reading if self._reading else transport.pause_reading)()

    # -- what the loop tells ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.dropped:
            self._transport.abort()
        else:
            self._driver.tell(partial(self._link.connection_made, self._driver.loop.time()))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self.dropped:
            self._size = nbytes
            self._driver.enter(self._received)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._driver.tell(_nothing)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def _lost(self, error: Exception | None) -> None:
        if not self.dropped:
            self.dropped = True
            self._driver.tell(partial(self._driver.lose, self._link, error))

    def _received(self) -> None:
        self._link.receive_data(self._buffer[: self._size], self._driver.loop.time())
        self._driver.settle()
        self._driver.wake_waiters()


async def connect_first(host: str, port: int) -> socket:
    """Connect to the first address of a name that answers; see ``_addresses``. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    waiting = await loop.run_in_executor(None, places, host, port)
    dialled: set[asyncio.Task[socket]] = set()
    errors: list[OSError] = []
    try:
        while waiting or dialled:
            if waiting:
                dialled.add(loop.create_task(_connect(waiting.pop(0))))
            ended, _ = await asyncio.wait(
                dialled, timeout=APART if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                dialled.remove(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
        raise none_of(errors)
    finally:
        for task in dialled:
            task.add_done_callback(_close)
            task.cancel()


async def _connect(place: Place) -> socket:
    sock = place.open()
    try:
        await asyncio.get_running_loop().sock_connect(sock, place.where)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise place.failed(error) from None
        raise
    return sock


def _close(task: asyncio.Task[socket]) -> None:
    """It came second."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _nothing() -> None:
    """The engine is told nothing but that time has passed."""
