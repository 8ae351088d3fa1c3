"""The tasks between reads, and their budget: the work goes first.

Whenever nothing is in flight, each task of a table that is due does one piece: a command or a few, each of them bounded,
however much is pending and however many names there are. Tasks that concern other members, their entries and their names, take
turns with reads, and the first read of a connection leaves before it. While any task is due, reads do not wait in the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Protocol

from ..engine.script import Steps
from .claiming import Claiming
from .context import GroupContext
from .idle_consumers import IdleConsumers
from .idling import Idling
from .in_flight import InFlight
from .phase import Phase


class Due(Protocol):
    """Anything that is due ``at`` a time, in seconds; asking for the time changes nothing."""

    @property
    def at(self) -> float: ...


class Task(Due, Protocol):
    """A task of a member: its next piece is due ``at`` a time."""

    def run(self) -> Steps[None]:
        """Do a piece, with nothing in flight."""
        ...


class ForOthers:
    """Claims entries that other members have left, and removes their names, in turns with reads."""

    def __init__(
        self,
        context: GroupContext,
        phase: Phase,
        idling: Idling,
        in_flight: InFlight,
        claiming: Claiming,
        idle_consumers: IdleConsumers,
    ) -> None:
        self._context = context
        self._phase = phase
        self._idling = idling
        self._in_flight = in_flight
        self._claiming = claiming
        self._idle_consumers = idle_consumers
        self._has_read = False  # since the last piece

    def begin(self) -> None:
        """Begin a connection: let a read leave first."""
        self._has_read = False

    def read(self) -> None:
        """Note that a read has left."""
        self._has_read = True

    @property
    def at(self) -> float:
        """When either of them is due; never before a read has left."""
        if self._has_read and not (self._phase.stage.stops or self._idling):
            return min(self._claiming.at, self._idle_consumers.at)
        return inf

    def run(self) -> Steps[None]:
        """Claim, if there is room for entries, and remove names."""
        now = self._context.now
        claims = now >= self._claiming.at and self._in_flight.find_room()
        removes = now >= self._idle_consumers.at
        self._has_read = not (claims or removes)
        if claims:
            yield from self._claiming.run()
        if removes:
            yield from self._idle_consumers.run()


class BetweenReads:
    """The tasks of a member. ``table``: in the order in which they run; a read does not wait before ``ahead`` of it."""

    def __init__(self, context: GroupContext, table: Sequence[Task], ahead: Sequence[Due]) -> None:
        self._clock = context.clock
        self._table = table
        self._ahead = ahead

    @property
    def is_due(self) -> bool:
        """Whether a task is to run before a read waits in the server; it may have come up while others ran."""
        return self._clock.now >= min([task.at for task in self._ahead])

    def run(self) -> Steps[None]:
        """Do a piece of each task that is due, with nothing in flight."""
        clock = self._clock
        for task in self._table:
            if clock.now >= task.at:
                yield from task.run()
