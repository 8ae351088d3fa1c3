"""How many more entries a member of a group may be given: ``max_in_flight``, less what is in hand, and what reads may bring.

Of many streams a read asks for what is left, or for a quarter of all at least, so that what is in hand of a few of them does not stop
reading. A read that waits is about all streams, and is answered by the first that has something; it may bring an entry of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..reading.portions import Portion

if TYPE_CHECKING:
    from .read_loop import GroupReading


class Room:
    """The room of one consumer."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._most = 0  # that the next read may bring, as of the last look
        self._shape = (0, 0)  # of the reads for which ``_wanted`` was found out: COUNT, and streams
        self._wanted = 0

    @property
    def page(self) -> int:
        """How many entries of one stream are fetched at once."""
        return min(self._consumer.count, self._consumer.portions.affordable)

    @property
    def expected(self) -> int:
        """How many entries the reads that are unanswered may bring."""
        asked = self._consumer.asked
        return sum([one.most for one in asked]) if asked else 0

    @property
    def most_at_once(self) -> int:
        """How many entries a read may bring while nothing is in hand: one of each stream, at least."""
        member = self._consumer.member
        streams = len(member.streams)
        return max(streams, min(self._consumer.count * streams, member.max_in_flight))

    def fits(self, in_flight: int) -> bool:
        """Whether another read may leave while so many are unanswered."""
        consumer = self._consumer
        pending, member = consumer.pending, consumer.member
        shape = (consumer.count, len(member.streams))
        if shape != self._shape:
            self._shape, self._wanted = shape, min(self.most_at_once, max(consumer.count, member.max_in_flight // 4))
        wanted, most = self._wanted, member.max_in_flight - self.expected
        if most - pending.in_flight < wanted:
            pending.collect()
        left = most - pending.in_flight  # when all reads are answered
        fits = left >= wanted
        self._most = left if fits else wanted
        return fits or not (pending.in_flight or in_flight)

    def portion(self) -> Portion:
        """What the next read asks for; only where it ``fits``."""
        consumer = self._consumer
        return consumer.portions.next(consumer.present, consumer.count, self._most)
