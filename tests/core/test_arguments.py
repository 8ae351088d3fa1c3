from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from streamcore.arguments import encoding, name, positive, seconds, stream_names
from streamcore.errors import InvalidArgument


class TestName:
    @pytest.mark.parametrize(("given", "sent"), [("orders", b"orders"), (b"\xff\x00", b"\xff\x00"), ("é", b"\xc3\xa9")])
    def test_is_text_or_bytes(self, given: str | bytes, sent: bytes) -> None:
        assert name("stream", given) == sent

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ("", "group is empty; give it a name"),
            (b"", "group is empty; give it a name"),
            ("a\ud800", r"group 'a\\ud800' cannot be sent as UTF-8 .*; pass bytes"),
            (None, r"group must be str or bytes, not NoneType \(None\)"),
            (5, r"group must be str or bytes, not int \(5\)"),
            (bytearray(b"g"), "group must be str or bytes, not bytearray"),
        ],
    )
    def test_anything_else_is_refused_by_what_it_is_for(self, given: Any, why: str) -> None:
        with pytest.raises(InvalidArgument, match=why):
            name("group", given)


class TestStreamNames:
    @pytest.mark.parametrize(
        ("given", "names"),
        [
            ("a", [b"a"]),
            (b"a", [b"a"]),
            (["b", b"a"], [b"b", b"a"]),
            (iter(("a", "b")), [b"a", b"b"]),
            ({"a": "0", "b": "$"}, [b"a", b"b"]),
        ],
    )
    def test_one_or_several(self, given: Any, names: list[bytes]) -> None:
        assert stream_names(given) == names

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ([], "no stream was given"),
            (["a", ""], "stream is empty"),
            (["b", "a", b"a"], "stream 'a' is named twice; name each stream once"),
            ([b"\xff", b"\xff"], "stream '\ufffd' is named twice"),
            (None, "streams must be one name or several, not None"),
            (7, "not 7"),
            (bytearray(b"ab"), "stream must be str or bytes, not int"),
        ],
    )
    def test_refuses_what_names_no_stream_or_one_twice(self, given: Any, why: str) -> None:
        with pytest.raises(InvalidArgument, match=why):
            stream_names(given)


class TestPositive:
    @pytest.mark.parametrize("value", [1, 100, 1 << 40])
    def test_takes_counts(self, value: int) -> None:
        assert positive("count", value) == value

    def test_takes_zero_where_it_means_something(self) -> None:
        assert positive("maxlen", 0, zero=True) == 0

    @pytest.mark.parametrize(
        ("value", "zero", "why"),
        [
            (0, False, "count must be at least 1, not 0"),
            (-1, False, "count must be at least 1, not -1"),
            (-1, True, "count must be at least 0, not -1"),
            (1.0, False, "count must be a whole number, not 1.0"),
            (True, False, "count must be a whole number, not True"),
            ("5", False, "count must be a whole number, not '5'"),
            (None, False, "count must be a whole number, not None"),
        ],
    )
    def test_refuses_everything_else(self, value: Any, zero: bool, why: str) -> None:
        with pytest.raises(InvalidArgument, match=why):
            positive("count", value, zero=zero)


class TestSeconds:
    @pytest.mark.parametrize(
        ("value", "plain"), [(5, 5.0), (0.25, 0.25), (timedelta(minutes=2), 120.0), (timedelta(milliseconds=5), 0.005)]
    )
    def test_takes_numbers_and_durations(self, value: float | timedelta, plain: float) -> None:
        result = seconds("block", value)
        assert result == plain
        assert type(result) is float

    @pytest.mark.parametrize("value", [0, 0.0, timedelta()])
    def test_takes_zero_where_it_means_something(self, value: float | timedelta) -> None:
        assert seconds("timeout", value, zero=True) == 0.0
        with pytest.raises(InvalidArgument, match="timeout must be more than 0 seconds, not 0"):
            seconds("timeout", value)

    @pytest.mark.parametrize("value", [-1, -0.001, timedelta(seconds=-3)])
    def test_time_does_not_run_backwards(self, value: float | timedelta) -> None:
        with pytest.raises(InvalidArgument, match="timeout must be at least 0 seconds, not -"):
            seconds("timeout", value, zero=True)

    @pytest.mark.parametrize("value", ["5", None, True, float("nan"), float("inf"), float("-inf"), 10**400, 1j, [5]])
    def test_refuses_what_is_no_finite_number(self, value: Any) -> None:
        with pytest.raises(InvalidArgument, match="block must be a finite number of seconds or a timedelta, not"):
            seconds("block", value)


class TestEncoding:
    @pytest.mark.parametrize("value", [None, "utf-8", "UTF8", "latin-1", "ascii", "utf-16"])
    def test_takes_text_encodings(self, value: str | None) -> None:
        assert encoding(value) == value

    @pytest.mark.parametrize("value", ["utf-9", "", "hex", "rot13", "undefined", "a\0b", b"utf-8", 8, True])
    def test_refuses_everything_else(self, value: Any) -> None:
        with pytest.raises(InvalidArgument, match="is not a text encoding; try decode='utf-8'"):
            encoding(value)
