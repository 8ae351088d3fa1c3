"""The buffer of messages, and what an interruption leaves of it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import pytest

from streamcore.channels import ChannelMessage, Subscriber
from streamcore.engine.message_buffer import MessageBuffer
from streamcore.errors import ConnectionLost
from streamcore.events import Event, MessagesDropped, StaleConnectionKilled, SubscriptionGap
from streamcore.pubsub.buffer import ConfirmationMarker, GapMarker, PushBuffer
from tests.support.moments import CORE, moments

LIMIT = 12
FEW = 5


class Words(MessageBuffer[str, int]):
    """A buffer whose markers are the numbers of dropped words."""

    def _mark_drops(self, count: int) -> None:
        self._count(1, 1)
        self._items.append(count)

    def take(self) -> list[Any]:
        if not self._markers:
            return self._take_plain()
        taken = [*self._items]
        self._items.clear()
        self._check_counts()
        return taken


def words(limit: int = 4, nbytes: int = 100) -> Words:
    return Words(limit, nbytes, lambda items: sum(map(len, items)), chunk=3)


def is_full(buffer: Words) -> bool:
    """A function: the type checker takes an attribute to stay as it was."""
    return buffer.is_full


def test_messages_are_taken_in_order_a_chunk_at_a_time() -> None:
    buffer = words()
    buffer.extend(["a", "b", "c", "d", "e"])
    assert is_full(buffer)
    assert buffer.take() == ["a", "b", "c"]
    assert not is_full(buffer)
    assert [buffer.take(), buffer.take()] == [["d", "e"], []]


def test_it_is_full_by_number_or_by_bytes() -> None:
    buffer = words(nbytes=6)
    buffer.extend(["a", "b", "c"])
    assert not is_full(buffer)
    buffer.extend(["xyz"])
    assert is_full(buffer)
    buffer.take()
    assert not is_full(buffer)
    buffer.extend(["xyz"])
    assert is_full(buffer)


def test_what_has_no_room_is_dropped_and_counted() -> None:
    buffer = words(nbytes=6)
    buffer.fill(["a", "b"])
    buffer.fill(["c", "d", "e", "f"])
    buffer.fill(["g"])
    assert buffer.dropped == 3
    assert buffer.take() == ["a", "b", "c", "d", 2, 1]
    buffer.fill(["long enough", "h"])
    buffer.fill(["i"])
    assert buffer.take() == ["long enough", "h", 1]


def test_a_message_that_cannot_be_measured_does_not_enter() -> None:
    buffer = words()
    with pytest.raises(TypeError):
        buffer.extend(["a", 1])  # type: ignore[list-item]  # no word
    assert buffer.take() == []


class Pushes:
    """A buffer of pub/sub, with all kinds of markers that are not raised."""

    def __init__(self, when_full: Any) -> None:
        self.buffer = PushBuffer[str](LIMIT, 1000, when_full, lambda items: sum(map(len, items)))
        self.buffer._chunk = FEW
        self.events: list[Event] = []

    def mark(self) -> None:
        self.buffer.add_marker(ConfirmationMarker("confirmed"))
        self.buffer.add_marker(GapMarker(SubscriptionGap("main", None, ConnectionLost("lost"))))

    def add(self, count: int = 1) -> None:
        self.buffer.add(["x"] * count)

    def take(self) -> list[Any]:
        return self.buffer.take(self.events.append)


class Queue:
    """The queue of a subscriber to channels."""

    def __init__(self, when_full: Any) -> None:
        self.events: list[Event] = []
        self.buffer = Subscriber(LIMIT, 1000)
        self.buffer._chunk = FEW
        self._policy = when_full

    def mark(self) -> None:
        self.buffer.tell(StaleConnectionKilled(1))

    def add(self, count: int = 1) -> None:
        self.buffer.add_or_drop([ChannelMessage("a", "x")] * count, self._policy)

    def take(self) -> list[Any]:
        found = self.buffer.take(self.events.append, events=True)
        return [item.data if isinstance(item, ChannelMessage) else "event" for item in found]


def interrupted(work: Callable[[], object], after: int) -> bool:
    """Tell whether a call was interrupted, after so many calls and returns inside it: there a signal handler may run."""
    left = after

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal left
        left -= frame.f_code is not interrupted.__code__
        if left < 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    collects = gc.isenabled()
    gc.disable()  # what runs when garbage is collected is no call inside it
    try:
        sys.setprofile(count)
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
        if collects:
            gc.enable()
    return False


@pytest.mark.parametrize("make", [Pushes, Queue])
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
@pytest.mark.parametrize("interrupts", ["add", "mark", "take"])
@pytest.mark.parametrize("counts", [(3, 2), (FEW + 3, 0), (3, LIMIT), (0, LIMIT + 2)])
def test_an_interruption_makes_no_message_of_a_marker_and_takes_no_room_for_ever(
    make: Callable[[str], Pushes | Queue], policy: str, interrupts: str, counts: tuple[int, int]
) -> None:
    after, goes_on = 0, True
    while goes_on:
        queue = make(policy)
        for count in counts:
            queue.mark()
            queue.add(count)
        goes_on = interrupted(getattr(queue, interrupts), after)
        queue.add()
        while found := queue.take():
            assert set(found) <= {"x", "confirmed", "event"}
        assert (queue.buffer._markers, queue.buffer._beside, queue.buffer._nbytes) == (0, 0, 0)
        after += 1


def interrupt() -> None:
    raise KeyboardInterrupt


def told(queue: Pushes | Queue) -> tuple[int, int]:
    """How many dropped messages were told, and how many gaps."""
    drops = sum(event.messages for event in queue.events if isinstance(event, MessagesDropped))
    return drops, sum(isinstance(event, SubscriptionGap) for event in queue.events)


@pytest.mark.parametrize("make", [Pushes, Queue])
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
@pytest.mark.parametrize("counts", [(1, LIMIT + 2), (LIMIT + 2, 1), (LIMIT + 2, LIMIT + 3), (2, 2)])
def test_what_was_dropped_is_told_once_wherever_a_signal_handler_raises(
    make: Callable[[str], Pushes | Queue], policy: str, counts: tuple[int, int]
) -> None:
    def filled() -> Pushes | Queue:
        queue = make(policy)
        for count in counts:
            queue.mark()
            queue.add(count)
        return queue

    def drain(queue: Pushes | Queue) -> None:
        while queue.take():
            pass

    drain(undisturbed := filled())
    expected = told(undisturbed)
    assert expected[0] == undisturbed.buffer.dropped
    at, goes_on = 0, True
    while goes_on:
        queue, goes_on = filled(), True
        with suppress(KeyboardInterrupt):
            goes_on = moments(partial(drain, queue), at, interrupt, within=(CORE,))
        drain(queue)
        assert told(queue) == expected, f"interrupted at moment {at}"
        at += 1
    assert at > 5


def test_what_is_dropped_behind_a_number_that_was_told_is_told_as_well() -> None:
    buffer, events = PushBuffer[str](1, 1000, "drop_newest", lambda items: sum(map(len, items))), list[Event]()
    buffer.add(["a", "b"])
    buffer.add_marker(GapMarker(SubscriptionGap("main", None, ConnectionLost("lost"))))
    assert buffer.take(events.append) == ["a"]

    def interrupted_behind_it(event: Event) -> None:
        events.append(event)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        buffer.take(interrupted_behind_it)
    buffer.add_marker(ConfirmationMarker("confirmed"))  # has no room
    assert buffer.take(events.append) == []
    assert [type(event) for event in events] == [MessagesDropped, SubscriptionGap, MessagesDropped]
    assert sum(event.messages for event in events if isinstance(event, MessagesDropped)) == buffer.dropped == 2
