"""Entries of several slots in the order of their ids."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from streamcore.commands import key_slot
from streamcore.events import Disconnected
from streamcore.testing.net import Fate
from tests.core.support.slots import Following, move, other


def merging(streams: tuple[str, ...] = ("a", "b", "c"), **options: Any) -> Following:
    return Following(streams, merge="id", **options)


def lose(story: Following, stream: str) -> None:
    """The reader of a stream's slot loses its connection."""
    story.net.cut(f"main, slot {key_slot(stream)}", Fate.REQUESTS_LOST)


def test_what_several_nodes_have_comes_in_the_order_of_ids() -> None:
    story = merging(there={"a": (1, 4, 7, 10), "b": (2, 5, 8), "c": (3, 6, 9)}, count=2, prefetch=1)
    assert [n for _, n in story.work()] == list(range(1, 11))


def test_live_entries_come_at_once() -> None:
    story = merging()
    for n in range(1, 7):
        story.append("abc"[n % 3], n)
        story.net.serve()
        assert [number for _, number in story.take()] == [n]


def test_the_bounds_hold_for_all_readers_together() -> None:
    story = merging(there={"a": tuple(range(1, 90, 3)), "b": tuple(range(2, 90, 3))}, count=2, prefetch=1)
    assert len({id(reader.prefetch) for reader in story.consumer.readers}) == 1
    assert len(story.consumer.readers[0].prefetch) < 8
    assert [n for _, n in story.work()] == [n for n in range(1, 90) if n % 3]


def test_events_come_in_their_places_among_the_batches_of_all() -> None:
    story = merging(("a", "b"))
    story.append("a", 1)
    story.net.serve()
    move(story.cluster, "b")
    story.net.advance(0.1)
    story.append("b", 2)
    story.net.advance(0.1)
    while isinstance(story.consumer.next_event_in_place(), object) and story.consumer.has_event_in_place:
        pass
    assert story.consumer.next_event_in_place() is None, "the loss comes behind the entry"
    assert [n for _, n in story.take()] == [1, 2]
    told = [type(event) for event in iter(story.consumer.next_event_in_place, None)]
    assert Disconnected in told
    assert story.consumer.next_event_in_place() is None


class TestSlotsThatAreSilent:
    def test_hold_back_the_others(self) -> None:
        story = merging(("a", "b"))
        moving = story.cluster.begin_move(key_slot("b"), other(story.cluster, "b"))
        moving.move_keys()
        lose(story, "b")
        story.append("a", 5)
        assert story.work() == []
        moving.finish()
        story.append("b", 3)
        assert [n for _, n in story.work(3.0)] == [3, 5]

    def test_but_no_longer_than_merge_wait(self) -> None:
        story = merging(("a", "b"), merge_wait=0.5)
        moving = story.cluster.begin_move(key_slot("b"), other(story.cluster, "b"))
        lose(story, "b")
        story.append("a", 5)
        story.net.serve()
        assert story.take() == []
        assert story.work(0.7) == [("a", 5)]
        story.append("a", 6)
        assert story.work(0.7) == [("a", 6)]
        moving.cancel()

    def test_also_in_the_middle_of_their_backlog(self) -> None:
        there = {"a": (1, 3, 9), "b": (2, 4, 6, 8)}
        story = merging(("a", "b"), merge_wait=0.5, count=2, prefetch=1, there=there)
        moving = story.cluster.begin_move(key_slot("b"), other(story.cluster, "b"))
        moving.move_keys()
        lose(story, "b")
        first = [n for _, n in story.work(2.0)]
        assert 9 in first
        moving.finish()
        assert sorted([*first, *(n for _, n in story.work(3.0))]) == [1, 2, 3, 4, 6, 8, 9]

    def test_are_no_others_business_while_none_of_their_entries_is_held(self) -> None:
        story = merging(("a", "{a}2", "b"), there={"a": (1,), "b": (7,)})
        assert [n for _, n in story.work()] == [1, 7]
        lose(story, "b")
        story.append("{a}2", 8)
        story.append("a", 9)
        story.append("b", 10)
        assert [n for _, n in story.work()] == [8, 9, 10]


def test_a_stream_that_is_removed_holds_back_no_more() -> None:
    story = merging(("a", "b"))
    story.cluster.begin_move(key_slot("b"), other(story.cluster, "b")).move_keys()
    lose(story, "b")
    story.append("a", 5)
    assert story.work() == []
    story.consumer.remove_stream("b")
    assert story.work() == [("a", 5)]


@pytest.mark.parametrize("seed", range(10))
def test_in_the_end_everything_came_in_order(seed: int) -> None:
    """Streams of four slots, filled before: the slots move while they are read."""
    draw = Random(seed)
    names = ("a", "b", "c", "d", "{a}2", "{b}2")
    streams = {name: tuple(sorted(draw.sample(range(1, 400), draw.randrange(60)))) for name in names}
    options = {"count": draw.randrange(1, 9), "prefetch": draw.randrange(1, 4), "detect_gaps": draw.random() < 0.5}
    story = merging(names, there=streams, wait=0.0, **options)
    taken = []
    for _ in range(60):
        if draw.random() < 0.3:
            move(story.cluster, draw.choice(names), draw.choice(["classic", "atomic"]))
        story.net.advance(draw.choice([0.01, 0.1, 0.3]))
        for _ in range(draw.randrange(10)):
            if (batch := story.consumer.take()) is not None:
                taken += [(int(entry[b"n"]), batch.stream) for entry in batch]
            story.net.serve()
    taken += [(n, stream.encode()) for stream, n in story.work(10.0)]
    assert [n for n, _ in taken] == sorted(n for numbers in streams.values() for n in numbers)
    assert sorted(taken) == sorted((n, name.encode()) for name, numbers in streams.items() for n in numbers)
