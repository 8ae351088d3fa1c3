"""Tenures: the processes that had an entry pending, and whether they were handed it. The server counts deliveries that none has seen.

An entry that is read ahead is counted with its first delivery. A process that dies with it, or loses it to another member, leaves that count
behind; and so does the connection of a dead process, which the server goes on serving. So each *tenure* of an entry, by a process
that was never handed it, explains a delivery. A connection that is lost by a process that lives on explains none.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from streamcore import GroupConsumer
from streamcore.group.options import NACKED

from ...world.engine_state import is_reading
from ...world.invariants import TICK
from ...world.stream_log import STRANGER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamcore.testing.model.values import Group

    from ...world.driver import World
    from ...world.stream_log import Key, StreamLog
    from .participant import Participant

NOBODYS: Final = {STRANGER, NACKED, b"gone"}
"""Consumers whose deliveries are known, or who get none."""


@dataclass(slots=True)
class Tenure:
    """All processes of the name that an entry was pending for; ``seen``: a process of these was handed it, or it is known of."""

    tenants: set[str]
    seen: bool


class PendingLists(Protocol):
    """The pending lists of a group over its streams, and who is in it."""

    world: World
    history: StreamLog
    streams: list[bytes]

    @property
    def members(self) -> Sequence[Participant]: ...

    # The group as the server has it now.
    def of(self, stream: bytes) -> Group | None: ...

    # The entry that has an id now.
    def key_at(self, stream: bytes, id_: bytes) -> Key | None: ...


class Tenures:
    """The tenures of all entries of a delivery log, as often as they are noted."""

    def __init__(self, log: PendingLists) -> None:
        self._log = log
        self._of: defaultdict[Key, list[Tenure]] = defaultdict(list)
        self._first_reads: dict[str, float] = {}  # by process
        self._begun: dict[str, float] = {}  # processes, and when they were seen first
        self._ended: set[bytes] = set()  # names of which a process has ended

    def note(self) -> None:
        """Note the owner of each pending entry."""
        log = self._log
        alive: defaultdict[bytes, set[str]] = defaultdict(set)
        for member in log.members:
            if member.node is not None:
                alive[member.consumer].add(member.label)
                self._begun.setdefault(member.label, log.world.now)
                engine = member.node.engine
                if isinstance(engine, GroupConsumer) and is_reading(engine):
                    self._first_reads.setdefault(member.label, log.world.now)
        for stream in log.streams:
            group = log.of(stream)
            for id_, delivery in group.pending.items() if group else ():
                if (key := log.key_at(stream, b"%d-%d" % id_)) is not None:
                    name = delivery.consumer
                    tenants = {name.decode()} if name in NOBODYS else alive[name] or {f"a ghost of {name.decode()}"}
                    self._has(key, tenants, seen=name in NOBODYS)

    def _has(self, key: Key, tenants: set[str], *, seen: bool) -> None:
        tenures = self._of[key]
        if not tenures or not tenures[-1].tenants & tenants:
            tenures.append(Tenure(tenants, seen))
        tenures[-1].seen |= seen

    def ended(self, consumer: bytes) -> None:
        """A process of this name has ended."""
        self.note()
        self._ended.add(consumer)

    def handed(self, key: Key, label: str) -> None:
        """A process was handed an entry."""
        self._has(key, {label}, seen=True)

    def unseen(self, key: Key, label: str = "") -> int:
        """How many tenures there were without a hand-over, before the present tenure of a process."""
        tenures = self._of[key]
        past = tenures[:-1] if tenures and label in tenures[-1].tenants else tenures
        return sum(not one.seen for one in past)

    def has_begun_after(self, label: str, when: float) -> bool:
        """Whether a process did not exist yet at a time."""
        return self._begun.get(label, self._log.world.now) > when

    def inherits(self, key: Key, member: Participant) -> bool:
        """Whether another process of its name may have been given the entry before this process has read."""
        shared = sum(one.consumer == member.consumer and one.node is not None for one in self._log.members) > 1
        if not shared and member.consumer not in self._ended:
            return False
        born = self._log.history.born.get(key.name, 0.0) - TICK
        return born <= self._first_reads.get(member.label, self._log.world.now)
