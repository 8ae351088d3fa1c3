"""A server's side of RESP, for scripted servers: Python values as the bytes of replies, and bytes as commands.

``resp`` writes any Python value in RESP3; the classes here are for the replies that Python has no type for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from streamcore.errors import ReplyError
from streamcore.resp3 import Pairs, Verbatim

from .model.protocol import Parser

OK: Final = b"+OK\r\n"
NIL: Final = b"_\r\n"
HELLO: Final[dict[str, Any]] = {
    "server": "valkey",
    "version": "9.1.2",
    "proto": 3,
    "id": 7,
    "mode": "standalone",
    "role": "master",
    "modules": [],
}


class Simple(str):
    """Text that ``resp`` writes as a simple string (``+OK``)."""

    __slots__ = ()


class PushOf(list[Any]):
    """Items that ``resp`` writes as a push (``>``)."""

    __slots__ = ()


class SetOf(list[Any]):
    """Items that ``resp`` writes as a set (``~``)."""

    __slots__ = ()


class Blob:
    """An error that ``resp`` writes as a blob (``!``), where its message may have line breaks."""

    def __init__(self, error: ReplyError) -> None:
        self.error = error


class Streamed:
    """A string, a list, a set, a push or a map that ``resp`` writes without its length (``?``)."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Attributed:
    """A value before which ``resp`` writes attributes (``|``)."""

    def __init__(self, attributes: dict[Any, Any] | Pairs, value: Any) -> None:
        self.attributes = attributes
        self.value = value


def _items_of(value: dict[Any, Any] | Pairs) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, dict) else value


def resp(value: Any) -> bytes:
    """Write a reply as a server sends it. Raises ``TypeError`` for a value that is no reply."""
    items: Any = value
    match value:
        case Attributed():
            return b"|" + resp(value.attributes)[1:] + resp(value.value)
        case Blob():
            text = f"{value.error.code} {value.error.message}".encode()
            return b"!%d\r\n%b\r\n" % (len(text), text)
        case Verbatim():
            return b"=%d\r\n%b:%b\r\n" % (len(value) + 4, value.format.encode(), value)
        case Streamed():
            return _streamed(value.value)
        case None:
            return NIL
        case bool():
            return b"#t\r\n" if value else b"#f\r\n"
        case int():
            return b"%b%d\r\n" % (b":" if -(1 << 63) <= value < 1 << 63 else b"(", value)
        case float():
            return b",%r\r\n" % value
        case ReplyError():
            return b"-%b %b\r\n" % (value.code.encode(), value.message.encode())
        case Simple():
            return b"+%b\r\n" % value.encode()
        case str():
            return resp(value.encode())
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case dict() | Pairs():
            return _aggregate(b"%", len(items), [item for pair in _items_of(items) for item in pair])
        case SetOf():
            return _aggregate(b"~", len(value), value)
        case PushOf():
            return _aggregate(b">", len(value), value)
        case list() | tuple():
            return _aggregate(b"*", len(items), items)
        case _:
            raise TypeError(f"no reply is made of {value!r}")


def _aggregate(kind: bytes, size: int, items: Iterable[Any]) -> bytes:
    return b"%b%d\r\n" % (kind, size) + b"".join(map(resp, items))


def _streamed(value: Any) -> bytes:
    if isinstance(value, bytes):
        pieces = [value[at : at + 3] for at in range(0, len(value), 3)]
        return b"$?\r\n" + b"".join(b";%d\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b";0\r\n\r\n"
    header, items = resp(value).split(b"\r\n", 1)
    return header[:1] + b"?\r\n" + items + b".\r\n"


def entry(id_: str, **fields: str) -> list[Any]:
    """An entry of a stream, for replies of XREAD and its kin."""
    return [id_, [item for pair in (fields or {"f": "v"}).items() for item in pair]]


class CommandReader:
    """Reads the commands of a client, from bytes in any pieces. Raises ``ValueError`` for bytes that no client sends."""

    def __init__(self) -> None:
        self._parser = Parser()

    def feed(self, data: bytes | memoryview) -> list[list[bytes]]:
        """Take in bytes, and return the commands that end in them."""
        self._parser.feed(bytes(data))
        if self._parser.error is not None:
            raise ValueError(self._parser.error)
        commands = [*self._parser.commands]
        self._parser.commands.clear()
        return commands


def commands_in(data: bytes | memoryview) -> list[list[bytes]]:
    """Parse the commands that outgoing bytes consist of."""
    return CommandReader().feed(data)
