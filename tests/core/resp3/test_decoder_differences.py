"""Where the two decoders differ: bytes that no server sends, which hiredis takes, or refuses, and the reference does not.

Each row: what is fed in one piece, the limits, and what each decoder makes of it. ``ERROR`` is a ``RemoteProtocolError``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pytest

from streamcore.errors import RemoteProtocolError
from streamcore.options import DecoderKind
from streamcore.resp3 import Limits, make_decoder
from streamcore.resp3.values import DEFAULT_LIMITS
from streamcore.testing.resp import resp
from tests.support.decoders import needs_hiredis

ERROR: Final = object()


@dataclass(frozen=True)
class Difference:
    what: str
    wire: bytes
    reference: Any
    accelerated: Any
    limits: Limits = DEFAULT_LIMITS


DEEP: Any = 1
for _ in range(200):
    DEEP = [DEEP]
LONG: Final = b"," + b"0" * 400 + b"1.5\r\n"

DIFFERENCES: Final = [
    Difference("the terminator of a bulk string is not looked at", b"$5\r\nhelloXX", [ERROR], [b"hello"]),
    Difference(
        "so what follows a wrong one is not recognized as a header", b"$1\r\naXX(12\r\n", [ERROR], [b"a", b"12"]
    ),
    Difference("booleans may be capital letters", b"#T\r\n#F\r\n", [ERROR], [True, False]),
    Difference("a set may be null", b"~-1\r\n", [ERROR], [None]),
    Difference("a double next to zero is refused", b",1e-999\r\n:1\r\n", [0.0, 1], [ERROR]),
    Difference("a double of more than 325 characters is refused", LONG, [1.5], [ERROR]),
    Difference("arrays may be nested to 1024 levels, whatever max_depth says", resp(DEEP), [ERROR], [DEEP]),
    Difference(
        "elements are counted at the first and the last header of a slice, and for maps, not over the whole reply",
        resp([[0], [1, 2, 3, 4], 5]),
        [ERROR],
        [[[0], [1, 2, 3, 4], 5]],
        Limits(elements=3 + 1 + 3),
    ),
    Difference(
        "max_bulk ends a string when 128 KiB more have come, not at its header",
        resp(b"x" * 50_000),
        [ERROR],
        [b"x" * 50_000],
        Limits(bulk=10_000),
    ),
]


def outcome(kind: DecoderKind, difference: Difference) -> list[Any]:
    decoder = make_decoder(kind, difference.limits)
    found: list[Any] = decoder.feed(difference.wire)
    if decoder.error is not None:
        assert isinstance(decoder.error, RemoteProtocolError)
        found.append(ERROR)
    return found


@needs_hiredis
@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.what)
def test_the_decoders_differ_as_the_table_says(difference: Difference) -> None:
    assert outcome("python", difference) == difference.reference
    assert outcome("hiredis", difference) == difference.accelerated
