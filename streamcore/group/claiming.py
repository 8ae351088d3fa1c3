"""Claim entries that other consumers left idle, or gave back; never our own, whose idle time would begin anew.

The cursor goes on page by page (``XPENDING``), with a read in between, and each member looks at a time of its own. The server
is not asked for idle entries alone (``XPENDING ... IDLE``), since it would walk the whole list for them; a page tells how
idle its rows are. Entries that were delivered before are claimed without counting a delivery (``XCLAIM ... JUSTID``): they
wait in the redelivery queue.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import Any, Final

from ..connection.exchange import Arguments
from ..connection.link import AT_ONCE
from ..engine.degradation import DELAYS
from ..engine.script import Steps, checked
from ..engine.together import pages
from ..entries import StreamId
from ..errors import NoGroupError, ReplyError
from ..events import EntriesClaimed
from ..keys import delayed_nacks
from .context import GroupContext
from .given_back import GivenBack
from .holdings import Holdings
from .in_flight import InFlight
from .options import NACKED
from .pending_pages import PAGE
from .recovery import Backlog, Recovery
from .rounds import Passes, are_many
from .settlements import NO_CLAIMS

REST: Final = 0.002
"""Seconds of rest behind a pass for each page of it: however much is pending, most of the time is left to others."""


class Claiming:
    """Takes over entries that other members have left; its state survives reconnects."""

    def __init__(
        self,
        context: GroupContext,
        backlog: Backlog,
        holdings: Holdings,
        in_flight: InFlight,
        given_back: GivenBack,
        recovery: Recovery,
    ) -> None:
        self._context = context
        self._backlog = backlog
        self._holdings = holdings
        self._in_flight = in_flight
        self._given_back = given_back
        self._recovery = recovery
        self._claim_from: dict[bytes, bytes] = {}
        self._claimable: set[bytes] = set()  # streams whose last page had rows to claim
        self._pages = 0  # of this pass
        self._regular = AT_ONCE if context.member.keeps else inf
        self._passes = Passes(context.member.claim_idle or NO_CLAIMS)

    @property
    def at(self) -> float:
        """When an entry may be claimed, in seconds: at the next regular look, or when a given-back entry is due."""
        expected = self._given_back.at
        return self._regular if expected is None or self._regular < expected else expected

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self._claim_from.pop(stream, None)
        self._claimable.discard(stream)
        self._passes.forget(stream)

    def run(self) -> Steps[None]:
        """Look through a page of the pending entries of each stream whose turn it is, and claim the idle entries."""
        context, now = self._context, self._context.now
        expected = self._given_back.take_due(now)
        patience = context.member.claim_idle or NO_CLAIMS
        present = context.present
        is_regular = not are_many(present) or now >= self._regular
        if is_regular:
            self._passes.begin(now, present)
            expected |= dict.fromkeys(self._passes.piece())
        unfinished: list[bytes] = []
        for stream in (
            yield from self._with_something([stream for stream in expected if stream not in context.absent])
        ):
            with suppress(NoGroupError):  # the next read meets it as well, and mends it
                finished = yield from self._look(stream, max(1, int(patience * 1000)))
                if not finished:
                    unfinished.append(stream)
        self._passes.put_back(unfinished)
        if is_regular or unfinished:
            # Spread over the second quarter of the interval, so that consumers which started together drift apart.
            pause = patience * (0.25 + 0.25 * context.random())
            if not self._passes.is_through:
                pause = 0.0
            else:
                pause, self._pages = max(pause, REST * self._pages), 0
            self._regular = now + pause

    def _with_something(self, streams: list[bytes]) -> Steps[list[bytes]]:
        """Find the streams in which entries are pending for others (``XPENDING``); where streams are few, pages tell that."""
        context, asked_at = self._context, self._context.now
        if not are_many(context.present):
            return streams
        found: list[bytes] = []
        for page in pages(streams):
            summaries = yield from context.ask(*(("XPENDING", stream, context.member.group) for stream in page))
            for stream, summary in zip(page, summaries, strict=True):
                if isinstance(summary, NoGroupError):  # the next read meets it as well, and mends it
                    continue
                if self.is_calm(checked(summary)):
                    self.calm(stream, asked_at)
                else:
                    found.append(stream)
        return found

    def is_calm(self, summary: Any) -> bool:
        """Whether nothing is pending for other members, by the reply of XPENDING."""
        return all(name == self._context.member.name for name, _ in summary[3] or ())

    def calm(self, stream: bytes, at: float) -> None:
        """Note that nothing was pending for other members in a stream at a time, in seconds."""
        self._passes.calm(stream, at)

    def _look(self, stream: bytes, idle: int) -> Steps[bool]:
        """Ask for a page of all pending entries, and claim the rows that are idle for ``idle`` ms.

        Returns whether it was the last page.
        """
        start, size = self._claim_from.get(stream, b"-"), max(PAGE, self._in_flight.page)
        if stream not in self._claimable:
            rows = yield from self._page(stream, start, size)
            first = next((row[0] for row in rows if row[2] >= idle), None)
            if first is None:
                return self._go_on(stream, rows, is_last=len(rows) < size)
            start = first  # once more from there, to compare it with the entries that we know
        size = self._in_flight.page
        known = self._holdings.known(stream)
        rows = yield from self._page(stream, start, size)
        known |= self._holdings.known(stream)
        yield from self._claim(stream, [row for row in rows if row[2] >= idle and row[0] not in known])
        return self._go_on(stream, rows, is_last=len(rows) < size, idle=idle)

    def _page(self, stream: bytes, start: bytes, size: int) -> Steps[list[Any]]:
        """Ask for pending entries from an id on (``XPENDING``): of all consumers, or, with no claims, of ``NACKED`` alone."""
        context, member = self._context, self._context.member
        whose = () if member.claim_idle is not None else (NACKED,)
        [rows] = yield from context.ask(("XPENDING", stream, member.group, start, "+", size, *whose))
        self._pages += 1
        listed: list[Any] = checked(rows)
        return listed

    def _go_on(self, stream: bytes, rows: list[Any], *, is_last: bool, idle: int | None = None) -> bool:
        """Note where this page has ended, and whether it had rows to claim; return whether the pass is at its end."""
        self._claimable.discard(stream)
        if is_last:
            self._claim_from.pop(stream, None)
            return True
        if idle is not None and any(row[2] >= idle for row in rows):
            self._claimable.add(stream)
        self._claim_from[stream] = b"(" + rows[-1][0]
        return False

    def _claim(self, stream: bytes, rows: list[Any]) -> Steps[None]:
        """Claim the rows that are idle for long enough, and unknown here."""
        waiting = yield from self._waiting(stream, [row[0] for row in rows if row[1] == NACKED])
        unknown = [row for row in rows if row[0] not in waiting]
        free = [row for row in unknown if not self._is_own(stream, row)]
        if len(free) < len(unknown):  # a stale connection has got them: no claim, and no attempt
            yield from self._recovery.run(stream)
        yield from self._recovery.fetch(stream, [row for row in free if not row[3]], EntriesClaimed)
        yield from self._take_over(stream, [row for row in free if row[3]])

    def _is_own(self, stream: bytes, row: list[Any]) -> bool:
        """Whether an unknown entry was delivered to us in this run; entries of an earlier run may be claimed."""
        return bool(row[1] == self._context.member.name and StreamId.parse(row[0]) > self._backlog.start(stream))

    def _waiting(self, stream: bytes, ids: list[bytes]) -> Steps[set[bytes]]:
        """Find the entries whose delay has not passed since they were given back (``ZMSCORE``), and drop the delays that have."""
        if not ids:
            return set()
        key = delayed_nacks(stream, self._context.member.group)
        commands: list[Arguments] = [("TIME",), ("ZMSCORE", key, *ids)]
        answers = yield from self._context.ask(*commands)
        for command, answer in zip(commands, answers, strict=True):
            self._context.degradation.is_forbidden(DELAYS, command, answer)
        time, scores = answers
        if isinstance(time, ReplyError) or isinstance(scores, ReplyError):
            return set()
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        listed = {id_: float(due) for id_, due in zip(ids, scores, strict=True) if due is not None}
        if over := [id_ for id_, due in listed.items() if due <= now]:
            [removed] = yield from self._context.ask(("ZREM", key, *over))
            self._context.degradation.is_forbidden(DELAYS, ("ZREM", key), removed)
        return {id_ for id_, due in listed.items() if due > now}

    def _take_over(self, stream: bytes, rows: list[Any]) -> Steps[None]:
        """Claim entries that were delivered before (``XCLAIM ... JUSTID``) into the redelivery queue."""
        if not rows:
            return
        context, member, ids = self._context, self._context.member, [row[0] for row in rows]
        self._backlog.claiming.setdefault(stream, set()).update(ids)
        # An entry that another member has claimed meanwhile is less idle: leave it.
        claim = ("XCLAIM", stream, member.group, member.name, min(row[2] for row in rows), *ids)
        [taken] = yield from context.ask((*claim, "JUSTID"))
        ours = set(checked(taken))
        self._recovery.queue(stream, [row for row in rows if row[0] in ours], EntriesClaimed)
        self._backlog.claiming.pop(stream, None)
        yield from self._recovery.look_for([id_ for id_ in ids if id_ not in ours], stream)
