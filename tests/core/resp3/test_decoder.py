from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import InvalidArgument, NoGroupError, ReplyError
from streamcore.options import DecoderKind
from streamcore.resp3 import Decoder, Pairs, Push, Verbatim, make_decoder
from streamcore.testing.resp import resp
from tests.core.support import strategies as own
from tests.core.support.decoding import decode
from tests.core.support.strategies import byte_by_byte, pieces, plain
from tests.support.decoders import both, needs_hiredis

# Hypothesis keeps what it drew as keys of dicts, and b"" has the hash of 0: ``python -bb`` takes that for a mistake.
pytestmark = pytest.mark.filterwarnings("ignore:Comparison between bytes:BytesWarning")


def ways_to_cut(wire: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and at each place into two."""
    yield [wire]
    yield list(byte_by_byte(wire))
    for at in range(1, len(wire)):
        yield [wire[:at], wire[at:]]


VALUES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b"+\r\n", b""),
    (b"$5\r\nhello\r\n", b"hello"),
    (b"$0\r\n\r\n", b""),
    (b"$4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
    (b":-42\r\n", -42),
    (b":9223372036854775807\r\n", (1 << 63) - 1),
    (b",1.5\r\n", 1.5),
    (b",-.5e-3\r\n", -0.0005),
    (b",5.\r\n", 5.0),
    (b",inf\r\n", math.inf),
    (b",-INF\r\n", -math.inf),
    (b"#t\r\n", True),
    (b"#f\r\n", False),
    (b"_\r\n", None),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"(12345678901234567890123\r\n", 12345678901234567890123),
    (b"(-7\r\n", -7),
    (b"=7\r\ntxt:abc\r\n", Verbatim(b"abc", "txt")),
    (b"=4\r\nmkd:\r\n", Verbatim(b"", "mkd")),
    (b"*2\r\n:1\r\n*0\r\n", [1, []]),
    (b"%0\r\n", {}),
    (b"%1\r\n+k\r\n:1\r\n", {b"k": 1}),
    (b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n", {b"a": 1, b"b": 2}),
    (b"%2\r\n+a\r\n:1\r\n+a\r\n:2\r\n", Pairs([(b"a", 1), (b"a", 2)])),
    (b"%3\r\n+a\r\n:1\r\n+b\r\n:2\r\n+a\r\n:3\r\n", Pairs([(b"a", 1), (b"b", 2), (b"a", 3)])),
    (b"%2\r\n:1\r\n+x\r\n#t\r\n+y\r\n", Pairs([(1, b"x"), (True, b"y")])),
    (b"%1\r\n*0\r\n:1\r\n", Pairs([([], 1)])),
    (b"*1\r\n%2\r\n%0\r\n:1\r\n+x\r\n:2\r\n", [Pairs([({}, 1), (b"x", 2)])]),
    (b"~2\r\n:1\r\n:1\r\n", [1, 1]),
    (b"*2\r\n>1\r\n+x\r\n:1\r\n", [Push([b"x"]), 1]),
    (b">2\r\n+message\r\n:1\r\n", Push([b"message", 1])),
    (b">100\r\n" + b":7\r\n" * 100, Push([7] * 100)),
    (b"$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n\r\n", b"Hello"),
    (b"$?\r\n;0\r\n\r\n", b""),
    (b"*?\r\n:1\r\n*?\r\n.\r\n:3\r\n.\r\n", [1, [], 3]),
    (b"~?\r\n:1\r\n.\r\n", [1]),
    (b"%?\r\n+a\r\n:1\r\n.\r\n", {b"a": 1}),
    (b">?\r\n+a\r\n.\r\n", Push([b"a"])),
    (b"*2\r\n|1\r\n+ttl\r\n:5\r\n:1\r\n:2\r\n", [1, 2]),
    (b"*1\r\n%1\r\n|1\r\n+x\r\n:9\r\n+k\r\n|0\r\n:1\r\n", [{b"k": 1}]),
    (b"*1\r\n|?\r\n+x\r\n:9\r\n.\r\n:1\r\n", [1]),
    (b"*2\r\n!5\r\nERR x\r\n(5\r\n", [ReplyError("ERR", "x"), 5]),
    (b"%1\r\n!5\r\nERR x\r\n:1\r\n", {ReplyError("ERR", "x"): 1}),
    (b"%2\r\n+s\r\n*1\r\n*2\r\n+1-0\r\n%2\r\n+f\r\n(1\r\n+g\r\n=5\r\ntxt:a\r\n+t\r\n_\r\n",
     {b"s": [[b"1-0", {b"f": 1, b"g": Verbatim(b"a", "txt")}]], b"t": None}),
]  # fmt: skip


@both
@pytest.mark.parametrize(("wire", "value"), VALUES)
def test_each_reply_has_one_value_however_it_is_cut(kind: DecoderKind, wire: bytes, value: Any) -> None:
    for chunks in ways_to_cut(b"+before\r\n" + wire + b":17\r\n"):
        before, found, after = decode(kind, chunks)
        assert (before, after) == (b"before", 17)
        assert plain(found) == plain(value)
        assert type(found) is (make_decoder(kind).push if type(value) is Push else type(value))


@both
def test_not_a_number_is_a_double(kind: DecoderKind) -> None:
    assert all(math.isnan(reply) for reply in decode(kind, [b",nan\r\n,-nan\r\n,NaN\r\n"]))


@both
def test_an_error_is_a_value_also_inside_of_others(kind: DecoderKind) -> None:
    error, [first, second], blob = decode(
        kind, [b"-NOGROUP No such key\r\n*2\r\n:1\r\n-ERR bad\r\n!10\r\nNOGROUP \r\n\r\n"]
    )
    assert isinstance(error, NoGroupError)
    assert error.message == "No such key"
    assert first == 1
    assert isinstance(second, ReplyError)
    assert second.code == "ERR"
    assert isinstance(blob, NoGroupError)
    assert blob.message == "\r\n"


@both
def test_an_error_that_is_not_text_is_read_all_the_same(kind: DecoderKind) -> None:
    for error in decode(kind, [b"-ERR \xff\r\n!5\r\nERR \xff\r\n"]):
        assert str(error) == "ERR \N{REPLACEMENT CHARACTER}"


@both
def test_a_push_is_told_from_an_array(kind: DecoderKind) -> None:
    push, array = decode(kind, [b">2\r\n+message\r\n:1\r\n*2\r\n+message\r\n:1\r\n"])
    assert type(push) is make_decoder(kind).push
    assert type(array) is list
    assert push == array


@both
@given(st.lists(own.all_replies, max_size=4), own.cuts)
def test_the_way_it_is_cut_makes_no_difference(kind: DecoderKind, values: list[Any], cuts: list[int]) -> None:
    wire = b"".join(map(resp, values))
    for chunks in ([wire], byte_by_byte(wire), pieces(wire, cuts)):
        assert plain(decode(kind, chunks)) == plain(values)


@both
@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_any_buffer_will_do_and_may_be_used_again(kind: DecoderKind, buffer: type[Any]) -> None:
    wire = b"$5\r\nhello\r\n$5\r\nworld"
    decoder = make_decoder(kind)
    under = bytearray(wire)
    found = decoder.feed(under if buffer is bytearray else buffer(under))
    under[:] = b"x" * len(under)
    found += decoder.feed(b"\r\n%2\r\n:1")
    assert found == [b"hello", b"world"]


@both
def test_large_input_is_read_to_the_end(kind: DecoderKind) -> None:
    wire = resp(b"x" * 1000) * 200
    assert decode(kind, [wire]) == [b"x" * 1000] * 200
    assert decode(kind, [resp(b"x" * 1_000_000)]) == [b"x" * 1_000_000]


@both
def test_nothing_comes_of_nothing(kind: DecoderKind) -> None:
    assert decode(kind, [b""]) == []


# -- attributes --------------------------------------------------------------------------------------------------------


@both
def test_attributes_belong_to_the_reply_that_follows_and_are_none_themselves(kind: DecoderKind) -> None:
    wire = b":1\r\n|1\r\n+ttl\r\n:3600\r\n:2\r\n:3\r\n|2\r\n+a\r\n:1\r\n+a\r\n:2\r\n*1\r\n:4\r\n"
    decoder = make_decoder(kind)
    assert decoder.feed(wire) == [1, 2, 3, [4]]
    assert decoder.attributes == {1: {b"ttl": 3600}, 3: Pairs([(b"a", 1), (b"a", 2)])}
    assert decoder.feed(b":5\r\n") == [5]
    assert decoder.attributes == {}


@both
def test_attributes_may_come_before_their_reply_does(kind: DecoderKind) -> None:
    decoder = make_decoder(kind)
    assert decoder.feed(b"|1\r\n+ttl\r\n:3600\r\n|1\r\n+more\r\n:1\r\n") == []
    assert decoder.attributes == {}
    assert decoder.feed(b":0\r\n:1\r\n") == [0, 1]
    assert decoder.attributes == {0: {b"ttl": 3600, b"more": 1}}


@both
def test_attributes_inside_of_a_reply_are_dropped(kind: DecoderKind) -> None:
    decoder = make_decoder(kind)
    assert decoder.feed(b"*2\r\n|1\r\n+ttl\r\n*1\r\n|1\r\n+x\r\n+y\r\n:0\r\n:1\r\n:2\r\n:3\r\n") == [[1, 2], 3]
    assert decoder.attributes == {}


# -- which one ---------------------------------------------------------------------------------------------------------


@needs_hiredis
def test_hiredis_is_used_where_it_is() -> None:
    assert type(make_decoder()) is type(make_decoder("hiredis")) is not type(make_decoder("python"))


def test_there_are_no_other_decoders() -> None:
    with pytest.raises(InvalidArgument, match="'java'; choose one of auto, hiredis, python"):
        make_decoder("java")  # type: ignore[arg-type]  # that is the point


@both
def test_a_decoder_is_what_the_protocol_says(kind: DecoderKind) -> None:
    decoder: Decoder = make_decoder(kind)
    assert (decoder.error, decoder.attributes, decoder.unfinished) == (None, {}, 0)
    assert issubclass(decoder.push, list)
    assert decoder.push is not list
