"""Entries that were delivered to us, or to others, and are to be handed over here.

- *Recover*: what is pending for our name on the server, and unknown to us: a lost reply, an earlier run of this program.
- *Claim*: what other consumers left idle, and what was given back; never our own, whose idle time would begin anew. The
  cursor goes on page by page, with a read in between, and each member looks at a time of its own. The server is not asked
  for what is idle (``XPENDING ... IDLE``), since it would walk the whole list for that; a page tells how idle its rows are.

What nobody can have seen is fetched by the page (``XCLAIM``), at its first delivery. The rest is claimed without being
counted, and waits in ``redelivery``; or, where it was handed over too often already, becomes a dead letter.

Only what was left by a process that is gone is condemned like that. What comes back to us from our own past, as after a
failover, has not killed us; and whoever had our name until now may still be at work.
"""

from __future__ import annotations

from contextlib import suppress
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..connection.exchange import Arguments
from ..connection.link import AT_ONCE
from ..engine.degradation import DELAYS, DELETIONS
from ..engine.script import Steps, checked
from ..engine.together import pages
from ..entries import StreamId
from ..errors import NoGroupError, ReplyError
from ..events import EntriesClaimed, EntriesRecovered, PendingEntriesDeleted
from ..keys import delayed_nacks
from ..stream_id import ZERO
from .options import NACKED
from .pending_pages import PAGE
from .redelivery import Waiting
from .rounds import Passes, are_many
from .settlements import NO_CLAIMS

if TYPE_CHECKING:
    from .read_loop import GroupReading

TOO_OFTEN: Final = b"delivered too often"
MARGIN: Final = 0.005
"""Seconds after which what was given back for a while is looked for: the server counts whole milliseconds."""

REST: Final = 0.002
"""Seconds of rest behind a pass for each page of it: however much is pending, most of the time is left to others."""


class Claims:
    """What one consumer takes over; its state survives reconnects."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._recover_from: dict[bytes, StreamId] = {}
        self._met: set[bytes] = set()  # streams whose backlog from earlier runs is listed
        self._spared: set[bytes] = set()  # streams in which whoever had our name before us may be at work
        self._claiming: dict[bytes, set[bytes]] = {}  # others had these before
        self._claim_from: dict[bytes, bytes] = {}
        self._claimable: set[bytes] = set()  # streams of which the last page had something to claim
        self._pages = 0  # of this pass
        self._regular = AT_ONCE if consumer.member.keeps else float("inf")
        self._passes = Passes(consumer.member.claim_idle or NO_CLAIMS)
        self._expected: list[tuple[float, bytes]] = []  # when what we gave back may be claimed, and in which stream

    @property
    def at(self) -> float:
        """When something may be claimed."""
        return min(self._regular, self._expected[0][0]) if self._expected else self._regular

    @property
    def expected_at(self) -> float | None:
        """When something that we have given back may be claimed."""
        return self._expected[0][0] if self._expected else None

    def expected_within(self, patience: float) -> float | None:
        """Seconds until then, where these are no more than a read waits for, and its margin."""
        at, now = self.expected_at, self._consumer.now
        return None if at is None or at > now + patience + MARGIN else max(0.0, at - now)

    def expect(self, stream: bytes, delay: float) -> None:
        """Something of a stream was given back, and may be claimed after so many seconds."""
        heappush(self._expected, (self._consumer.now + delay + MARGIN, stream))

    def begin(self, stream: bytes, delivered: StreamId) -> None:
        """Recover what is pending for us in a stream from the beginning, or behind what was ``delivered`` before."""
        self._recover_from[stream] = delivered

    def meet(self, stream: bytes) -> None:
        """The stream is ours anew; what it lists may have been handed over, also where we have seen its list before."""
        self._met.discard(stream)

    def spare(self, stream: bytes) -> None:
        """Whoever had our name before us is not known to be gone: its last attempt need not have failed."""
        self._spared.add(stream)

    def end(self, stream: bytes) -> None:
        """The stream is not ours any more."""
        self._recover_from.pop(stream, None)
        self._met.discard(stream)
        self._spared.discard(stream)
        self._claim_from.pop(stream, None)
        self._claimable.discard(stream)
        self._passes.forget(stream)

    # -- our own ------------------------------------------------------------------------------------------------------

    def recover(self, stream: bytes) -> Steps[None]:
        """Everything that is pending for us and unknown here."""
        with suppress(NoGroupError):  # with the group, nothing is pending; the next read mends it
            yield from self._recover(stream)
        self.recovered(stream)

    def recovered(self, stream: bytes) -> None:
        """Nothing is pending for us that is unknown here."""
        if stream in self._consumer.member.streams:
            self._met.add(stream)  # from now on, what is listed and unknown was delivered to this process
            self._claiming.pop(stream, None)
            self._spared.discard(stream)

    def _recover(self, stream: bytes) -> Steps[None]:
        consumer = self._consumer
        start = b"(%b" % bytes(self._recover_from.get(stream, ZERO))
        size = consumer.room.page
        while True:
            yield from consumer.wait_for_room()
            if stream not in consumer.member.streams:
                return
            is_first = consumer.member.backlog and stream not in self._met
            known = consumer.known(stream)
            rows = yield from self._own_page(stream, start, size)
            known |= consumer.known(stream)  # what is settled meanwhile, over the other link, may be listed, too
            is_last, rows, size = self._cut(rows, size, [row for row in rows if row[0] not in known])
            claiming = self._claiming.get(stream, set[bytes]())
            unseen: list[Any] = []
            left: list[Any] = []  # by somebody who was here before us
            ours: list[Any] = []  # of our own past: it has come back
            for row in rows:
                if row[0] not in known:
                    if is_first or row[0] in claiming:
                        (left if row[3] else unseen).append(row)
                    else:
                        (ours if row[3] > 1 else unseen).append(row)
            yield from self._fetch(stream, unseen, EntriesRecovered)
            self._queue(stream, left, EntriesRecovered, grace=int(stream in self._spared))
            self._queue(stream, ours, EntriesRecovered, grace=inf)
            if is_last:
                return
            start = b"(" + rows[-1][0]

    def _own_page(self, stream: bytes, start: bytes, size: int) -> Steps[list[Any]]:
        """What the server lists as pending for us, from an id on."""
        consumer = self._consumer
        page = ("XPENDING", stream, consumer.member.group, start, "+", size, consumer.member.name)
        [rows] = yield from consumer.ask(page)
        listed: list[Any] = checked(rows)
        return listed

    def _cut(self, rows: list[Any], size: int, wanted: list[Any]) -> tuple[bool, list[Any], int]:
        """A page up to the last row that may be fetched now; whether it is the last one, and how large the next one shall be."""
        count = self._consumer.room.page
        if len(wanted) > count:
            return False, rows[: rows.index(wanted[count - 1]) + 1], count
        return len(rows) < size, rows, count if wanted else max(PAGE, count)

    # -- others' ------------------------------------------------------------------------------------------------------

    def run(self) -> Steps[None]:
        """One page of what may be claimed, for each of the streams whose turn it is."""
        consumer = self._consumer
        member, now = consumer.member, consumer.now
        expected: dict[bytes, None] = {}
        while self._expected and self._expected[0][0] <= now:
            expected[heappop(self._expected)[1]] = None
        patience = member.claim_idle or NO_CLAIMS
        present = consumer.present
        is_regular = not are_many(present) or now >= self._regular
        if is_regular:
            self._passes.begin(now, present)
            expected |= dict.fromkeys(self._passes.piece())
        unfinished: list[bytes] = []
        for stream in (
            yield from self._with_something([one for one in expected if one not in consumer.context.absent])
        ):
            with suppress(NoGroupError):  # the next read meets it as well, and mends it
                finished = yield from self._look(stream, max(1, int(patience * 1000)))
                if not finished:
                    unfinished.append(stream)
        self._passes.put_back(unfinished)
        if is_regular or unfinished:
            # Spread over the second quarter of the interval, so that consumers which started together drift apart.
            pause = patience * (0.25 + 0.25 * consumer.random())
            if not self._passes.is_through:
                pause = 0.0
            else:
                pause, self._pages = max(pause, REST * self._pages), 0
            self._regular = now + pause

    def _with_something(self, streams: list[bytes]) -> Steps[list[bytes]]:
        """Those in which something is pending for others; where streams are few, that is found out by looking for it."""
        consumer, asked_at = self._consumer, self._consumer.now
        if not are_many(consumer.present):
            return streams
        found: list[bytes] = []
        for page in pages(streams):
            summaries = yield from consumer.ask(*(("XPENDING", stream, consumer.member.group) for stream in page))
            for stream, summary in zip(page, summaries, strict=True):
                if isinstance(summary, NoGroupError):  # the next read meets it as well, and mends it
                    continue
                if self.is_calm(checked(summary)):
                    self.calm(stream, asked_at)
                else:
                    found.append(stream)
        return found

    def is_calm(self, summary: Any) -> bool:
        """Whether nothing is pending for others, by the reply of XPENDING."""
        return all(name == self._consumer.member.name for name, _ in summary[3] or ())

    def calm(self, stream: bytes, at: float) -> None:
        """Nothing was pending for others then."""
        self._passes.calm(stream, at)

    def _look(self, stream: bytes, idle: int) -> Steps[bool]:
        """One page of what is pending for anybody, and claim what has been idle for long enough; whether it was the last."""
        consumer = self._consumer
        start, size = self._claim_from.get(stream, b"-"), max(PAGE, consumer.room.page)
        if stream not in self._claimable:
            rows = yield from self._page(stream, start, size)
            first = next((row[0] for row in rows if row[2] >= idle), None)
            if first is None:
                return self._go_on(stream, rows, is_last=len(rows) < size)
            start = first  # once more from there, to compare it with what we know
        size = consumer.room.page
        known = consumer.known(stream)
        rows = yield from self._page(stream, start, size)
        known |= consumer.known(stream)
        yield from self._claim(stream, [row for row in rows if row[2] >= idle and row[0] not in known])
        return self._go_on(stream, rows, is_last=len(rows) < size, idle=idle)

    def _page(self, stream: bytes, start: bytes, size: int) -> Steps[list[Any]]:
        """What is pending for anybody; where nothing is claimed, what was given back."""
        consumer = self._consumer
        whose = () if consumer.member.claim_idle is not None else (NACKED,)
        [rows] = yield from consumer.ask(("XPENDING", stream, consumer.member.group, start, "+", size, *whose))
        self._pages += 1
        listed: list[Any] = checked(rows)
        return listed

    def _go_on(self, stream: bytes, rows: list[Any], *, is_last: bool, idle: int | None = None) -> bool:
        """Remember where this look has ended, and whether there was something to claim; whether the pass is at its end."""
        self._claimable.discard(stream)
        if is_last:
            self._claim_from.pop(stream, None)
            return True
        if idle is not None and any(row[2] >= idle for row in rows):
            self._claimable.add(stream)
        self._claim_from[stream] = b"(" + rows[-1][0]
        return False

    def _claim(self, stream: bytes, rows: list[Any]) -> Steps[None]:
        """Take over what has been idle for long enough, and is unknown here."""
        waiting = yield from self._waiting(stream, [row[0] for row in rows if row[1] == NACKED])
        unknown = [row for row in rows if row[0] not in waiting]
        free = [row for row in unknown if not self._is_own(stream, row)]
        if len(free) < len(unknown):  # what a ghost has got: no claim, and no attempt
            yield from self.recover(stream)
        yield from self._fetch(stream, [row for row in free if not row[3]], EntriesClaimed)
        yield from self._take_over(stream, [row for row in free if row[3]])

    def _is_own(self, stream: bytes, row: list[Any]) -> bool:
        """Whether an entry that we do not know was delivered to us; what an earlier run has left may be claimed instead."""
        return bool(
            row[1] == self._consumer.member.name and StreamId.parse(row[0]) > self._recover_from.get(stream, ZERO)
        )

    def _waiting(self, stream: bytes, ids: list[bytes]) -> Steps[set[bytes]]:
        """Those that were given back for longer than has passed."""
        if not ids:
            return set()
        key = delayed_nacks(stream, self._consumer.member.group)
        commands: list[Arguments] = [("TIME",), ("ZMSCORE", key, *ids)]
        answers = yield from self._consumer.ask(*commands)
        for command, answer in zip(commands, answers, strict=True):
            self._consumer.degradation.is_forbidden(DELAYS, command, answer)
        time, scores = answers
        if isinstance(time, ReplyError) or isinstance(scores, ReplyError):
            return set()
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        listed = {id_: float(due) for id_, due in zip(ids, scores, strict=True) if due is not None}
        if over := [id_ for id_, due in listed.items() if due <= now]:
            [removed] = yield from self._consumer.ask(("ZREM", key, *over))
            self._consumer.degradation.is_forbidden(DELAYS, ("ZREM", key), removed)
        return {id_ for id_, due in listed.items() if due > now}

    def _take_over(self, stream: bytes, rows: list[Any]) -> Steps[None]:
        if not rows:
            return
        consumer, ids = self._consumer, [row[0] for row in rows]
        self._claiming.setdefault(stream, set()).update(ids)
        # Another member that claimed one meanwhile has reset its idle time: leave it.
        claim = ("XCLAIM", stream, consumer.member.group, consumer.member.name, min(row[2] for row in rows), *ids)
        [taken] = yield from consumer.ask((*claim, "JUSTID"))
        ours = set(checked(taken))
        self._queue(stream, [row for row in rows if row[0] in ours], EntriesClaimed)
        self._claiming.pop(stream, None)
        yield from self._look_for([id_ for id_ in ids if id_ not in ours], stream)

    # -- both ---------------------------------------------------------------------------------------------------------

    def _queue(
        self, stream: bytes, rows: list[Any], kind: type[EntriesRecovered | EntriesClaimed], *, grace: float = 0
    ) -> None:
        """To be handed over again, one at a time; or not any more, where that was done too often, and ``grace`` times more."""
        consumer, limit = self._consumer, self._consumer.member.max_deliveries
        again: list[Waiting] = []
        for id_, owner, _, times in rows:
            # After one delivery nobody knows whether the application has seen it: it gets another chance in any case.
            if limit is not None and times > 1 and times >= limit + grace:
                consumer.pending.bury(stream, id_, times, TOO_OFTEN)
                consumer.settling.flush_soon()
            else:
                again.append(Waiting(stream, id_, times, is_unsure=times == 1 and owner != NACKED))
        if again:
            consumer.deliver_again(again)
            consumer.emit(kind(stream, len(again)))

    def _fetch(self, stream: bytes, rows: list[Any], kind: type[EntriesRecovered | EntriesClaimed]) -> Steps[None]:
        """XCLAIM to ourselves what was never seen; this is its first delivery."""
        consumer = self._consumer
        if not rows:
            return
        idle = min(row[2] for row in rows)
        claim = ("XCLAIM", stream, consumer.member.group, consumer.member.name, idle, *(row[0] for row in rows))
        consumer.fetching = (stream, rows[0][0], 0) if len(rows) == 1 else None
        [entries] = yield from consumer.ask((*claim, "RETRYCOUNT", 1))
        consumer.fetching = None
        if checked(entries):
            consumer.emit(kind(stream, len(entries)))
            consumer.deliver(stream, entries)
        fetched = {entry[0] for entry in entries}
        yield from self._look_for([row[0] for row in rows if row[0] not in fetched], stream)

    def _look_for(self, missing: list[bytes], stream: bytes) -> Steps[None]:
        """What did not come has another owner by now, was settled by it, or was deleted: then the server has settled it."""
        if not missing:
            return
        consumer = self._consumer
        listed = yield from consumer.ask(*(("XPENDING", stream, consumer.member.group, i, i, 1) for i in missing))
        settled = [id_ for id_, rows in zip(missing, listed, strict=True) if not checked(rows)]
        if not settled:
            return
        found = yield from consumer.ask(*(("XRANGE", stream, i, i) for i in settled))
        consumer.degradation.is_forbidden(DELETIONS, ("XRANGE", stream), found[0])
        # Where it is forbidden to look, a loss that was none is better told than one that was kept back.
        gone = [id_ for id_, entry in zip(settled, found, strict=True) if isinstance(entry, ReplyError) or not entry]
        if gone:
            consumer.emit(PendingEntriesDeleted(stream, tuple(gone)))
