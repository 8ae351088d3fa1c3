"""The id of an entry, as the server writes it and as the application gives it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .errors import InvalidArgument
from .sense import senseless

_U64: Final = (1 << 64) - 1
_DIGITS: Final = len(str(_U64))


class StreamId(NamedTuple):
    """The id of an entry: milliseconds, and a sequence number within them. Orders like the server orders."""

    ms: int
    seq: int = 0

    @classmethod
    def parse(cls, text: bytes | str) -> StreamId:
        """Parse ``1526919030474-55``, or ``1526919030474`` for ``...-0``. Raises ``InvalidArgument``."""
        digits: Any = text.encode("ascii", "replace") if isinstance(text, str) else text
        if isinstance(digits, bytes):
            ms, dash, seq = digits.partition(b"-")
            if ms.isdigit() and (seq.isdigit() or not dash) and len(ms) <= _DIGITS >= len(seq):
                parsed = cls(int(ms), int(seq or 0))
                if len(ms) < _DIGITS > len(seq) or max(parsed) <= _U64:
                    return parsed
        raise InvalidArgument(f"{text!r} is not a stream id; ids look like 1526919030474-55 or 1526919030474")

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    def __bytes__(self) -> bytes:
        return b"%d-%d" % self

    def before(self) -> StreamId:
        """The largest id below this id; ``0-0`` stays."""
        if self.seq:
            return StreamId(self.ms, self.seq - 1)
        return StreamId(self.ms - 1, _U64) if self.ms else self

    @classmethod
    def told(cls, word: object) -> StreamId:
        """Parse an id that a server has sent. Raises ``RemoteProtocolError``."""
        try:
            if isinstance(word, bytes):
                return cls.parse(word)
        except InvalidArgument:
            pass
        raise senseless("the id of an entry")


ZERO: Final = StreamId(0, 0)
"""Below the id of every entry."""
