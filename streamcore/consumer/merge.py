"""The entries of several streams in a single order, the order of their ids.

A reply has at most COUNT entries of each stream, so it may end early in a stream and late in another. A stream whose reply
was full may have more, and lower ids than others have shown already; so may a stream that was not read because it still holds
entries here, which bounds the number held. No entry above the lowest such end is released. Released entries are therefore in
order with every entry that the server had at the time of the read.

Several readers, of the slots of a cluster, have a merge in common: each has its own reads. A stream whose reader has lost its
connection, or has not read yet, is *silent*: what it has is not known. It holds back all others, or for ``wait`` seconds, if any.

An entry that is added later may still have a lower id than an entry that was handed over: ids are made by the producers'
servers and clocks. ``wait`` seconds are given to such latecomers, unless every stream shows that it has none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from heapq import merge
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Any, Final, TypeAlias

from ..entries import StreamId
from ..stream_id import ZERO

POLL: Final = 0.05
"""Seconds that a read waits in the server, at most, while a stream of its reader holds entries because of other readers."""

Row: TypeAlias = tuple[StreamId, bytes, Any, int]
Run: TypeAlias = tuple[bytes, list[Any], int]  # entries of one stream that follow each other, and about their bytes


class Merge:
    """Entries of many streams, held until their turn in the order of ids."""

    def __init__(self, wait: float = 0.0) -> None:
        self._wait = wait
        self._held: dict[bytes, list[Row]] = {}
        self._read: set[bytes] = set()  # the streams of the last read of each reader
        self._silent: set[bytes] = set()
        self._ends: dict[bytes, StreamId] = {}  # of streams that may have more: behind this id
        self._due: dict[bytes, float] = {}  # when the held entries of a stream have waited for long enough

    def begin(self, streams: Collection[bytes]) -> None:
        """Begin another read of a reader, which has these streams: none of them is read yet."""
        self._read.difference_update(streams)

    def doubt(self, streams: Collection[bytes]) -> None:
        """Note that streams are silent, until they are read."""
        self._read.difference_update(streams)
        self._silent.update(streams)

    def add(self, stream: bytes, entries: list[Any], *, size: int = 0, full: bool, now: float) -> None:
        """Add a stream's entries of the read: all that there were, unless ``full``."""
        self._read.add(stream)
        self._silent.discard(stream)
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
        self._silent.discard(stream)

    def wanted(self, streams: Iterable[bytes]) -> list[bytes]:
        """Return the streams that hold no entries here, and are to be read."""
        return [stream for stream in streams if stream not in self._held]

    @property
    def may_wait(self) -> bool:
        """Whether the next read may block: no stream is known to have more, and no held entry is due."""
        return not (self._ends or (self._held and not self._wait))

    def longest_wait(self, streams: Mapping[bytes, Any], block: float, now: float) -> float | None:
        """Return the seconds that a read of a reader, which has these ``streams``, may wait for entries; None: it may not.

        A stream that may have more, or is silent, is to be read at once. A reader that holds nothing may wait for ``block`` seconds. While
        it holds entries, its other streams are read until these are released; where this depends on other readers, at times.
        """
        held, late = self._held, {*self._ends, *self._silent}
        if any(stream in streams and stream not in held for stream in late):
            return None
        if held.keys().isdisjoint(streams):
            return block
        if self.may_wait:
            return min(block, self.due - now)
        return None if late.issubset(streams) else min(block, POLL)

    @property
    def due(self) -> float:
        """When a held entry will have waited for ``wait`` seconds, on the driver's clock; infinity: never."""
        return min(self._due.values(), default=inf) if self._wait and not self._backlogs() else inf

    @property
    def holds(self) -> bool:
        """Whether an entry waits for its turn in the order of ids."""
        return bool(self._held)

    def release(self, streams: Iterable[bytes], now: float) -> list[Run]:
        """Release the entries whose turn has come, in order, as runs of entries of the same stream."""
        if not self._wait and any(stream not in self._held for stream in self._silent):
            return []
        unread = [rows[-1][0] for stream, rows in self._held.items() if stream not in self._read]
        ends = self._backlogs()
        horizon = min([*ends, *unread], default=None)
        if self._wait and not ends:  # a backlog is no latecomers' business
            latest = self._latest(streams, now)
            horizon = latest if horizon is None else min(horizon, latest)
        free = merge(*(self._cut(stream, horizon) for stream in list(self._held)))
        runs = [(stream, list(rows)) for stream, rows in groupby(free, key=itemgetter(1))]
        return [(stream, [row[2] for row in rows], sum(row[3] for row in rows)) for stream, rows in runs]

    def _backlogs(self) -> list[StreamId]:
        """Return the ends of the streams that may have more; with a ``wait``, but for the silent streams."""
        if not (self._wait and self._silent):
            return [*self._ends.values()]
        return [end for stream, end in self._ends.items() if stream not in self._silent]

    def ask_again(self, released: Iterable[bytes]) -> None:
        """Note that released streams are silent which the last reads of their readers were not about, while others hold entries.

        A single reader reads them with its next read, before anything else is released.
        """
        if self._held and not self._wait:
            self._silent.update(stream for stream in released if stream not in self._held and stream not in self._read)

    def _latest(self, streams: Iterable[bytes], now: float) -> StreamId:
        """Return the id up to which no latecomer is expected any more."""
        waited = [rows[-1][0] for stream, rows in self._held.items() if self._due[stream] <= now]
        shown = [self._held[stream][-1][0] if stream in self._held else ZERO for stream in streams]
        # The ids that a stream shows are below all that it adds.
        return max(min(shown, default=ZERO), max(waited, default=ZERO))

    def _cut(self, stream: bytes, horizon: StreamId | None) -> list[Row]:
        """Take out the held entries of a stream up to an id; None: all."""
        rows = self._held[stream]
        at = len(rows) if horizon is None else sum(1 for row in rows if row[0] <= horizon)
        if at == len(rows):
            del self._held[stream], self._due[stream]
        else:
            self._held[stream] = rows[at:]
        return rows[:at]
