"""Connections as values, for tests: past their introduction, with the exchanges that they complete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamcore.connection.connection import Connection, State
from streamcore.connection.exchange import Exchange, Pushed
from streamcore.options import DEFAULT_OPTIONS, Options
from streamcore.testing.resp import HELLO, OK, resp
from tests.core.support.strategies import plain

WELCOME = resp(HELLO) + OK * 2
SECRET = "sesame"


def exchange(*commands: tuple[Any, ...]) -> Exchange:
    return Exchange(commands or [("PING",)])


def write_all(connection: Connection) -> bytes:
    """Send everything; return it."""
    written = b""
    while data := connection.data_to_send():
        written += data
        connection.data_sent(len(data))
    return written


def ready(options: Options = DEFAULT_OPTIONS) -> Connection:
    """A connection past its introduction."""
    connection = Connection(options=options)
    write_all(connection)
    assert connection.receive_data(WELCOME) == []
    assert connection.state is State.READY
    return connection


def kept(completed: Iterable[Exchange | Pushed]) -> list[Any]:
    """Turn completed exchanges and pushes into values that can be compared."""
    listed: list[Any] = []
    for item in completed:
        if isinstance(item, Pushed):
            listed += [("push", plain(list(push))) for push in item.pushes]
        else:
            listed.append(("exchange", item.commands, plain(item.replies)))
    return listed
