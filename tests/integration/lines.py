"""A connection on which any command can be asked, those as well that no client takes."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import hiredis
import pytest

from streamcore.commands import Command
from streamcore.errors import ReplyError, reply_error
from tests.support.raw import Raw

T = TypeVar("T")


class Ask(Protocol):
    """Ask a server, and answer what the reply means."""

    def __call__(self, command: Command[T]) -> T: ...


class Line:
    """One connection, in the protocol that it is in."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw

    def __call__(self, command: Command[T]) -> T:
        self.raw.socket.sendall(command.data)
        reply: Any = self.raw.read()
        if isinstance(reply, hiredis.ReplyError):
            raise reply_error(str(reply), command.name)
        return reply if command.parse is None else command.parse(reply)


def is_unknown(ask: Ask, command: Command[Any]) -> None:
    """The server does not know the command, or an option of it, and says so."""
    with pytest.raises(ReplyError) as caught:
        ask(command)
    assert (caught.value.code, caught.value.command) == ("ERR", command.name)
    if not isinstance(ask, Line):
        assert f"{command.name} in this form needs {command.traits.needs}" in str(caught.value)
