"""Parsers of command arguments: numbers, stream ids and options, and the server's errors for malformed words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import isnan
from typing import Final, TypeAlias

from .protocol import Failure

Id: TypeAlias = tuple[int, int]
"""A stream id: milliseconds, and a sequence number."""

ZERO: Final[Id] = (0, 0)
U64: Final = (1 << 64) - 1
LAST: Final[Id] = (U64, U64)
_I64: Final = 1 << 63


def syntax_error() -> Failure:
    """The error for a word that is no option of its command."""
    return Failure("ERR syntax error")


def integer(word: bytes, error: str = "ERR value is not an integer or out of range") -> int:
    """Parse a signed 64-bit integer, as servers read it: no sign but minus, no leading zeros."""
    digits = word.removeprefix(b"-")
    if digits.isdigit() and len(word) <= 20 and (digits[:1] != b"0" or word == b"0"):
        value = int(word)
        if -_I64 <= value < _I64:
            return value
    raise Failure(error)


def floating(word: bytes, error: str = "ERR value is not a valid float") -> float:
    """Parse a double, as servers read it."""
    try:
        value = float(word)
    except ValueError:
        raise Failure(error) from None
    if isnan(value) or b"_" in word or word != word.strip():
        raise Failure(error)
    return value


def invalid_id() -> Failure:
    """The error for a malformed stream id."""
    return Failure("ERR Invalid stream ID specified as stream command argument")


def stream_id(word: bytes, seq: int = 0) -> Id:
    """Parse ``ms-seq``, or ``ms`` with the given sequence number."""
    ms, dash, rest = word.partition(b"-")
    if not ms.isdigit() or (dash and not rest.isdigit()) or len(ms) > 20 or len(rest) > 20:
        raise invalid_id()
    found = (int(ms), int(rest) if dash else seq)
    if max(found) > U64:
        raise invalid_id()
    return found


def lower_bound(word: bytes) -> Id:
    """Parse the first id of a range: ``-``, an id, or ``(`` and an id that is excluded."""
    if word == b"-":
        return ZERO
    if word == b"+":
        return LAST
    if word[:1] != b"(":
        return stream_id(word)
    ms, seq = stream_id(word[1:])
    if (ms, seq) == LAST:
        raise Failure("ERR invalid start ID for the interval")
    return (ms, seq + 1) if seq < U64 else (ms + 1, 0)


def upper_bound(word: bytes) -> Id:
    """Parse the last id of a range: ``+``, an id, or ``(`` and an id that is excluded."""
    if word == b"+":
        return LAST
    if word == b"-":
        return ZERO
    if word[:1] != b"(":
        return stream_id(word, U64)
    ms, seq = stream_id(word[1:], U64 if b"-" not in word else 0)
    if (ms, seq) == ZERO:
        raise Failure("ERR invalid end ID for the interval")
    return (ms, seq - 1) if seq else (ms - 1, U64)


def text(id_: Id) -> bytes:
    """Format an id as servers write it."""
    return b"%d-%d" % id_


@lru_cache(maxsize=256)
def glob(pattern: bytes) -> Callable[[bytes], object]:
    """Compile a pattern to the function that matches names, as servers do: ``*``, ``?``, ``[a-z]``, ``[^a]``, backslashes."""
    parts = re.findall(rb"\\(?s:.)|\[\^?[^]]*\]?|(?s:.)", pattern)
    regex = b"".join(_part(part) for part in parts)
    return re.compile(regex, re.DOTALL).fullmatch


def _part(part: bytes) -> bytes:
    if part == b"*":
        return b".*"
    if part == b"?":
        return b"."
    if part[:1] == b"[" and len(part) > 1:
        negated = part[1:2] == b"^"
        inner = part[1 + negated :].removesuffix(b"]").replace(b"\\", b"\\\\").replace(b"[", b"\\[")
        return b"[%b%b]" % (b"^" if negated else b"", inner) if inner else b"(?!)"
    return re.escape(part[1:] if part[:1] == b"\\" and len(part) > 1 else part)


class Words:
    """The arguments of a command, taken from left to right."""

    def __init__(self, args: list[bytes], at: int = 0) -> None:
        self._args = args
        self.at = at

    def __iter__(self) -> Iterator[bytes]:
        """Take the word of the next option, in capitals, as long as there are words."""
        while self.at < len(self._args):
            self.at += 1
            yield self._args[self.at - 1].upper()

    @property
    def left(self) -> int:
        """How many arguments are left."""
        return len(self._args) - self.at

    def take(self) -> bytes:
        """Take the next argument, the value of an option. Raises a syntax error where it is missing."""
        if not self.left:
            raise syntax_error()
        self.at += 1
        return self._args[self.at - 1]

    def peek(self) -> bytes:
        """The next argument in capitals, without taking it; empty at the end."""
        return self._args[self.at].upper() if self.left else b""

    def rest(self) -> list[bytes]:
        """Take all arguments that are left."""
        rest, self.at = self._args[self.at :], len(self._args)
        return rest
