"""Redeliver entries that were handed over before, here or to another member, when the application asks for more.

The server's counter of deliveries says how often an entry was tried. It must rise before the application has the entry, which
may kill the process, and must not rise for the entries behind it. So nothing is read ahead: only when the application asks
for more, the first entry of the redelivery queue is read from our own pending entries (``XREADGROUP`` with the id before it),
which counts a delivery, returns the fields, and finds out whether the entry is still ours, in one step. Where the answer is
lost with its connection, the counter is set back on the next connection (``XCLAIM ... RETRYCOUNT``): the counter of the
entry, or of our next pending entry, which the server has counted in its stead where another member had claimed it.

Where no counter condemns (``max_deliveries`` is None), entries with a single delivery come as a batch: they are asked for in
a round trip, each by a command of its own, and each counts when the batch is handed over. A process that dies with such a
batch has counted each of its entries; from then on they come singly.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import islice
from typing import Any, Final, NamedTuple

from ..connection.exchange import Arguments, Exchange
from ..engine.script import Steps, checked
from ..entries import StreamId
from ..errors import NoGroupError, ReplyError
from .context import GroupContext
from .holdings import Holdings
from .in_flight import InFlight
from .redelivery_queue import Waiting
from .release import Release
from .settling import Settling

MOST: Final = 100
"""Entries that a round trip asks for."""
TRIES: Final = 3
"""Attempts to set a counter back: where the server's clock is set back, entries become less idle by themselves."""


class Redelivered(NamedTuple):
    """Entries of a stream that were counted as handed over, and came; ``gone``: the ids whose data was deleted."""

    stream: bytes
    entries: list[list[Any]]
    size: int
    deliveries: int
    is_unsure: bool
    gone: list[bytes]


class Redelivery:
    """The redelivery of queued entries, when the application asks for more."""

    def __init__(
        self,
        context: GroupContext,
        holdings: Holdings,
        in_flight: InFlight,
        release: Release,
        settling: Settling,
    ) -> None:
        self._context = context
        self._queue = holdings.queue
        self._pending = holdings.pending
        self._in_flight = in_flight
        self._release = release
        self._settling = settling
        self._wanted = False
        self._in_doubt: list[Waiting] = []  # asked for, and not answered

    @property
    def due(self) -> bool:
        """Whether the application waits for the first entry of the redelivery queue."""
        return self._wanted and bool(self._queue)

    def want(self) -> None:
        """Ask for the first entry of the queue: the application has no other entry to work on."""
        self._wanted = True

    def recover(self) -> Steps[None]:
        """Set back the counters that a lost answer may have raised (``XPENDING``, ``XCLAIM``), before any other recovery."""
        if not self._in_doubt:
            return
        member, stream = self._context.member, self._in_doubt[0].stream
        with suppress(NoGroupError):
            # The server has counted our first pending entry from an id on.
            pages = [("XPENDING", stream, member.group, one.id, "+", 1, member.name) for one in self._in_doubt]
            listed = yield from self._context.ask(*pages)
            rows = [row for page in listed for row in checked(page)]
            counted = Counter(row[0] for row in rows)
            known = {one.id: one.deliveries for one in self._queue.of(stream)}
            for id_ in counted.keys() - known.keys():
                known[id_] = self._pending.deliveries(stream, id_) or 0
            yield from self._set_back(stream, [row for row in rows if known[row[0]]], counted, known)
        self._in_doubt = []

    def run(self) -> Steps[Redelivered | None]:
        """Fetch the first entry, or a batch (``XREADGROUP``), and return it; only when ``due``, and with nothing in flight."""
        yield from self._settling.give_back()
        if not self._queue:
            return None
        asked = self._in_doubt = self._next()
        first = asked[0]
        self._in_flight.single = first[:3] if len(asked) == 1 else None
        try:
            read = yield from self._read(asked)
        except NoGroupError:  # the next read meets it as well, and mends it
            yield from self.recover()  # the server may have answered for others of these entries
            self._queue.forget(first.stream)
            self._in_flight.single = None
            return None
        found = yield from self._found(asked, read)
        self._in_doubt, self._in_flight.single = [], None
        left = {one for one in asked if one not in self._queue}
        for waiting in asked:
            if (
                waiting in left and waiting.id in found
            ):  # we are leaving, and gave it back, perhaps before it was counted
                self._release.add_waiting(waiting)
                self._settling.flush_soon()
        if len(left) < len(asked):
            self._wanted = False
        self._queue.remove(asked)
        entries = [found[waiting.id] for waiting in asked if waiting not in left and waiting.id in found]
        there = [entry for entry in entries if entry[1] is not None]
        gone = [entry[0] for entry in entries if entry[1] is None]
        deliveries = first.deliveries + 1
        return Redelivered(first.stream, there, read.nbytes, deliveries, first.is_unsure, gone)

    def _next(self) -> list[Waiting]:
        """Choose the entries of a round trip: the first, and, where no counter condemns, the entries of its kind behind it."""
        first = self._queue.first
        asked = [first]
        if first.deliveries > 1 or self._context.member.max_deliveries is not None:
            return asked
        for one in islice(self._queue, 1, min(MOST, self._in_flight.page)):
            if one._replace(id=first.id) != first or StreamId.parse(one.id) <= StreamId.parse(asked[-1].id):
                break
            asked.append(one)
        return asked

    def _read(self, asked: list[Waiting]) -> Steps[Exchange]:
        """Count entries as delivered and fetch them (``XREADGROUP``).

        The unsent settlements leave before them: they shall not be lost, and count again, if these entries kill the process.
        """
        member = self._context.member
        head = ("XREADGROUP", "GROUP", member.group, member.name, "COUNT", 1, "STREAMS")
        reads: list[Arguments] = [(*head, one.stream, bytes(StreamId.parse(one.id).before())) for one in asked]
        read = Exchange(reads, self._context.request_timeout)
        yield from self._settling.send_before(read)
        for reply in read.replies:
            if isinstance(reply, ReplyError):
                reply.command = "XREADGROUP"
                raise reply
        return read

    def _found(self, asked: list[Waiting], read: Exchange) -> Steps[dict[bytes, list[Any]]]:
        """Return the entries that came, by id, but for entries that are not ours any more, and set wrong counters back."""
        stream = asked[0].stream
        found: dict[bytes, list[Any]] = {}
        counted: Counter[bytes] = Counter()
        for one, reply in zip(asked, read.replies, strict=True):
            replies: Any = reply
            for entry in replies[stream]:
                if entry[0] == one.id:
                    found[one.id] = entry
                elif entry[1] is not None:  # our next pending entry was counted in its stead
                    counted[entry[0]] += 1
        if counted:
            group = self._context.member.group
            listed = yield from self._context.ask(*(("XPENDING", stream, group, id_, id_, 1) for id_ in counted))
            yield from self._set_back(stream, [row for page in listed for row in checked(page)], counted, {})
        return found

    def _set_back(
        self, stream: bytes, rows: list[Any], counted: Counter[bytes], known: dict[bytes, int]
    ) -> Steps[None]:
        """Set counters back by the ``counted`` deliveries (``XCLAIM ... RETRYCOUNT``), but not below the ``known`` numbers."""
        member = self._context.member
        for _ in range(TRIES):
            claims: dict[bytes, Arguments] = {}
            for id_, owner, idle, times in rows:
                over = min(counted[id_], times - known.get(id_, 0))
                if owner == member.name and over > 0:
                    # Never an entry of another member, whose claim would have made it less idle.
                    at = ("XCLAIM", stream, member.group, member.name, idle, id_)
                    claims[id_] = (*at, "RETRYCOUNT", times - over, "JUSTID")
            claimed = (yield from self._context.ask(*claims.values())) if claims else []
            missed = [id_ for id_, reply in zip(claims, claimed, strict=True) if reply == []]
            if not missed:
                return
            listed = yield from self._context.ask(*(("XPENDING", stream, member.group, i, i, 1) for i in missed))
            rows = [row for page in listed for row in checked(page)]
