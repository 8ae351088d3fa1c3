from __future__ import annotations

import array
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import InvalidArgument
from streamcore.resp3 import Argument, encode
from streamcore.resp3._hiredis import HIREDIS
from streamcore.testing.resp import commands_in
from tests.support.decoders import DECODERS


@pytest.fixture(autouse=True, params=DECODERS)
def packer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds with and without hiredis."""
    if request.param == "python":
        monkeypatch.setattr(HIREDIS, "pack_command", None)


class Colour(IntEnum):
    RED = 1


class Word(StrEnum):
    GET = "GET"


class LyingInt(int):
    def __repr__(self) -> str:
        return "a lie"

    __str__ = __repr__


class LyingFloat(float):
    def __repr__(self) -> str:
        return "a lie"

    def __float__(self) -> float:
        return 0.0


class LyingText(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "a lie"

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return b"a lie"


class LyingBytes(bytes):
    def __bytes__(self) -> bytes:
        return b"a lie"


def sent(value: Any) -> bytes:
    """What a server reads where ``value`` is the argument of a command."""
    [[_, argument]] = commands_in(encode(("ECHO", value)))
    return argument


def test_a_command_is_an_array_of_bulk_strings() -> None:
    assert encode(("XADD", b"s", "*")) == b"*3\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (b"", b""),
        (b"\x00\r\n\xff", b"\x00\r\n\xff"),
        ("é\r\n", "é\r\n".encode()),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(array.array("H", [1, 2])), array.array("H", [1, 2]).tobytes()),
        (0, b"0"),
        (-17, b"-17"),
        ((1 << 64) - 1, b"18446744073709551615"),
        (1 - (1 << 64), b"-18446744073709551615"),
        (1.5, b"1.5"),
        (1e100, b"1e+100"),
        (-0.0, b"-0.0"),
        (float("nan"), b"nan"),
        (float("inf"), b"inf"),
        (float("-inf"), b"-inf"),
    ],
)
def test_values_arrive_as_they_are(value: Argument, wire: bytes) -> None:
    assert sent(value) == wire


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (Colour.RED, b"1"),
        (Word.GET, b"GET"),
        (LyingInt(5), b"5"),
        (LyingFloat(2.5), b"2.5"),
        (LyingText("true"), b"true"),
        (LyingBytes(b"true"), b"true"),
    ],
)
def test_of_a_subclass_the_value_counts_and_not_what_it_says(value: Argument, wire: bytes) -> None:
    assert sent(value) == wire


@pytest.mark.parametrize("value", [memoryview(b"abcdef")[::2], memoryview(b"abc")[::-1]])
def test_a_memoryview_with_gaps_is_refused(value: memoryview) -> None:
    with pytest.raises(InvalidArgument, match="a memoryview with gaps cannot be sent"):
        sent(value)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "NoneType"),
        (True, "bool"),
        (False, "bool"),
        (object(), "object"),
        ([b"x"], "list"),
        ((1, 2), "tuple"),
        (Decimal(1), "Decimal"),
        (1j, "complex"),
        (array.array("b", b"x"), "array"),
    ],
)
def test_what_has_no_one_meaning_is_refused_by_the_name_of_its_type(value: Any, what: str) -> None:
    with pytest.raises(InvalidArgument, match=f"type {what} cannot be sent; pass bytes, str, int or float"):
        encode(("SET", "k", value))


@pytest.mark.parametrize("value", [1 << 64, -(1 << 64), 1 << 20_000], ids=["65 bits", "below", "20 kilobits"])
def test_an_integer_of_more_than_64_bits_is_refused(value: int) -> None:
    with pytest.raises(InvalidArgument, match="more than 64 bits"):
        encode(("SET", "k", value))


@pytest.mark.parametrize("arguments", [("SET", "k", "\ud800"), ("SET", 1, "\ud800"), ("SET", LyingText("\udfff"))])
def test_text_that_is_no_utf_8_is_refused(arguments: tuple[Argument, ...]) -> None:
    with pytest.raises(InvalidArgument, match="cannot be sent as UTF-8: surrogates not allowed; pass bytes"):
        encode(arguments)


def test_a_refusal_does_not_show_the_value() -> None:
    for bad in (["sesame"], "sesame\ud800"):
        with pytest.raises(InvalidArgument) as refused:
            encode(("AUTH", bad))  # type: ignore[arg-type]  # that is the point
        assert "sesame" not in str(refused.value)


def test_a_command_without_words_would_never_be_answered() -> None:
    with pytest.raises(InvalidArgument, match="at least its name"):
        encode(())


def test_arguments_may_come_from_any_iterable() -> None:
    arguments: list[Argument] = ["PING", 1]
    assert encode(iter(arguments)) == encode(arguments) == encode(("PING", 1))


@given(st.lists(st.binary() | st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-99, 99), min_size=1))
def test_a_server_reads_what_was_given(arguments: list[Argument]) -> None:
    [command] = commands_in(encode(arguments))
    assert command == [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
