"""How many more entries a member of a group may be given: ``max_in_flight``, less the entries in hand, and the entries that reads may bring.

Of many streams a read asks for all that is left, or for a quarter of all at least, so that entries in hand of a few of them do not stop
reading. A read that waits is about all streams, and is answered by the first that has something; it may bring an entry of each.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..reading.portions import Portion, Portions
from .context import GroupContext
from .holdings import Holdings


class InFlight:
    """The reads of a member that are in flight, and the entries in hand: both count.

    ``reads``: how many are unanswered. ``blocked``: the read in flight may wait in the server.
    ``resting``: the reading link waits with nothing in flight, because nothing may be read. ``starved``: no read may leave
    before something is settled. ``single``: the only entry that is being fetched, with its stream and deliveries.
    """

    def __init__(
        self,
        context: GroupContext,
        portions: Portions,
        holdings: Holdings,
        asked: Sequence[Portion],
    ) -> None:
        self.reads = 0
        self.blocked = False
        self.resting = False
        self.starved = False
        self.single: tuple[bytes, bytes, int] | None = None
        self._context = context
        self._portions = portions
        self._pending = holdings.pending
        self._queue = holdings.queue
        self._prefetch = holdings.prefetch
        self._asked = asked  # by the reads that are in flight
        self._most = 0  # entries that the next read may bring, as of the last measure
        self._shape: tuple[int, int] = (0, 0)  # of the reads for which ``_wanted`` was found out: COUNT, and streams
        self._wanted = 0

    @property
    def page(self) -> int:
        """Entries of a stream that are fetched at once."""
        return min(self._context.count, self._portions.affordable)

    @property
    def expected(self) -> int:
        """Entries that the reads in flight may bring."""
        asked = self._asked
        return sum([portion.most for portion in asked]) if asked else 0

    @property
    def most_at_once(self) -> int:
        """Entries that a read may bring while nothing is in hand: an entry of each stream, at least."""
        member = self._context.member
        streams = len(member.streams)
        return max(streams, min(self._context.count * streams, member.max_in_flight))

    def find_room(self, reads: int = 0) -> bool:
        """Find out, and return, whether a read may leave while so many ``reads`` are unanswered, and how much it may bring.

        Settlements are collected for it. Where none is unanswered and none may leave because of entries in hand, the member is
        ``starved`` until this finds room.
        """
        self.starved = False
        if self._queue or not self._prefetch.has_room(reads):
            return False
        pending, member, count = self._pending, self._context.member, self._context.count
        shape = (count, len(member.streams))
        if shape != self._shape:
            self._shape, self._wanted = shape, min(self.most_at_once, max(count, member.max_in_flight // 4))
        wanted, most = self._wanted, member.max_in_flight - self.expected
        if most - pending.in_flight < wanted:
            pending.collect()
        left = most - pending.in_flight  # when all reads are answered
        fits = left >= wanted
        self._most = left if fits else wanted
        fits = fits or not (pending.in_flight or reads)
        self.starved = not (fits or reads)
        return fits

    def portion(self) -> Portion:
        """Choose the streams and counts of the next read; only where ``find_room`` has found room."""
        context = self._context
        return self._portions.next(context.present, context.count, self._most)
