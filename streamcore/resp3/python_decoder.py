"""The reference decoder: all of RESP2 and RESP3, in Python, and the judge of correctness.

``Parser`` reads as far as the bytes go. Its state is a stack of open aggregates, each ``(kind, items, left)``: the
type byte, the items so far, and how many are still to come. At the bottom lies ``_TOP``, whose items are the replies.
A cut item waits in ``_tail``, in the pieces in which it came, and is not looked at again before it can be whole: when
``_need`` bytes are there or, for a line, its end. So the time is linear in the bytes, however they are cut.

Strict: lengths, integers and terminators are exactly as the specification writes them, or the bytes are not RESP.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any, Final

from ..errors import RemoteProtocolError, ReplyError, reply_error
from .base import SlicingDecoder
from .values import DEFAULT_LIMITS, Limits, Push, Reply, Verbatim, make_map

CRLF: Final = b"\r\n"
_BULK, _BLOB_ERROR, _VERBATIM, _CHUNK = b"$!=;"
_ARRAY, _SET, _MAP, _PUSH, _ATTRIBUTE, _END = b"*~%>|."
_ERROR: Final = ord("-")
_TOP: Final = 0
_CHUNKED: Final = 1  # a streamed string that is complete
_STREAMED: Final = 256  # added to the kind of an aggregate whose length is not known

# Most replies are short bulk strings: one look has checked and converted such a line.
_BULKS: Final = {b"$%d" % length: length for length in range(512)}
_SMALL: Final = {b"%d" % number: number for number in range(512)}
_MOST_DIGITS: Final = 4300  # CPython refuses to convert longer ones: the time would be quadratic
_DOUBLE: Final = re.compile(rb"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE: Final = frozenset({b"inf", b"-inf", b"nan", b"-nan"})


# -- the values on a line --------------------------------------------------------------------------------------------


def _simple(line: bytes) -> bytes:
    if b"\r" in line or b"\n" in line:
        raise RemoteProtocolError("a simple string or error contains a line break")
    return line


def _error(line: bytes) -> ReplyError:
    return reply_error(_simple(line).decode("utf-8", "replace"))


def _number(line: bytes, most_digits: int = 20) -> int:
    # Python takes "+5", " 5" and "1_0" as well; only the form that it writes itself is in the specification.
    if len(line) <= most_digits:
        try:
            number = int(line)
        except ValueError:
            pass
        else:
            if b"%d" % number == line:
                return number
    raise RemoteProtocolError("an integer or a length is malformed")


def _integer(line: bytes) -> int:
    number = _number(line)
    if -(1 << 63) <= number < 1 << 63:
        return number
    raise RemoteProtocolError("an integer has more than 64 bits; only a big number may")


def _big_number(line: bytes) -> int:
    return _number(line, _MOST_DIGITS)


def _double(line: bytes) -> float:
    if _DOUBLE.fullmatch(line) and isfinite(number := float(line)):
        return number
    if line.lower() in _NOT_FINITE:
        return float(line)
    raise RemoteProtocolError("a double is malformed, or too large")


def _boolean(line: bytes) -> bool:
    if line in (b"t", b"f"):
        return line == b"t"
    raise RemoteProtocolError("a boolean is neither t nor f")


def _null(line: bytes) -> None:
    if line:
        raise RemoteProtocolError("a null has a value")


_LINES: Final[dict[int, Callable[[bytes], Reply]]] = {
    ord("+"): _simple,
    ord("-"): _error,
    ord(":"): _integer,
    ord("("): _big_number,
    ord(","): _double,
    ord("#"): _boolean,
    ord("_"): _null,
}


# -- strings and aggregates --------------------------------------------------------------------------------------------


def _blob_error(payload: bytes) -> ReplyError:
    return reply_error(payload.decode("utf-8", "replace"))


def _verbatim(payload: bytes) -> Verbatim:
    if payload[3:4] != b":":
        raise RemoteProtocolError("a verbatim string does not begin with its format")
    return Verbatim(payload[4:], payload[:3].decode("ascii", "replace"))


def _array(items: list[Any]) -> list[Any]:
    return items


def _push(push: type[list[Any]], items: list[Any]) -> list[Any]:
    if not items:
        raise RemoteProtocolError("a push does not say of which kind it is")
    return push(items)


def _not_a_chunk(_: list[Any]) -> Reply:
    raise RemoteProtocolError("a streamed string consists of something else than chunks")


def _too_many(_: list[Any]) -> Reply:
    raise RemoteProtocolError("a streamed reply has more elements than the limit")


_STRINGS: Final[dict[int, Callable[[bytes], Reply]]] = {_BLOB_ERROR: _blob_error, _VERBATIM: _verbatim, _CHUNK: bytes}
_AGGREGATES: Final[dict[int, Callable[[list[Any]], Reply]]] = {
    _ARRAY: _array,
    _SET: _array,
    _MAP: make_map,
    _PUSH: partial(_push, Push),
    _ATTRIBUTE: _array,
}
# The value made of the items when none is left to come.
_CLOSE: Final[dict[int, Callable[[list[Any]], Reply]]] = {
    **_AGGREGATES,
    **dict.fromkeys([kind + _STREAMED for kind in _AGGREGATES], _too_many),
    _CHUNK: _not_a_chunk,
    _CHUNKED: b"".join,
}
_PAIRED: Final = frozenset({_MAP, _ATTRIBUTE})
_TYPES: Final = frozenset(b"+-:(,#_$!=;*~%>|.")
_NULL, _UNKNOWN = -1, -2


def _unknown(code: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"0x{code:02x} is not the type of any reply: is this a Redis or Valkey server?")


def _length(code: int, line: bytes) -> int:
    """Parse a length: a number, ``_NULL``, or ``_UNKNOWN`` for that of a streamed value."""
    number = _SMALL.get(line)
    if number is not None:
        return number
    if line == b"?" and (code == _BULK or code in _AGGREGATES):
        return _UNKNOWN
    number = _number(line)
    if number >= 0 or (number == _NULL and code in (_BULK, _ARRAY)):
        return number
    raise RemoteProtocolError("a length is negative")


class Parser:
    """A parser of values out of bytes; ``push`` is the class of pushes. After an error it is of no further use."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, push: type[list[Any]] = Push) -> None:
        self._limits = limits
        self._close: dict[int, Callable[[list[Any]], Reply]] = {**_CLOSE, _PUSH: partial(_push, push)}
        self._bulks = _BULKS if limits.bulk >= len(_BULKS) else {}
        self._stack: list[tuple[int, list[Any], int]] = []
        self._kind = _TOP
        self._items: list[Any] = []
        self._left = 1
        self._elements = 0  # declared so far by the reply that is being read
        self._chunked = 0  # bytes so far of the streamed string that is being read
        self._attributes: list[Any] = []  # keys and values that belong to the next reply
        self._tail: list[bytes] = []
        self._have = 0
        self._need = 0  # 0: the end of a line
        self.errors = 0  # so far

    @property
    def held(self) -> int:
        """Count the bytes that wait for the rest of a cut item."""
        return self._have if self._tail else 0

    def read(
        self, data: bytes, at: int, replies: list[Reply], attributes: dict[int, Any], *, single: bool = False
    ) -> int:
        """Read ``data`` from ``at`` on; add complete replies to ``replies``, and their attributes by index.

        A cut item is continued at the beginning of the next ``data``. Returns where to go on: behind ``data`` or, with
        ``single``, behind the first reply. Raises ``RemoteProtocolError``.
        """
        size = len(data)
        if self._tail:
            last = self._tail[-1]
            self._tail.append(data)
            self._have += len(data)
            if self._need:
                if self._have < self._need:
                    return size
            elif CRLF not in data and not (last.endswith(b"\r") and data.startswith(b"\n")):
                return size
            data = b"".join(self._tail)
            self._tail.clear()
        stop = self._parse(data, at, replies, attributes, single)
        if stop < len(data) and not (single and replies):
            self._tail.append(data[stop:])
            self._have = len(data) - stop
            stop = len(data)
        return size - (len(data) - stop)

    def _parse(self, data: bytes, at: int, replies: list[Reply], attributes: dict[int, Any], single: bool) -> int:
        """Read whole items; return where the first cut item begins."""
        size, find, bulks, stack, longest = len(data), data.find, self._bulks, self._stack, self._limits.bulk
        kind, items, left = self._kind, self._items, self._left
        if kind == _TOP:
            items = replies
        while at < size:
            end = find(CRLF, at)
            if end < 0:
                if data[at] not in _TYPES:
                    raise _unknown(data[at])
                self._need = 0
                break
            line = data[at:end]
            code, length = _BULK, bulks.get(line)
            if length is None:
                code, line = data[at], line[1:]
                if code == _BULK or code in _STRINGS:
                    if code == _CHUNK and kind != _CHUNK:
                        raise RemoteProtocolError("a chunk stands outside of a streamed string")
                    length = _length(code, line)
                    if length > longest:
                        raise RemoteProtocolError(f"a string is longer than the limit of {longest} bytes")

            # Each branch either adds a value, or opens an aggregate, or ends an aggregate that did not know its length.
            if length is not None and length >= 0:
                start = end + 2
                end = start + length
                if size < end + 2:
                    self._need = end + 2 - at
                    break
                if data[end] != 13 or data[end + 1] != 10:
                    raise RemoteProtocolError("a string does not end where its length says")
                if code == _BULK:
                    items.append(data[start:end])
                    left -= 1
                elif code != _CHUNK:
                    items.append(_STRINGS[code](data[start:end]))
                    left -= 1
                    self.errors += code == _BLOB_ERROR
                elif length:
                    items.append(data[start:end])
                    self._chunked += length
                    if self._chunked > longest:
                        raise RemoteProtocolError(f"a string is longer than the limit of {longest} bytes")
                else:
                    kind, left = _CHUNKED, 0
            elif length == _NULL:
                items.append(None)
                left -= 1
            elif length == _UNKNOWN:
                self._push(kind, items, left, 0)
                kind, items, left, self._chunked = _CHUNK, [], 1, 0
            elif code in _AGGREGATES:
                count = _length(code, line)
                if count >= 0:
                    if code in _PAIRED:
                        count *= 2
                    self._push(kind, items, left, count)
                    kind, items, left = code, [], count
                elif count == _NULL:
                    items.append(None)
                    left -= 1
                else:
                    self._push(kind, items, left, 0)
                    kind, items, left = code + _STREAMED, [], self._limits.elements - self._elements + 1
            elif code in _LINES:
                items.append(_LINES[code](line))
                left -= 1
                if code == _ERROR:
                    self.errors += 1
            elif code == _END:
                kind -= _STREAMED
                if kind not in _AGGREGATES or line or (kind in _PAIRED and len(items) % 2):
                    raise RemoteProtocolError("the end of a streamed reply stands where there is none")
                self._elements += len(items)
                left = 0
            else:
                raise _unknown(code)
            at = end + 2

            while not left:
                if kind == _TOP:
                    left, self._elements = 1, 0
                    if self._attributes:
                        attributes[len(replies) - 1] = make_map(self._attributes)
                        self._attributes = []
                    if single:
                        self._kind, self._left = kind, left
                        return at
                    break
                closed, inner = kind, items
                kind, items, left = stack.pop()
                if kind == _TOP:
                    items = replies
                if closed == _ATTRIBUTE:
                    if kind == _TOP:
                        self._attributes += inner
                    break  # it is no element: the next value is
                items.append(self._close[closed](inner))
                left -= 1
        self._kind, self._items, self._left = kind, items, left
        return at

    def _push(self, kind: int, items: list[Any], left: int, declared: int) -> None:
        """Open an aggregate of so many elements, inside the present aggregate."""
        self._elements += declared
        if self._elements > self._limits.elements:
            raise RemoteProtocolError(f"a reply has more than the limit of {self._limits.elements} elements")
        if len(self._stack) == self._limits.depth:
            raise RemoteProtocolError(f"a reply is nested deeper than the limit of {self._limits.depth} levels")
        self._stack.append((kind, items, left))


class ReferenceDecoder(SlicingDecoder):
    """A decoder in Python alone, without exception and without hurry."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(limits)
        self._parser = Parser(limits)

    def _errors(self) -> int:
        return self._parser.errors

    def _held(self) -> int:
        return self._parser.held

    def _read(self, data: bytes, replies: list[Reply]) -> None:
        self._parser.read(data, 0, replies, self.attributes)
