"""A TCP proxy that stands between client and server and harms their bytes as networks do.

A background thread runs an event loop, and all work is done there; the methods hand their work to it and return when it is
done, so that a test sees its effect at once. *Upstream* is from the client to the server. With ``tls=`` the proxy also
terminates TLS, for servers that cannot. A frozen direction still reads ahead some 200 KB before the sender's own buffers
fill. A connection that the server refuses is reset, as it is too late to refuse it to the client.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from transports.embedded import free_port

T = TypeVar("T")
Direction = Literal["upstream", "downstream"]
End = Literal["client", "server"]
Target = tuple[str, int] | str
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds
PATIENCE: Final = 10  # seconds which the loop may take for one order
TICK: Final = 0.01  # seconds between two pieces where the bandwidth is limited


@dataclass
class Flow:
    """The treatment of the bytes of a direction, on all connections."""

    passing: asyncio.Event
    swallow: bool = False
    delay: float = 0.0
    bandwidth: float | None = None  # bytes per second, of each connection
    cut_after: int | None = None  # bytes still to pass before the cut
    cut_hard: bool = False
    withheld: int = 0  # chunks that wait for it to pass again


@dataclass(eq=False)
class Link:
    """A client's connection, and the connection to the server that belongs to it."""

    handler: asyncio.Task[None] | None
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    pumps: list[asyncio.Task[None]] = field(default_factory=list)
    open: bool = True
    abandoned: bool = False

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

    def __init__(self, target: Target, *, tls: ssl.SSLContext | None = None) -> None:
        self.accepted = 0  # connections since the start
        self._target = target
        self._tls = tls
        self._port = 0
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._listener: socket.socket | None = None
        self._flows: dict[Direction, Flow] = {}
        self._detached: list[Flow] = []
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
        """End all connections: with a FIN, or ``hard`` with a RST, which also drops undelivered bytes."""
        self._do(self._cut(hard=hard))

    def cut_after(self, n_bytes: int, direction: Direction, *, hard: bool = False) -> None:
        """Cut the connection on which the ``n_bytes``-th byte of that direction passes, counted over all, right behind it."""
        self._do(self._cut_after(n_bytes, direction, hard=hard))

    @property
    def cut_is_due(self) -> bool:
        """Whether the byte that ``cut_after`` waits for has not passed yet."""
        return any(flow.cut_after is not None for flow in list(self._flows.values()))

    def refuse(self) -> None:
        """Refuse new connections; open connections go on."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        self._do(self._listen())

    def freeze(self, direction: Direction | None = None, *, swallow: bool = False) -> None:
        """Keep the sockets open and pass nothing on: withhold the bytes until ``thaw()``, or ``swallow`` them.

        Both directions unless a direction is named. The ends of connections are withheld in either case.
        """
        self._do(self._freeze(direction, swallow=swallow))

    def thaw(self, direction: Direction | None = None) -> None:
        """Pass bytes again, beginning with the withheld bytes."""
        self._do(self._thaw(direction))

    @property
    def withholds(self) -> bool:
        """Whether bytes, or ends of connections, wait for ``thaw()``."""
        return any(flow.withheld for flow in (*self._flows.values(), *self._detached))

    def detach(self) -> None:
        """Close the open connections at their clients' ends only: their withheld bytes arrive with ``thaw()``.

        New connections are as good as ever.
        """
        self._do(self._detach())

    def delay(self, seconds: float, direction: Direction | None = None) -> None:
        """Hold every chunk for so many seconds before it is passed on; 0 ends it.

        Bytes that come meanwhile are the next chunk.
        """
        self._do(self._delay(seconds, direction))

    def bandwidth(self, bytes_per_second: float | None, direction: Direction | None = None) -> None:
        """Let each connection pass no more than that, in pieces; None ends it, for the next chunk."""
        self._do(self._bandwidth(bytes_per_second, direction))

    def abandon(self, *, told: End | None = None) -> None:
        """Forget the open connections, as a NAT gateway does: nothing passes on them any more, not even their ends.

        The end that is ``told`` gets a FIN, the other end never hears of it. New connections are as good as ever; abandoned
        connections go with the next ``cut()``.
        """
        self._do(self._abandon(told))

    def retarget(self, target: Target) -> None:
        """Lead new connections to another server; open connections stay where they are."""
        self._target = target

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
            self._listener = socket.create_server(("127.0.0.1", self._port))
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._take_in, self._listener)

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _stop(self) -> None:
        await self._refuse()
        while self._handlers:
            for handler in self._handlers - {link.handler for link in self._links}:
                handler.cancel()  # shaking hands, or dialling the server
            await self._cut(hard=True)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)  # the loop closes the last ones in its next round

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
        for flow in (*self._chosen(direction), *self._detached):
            flow.passing.set()

    async def _detach(self) -> None:
        for direction, old in self._flows.items():
            self._detached.append(old)
            self._flows[direction] = new = replace(old, passing=asyncio.Event(), withheld=0)
            new.passing.set()
        for link in self._links:
            close(link.client)

    async def _delay(self, seconds: float, direction: Direction | None) -> None:
        for flow in self._chosen(direction):
            flow.delay = seconds

    async def _bandwidth(self, bytes_per_second: float | None, direction: Direction | None) -> None:
        for flow in self._chosen(direction):
            flow.bandwidth = bytes_per_second

    async def _abandon(self, told: End | None) -> None:
        for direction, old in self._flows.items():
            self._flows[direction] = replace(old)  # of the connections to come
            old.passing, old.swallow = asyncio.Event(), True  # never set: not even the end of a connection passes
        for link in self._links:
            if told is not None and not link.abandoned:
                close(link.client if told == "client" else link.server)
            link.abandoned = True

    def _chosen(self, direction: Direction | None) -> list[Flow]:
        return list(self._flows.values()) if direction is None else [self._flows[direction]]

    def _take_in(self, listener: socket.socket) -> None:
        # Not asyncio.start_server, which forgets whoever it is just accepting when it is closed.
        with suppress(OSError):
            sock, _ = listener.accept()
            handler = self._loop.create_task(self._serve(sock))
            self._handlers.add(handler)
            handler.add_done_callback(self._handlers.discard)
            handler.add_done_callback(lambda _: sock.close())

    async def _serve(self, sock: socket.socket) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, sock, ssl=self._tls)
        except OSError:
            return
        await self._connect(reader, asyncio.StreamWriter(transport, protocol, reader, self._loop))

    async def _connect(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            if isinstance(self._target, str):
                server_reader, server = await asyncio.open_unix_connection(self._target)
            else:
                server_reader, server = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.CancelledError):
            reset(client)
            return
        link = Link(asyncio.current_task(), client, server)
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
                await _passing(flow)
                if flow.cut_after is not None and len(data) >= flow.cut_after:
                    writer.write(data[: flow.cut_after])
                    flow.cut_after = None
                    link.cut(hard=flow.cut_hard)
                    return
                if flow.cut_after is not None:
                    flow.cut_after -= len(data)
                while data and flow.bandwidth is not None:
                    piece = max(1, int(flow.bandwidth * TICK))
                    writer.write(data[:piece])
                    data = data[piece:]
                    await asyncio.sleep(TICK)
                writer.write(data)
                await writer.drain()
            await _passing(flow)
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


async def _passing(flow: Flow) -> None:
    flow.withheld += 1
    try:
        await flow.passing.wait()
    finally:
        flow.withheld -= 1


def close(writer: asyncio.StreamWriter) -> None:
    """Close with a FIN, behind the bytes that were passed on before."""
    if not writer.is_closing():  # under TLS, a second close() would make asyncio forget the first
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close at once and with a RST."""
    with suppress(AttributeError):  # under TLS, a closed connection has no socket any more
        connection = writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
