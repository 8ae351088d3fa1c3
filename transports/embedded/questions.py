"""Questions for embedded servers, and commands; and what they publish. Each question has a connection of its own."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Final, Self, TypeVar

from streamcore.commands import Command, subscribe
from streamcore.errors import ReplyError
from streamcore.resp3 import make_decoder

T = TypeVar("T")

HOST: Final = "127.0.0.1"
ANSWER_TIMEOUT: Final = 10.0  # seconds for the answer to each command


def ask(port: int, password: str | None, command: Command[T]) -> T:
    """Execute a command at a server. Raises ``ReplyError`` and ``OSError``."""
    [reply] = ask_all(port, password, [command])
    if isinstance(reply, ReplyError):
        raise reply
    answer: T = reply if command.parse is None else command.parse(reply)
    return answer


def ask_all(port: int, password: str | None, commands: Sequence[Command[Any]]) -> list[Any]:
    """Execute commands in their order; returns their replies, not parsed, with refusals in their places. Raises ``OSError``."""
    greeting = _greeting(password)
    decoder, replies = make_decoder(), list[Any]()
    with socket.create_connection((HOST, port), ANSWER_TIMEOUT) as connection:
        connection.sendall(b"".join(command.data for command in (*greeting, *commands)))
        while len(replies) < len(greeting) + len(commands):
            data = connection.recv(65536)
            if not data:
                raise ConnectionResetError(f"the server {HOST}:{port} closed the connection")
            replies += decoder.feed(data)
    return replies[len(greeting) :]


class Ear:
    """A subscription to a channel. Raises ``OSError`` where the server does not answer.

    Entering it subscribes.
    """

    def __init__(self, port: int, password: str | None, channel: str) -> None:
        self._port = port
        self._commands = [*_greeting(password), subscribe(channel)]
        self._decoder = make_decoder()

    def __enter__(self) -> Self:
        self._connection = socket.create_connection((HOST, self._port), ANSWER_TIMEOUT)
        self._connection.sendall(b"".join(command.data for command in self._commands))
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def messages(self, timeout: float) -> list[bytes]:
        """The data of messages that come within ``timeout`` seconds, at least a millisecond; none where nothing does."""
        self._connection.settimeout(max(0.001, timeout))
        try:
            data = self._connection.recv(65536)
        except TimeoutError:
            return []
        if not data:
            raise ConnectionResetError(f"the server {HOST}:{self._port} closed the connection")
        return [reply[2] for reply in self._decoder.feed(data) if isinstance(reply, list) and reply[0] == b"message"]


def _greeting(password: str | None) -> list[Command[Any]]:
    return [] if password is None else [Command(("AUTH", password))]
