"""Renew the entries in the application's hands: they do not count as idle, and no other member takes them over.

The server counts for how long an entry has been with a consumer. Every third of ``claim_idle``, our entries that have been
here for so long are claimed once more by ourselves, without counting a delivery (``XCLAIM ... JUSTID``). Only entries that
the server still lists for us are named (``XPENDING``), and only if they are as idle as that: an entry that another member has
claimed a moment ago is not, so we never take it back.

A pass goes through the held entries piece by piece, a piece at a time: reads and acknowledgements come between two pieces.
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
"""Seconds between two reminders of the acking link."""


class Renewal:
    """Renews the entries that a member holds, a piece at a time."""

    def __init__(self, context: GroupContext, holdings: Holdings) -> None:
        self._context = context
        self._holdings = holdings
        idle = context.member.claim_idle
        self._interval = idle / 3 if idle is not None and context.member.renew else None
        self._at = inf  # until the first entry has come
        self._reminded = AT_ONCE
        self._began = AT_ONCE  # the pass that is under way
        self._left: Iterator[Piece] | None = None  # the rest of that pass
        self._piece: Piece | None = None  # the next piece, or the rest of the last

    def begin(self) -> None:
        """Note that entries are held: the first of them are renewed an interval from now."""
        if self._interval is not None and self._at == inf and self._holdings:
            self._at = self._context.now + self._interval

    @property
    def at(self) -> float:
        """When entries are to be renewed, in seconds; infinite while none are held."""
        return self._at if self._holdings else inf

    @property
    def reminder_at(self) -> float:
        """When the acking link is to be woken to renew, in seconds.

        That is ``at``, but no sooner than ``PATIENCE`` seconds after the last reminder.
        """
        return max(self.at, self._reminded + min(PATIENCE, self._interval or PATIENCE))

    def remind(self) -> None:
        """Note that the acking link was woken to renew."""
        self._reminded = self._context.now

    def run(self) -> Steps[None]:
        """Renew a piece; only when ``at`` has come, which moves on when the pass is at its end."""
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
        """Renew the entries of a piece that a page lists (``XCLAIM``); return the part of the piece behind the page."""
        context, member = self._context, self._context.member
        rows, rest = yield from look_for(context, piece)
        # Refused entries are about to have another owner: not to be taken back.
        held = still_held(self._holdings, piece)
        ours = [row[0] for row in rows if row[2] >= idle and row[0] in held]
        if ours:
            [renewed] = yield from context.ask(
                ("XCLAIM", piece.stream, member.group, member.name, idle, *ours, "JUSTID")
            )
            checked(renewed)
        return rest if rest.ids else None
