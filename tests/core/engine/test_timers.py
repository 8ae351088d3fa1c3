"""Deadlines in one heap: the earliest first, at the same time in order, moved and taken back at any time."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.connection.common import Changes
from streamcore.connection.link import AT_ONCE
from streamcore.engine.timers import MOST, SPARE, DerivedTimer, Timer, Timers


class Clockwork:
    """So many timers, told in their order, and a diary of who was told."""

    def __init__(self, count: int) -> None:
        self.changes = Changes()
        self.timers = Timers(self.changes)
        self.told: list[int] = []
        self.then: dict[int, list[tuple[int, float]]] = {}  # what the act of a timer sets
        self.parts = [self._part(number) for number in range(count)]

    def _part(self, number: int) -> Timer:
        timer = Timer(lambda now: self._act(number), self.changes)
        self.timers.add(timer, number)
        return timer

    def _act(self, number: int) -> None:
        self.told.append(number)
        self.parts[number].set(inf)
        for other, at in self.then.pop(number, ()):
            self.parts[other].set(at)

    def set(self, *deadlines: float) -> Clockwork:
        for part, at in zip(self.parts, deadlines, strict=False):
            part.set(at)
        return self

    def handle(self, now: float) -> list[int]:
        told, self.told = self.told, []
        assert not told
        self.timers.handle(now)
        told, self.told = self.told, []
        return told


def test_a_timer_is_off_until_it_is_set() -> None:
    clockwork = Clockwork(1)
    assert (clockwork.timers.next(), clockwork.parts[0].at) == (None, inf)
    assert clockwork.handle(5.0) == []
    clockwork.set(7.0)
    assert (clockwork.timers.next(), clockwork.timers.next(), clockwork.parts[0].at) == (7.0, 7.0, 7.0)
    assert clockwork.handle(6.9) == []
    assert clockwork.handle(7.0) == [0]
    assert (clockwork.timers.next(), clockwork.parts[0].at) == (None, inf)


def test_what_is_due_together_is_told_in_order_and_the_rest_not() -> None:
    assert Clockwork(4).set(3.0, AT_ONCE, 5.0, 1.0).handle(4.0) == [0, 1, 3]


def test_a_timer_that_another_has_made_due_is_told_as_well_unless_its_turn_has_passed() -> None:
    clockwork = Clockwork(4).set(inf, 1.0, inf, 1.0)
    clockwork.then[1] = [(0, AT_ONCE), (1, AT_ONCE), (2, 1.0), (3, 1.0)]
    assert clockwork.handle(1.0) == [1, 2, 3]
    assert clockwork.timers.next() == AT_ONCE
    assert clockwork.handle(1.0) == [0, 1]


def test_a_timer_that_another_has_put_off_is_not_told() -> None:
    clockwork = Clockwork(2).set(1.0, 1.0)
    clockwork.then[0] = [(1, 9.0)]
    assert clockwork.handle(1.0) == [0]
    assert clockwork.timers.next() == 9.0


def test_many_timers_that_are_due_together_are_told_in_order() -> None:
    clockwork = Clockwork(100)
    for number, part in enumerate(clockwork.parts):
        part.set(float(number % 3))
        clockwork.timers.next()
    assert clockwork.handle(0.0) == list(range(0, 100, 3))
    assert clockwork.handle(2.0) == [number for number in range(100) if number % 3]
    assert clockwork.timers.next() is None


def test_a_deadline_that_has_left_the_heap_and_come_back_is_told_once() -> None:
    clockwork = Clockwork(3 * MOST)
    for at in (5.0, 3.0):
        clockwork.set(*[at] * len(clockwork.parts))
        assert clockwork.timers.next() == at
    assert clockwork.handle(9.0) == list(range(3 * MOST))
    assert clockwork.timers.next() is None


def test_a_deadline_that_moves_all_the_time_leaves_no_litter() -> None:
    clockwork = Clockwork(3 * MOST)
    for now in range(1000):
        for part in clockwork.parts:
            part.set(1e6 - now)
        clockwork.timers.next()
    assert len(clockwork.timers._heap) <= 2 * len(clockwork.parts) + SPARE + MOST
    assert clockwork.timers.next() == 1e6 - 999


STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "next", "handle"]), st.integers(0, 2 * MOST), st.integers(0, 20)), max_size=80
)


@given(STEPS)
def test_the_heap_tells_what_a_plain_search_would(steps: list[tuple[str, int, int]]) -> None:
    clockwork = Clockwork(2 * MOST + 1)
    deadlines = [inf] * len(clockwork.parts)
    for step, number, at in steps:
        match step:
            case "set":
                deadlines[number] = float(at) if at < 20 else inf
                clockwork.parts[number].set(deadlines[number])
            case "next":
                earliest = min(deadlines)
                assert clockwork.timers.next() == (None if earliest == inf else earliest)
            case _:
                due = [number for number, deadline in enumerate(deadlines) if deadline <= at]
                assert clockwork.handle(float(at)) == due
                for told in due:
                    deadlines[told] = inf


class Part:
    """A part of an engine with a deadline that follows from its ``state``, and a record of the times that it was told."""

    def __init__(self, timers: Timers) -> None:
        self.state = inf
        self.asked = 0
        self.told: list[float] = []
        self.timer = DerivedTimer(self._derive, self._act, timers.touched)
        timers.add(self.timer, 0)

    def _derive(self) -> float:
        self.asked += 1
        return self.state

    def _act(self, now: float) -> None:
        self.told.append(now)
        self.state += 10.0

    def change(self, state: float) -> None:
        self.state = state
        self.timer.touch()


def test_a_deadline_is_derived_once_for_all_changes_before_it_is_told() -> None:
    part = Part(timers := Timers(Changes()))
    assert (timers.next(), part.timer.at, part.asked) == (None, inf, 0)
    part.change(9.0)
    part.change(7.0)
    assert (timers.next(), timers.next(), part.timer.at, part.asked) == (7.0, 7.0, 7.0, 1)


def test_a_change_counts_for_the_time_that_is_told_next() -> None:
    part = Part(timers := Timers(Changes()))
    part.change(5.0)
    timers.handle(5.0)
    assert part.told == [5.0]
    part.change(30.0)
    timers.handle(29.0)
    assert part.told == [5.0]


def test_a_deadline_is_derived_anew_when_its_part_has_acted() -> None:
    part = Part(timers := Timers(Changes()))
    part.change(5.0)
    timers.handle(6.0)
    assert (timers.next(), part.told) == (15.0, [6.0])


def test_a_change_in_the_middle_of_a_derivation_is_not_lost() -> None:
    class Hasty(Part):
        def _derive(self) -> float:
            derived = super()._derive()
            if self.asked == 1:
                self.change(3.0)  # as another thread may
            return derived

    part = Hasty(timers := Timers(Changes()))
    part.change(9.0)
    assert timers.next() == 9.0
    assert timers.next() == 3.0


def test_a_change_outlives_the_exception_of_a_signal_handler() -> None:
    class Interrupted(Part):
        def _derive(self) -> float:
            derived = super()._derive()
            if self.asked == 1:
                raise KeyboardInterrupt
            return derived

    part = Interrupted(timers := Timers(Changes()))
    part.change(9.0)
    with pytest.raises(KeyboardInterrupt):
        timers.next()
    assert timers.next() == 9.0
