"""Settlements: the commands that end a delivery (acknowledged, given back, a dead letter), and the events of their replies.

``XACK`` does not ask who owns an entry. To give back and to bury do, in a script that makes the change, too: another member
may have claimed the entry meanwhile. An entry that is given back goes to the consumer ``NACKED``, a name under which no
member reads, so that no member takes it for its own; claims find it there as soon as it counts as idle. Where it shall wait
for longer than idle entries do, a sorted set beside the stream says until when. A dead letter is appended, and its entry
settled, in a single step. An entry whose data is gone is cleared only as long as it is gone: a failover may bring it back,
not yet processed.

Each settlement may be repeated after a lost reply: a settled entry has no owner any more, and nothing happens. Where another
member owns it, the first attempt cannot have settled it either, and ``OwnershipLost`` tells that.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

from ..connection.exchange import Arguments
from ..events import AckMissed, AcksConfirmed, DeadLettered, Event, OwnershipLost, PendingEntriesDeleted
from ..keys import delayed_nacks
from ..scripts.group import ACK_OWNED, BURY, GIVE_BACK
from .options import NACKED, Membership

NO_CLAIMS: Final = 60.0
"""Seconds of idleness to tell where we claim nothing ourselves, and so do not know how long other members wait."""

FOREVER: Final = 10**15
"""Milliseconds for which no entry has ever been idle."""


class Ack(NamedTuple):
    """Acknowledge entries (``XACK``). ``fenced``: only entries that we own; ``told``: ``AcksConfirmed`` is asked for.

    ``repeated``: the reply to an earlier attempt was lost, which may have settled them.
    """

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
        if answer == len(self.ids) and not self.told:  # the usual case
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
    """Give entries back, by a script: other members, or we, may claim them after ``delay`` seconds.

    ``counted``: the delivery counter to leave them with; None: as it is.
    """

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
    """Append an entry to the dead-letter stream ``letters``, and settle it, by a script."""

    stream: bytes
    ids: list[bytes]  # a single id
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
    """Drop entries whose data is gone from the pending list (``XCLAIM``); an entry whose data is there again stays pending.

    ``XCLAIM`` drops ids that are not in the stream, and claims no entry that is less idle than it is told.
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
