"""Reconcile the entries that a member holds with the server's pending list: neither may have more than the other.

Entries that we hold and the server no longer lists for us have been claimed or settled by another member. Entries that it lists
for us and we do not know were taken by a stale connection, or left by an earlier run. This runs while no read is unanswered, so
that the server's list and ours can be compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ..engine.script import Steps
from ..engine.together import pages, together
from ..entries import StreamId
from ..errors import NoGroupError
from ..events import OwnershipLost
from .context import GroupContext
from .holdings import Holdings
from .pending_pages import look_for, pieces
from .recovery import Backlog, Recovery
from .redelivery import Redelivery


class Reconciliation:
    """Drops entries that are not ours any more, and recovers our pending entries that are unknown here."""

    def __init__(
        self, context: GroupContext, backlog: Backlog, holdings: Holdings, redelivery: Redelivery, recovery: Recovery
    ) -> None:
        self._context = context
        self._backlog = backlog
        self._holdings = holdings
        self._redelivery = redelivery
        self._recovery = recovery

    def run(self) -> Steps[None]:
        """Reconcile all streams, before the first read of a connection."""
        yield from self._redelivery.recover()
        yield from self.drop_lost()
        yield from self.begin(self._context.member.streams.copy())
        self._backlog.quiet.clear()

    def begin(self, streams: Collection[bytes]) -> Steps[None]:
        """Recover our pending entries of streams that were entered just now; of quiet streams there are none."""
        for stream in streams:
            if stream in self._backlog.quiet:
                self._recovery.recovered(stream)
            else:
                yield from self._recovery.run(stream)
        self._backlog.quiet.difference_update(streams)

    def recover(self, streams: Iterable[bytes]) -> Steps[None]:
        """Recover our pending entries of streams that are unknown here."""
        for stream in streams:
            yield from self._recovery.run(stream)

    def drop_lost(self) -> Steps[None]:
        """Forget entries that are not pending for us any more (``XPENDING``), so that they do not count as in flight for ever."""
        held = self._holdings.streams()
        in_hand = [stream for stream in self._context.present if stream in held]
        for page in pages(in_hand, self._context.looks):
            yield from together([self._drop_lost(stream) for stream in page])

    def _drop_lost(self, stream: bytes) -> Steps[None]:
        """Compare our entries of a stream with the pending list, piece by piece; drop the entries that are missing there."""
        context, holdings = self._context, self._holdings
        gone: set[bytes] = set()
        try:
            for piece in pieces(holdings, [stream]):
                left = piece
                while left.ids:
                    rows, rest = yield from look_for(context, left)
                    reached = left.ids[: len(left.ids) - len(rest.ids)]
                    gone.update(set(reached).difference(row[0] for row in rows))
                    left = rest
        except NoGroupError:  # the next read meets it as well, and mends it
            return
        holdings.queue.forget(stream, gone)
        gone &= holdings.pending.unsettled(stream)
        if gone:
            holdings.withdraw(stream, gone)
            context.emit(OwnershipLost(stream, tuple(sorted(gone, key=StreamId.parse))))
