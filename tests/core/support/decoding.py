"""Decode bytes to replies by either decoder, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from streamcore.options import DecoderKind
from streamcore.resp3 import Limits, make_decoder

SLICE = 65536
MEGABYTE: Final = 1 << 20


def decode(kind: DecoderKind, chunks: Iterable[bytes], limits: Limits | None = None) -> list[Any]:
    """Decode chunks to replies. Raises the decoder's error."""
    decoder = make_decoder(kind, limits or Limits())
    found = [reply for chunk in chunks for reply in decoder.feed(chunk)]
    if decoder.error is not None:
        raise decoder.error
    return found
