"""Hypothesis strategies of the core: replies of a server, and cuts of bytes by a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from streamcore.errors import ReplyError
from streamcore.resp3 import Pairs, Verbatim, make_decoder
from streamcore.testing.resp import Attributed, Blob, PushOf, SetOf, Simple, Streamed

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
# All of RESP3. Payloads look like headers now and then, and a server may send what no server does.
_payloads = st.binary(max_size=20) | st.lists(
    st.sampled_from([b"\r\n", b"\n", b"|1", b"%2", b"!3", b"=5", b"(", b">100", b"$?", b"*?", b"*9999999999", b"x"]),
    max_size=6,
).map(b"".join)
_all_scalars = (
    scalars
    | _payloads
    | st.integers(-(1 << 200), 1 << 200)
    | st.builds(Verbatim, _payloads, st.sampled_from(["txt", "mkd"]))
    | st.builds(Blob, st.builds(ReplyError, words, st.text("abc\r\n", max_size=12)))
    | st.builds(Streamed, _payloads)
)


def _maps(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys: st.SearchStrategy[Any] = st.sampled_from([b"a", b"b", 1, True, 1.0, None, [], {}]) | inner
    return st.lists(st.tuples(keys, inner), max_size=4).map(Pairs) | st.dictionaries(
        st.binary(max_size=8), inner, max_size=4
    )


def _aggregates(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=4)
    known = lists | lists.map(SetOf) | st.lists(inner, min_size=1, max_size=4).map(PushOf) | _maps(inner)
    return known | known.map(Streamed) | st.builds(Attributed, _maps(inner), inner)


all_replies = st.recursive(_all_scalars, _aggregates, max_leaves=12)
"""Values for ``resp`` of every type, of which ``plain`` tells what is to be read."""

_PUSHES = {PushOf, make_decoder("python").push, make_decoder().push}

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
    """A reply as a value that can be compared: errors by their text, all text as bytes."""
    match reply:
        case ReplyError():
            return ("error", reply.code, reply.message)
        case Attributed() | Streamed():
            return plain(reply.value)
        case Blob():
            return plain(reply.error)
        case Verbatim():
            return ("verbatim", reply.format, bytes(reply))
        case str():
            return reply.encode()
        case bool() | float():
            return (type(reply).__name__, reply)
        case dict():
            return ("map", [(plain(key), plain(value)) for key, value in reply.items()])
        case Pairs():
            return ("map", [(plain(key), plain(value)) for key, value in reply])
        case _ if type(reply) in _PUSHES:
            return ("push", [plain(item) for item in reply])
        case list() | tuple():
            return [plain(item) for item in reply]
        case _:
            return reply
