"""A TCP proxy that stands between client and server and does to them what networks do.

One background thread runs an event loop, and everything happens there; the methods hand their work to it and return
when it is done, so that a test sees its effect at once. *Upstream* is from the client to the server. With ``tls=`` the
proxy also terminates TLS, for servers that cannot. A frozen direction still reads ahead some 200 KB before the
sender's own buffers fill. A connection that the server refuses is reset, as nobody can refuse it any more.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from transports.embedded import free_port

T = TypeVar("T")
Direction = Literal["upstream", "downstream"]
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds
PATIENCE: Final = 10  # seconds which the loop may take for one order


@dataclass
class Flow:
    """What happens to the bytes of one direction, on all connections."""

    passing: asyncio.Event
    swallow: bool = False
    delay: float = 0.0
    cut_after: int | None = None  # bytes still to pass before the cut
    cut_hard: bool = False


@dataclass(eq=False)
class Link:
    """One client's connection and the connection to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    pumps: list[asyncio.Task[None]] = field(default_factory=list)
    open: bool = True

    def cut(self, *, hard: bool) -> None:
        self.open = False
        for pump in self.pumps:
            if pump is not asyncio.current_task():
                pump.cancel()
        for writer in (self.client, self.server):
            if hard:
                reset(writer)
            else:
                close(writer)


class Proxy:
    """A context manager; ``target`` is a server's host and port, or the path of its unix socket."""

    def __init__(self, target: tuple[str, int] | str, *, tls: ssl.SSLContext | None = None) -> None:
        self.accepted = 0  # connections since the start
        self._target = target
        self._tls = tls
        self._port = 0
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._listener: asyncio.Server | None = None
        self._flows: dict[Direction, Flow] = {}
        self._links: set[Link] = set()
        self._handlers: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._do(self._start())
        except BaseException:
            self._join()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._do(self._stop())
        finally:
            self._join()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that clients connect to; ``refuse()`` does not change it."""
        return self._port

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    @property
    def url(self) -> str:
        return f"redis{'s' if self._tls else ''}://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return sum(link.open for link in list(self._links))

    def cut(self, *, hard: bool = False) -> None:
        """End all connections: with a FIN, or ``hard`` with a RST, which also drops what was not delivered yet."""
        self._do(self._cut(hard=hard))

    def cut_after(self, n_bytes: int, direction: Direction, *, hard: bool = False) -> None:
        """Cut the connection on which the ``n_bytes``-th byte of that direction passes, counted over all, right behind it."""
        self._do(self._cut_after(n_bytes, direction, hard=hard))

    def refuse(self) -> None:
        """Refuse new connections; open ones go on."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        self._do(self._listen())

    def freeze(self, direction: Direction | None = None, *, swallow: bool = False) -> None:
        """Keep the sockets open and pass nothing on: withhold the bytes until ``thaw()``, or ``swallow`` them.

        Both directions unless one is named. The ends of connections are withheld in either case.
        """
        self._do(self._freeze(direction, swallow=swallow))

    def thaw(self, direction: Direction | None = None) -> None:
        """Pass bytes again, beginning with what was withheld."""
        self._do(self._thaw(direction))

    def delay(self, seconds: float, direction: Direction | None = None) -> None:
        """Hold every chunk for that long before it is passed on; 0 ends it. What comes meanwhile is the next chunk."""
        self._do(self._delay(seconds, direction))

    # -- in the loop's thread ---------------------------------------------------------------------------------------

    async def _start(self) -> None:
        for direction in ("upstream", "downstream"):
            flow = self._flows[direction] = Flow(passing=asyncio.Event())
            flow.passing.set()
        for _ in range(10):
            self._port = free_port()
            try:
                return await self._listen()
            except OSError:  # somebody was faster; the last attempt may tell
                continue
        return await self._listen()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _stop(self) -> None:
        await self._refuse()
        while self._handlers:  # one that is still dialling the server has no link yet
            await self._cut(hard=True)
            await asyncio.sleep(0.001)
        for transport in list(getattr(self._loop, "_transports", {}).values()):
            transport.abort()  # in the middle of a TLS handshake there is no handler yet
            await asyncio.sleep(0)

    async def _cut(self, *, hard: bool) -> None:
        for link in self._links:
            link.cut(hard=hard)
        await asyncio.sleep(0)  # the loop closes the sockets in its next round

    async def _cut_after(self, n_bytes: int, direction: Direction, *, hard: bool) -> None:
        flow = self._flows[direction]
        flow.cut_after, flow.cut_hard = n_bytes, hard

    async def _freeze(self, direction: Direction | None, *, swallow: bool) -> None:
        for flow in self._chosen(direction):
            flow.swallow = swallow
            flow.passing.clear()

    async def _thaw(self, direction: Direction | None) -> None:
        for flow in self._chosen(direction):
            flow.passing.set()

    async def _delay(self, seconds: float, direction: Direction | None) -> None:
        for flow in self._chosen(direction):
            flow.delay = seconds

    def _chosen(self, direction: Direction | None) -> list[Flow]:
        return list(self._flows.values()) if direction is None else [self._flows[direction]]

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)
        self.accepted += 1
        try:
            if isinstance(self._target, str):
                server_reader, server = await asyncio.open_unix_connection(self._target)
            else:
                server_reader, server = await asyncio.open_connection(*self._target)
        except OSError:
            reset(client)
            return
        link = Link(client, server)
        self._links.add(link)
        link.pumps = [
            asyncio.create_task(self._pump(client_reader, server, self._flows["upstream"], link)),
            asyncio.create_task(self._pump(server_reader, client, self._flows["downstream"], link)),
        ]
        await asyncio.wait(link.pumps)
        link.cut(hard=False)
        for writer in (client, server):
            with suppress(OSError):
                await writer.wait_closed()
        self._links.discard(link)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow, link: Link) -> None:
        try:
            while data := await reader.read(65536):
                await asyncio.sleep(flow.delay)
                if flow.swallow and not flow.passing.is_set():
                    continue
                await flow.passing.wait()
                if flow.cut_after is not None and len(data) >= flow.cut_after:
                    writer.write(data[: flow.cut_after])
                    flow.cut_after = None
                    link.cut(hard=flow.cut_hard)
                    return
                if flow.cut_after is not None:
                    flow.cut_after -= len(data)
                writer.write(data)
                await writer.drain()
            await flow.passing.wait()
            if writer.can_write_eof():
                writer.write_eof()  # the other direction may go on
            else:
                close(writer)
        except OSError:
            link.cut(hard=True)

    # -- in the caller's thread -------------------------------------------------------------------------------------

    def _do(self, order: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(order, self._loop).result(PATIENCE)

    def _join(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def close(writer: asyncio.StreamWriter) -> None:
    """Let what was passed on before arrive, and then a FIN."""
    if not writer.is_closing():  # under TLS, a second close() would make asyncio forget the first
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close at once and with a RST."""
    with suppress(AttributeError):  # under TLS, a closed connection has no socket any more
        connection = writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
