from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamcore.errors import NoGroupError, RemoteProtocolError, ReplyError, ReplyTooLarge
from streamcore.resp3 import MORE, UNDECODABLE, Decoder, Push
from tests.core import strategies as own
from tests.core.pair import PushOf, resp
from tests.core.strategies import byte_by_byte, pieces, plain

SLICE = 65536


def decode(chunks: Iterable[bytes | bytearray | memoryview], decoder: Decoder | None = None) -> list[Any]:
    decoder = Decoder() if decoder is None else decoder
    found: list[Any] = []
    for chunk in chunks:
        for _ in decoder.feed(chunk):
            while (reply := decoder.gets()) is not MORE:
                found.append(reply)
    return found


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (b"+OK\r\n", b"OK"),
        (b"$5\r\nhello\r\n", b"hello"),
        (b"$0\r\n\r\n", b""),
        (b":-42\r\n", -42),
        (b",1.5\r\n", 1.5),
        (b",inf\r\n", float("inf")),
        (b"#t\r\n", True),
        (b"#f\r\n", False),
        (b"_\r\n", None),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"(12345678901234567890\r\n", b"12345678901234567890"),
        (b"=7\r\ntxt:abc\r\n", b"abc"),
        (b"*2\r\n:1\r\n*0\r\n", [1, []]),
        (b"%1\r\n+k\r\n:1\r\n", {b"k": 1}),
        (b"~2\r\n:1\r\n:1\r\n", [1, 1]),
    ],
)
def test_each_type_of_reply_has_one_python_type(wire: bytes, value: Any) -> None:
    [reply] = decode([wire])
    assert reply == value
    assert type(reply) is type(value)


def test_an_error_is_a_value_also_inside_of_others() -> None:
    error, [first, second] = decode([b"-NOGROUP No such key\r\n*2\r\n:1\r\n-ERR bad\r\n"])
    assert isinstance(error, NoGroupError)
    assert error.message == "No such key"
    assert first == 1
    assert isinstance(second, ReplyError)
    assert second.code == "ERR"


def test_an_error_that_is_not_text_is_read_all_the_same() -> None:
    [error] = decode([b"-ERR \xff\r\n"])
    assert str(error) == "ERR \N{REPLACEMENT CHARACTER}"


def test_a_push_is_told_from_an_array() -> None:
    push, array = decode([b">2\r\n+message\r\n:1\r\n*2\r\n+message\r\n:1\r\n"])
    assert type(push) is Push
    assert type(array) is list
    assert push == array


def test_false_is_a_reply_and_not_the_want_of_one() -> None:
    assert decode([b"#f\r\n#f\r\n"]) == [False, False]


@given(st.lists(own.replies | st.builds(PushOf, st.lists(own.replies, max_size=3)), max_size=5), own.cuts)
def test_the_way_it_is_cut_makes_no_difference(values: list[Any], cuts: list[int]) -> None:
    wire = b"".join(map(resp, values))
    expected = [plain(value) for value in values]
    for chunks in ([wire], byte_by_byte(wire), pieces(wire, cuts)):
        assert [plain(reply) for reply in decode(chunks)] == expected


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do_and_may_be_used_again(kind: type[Any]) -> None:
    buffer = kind(b"$5\r\nhello\r\n")
    decoder = Decoder()
    for _ in decoder.feed(buffer):
        if isinstance(buffer, bytearray):
            buffer[:] = b"x" * len(buffer)
        assert decoder.gets() == b"hello"


def test_large_input_is_fed_by_slices() -> None:
    wire = resp(b"x" * 1000) * 200
    decoder = Decoder()
    steps = sum(1 for _ in decoder.feed(wire))
    assert steps == len(wire) // SLICE + 1
    assert decode([wire]) == [b"x" * 1000] * 200


def test_nothing_comes_of_nothing() -> None:
    assert decode([b""]) == []


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [SLICE, 1000])
def test_a_reply_over_the_limit_is_refused_before_it_is_complete(chunk: int) -> None:
    wire = resp(b"x" * (1 << 20))
    decoder = Decoder(max_reply=2 * SLICE)
    with pytest.raises(ReplyTooLarge, match="larger than the limit of 131072 bytes"):
        decode((wire[at : at + chunk] for at in range(0, len(wire), chunk)), decoder)
    assert 2 * SLICE < decoder.unfinished <= 3 * SLICE


def test_the_limit_also_holds_within_one_large_input() -> None:
    with pytest.raises(ReplyTooLarge):
        decode([resp(b"x" * (1 << 20))], Decoder(max_reply=2 * SLICE))


def test_the_owner_tells_when_the_count_begins_anew() -> None:
    decoder = Decoder(max_reply=SLICE)
    for _ in range(10):
        assert decode([resp(b"x" * (SLICE // 2))], decoder) == [b"x" * (SLICE // 2)]
        assert decoder.unfinished == len(resp(b"x" * (SLICE // 2)))
        decoder.unfinished = 0


@pytest.mark.parametrize("levels", [1, 128, 1000])
def test_reasonable_nesting_is_understood(levels: int) -> None:
    [reply] = decode([b"*1\r\n" * levels + b":1\r\n"])
    for _ in range(levels):
        [reply] = reply
    assert reply == 1


def test_nesting_has_a_limit() -> None:
    with pytest.raises(RemoteProtocolError, match="nesting"):
        decode([b"*1\r\n" * 2000 + b":1\r\n"])


# -- what is not RESP --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\r\n",
        b":1x\r\n",
        b",1e999\r\n",
        b"*-2\r\n",
        b"$-7\r\n",
        b"!3\r\nERR\r\n",
        b"$?\r\n",
        b"%1\r\n*0\r\n:1\r\n",
        b"*4294967295\r\n",
        b"\x16\x03\x01\x00",
    ],
)
@pytest.mark.parametrize("before", [b"", b"+OK\r\n"])
def test_rubbish_is_an_error_after_what_came_before_it(wire: bytes, before: bytes) -> None:
    decoder = Decoder()
    for _ in decoder.feed(before + wire):
        if before:
            assert decoder.gets() == b"OK"
        with pytest.raises(UNDECODABLE):
            decoder.gets()
        with pytest.raises(UNDECODABLE):  # and it stays one
            decoder.gets()


@given(st.binary(max_size=200))
@example(b"%1\r\n~0\r\n")
def test_no_other_error_comes_of_any_bytes(data: bytes) -> None:
    try:
        whole = decode([data])
    except UNDECODABLE:
        with pytest.raises(UNDECODABLE):
            decode(byte_by_byte(data))
    else:
        assert [plain(reply) for reply in decode(byte_by_byte(data))] == [plain(reply) for reply in whole]
