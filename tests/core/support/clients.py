"""A client and a scripted server, for tests: its requests, in the order in which they ended."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import Command
from streamcore.commands.command import Traits
from streamcore.errors import ConnectionLost
from streamcore.options import Options
from streamcore.requests import Multiplexer, Request
from streamcore.testing.pair import Pair


class Client(Multiplexer):
    """A client that submits requests and notes each as it ends, in order."""

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options=options or Options())
        self.ended: list[Request] = []

    def ask(self, *words: str, repeatable: bool = False) -> Request:
        """Submit a request with an ECHO for each word."""
        return self.submit(
            [Command(("ECHO", word), traits=Traits(repeatable=repeatable)) for word in words], self.ended.append
        )


def connected(**arguments: Any) -> tuple[Client, Pair]:
    client = Client()
    return client, Pair(client, **arguments)


def unconnected() -> tuple[Client, Pair]:
    """A client whose server is down."""
    client = Client()
    pair = Pair(client, dials=False)
    pair.dials, pair.refusal = True, OSError("refused")
    pair.settle()
    return client, pair


def lost(request: Request) -> tuple[type[Exception], bool]:
    """The error that ended a request, and whether it counts as sent."""
    assert request.finished
    with pytest.raises(ConnectionLost) as raised:
        request.answers()
    return type(raised.value), raised.value.sent


def echoed(pair: Pair) -> list[str]:
    """Take the words of the ECHOs that the server got since the last call."""
    found = [command[1].decode() for command in pair.server.commands]
    pair.server.commands.clear()
    return found
