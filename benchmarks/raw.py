"""The plainest client there is: a blocking socket and hiredis. It prepares and checks; hand-written loops start from it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import hiredis

MORE: Final = object()
"""What a reader made by :func:`make_reader` gives when it needs more bytes (``False`` is a valid reply)."""

RECV_SIZE: Final = 64 * 1024
"""hiredis slows down with the bytes it has buffered, so nothing here feeds it more than this at once."""


pack: Final[Callable[[tuple[str | bytes | int, ...]], bytes]] = hiredis.pack_command  # type: ignore[assignment]
"""A command as bytes. (The stub of hiredis takes tuples of one item only.)"""


def make_reader() -> hiredis.Reader:
    return hiredis.Reader(notEnoughData=MORE)


def open_socket(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Raw:
    """Commands, one after the other."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = open_socket(host, port)
        self._reader = make_reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def send(self, *commands: tuple[str | bytes | int, ...]) -> None:
        self.write(b"".join([pack(command) for command in commands]))

    def reply(self) -> Any:
        while (reply := self._reader.gets()) is MORE:
            data = self._socket.recv(RECV_SIZE)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def call(self, *command: str | bytes | int) -> Any:
        self.send(command)
        return self.reply()

    def pipeline(self, commands: list[tuple[str | bytes | int, ...]]) -> list[Any]:
        self.send(*commands)
        return [self.reply() for _ in commands]

    def info(self, section: str) -> dict[str, str]:
        text: str = self.call("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def cpu_seconds(self) -> float:
        """The CPU time that the whole server has used."""
        cpu = self.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])
