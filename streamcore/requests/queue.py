"""Requests in order over one link, which is renewed for ever.

A request that was never sent when its connection went is kept for the next one, and so is what may be repeated; only the
rest is lost. What a server refuses because it cannot serve now (it loads, or has become a replica) was not executed: it
waits for the next connection as well, until its deadline. A request whose deadline has passed, or whose caller was
cancelled, keeps its place in the FIFO: its reply is discarded there and reaches nobody else.

A line that is ``bound`` has told its server something that later requests rely on (WATCH): with its connection all is lost.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol, cast

from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE, Link, Owner
from ..errors import ConnectionLost, StreamcoreError
from .lateness import excuse
from .request import MAYBE_REFUSED, Request
from .witness import Witness


class Keeper(Protocol):
    """What a line asks of its engine."""

    def new_line_link(self, line: Line) -> Link: ...
    def new_witness_link(self, witness: Owner) -> Link: ...
    def line_up(self, line: Line, *, again: bool) -> None: ...
    def line_down(self, line: Line, error: Exception, *, was_up: bool) -> None: ...
    def lost(self, error: Exception) -> ConnectionLost: ...
    def late(self, why: str) -> StreamcoreError: ...


class Line:
    """One link and its requests. ``queued`` counts the bytes of those that are not answered."""

    def __init__(self, keeper: Keeper) -> None:
        self.queued = 0
        self.bound = False
        self.broken: ConnectionLost | None = None  # why a bound line can be used no more
        self._keeper = keeper
        self._waiting: deque[Request] = deque()
        self._deadlines: deque[Request] = deque()  # in the order of submission, which is that of the deadlines
        self._refused: list[Request] = []  # by a server that cannot serve now: they wait for the next connection
        self._up_before = False
        self._was_up = False
        self._witness: Witness | None = None
        self.link = keeper.new_line_link(self)
        self.link.tell_doubts(self.doubt)

    def submit(self, request: Request) -> None:
        """Send it, or have it wait for a connection."""
        self.queued += len(request.data)
        self._deadlines.append(request)
        if self.link.is_up and not self._refused:
            self.link.send(request)
        else:
            self._waiting.append(request)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is unanswered."""
        return not (self.link.unanswered or self._waiting or self._refused)

    def doubt(self) -> None:
        """The server says nothing: look whether it is there."""
        if self._witness is None:
            self._witness = Witness(self.link, self._keeper.new_witness_link)
        self._witness.ask()

    # -- what the link tells ------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            if request.finished:
                self.queued -= len(request.data)
            else:
                request.refusal = None
                link.send(request)
        again, self._was_up, self._up_before = self._up_before, True, True
        self._keeper.line_up(self, again=again)  # last: whoever is told may submit more, which comes behind what waited

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        assert isinstance(exchange, Request)
        if type(exchange.replies[-1]) in MAYBE_REFUSED and not self.bound and link.is_up:
            if exchange.was_refused():
                exchange.refuse()
                self._refused.append(exchange)  # ``elapse`` drops the connection, once all answers have been told
                return
            if exchange.was_unreadable():
                link.take_for_unreadable(exchange)
        self.queued -= len(exchange.data)
        exchange.finish()
        if link.attempts:
            link.succeeded()

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Nothing was subscribed to."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        kept: list[Request] = []
        for request in cast("list[Request]", sent):
            if request.was_cut_short():
                self.queued -= len(request.data)
                request.finish()
                continue
            request.sent = True
            if request.repeatable and not self.bound:
                request.repeat()
                kept.append(request)
            else:
                self.queued -= len(request.data)
                request.finish(self._keeper.lost(error))
        kept += cast("list[Request]", unsent)
        refused, self._refused = self._refused, []
        kept[:0] = refused
        self._waiting.extendleft(reversed(kept))
        if self.bound:
            self.broken = ConnectionLost(f"the connection was lost, and what it had been told with it: {error}")
            self.finish_all(str(error))
        self.queued = sum([len(request.data) for request in self._waiting])  # a call may have been torn in its middle
        was_up, self._was_up = self._was_up, False
        self._keeper.line_down(self, error, was_up=was_up)

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def _is_refused(self) -> bool:
        """Whether the server cannot serve now, and has answered everything."""
        return bool(self._refused) and not self.link.unanswered

    def timer(self) -> float | None:
        """When ``elapse`` is due."""
        if self._refused and self._is_refused:
            return AT_ONCE
        deadlines = self._deadlines
        while deadlines and deadlines[0].finished:
            deadlines.popleft()
        if not deadlines:
            return None
        if deadlines[-1].deadline == AT_ONCE:
            return AT_ONCE
        return deadlines[0].deadline

    def elapse(self, now: float) -> None:
        """The time is ``now``."""
        deadlines = self._deadlines
        for request in reversed(deadlines):
            if request.deadline != AT_ONCE:
                break
            request.deadline = now + request.timeout
        # A request is not answered before its elders, nor late. ``done`` may submit again: what has no deadline is not late.
        while deadlines and AT_ONCE < deadlines[0].deadline <= now:
            request = deadlines[0]
            if not request.finished and excuse(deadlines, self.link, now):
                break
            deadlines.popleft()
            if not request.finished:
                request.finish(self._late(request))
        if self._is_refused:
            self.link.drop(ConnectionLost(f"the server cannot serve now: {self._refused[-1].refusal}"))
        self._forget_finished()

    def _late(self, request: Request) -> StreamcoreError:
        self._forget_finished()
        # Requests wait in the order of their deadlines, so if this one waits for a connection it is the first.
        if request.refusal is None and (not self._waiting or self._waiting[0] is not request):
            return self._keeper.late(f"{self.link.address} did not answer within {request.timeout:g} s")
        why = f"no connection to {self.link.address} within {request.timeout:g} s{because(self.link.error)}"
        return self._unanswered(request, why)

    def _forget_finished(self) -> None:
        """Drop what nobody waits for any more from the head of the queue."""
        while self._waiting and self._waiting[0].finished:
            self.queued -= len(self._waiting.popleft().data)

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish_all(self, why: str) -> None:
        """End what waits for a connection."""
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            self.queued -= len(request.data)
            request.finish(self._unanswered(request, why))

    def _unanswered(self, request: Request, why: str) -> StreamcoreError:
        """How a request ends that waits for a connection, if not for the first then for another one."""
        if request.refusal is not None:
            return request.refusal
        if request.sent:
            return self._keeper.lost(ConnectionLost(why))
        return ConnectionLost(f"the request was not sent: {why}")


def because(error: Exception | None) -> str:
    """An error as the end of a sentence."""
    return "" if error is None else f": {error}"
