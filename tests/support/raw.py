"""A tiny blocking RESP client for tests, independent of the code under test: a socket and hiredis' parser."""

from __future__ import annotations

import select
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import hiredis

Argument = str | bytes | int | float
_MORE: Final = object()  # hiredis' own "not enough data" is False, which is also what #f means


class Raw:
    """A connection; ``raw("XLEN", "s")`` sends a command and returns the parsed reply.

    An error reply is raised as ``hiredis.ReplyError``, unless it comes from ``read()`` or lies inside an array. The
    connection speaks RESP2 until ``raw("HELLO", 3)``. ``timeout``, in seconds, is for each wait: ``TimeoutError``.
    """

    def __init__(self, address: int | str | Path | tuple[str, int], *, timeout: float | None = 5) -> None:
        if isinstance(address, int):
            address = ("127.0.0.1", address)
        elif isinstance(address, Path):
            address = str(address)
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self._reader = hiredis.Reader(notEnoughData=_MORE)

    def __call__(self, *command: Argument) -> Any:
        self.send(*command)
        reply = self.read()
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def send(self, *command: Argument) -> None:
        """Send a command and do not wait: for pipelines, blocking reads and subscriptions."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
        bulks = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        self.socket.sendall(b"*%d\r\n%b" % (len(words), bulks))

    def read(self) -> Any:
        """The next reply or push; an error reply is returned, not raised. ``EOFError`` at the end."""
        while (reply := self._reader.gets()) is _MORE:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("the server closed the connection")
            self._reader.feed(data)
        return reply

    def is_silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing comes for so long, not even the end; there is no reply half read."""
        return not select.select([self.socket], [], [], seconds)[0]

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
