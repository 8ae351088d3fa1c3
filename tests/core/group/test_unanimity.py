"""A state that many have to be in: while any of them is not, a question is asked of one."""

from __future__ import annotations

import pytest

from streamcore.group.unanimity import Unanimity


@pytest.mark.parametrize("last", [0, 3, 4])
def test_it_holds_when_the_last_member_has_come_into_the_state(last: int) -> None:
    within = {0, 1, 2, 3, 4} - {last}
    asked: list[int] = []

    def is_so(member: int) -> bool:
        asked.append(member)
        return member in within

    unanimity = Unanimity(range(5), is_so)
    assert [unanimity.holds() for _ in range(3)] == [False] * 3
    assert asked[-2:] == [last, last]
    within.add(last)
    assert unanimity.holds()
    within.discard(0)
    assert not unanimity.holds()


def test_members_that_come_one_by_one_are_asked_once_each_and_of_the_next() -> None:
    within: set[int] = set()
    asked: list[int] = []

    def is_so(member: int) -> bool:
        asked.append(member)
        return member in within

    unanimity = Unanimity(range(100), is_so)
    for member in range(100):
        assert not unanimity.holds()
        within.add(member)
    assert len(asked) < 2 * 100
    assert unanimity.holds()


def test_of_no_members_it_holds() -> None:
    assert Unanimity[int]([], bool).holds()
