"""Where a group is created again that has vanished."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.group.gap_detection import GroupGaps
from streamcore.group.low_water import LowWater, Mark
from tests.core.support.group_gaps import anchor, audit, said, watching
from tests.core.support.group_stream import S, Stream

SIX = StreamId(6)


def known() -> tuple[LowWater, GroupGaps, Stream]:
    """The marks of a member that has heard of a stream, whose group has been given six entries of eight."""
    gaps, _ = watching("s")
    stream = Stream()
    stream.add(8)
    stream.read(6)
    audit(gaps, stream)
    return LowWater(gaps), gaps, stream


def other(entries: int) -> Stream:
    stream = Stream()
    stream.add(entries)
    stream.read(2)
    return stream


@pytest.mark.parametrize(
    ("pending", "start"), [(None, "6-0"), (StreamId(4), f"3-{(1 << 64) - 1}"), (StreamId(7), "6-0")]
)
def test_below_all_that_may_be_unprocessed(pending: StreamId | None, start: str) -> None:
    low_water, _, stream = known()
    assert not low_water
    low_water.note(S, SIX, pending)
    assert low_water
    assert low_water.restart_point(S, [said(stream), anchor("8-0")]) == start


def test_at_the_beginning_where_nothing_is_noted_any_more() -> None:
    low_water, _, stream = known()
    told: list[Any] = [said(stream), anchor("8-0")]
    assert low_water.restart_point(S, told) == "0"
    low_water.note(S, SIX, None)
    assert low_water.of(S) == low_water.end(S) == Mark(SIX, None, 1)
    assert (low_water.of(S), low_water.end(S), low_water.restart_point(S, told)) == (None, None, "0")


def test_at_the_beginning_of_another_stream() -> None:
    low_water, _, _ = known()
    low_water.note(S, SIX, None)
    assert low_water.restart_point(S, [said(other(4))]) == "0"


def test_at_the_beginning_of_one_that_was_found_to_be_another_before() -> None:
    """Seed 333: by a look, and it has grown since."""
    low_water, gaps, _ = known()
    low_water.note(S, SIX, None)
    stream = other(4)
    audit(gaps, stream)
    stream.add(6)
    told: list[Any] = [said(stream), anchor("4-0")]
    assert low_water.restart_point(S, told) == "0"
    low_water.note(S, StreamId(2), None)
    assert low_water.restart_point(S, told) == "2-0"


def test_at_the_beginning_of_one_that_ends_below_the_mark() -> None:
    low_water, _, stream = known()
    low_water.note(S, StreamId(9), None)
    assert low_water.restart_point(S, [said(stream), anchor("8-0")]) == "0"
