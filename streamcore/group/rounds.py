"""Turns among many streams: a member looks after a few of its streams at a time.

A *round* of the audit takes ``audit_interval`` seconds. Each *busy* stream has a turn in it: a stream of which an entry is
held, or has come since its last turn, or that had no turn since a former connection may have been served for the last time.
Of the other, *quiet* streams only ``QUIET`` have a turn in each round, or as many as it takes for each to have a turn in
``LONGEST`` seconds. A round goes piece by piece, spread over its time, and reads come in between.

A *pass* of the claims goes through the streams in the same way (``Passes``).
"""

from __future__ import annotations

from collections import OrderedDict, deque
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
    """The turns of a member's streams in its audits. ``at``: when the next piece is due, in seconds."""

    def __init__(self, interval: float) -> None:
        self.at = AT_ONCE
        self._interval = interval
        self._order: dict[bytes, float] = {}  # time of the last turn; the stream without a turn for longest comes first
        self._came: set[bytes] = set()  # streams of which an entry has come since, or that are doubted
        self._seen_until = AT_ONCE  # until then a former connection may have been served
        self._due: OrderedDict[bytes, None] = OrderedDict()  # the rest of this round
        self._size = PIECE
        self._pause = interval
        self._began = AT_ONCE
        self._done = 0  # pieces of this round

    @property
    def is_through(self) -> bool:
        """Whether a round is at its end, and the next piece begins another."""
        return not self._due

    def entered(self, now: float, block: float) -> None:
        """Note a new connection; a former connection may be served for ``block`` seconds more."""
        self._seen_until = now + block

    def came(self, stream: bytes) -> None:
        """Note that a stream is busy: an entry of it has come, or it may be another stream."""
        self._came.add(stream)

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self._order.pop(stream, None)
        self._came.discard(stream)
        self._due.pop(stream, None)

    def put_off(self, now: float) -> None:
        """Put the next piece off until an interval from now."""
        self.at = now + self._interval

    def piece(self, now: float, streams: Collection[bytes], held: Collection[bytes]) -> list[bytes]:
        """Take the streams whose turn it is, and set ``at``.

        Entries of the ``held`` streams are in hand, so these are busy; that is asked where a round begins.
        """
        if self.is_through:
            self._begin(now, streams, held)
        taken = [self._due.popitem(last=False)[0] for _ in range(min(self._size, len(self._due)))]
        for stream in taken:
            self._order.pop(stream, None)
            self._order[stream] = now
            self._came.discard(stream)
        self._done += 1
        self.at = self._began + (self._done * self._pause if self._due else self._interval)
        return taken

    def _begin(self, now: float, streams: Collection[bytes], held: Collection[bytes]) -> None:
        """Begin a round: choose its streams, the longest without a turn first, and the size and pause of its pieces."""
        for stream in streams:
            self._order.setdefault(stream, AT_ONCE)
        quiet = max(QUIET, ceil(len(streams) * self._interval / LONGEST))
        present = set(streams)
        for stream, last in self._order.items():
            if stream not in present:
                continue
            if stream in self._came or stream in held or last < self._seen_until <= now:
                self._due[stream] = None
            elif quiet:
                self._due[stream] = None
                quiet -= 1
        self._size = max(PIECE, ceil(len(self._due) / PIECES))
        self._pause = self._interval / max(1, ceil(len(self._due) / self._size))
        self._began, self._done = now, 0


class Passes:
    """The turns of a member's streams in its looks for entries that other members have left.

    ``patience``: seconds until such an entry may be claimed. A pass goes through all streams; where these are many, piece by
    piece, and without *calm* streams: nothing was pending for other members there a moment ago, so none of their entries can
    have been idle for long enough yet.
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
        """Note that nothing was pending for other members in a stream at a time, in seconds."""
        self._calm[stream] = at

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self._calm.pop(stream, None)

    def begin(self, now: float, streams: Collection[bytes]) -> None:
        """Begin a pass, unless a pass is under way."""
        if not self._left:
            late = now - self._patience
            is_few = not are_many(streams)
            self._left.extend(one for one in streams if is_few or self._calm.get(one, AT_ONCE) <= late)
            self._size = max(PIECE, ceil(len(self._left) / PIECES))

    def piece(self) -> list[bytes]:
        """Take the streams whose turn it is in this pass."""
        return [self._left.popleft() for _ in range(min(self._size, len(self._left)))]

    def put_back(self, streams: Collection[bytes]) -> None:
        """Put streams back into the pass, whose pending list is not looked through to its end."""
        self._left.extend(streams)


def are_many(streams: Collection[bytes]) -> bool:
    """Whether there are more streams than have a turn in each round."""
    return len(streams) > QUIET
