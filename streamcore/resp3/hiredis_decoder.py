r"""hiredis where it is right, the reference decoder where it is not.

hiredis misreads, or cannot read, ``| % ! = (``, streamed values and absurd lengths. So each slice is searched for
lines that begin so: first for the bare byte, which costs next to nothing and usually ends it. A line that looks
suspicious may also lie inside a bulk string. To find that out hiredis is fed all bytes before it: if it has consumed
every byte, then a value begins here; if it holds some back, it is waiting for the rest of a string.

``Parser`` reads the value that begins here, over as many slices as it takes. Its place among hiredis' replies is kept
by an error, ``-\r\n``: hiredis lets us make the object for an error reply, and takes any, so the value itself is put
there. A map that is a reply, not a part of another, is read as an array of twice its length, and made a map when it is
complete.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..errors import MissingExtra, RemoteProtocolError, reply_error
from ._hiredis import HIREDIS
from .base import SLICE, SlicingDecoder
from .python_decoder import Parser
from .values import DEFAULT_LIMITS, Limits, Reply, make_map

_MORE: Final = object()  # never ``False``, hiredis' own default: ``#f`` is a reply
_LF: Final = 10
_PLACE: Final = b"-\r\n"

_BAR, _BANG, _EQUALS, _PAREN, _PERCENT, _GREATER, _QUESTION = b"|!=(%>?"
# Lines that hiredis must not see. A map of one pair repeats no key, and a string can be hashed; for a push of less than a hundred
# items little is allocated.
_ODD: Final = re.compile(rb"[|!=(]|%(?!0\r|1\r\n[$+])|>(?![1-9][0-9]?\r)|[$*~]\?")
# Where a byte is rare, each is searched for by itself. Else a pattern or a translation is faster.
_FEW: Final = 8
_ODD_PUSH: Final = re.compile(rb">(?!3\r|4\r)(?![1-9][0-9]?\r)(?<=\n>)")
_STREAMED: Final = re.compile(rb"\?(?<=\n[$*~]\?)")
_ALIKE: Final = bytes.maketrans(b"|!=(%", b"|||||")
# The last line of a slice, where it ends before it can be judged. A type byte alone hiredis would consume, and so no longer
# hold anything back in the middle of a line.
_CUT: Final = re.compile(rb"[*~][0-9]*\r?")
_ARRAYS: Final = frozenset(b"*~")
_COUNT: Final = re.compile(rb"[*~]([0-9]{1,18})\r\n")
_MAP: Final = re.compile(rb"%([1-9][0-9]{0,17})\r\n")


class AcceleratedDecoder(SlicingDecoder):
    """A decoder over hiredis. Raises ``MissingExtra`` where hiredis is not usable."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(limits)
        make_reader = HIREDIS.load()
        if make_reader is None:
            raise MissingExtra("the decoder 'hiredis' needs hiredis 3.5 or newer: install it, or choose 'python'")
        placed: list[Reply] = []
        errors = [0]

        def make(line: str) -> Reply:
            if placed:
                return placed.pop()
            errors[0] += 1
            return reply_error(line)

        # The hook knows nothing of the decoder: a cycle would keep a connection's buffers until the next collection.
        self._reader = make_reader(
            protocolError=RemoteProtocolError,
            replyError=make,
            notEnoughData=_MORE,
        )
        self._feed, self._gets = self._reader.feed, self._reader.gets
        self._placed = placed
        self.push = HIREDIS.push
        self._made = errors
        self._limits = limits
        self._parser = Parser(limits, HIREDIS.push)
        self._lent = False  # the parser is in the middle of a value
        self._between = True  # hiredis has no reply begun
        self._flat = False  # the reply that hiredis has begun is a map, read as an array

    def _errors(self) -> int:
        return self._made[0] + self._parser.errors

    def _held(self) -> int:
        return self._reader.len() + self._parser.held

    def _read(self, data: bytes, replies: list[Reply]) -> None:
        suspects = _suspects(data)
        if self._is_huge(data, 0):
            suspects.append(0)
        last = data.rfind(b"\n", 0, -1) + 1
        if last == len(data) - 1 or (
            data[last] in _ARRAYS and (_CUT.fullmatch(data, last) or self._is_huge(data, last))
        ):
            suspects.append(last)
        try:
            if suspects or self._lent:
                self._read_carefully(data, sorted(suspects), replies)
            else:
                self._take(data, 0, len(data), replies)
        except (TypeError, MemoryError) as error:
            raise RemoteProtocolError(f"hiredis cannot make a reply of what the server sent: {error!r}") from None
        if self._waiting > self._limits.bulk and self._reader.len() > self._limits.bulk + SLICE:
            raise RemoteProtocolError(f"a string is longer than the limit of {self._limits.bulk} bytes")

    def _read_carefully(self, data: bytes, suspects: list[int], replies: list[Reply]) -> None:
        at = self._lend(data, 0, replies) if self._lent else 0
        for suspect in suspects:
            if suspect < at:
                continue  # the parser has read it
            if at < suspect:
                self._take(data, at, suspect, replies)
                at = suspect
            if self._reader.has_data():
                continue  # it lies inside a string
            header = _MAP.match(data, at) if self._between else None
            if header is None or 2 * int(header[1]) > self._limits.elements:
                at = self._lend(data, at, replies)
            else:
                self._feed(b"*%d\r\n" % (2 * int(header[1])))
                self._gets()
                self._between, self._flat = False, True
                at = header.end()
        if at < len(data):
            self._take(data, at, len(data), replies)

    def _is_huge(self, data: bytes, at: int) -> bool:
        """Tell whether an array or a set with too many elements would begin here."""
        header = _COUNT.match(data, at)
        return header is not None and int(header[1]) > self._limits.elements

    def _lend(self, data: bytes, at: int, replies: list[Reply]) -> int:
        """Let the parser read a value, or go on with it; return where it stopped."""
        found: list[Reply] = []
        attributes: dict[int, Any] = {}
        at = self._parser.read(data, at, found, attributes, single=True)
        self._lent = not found
        if self._lent:
            return at
        if self._between:
            replies += found
            if attributes:
                self.attributes[len(replies) - 1] = attributes[0]
        else:
            self._placed += found
            before = len(replies)
            self._feed(_PLACE)
            self._drain(replies)
            self._between = len(replies) > before
        return at

    def _take(self, data: bytes, start: int, stop: int, replies: list[Reply]) -> None:
        """Let hiredis read, and find out whether it is between two replies then.

        A reply ends with its last byte. So that byte is fed alone: if a reply comes of it, nothing is begun.
        """
        if data[stop - 1] != _LF:
            self._feed(data, start, stop - start)
            self._drain(replies)
            self._between = False
        else:
            self._feed(data, start, stop - 1 - start)
            self._drain(replies)
            self._feed(data, stop - 1, 1)
            before = len(replies)
            self._drain(replies)
            self._between = len(replies) > before

    def _drain(self, replies: list[Reply]) -> None:
        """Take all replies that are complete."""
        before = len(replies)
        try:
            replies.extend(iter(self._gets, _MORE))
        finally:
            if self._flat and len(replies) > before:
                replies[before] = make_map(replies[before])
                self._flat = False


def _suspects(data: bytes) -> list[int]:
    """Find the lines that hiredis must not see, unless they lie inside a string."""
    found: list[int] = []
    # Looking for a byte as an int is ten times as fast, in short input, as for bytes.
    if not (
        (_PERCENT not in data or _find_few(data, _PERCENT, found))
        and (_EQUALS not in data or _find_few(data, _EQUALS, found))
        and (_PAREN not in data or _find_few(data, _PAREN, found))
        and (_BANG not in data or _find_few(data, _BANG, found))
        and (_BAR not in data or _find_few(data, _BAR, found))
    ):
        found.clear()
        alike = data.translate(_ALIKE)
        at = alike.find(b"\n|") + 1
        while at:
            if _ODD.match(data, at):
                found.append(at)
            at = alike.find(b"\n|", at) + 1
    if _GREATER in data and not _find_few(data, _GREATER, found):
        found += [match.start() for match in _ODD_PUSH.finditer(data)]
    if _QUESTION in data:
        found += [match.start() - 1 for match in _STREAMED.finditer(data)]
    if _ODD.match(data):
        found.append(0)
    return found


def _find_few(data: bytes, code: int, found: list[int]) -> bool:
    """Find this byte at beginnings of lines; False where there are so many that another way is faster."""
    at = data.find(code)
    for _ in range(_FEW):
        if data[at - 1] == _LF and _ODD.match(data, at):
            found.append(at)
        at = data.find(code, at + 1)
        if at < 0:
            return True
    return False
