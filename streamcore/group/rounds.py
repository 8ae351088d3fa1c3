"""Whose turn it is among many streams: a member of a group looks after a few of them at a time.

A *round* takes ``audit_interval`` seconds. In its turn comes every stream that is *busy*: something of it is in hand, or has come since it
was looked at last, or it has not been looked at since a former connection may have been served for the last time. Of the
others, the *quiet* ones, only ``QUIET`` have a turn in each round, or as many as it takes for each to have one in
``LONGEST`` seconds. A round goes piece by piece, spread over its time, and reads come in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from math import ceil
from typing import Final

from ..connection.link import AT_ONCE

QUIET: Final = 32
"""Quiet streams that have their turn in each round, at least."""
LONGEST: Final = 200.0
"""Seconds after which a quiet stream has had its turn again, at the latest; leases of names last three times as long."""
PIECE: Final = 50
PIECES: Final = 25
"""A piece is ``PIECE`` streams, or more where these would be more than so many pieces."""


class Rounds:
    """The turns of a member's streams in its audits. ``at``: when the next piece is due."""

    def __init__(self, interval: float) -> None:
        self.at = AT_ONCE
        self._interval = interval
        self._order: dict[bytes, float] = {}  # when each had its last turn; who has waited longest comes first
        self._came: set[bytes] = set()  # streams of which something has come since, or that are doubted
        self._seen_until = AT_ONCE  # until then a former connection may have been served
        self._due: deque[bytes] = deque()  # what is left of this round
        self._size = PIECE
        self._pause = interval
        self._began = AT_ONCE
        self._done = 0  # pieces of it

    def entered(self, now: float, block: float) -> None:
        """There is a new connection; a former one may be served for ``block`` seconds more."""
        self._seen_until = now + block

    def came(self, stream: bytes) -> None:
        """Something of a stream has come, or it may be another one: it is not quiet."""
        self._came.add(stream)

    def forget(self, stream: bytes) -> None:
        """The stream is not read any more."""
        self._order.pop(stream, None)
        self._came.discard(stream)
        if stream in self._due:
            self._due.remove(stream)

    def put_off(self, now: float) -> None:
        """The next piece is due an interval from now."""
        self.at = now + self._interval

    def piece(self, now: float, streams: Collection[bytes], held: Collection[bytes]) -> list[bytes]:
        """Those whose turn it is now, of ``streams``; of ``held`` ones something is in hand."""
        if not self._due:
            self._begin(now, streams, held)
        taken = [self._due.popleft() for _ in range(min(self._size, len(self._due)))]
        for stream in taken:
            self._order.pop(stream, None)
            self._order[stream] = now
            self._came.discard(stream)
        self._done += 1
        self.at = self._began + (self._done * self._pause if self._due else self._interval)
        return taken

    def _begin(self, now: float, streams: Collection[bytes], held: Collection[bytes]) -> None:
        for stream in streams:
            self._order.setdefault(stream, AT_ONCE)
        quiet = max(QUIET, ceil(len(streams) * self._interval / LONGEST))
        present = set(streams)
        for stream, last in self._order.items():
            if stream not in present:
                continue
            if stream in self._came or stream in held or last < self._seen_until <= now:
                self._due.append(stream)
            elif quiet:
                self._due.append(stream)
                quiet -= 1
        self._size = max(PIECE, ceil(len(self._due) / PIECES))
        self._pause = self._interval / max(1, ceil(len(self._due) / self._size))
        self._began, self._done = now, 0


class Passes:
    """The turns of one member's streams in its looks for what others have left. ``patience``: seconds until that may be claimed.

    A pass goes through all streams; where these are many, piece by piece, and without those that were *calm* a moment ago:
    nothing was pending in them for others, so nothing of theirs can have been left for long enough yet.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._calm: dict[bytes, float] = {}  # when
        self._left: deque[bytes] = deque()
        self._size = PIECE

    @property
    def is_through(self) -> bool:
        """Whether a pass is at its end."""
        return not self._left

    def calm(self, stream: bytes, at: float) -> None:
        """Nothing was pending for others then."""
        self._calm[stream] = at

    def forget(self, stream: bytes) -> None:
        """The stream is not read any more."""
        self._calm.pop(stream, None)

    def begin(self, now: float, streams: Collection[bytes]) -> None:
        """Begin a pass, unless one is under way."""
        if not self._left:
            late = now - self._patience
            is_few = not are_many(streams)
            self._left.extend(one for one in streams if is_few or self._calm.get(one, AT_ONCE) <= late)
            self._size = max(PIECE, ceil(len(self._left) / PIECES))

    def piece(self) -> list[bytes]:
        """Those whose turn it is in this pass."""
        return [self._left.popleft() for _ in range(min(self._size, len(self._left)))]

    def put_back(self, streams: Collection[bytes]) -> None:
        """These are not done with: they come once more."""
        self._left.extend(streams)


def are_many(streams: Collection[bytes]) -> bool:
    """Whether there are more than have their turn in each round."""
    return len(streams) > QUIET
