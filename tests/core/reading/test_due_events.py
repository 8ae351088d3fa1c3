"""Events that are due among many readers come in their order, and nobody asks the others."""

from __future__ import annotations

from itertools import count

from streamcore.engine.event_queue import MAX_EVENTS, EventQueue
from streamcore.events import Event, EventsDropped, StaleConnectionKilled
from streamcore.reading.due_events import DueEvents
from tests.core.support.calls import Calls


class Told:
    """A reader with events, each behind so many batches; ``reached`` is how many were taken."""

    def __init__(self, numbers: count[int]) -> None:
        self.reached = 0
        self._events = EventQueue(numbers)

    def add(self, number: int, place: int = 0) -> None:
        self._events.add(StaleConnectionKilled(number), place)

    @property
    def has_event(self) -> bool:
        return self._events.is_due(self.reached)

    @property
    def oldest_event(self) -> int:
        return self._events.oldest

    def next_event(self) -> Event | None:
        return self._events.take(self.reached)


def told(due: DueEvents) -> list[int]:
    """Take all that are due."""
    taken: list[int] = []
    while due.has_event:
        event = due.take()
        assert isinstance(event, StaleConnectionKilled)
        taken.append(event.client_id)
    assert due.take() is None
    return taken


def test_the_oldest_of_all_readers_comes_first_and_each_once() -> None:
    numbers, due = count(), DueEvents()
    one, other = Told(numbers), Told(numbers)
    for number, reader in enumerate((one, other, other, one)):
        reader.add(number)
        due.add(reader)
    assert told(due) == [0, 1, 2, 3]
    other.add(4)
    due.add(other)
    assert told(due) == [4]


def test_an_event_waits_for_a_batch_that_was_put_back() -> None:
    numbers, due = count(), DueEvents()
    one, other = Told(numbers), Told(numbers)
    one.add(0, place=1)
    other.add(1)
    one.reached = 1
    due.add(one)
    due.add(other)
    one.reached = 0
    assert told(due) == [1]
    one.reached = 1
    due.add(one)
    assert told(due) == [0]


def test_what_has_gone_from_a_full_queue_does_not_count() -> None:
    numbers, due = count(), DueEvents()
    one, other = Told(numbers), Told(numbers)
    one.add(0)
    due.add(one)
    other.add(1)
    due.add(other)
    for number in range(2, 2 + MAX_EVENTS):
        one.add(number)
    taken = [due.take() for _ in range(3)]
    assert taken == [StaleConnectionKilled(1), EventsDropped(1), StaleConnectionKilled(2)]
    assert told(due) == list(range(3, 2 + MAX_EVENTS))


def test_an_event_costs_the_same_among_a_thousand_that_are_due() -> None:
    made = []
    for readers in (10, 1000):
        numbers, due = count(), DueEvents()
        for number in range(readers):
            reader = Told(numbers)
            for _ in range(2):
                reader.add(number)
            due.add(reader)
        with Calls() as calls:
            assert due.has_event
            assert due.take() is not None
        made.append(calls.made)
    assert made[0] == made[1]
