"""The cursor of a stream that a consumer follows: its start, and the ids received and handed over.

A place such as the end is resolved once, by the reply of ``XINFO STREAM``; from then on there is an id, and
``continuity`` watches whether the history goes on behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, Literal, TypedDict

from ..arguments import ReadFrom, Seconds
from ..connection.exchange import Arguments
from ..engine.pending_change import PendingChange
from ..engine.script import Replies, Steps
from ..engine.together import PAGE
from ..entries import StreamId
from ..reading.continuity import Continuity
from ..reading.stream_history import History
from ..stream_id import ZERO
from .start import Lookup, Start


class FollowOptions(TypedDict, total=False):
    """Keywords of a ``Consumer`` beside the keywords of all readers."""

    merge: Literal["id"] | None
    """``"id"`` hands over the entries of all streams in the order of their ids; None as they come (None)."""
    merge_wait: Seconds
    """Seconds left for entries that come late, with ``merge="id"`` (0)."""
    stop_on_idle: bool
    """The iteration ends when a read comes back empty (False)."""
    on_disconnect: Literal["retry", "raise", "yield"]
    """``"retry"`` renews a lost connection in silence; ``"raise"`` and ``"yield"`` tell its error in the iteration, too
    (``"retry"``)."""
    on_rewind: Literal["raise", "restart"]
    """When a stream ends before our cursor: ``"raise"`` ``StreamResetError``, or ``"restart"`` from its beginning
    (``"raise"``)."""
    read_from: ReadFrom
    """The node of a cluster that is read from: the ``"primary"``, a ``"replica"`` or ``"any"`` (``"primary"``; of a client: its own)."""
    detect_gaps: bool
    """Look for entries that were removed before they were read, and tell by the event ``Gap`` (True)."""


class StreamCursor:
    """The cursor of a stream. ``watched``: its gaps are detected; ``sought``: it is not read until its place is known.

    ``handed_over`` is the last id of the batches that were taken, ``before`` its value before the last batch;
    ``place`` is the last of these values that is no entry's id.
    """

    __slots__ = ("before", "continuity", "handed_over", "place", "sought", "start", "stream", "watched")

    def __init__(self, stream: bytes, start: Start, *, watched: bool) -> None:
        self.stream = stream
        self.start = start
        self.watched = watched
        self.sought = False
        self.continuity: Continuity | None = None  # until the start is resolved
        self.handed_over = self.before = self.place = ZERO
        if isinstance(start, StreamId):
            self.goto(start)

    def goto(self, cursor: StreamId, added: int | None = None, *, is_entry: bool = True) -> Continuity:
        """Read behind an id, up to which so many entries had been ``added`` to the stream, if that is known.

        ``is_entry``: it is an entry's id; where that entry is gone, others may be lost.
        """
        self.continuity = Continuity(self.stream, cursor, added, is_entry=is_entry)
        self.handed_over = self.before = cursor
        if not is_entry:
            self.place = cursor
        return self.continuity

    def go_back(self) -> None:
        """Go back to the last id handed over; prefetched entries are dropped."""
        former = self.continuity
        if former is not None and former.cursor != self.handed_over:
            self.goto(self.handed_over, is_entry=self.handed_over != self.place).remember(former)

    def resolve(self, history: History) -> None:
        """Find the id of a place that was given as a word, in the server's counters."""
        newest = history.newest
        if self.start is Lookup.END or newest is None:
            continuity = self.goto(history.last, history.added, is_entry=newest == history.last)
        else:  # the last entry that is there need not be the last that was added
            added = history.added - 1 if newest == history.last else None
            continuity = self.goto(newest.before(), added, is_entry=False)
        continuity.begin(history)

    def take_back(self, entries: list[Any]) -> None:
        """Move the last id handed over in front of entries that were put back."""
        if self.handed_over == StreamId.parse(entries[-1][0]):
            self.handed_over = self.place = StreamId.parse(entries[0][0]).before()

    def check_commands(self) -> tuple[Arguments, ...]:
        """Return the commands of a check: XRANGE at the anchor, if any, and XINFO STREAM."""
        anchor = self.continuity.anchor() if self.continuity is not None and self.watched else None
        counters: Arguments = ("XINFO", "STREAM", self.stream)
        return (counters,) if anchor is None else (anchor, counters)

    def question(self) -> Arguments | None:
        """Return the command whose reply proves that the last batch came without a gap; None: no proof is due."""
        return self.continuity.question() if self.continuity is not None and self.watched else None

    @property
    def needs_counters(self) -> bool:
        """Whether only the server's counters prove the last batch: no entry was there to be found."""
        question = self.question()
        return question is not None and question[0] == "XINFO"

    def is_proven(self, reply: list[Any]) -> bool:
        """Tell whether the reply to the question proves the last batch."""
        return self.continuity is None or self.continuity.is_proven(reply)


class CursorChange(PendingChange):
    """A stream that is to be read from ``cursor``. Until then a sought stream stays at its place, and is not read."""

    def __init__(self, cursor: StreamCursor) -> None:
        super().__init__()
        self.cursor = cursor


class CursorChanges:
    """The pending changes of a consumer, by stream; true while there are any."""

    def __init__(self) -> None:
        self._of: dict[bytes, CursorChange] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def __iter__(self) -> Iterator[CursorChange]:
        return iter(self._of.values())

    def __contains__(self, stream: object) -> bool:
        return stream in self._of

    def add(self, change: CursorChange) -> None:
        """Add a pending change of a stream."""
        self._of[change.cursor.stream] = change

    def is_pending(self, change: CursorChange) -> bool:
        """Tell whether a change is pending, neither given up nor superseded."""
        return self._of.get(change.cursor.stream) is change

    def remove(self, change: CursorChange) -> None:
        """Remove a change that is done or given up."""
        del self._of[change.cursor.stream]

    def supersede(self, stream: bytes) -> None:
        """End a stream's pending change, for a later call has replaced it."""
        if (change := self._of.pop(stream, None)) is not None:
            change.finish()

    def check(self, ask: Callable[..., Steps[Replies]], most: int) -> Steps[list[tuple[CursorChange, list[Any]]]]:
        """Check the streams of the first changes, at most ``most``; return each change with the replies."""
        page = [(change, change.cursor.check_commands()) for change in islice(self, min(PAGE, most))]
        replies = iter((yield from ask(*chain.from_iterable(commands for _, commands in page))))
        return [(change, list(islice(replies, len(commands)))) for change, commands in page]
