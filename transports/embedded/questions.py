"""Questions for embedded servers, and commands. Each question has a connection of its own."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from streamcore.commands import Command
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
    greeting: list[Command[Any]] = [] if password is None else [Command(("AUTH", password))]
    decoder, replies = make_decoder(), list[Any]()
    with socket.create_connection((HOST, port), ANSWER_TIMEOUT) as connection:
        connection.sendall(b"".join(command.data for command in (*greeting, *commands)))
        while len(replies) < len(greeting) + len(commands):
            data = connection.recv(65536)
            if not data:
                raise ConnectionResetError(f"the server {HOST}:{port} closed the connection")
            replies += decoder.feed(data)
    return replies[len(greeting) :]
