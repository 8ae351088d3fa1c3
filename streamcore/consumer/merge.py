"""The entries of several streams in one order, that of their ids.

A reply has at most COUNT entries of each stream, so it may end early in one stream and late in another. A stream whose
reply was full may have more, and lower ids than others have shown already; so may one that was not read because it still
holds entries here, which bounds what is held. Nothing above the lowest such end is let go. What is let go is therefore in
order with everything that the server had at the time of the read.

An entry that is added later may still have a lower id than one that was handed over: ids are made by the producers'
servers and clocks. ``wait`` seconds are given to such latecomers, unless every stream shows that it has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from ..entries import StreamId
from ..stream_id import ZERO

Row: TypeAlias = tuple[StreamId, bytes, Any, int]
Run: TypeAlias = tuple[bytes, list[Any], int]  # entries of one stream that follow each other, and about their bytes


class Merge:
    """Holds entries until their turn has come."""

    def __init__(self, wait: float = 0.0) -> None:
        self._wait = wait
        self._held: dict[bytes, list[Row]] = {}
        self._read: set[bytes] = set()  # the streams of the last read
        self._ends: dict[bytes, StreamId] = {}  # of streams that may have more: behind this id
        self._due: dict[bytes, float] = {}  # when what is held of a stream has waited for long enough

    def begin(self) -> None:
        """Another read has come back."""
        self._read.clear()

    def add(self, stream: bytes, entries: list[Any], *, size: int = 0, full: bool, now: float) -> None:
        """What it has brought of one stream: all that there was, unless ``full``."""
        self._read.add(stream)
        if entries:
            each = size // len(entries)
            rows: list[Row] = [(StreamId.parse(entry[0]), stream, entry, each) for entry in entries]
            self._held.setdefault(stream, []).extend(rows)
            self._due[stream] = now + self._wait
        if full:
            self._ends[stream] = self._held[stream][-1][0]
        else:
            self._ends.pop(stream, None)

    def forget(self, stream: bytes) -> None:
        """The stream is not followed any more, or from another place."""
        for state in (self._held, self._ends, self._due):
            state.pop(stream, None)

    def wanted(self, streams: Iterable[bytes]) -> list[bytes]:
        """Those streams that hold nothing here, and are to be read."""
        return [stream for stream in streams if stream not in self._held]

    @property
    def may_wait(self) -> bool:
        """Whether the next read may wait in the server: nothing is known, or held up, that is to be read first."""
        return not (self._ends or (self._held and not self._wait))

    @property
    def due(self) -> float | None:
        """When to ask for more at the latest, because something will have waited for long enough."""
        return min(self._due.values(), default=None) if self._wait and self.may_wait else None

    @property
    def holds(self) -> bool:
        """Whether something waits for its turn."""
        return bool(self._held)

    def release(self, streams: Iterable[bytes], now: float) -> list[Run]:
        """What is next, in order, as runs of one stream each."""
        unread = [rows[-1][0] for stream, rows in self._held.items() if stream not in self._read]
        horizon = min([*self._ends.values(), *unread], default=None)
        if self._wait and not self._ends:  # a backlog is no latecomers' business
            latest = self._latest(streams, now)
            horizon = latest if horizon is None else min(horizon, latest)
        free = merge(*(self._cut(stream, horizon) for stream in list(self._held)))
        runs = [(stream, list(rows)) for stream, rows in groupby(free, key=itemgetter(1))]
        return [(stream, [row[2] for row in rows], sum(row[3] for row in rows)) for stream, rows in runs]

    def _latest(self, streams: Iterable[bytes], now: float) -> StreamId:
        """Up to where nobody need be waited for any more."""
        waited = [rows[-1][0] for stream, rows in self._held.items() if self._due[stream] <= now]
        shown = [self._held[stream][-1][0] if stream in self._held else ZERO for stream in streams]
        return max(min(shown, default=ZERO), max(waited, default=ZERO))  # what a stream shows is below all that it adds

    def _cut(self, stream: bytes, horizon: StreamId | None) -> list[Row]:
        """Take out what a stream holds up to an id; None means all."""
        rows = self._held[stream]
        at = len(rows) if horizon is None else sum(1 for row in rows if row[0] <= horizon)
        if at == len(rows):
            del self._held[stream], self._due[stream]
        else:
            self._held[stream] = rows[at:]
        return rows[:at]
