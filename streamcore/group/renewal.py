"""Keep entries in the application's hands from counting as idle, so that no other member takes them over.

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
from math import inf
from typing import Final

from ..connection.link import AT_ONCE
from ..engine.script import Steps, checked
from ..errors import NoGroupError
from .context import GroupContext
from .holdings import Holdings
from .pending_pages import Piece, look_for, pieces, still_held

PATIENCE: Final = 1.0
"""Seconds until whoever should renew is reminded."""


class Renewal:
    """Renews what a member holds, a piece at a time."""

    def __init__(self, context: GroupContext, holdings: Holdings) -> None:
        self._context = context
        self._holdings = holdings
        idle = context.member.claim_idle
        self._interval = idle / 3 if idle is not None and context.member.renew else None
        self._at = inf  # until the first entry has come
        self._reminded = AT_ONCE
        self._began = AT_ONCE  # the pass that is under way
        self._left: Iterator[Piece] | None = None  # of it
        self._piece: Piece | None = None  # the next of these, or the rest of the last

    def begin(self) -> None:
        """Note that entries are held: the first of them are renewed an interval from now."""
        if self._interval is not None and self._at == inf and self._holdings:
            self._at = self._context.now + self._interval

    @property
    def at(self) -> float:
        """When entries are to be renewed, if nothing is acknowledged before; infinite while there is nothing to renew."""
        return self._at if self._holdings else inf

    @property
    def reminder_at(self) -> float:
        """The same, or when the last reminder is ``PATIENCE`` seconds old."""
        return max(self.at, self._reminded + min(PATIENCE, self._interval or PATIENCE))

    def remind(self) -> None:
        """Note that the acking link was woken to renew."""
        self._reminded = self._context.now

    def run(self) -> Steps[None]:
        """Renew a piece; only when ``at`` has come, and that stays until the pass is at its end."""
        assert self._interval is not None
        if self._left is None:
            self._began, self._left = self._context.now, pieces(self._holdings, self._streams())
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
        self._context.touch()

    def _streams(self) -> list[bytes]:
        held = self._holdings.streams() | self._holdings.pending.unburied_streams()
        return [stream for stream in self._context.member.streams if stream in held]

    def _renew(self, piece: Piece, idle: int) -> Steps[Piece | None]:
        """Renew what one page lists of a piece (``XCLAIM``); return the part that the page does not reach to."""
        context, member = self._context, self._context.member
        rows, rest = yield from look_for(context, piece)
        held = still_held(
            self._holdings, piece
        )  # what was refused is about to have another owner: not to be taken back
        ours = [row[0] for row in rows if row[2] >= idle and row[0] in held]
        if ours:
            [renewed] = yield from context.ask(
                ("XCLAIM", piece.stream, member.group, member.name, idle, *ours, "JUSTID")
            )
            checked(renewed)
        return rest if rest.ids else None
