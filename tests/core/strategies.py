"""What Hypothesis draws for the core: replies of a server, and the ways in which a network cuts bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from streamcore.errors import ReplyError
from tests.core.pair import Simple

words = st.text("ABCDEFGHIJ", min_size=1, max_size=8)
texts = st.text("abc def", max_size=12)
errors = st.builds(ReplyError, words, texts)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | st.builds(Simple, texts)
    | errors
)
replies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner, max_size=4),
    max_leaves=10,
)
cuts = st.lists(st.integers(0, 1 << 16), max_size=8)
"""Where to cut; ``pieces`` takes them modulo the length of the data."""


def pieces(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """``data`` in pieces, some of which may be empty."""
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(data)], strict=True):
        yield data[start:end]


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]


def plain(reply: Any) -> Any:
    """A reply as something that can be compared: errors by their text, all text as bytes."""
    match reply:
        case ReplyError():
            return ("error", reply.code, reply.message)
        case str():
            return reply.encode()
        case dict():
            return {plain(key): plain(value) for key, value in reply.items()}
        case list() | tuple():
            return [plain(item) for item in reply]
        case _:
            return reply
