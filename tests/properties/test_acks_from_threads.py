"""Acknowledging in any thread. A thread may be stopped between any two bytecodes while another goes on: here every such
place is tried, one after the other, without threads; and then real threads have a go at it.

Interpreters differ in how they trace bytecodes. So the tests are put to the test, too: by code that does the right steps in
a wrong order.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FrameType
from typing import Any

import pytest

from streamcore.engine.timers import DerivedTimer, Timers
from streamcore.entries import GroupBatch, GroupEntry, Refusal
from streamcore.group.by_stream import Ride, WaitingSettlements
from streamcore.group.consumer import GroupConsumer
from streamcore.group.options import Membership
from streamcore.group.pending import Pending, Riding
from streamcore.group.read_loop import ReadLoop
from streamcore.group.settlements import Ack, Burial, Settlement
from streamcore.group.settling import Settling
from streamcore.testing.pair import Pair
from tests.support.moments import trace_opcodes

MEMBER = Membership.of("s", "g", "c")


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
        frame.f_trace = count  # from 3.13 on, the next line does nothing in a frame without it
        frame.f_trace_opcodes = True
        return count

    others = sys.gettrace()
    trace_opcodes(trace)
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
    if places <= 10:
        pytest.fail(f"the functions under test were stopped at {places} places only: are they traced?")


def batch(inbox: Callable[[GroupBatch[Any]], None], number: int = 0, size: int = 2) -> GroupBatch[bytes]:
    raw = [[b"%d-%d" % (number, n), [b"f", b"v"]] for n in range(size)]
    return GroupBatch(b"s", raw, inbox=inbox)


def told(pending: Pending) -> set[bytes]:
    """The ids that leave with the next write, each once."""
    ids = [id_ for one in pending.take()[1] for id_ in one.ids]
    assert len(ids) == len(set(ids))
    return set(ids)


def test_an_ack_in_the_middle_of_a_collection_is_not_lost() -> None:
    def attempt(at: int) -> bool:
        pending = Pending(MEMBER)
        pending.add(first := batch(pending.note))
        first[0].ack()
        reached = preempted(pending.collect, at, first[1].ack, Pending.collect, GroupBatch.collect)
        if reached:
            pending.collect()  # because it was noted
            assert (pending.in_flight, told(pending)) == (0, {b"0-0", b"0-1"})
        return reached

    everywhere(attempt)


def test_a_collection_in_the_middle_of_an_ack_does_not_lose_it() -> None:
    def attempt(at: int) -> bool:
        pending = Pending(MEMBER)
        pending.add(first := batch(pending.note))
        first[0].ack()
        reached = preempted(first[1].ack, at, pending.collect, GroupEntry.ack, GroupBatch.note, Pending.note)
        pending.collect()
        assert (pending.in_flight, told(pending)) == (0, {b"0-0", b"0-1"})
        return reached

    everywhere(attempt)


def test_a_nack_in_the_middle_of_a_collection_is_not_lost() -> None:
    def attempt(at: int) -> bool:
        pending = Pending(MEMBER)
        pending.add(first := batch(pending.note))
        first[0].ack()
        reached = preempted(
            pending.collect,
            at,
            first[1].nack,
            Pending.collect,
            Pending._refuse,
            GroupBatch.collect,
            GroupBatch.collect_refusals,
        )
        if reached:
            pending.collect()  # because it was noted
            assert (pending.in_flight, told(pending)) == (0, {b"0-0", b"0-1"})
        return reached

    everywhere(attempt)


def test_a_collection_in_the_middle_of_a_nack_does_not_lose_it() -> None:
    def attempt(at: int) -> bool:
        pending = Pending(MEMBER)
        pending.add(first := batch(pending.note))
        first[0].ack()
        reached = preempted(first[1].nack, at, pending.collect, GroupBatch.refuse, GroupBatch.note, Pending.note)
        pending.collect()
        assert (pending.in_flight, told(pending)) == (0, {b"0-0", b"0-1"})
        return reached

    everywhere(attempt)


def test_an_entry_acknowledged_and_refused_at_once_is_settled_in_one_way() -> None:
    def attempt(at: int) -> bool:
        pending = Pending(MEMBER)
        pending.add(first := batch(pending.note, size=1))
        first[0].dead_letter()
        reached = preempted(
            pending.collect, at, first[0].ack, Pending.collect, GroupBatch.collect, GroupBatch.collect_refusals
        )
        pending.collect()
        assert (pending.in_flight, told(pending)) == (0, {b"0-0"})
        return reached

    everywhere(attempt)


def test_two_threads_acknowledging_a_batch_at_once() -> None:
    def attempt(at: int) -> bool:
        pending = Pending(MEMBER)
        pending.add(first := batch(pending.note))
        reached = preempted(first[0].ack, at, first.ack, GroupEntry.ack, GroupBatch.note, Pending.note)
        pending.collect()
        assert told(pending) == ({b"0-0", b"0-1"} if reached else {b"0-0"})
        return reached

    everywhere(attempt)


def test_what_is_settling_is_never_invisible() -> None:
    """``settled`` may be asked in any thread: it must not be True while an id changes places."""

    def attempt(at: int) -> bool:
        pending = Pending(MEMBER)
        pending.add(first := batch(pending.note))
        first.ack()
        seen: list[bool] = []

        def settle() -> None:
            pending.collect()
            _, ride = pending.take()
            pending.lose([ride])

        reached = preempted(
            settle, at, lambda: seen.append(pending.settling), settle, Pending.collect, Pending.take, Pending.lose
        )
        assert all(seen)
        return reached

    everywhere(attempt)


@pytest.mark.parametrize("how", ["ack", "nack"])
def test_an_entry_is_never_settled_before_its_confirmation(how: str) -> None:
    def attempt(at: int) -> bool:
        pending = Pending(MEMBER)
        first = batch(pending.note)
        first.awaited = pending.awaits
        pending.add(first)
        getattr(first, how)()
        seen: list[bool] = []

        def settle() -> None:
            pending.collect()
            _, ride = pending.take()
            pending.lose([ride])

        parts = (Pending.collect, Pending._refuse, Pending.take, Pending.lose, GroupBatch.collect)
        reached = preempted(settle, at, lambda: seen.append(first[0].settled()), settle, *parts)
        assert not any(seen)
        _, ride = pending.take()
        pending.confirm(ride)
        assert first[0].settled()
        return reached

    everywhere(attempt)


class Acknowledging:
    """A consumer and a batch of two entries, of which the first is acknowledged, and may leave at ``due``, in seconds."""

    def __init__(self) -> None:
        self.consumer = GroupConsumer("s", group="g", consumer="c")
        self.pair = Pair(self.consumer)
        self.loop = self.consumer.members[0].loop
        self.loop.intake.deliver(b"s", [[b"1-0", []], [b"2-0", []]])
        batch = self.consumer.take()
        assert batch is not None
        self.first, self.second = batch
        self.first.ack()
        self.pair.settle()
        self.due = self.pair.now + self.consumer.members[0].membership.ack_delay / 2

    def tell_time(self) -> None:
        """Tell the engine that the acknowledgement is due, in a driver's way."""
        assert self.consumer.next_timeout() is not None
        self.consumer.handle_timeout(self.due)
        self.consumer.next_timeout()

    def leaves_in_time(self) -> bool:
        """Whether both entries are collected, and on their way, within ``ack_delay``, where the driver obeys the engine's timer."""
        while self.loop.pending.noted:
            at = self.consumer.next_timeout()
            if at is None or at > self.due + self.consumer.members[0].membership.ack_delay:
                return False
            self.consumer.handle_timeout(max(at, self.due))
        return self.loop.settling.at_once


def test_an_ack_at_any_moment_of_the_consumers_timer_leaves_in_time() -> None:
    timer = (Timers.next, Timers.handle, Timers._derive, DerivedTimer.handle_timeout, ReadLoop.timer, ReadLoop.elapse)
    acks = (Settling.elapse, Settling.collect, Pending.collect)

    def attempt(at: int) -> bool:
        acknowledging = Acknowledging()
        reached = preempted(acknowledging.tell_time, at, acknowledging.second.ack, *timer, *acks)
        assert not reached or acknowledging.leaves_in_time()
        return reached

    everywhere(attempt)


def test_an_ack_that_the_consumers_timer_interrupts_anywhere_leaves_in_time() -> None:
    def attempt(at: int) -> bool:
        acknowledging = Acknowledging()
        acknowledging.tell_time()
        parts = (GroupEntry.ack, GroupBatch.note, Settling.note, Pending.note)
        reached = preempted(acknowledging.second.ack, at, acknowledging.tell_time, *parts)
        assert acknowledging.leaves_in_time()
        return reached

    everywhere(attempt)


# -- the tests notice a wrong order -------------------------------------------------------------------------------------


def note_then_append(self: GroupEntry[Any]) -> None:
    if not self._batch.noted:
        self._batch.note()
    self._batch.acks.append(self._raw[0])


def note_then_extend(self: GroupBatch[Any], ids: list[bytes], delay: float | None, reason: str) -> None:
    if not self.noted:
        self.note()
    self.refusals.extend(Refusal(id_, delay, reason.encode()) for id_ in ids)


def drain_then_unnote(self: GroupBatch[Any]) -> list[bytes]:
    ids = self.acks.copy()
    del self.acks[: len(ids)]
    if self.unsettled is None:
        self.unsettled = set(self.ids)
    self.unsettled.difference_update(ids)
    self.noted = False
    return ids


def forget_then_collect(self: Pending) -> None:
    while self._noted:
        batch = self._noted.popleft()
        ids = batch.collect()
        if ids:
            self._acked.setdefault((batch.key, False), []).extend(ids)
            self.in_flight -= len(ids)
        if batch.refusals:
            self._refuse(batch, batch.collect_refusals())


def forget_then_ride(self: Pending) -> tuple[list[Any], list[Settlement]]:
    ride = Ride([Ack(stream, ids) for (stream, _), ids in self._acked.items()] + self._refused.all())
    self._acked, self._refused = {}, WaitingSettlements()
    self._riding[id(ride)] = Riding(ride, self._spoken_of, {})
    return [], ride


def confirm_then_put_off(self: Pending, rides: list[Ride]) -> None:
    for ride in rides:
        self.confirm(ride)
        for one in ride:
            self._put_off(one)


WRONG: list[tuple[type[Any], str, Callable[..., Any], Callable[[], None]]] = [
    (GroupEntry, "ack", note_then_append, test_a_collection_in_the_middle_of_an_ack_does_not_lose_it),
    (GroupBatch, "refuse", note_then_extend, test_a_collection_in_the_middle_of_a_nack_does_not_lose_it),
    (GroupBatch, "collect", drain_then_unnote, test_an_ack_in_the_middle_of_a_collection_is_not_lost),
    (Pending, "collect", forget_then_collect, test_what_is_settling_is_never_invisible),
    (Pending, "take", forget_then_ride, test_what_is_settling_is_never_invisible),
    (Pending, "lose", confirm_then_put_off, test_what_is_settling_is_never_invisible),
    (Pending, "collect", forget_then_collect, partial(test_an_entry_is_never_settled_before_its_confirmation, "ack")),
    (Pending, "take", forget_then_ride, partial(test_an_entry_is_never_settled_before_its_confirmation, "nack")),
]


@pytest.mark.parametrize(("owner", "name", "wrong", "proof"), WRONG)
def test_a_wrong_order_is_noticed(
    owner: type[Any],
    name: str,
    wrong: Callable[..., Any],
    proof: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, name, wrong)
    pending = Pending(MEMBER)
    pending.add(first := batch(pending.note))
    first[0].ack()
    first[1].nack()
    pending.collect()
    ride = pending.take()[1]
    pending.lose([ride])
    assert told(pending) == {b"0-0", b"0-1"}, "where nobody comes between, the order makes no difference"
    with pytest.raises(AssertionError):
        proof()


THREADS = 4
BATCHES = 5000


def test_many_threads() -> None:
    pending = Pending(MEMBER)
    batches = [batch(pending.note, number, THREADS) for number in range(BATCHES)]
    for each in batches:
        pending.add(each)
    start = threading.Barrier(THREADS + 1)

    def work(thread: int) -> None:
        start.wait()
        for number, each in enumerate(batches):
            if thread:
                each[thread].ack()
            else:
                each[thread].dead_letter()
            if number % 100 == 0:
                batches[number // 2].ack()  # again, perhaps long after it was sent

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    sent: Counter[bytes] = Counter()
    buried = 0
    finished = False
    while not finished:
        finished = not any(thread.is_alive() for thread in threads)
        pending.collect()
        _, ride = pending.take()
        for one in ride:
            sent.update(one.ids)
            buried += isinstance(one, Burial)
        pending.confirm(ride)
    assert (pending.in_flight, pending.settling) == (0, False)
    assert sent == Counter(id_ for each in batches for id_ in each.ids)
    assert 0 < buried <= BATCHES


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
