"""Recover entries that are pending for our name on the server, and unknown to us: after a lost reply, or from an earlier run.

Entries that the application cannot have seen are fetched by the page (``XCLAIM``), at their first delivery. The other entries
wait in the redelivery queue; or, after ``max_deliveries`` deliveries, become dead letters.

Only entries left by a process that is gone are condemned like that. Entries that come back from our own past, as after a
failover, have not killed us, whichever consumers had them; and the process that had our name until now may still be at work.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any

from ..engine.degradation import DELETIONS
from ..engine.script import Steps, checked
from ..entries import StreamId
from ..errors import NoGroupError, ReplyError
from ..events import EntriesClaimed, EntriesRecovered
from ..stream_id import ZERO
from .context import GroupContext
from .holdings import Holdings
from .in_flight import InFlight
from .options import NACKED
from .pending_pages import PAGE
from .redelivery_queue import Waiting
from .taken import DeadLetter, Take, Taken


class Backlog:
    """The backlog of each stream: entries that were pending for our name before this run. It survives reconnects.

    ``quiet``: streams of which nothing was pending for us when we entered.
    """

    def __init__(self) -> None:
        self.quiet: set[bytes] = set()
        self.claiming: dict[bytes, set[bytes]] = {}  # ids of other consumers, which are being claimed
        self._from: dict[bytes, StreamId] = {}
        self._met: set[bytes] = set()  # streams whose backlog from earlier runs is listed
        self._spared: set[bytes] = set()  # streams in which the process that had our name before us may be at work
        self._brought_back: dict[bytes, StreamId] = {}  # up to which id settled entries may be back

    def begin(self, stream: bytes, delivered: StreamId) -> None:
        """Recover our pending entries of a stream from the beginning, or behind the id that was ``delivered`` before."""
        self._from[stream] = delivered

    def start(self, stream: bytes) -> StreamId:
        """The id behind which entries of a stream are recovered."""
        return self._from.get(stream, ZERO)

    def meet(self, stream: bytes) -> None:
        """Doubt entries that are listed for us: the stream is ours anew, and they may have been handed over before."""
        self._met.discard(stream)

    def is_met(self, stream: bytes) -> bool:
        """Whether entries that are listed and unknown were delivered to this process."""
        return stream in self._met

    def spare(self, stream: bytes) -> None:
        """Grant each entry an attempt more: the process that had our name is not known to be gone, and may be at work."""
        self._spared.add(stream)

    def is_spared(self, stream: bytes) -> bool:
        """Whether the process that had our name before us may be at work."""
        return stream in self._spared

    def bring_back(self, stream: bytes, delivered: StreamId) -> None:
        """Condemn no entry up to the group's last ``delivered`` id: after a failover, settled entries may be pending again."""
        self._brought_back[stream] = delivered

    def may_be_settled(self, stream: bytes, id_: bytes) -> bool:
        """Whether an entry that we have settled may be pending again, after a failover."""
        bound = self._brought_back.get(stream)
        return bound is not None and StreamId.parse(id_) <= bound

    def recovered(self, stream: bytes) -> None:
        """Note that every entry of a stream that is pending for us is known here."""
        self._met.add(stream)
        self.claiming.pop(stream, None)
        self._spared.discard(stream)

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self.quiet.discard(stream)
        self._from.pop(stream, None)
        self._met.discard(stream)
        self._spared.discard(stream)
        self._brought_back.pop(stream, None)


class Recovery:
    """Lists our own pending entries, and takes the unknown entries. ``take`` applies the result, a part at a time.

    ``wait_for_room`` does the work that is due, with nothing in flight, until more entries may be fetched; it runs any task
    of the member, so it stays with the read loop.
    """

    def __init__(
        self,
        context: GroupContext,
        backlog: Backlog,
        holdings: Holdings,
        in_flight: InFlight,
        *,
        take: Take,
        wait_for_room: Callable[[], Steps[None]],
    ) -> None:
        self._context = context
        self._backlog = backlog
        self._holdings = holdings
        self._in_flight = in_flight
        self._take = take
        self._wait_for_room = wait_for_room

    def run(self, stream: bytes) -> Steps[None]:
        """Recover all entries of a stream that are pending for us (``XPENDING``), and unknown here."""
        with suppress(NoGroupError):  # with the group, nothing is pending; the next read mends it
            yield from self._recover(stream)
        self.recovered(stream)

    def recovered(self, stream: bytes) -> None:
        """Note that every entry of a stream that is pending for us is known here.

        Entries that are listed later were delivered to this process.
        """
        if stream in self._context.member.streams:
            self._backlog.recovered(stream)

    def _recover(self, stream: bytes) -> Steps[None]:
        member, holdings = self._context.member, self._holdings
        start = b"(%b" % bytes(self._backlog.start(stream))
        size = self._in_flight.page
        while True:
            yield from self._wait_for_room()
            if stream not in member.streams:
                return
            is_first = member.backlog and not self._backlog.is_met(stream)
            known = holdings.known(stream)
            rows = yield from self._own_page(stream, start, size)
            known |= holdings.known(stream)  # entries settled meanwhile, over the other link, may be listed
            is_last, rows, size = self._cut(rows, size, [row for row in rows if row[0] not in known])
            claiming = self._backlog.claiming.get(stream, set[bytes]())
            unseen: list[Any] = []
            left: list[Any] = []  # by a process that was here before us
            ours: list[Any] = []  # from our own past: they have come back
            for row in rows:
                if row[0] not in known:
                    if is_first or row[0] in claiming:
                        (left if row[3] else unseen).append(row)
                    else:
                        (ours if row[3] > 1 else unseen).append(row)
            yield from self.fetch(stream, unseen, EntriesRecovered)
            self.queue(stream, left, EntriesRecovered, grace=int(self._backlog.is_spared(stream)))
            self.queue(stream, ours, EntriesRecovered, grace=inf)
            if is_last:
                return
            start = b"(" + rows[-1][0]

    def _own_page(self, stream: bytes, start: bytes, size: int) -> Steps[list[Any]]:
        """Ask for our pending entries from an id on (``XPENDING``)."""
        context, member = self._context, self._context.member
        page = ("XPENDING", stream, member.group, start, "+", size, member.name)
        [rows] = yield from context.ask(page)
        listed: list[Any] = checked(rows)
        return listed

    def _cut(self, rows: list[Any], size: int, wanted: list[Any]) -> tuple[bool, list[Any], int]:
        """Cut a page behind the last row that may be fetched now.

        Returns whether it is the last page, its rows, and the size of the next page.
        """
        count = self._in_flight.page
        if len(wanted) > count:
            return False, rows[: rows.index(wanted[count - 1]) + 1], count
        return len(rows) < size, rows, count if wanted else max(PAGE, count)

    def queue(
        self, stream: bytes, rows: list[Any], kind: type[EntriesRecovered | EntriesClaimed], *, grace: float = 0
    ) -> None:
        """Queue entries that were handed over before; bury entries that were delivered too often, and ``grace`` times more."""
        limit = self._context.member.max_deliveries
        again: list[Waiting] = []
        dead: list[DeadLetter] = []
        for id_, owner, _, times in rows:
            # After one delivery it is unknown whether the application has seen it: it gets another chance in any case.
            is_over = limit is not None and times > 1 and times >= limit + grace
            if is_over and not self._backlog.may_be_settled(stream, id_):
                dead.append(DeadLetter(id_, times))
            else:
                again.append(Waiting(stream, id_, times, is_unsure=times == 1 and owner != NACKED))
        self._take(Taken(stream, kind, again=again, dead_letters=dead))

    def fetch(self, stream: bytes, rows: list[Any], kind: type[EntriesRecovered | EntriesClaimed]) -> Steps[None]:
        """Claim to ourselves (``XCLAIM``) entries that were never seen; this is their first delivery."""
        if not rows:
            return
        context, member = self._context, self._context.member
        idle = min(row[2] for row in rows)
        claim = ("XCLAIM", stream, member.group, member.name, idle, *(row[0] for row in rows))
        self._in_flight.single = (stream, rows[0][0], 0) if len(rows) == 1 else None
        [entries] = yield from context.ask((*claim, "RETRYCOUNT", 1))
        self._in_flight.single = None
        self._take(Taken(stream, kind, first_time=checked(entries)))
        fetched = {entry[0] for entry in entries}
        yield from self.look_for([row[0] for row in rows if row[0] not in fetched], stream)

    def look_for(self, missing: list[bytes], stream: bytes) -> Steps[None]:
        """Find out the fate of claimed entries that did not come (``XPENDING``, ``XRANGE``).

        They have another owner by now, were settled by it, or were deleted: then the server has settled them.
        """
        if not missing:
            return
        context = self._context
        listed = yield from context.ask(*(("XPENDING", stream, context.member.group, i, i, 1) for i in missing))
        settled = [id_ for id_, rows in zip(missing, listed, strict=True) if not checked(rows)]
        if not settled:
            return
        found = yield from context.ask(*(("XRANGE", stream, i, i) for i in settled))
        context.degradation.is_forbidden(DELETIONS, ("XRANGE", stream), found[0])
        # Where XRANGE is forbidden, rather tell a deletion that was none than keep a deletion back.
        gone = [id_ for id_, entry in zip(settled, found, strict=True) if isinstance(entry, ReplyError) or not entry]
        if gone:
            self._take(Taken(stream, deleted=tuple(gone)))
