"""Keep what is in the application's hands from counting as idle, so that no other member takes it over.

The server counts for how long an entry has been with a consumer. Every third of ``claim_idle``, ours that have been here
for so long are claimed once more by ourselves, without counting a delivery (``XCLAIM ... JUSTID``). Only those that the
server still lists for us are named, and only if they are as idle as that: one that another member has claimed a moment
ago is not, so we never take it back.

A pass goes through what we hold piece by piece, and a piece is all that is done at a time: reads and acknowledgements come
between two of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ..connection.link import AT_ONCE
from ..engine.script import Steps, checked
from ..errors import NoGroupError
from .pending_pages import Piece, look_for, pieces, still_held

if TYPE_CHECKING:
    from .read_loop import GroupReading

PATIENCE: Final = 1.0
"""Seconds until whoever should renew is reminded."""


class Renewal:
    """The renewal of one consumer's entries."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        idle = consumer.member.claim_idle
        self._interval = idle / 3 if idle is not None and consumer.member.renew else None
        self._at = AT_ONCE
        self._reminded = AT_ONCE
        self._began = AT_ONCE  # the pass that is under way
        self._left: Iterator[Piece] | None = None  # of it
        self._piece: Piece | None = None  # the next of these, or the rest of the last

    @property
    def timer(self) -> float | None:
        """When something is to be renewed, if nothing is acknowledged before."""
        pending = self._consumer.pending
        if self._interval is None or not (pending.in_flight or pending.waits or self._consumer.redelivery):
            return None
        if self._at == AT_ONCE:  # the first entry has just come
            self._at = self._consumer.now + self._interval
        return max(self._at, self._reminded + min(PATIENCE, self._interval))

    @property
    def due(self) -> bool:
        """Whether that time has come."""
        at = self.timer
        return at is not None and self._consumer.now >= self._at

    def remind(self) -> None:
        """Somebody was woken to do it."""
        self._reminded = self._consumer.now

    def run(self) -> Steps[None]:
        """Renew a piece of what needs it; only when it is ``due``, and it is until the pass is at its end."""
        assert self._interval is not None
        if self._left is None:
            self._began, self._left = self._consumer.now, pieces(self._consumer)
        left = self._left
        piece = self._piece = self._piece or next(left, None)  # until it is done: a lost connection skips none
        if piece is not None:
            rest: Piece | None = None
            with suppress(NoGroupError):  # the next read meets it as well, and mends it
                rest = yield from self._renew(piece, max(1, int(self._interval * 1000)))
            if self._piece is piece:  # else the other link has renewed it, too
                self._piece = rest or next(left, None)
        if self._piece is None:
            self._at, self._left = self._began + self._interval, None

    def _renew(self, piece: Piece, idle: int) -> Steps[Piece | None]:
        """Renew what one page lists of a piece; what the page does not reach to."""
        consumer, member = self._consumer, self._consumer.member
        rows, rest = yield from look_for(consumer, piece)
        held = still_held(consumer, piece)  # what was refused is about to have another owner: not to be taken back
        ours = [row[0] for row in rows if row[2] >= idle and row[0] in held]
        if ours:
            [renewed] = yield from consumer.ask(
                ("XCLAIM", piece.stream, member.group, member.name, idle, *ours, "JUSTID")
            )
            checked(renewed)
        return rest if rest.ids else None
