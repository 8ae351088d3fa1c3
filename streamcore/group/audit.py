"""Audit the pending entries of a member: none may be forgotten, here or on the server.

Every few seconds the server's count of our pending entries is compared with ours, and the low-water mark is noted. Entries
that we hold and the server no longer lists for us have been claimed or settled by another member. This runs while no read is
unanswered, so that the server's list and ours can be compared.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf

from ..engine.script import Steps, checked
from ..engine.together import pages, together
from ..entries import StreamId
from ..errors import NoGroupError
from ..events import OwnershipLost
from .claiming import Claiming
from .context import GroupContext
from .gap_detection import GroupGaps
from .group_history import Reached
from .holdings import Holdings
from .name_lease import NameLease
from .pending_pages import look_for, pieces
from .phase import Phase
from .recovery import Recovery
from .redelivery import Redelivery
from .rounds import Rounds
from .setup import Setup, find_group, pending_for


class Audit:
    """Audits the streams in rounds, and recovers our pending entries on entering."""

    def __init__(
        self,
        context: GroupContext,
        phase: Phase,
        holdings: Holdings,
        rounds: Rounds,
        lease: NameLease,
        gaps: GroupGaps,
        setup: Setup,
        recovery: Recovery,
        redelivery: Redelivery,
        claiming: Claiming,
    ) -> None:
        self._context = context
        self._phase = phase
        self._holdings = holdings
        self._rounds = rounds
        self._lease = lease
        self._gaps = gaps
        self._setup = setup
        self._recovery = recovery
        self._redelivery = redelivery
        self._claiming = claiming

    @property
    def at(self) -> float:
        """When the next piece of a round is due, in seconds; infinite for a member that leaves."""
        return inf if self._phase.stage.is_leaving else self._rounds.at

    def put_off(self) -> None:
        """Audit an interval from now: entering and recovering have done all that an audit does, or no entry fits."""
        self._rounds.put_off(self._context.now)

    def recover(self) -> Steps[None]:
        """Recover our pending entries, in all streams, before the first read of a connection."""
        yield from self._redelivery.recover()
        yield from self.check_leases()
        for stream in self._context.member.streams.copy():
            if stream in self._setup.quiet:
                self._recovery.recovered(stream)
            else:
                yield from self._recovery.run(stream)
        self._setup.quiet.clear()

    def run(self) -> Steps[None]:
        """Compare the server's count of our pending entries with ours, for the streams whose turn it is."""
        context = self._context
        self._holdings.pending.sweep()
        turn = self._rounds.piece(context.now, context.present, set(self._in_hand()))
        differing = [stream for stream in (yield from together([self._audit(stream) for stream in turn])) if stream]
        if differing:
            yield from self.check_leases()
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            for stream in () if self._phase.stage.stops else differing:
                yield from self._recovery.run(stream)

    def _audit(self, stream: bytes) -> Steps[bytes | None]:
        """Return the stream, if the server lists other entries for us than we know."""
        assert self._setup.present is not None
        yield from self._lease.check(stream, self._setup.present)
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            ours = yield from self._count(stream)
            if self._context.member.keeps and ours != len(self._holdings.known(stream)):
                return stream
        return None

    def _count(self, stream: bytes) -> Steps[int]:
        """Count the entries that the server lists for us; tell gaps."""
        member, gaps, asked_at = self._context.member, self._gaps, self._context.now
        told, groups, summary, _ = yield from self._setup.ask_about(stream)
        if self._claiming.is_calm(checked(summary)):
            self._claiming.calm(stream, asked_at)
        group = find_group(member.group, groups)
        if group is None:
            return 0
        ours = pending_for(member.name, summary)
        if self._holdings.held(stream) and not ours:
            gaps.doubt(stream)  # no entry is pending any more: the group may be another
            self._rounds.came(stream)
        else:
            gaps.hear(stream, told, Reached.of(group))
        self._setup.note(stream, group, summary)
        return ours

    def check_leases(self) -> Steps[None]:
        """Forget entries that are not pending for us any more (``XPENDING``), so that they do not count as in flight for ever."""
        for page in pages(self._in_hand(), self._context.looks):
            yield from together([self._check_leases(stream) for stream in page])

    def _in_hand(self) -> list[bytes]:
        """The streams that are read, and of which any entry is held."""
        held = self._holdings.streams()
        return [stream for stream in self._context.present if stream in held]

    def _check_leases(self, stream: bytes) -> Steps[None]:
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
