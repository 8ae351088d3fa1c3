"""The interface of decoders, and the choice among them.

There are two, which give the same replies: ``hiredis`` (accelerated) and ``python`` (the reference, which PyPy uses).
The few inputs where they differ, none of which a server sends, stand in a table in the tests.
"""

from __future__ import annotations

from typing import Any, Protocol

from ..errors import InvalidArgument, RemoteProtocolError
from ..options import DECODERS, DecoderKind
from ._hiredis import HIREDIS, Buffer
from .hiredis_decoder import AcceleratedDecoder
from .python_decoder import ReferenceDecoder
from .values import DEFAULT_LIMITS, Limits, Reply


class Decoder(Protocol):
    """A decoder of bytes to replies, incrementally; after an ``error`` it gives no more replies.

    ``attributes`` holds the attributes of the replies that the last ``feed`` has returned, by their index in that
    list. ``unfinished`` counts the bytes that were fed since the owner last set it to 0. ``push`` is the class of the
    pushes among the replies.
    """

    error: RemoteProtocolError | None
    attributes: dict[int, Any]
    unfinished: int
    push: type[list[Any]]

    def feed(self, data: Buffer) -> list[Reply]:
        """Decode bytes; return the completed replies, in order. Never raises, and keeps no view of ``data``."""
        ...


def make_decoder(kind: DecoderKind = "auto", limits: Limits = DEFAULT_LIMITS) -> Decoder:
    """Make a decoder; ``auto`` is hiredis where it is usable. Raises ``MissingExtra`` for a missing ``hiredis``."""
    if kind not in DECODERS:
        raise InvalidArgument(f"there is no decoder {kind!r}; choose one of {', '.join(DECODERS)}")
    if kind == "python" or (kind == "auto" and HIREDIS.load() is None):
        return ReferenceDecoder(limits)
    return AcceleratedDecoder(limits)
