"""The entries of several streams in a single order, the order of their ids.

A reply has at most COUNT entries of each stream, so it may end early in a stream and late in another. A stream whose reply
was full may have more, and lower ids than others have shown already; so may a stream that was not read because it still holds
entries here, which bounds the number held. No entry above the lowest such end is released. Released entries are therefore in
order with every entry that the server had at the time of the read.

An entry that is added later may still have a lower id than an entry that was handed over: ids are made by the producers'
servers and clocks. ``wait`` seconds are given to such latecomers, unless every stream shows that it has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Any, TypeAlias

from ..entries import StreamId
from ..stream_id import ZERO

Row: TypeAlias = tuple[StreamId, bytes, Any, int]
Run: TypeAlias = tuple[bytes, list[Any], int]  # entries of one stream that follow each other, and about their bytes


class Merge:
    """Entries of many streams, held until their turn in the order of ids."""

    def __init__(self, wait: float = 0.0) -> None:
        self._wait = wait
        self._held: dict[bytes, list[Row]] = {}
        self._read: set[bytes] = set()  # the streams of the last read
        self._ends: dict[bytes, StreamId] = {}  # of streams that may have more: behind this id
        self._due: dict[bytes, float] = {}  # when the held entries of a stream have waited for long enough

    def begin(self) -> None:
        """Begin another read: no stream is read yet."""
        self._read.clear()

    def add(self, stream: bytes, entries: list[Any], *, size: int = 0, full: bool, now: float) -> None:
        """Add a stream's entries of the read: all that there were, unless ``full``."""
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

    def drop(self, stream: bytes) -> None:
        """Drop the entries of a stream that is removed or sought."""
        for state in (self._held, self._ends, self._due):
            state.pop(stream, None)

    def wanted(self, streams: Iterable[bytes]) -> list[bytes]:
        """Return the streams that hold no entries here, and are to be read."""
        return [stream for stream in streams if stream not in self._held]

    @property
    def may_wait(self) -> bool:
        """Whether the next read may block: no stream is known to have more, and no held entry is due."""
        return not (self._ends or (self._held and not self._wait))

    @property
    def due(self) -> float:
        """When a held entry will have waited for ``wait`` seconds, on the driver's clock; infinity: never."""
        return min(self._due.values(), default=inf) if self._wait and self.may_wait else inf

    @property
    def holds(self) -> bool:
        """Whether an entry waits for its turn in the order of ids."""
        return bool(self._held)

    def release(self, streams: Iterable[bytes], now: float) -> list[Run]:
        """Release the entries whose turn has come, in order, as runs of entries of the same stream."""
        unread = [rows[-1][0] for stream, rows in self._held.items() if stream not in self._read]
        horizon = min([*self._ends.values(), *unread], default=None)
        if self._wait and not self._ends:  # a backlog is no latecomers' business
            latest = self._latest(streams, now)
            horizon = latest if horizon is None else min(horizon, latest)
        free = merge(*(self._cut(stream, horizon) for stream in list(self._held)))
        runs = [(stream, list(rows)) for stream, rows in groupby(free, key=itemgetter(1))]
        return [(stream, [row[2] for row in rows], sum(row[3] for row in rows)) for stream, rows in runs]

    def _latest(self, streams: Iterable[bytes], now: float) -> StreamId:
        """Return the id up to which no latecomer is expected any more."""
        waited = [rows[-1][0] for stream, rows in self._held.items() if self._due[stream] <= now]
        shown = [self._held[stream][-1][0] if stream in self._held else ZERO for stream in streams]
        return max(
            min(shown, default=ZERO), max(waited, default=ZERO)
        )  # the ids that a stream shows are below all that it adds

    def _cut(self, stream: bytes, horizon: StreamId | None) -> list[Row]:
        """Take out the held entries of a stream up to an id; None: all."""
        rows = self._held[stream]
        at = len(rows) if horizon is None else sum(1 for row in rows if row[0] <= horizon)
        if at == len(rows):
            del self._held[stream], self._due[stream]
        else:
            self._held[stream] = rows[at:]
        return rows[:at]
