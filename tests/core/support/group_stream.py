"""A stream with a group, and the history by which a member judges it, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamcore.entries import StreamId
from streamcore.events import Gap
from streamcore.group.group_history import GroupHistory, Reached
from streamcore.reading.stream_history import History

S = b"s"


class Stream:
    """A stream with the ids 1, 2, 3 and so on, and a single group: its counters as the servers keep them, measured.

    A ``forgetful`` server counts deliveries even when entries were trimmed ahead of the group.
    """

    def __init__(self, *, forgetful: bool = False) -> None:
        self.forgetful = forgetful
        self.added = 0
        self.there: list[int] = []
        self.deleted = 0
        self.at = 0
        self.place: int | None = None
        self.had = 0  # the highest id that was delivered
        self.lost: set[int] = set()  # ids that never were delivered: the truth, which no server knows

    def add(self, entries: int) -> None:
        self.there += range(self.added + 1, self.added + entries + 1)
        self.added += entries

    def trim(self, length: int) -> None:
        gone = self.there[: max(0, len(self.there) - length)]
        self._remove(gone)

    def delete(self, *ids: int) -> None:
        gone = [id_ for id_ in ids if id_ in self.there]
        self.deleted = max([self.deleted, *gone])
        self._remove(gone)

    def read(self, count: int) -> None:
        for id_ in [id_ for id_ in self.there if id_ > self.at][:count]:
            behind_first = not self.forgetful and self.at < self.there[0]
            hole_ahead = self.deleted >= (id_ if self.forgetful else max(self.at, self.there[0]))
            if self.place is not None and not behind_first and not hole_ahead:
                self.place += 1
            else:
                self.place = self._estimate(id_)
            self.at = id_
            self.had = max(self.had, self.at)

    def create(self, at: int) -> None:
        """Create the group again, at an id."""
        self.at, self.place = at, None
        self.had = max(self.had, at)

    def forget(self, seen: int) -> None:
        """Count deliveries beyond ``seen`` as lost: a member that did not see them cannot tell them from missing entries."""
        self.had = max(self.at, seen)
        self.lost |= set(range(self.had + 1, self.added + 1)) - set(self.there)

    @property
    def history(self) -> History:
        first, newest = (StreamId(self.there[0]), StreamId(self.there[-1])) if self.there else (None, None)
        return History(len(self.there), self.added, first, newest, StreamId(self.added), StreamId(self.deleted))

    @property
    def group(self) -> Reached:
        return Reached(StreamId(self.at), self.place)

    def _remove(self, ids: list[int]) -> None:
        self.lost |= {id_ for id_ in ids if id_ > self.had}
        self.there = [id_ for id_ in self.there if id_ not in ids]

    def _estimate(self, id_: int) -> int | None:
        """The place that a server gives an id when it has lost count; None where it cannot tell."""
        if id_ == self.added:
            return self.added
        return self.added - len(self.there) + 1 if id_ == self.there[0] > self.deleted else None


def reading(*, forgetful: bool = False, added: int = 10, read: int = 4) -> tuple[Stream, GroupHistory]:
    """A stream that was watched from the beginning, and a group that had read all of it before it grew."""
    stream, watch = Stream(forgetful=forgetful), GroupHistory(S, forgetful=forgetful)
    assert look(stream, watch) is None
    stream.add(read)
    stream.read(read)
    assert look(stream, watch) is None
    stream.add(added - read)
    assert look(stream, watch) is None
    return stream, watch


def joining(stream: Stream) -> GroupHistory:
    return GroupHistory(S, forgetful=stream.forgetful)


def look(stream: Stream, watch: GroupHistory) -> Gap | None:
    gaps = watch.judge(stream.history, stream.group)
    assert len(gaps) < 2
    return gaps[0] if gaps else None


def gap(after: int, before: int | StreamId | None, entries: int | None) -> Gap:
    return Gap(S, StreamId(after), StreamId(before) if isinstance(before, int) else before, entries)


def possible(after: int, before: int | StreamId | None, entries: int | None = None) -> Gap:
    return replace(gap(after, before, entries), certain=False)


both = pytest.mark.parametrize("forgetful", [False, True])
