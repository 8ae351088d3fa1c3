"""The socket of a link on asyncio and uvloop, from the dial on.

Of a host name all addresses are dialled, a moment apart, and the first that answers is taken.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import SHUT_RDWR, socket
from typing import Final, Protocol, cast

from streamcore.connection.link import Link
from streamcore.options import MemoryAddress, UnixAddress

from .._sockets import dial_error
from ..address import Target
from .addresses import connect_first
from .asking import Asking

PIECE: Final = 64 << 10
"""Bytes that are written at once. The link is told when they leave, and so knows of a long write whether it goes on."""


class WireOwner(Protocol):
    """The driver of an engine, as its wires know it."""

    loop: asyncio.AbstractEventLoop
    target: Target

    @property
    def enter(self) -> Callable[[Callable[[], object]], object]: ...

    # Enter the engine with an input, move its outputs, and wake the tasks that wait.
    def tell(self, tell: Callable[[], object]) -> None: ...

    # Tell a link that its socket is gone.
    def lose(self, link: Link, error: Exception | None) -> None: ...

    # Move all outputs of the engine.
    def settle(self) -> None: ...

    # Wake the tasks that wait.
    @property
    def wake(self) -> Callable[[], object]: ...


class Wire(asyncio.BufferedProtocol):
    """The socket of a link, from the dial on. Once ``dropped`` it reports nothing more."""

    def __init__(self, driver: WireOwner, link: Link) -> None:
        self._driver = driver
        self._link = link
        self._buffer = memoryview(bytearray(link.read_size))
        self._transport: asyncio.Transport | None = None
        self._size = 0  # of what the buffer holds
        self._full = False
        self._reading = True
        self._is_plain = False
        self.dropped = False
        ask = driver.target.credentials
        self._asking = None if ask is None else Asking(driver, link, ask)
        self.dial = driver.loop.create_task(self._connect())

    async def _connect(self) -> None:
        loop, address = self._driver.loop, self._link.address
        target = self._driver.target.at(address)
        await asyncio.sleep(0)  # a task that is begun eagerly is so within the entrance
        try:
            context = None if target.tls is None else target.tls.context()
            self._is_plain = context is None
            if isinstance(address, UnixAddress):
                await loop.create_unix_connection(lambda: self, address.path)
            elif isinstance(address, MemoryAddress):
                from .. import memory

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
        if self._asking is not None:
            self._asking.drop()
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
        """Write the bytes of the link, and read or not as it wants."""
        transport, link = self._transport, self._link
        if transport is None:
            return
        if self._asking is not None:
            self._asking.look()
        if not self._full and (data := link.data_to_send()):
            if len(data) > PIECE or type(data) is memoryview:  # behind what is left of a long write, more may wait
                self._write_long(transport)
            else:
                transport.write(data)
                link.data_sent(len(data))
        if link.wants_data is not self._reading:
            self._reading = link.wants_data
            (transport.resume_reading if self._reading else transport.pause_reading)()

    def _write_long(self, transport: asyncio.Transport) -> None:
        link = self._link
        while not (self._full or transport.is_closing()) and (piece := link.data_to_send()[:PIECE]):
            transport.write(piece)
            link.data_sent(len(piece))

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
        if not self.dropped:
            self._driver.tell(self.move)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._reading and not self.dropped and self._is_plain:
            self._driver.enter(self._read_last_words)
        self._lost(exc)

    def _read_last_words(self) -> None:
        """Read the server's last words after a failed write: they tell why it closed, and may lie in the socket still."""
        assert self._transport is not None
        try:
            fd = os.dup(self._transport.get_extra_info("socket").fileno())
        except (OSError, TypeError, AttributeError):  # uvloop shows none after its end
            return
        with socket(fileno=fd) as sock, suppress(OSError):
            while size := sock.recv_into(self._buffer):
                self._link.receive_data(self._buffer[:size], self._driver.loop.time())

    def _lost(self, error: Exception | None) -> None:
        if not self.dropped:
            self.dropped = True
            if self._asking is not None:
                self._asking.drop()
            self._driver.tell(partial(self._driver.lose, self._link, error))

    def _received(self) -> None:
        self._link.receive_data(self._buffer[: self._size], self._driver.loop.time())
        self._driver.settle()
        self._driver.wake()
