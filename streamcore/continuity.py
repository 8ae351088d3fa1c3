"""Whether a stream's history has gone on behind our cursor, or something was lost.

Reading behind a cursor says nothing about what was trimmed before we came to it, nor about a stream that began anew with
lower ids. Two things tell. While the entry at the cursor *before* a batch still exists, nothing between it and the batch
can have been trimmed; it is asked for together with the next read. Where it is gone, the server's counters decide:
``entries-added`` less ``length`` is how many entries were ever removed, and ``added`` is how many there were up to our
cursor. More removed than we had read means a gap of the difference.

Entries removed from the middle (XDEL) blur the count, and then it is given as None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from .connection import Arguments
from .entries import StreamId
from .events import Gap, HistoryRewound

ZERO = StreamId(0, 0)
Break: TypeAlias = Gap | HistoryRewound


class History(NamedTuple):
    """What XINFO STREAM tells of a stream; of one that does not exist, zeros."""

    length: int = 0
    added: int = 0
    first: StreamId | None = None
    newest: StreamId | None = None
    last: StreamId = ZERO
    deleted: StreamId = ZERO

    @classmethod
    def of(cls, info: dict[bytes, Any]) -> History:
        first, newest = info[b"first-entry"], info[b"last-entry"]
        return cls(
            info[b"length"],
            info[b"entries-added"],
            None if first is None else StreamId.parse(first[0]),
            None if newest is None else StreamId.parse(newest[0]),
            StreamId.parse(info[b"last-generated-id"]),
            StreamId.parse(info[b"max-deleted-entry-id"]),
        )

    @property
    def removed(self) -> int:
        """How many entries were trimmed or deleted, ever."""
        return self.added - self.length


@dataclass(slots=True)
class Unproven:
    """What was read since, and the cursor that it was read behind."""

    behind: StreamId
    ids: list[bytes]
    newest: bytes  # the first id of the last batch


class Continuity:
    """Watches one stream. ``added`` counts the entries up to the cursor, None where nobody could tell yet."""

    def __init__(self, stream: bytes, cursor: StreamId, added: int | None = None) -> None:
        self.cursor = cursor
        self.added = added
        self._stream = stream
        self._removed = 0  # when the server was asked last
        self._unproven: Unproven | None = None

    def received(self, entries: list[Any], *, watched: bool = True) -> None:
        """A batch has come, behind the cursor; unless it is ``watched`` nobody will prove it."""
        if not watched:
            self._unproven = None
        elif self._unproven is not None:
            self._unproven.ids += [entry[0] for entry in entries]
            self._unproven.newest = entries[0][0]
        elif self.cursor != ZERO:
            self._unproven = Unproven(self.cursor, [entry[0] for entry in entries], entries[0][0])
        self.cursor = StreamId.parse(entries[-1][0])
        if self.added is not None:
            self.added += len(entries)

    # -- proving it, along with the next read -------------------------------------------------------------------------

    def question(self) -> Arguments | None:
        """The command whose reply proves the last batch, if it has an entry: the one at the cursor before."""
        if self._unproven is None:
            return None
        behind = str(self._unproven.behind)
        return ("XRANGE", self._stream, behind, behind)

    def is_proven(self, reply: list[Any]) -> bool:
        """Whether the reply proves it; else ``judge`` needs the server's counters."""
        if reply:
            self._unproven = None
        return bool(reply)

    # -- what the counters tell ---------------------------------------------------------------------------------------

    def judge(self, history: History) -> Break | None:
        """Compare what we know with what the server says; afterwards both agree."""
        unproven, self._unproven = self._unproven, None
        removed, self._removed = self._removed, history.removed
        if history.last < self.cursor:
            return HistoryRewound(self._stream, self.cursor, history.last)
        behind = self.cursor if unproven is None else unproven.behind
        if self.added is not None and history.added < self.added:
            return self._restarted(history, behind)
        gap = self._gap(history, behind, unproven, removed)
        if history.last == self.cursor:
            self.added = history.added
        elif self.cursor == ZERO and history.deleted == ZERO:
            self.added = history.removed  # whoever begins at the beginning takes what is there
        return gap

    def _restarted(self, history: History, behind: StreamId) -> Gap:
        """Another stream under the same name, or a counter that was set: its ids go on above ours, so do we."""
        self.added = history.added if history.last == self.cursor else None
        before = history.first if history.first is not None and history.first > behind else None
        return Gap(self._stream, behind, before, None)

    def _gap(self, history: History, behind: StreamId, unproven: Unproven | None, removed: int) -> Gap | None:
        if behind == ZERO or (history.first is not None and history.first <= behind):
            return None
        is_there = history.first is not None and history.first <= self.cursor  # some of what was read, at least
        before = StreamId.parse(unproven.newest) if unproven is not None and is_there else history.first
        if self.added is None:
            # Nothing was counted yet. Where the cursor's entry is gone, others may be, unless none was removed since.
            lost = history.removed != removed and history.last > behind
            return Gap(self._stream, behind, before, None) if lost else None
        passed = self.added
        if unproven is not None and history.first is not None:
            passed -= sum(1 for id_ in unproven.ids if StreamId.parse(id_) >= history.first)
        missed = history.removed - passed
        if missed <= 0:
            return None
        if history.deleted > behind:  # perhaps ahead of us: what was missed is not told by numbers any more
            self.added = None
            return Gap(self._stream, behind, before, None)
        self.added += missed
        return Gap(self._stream, behind, before, missed)
