from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from streamcore.errors import RemoteProtocolError
from streamcore.resp3 import Limits, Pairs, make_decoder
from streamcore.resp3._hiredis import HIREDIS
from streamcore.resp3.hiredis_decoder import AcceleratedDecoder
from streamcore.resp3.python_decoder import Parser, ReferenceDecoder
from streamcore.testing.resp import PushOf, resp
from tests.support.decoders import needs_hiredis

pytestmark = needs_hiredis


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes the reference parser read each time it was asked."""
    read, sizes = Parser.read, list[int]()

    def counting(self: Parser, data: bytes, at: int, *arguments: Any, **options: Any) -> int:
        stop = read(self, data, at, *arguments, **options)
        sizes.append(stop - at)
        return stop

    monkeypatch.setattr(Parser, "read", counting)
    return sizes


def decode(*chunks: bytes) -> list[Any]:
    decoder = make_decoder("hiredis")
    found = [reply for chunk in chunks for reply in decoder.feed(chunk)]
    assert decoder.error is None
    return found


ENTRIES = [[f"17000000{n:05}-0", ["total", "9.50", "id", str(n)]] for n in range(100)]


@pytest.mark.parametrize(
    "value",
    [
        {"orders": ENTRIES},
        {"orders": ENTRIES, "clicks": ENTRIES, "empty": None},
        ENTRIES,
        PushOf(["message", "channel", "text"]),
        {"a": 1, "b": 2},
        ["(not a number", "= nor this", "100% of >100 | what? is! said"] * 10,
        ["\n(", "\n|", "\n!", "\n=", "\n%2", "\n>100", "\n$?", "\n*?\r\n"] * 3,
    ],
)
def test_what_servers_send_all_day_is_read_by_hiredis_alone(lent: list[int], value: Any) -> None:
    wire = resp(value)
    assert len(decode(wire * 3)) == 3
    assert lent == []


def test_a_nested_value_is_put_in_its_place(lent: list[int]) -> None:
    wire = b"*4\r\n:1\r\n%2\r\n+a\r\n:1\r\n+a\r\n:2\r\n(5\r\n*1\r\n!3\r\nERR\r\n"
    [[one, pairs, five, [error]]] = decode(wire)
    assert (one, pairs, five, error.code) == (1, Pairs([(b"a", 1), (b"a", 2)]), 5, "ERR")
    assert len(lent) == 3


@pytest.mark.parametrize(
    "value", [b"(7\r\n", b"!5\r\nERR x\r\n", b"=5\r\ntxt:a\r\n", b"%2\r\n:1\r\n:1\r\n:1\r\n:1\r\n", b"$?\r\n;0\r\n\r\n"]
)
@pytest.mark.parametrize("depth", range(4))
def test_the_place_is_kept_at_every_depth_and_the_next_reply_is_its_own(value: bytes, depth: int) -> None:
    whole = b"*2\r\n+x\r\n" * depth + value
    [reference] = ReferenceDecoder().feed(whole)
    for wire in (whole, b"*1\r\n:1\r\n" + whole, b"%3\r\n+k\r\n:1\r\n+l\r\n" + whole + b"+m\r\n" + whole):
        replies = decode(wire + b":99\r\n")
        assert repr(replies[:-1]) == repr(ReferenceDecoder().feed(wire))
        assert replies[-1] == 99
    assert repr(decode(whole)) == repr([reference])


def test_many_bytes_that_might_begin_something_are_searched_at_once(lent: list[int]) -> None:
    text = "a=1?(b) <p>50% of it! | " * 20
    wire = (
        resp([text] * 5)
        + b"(12\r\n"
        + resp([text])
        + b"*2\r\n%2\r\n+a\r\n:1\r\n+a\r\n:2\r\n"
        + b">?\r\n+x\r\n.\r\n"
        + resp(text)
    )
    texts, number, [again], [pairs, push], last = decode(wire)
    assert texts == [text.encode()] * 5
    assert (number, again, pairs, last) == (12, text.encode(), Pairs([(b"a", 1), (b"a", 2)]), text.encode())
    assert type(push) is HIREDIS.push
    assert len(lent) == 3


def test_a_push_of_many_items_does_not_go_to_hiredis(lent: list[int]) -> None:
    small, large = PushOf(["message", "c", "p"]), PushOf(range(100))
    found = decode(resp(small) * 20 + resp(large) + resp(small))
    assert [len(push) for push in found] == [3] * 20 + [100, 3]
    assert all(type(push) is HIREDIS.push for push in found)
    assert len(lent) == 1


def test_a_map_that_is_cut_stays_with_hiredis(lent: list[int]) -> None:
    wire = resp({"orders": ENTRIES, "clicks": ENTRIES}) + b":1\r\n"
    for at in range(4, 300):
        if not wire[:at].rpartition(b"\n")[2].startswith(b"*"):  # it might become *?, or too long
            del lent[:]
            found, one = decode(wire[:at], wire[at:])
            assert list(found) == [b"orders", b"clicks"]
            assert one == 1
            assert sum(lent) < 100


def test_a_type_byte_alone_at_the_end_is_not_the_end_of_a_value() -> None:
    # hiredis consumes it, and then has nothing that it holds back.
    error, one = decode(b"-", b"|0\r\n:1\r\n")
    assert (error.code, one) == ("|0", 1)
    assert decode(b"*1\r\n+", b"(7\r\n") == [[b"(7"]]
    assert decode(b"$1", b"0\r\n(", b"234567890\r", b"\n") == [b"(234567890"]


def test_an_array_of_too_many_elements_does_not_go_to_hiredis(lent: list[int]) -> None:
    decoder = make_decoder("hiredis", Limits(elements=10))
    assert decoder.feed(resp(list(range(10)))) == [list(range(10))]
    assert lent == []
    decoder.feed(b"*11\r\n:1\r\n")
    assert isinstance(decoder.error, RemoteProtocolError)


def test_what_hiredis_cannot_allocate_is_an_error() -> None:
    class Reader:
        def __init__(self, **hooks: object) -> None: ...

        def feed(self, *arguments: object) -> None: ...

        def gets(self) -> None:
            raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HIREDIS, "load", lambda: Reader)
        decoder = make_decoder("hiredis")
    assert decoder.feed(b"*1\r\n") == []
    assert isinstance(decoder.error, RemoteProtocolError)
    assert str(decoder.error) == "hiredis cannot make a reply of what the server sent: MemoryError()"


def test_a_decoder_is_gone_as_soon_as_its_connection_is() -> None:
    decoder = make_decoder("hiredis")
    assert isinstance(decoder, AcceleratedDecoder)
    decoder.feed(b"*2\r\n(5\r\n")
    gc.disable()
    try:
        gone = weakref.ref(decoder)
        del decoder
        assert gone() is None
    finally:
        gc.enable()
