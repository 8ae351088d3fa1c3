"""How large a reply may be, and how long it takes to decode."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any, Final

import pytest

from streamcore.errors import RemoteProtocolError, ReplyError, ReplyTooLarge
from streamcore.options import DecoderKind
from streamcore.resp3 import Limits, make_decoder
from streamcore.testing.resp import resp
from tests.core.support.decoding import MEGABYTE, SLICE, decode
from tests.core.support.strategies import byte_by_byte
from tests.support.decoders import both

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
    # hiredis asks for a list of that length, and the system for its pages later.
    assert peak < 2.5 * MEGABYTE + 8 * DECLARED


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


# -- time --------------------------------------------------------------------------------------------------------------


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
