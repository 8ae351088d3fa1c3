"""Plain non-blocking sockets, for the transports that own theirs: trio and threads.

Dialling blocks (name resolution, connect, the TLS handshake), so transports do it in a thread of its own; from then on the
socket never blocks. A ``Wire`` is such a socket and the link that it serves.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from streamcore.connection.link import Link
from streamcore.errors import ConnectFailed, ConnectionLost
from streamcore.options import MemoryAddress, UnixAddress

from ._addresses import connect_first
from ._dial_errors import explain, is_permanent
from .address import Target, class_names

# What a socket says that has nothing to read, or no room to write; the names are those of ssl, which need not be loaded.
_NOT_NOW = ("BlockingIOError", "InterruptedError", "SSLWantReadError", "SSLWantWriteError")


def dial_error(error: Exception, target: Target) -> ConnectFailed:
    """Why dialling failed, in words that help."""
    return ConnectFailed(explain(error, target), permanent=is_permanent(error))


def loss(error: Exception | None, link: Link, target: Target) -> Exception | None:
    """Why a connection has ended. TLS 1.3 refuses our certificate after our side of the handshake, by the first read."""
    if error is None or link.is_up or "SSLError" not in class_names(error):
        return error
    return dial_error(error, target.at(link.address))


def dial(link: Link, target: Target, timeout: float) -> socket.socket:
    """Connect, and greet by TLS where asked for. Raises ``ConnectFailed``, also when the link gave up meanwhile."""
    sock: socket.socket | None = None
    address = link.address
    target = target.at(address)
    try:
        if isinstance(address, UnixAddress):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout)
            sock.connect(address.path)
        elif isinstance(address, MemoryAddress):
            from . import memory

            sock = memory.dial(address.name)
        else:
            sock = connect_first(address.host, address.port, timeout)
            sock.settimeout(timeout)
            if target.tls is not None:
                sock = target.tls.context().wrap_socket(sock, server_hostname=target.server_hostname)
        sock.setblocking(False)
    except Exception as error:
        if sock is not None:
            sock.close()
        raise dial_error(error, target) from error
    if not link.wants_connection:
        sock.close()
        raise ConnectFailed("the connection came too late")
    return sock


class Dialling:
    """``dial`` in a thread that may be abandoned: then the later of ``run`` and ``close`` closes the socket.

    Afterwards there is ``sock``, or the ``error`` of ``attempt``.
    """

    def __init__(self, link: Link, target: Target, timeout: float) -> None:
        self.link = link
        self.sock: socket.socket | None = None
        self.error: ConnectFailed | None = None
        self._arguments = link, target, timeout
        self._abandoned = False

    def run(self) -> socket.socket:
        """Connect; see ``dial``."""
        self.sock = sock = dial(*self._arguments)
        if self._abandoned:
            sock.close()
        return sock

    def attempt(self, done: Callable[[Dialling], object]) -> None:
        """Connect, keep the socket or the error, and call ``done`` with this dial in any case."""
        try:
            self.run()
        except ConnectFailed as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001  # of what the user's TLS context calls, say: told to whoever waits
            self.error = ConnectFailed(f"dialling was ended by {error!r}")
        finally:
            done(self)

    def close(self) -> None:
        """Give up the dial, and close its socket."""
        self._abandoned = True
        if self.sock is not None:
            self.sock.close()


class Wire:
    """A link's socket.

    ``full``: the last write found no room, wait until the socket is writable. ``watched``: the events that a selector waits for.
    ``error``: why it cannot be read from any more, kept for readers that cannot raise it where they read.
    """

    __slots__ = ("_buffer", "_pending", "error", "full", "link", "sock", "watched")

    def __init__(self, link: Link, sock: socket.socket) -> None:
        self.link = link
        self.sock = sock
        self.full = False
        self.watched = 1
        self.error: OSError | None = None
        self._buffer = memoryview(bytearray(link.read_size))
        self._pending = getattr(sock, "pending", int)  # TLS may hold decrypted bytes that no selector sees

    def close(self) -> None:
        """Close the socket; its owner tells the link."""
        self.sock.close()

    def send(self) -> bool:
        """Write the bytes of the link; whether the socket has taken all of them. Raises ``OSError``."""
        self.full = False
        while data := self.link.data_to_send():
            try:
                self.link.data_sent(self.sock.send(data))
            except OSError as error:
                if type(error).__name__ not in _NOT_NOW:
                    raise
                self.full = True
                return False
        return True

    def receive(self, now: float) -> None:
        """Read once, or until TLS has nothing left. Raises ``OSError`` where the connection has ended."""
        while True:
            try:
                size = self.sock.recv_into(self._buffer)
            except OSError as error:
                if type(error).__name__ not in _NOT_NOW:
                    raise
                return
            if not size:
                raise ConnectionLost(f"{self.link.address} closed the connection")
            self.link.receive_data(self._buffer[:size], now)
            if not self._pending():
                return
