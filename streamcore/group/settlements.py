"""What the server is told about a pending entry, and what its answer means: acknowledged, given back, or a dead letter.

``XACK`` does not ask who owns an entry. All else here does, in one script with what it changes: another member may have
claimed the entry meanwhile. An entry that is given back goes to the consumer ``NACKED``, which nobody reads as, so that no
member takes it for its own; claims find it there as soon as it counts as idle. Where it shall wait for longer than idle
entries do, a sorted set beside the stream says until when. A dead letter is appended and settled in one step. An entry whose
data is gone is cleared only as long as it is gone: a failover may bring it back, and nobody has processed it.

Each may be repeated after a lost reply: what was settled is not owned any more, and nothing happens. Where another member
owns it, the first time cannot have done anything either, and that is told.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

from ..connection.exchange import Arguments
from ..events import AckMissed, AcksConfirmed, DeadLettered, Event, OwnershipLost, PendingEntriesDeleted
from ..keys import delayed_nacks
from ..scripts.group import ACK_OWNED, BURY, GIVE_BACK
from .options import NACKED, Membership

NO_CLAIMS: Final = 60.0
"""Seconds of idleness to tell where we claim nothing ourselves, and so do not know for what others wait."""

FOREVER: Final = 10**15
"""Milliseconds for which no entry has ever been idle."""


class Ack(NamedTuple):
    """Acknowledge. ``fenced``: only what we own. ``told``: whether an event shall tell that it is settled."""

    stream: bytes
    ids: list[bytes]
    repeated: bool = False
    fenced: bool = False
    told: bool = False

    def command(self, member: Membership) -> Arguments:
        if self.fenced:
            return ("EVAL", ACK_OWNED, 1, self.stream, member.group, member.name, *self.ids)
        return ("XACK", self.stream, member.group, *self.ids)

    def heed(self, answer: Any) -> list[Event]:
        if answer == len(self.ids) and not self.told:  # as it mostly is
            return []
        lost: set[bytes] = set()
        missed = 0
        if self.fenced:
            theirs, settled = answer
            lost.update(theirs, () if self.repeated else settled)  # else it was we who have settled it, the first time
        elif not self.repeated:
            missed = len(self.ids) - answer
        events: list[Event] = []
        done = tuple(id_ for id_ in self.ids if id_ not in lost)
        if self.told and done and not missed:
            events.append(AcksConfirmed(self.stream, done))
        if missed:
            events.append(AckMissed(self.stream, missed))
        if lost:
            events.append(OwnershipLost(self.stream, tuple(id_ for id_ in self.ids if id_ in lost)))
        return events

    def again(self) -> Ack:
        return self._replace(repeated=True)


class Nack(NamedTuple):
    """Give back: others, or we, may claim the entries after ``delay`` seconds. ``counted``: deliveries to leave them with."""

    stream: bytes
    ids: list[bytes]
    delay: float
    counted: int | None = None
    repeated: bool = False

    def command(self, member: Membership) -> Arguments:
        patience = member.claim_idle or NO_CLAIMS
        is_long = self.delay > patience
        idle = 0 if is_long else int((patience - self.delay) * 1000)
        wait = int(self.delay * 1000) if is_long else 0
        keys = (self.stream, delayed_nacks(self.stream, member.group))
        counted = -1 if self.counted is None else self.counted
        return ("EVAL", GIVE_BACK, 2, *keys, member.group, member.name, NACKED, idle, wait, counted, *self.ids)

    def heed(self, answer: Any) -> list[Event]:
        if answer < len(self.ids) and not self.repeated:
            return [AckMissed(self.stream, len(self.ids) - answer)]
        return []

    def again(self) -> Nack:
        return self._replace(repeated=True)


class Burial(NamedTuple):
    """Move an entry to the dead-letter stream, and settle it."""

    stream: bytes
    ids: list[bytes]  # of one
    letters: bytes
    deliveries: int
    reason: bytes
    repeated: bool = False

    def command(self, member: Membership) -> Arguments:
        [id_] = self.ids
        about = {
            "dead:reason": self.reason,
            "dead:attempts": self.deliveries,
            "dead:stream": self.stream,
            "dead:id": id_,
            "dead:group": member.group,
            "dead:consumer": member.name,
        }
        flat = [part for pair in about.items() for part in pair]
        return ("EVAL", BURY, 2, self.stream, self.letters, member.group, member.name, id_, *flat)

    def heed(self, answer: Any) -> list[Event]:
        [id_] = self.ids
        if isinstance(answer, int):
            return [] if answer and self.repeated else [OwnershipLost(self.stream, (id_,))]
        if not answer:
            return [PendingEntriesDeleted(self.stream, (id_,))]
        return [DeadLettered(self.stream, id_, self.letters, answer, self.deliveries, self.reason.decode())]

    def again(self) -> Burial:
        return self._replace(repeated=True)


class Clear(NamedTuple):
    """Forget entries whose data is gone; those whose data is there again stay pending.

    ``XCLAIM`` drops from the pending list what is not in the stream, and claims nothing that is not as idle as it is told.
    """

    stream: bytes
    ids: list[bytes]

    def command(self, member: Membership) -> Arguments:
        return ("XCLAIM", self.stream, member.group, member.name, FOREVER, *self.ids, "JUSTID")

    def heed(self, _: Any) -> list[Event]:
        return []

    def again(self) -> Clear:
        return self


Settlement: TypeAlias = Ack | Nack | Burial | Clear
