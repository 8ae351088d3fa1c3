from __future__ import annotations

from itertools import count

from streamcore.engine.event_queue import MAX_EVENTS, EventQueue
from streamcore.events import EntriesClaimed, EventsDropped


def claimed(number: int) -> EntriesClaimed:
    return EntriesClaimed(b"s", number)


def test_events_come_in_their_order_and_each_in_its_place() -> None:
    queue = EventQueue(count())
    for number, place in ((1, 0), (2, 3)):
        queue.add(claimed(number), place)
    assert (queue.take(0), queue.is_due(0), queue.take(2)) == (claimed(1), False, None)
    assert (queue.is_due(3), queue.take(3)) == (True, claimed(2))


def test_without_a_place_all_of_them_are_due() -> None:
    queue = EventQueue(count())
    queue.add(claimed(1), 7)
    assert (queue.is_due(None), queue.take(), queue.take(), queue.is_due(None)) == (True, claimed(1), None, False)


def test_where_there_are_too_many_the_oldest_go_and_their_number_is_told_first() -> None:
    queue = EventQueue(count())
    for number in range(MAX_EVENTS + 2):
        queue.add(claimed(number), number)
    assert queue.is_due(0)
    assert (queue.take(0), queue.take(0), queue.take(2)) == (EventsDropped(2), None, claimed(2))


def test_the_oldest_of_several_queues_is_known_by_its_number() -> None:
    numbers = count()
    queues = [EventQueue(numbers), EventQueue(numbers)]
    for at in (1, 0, 1):
        queues[at].add(claimed(at))
    assert [queue.oldest for queue in queues] == [1, 0]
    queues[1].take()
    assert [queue.oldest for queue in queues] == [1, 2]
