from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from streamcore.commands.ids import exact, exact_ids, lowest, position, range_end
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
HIGHEST = (1 << 64) - 1


@pytest.mark.parametrize(
    ("given", "sent"),
    [(StreamId(5, 1), "5-1"), ("5-1", "5-1"), (b"5-1", "5-1"), ("5", "5-0"), (f"{HIGHEST}", f"{HIGHEST}-0")],
)
def test_the_id_of_an_entry_is_sent_in_full(given: Any, sent: str) -> None:
    assert exact("id", given) == sent
    assert lowest("minid", given) == sent
    assert position("start", given) == sent


@pytest.mark.parametrize(
    ("given", "first", "before"),
    [(7, "7-0", f"6-{HIGHEST}"), (0, "0-0", "0-0"), (NEW_YEAR, "1767225600000-0", f"1767225599999-{HIGHEST}")],
)
def test_a_moment_includes_its_first_entry(given: Any, first: str, before: str) -> None:
    assert lowest("minid", given) == first
    assert position("start", given) == before, "reading goes on behind it"
    assert range_end("start", given) == first.removesuffix("-0"), "the server takes them for all of its entries"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("-", "-"),
        (b"+", "+"),
        (StreamId(5, 1), "5-1"),
        ("5", "5"),
        (b"5-1", "5-1"),
        ("(5-1", "(5-1"),
        (b"(5", "(5-0"),
    ],
)
def test_the_end_of_a_range_may_be_open_or_excluded(given: Any, sent: str) -> None:
    assert range_end("end", given) == sent


@pytest.mark.parametrize("given", ["$", b"$"])
def test_the_servers_words_are_taken_where_they_mean_something(given: Any) -> None:
    assert position("start", given, "$", "+") == "$"
    with pytest.raises(InvalidArgument, match=r"start: '\$' is not a stream id"):
        position("start", given)


BAD = [
    "",
    "x",
    "1-2-3",
    "5-",
    "-5",
    "1-x",
    "٣",
    "1 ",
    str(HIGHEST + 1),
    1.5,
    float("nan"),
    None,
    True,
    [1],
    b"\xff",
    b"((",
]


@pytest.mark.parametrize("form", [exact, lowest, position, range_end])
@pytest.mark.parametrize("given", BAD)
def test_what_is_no_id_is_refused_by_the_arguments_name(form: Callable[[str, Any], str], given: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^where: .* is not a stream id|^where must be a whole number"):
        form("where", given)


@pytest.mark.parametrize("form", [lowest, position, range_end])
@pytest.mark.parametrize(
    ("given", "why"),
    [
        (-1, "where must be at least 0"),
        (HIGHEST + 1, "where must be at most 18446744073709551615"),
        (NEW_YEAR.replace(tzinfo=None), "where is a datetime without a timezone"),
    ],
)
def test_what_is_no_moment_is_refused_too(form: Callable[[str, Any], str], given: Any, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        form("where", given)


@pytest.mark.parametrize("given", [5, NEW_YEAR])
def test_a_moment_is_not_the_id_of_one_entry(given: Any) -> None:
    with pytest.raises(InvalidArgument, match="is not a stream id"):
        exact("id", given)


@pytest.mark.parametrize("given", ["((1", "(", "(-", "(+", "-1"])
def test_only_an_id_can_be_excluded(given: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a stream id"):
        range_end("end", given)


def test_several_ids_are_at_least_one() -> None:
    assert exact_ids("xack", ["1", StreamId(2, 3)]) == ["1-0", "2-3"]
    with pytest.raises(InvalidArgument, match="xack needs at least one id"):
        exact_ids("xack", ())
    with pytest.raises(InvalidArgument, match=r"^id: 'x' is not a stream id"):
        exact_ids("xack", ["1", "x"])
