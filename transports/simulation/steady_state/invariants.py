"""Invariants of the steady state, where nothing breaks but by trials, on purpose: sharp limits, without excuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from streamcore.events import ConnectAttemptFailed, Disconnected, Event, Gap

from ..workloads.group.member import Member
from ..world.invariants import EventsInOrder, Oracle

if TYPE_CHECKING:
    from streamcore.testing.model import Session

    from ..workloads.group.delivery_log import DeliveryLog
    from ..world.driver import World
    from ..world.network import ClientEnd, Wire


class QuietWhenHealthy(Oracle):
    """*All interfaces*: where nothing breaks, no connection is given up, nothing is said to be lost; an idle program is idle.

    Entries that are counted by counters that were set may be told when the next entries come.
    """

    WRITES: Final = 60  # in a second, and another for each stream; all intervals are a tenth of the defaults

    def __init__(self, world: World, events: EventsInOrder, logs: Sequence[DeliveryLog]) -> None:
        super().__init__(world)
        self._events = events
        self._logs = logs
        self._writes_allowed = self.WRITES + sum(len(log.streams) for log in logs)
        self._heard: dict[str, int] = {}
        self._writes: dict[str, int] = {}
        self._since = 0.0

    def begin(self) -> None:
        """From now on nothing breaks."""
        self._since = self.world.now
        for node in self.world.nodes:
            self._heard[node.label] = len(self._events.told(node.label))
            self._writes[node.label] = node.writes

    def end(self) -> None:
        """Until now nothing did."""
        seconds = self.world.now - self._since
        for node in self.world.nodes:
            for event in self._events.told(node.label)[self._heard.get(node.label, 0) :]:
                if isinstance(event, (Disconnected, ConnectAttemptFailed, Gap)) and not self._is_believed(event):
                    self.violated(f"{node.label} has told {event}, and nothing was wrong")
            writes = node.writes - self._writes.get(node.label, node.writes)
            if writes > self._writes_allowed * max(1.0, seconds):
                self.violated(f"{node.label}: {writes} writes within {seconds:.2f} s in which next to nothing happened")

    def _is_believed(self, event: Event) -> bool:
        return isinstance(event, Gap) and any(event.stream in log.losses.believed for log in self._logs)


class Prompt(Oracle):
    """*GroupConsumer*: an entry is handed over as soon as it is there, and acknowledgements leave within ``ack_delay``."""


class DelayKept(Oracle):
    """*nack*: the entry comes again after the delay, not before, and not much later."""


class OwnersAck(Oracle):
    """*ack after another consumer claimed*: where it is fenced it does nothing, and ``OwnershipLost`` tells; else ``AckMissed`` may."""


class BeginsAnew(Oracle):
    """*Back-off*: reset by success. A connection that did its work, and breaks, is dialled again at once."""

    WITHIN: Final = 0.03


class LaysItsGhost(Oracle):
    """*Link lost*: the old connection is killed by its id, and entries that it was given meanwhile are handed over at once."""


class KillsItselfOnly(Oracle):
    """*Link lost*: the old connection is killed only if it is provably ours: ids begin anew with each run of a server."""

    def killed(self, wire: Wire, victims: list[Session]) -> None:
        """A program has ended these connections."""
        if wire.node is None:
            return
        for session in victims:
            other = wire.host.wires.get(session)
            if other is not None and other.node is not None and not _same_name(wire.node, other.node):
                self.violated(f"{wire.label} has killed {other.label}, which is not its own")


class CreatesAgain(Oracle):
    """*Failover, group*: a group that is gone is created again below entries that may be unprocessed, never at ``$``, and that is told.

    The next entry is handed over at once; or, where an entry comes again that is held when a program is handed it for the first
    time (it was buried before, unseen), as soon as that is over.
    """


def _same_name(one: ClientEnd, other: ClientEnd) -> bool:
    ours, others = one.program, other.program
    return isinstance(ours, Member) and isinstance(others, Member) and ours.consumer == others.consumer


class AttemptsCounted(Oracle):
    """*Poison entry*: only attempts that the application saw are counted; a reply that is lost, and a reconnect, are none."""


class TheirsStaysTheirs(Oracle):
    """*GroupConsumer*: an entry that another member has claimed a moment ago is neither taken, nor renewed, nor given back."""


class GivesBack(Oracle):
    """*Leaving*: entries that were read ahead and never handed over can be claimed at once."""


class GapTold(Oracle):
    """*Undelivered entries trimmed under the group*, at the latest by the next audit of each member; or gone with its stream.

    Of the latter a member tells at least, which creates the group again, or counts.
    """
