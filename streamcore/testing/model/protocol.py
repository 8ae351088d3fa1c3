"""RESP from the server's side: commands come in, replies go out in RESP2 or RESP3.

A reply is a Python value: ``bytes`` a bulk string, ``int``, ``float`` a double, ``list`` an array, ``dict`` a map, ``None`` a
null; the classes below stand for the types that Python lacks. A ``Failure`` is raised by commands, and is an error reply.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Final, TypeAlias

Reply: TypeAlias = Any

MAX_INLINE: Final = 64 * 1024
MAX_BULK: Final = 512 << 20
MAX_ARGUMENTS: Final = 1 << 20


class Failure(Exception):
    """An error reply; its text begins with its word, such as ``WRONGTYPE``."""


class Denied(Failure):
    """The user may not run ``command``, such as ``get`` or ``xinfo|stream``."""

    def __init__(self, command: str) -> None:
        super().__init__(f"NOPERM User default has no permissions to run the '{command}' command")
        self.command = command


class Simple(bytes):
    """A simple string."""


class Verbatim(bytes):
    """A text for people; RESP2 has it as a bulk string."""


class Push(list[Any]):
    """An array that no command has asked for, such as a message; a push in RESP3, an array in RESP2."""


class Pairs(list[tuple[bytes, Any]]):
    """A map whose keys may repeat, as XREAD answers; RESP2 has it as an array of pairs, or null where it is empty."""


class NullArray:
    """The null of commands that answer arrays; RESP2 distinguishes it."""


OK: Final = Simple(b"OK")
QUEUED: Final = Simple(b"QUEUED")
PONG: Final = Simple(b"PONG")
NULL_ARRAY: Final = NullArray()
NOTHING: Final = object()
"""Instead of a reply: there is none, or it is written already."""


# The usual form of commands; any other is parsed line by line.
_HEAD: Final = re.compile(rb"\*([1-9][0-9]{0,5})\r\n")
_WORD: Final = re.compile(rb"\$([0-9]{1,8})\r\n")


class Parser:
    """Bytes to commands. ``error`` is set where the bytes are none, and the session ends."""

    def __init__(self) -> None:
        self.commands: deque[list[bytes]] = deque()
        self.error: str | None = None
        self._buffer = b""
        self._words: list[bytes] = []
        self._missing = 0  # words of the command that is being read
        self._length = -1  # of the word that is being read, where known

    def feed(self, data: bytes) -> None:
        """Take in bytes; finished commands are appended to ``commands``."""
        buffer, at = self._buffer + data if self._buffer else bytes(data), 0
        size = len(buffer)
        while self.error is None:
            if self._length < 0 and (plain := (_WORD if self._missing else _HEAD).match(buffer, at)):
                at, number = plain.end(), int(plain[1])
                if self._missing:
                    self._length = number
                else:
                    self._missing = number
            if self._length >= 0:
                if size - at < self._length + 2:
                    break
                self._words.append(buffer[at : at + self._length])
                at += self._length + 2
                self._length = -1
                self._missing -= 1
                if not self._missing:
                    self.commands.append(self._words)
                    self._words = []
                continue
            end = buffer.find(b"\n", at)
            if end < 0:
                if size - at > MAX_INLINE:
                    self.error = "ERR Protocol error: too big inline request"
                break
            self._line(buffer[at:end].removesuffix(b"\r"))
            at = end + 1
        self._buffer = buffer[at:]

    def _line(self, line: bytes) -> None:
        if self._missing:
            if line[:1] != b"$":
                self.error = f"ERR Protocol error: expected '$', got '{line[:1].decode('latin-1')}'"
            elif not line[1:].isdigit() or int(line[1:]) > MAX_BULK:
                self.error = "ERR Protocol error: invalid bulk length"
            else:
                self._length = int(line[1:])
        elif line[:1] == b"*":
            count = line[1:]
            if not count.removeprefix(b"-").isdigit() or int(count) > MAX_ARGUMENTS:
                self.error = "ERR Protocol error: invalid multibulk length"
            else:
                self._missing = max(0, int(count))
        elif words := line.split():
            self.commands.append(words)


def encode(reply: Reply, out: list[bytes], protocol: int) -> None:
    """Append the bytes of a reply, in RESP2 or RESP3."""
    kind = type(reply)
    if kind is bytes:
        out.append(b"$%d\r\n%b\r\n" % (len(reply), reply))
    elif kind is int:
        out.append(b":%d\r\n" % reply)
    elif kind is list:
        out.append(b"*%d\r\n" % len(reply))
        for one in reply:
            encode(one, out, protocol)
    elif reply is None:
        out.append(b"_\r\n" if protocol == 3 else b"$-1\r\n")
    else:
        _encode_other(reply, out, protocol)


def _encode_other(reply: Reply, out: list[bytes], protocol: int) -> None:
    if isinstance(reply, Simple):
        out.append(b"+%b\r\n" % reply)
    elif isinstance(reply, Failure):
        out.append(b"-%b\r\n" % str(reply).replace("\r", " ").replace("\n", " ").encode())
    elif isinstance(reply, NullArray):
        out.append(b"_\r\n" if protocol == 3 else b"*-1\r\n")
    elif isinstance(reply, Verbatim):
        head = b"=%d\r\ntxt:" % (len(reply) + 4) if protocol == 3 else b"$%d\r\n" % len(reply)
        out.append(head + reply + b"\r\n")
    elif isinstance(reply, float):
        text = number(reply)
        out.append(b",%b\r\n" % text if protocol == 3 else b"$%d\r\n%b\r\n" % (len(text), text))
    elif isinstance(reply, Pairs):
        out.append((b"%%%d\r\n" if protocol == 3 else b"*%d\r\n") % len(reply))
        for key, value in reply:
            if protocol == 2:
                out.append(b"*2\r\n")
            encode(key, out, protocol)
            encode(value, out, protocol)
    elif isinstance(reply, dict):
        out.append(b"%%%d\r\n" % len(reply) if protocol == 3 else b"*%d\r\n" % (2 * len(reply)))
        for key, value in reply.items():
            encode(key, out, protocol)
            encode(value, out, protocol)
    else:  # a push, or a set
        word = b"*" if protocol == 2 else b">" if isinstance(reply, Push) else b"~"
        out.append(b"%b%d\r\n" % (word, len(reply)))
        for one in sorted(reply) if isinstance(reply, set) else reply:
            encode(one, out, protocol)


def number(value: float) -> bytes:
    """A double as servers write it: 3, 3.5, inf."""
    if value == int(value) if abs(value) < 1e17 else False:
        return b"%d" % int(value)
    return repr(value).encode()
