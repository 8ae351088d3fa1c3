"""Acknowledging in any thread. A thread may be stopped between any two bytecodes while another goes on: here every such
place is tried, one after the other, without threads; and then real threads have a go at it.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

from streamcore.entries import GroupBatch, GroupEntry
from streamcore.group import GroupConsumer
from streamcore.pending import Pending
from tests.core.pair import Pair


def preempted(
    victim: Callable[[], object], at: int, intruder: Callable[[], object], *stoppable: Callable[..., object]
) -> bool:
    """Call ``victim``; before the ``at``-th bytecode of the ``stoppable`` functions, call ``intruder``.

    Returns whether there were so many bytecodes.
    """
    codes: set[CodeType] = {function.__code__ for function in stoppable}
    passed = 0

    def count(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal passed
        if event == "opcode":
            if passed == at:
                intruder()
            passed += 1
        return count

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes = True
        return count

    others = sys.gettrace()
    sys.settrace(trace)
    try:
        victim()
    finally:
        sys.settrace(others)
    return passed > at


def everywhere(attempt: Callable[[int], bool]) -> None:
    """Try every place until there are no more."""
    places = 0
    while attempt(places):
        places += 1
    assert places > 10, "the functions under test were not traced"


def batch(inbox: Callable[[GroupBatch[Any]], None], number: int = 0, size: int = 2) -> GroupBatch[bytes]:
    raw = [[b"%d-%d" % (number, n), [b"f", b"v"]] for n in range(size)]
    return GroupBatch(b"s", raw, inbox=inbox)


def test_an_ack_in_the_middle_of_a_collection_is_not_lost() -> None:
    def attempt(at: int) -> bool:
        pending = Pending()
        pending.add(first := batch(pending.note))
        first[0].ack()
        reached = preempted(pending.collect, at, first[1].ack, Pending.collect, GroupBatch.collect)
        if reached:
            pending.collect()  # because it was noted
            assert (pending.in_flight, pending.unsent) == (0, 2)
        return reached

    everywhere(attempt)


def test_a_collection_in_the_middle_of_an_ack_does_not_lose_it() -> None:
    def attempt(at: int) -> bool:
        pending = Pending()
        pending.add(first := batch(pending.note))
        first[0].ack()
        reached = preempted(first[1].ack, at, pending.collect, GroupEntry.ack, GroupBatch.note, Pending.note)
        pending.collect()
        assert (pending.in_flight, pending.unsent) == (0, 2)
        return reached

    everywhere(attempt)


def test_two_threads_acknowledging_a_batch_at_once() -> None:
    def attempt(at: int) -> bool:
        pending = Pending()
        pending.add(first := batch(pending.note))
        reached = preempted(first[0].ack, at, first.ack, GroupEntry.ack, GroupBatch.note, Pending.note)
        pending.collect()
        assert pending.unsent == (2 if reached else 1)
        return reached

    everywhere(attempt)


def test_what_is_settling_is_never_invisible() -> None:
    """``settled`` may be asked in any thread: it must not be True while an id changes places."""

    def attempt(at: int) -> bool:
        pending = Pending()
        pending.add(first := batch(pending.note))
        first.ack()
        seen: list[bool] = []

        def settle() -> None:
            pending.collect()
            _, ride = pending.take(b"g")
            pending.lose([ride])

        reached = preempted(
            settle, at, lambda: seen.append(pending.settling), settle, Pending.collect, Pending.take, Pending.lose
        )
        assert all(seen)
        return reached

    everywhere(attempt)


def test_an_ack_at_any_moment_of_the_consumers_timer_leaves_in_time() -> None:
    def attempt(at: int) -> bool:
        consumer = GroupConsumer("s", group="g", consumer="c")
        pair = Pair(consumer)
        consumer.deliver(b"s", [[b"1-0", []], [b"2-0", []]])
        first = consumer.take()
        assert first is not None
        first[0].ack()
        pair.advance(consumer.member.ack_delay / 2)

        def elapse() -> None:
            consumer.handle_timeout(pair.now + consumer.member.ack_delay / 2)

        reached = preempted(
            elapse, at, first[1].ack, GroupConsumer._elapse, GroupConsumer._collect_acks, Pending.collect
        )
        due = consumer.next_timeout()
        assert not reached or consumer._flush or (due is not None and due <= pair.now + consumer.member.ack_delay)
        return reached

    everywhere(attempt)


THREADS = 4
BATCHES = 5000


def test_many_threads() -> None:
    pending = Pending()
    batches = [batch(pending.note, number, THREADS) for number in range(BATCHES)]
    for each in batches:
        pending.add(each)
    start = threading.Barrier(THREADS + 1)

    def work(thread: int) -> None:
        start.wait()
        for number, each in enumerate(batches):
            each[thread].ack()
            if number % 100 == 0:
                batches[number // 2].ack()  # again, perhaps long after it was sent

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    sent: Counter[bytes] = Counter()
    finished = False
    while not finished:
        finished = not any(thread.is_alive() for thread in threads)
        pending.collect()
        commands, ride = pending.take(b"g")
        for _, _, _, *ids in commands:
            sent.update(ids)
        pending.confirm(ride)
    assert (pending.in_flight, pending.settling) == (0, False)
    assert sent == Counter(id_ for each in batches for id_ in each.ids)


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
