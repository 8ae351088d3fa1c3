"""Trimming by XADD and XTRIM: down to a length or to an id, exactly or by whole nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .arguments import LAST, ZERO, Id, Words, integer, stream_id
from .commands.deletion import REFERENCES, forget_references, is_referred_to
from .protocol import Failure
from .values import Stream
from .versions import Flavour

NODE: Final = 100
"""Entries of a node: ``~`` trims whole nodes only."""


@dataclass(slots=True)
class Trim:
    """The options MAXLEN or MINID, exact or not, and at most ``limit`` entries.

    ``references``: the treatment of the groups' references to trimmed entries (KEEPREF, DELREF, ACKED).
    """

    length: int | None = None
    least: Id | None = None
    is_exact: bool = True
    limit: int | None = None
    references: bytes | None = None

    def refer(self, word: bytes, flavour: Flavour) -> bool:
        """Parse an option about references (KEEPREF, DELREF, ACKED); return whether it is the first of them."""
        if self.references is not None or not flavour.recent or word not in REFERENCES:
            return False
        self.references = word
        return True

    def parse(self, word: bytes, options: Words) -> bool:
        """Parse an option of trimming; return whether it is any."""
        if word == b"LIMIT":
            self.limit = integer(options.take())
            if self.limit < 0:
                raise Failure("ERR The LIMIT argument must be >= 0.")
            return True
        if word not in {b"MAXLEN", b"MINID"}:
            return False
        if self.length is not None or self.least is not None:
            raise Failure("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
        if options.peek() in {b"~", b"="} and options.left > 1:
            self.is_exact = options.take() == b"="
        if word == b"MAXLEN":
            self.length = integer(options.take())
            if self.length < 0:
                raise Failure("ERR The MAXLEN argument must be >= 0.")
        else:
            self.least = stream_id(options.take())
        return True

    def check(self) -> None:
        """Raise a ``Failure`` where the options do not fit together."""
        if self.limit is not None and self.length is None and self.least is None:
            raise Failure("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
        if self.limit is not None and self.is_exact:
            raise Failure("ERR syntax error, LIMIT cannot be used without the special ~ option")

    def run(self, stream: Stream) -> int:
        """Trim a stream; return how many entries were removed."""
        if self.length is not None:
            excess = max(0, len(stream.ids) - self.length)
        else:
            least = self.least or ZERO
            excess = len(stream.ids) - len(stream.between(least))
        if not self.is_exact:
            most = self.limit or (NODE * 100 if self.limit is None else excess)
            excess = min(excess, most) // NODE * NODE
        if self.references == b"ACKED":
            return sum(stream.trim_one(id_) for id_ in self._acked(stream, excess))
        if self.references == b"DELREF":
            for id_ in stream.ids[:excess]:
                forget_references(stream, id_)
        return stream.trim(excess)

    def _acked(self, stream: Stream, most: int) -> list[Id]:
        least = self.least or LAST
        acked = [id_ for id_ in stream.ids if id_ < least and not is_referred_to(stream, id_)]
        return acked[:most]
