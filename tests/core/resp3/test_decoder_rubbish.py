"""Bytes that are not RESP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import RemoteProtocolError
from streamcore.options import DecoderKind
from streamcore.resp3 import make_decoder
from tests.core.support import strategies as own
from tests.core.support.decoding import decode
from tests.core.support.strategies import byte_by_byte, pieces, plain
from tests.support.decoders import both

# Hypothesis keeps what it drew as keys of dicts, and b"" has the hash of 0: ``python -bb`` takes that for a mistake.
pytestmark = pytest.mark.filterwarnings("ignore:Comparison between bytes:BytesWarning")

RUBBISH = [
    b"HTTP/1.1 400 Bad Request\r\n",
    b"\r\n",
    b"\x16\x03\x01\r\n",
    b"+a\rb\r\n",
    b"+a\nb\r\n",
    b"-a\nb\r\n",
    b":1x\r\n",
    b":+1\r\n",
    b":01\r\n",
    b":-0\r\n",
    b": 1\r\n",
    b":1_0\r\n",
    b":\r\n",
    b":9223372036854775808\r\n",
    b":-9223372036854775809\r\n",
    b":" + b"1" * 30 + b"\r\n",
    b"(1x\r\n",
    b"(+1\r\n",
    b"(\r\n",
    b"(" + b"1" * 4301 + b"\r\n",
    b",1e999\r\n",
    b",+1.5\r\n",
    b",infinity\r\n",
    b",0x1p3\r\n",
    b",1_0.5\r\n",
    b",\r\n",
    b",.\r\n",
    b"#\r\n",
    b"#yes\r\n",
    b"_x\r\n",
    b"*-2\r\n",
    b"*+1\r\n",
    b"*01\r\n",
    b"*4294967295\r\n",
    b"*" + b"9" * 30 + b"\r\n",
    b"$-7\r\n",
    b"$x\r\n",
    b"%-1\r\n",
    b"~-2\r\n",
    b">-1\r\n",
    b">0\r\n",
    b">?\r\n.\r\n",
    b"|-1\r\n",
    b"=-1\r\n",
    b"=3\r\ntxt\r\n",
    b"=5\r\ntxtab\r\n",
    b"!-1\r\n",
    b"!?\r\n",
    b"!3\r\nERRxx",
    b"$?\r\n$1\r\na\r\n",
    b"$?\r\n*1\r\n:1\r\n",
    b"$?\r\n;?\r\n",
    b"$?\r\n;1\r\nab\r\n",
    b";1\r\na\r\n",
    b".\r\n",
    b"*?\r\n.x\r\n",
    b"*1\r\n.\r\n",
    b"%?\r\n:1\r\n.\r\n",
    b"|?\r\n:1\r\n.\r\n",
]


@both
@pytest.mark.parametrize("wire", RUBBISH)
@pytest.mark.parametrize("before", [b"", b"+OK\r\n"])
def test_rubbish_is_an_error_after_what_came_before_it(kind: DecoderKind, wire: bytes, before: bytes) -> None:
    for chunks in ([before + wire], [before, wire], list(byte_by_byte(before + wire))):
        decoder = make_decoder(kind)
        found = [reply for chunk in chunks for reply in decoder.feed(chunk)]
        assert found == ([b"OK"] if before else [])
        assert isinstance(decoder.error, RemoteProtocolError)
        assert decoder.feed(b"+OK\r\n") == []  # and it stays one


@both
def test_what_came_before_rubbish_is_whole(kind: DecoderKind) -> None:
    for before in (b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n", b"*1\r\n(5\r\n", b"|1\r\n:1\r\n:2\r\n:3\r\n"):
        [expected] = decode(kind, [before])
        decoder = make_decoder(kind)
        assert decoder.feed(before + b":rubbish\r\n") == [expected]
        assert decoder.error is not None


@both
@given(st.binary(max_size=200), own.cuts)
def test_no_exception_comes_of_any_bytes(kind: DecoderKind, data: bytes, cuts: list[int]) -> None:
    for chunks in ([data], byte_by_byte(data), pieces(data, cuts)):
        decoder = make_decoder(kind)
        for chunk in chunks:
            decoder.feed(chunk)
        assert decoder.error is None or isinstance(decoder.error, RemoteProtocolError)


@given(st.lists(st.sampled_from([b"$3\r\nabc\r\n", b"*2\r\n", b"%1\r\n", b"|1\r\n", b"$?\r\n", b";1\r\na\r\n", b";0\r\n\r\n", b".\r\n",
                                 b"*?\r\n", b":1\r\n", b"\n", b"\r", b"+", b"-1"])).map(b"".join), own.cuts)  # fmt: skip
def test_the_reference_judges_alike_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    results = []
    for chunks in ([data], byte_by_byte(data), pieces(data, cuts)):
        decoder = make_decoder("python")
        found = [reply for chunk in chunks for reply in decoder.feed(chunk)]
        results.append((plain(found), repr(decoder.error)))
    assert results[0] == results[1] == results[2]
