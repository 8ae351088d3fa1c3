"""Whether a stream's history has gone on behind our cursor, or entries were lost. Silence is a proof.

A read behind a cursor says nothing about entries trimmed before it came, nor about another stream under the same name.
Two things prove that there was neither. The *anchor*, the entry that a batch was read behind, still stands: trimming
begins at the oldest entry, so nothing between it and the batch was trimmed, and the stream is the same. Or it is gone,
and the server's counters explain that. ``entries-added`` less ``length`` is how many entries were ever removed, and
``added`` is how many there were up to our cursor: more removed than read means a gap of the difference, and fewer than
read, where nothing of the batch is left, means another stream. A stream that was deleted and has begun anew has fewer
of everything, or had not yet removed the missing entries.

A loss that is neither disproven nor counted is told as a ``Gap`` without a number, certain or only possible. Entries
removed from the middle (XDEL) blur the count. What counters have explained, the entries up to the end that was told with them
may refute: where more come than were counted, the explanation was that of another stream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from ..connection.exchange import Arguments
from ..entries import StreamId
from ..events import Gap, StreamReset
from ..sense import ids_in
from ..stream_id import ZERO
from .stream_history import NO_ENTRY, History

_LOOKED_AT: Final = 64  # bytes of each field and value by which an entry is told from another with its id

Break: TypeAlias = Gap | StreamReset


@dataclass(slots=True)
class Anchor:
    """A place that was read up to. ``stands``: an entry is there, as far as is known; None: none need be.

    ``mark`` is the hash of the entry's fields; None while they are unknown.
    """

    id: StreamId
    stands: bool | None
    mark: int | None = None


def mark(fields: list[bytes]) -> int:
    """Hash the fields of an entry, to tell it from another entry with the same id."""
    return hash(tuple([part[:_LOOKED_AT] for part in fields]))


class Continuity:
    """The proof that a stream was read without a gap, up to its ``cursor``.

    ``added`` counts the entries added up to the cursor, None while that is unknown. ``is_entry``: the cursor is the id
    of an entry that was read; else it is only a place.
    """

    def __init__(self, stream: bytes, cursor: StreamId, added: int | None = None, *, is_entry: bool = True) -> None:
        self.cursor = cursor
        self.seen: History | None = None  # when the server was asked last
        self._stream = stream
        self._place = added  # entries added up to where continuity is proven
        self._sure = cursor  # the cursor when that was exact; since then single entries may have been deleted unread
        self._learnt: int | None = None  # entries added up to the cursor, while ``_place`` is not known
        is_entry = is_entry and cursor != ZERO and cursor.seq != NO_ENTRY
        self._tip = self._behind = Anchor(cursor, True if is_entry else None)  # the cursor; up to where it is proven
        self._ids: list[bytes] = []  # entries read between them
        self._ahead: History | None = (
            None  # ``seen``, until the end is passed up to which it tells the number of entries
        )
        self._explained: Gap | None = None  # told if that number refutes how the counters explained missing entries
        self._refuted: Gap | None = None  # that gap, once the number has refuted it

    @property
    def added(self) -> int | None:
        """How many entries had been added up to the cursor, as far as is known and proven."""
        return None if self._place is None else self._place + len(self._ids)

    def received(self, entries: list[Any], *, watched: bool = True) -> None:
        """Take a batch behind the cursor; it is to be proven if it is ``watched``."""
        before, ids = self.cursor, ids_in(entries)
        id_, fields = entries[-1]
        self.cursor = StreamId.parse(id_)
        if not watched:
            self._place = None if self.added is None else self.added + len(entries)
            self._tip = self._behind = Anchor(self.cursor, True)
            self._ids = []
            return
        self._tip = Anchor(self.cursor, True, mark(fields))
        self._ids += ids
        if self._learnt is not None:
            self._learnt += len(entries)
        elif self._ahead is not None and self._ahead.last <= self.cursor:
            self._pass_end(self._ahead, before, entries)
            self._ahead = self._explained = None

    def _pass_end(self, told: History, before: StreamId, entries: list[Any]) -> None:
        """Count the entries of a batch that has passed the end of a stream, where their number was told."""
        since = sum(StreamId.parse(entry[0]) > told.last for entry in entries)
        if before != told.last and since == len(entries):
            return  # other entries may have come and gone in between
        if self._place is None:
            self._learnt = told.added + since
        elif self._explained is not None and self._place + len(self._ids) - since > told.added:
            self._place, self._refuted = None, self._explained

    # -- proving it, along with the next read -------------------------------------------------------------------------

    def question(self) -> Arguments | None:
        """Return the command that proves the last batch (XRANGE), or lets ``judge`` decide (XINFO STREAM).

        None: no proof is due.
        """
        counters: Arguments = ("XINFO", "STREAM", self._stream)
        if self._refuted is not None:
            return counters
        return self.anchor() or counters if self._ids else None

    def anchor(self) -> Arguments | None:
        """Return the XRANGE that finds the anchor; None where no entry was there."""
        if not self._behind.stands:
            return None
        behind = str(self._behind.id)
        return ("XRANGE", self._stream, behind, behind)

    def is_proven(self, reply: list[Any]) -> bool:
        """Take the reply to ``anchor``: True proves the batch; else ``judge`` needs the server's counters."""
        behind = self._behind
        behind.stands = self.finds_anchor(reply)
        if behind.stands:
            behind.mark = mark(reply[0][1])
            self._prove()
        return behind.stands

    def finds_anchor(self, reply: list[Any]) -> bool:
        """Tell whether the reply to ``anchor`` has the entry that was read there, and not another."""
        return bool(reply) and self._behind.mark in {None, mark(reply[0][1])}

    def is_reached(self, history: History) -> bool:
        """Tell whether a copy of the stream, which may lag, has come as far as all that is known of the stream."""
        return history.last >= self.cursor and (self.seen is None or history.may_follow(self.seen))

    def _prove(self) -> None:
        self._place = self.added if self._learnt is None else self._learnt
        self._behind, self._ids, self._learnt = self._tip, [], None

    # -- counters of the server ---------------------------------------------------------------------------------------

    def begin(self, history: History) -> None:
        """Begin at a cursor that ``history`` gave just now: nothing is missing yet."""
        self.seen = history
        self._count(history)

    def remember(self, former: Continuity) -> None:
        """Take over the last known history of the stream from the continuity at another place in it."""
        self.seen = former.seen

    def judge(self, history: History) -> Break | None:
        """Compare the cursor with the server's counters, and return a gap or reset; afterwards both agree."""
        if history.last < self.cursor:
            return StreamReset(self._stream, self.cursor, history.last)
        behind = self._behind
        stands = behind.stands and not history.is_past(behind.id)
        goes_on = self.seen is None or history.may_follow(self.seen)
        at_the_end = goes_on and history.last == behind.id and history.added >= (self._place or 0)
        gap: Gap | None = None
        if not (stands or at_the_end):
            self._learnt = None
            left = [id_ for id_ in map(StreamId.parse, self._ids) if not history.is_past(id_)]
            is_same = self._refuted is None and self._is_same(history, left)
            gap = self._missed(history, left) if is_same else self._replaced(history, left)
            self._explained = None if gap is not None else self._explained or self._gap(history, None, certain=False)
        if history.is_past(self.cursor) or (behind is self._tip and not stands):
            self._tip.stands = None  # it is explained, or told
        self._prove()
        self.seen = history
        self._count(history)
        late, self._refuted = self._refuted, None
        if late is None or gap is None:
            return gap or late
        return replace(gap, after=late.after, entries=None)

    def _is_same(self, history: History, left: list[StreamId]) -> bool:
        """Tell whether this may be the known stream; ``left`` holds the unproven ids that may still be there."""
        behind, first = self._behind, history.first
        if self.seen is not None and not history.may_follow(self.seen):
            return False
        if first is not None and behind.id < first <= self.cursor and first not in left:
            return False  # it is older than the read entries, and was not there then
        was_there = behind.stands is not None
        place = int(was_there) if self._place is None else self._place
        seen_last = history.last if self.seen is None else self.seen.last
        has_more = history.last > max(self.cursor, seen_last)
        if history.added < place + len(self._ids) + has_more:
            return False
        if history.is_past(behind.id):
            return history.removed >= place + len(self._ids) - len(left) + history.least_behind
        if self.seen is None and self._place is None and was_there:
            return history.deleted == behind.id  # no counter is known of it
        return not was_there or history.deleted >= behind.id

    def _missed(self, history: History, left: list[StreamId]) -> Gap | None:
        """Return the gap between our place and the first entry of the same stream; None where there is none."""
        if not history.is_past(self._behind.id):
            return None
        if self._place is None:
            return self._perhaps(history)
        missed = history.removed - self._place - (len(self._ids) - len(left))
        if not missed:
            return None
        if history.passed is not None:
            gap = self._gap(history, missed)
            self._place += missed
            self._sure = self.cursor
            return gap
        was_read = history.deleted in left
        if missed == 1 and was_read:
            return None
        self._place = None  # other entries may have been deleted ahead of us: numbers do not tell the loss any more
        return self._gap(history, 1 if missed == 1 else None, certain=not was_read or missed > len(left))

    def _perhaps(self, history: History) -> Gap | None:
        """Return a gap without a number where no place is known; None where no entry can be missing."""
        behind, seen = self._behind, self.seen
        if seen is not None:
            nothing = history.removed == seen.removed
        else:
            nothing = behind.stands is None and (behind.id == ZERO or not history.removed)
        return None if nothing else self._gap(history, None, certain=self._has_lost(history))

    def _has_lost(self, history: History) -> bool:
        """Tell whether an entry is gone that was ahead of the cursor when the server was asked last."""
        newest = None if self.seen is None else self.seen.newest
        return newest is not None and newest > self.cursor and history.is_past(newest)

    def _replaced(self, history: History, left: list[StreamId]) -> Gap:
        """Return the gap of a stream that was replaced, or whose counter was set; its ids have passed the cursor."""
        self._place = None
        if not left:
            self._tip.stands = None
        return self._gap(history, None, certain=self._has_lost(history))

    def _gap(self, history: History, entries: int | None, *, certain: bool = True) -> Gap:
        after, before = self._behind.id, history.first
        if (
            before is not None and before <= after
        ):  # another stream has ids of the former stream, whose end is not known
            after, before = before.before(), None
        deleted = history.deleted
        if certain and deleted > self._sure:  # some entries may have gone before, and some are ahead of us
            after = min(after, self._sure)
            before = None if before is None else max(before, StreamId(deleted.ms, deleted.seq + 1))
        return Gap(self._stream, after, before, entries, certain)

    def _count(self, history: History) -> None:
        """Learn the count of entries up to the cursor, as far as the counters tell it."""
        self._ahead = history if history.last > self.cursor else None
        passed = history.passed
        if history.last == self.cursor:
            self._place = history.added
        elif passed is not None and history.is_past(self.cursor):
            self._place = passed  # a gap in front of us is told, and counts as passed
        elif passed is not None and history.first == self.cursor:
            self._place = passed + 1
        else:
            return
        self._sure = self.cursor
