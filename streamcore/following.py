"""One stream that a consumer follows: where it starts, and what was received and handed over of it.

A place such as the end is resolved once, by what ``XINFO STREAM`` says; from then on there is a cursor, and ``continuity``
watches whether the history goes on behind it.
"""

from __future__ import annotations

from typing import Any

from .connection import Arguments
from .continuity import ZERO, Continuity, History
from .entries import StreamId
from .starts import Lookup, Start


class Followed:
    """One stream. ``watched``: gaps in it are looked for; ``sought``: it is not read until it is elsewhere.

    ``handed_over`` is the last id of the batches that were taken, ``before`` what that was before the last one.
    """

    __slots__ = ("before", "continuity", "handed_over", "sought", "start", "stream", "watched")

    def __init__(self, stream: bytes, start: Start, *, watched: bool) -> None:
        self.stream = stream
        self.start = start
        self.watched = watched
        self.sought = False
        self.continuity: Continuity | None = None  # until the start is resolved
        self.handed_over = self.before = ZERO
        if isinstance(start, StreamId):
            self.goto(start)

    def goto(self, cursor: StreamId, added: int | None = None) -> Continuity:
        """Read behind an id, up to which so many entries had been ``added`` to the stream, if that is known."""
        self.continuity = Continuity(self.stream, cursor, added)
        self.handed_over = self.before = cursor
        return self.continuity

    def resolve(self, history: History) -> Continuity:
        """Find the cursor that was asked for by a word."""
        if self.start is Lookup.END or history.newest is None:
            return self.goto(history.last, history.added)
        # The last one that is there need not be the last that was added.
        return self.goto(history.newest.before(), history.added - 1 if history.newest == history.last else None)

    def take_back(self, entries: list[Any]) -> None:
        """These were handed over last, and are not any more."""
        if self.handed_over == StreamId.parse(entries[-1][0]):
            self.handed_over = StreamId.parse(entries[0][0]).before()

    def question(self) -> Arguments | None:
        """What proves that the last batch came without a gap."""
        return self.continuity.question() if self.continuity is not None and self.watched else None

    def is_proven(self, reply: list[Any]) -> bool:
        """Whether the reply to the question proves it."""
        return self.continuity is None or self.continuity.is_proven(reply)


class Change:
    """A stream that is to be added or sought. ``poll`` tells when it is done, and raises why it cannot be.

    Until then a sought stream stays what it was, and is not read.
    """

    def __init__(self, followed: Followed) -> None:
        self.followed = followed
        self.done = False
        self.error: Exception | None = None

    def poll(self) -> bool:
        if self.error is not None:
            raise self.error
        return self.done
