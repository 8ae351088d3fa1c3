from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from streamcore.arguments import (
    at_most_one,
    encoding,
    integer,
    milliseconds,
    name,
    one_of,
    positive,
    real,
    seconds,
    stream_names,
    unix_milliseconds,
)
from streamcore.errors import InvalidArgument


class TestName:
    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ("orders", b"orders"),
            (b"\xff\x00", b"\xff\x00"),
            ("é", b"\xc3\xa9"),
            (bytearray(b"a"), b"a"),
            (memoryview(b"abc")[1:], b"bc"),
        ],
    )
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
            (bytearray(), "group is empty; give it a name"),
            (memoryview(b"group")[::2], r"group is a memoryview with gaps; pass bytes\(...\) of it"),
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
            (bytearray(b"a"), [b"a"]),
            (memoryview(b"a"), [b"a"]),
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
            ([97, 98], "stream must be str or bytes, not int"),
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


class TestMilliseconds:
    @pytest.mark.parametrize(
        ("given", "sent"), [(1.5, 1500), (timedelta(seconds=2), 2000), (0.1 + 0.2, 300), (0.0001, 1), (1e-9, 1)]
    )
    def test_are_whole_and_never_rounded_to_none(self, given: Any, sent: int) -> None:
        assert milliseconds("block", given) == sent

    def test_are_none_only_where_none_were_given_and_that_is_allowed(self) -> None:
        assert milliseconds("min_idle", 0, zero=True) == 0
        with pytest.raises(InvalidArgument, match="block must be more than 0 seconds"):
            milliseconds("block", 0)


class TestUnixMilliseconds:
    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            (1.001, 1001),
            (0, 0),
            (datetime(1970, 1, 2, tzinfo=UTC), 86_400_000),
            (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=1))), 3_600_000),
            (datetime(2026, 1, 1, 0, 0, 0, 1999, tzinfo=UTC), 1_767_225_600_001),
        ],
    )
    def test_are_those_of_a_moment(self, given: Any, sent: int) -> None:
        assert unix_milliseconds("time", given) == sent

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            (datetime(2026, 1, 1), "time is a datetime without a timezone; give it one"),  # noqa: DTZ001  # the mistake
            (datetime(1969, 12, 31, tzinfo=UTC), "time lies before 1970"),
            (-1, "time must be at least 0 seconds"),
            ("now", "time must be a finite number of seconds"),
        ],
    )
    def test_do_not_exist_for_every_value(self, given: Any, why: str) -> None:
        with pytest.raises(InvalidArgument, match=why):
            unix_milliseconds("time", given)


class TestNumbers:
    @pytest.mark.parametrize("given", [0, -5, 2**63])
    def test_of_either_sign_are_whole(self, given: int) -> None:
        assert integer("increment", given) == given

    @pytest.mark.parametrize("given", [1.0, True, None, "1"])
    def test_that_are_not_whole_are_refused(self, given: Any) -> None:
        with pytest.raises(InvalidArgument, match=f"increment must be a whole number, not {given!r}"):
            integer("increment", given)

    @pytest.mark.parametrize("given", [1, -0.5, float("inf")])
    def test_may_have_a_fraction_or_no_end(self, given: float) -> None:
        assert real("score", given) == given

    @pytest.mark.parametrize("given", [float("nan"), False, None, "1"])
    def test_that_are_none_are_refused(self, given: Any) -> None:
        with pytest.raises(InvalidArgument, match=f"score must be a number, not {given!r}"):
            real("score", given)


def test_options_that_exclude_each_other_are_named() -> None:
    at_most_one(nx=False, xx=True, ex=None)
    at_most_one()
    with pytest.raises(InvalidArgument, match="give ex or exat, not both"):
        at_most_one(ex=0, exat=5, keepttl=False)
    with pytest.raises(InvalidArgument, match="give a or b or c, not all"):
        at_most_one(a=1, b=2, c=True)


def test_one_of_a_few_words() -> None:
    assert one_of("merge", "id", None, "id") == "id"
    assert one_of("merge", None, None, "id") is None
    with pytest.raises(InvalidArgument, match=r"^merge must be None or 'id', not b'id'$"):
        one_of("merge", b"id", None, "id")
