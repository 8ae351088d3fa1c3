"""Audit the streams of a member in rounds: its name, its groups, and its pending entries, of which none may be forgotten.

Every few seconds the server's count of our pending entries is compared with ours, and the low-water mark is noted. Where the
counts differ the entries are reconciled. This runs while no read is unanswered, so that the server's count and ours can be
compared.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf

from ..engine.script import Steps, checked
from ..engine.together import together
from ..errors import NoGroupError
from .claiming import Claiming
from .context import GroupContext
from .group_history import Reached
from .group_looks import GroupLooks, Seen, pending_for
from .holdings import Holdings
from .phase import Phase
from .reconciliation import Reconciliation
from .rounds import Rounds
from .setup import Setup


class StreamAudit:
    """Audits a stream: the name, the group, and the number of our pending entries."""

    def __init__(
        self, context: GroupContext, holdings: Holdings, setup: Setup, looks: GroupLooks, claiming: Claiming
    ) -> None:
        self._context = context
        self._holdings = holdings
        self._setup = setup
        self._looks = looks
        self._claiming = claiming

    def differs(self, stream: bytes) -> Steps[bool]:
        """Find out whether the server lists more entries for us, or fewer, than we know. Raises ``ConsumerFencedError``."""
        member = self._context.member
        yield from self._setup.check_name(stream)
        asked_at = self._context.now
        seen = yield from self._looks.ask(stream)
        if stream not in member.streams:  # it was removed meanwhile
            return False
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            ours = self._count(stream, seen, asked_at)
            return member.keeps and ours != len(self._holdings.known(stream))
        return False

    def _count(self, stream: bytes, seen: Seen, asked_at: float) -> int:
        """Count the entries that the server lists for us, by a look at a time in seconds; tell gaps."""
        member, looks = self._context.member, self._looks
        if self._claiming.is_calm(checked(seen.summary)):
            self._claiming.calm(stream, asked_at)
        group = seen.group(member.group)
        if group is None:
            return 0
        ours = pending_for(member.name, seen.summary)
        if self._holdings.held(stream) and not ours:
            looks.doubt(stream)  # no entry is pending any more: the group may be another
        else:
            looks.gaps.hear(stream, seen.told, Reached.of(group))
        looks.note(stream, group, seen.summary)
        return ours


class Audit:
    """Audits the streams in rounds, and reconciles the entries of those whose counts differ."""

    def __init__(
        self,
        context: GroupContext,
        phase: Phase,
        holdings: Holdings,
        rounds: Rounds,
        stream_audit: StreamAudit,
        reconciliation: Reconciliation,
    ) -> None:
        self._context = context
        self._phase = phase
        self._holdings = holdings
        self._rounds = rounds
        self._stream_audit = stream_audit
        self._reconciliation = reconciliation

    @property
    def at(self) -> float:
        """When the next piece of a round is due, in seconds; infinite for a member that leaves."""
        return inf if self._phase.stage.is_leaving else self._rounds.at

    def put_off(self) -> None:
        """Audit an interval from now: entering and recovering have done all that an audit does, or no entry fits."""
        self._rounds.put_off(self._context.now)

    def run(self) -> Steps[None]:
        """Audit the streams whose turn it is, and reconcile the entries of streams whose counts differ."""
        context, holdings = self._context, self._holdings
        holdings.pending.sweep()
        holdings.pending.collect()
        held = holdings.streams() if self._rounds.is_through else set[bytes]()
        turn = self._rounds.piece(context.now, context.present, held)
        found = yield from together([self._stream_audit.differs(stream) for stream in turn])
        differing = [stream for stream, differs in zip(turn, found, strict=True) if differs]
        if differing:
            yield from self._reconciliation.drop_lost()
        if not self._phase.stage.stops:
            yield from self._reconciliation.recover(differing)
