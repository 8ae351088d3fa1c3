from __future__ import annotations

from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamcore.consumer.merge import Merge
from streamcore.entries import StreamId

A, B, C = b"a", b"b", b"c"


def entries(*ids: int) -> list[Any]:
    return [[b"%d-0" % ms, [b"f", b"v"]] for ms in ids]


def released(merge: Merge, streams: tuple[bytes, ...] = (A, B), now: float = 0.0) -> list[tuple[bytes, list[int]]]:
    return [(stream, [StreamId.parse(entry[0]).ms for entry in run]) for stream, run, _ in merge.release(streams, now)]


def test_all_that_there_is_comes_in_order_as_runs_of_one_stream() -> None:
    merge = Merge()
    merge.add(A, entries(1, 2, 6), full=False, now=0.0)
    merge.add(B, entries(3, 5, 7), full=False, now=0.0)
    assert released(merge) == [(A, [1, 2]), (B, [3, 5]), (A, [6]), (B, [7])]
    assert merge.wanted([A, B]) == [A, B]
    assert merge.may_wait


def test_equal_ids_come_in_the_order_of_the_streams_names() -> None:
    merge = Merge()
    merge.add(B, entries(5), full=False, now=0.0)
    merge.add(A, entries(5), full=False, now=0.0)
    assert released(merge) == [(A, [5]), (B, [5])]


def test_nothing_is_let_go_above_the_end_of_a_stream_that_may_have_more() -> None:
    merge = Merge()
    merge.add(A, entries(1, 3), full=True, now=0.0)
    merge.add(B, entries(2, 9), full=False, now=0.0)
    assert released(merge) == [(A, [1]), (B, [2]), (A, [3])]
    assert merge.wanted([A, B]) == [A]
    assert not merge.may_wait
    merge.add(A, entries(4, 8), full=True, now=0.0)
    assert released(merge) == [(A, [4, 8])]
    merge.add(A, entries(), full=False, now=0.0)
    assert released(merge) == [(B, [9])]


def test_a_stream_is_forgotten_with_what_it_holds_up() -> None:
    merge = Merge()
    merge.add(A, entries(1), full=True, now=0.0)
    merge.add(B, entries(5), full=False, now=0.0)
    merge.drop(A)
    assert released(merge, (B,)) == [(B, [5])]
    assert merge.may_wait


def test_latecomers_have_some_time() -> None:
    merge = Merge(wait=1.0)
    merge.add(A, entries(5, 6), full=False, now=10.0)
    assert merge.due == 11.0
    assert released(merge, now=10.5) == []
    assert merge.wanted([A, B]) == [B]
    merge.add(B, entries(4), full=False, now=10.6)
    assert released(merge, now=10.6) == [(B, [4])], "both streams show what they have: nothing below 4 can come"
    assert released(merge, now=11.0) == [(A, [5, 6])]
    assert merge.due == inf


def test_what_has_waited_takes_along_what_is_older() -> None:
    merge = Merge(wait=1.0)
    merge.add(A, entries(5, 6), full=False, now=10.0)
    merge.add(B, entries(4, 9), full=False, now=10.9)
    assert released(merge, (A, B, C), now=11.0) == [(B, [4]), (A, [5, 6])]
    assert merge.due == 11.9
    assert released(merge, (A, B, C), now=12.0) == [(B, [9])]


def test_waiting_ends_at_a_stream_that_may_have_more() -> None:
    merge = Merge(wait=1.0)
    merge.add(A, entries(5), full=True, now=10.0)
    merge.add(B, entries(9), full=False, now=10.0)
    assert released(merge, (A, B, C), now=12.0) == [(A, [5])]


@given(
    st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(1, 30)), unique=True, max_size=40),
    st.integers(1, 4),
)
def test_in_the_end_everything_came_in_order(added: list[tuple[bytes, int]], count: int) -> None:
    """Read as a consumer does, from streams to which nobody adds meanwhile."""
    left = {stream: sorted(ms for name, ms in added if name == stream) for stream in (A, B, C)}
    merge, order = Merge(), []
    for _ in range(len(added) * 2 + 4):
        for stream in merge.wanted(left):
            got, left[stream] = left[stream][:count], left[stream][count:]
            merge.add(stream, entries(*got), full=len(got) == count, now=0.0)
        order += [(ms, stream) for stream, run in released(merge, (A, B, C)) for ms in run]
    assert order == sorted((ms, stream) for stream, ms in added)
