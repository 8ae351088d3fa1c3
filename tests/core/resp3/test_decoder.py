from __future__ import annotations

import math
import time
import timeit
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import InvalidArgument, NoGroupError, RemoteProtocolError, ReplyError, ReplyTooLarge
from streamcore.options import DecoderKind
from streamcore.resp3 import Decoder, Limits, Pairs, Push, Verbatim, make_decoder
from streamcore.testing.resp import resp
from tests.core.support import strategies as own
from tests.core.support.strategies import byte_by_byte, pieces, plain
from tests.support.decoders import both, needs_hiredis

# Hypothesis keeps what it drew as keys of dicts, and b"" has the hash of 0: ``python -bb`` takes that for a mistake.
pytestmark = pytest.mark.filterwarnings("ignore:Comparison between bytes:BytesWarning")

SLICE = 65536
MEGABYTE: Final = 1 << 20


def decode(kind: DecoderKind, chunks: Iterable[bytes], limits: Limits | None = None) -> list[Any]:
    """All replies; fails if there is an error."""
    decoder = make_decoder(kind, limits or Limits())
    found = [reply for chunk in chunks for reply in decoder.feed(chunk)]
    if decoder.error is not None:
        raise decoder.error
    return found


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


# -- limits ------------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("chunk", [SLICE, 1000, 1 << 20])
def test_a_reply_over_the_limit_is_refused_before_it_is_complete(kind: DecoderKind, chunk: int) -> None:
    wire = b"+OK\r\n" + resp(b"x" * (1 << 20))
    decoder = make_decoder(kind, Limits(reply=2 * SLICE))
    found = [reply for at in range(0, len(wire), chunk) for reply in decoder.feed(wire[at : at + chunk])]
    assert found == [b"OK"]
    assert isinstance(decoder.error, ReplyTooLarge)
    assert str(decoder.error) == "a reply is larger than the limit of 131072 bytes"
    assert 2 * SLICE < decoder.unfinished <= 4 * SLICE


DECLARED: Final = 1_000_000
TINY: Final = {
    "empty arrays": b"*0\r\n",
    "empty sets": b"~0\r\n",
    "short strings": b"$2\r\nab\r\n",
    "simple strings": b"+ab\r\n",
    "integers": b":1000\r\n",
    "doubles": b",1.5\r\n",
    "errors": b"-E\r\n",
    "blob errors": b"!1\r\nE\r\n",
    "maps": b"%1\r\n+k\r\n:1000\r\n",
    "arrays of arrays": b"*1\r\n*0\r\n",
}


@both
@pytest.mark.parametrize("tiny", TINY.values(), ids=TINY)
@pytest.mark.parametrize("head", [b"*%d\r\n" % DECLARED, b"%%1\r\n+k\r\n*%d\r\n" % DECLARED, b"*?\r\n"])
def test_what_elements_take_in_memory_counts_as_well(kind: DecoderKind, tiny: bytes, head: bytes) -> None:
    tracemalloc: Any = pytest.importorskip("tracemalloc", reason="PyPy does not tell what memory is taken")
    decoder = make_decoder(kind, Limits(reply=MEGABYTE))
    tracemalloc.start()
    try:
        decoder.feed(b"*2\r\n:1\r\n" + head)
        piece = tiny * (1024 // len(tiny))
        for _ in range(MEGABYTE // len(piece)):
            decoder.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(decoder.error, ReplyTooLarge)
    assert str(decoder.error) == "a reply has so many elements that it takes more than the limit of 1048576 bytes"
    assert (
        peak < 2.5 * MEGABYTE + 8 * DECLARED
    )  # hiredis asks for a list of that length, and the system for its pages later


LARGE: Final = {
    "a string": resp(b"x" * 1_000_000),
    "a string that looks like a reply": resp(b"*0\r\n" * 250_000),
    "strings": resp([b"x" * 1000] * 950),
    "strings with lines": resp([b"+ one\r\n* two\r\n" * 10 + b"x" * 4000] * 200),
    "no values": b"*300000\r\n" + b"_\r\n" * 300_000,
    "booleans": b"*200000\r\n" + b"#t\r\n" * 200_000,
    "some errors": resp([ReplyError("E", "x")] * 2000 + [b"x" * 300_000]),
    "some arrays": resp([[[]] * 8000, b"x" * 500_000]),
}


@both
@pytest.mark.parametrize("wire", LARGE.values(), ids=LARGE)
def test_a_large_reply_that_takes_no_more_than_it_may_is_read(kind: DecoderKind, wire: bytes) -> None:
    for size in (len(wire), 8192, 50_000):
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        decoder = make_decoder(kind, Limits(reply=MEGABYTE))
        found = [reply for _ in range(2) for piece in pieces for reply in decoder.feed(piece)]
        assert decoder.error is None
        assert len(found) == 2


@both
def test_small_replies_do_not_add_up_to_a_large_one(kind: DecoderKind) -> None:
    replies = [b"x" * (SLICE // 2)] * 10
    assert decode(kind, map(resp, replies), Limits(reply=SLICE)) == replies
    assert decode(kind, [b"".join(map(resp, replies))], Limits(reply=SLICE)) == replies


@both
def test_the_owner_tells_when_the_count_begins_anew(kind: DecoderKind) -> None:
    decoder = make_decoder(kind)
    for _ in range(3):
        decoder.feed(b":1\r\n")
    assert decoder.unfinished == 12
    decoder.unfinished = 0
    decoder.feed(b":1\r\n:")
    assert decoder.unfinished == 5


@both
def test_a_string_has_a_limit(kind: DecoderKind) -> None:
    limits = Limits(bulk=100_000)
    assert decode(kind, [resp(b"x" * 100_000)], limits) == [b"x" * 100_000]
    decoder = make_decoder(kind, limits)
    for _ in range(10):
        decoder.feed(b"$600000\r\n" if decoder.unfinished == 0 else b"x" * 50_000)
    assert isinstance(decoder.error, RemoteProtocolError)
    assert str(decoder.error) == "a string is longer than the limit of 100000 bytes"
    assert decoder.unfinished < 300_000


@both
@pytest.mark.parametrize(
    "wire", [b"!101\r\n", b"=101\r\n", b"$?\r\n;60\r\n" + b"x" * 60 + b"\r\n;60\r\n" + b"x" * 60 + b"\r\n"]
)
def test_so_do_all_kinds_of_strings(kind: DecoderKind, wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="a string is longer than the limit of 100 bytes"):
        decode(kind, [wire], Limits(bulk=100))


@both
@pytest.mark.parametrize(
    "wire",
    [
        b"*1001\r\n",
        b"~1001\r\n",
        b"%501\r\n",
        b">1001\r\n",
        b"|501\r\n",
        b"*1\r\n%500\r\n%501\r\n",
        b"*?\r\n" + b":1\r\n" * 1001,
        b"*?\r\n%?\r\n" + b":1\r\n" * 1000 + b".\r\n*?\r\n:1\r\n:2\r\n",
        b"|?\r\n" + b":1\r\n" * 1002 + b".\r\n",
    ],
)
def test_the_elements_of_a_reply_have_a_limit(kind: DecoderKind, wire: bytes) -> None:
    for chunks in ([wire], list(byte_by_byte(wire))):
        decoder = make_decoder(kind, Limits(elements=1000))
        for chunk in [b":1\r\n", *chunks]:
            decoder.feed(chunk)
        assert isinstance(decoder.error, RemoteProtocolError)
        assert "elements" in str(decoder.error)


@both
def test_elements_are_counted_for_each_reply_alone(kind: DecoderKind) -> None:
    wire = b"*2\r\n%1\r\n:1\r\n:2\r\n:3\r\n"
    assert decode(kind, [wire * 10], Limits(elements=4)) == [[{1: 2}, 3]] * 10


@both
@pytest.mark.parametrize(
    "kind_of_level", [b"*1\r\n", b"~1\r\n", b">1\r\n", b"*?\r\n", b"%1\r\n+k\r\n", b"%?\r\n+k\r\n"]
)
def test_reasonable_nesting_is_understood(kind: DecoderKind, kind_of_level: bytes) -> None:
    ends = b".\r\n" if b"?" in kind_of_level else b""
    [reply] = decode(kind, [kind_of_level * 128 + b":1\r\n" + ends * 128])
    for _ in range(128):
        [reply] = reply.values() if isinstance(reply, dict) else reply
    assert reply == 1


@both
def test_nesting_has_a_limit(kind: DecoderKind) -> None:
    for wire in (b"*1\r\n" * 2000, b"|1\r\n" * 2000, b"%2\r\n" * 2000):
        with pytest.raises(RemoteProtocolError, match="nest"):
            decode(kind, [wire])


# -- what is not RESP --------------------------------------------------------------------------------------------------

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


# -- time --------------------------------------------------------------------------------------------------------------


def is_linear(small: Callable[[], object], large: Callable[[], object]) -> bool:
    """Whether eight times as much takes about 8 times as long, and not 64 times; others may disturb a measurement or two."""
    for _ in range(5):
        rounds = [[timeit.timeit(run, timer=time.thread_time, number=1) for run in (small, large)] for _ in range(5)]
        short, long = map(min, zip(*rounds, strict=True))
        if long < 24 * short:
            return True
    return False


def reading(kind: DecoderKind, wire: bytes, piece: int) -> Callable[[], object]:
    chunks = [wire[at : at + piece] for at in range(0, len(wire), piece)]

    def run() -> None:
        assert len(decode(kind, chunks)) == 1

    return run


@both
@pytest.mark.parametrize(
    ("make", "piece", "small"),
    [
        (lambda n: resp(b"x" * n), 64, 50_000),
        (lambda n: resp([b"x"] * (n // 8)), 16, 40_000),
        (lambda n: resp([{b"a": 1, b"b": 2}] * (n // 30)), 16, 40_000),
        (lambda n: b"$?\r\n" + b";4\r\nxxxx\r\n" * (n // 10) + b";0\r\n\r\n", 16, 40_000),
        (lambda n: b"*?\r\n" + b":1\r\n" * (n // 4) + b".\r\n", 16, 40_000),
        (lambda n: resp([b"\n|\n!\n=\n(\n%2\n>x\n$?" * (n // 20)]), 1000, 40_000),
    ],
    ids=["string", "elements", "maps", "chunks", "streamed", "false alarms"],
)
def test_the_time_grows_with_the_bytes_and_not_faster(kind: DecoderKind, make: Any, piece: int, small: int) -> None:
    assert is_linear(reading(kind, make(small), piece), reading(kind, make(8 * small), piece))


@pytest.mark.parametrize("end", [b"\r\n", b"\n\r\n"])
def test_a_long_line_in_tiny_pieces_is_searched_once(end: bytes) -> None:
    def reading_a_line(n: int) -> Callable[[], object]:
        wire = b"+" + b"\n" * n + end
        chunks = [wire[at : at + 16] for at in range(0, len(wire), 16)]

        def read() -> None:
            decoder = make_decoder("python")
            for chunk in chunks:
                assert decoder.feed(chunk) == []
            assert decoder.error is not None

        return read

    assert is_linear(reading_a_line(50_000), reading_a_line(400_000))


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
