"""What is done between reads, and its budget: the work goes first.

Whenever nothing is in flight, each task that is due does one piece: a command or a few, each of them bounded, however much is
pending and however many names there are. What concerns other members, their entries and their names, takes turns with reads,
and the first read of a connection leaves before it. While anything is due, reads do not wait in the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..engine.script import Steps

if TYPE_CHECKING:
    from .read_loop import GroupReading


class BetweenReads:
    """The tasks of one consumer."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._has_read = False  # since others were looked after

    def begin(self) -> None:
        """A connection begins to read."""
        self._has_read = False

    def read(self) -> None:
        """A read has left."""
        self._has_read = True

    @property
    def is_due(self) -> bool:
        """Whether something is to be done before a read waits in the server; it may have come up while others were done."""
        consumer = self._consumer
        now = consumer.now
        if now >= consumer.upkeep.rota.at or now >= consumer.claims.at or now >= consumer.idle_consumers.at:
            return True
        return now >= consumer.presence.at or consumer.absent_streams.due or bool(consumer.joining)

    def run(self) -> Steps[None]:
        """Nothing is in flight: do a piece of what is due."""
        consumer = self._consumer
        if consumer.joining:
            yield from consumer.joining.run()
        if consumer.absent_streams.due:
            yield from consumer.joining.look_for_absent()
            if not consumer.present:
                consumer.idling.find_nothing()
        if self._has_read and not (consumer.stops or consumer.idling):
            yield from self._look_after_others()
        if consumer.upkeep_is_due():
            yield from consumer.upkeep.audit()
        if consumer.now >= consumer.presence.at:
            yield from consumer.presence.run()
        if consumer.renewal.due:
            yield from consumer.renewal.run()

    def _look_after_others(self) -> Steps[None]:
        consumer = self._consumer
        claims = consumer.now >= consumer.claims.at and consumer.has_room()
        removes = consumer.now >= consumer.idle_consumers.at
        self._has_read = not (claims or removes)
        if claims:
            yield from consumer.claims.run()
        if removes:
            yield from consumer.idle_consumers.run()
