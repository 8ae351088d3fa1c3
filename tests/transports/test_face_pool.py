"""What ``run`` does next, without a runtime."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from streamcore.entries import GroupBatch, GroupEntry
from streamcore.errors import ClosedError, InvalidArgument
from transports._facade.handler_pool import MAX_REASON, Line, Pool, acknowledge


def batch(key: str, *numbers: int) -> GroupBatch[bytes]:
    return GroupBatch(key.encode(), [[b"%d-0" % n, [b"n", b"%d" % n]] for n in numbers], inbox=lambda _: None)


class Source:
    """An engine as far as a pool knows it."""

    def __init__(self, *batches: GroupBatch[bytes]) -> None:
        self.batches = deque(batches)
        self.ends = True
        self.error: Exception | None = None

    @property
    def ended(self) -> bool:
        return self.ends and not self.batches

    def take(self) -> GroupBatch[bytes] | None:
        if self.error is not None:
            raise self.error
        return self.batches.popleft() if self.batches else None

    def split(self, batch: GroupBatch[bytes], at: int) -> GroupBatch[bytes]:
        return batch.split(at)

    def put_back(self, batch: GroupBatch[bytes]) -> None:
        self.batches.appendleft(batch)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


Job = tuple[Line[GroupEntry[bytes]], GroupEntry[bytes]]


class Work:
    """A pool, and what was begun."""

    def __init__(self, *batches: GroupBatch[bytes], **options: Any) -> None:
        given: dict[str, Any] = {
            "concurrency": 2,
            "order": "free",
            "on_error": "nack",
            "nack_delay": 0,
            "grace": 5,
            **options,
        }
        self.clock = Clock()
        self.source = Source(*batches)
        self.pool: Pool[GroupEntry[bytes]] = Pool(self.source, self.clock, **given)
        self.jobs: dict[str, Job] = {}

    def begin(self) -> str | None:
        """Begin what is next: its stream and number; None: there is nothing now."""
        self.pool.look()
        job = self.pool.begin()
        if job is None:
            return None
        name = f"{job[1].stream.decode()}{job[1].id.ms}"
        self.jobs[name] = job
        return name

    def finish(self, name: str) -> None:
        self.pool.finish(self.jobs.pop(name)[0])

    @property
    def left(self) -> list[str]:
        """What the source would give next."""
        return [f"{one.stream.decode()}{entry.id.ms}" for one in self.source.batches for entry in one]


def test_in_free_order_entries_are_begun_as_they_came_by_whoever_is_free() -> None:
    work = Work(batch("a", 1, 2), batch("b", 1))
    assert [work.begin() for _ in range(4)] == ["a1", "a2", "b1", None]


def test_in_free_order_a_batch_is_taken_when_the_one_before_is_through() -> None:
    work = Work(batch("a", 1, 2), batch("b", 1))
    work.begin()
    assert work.left == ["b1"]
    work.begin()
    assert work.left == ["b1"]


def test_by_streams_each_has_one_entry_at_a_time() -> None:
    work = Work(batch("a", 1, 2), batch("b", 1, 2), order="stream", concurrency=3)
    assert [work.begin() for _ in range(3)] == ["a1", "b1", None]
    work.finish("b1")
    assert [work.begin() for _ in range(2)] == ["b2", None]
    work.finish("a1")
    assert work.begin() == "a2"
    work.finish("a2")
    work.finish("b2")
    assert work.begin() is None


def test_by_streams_the_next_batch_of_a_stream_waits_behind_its_last() -> None:
    work = Work(batch("a", 1), batch("a", 2), batch("b", 1), order="stream")
    assert [work.begin() for _ in range(3)] == ["a1", "b1", None]
    work.finish("a1")
    assert work.begin() == "a2"


def test_by_streams_no_stream_waits_for_another_that_has_more() -> None:
    work = Work(batch("a", 1, 2, 3), batch("b", 1), order="stream", concurrency=2)
    assert work.begin() == "a1"
    assert work.begin() == "b1"
    work.finish("a1")
    work.source.batches.append(batch("c", 1))
    assert [work.begin(), work.begin()] == ["a2", "c1"]


def test_no_more_batches_are_held_than_there_are_handlers() -> None:
    work = Work(*(batch("a", 2 * n, 2 * n + 1) for n in range(5)), order="stream", concurrency=3)
    work.begin()
    assert work.begin() is None
    assert len(work.source.batches) == 2


def test_those_that_wait_are_called_when_another_stream_is_free() -> None:
    work = Work(batch("a", 1, 2), batch("b", 1, 2), order="stream", concurrency=4)
    work.pool.waiting = 2
    called = []
    for step in ("begin", "begin", "finish a1", "finish b1", "begin", "begin"):
        if step == "begin":
            work.begin()
            called.append(work.pool.calls_others())
        else:
            work.finish(step.split()[1])
    assert called == [False, False, True, False]  # for the second begin of those two another worker might have come


def test_those_that_wait_are_called_when_another_batch_may_be_taken() -> None:
    work = Work(batch("a", 1, 2), batch("a", 3, 4), batch("b", 1), order="stream", concurrency=2)
    work.pool.waiting = 1
    assert work.begin() == "a1"
    called = [work.pool.calls_others()]
    assert work.begin() is None
    work.finish("a1")
    assert work.begin() == "a2"
    called.append(work.pool.calls_others())
    assert work.begin() == "b1"
    assert called == [False, True]


def test_nobody_is_called_for_a_stream_that_goes_on_or_where_nobody_waits() -> None:
    work = Work(batch("a", 1, 2, 3), batch("b", 1), order="stream", concurrency=3)
    called = []
    for name in ("a1", "a2"):
        assert work.begin() == name
        called.append(work.pool.calls_others())
        work.finish(name)
    work.source.batches.append(batch("c", 1))
    work.begin()
    called.append(work.pool.calls_others())
    assert called == [False, False, False]


def test_nothing_to_do_is_no_end() -> None:
    work = Work()
    work.source.ends = False
    looked = [work.pool.look()]
    assert work.pool.has_work
    work.source.batches.append(batch("a", 1))
    assert [*looked, work.pool.look()] == [False, True]
    assert work.begin() == "a1"


def test_it_ends_with_the_engine() -> None:
    work = Work(batch("a", 1))
    assert work.pool.look()
    has_work = [work.pool.has_work]
    work.begin()
    assert work.pool.look()
    assert [*has_work, work.pool.has_work] == [True, False]


def test_at_the_end_a_stream_that_is_worked_at_is_left_to_its_worker() -> None:
    work = Work(batch("a", 1, 2), order="stream")
    work.begin()
    assert work.pool.look()
    has_work = [work.pool.has_work]
    work.finish("a1")
    assert [*has_work, work.pool.has_work] == [False, True]
    assert work.begin() == "a2"


def test_what_ends_the_engine_is_raised() -> None:
    work = Work()
    work.source.error = ClosedError("closed")
    with pytest.raises(ClosedError):
        work.pool.look()


def test_draining_leaves_the_grace_and_then_begins_nothing() -> None:
    work = Work(batch("a", 1, 2, 3))
    work.begin()
    work.pool.drain()
    work.clock.now += 4.9
    work.pool.drain()  # again: the time goes on
    assert work.begin() == "a2"
    work.clock.now += 0.1
    assert work.begin() is None
    assert work.pool.look()
    assert not work.pool.has_work


def test_without_grace_nothing_is_begun_after_draining() -> None:
    work = Work(batch("a", 1), grace=0)
    work.pool.drain()
    assert work.begin() is None


@pytest.mark.parametrize("order", ["free", "stream"])
def test_what_nobody_has_begun_is_given_back_in_its_order(order: str) -> None:
    work = Work(batch("a", 1, 2, 3), batch("a", 4, 5), batch("b", 1, 2), batch("b", 3), order=order, concurrency=3)
    assert work.begin() == "a1"
    for _ in range(2):
        work.begin()
    begun = set(work.jobs)
    work.pool.halt()
    work.pool.give_back()
    everything = ["a1", "a2", "a3", "a4", "a5", "b1", "b2", "b3"]
    assert work.left == [name for name in everything if name not in begun]
    work.pool.give_back()
    assert len(work.left) == 8 - len(begun)


def test_nothing_is_begun_after_a_failure_and_the_first_one_counts() -> None:
    work = Work(batch("a", 1, 2))
    first, second = LookupError("first"), ValueError("second")
    for error in (first, second, first):
        work.pool.fail(error)
    assert work.begin() is None
    assert work.pool.error is first
    assert first.__notes__ == ["then, before all handlers had ended: ValueError: second"]


# -- failures ------------------------------------------------------------------------------------------------------------


def settle(on_error: Any, error: Exception, **options: Any) -> tuple[Any, list[Any], BaseException | None]:
    """What ``on_error`` says, what was refused by that, and what is raised."""
    mine = batch("a", 1)
    work = Work(mine, on_error=on_error, **options)
    verdict = work.pool.settle(mine[0], error)
    return verdict, [(refusal.delay, refusal.reason) for refusal in mine.refusals], work.pool.error


def test_a_failure_is_refused_with_its_reason() -> None:
    assert settle("nack", LookupError("gone"), nack_delay=2.5) == ("nack", [(2.5, b"LookupError: gone")], None)
    assert settle("dead_letter", LookupError("gone")) == ("dead_letter", [(None, b"LookupError: gone")], None)


def test_a_long_reason_is_cut() -> None:
    [(_, reason)] = settle("nack", LookupError("x" * 10_000))[1]
    assert len(reason) == MAX_REASON


def test_a_failure_that_is_raised_leaves_its_entry_alone() -> None:
    error = LookupError("gone")
    assert settle("raise", error) == ("raise", [], error)


@pytest.mark.parametrize("verdict", ["nack", "dead_letter", "raise", None])
def test_a_function_decides(verdict: Any) -> None:
    seen: list[Any] = []

    def on_error(entry: GroupEntry[bytes], error: Exception) -> Any:
        seen.append((entry.raw_id, str(error)))
        return verdict

    assert settle(on_error, LookupError("gone"))[0] == verdict
    assert seen == [(b"1-0", "gone")]


def test_a_function_that_sees_to_the_entry_itself() -> None:
    def on_error(entry: GroupEntry[bytes], error: Exception) -> None:
        entry.nack(delay=7, reason="later")

    assert settle(on_error, LookupError("gone")) == (None, [(7.0, b"later")], None)


def test_a_function_that_fails_ends_the_work() -> None:
    def on_error(entry: GroupEntry[bytes], error: Exception) -> Any:
        raise ValueError("a mistake")

    verdict, refused, error = settle(on_error, LookupError("gone"))
    assert (verdict, refused, str(error)) == ("raise", [], "a mistake")


def test_a_function_that_answers_nonsense_ends_the_work() -> None:
    verdict, refused, error = settle(lambda entry, error: "ack", LookupError("gone"))
    assert (verdict, refused) == ("raise", [])
    assert isinstance(error, InvalidArgument)
    assert "on_error answered 'ack'; answer 'nack'" in str(error)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1, not 0"),
        ({"order": "fifo"}, "order"),
        ({"on_error": "ignore"}, "on_error"),
        ({"nack_delay": -1}, "nack_delay must be at least 0 seconds"),
        ({"grace": -1}, "grace must be at least 0 seconds"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        Work(**options)


# -- acknowledging for the application --------------------------------------------------------------------------------


@pytest.mark.parametrize("refuse", [GroupEntry.nack, GroupEntry.dead_letter])
def test_what_was_refused_is_not_acknowledged(refuse: Callable[[GroupEntry[bytes]], None]) -> None:
    mine = batch("a", 1, 2, 3)
    refuse(mine[1])
    for entry in mine:
        acknowledge(entry)
    assert mine.acks == [b"1-0", b"3-0"]
    acknowledge(mine)
    assert mine.acks == [b"1-0", b"3-0"] * 2


def test_a_whole_batch_is_acknowledged_at_once_and_other_things_are_left_alone() -> None:
    mine = batch("a", 1, 2)
    for thing in (mine, None, "an event"):
        acknowledge(thing)
    assert mine.acks == [b"1-0", b"2-0"]
