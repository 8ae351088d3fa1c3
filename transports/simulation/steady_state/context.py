"""The steady state: all is done and nothing breaks any more, so all that still happens must have a reason.

Trouble is made on purpose, piece by piece: then its effect is known, and how soon it must come. That is where limits are
sharp which faults blur: how fast an entry is handed over and settled, that held entries are renewed, that the connection of a member
is dialled again at once and its ghost is laid, that a lost group is created again where it should be.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Final

from streamcore.events import GroupCreated, GroupRecreated
from streamcore.group.rounds import QUIET

from ..context import Scene
from ..workloads.group.member import HOLD_SECONDS, Member
from ..world.actor import OPTIONS
from ..world.invariants import EventsInOrder, Oracle
from ..world.stream_log import STRANGER, fields_of
from .invariants import CreatesAgain, KillsItselfOnly, QuietWhenHealthy

if TYPE_CHECKING:
    from streamcore.events import Event

    from ..workloads.group.delivery_log import DeliveryLog
    from ..world.stream_log import Key

SOON: Final = 0.5
"""Seconds within which an entry is handed over, and is settled, in a world that is well: some round trips, and not a whole read."""

ROUND: Final = 2.2
"""Seconds within which a round of the audit is through: it waits for a read that blocks."""


class SteadyState:
    """A world that is well, with the calls of trials in it."""

    def __init__(self, scene: Scene, events: EventsInOrder, is_done: Callable[[], bool], patience: float) -> None:
        world = scene.world
        self.scene = scene
        self.world = world
        self.events = events
        self._is_done = is_done
        self._patience = patience
        self.lots = world.lots("calm")
        self.names = 0
        self.quiet = QuietWhenHealthy(world, events, scene.delivery_logs)
        self._kills = KillsItselfOnly(world)
        scene.host.on_kill = self._kills.killed

    def members(self, log: DeliveryLog) -> list[Member]:
        """The members of a group, in the order in which they were added."""
        return [one for one in self.scene.programs if isinstance(one, Member) and one.log is log]

    def is_whole(self, log: DeliveryLog) -> bool:
        return all(member.node is not None or member.is_twin for member in self.members(log))

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def run_audits(self, log: DeliveryLog, after: float = 0.0) -> None:
        """Until audits that begin so much later have looked at all streams: of quiet streams, so many have a turn in a round."""
        self.run(after + ROUND * ceil(len(log.streams) / QUIET))

    def run_soon(self, after: float) -> None:
        """Until an action that begins so much later is done."""
        self.run(after + SOON)

    def settle(self) -> None:
        self.world.run(self.world.now + self._patience, self._is_done)

    def append(self, log: DeliveryLog, stream: bytes, what: bytes, id_: bytes = b"*") -> bytes:
        """An operator appends an entry; its name."""
        self.names += 1
        name = b"%b:%d" % (what, self.names)
        log.sent.add(name)
        self.scene.host.do(b"XADD", stream, id_, *fields_of(name))
        self.scene.note()
        self.world.tell("operator", f"appends {name.decode()} to {stream.decode()}")
        return name

    def key(self, name: bytes) -> Key:
        return self.scene.history.keys[name]

    def claim(self, log: DeliveryLog, key: Key, consumer: bytes = STRANGER) -> None:
        """A stranger claims an entry."""
        fate = log.fate(key)
        fate.strangers, fate.excused = fate.strangers + 1, True
        log.tenures.note()
        self.scene.host.do(b"XCLAIM", key.stream, log.group, consumer, b"0", key.id)

    def handed(self, log: DeliveryLog, name: bytes, oracle: Oracle, why: str) -> None:
        """Violated where no program was handed an entry."""
        fate = log.fates.get(self.key(name))
        if fate is None or not fate.times:
            oracle.violated(f"{name.decode()} was not handed over within {SOON:g} s{why}")

    def told(self, member: Member, since: int) -> list[Event]:
        """The events that a member has told since then."""
        return self.events.told(member.label)[since:]

    def owner(self, log: DeliveryLog, key: Key) -> bytes | None:
        group = log.of(key.stream)
        one = None if group is None else group.pending.get(key.number)
        return None if one is None else one.consumer

    def marks(self, log: DeliveryLog) -> dict[str, int]:
        """How many events each member has told so far."""
        return {member.label: len(self.events.told(member.label)) for member in self.members(log)}

    def comes_back(self, log: DeliveryLog, stream: bytes, heard: dict[str, int], name: bytes) -> None:
        """The group is created again, in time and where it should be."""
        oracle = CreatesAgain(self.world)
        self.run(SOON + OPTIONS.backoff_max)
        if any(one.holds for one in self.members(log)):
            self.run(HOLD_SECONDS)
        if log.of(stream) is None:
            oracle.violated(f"the group of {stream.decode()} is gone, and nobody has created it again")
        told = [
            event
            for member in self.members(log)
            for event in self.told(member, heard[member.label])
            if isinstance(event, (GroupRecreated, GroupCreated)) and event.stream == stream
        ]
        if not told:
            oracle.violated(f"the group of {stream.decode()} was created again, and nobody was told")
        self.handed(log, name, oracle, ", after its group was created again")
