"""When a member may claim what it has given back."""

from __future__ import annotations

from streamcore.group.given_back import MARGIN, GivenBack


def test_nothing_is_expected_until_something_is_given_back() -> None:
    given_back = GivenBack()
    assert given_back.at is None
    assert given_back.within(10.0, 5.0) is None
    assert given_back.take_due(10.0) == {}


def test_the_first_time_comes_first() -> None:
    given_back = GivenBack()
    given_back.add(b"s", 10.0, 3.0)
    given_back.add(b"t", 10.0, 1.0)
    given_back.add(b"t", 10.0, 1.5)
    assert given_back.at == 11.0 + MARGIN
    assert list(given_back.take_due(12.0)) == [b"t"]
    assert given_back.at == 13.0 + MARGIN
    assert list(given_back.take_due(13.0 + MARGIN)) == [b"s"]
    assert given_back.at is None


def test_a_read_waits_for_it_only_as_long_as_it_blocks() -> None:
    given_back = GivenBack()
    given_back.add(b"s", 10.0, 3.0)
    assert given_back.within(10.0, 2.9) is None
    assert given_back.within(10.0, 3.0) == 13.0 + MARGIN - 10.0
    assert given_back.within(20.0, 3.0) == 0.0
