"""A queue of requests over a link, which is dialled again whenever its connection is lost.

A request that was never sent when its connection went is kept for the next, and so is a repeatable request; only the
rest is lost. A request that the server refuses because it cannot serve now (it loads, or has become a replica), or because another
server does (``MOVED``), was not executed: it waits for the next connection as well, until its deadline. A request whose deadline has passed, or whose
caller was cancelled, keeps its place in the FIFO: its reply is discarded there.

A queue that is ``bound`` has told its server a state that later requests rely on (WATCH): with its connection all is
lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Protocol, cast

from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE, Link, Owner
from ..engine.timers import Timer
from ..errors import ConnectionLost, ReplyError, StreamcoreError
from .lateness import excuse
from .request import MAYBE_REFUSED, Request
from .witness import Witness


class QueueOwner(Protocol):
    """The engine of a request queue: it makes links, and the errors of lost and late requests."""

    def new_queue_link(self, queue: RequestQueue) -> Link: ...
    def new_timer(self, act: Callable[[float], None]) -> Timer: ...
    def new_witness_link(self, witness: Owner, suspect: Link) -> Link: ...
    def queue_up(self, queue: RequestQueue, *, again: bool) -> None: ...
    def queue_down(self, queue: RequestQueue, error: Exception, *, was_up: bool) -> None: ...
    def lost(self, error: Exception) -> ConnectionLost: ...
    def late(self, why: str) -> StreamcoreError: ...


class RequestQueue:
    """The requests over a link, in the order of submission. ``queued`` counts the bytes of unanswered requests."""

    def __init__(self, owner: QueueOwner) -> None:
        self.queued = 0
        self.bound = False
        self.broken: ConnectionLost | None = None  # why a bound queue can be used no more
        self._owner = owner
        self._waiting: deque[Request] = deque()
        self._deadlines: deque[Request] = deque()  # in the order of submission, which is that of the deadlines
        self._refused: list[Request] = []  # by a server that cannot serve now: they wait for the next connection
        self._up_before = False
        self._was_up = False
        self._witness: Witness | None = None
        self._timer = owner.new_timer(self.elapse)
        self.link = owner.new_queue_link(self)
        self.link.tell_doubts(self.doubt)

    def submit(self, request: Request) -> None:
        """Send a request, or keep it until the link is up."""
        self.queued += len(request.data)
        self._deadlines.append(request)
        self._timer.set(AT_ONCE)
        if self.link.is_up and not self._refused:
            self.link.send(request)
        else:
            self._waiting.append(request)

    @property
    def is_clean(self) -> bool:
        """Whether every request is answered."""
        return not (self.link.unanswered or self._waiting or self._refused)

    def doubt(self) -> None:
        """Ask a witness whether the silent server still serves."""
        if self._witness is None:
            self._witness = Witness(self.link, self._owner.new_witness_link)
        self._witness.ask()

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """Send the requests that have waited for the connection."""
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            if request.finished:
                self.queued -= len(request.data)
            else:
                request.refusal = None
                link.send(request)
        again, self._was_up, self._up_before = self._up_before, True, True
        self._owner.queue_up(self, again=again)  # last: the owner may submit more, behind the requests that waited

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        """Finish an answered request; keep a refused request for the next connection."""
        assert isinstance(exchange, Request)
        if type(exchange.replies[-1]) in MAYBE_REFUSED and not self.bound and link.is_up:
            if exchange.was_refused():
                exchange.refuse()
                self._refused.append(exchange)  # ``elapse`` drops the connection, once all answers have been told
                self._set_timer()
                return
            if exchange.was_unreadable():
                link.take_for_unreadable(exchange)
        self.queued -= len(exchange.data)
        exchange.finish()
        if link.attempts:
            link.succeeded()
        self._set_timer()

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: a request queue subscribes to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        """Keep unsent and repeatable requests for the next connection, and finish the others with ``ConnectionLost``."""
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
                request.finish(self._owner.lost(error))
        kept += cast("list[Request]", unsent)
        refused, self._refused = self._refused, []
        kept[:0] = refused
        self._waiting.extendleft(reversed(kept))
        if self.bound:
            self.broken = ConnectionLost(f"the connection was lost, and what it had been told with it: {error}")
            self.finish_all(str(error))
        self.queued = sum([len(request.data) for request in self._waiting])  # a call may have been torn in its middle
        self._set_timer()
        was_up, self._was_up = self._was_up, False
        self._owner.queue_down(self, error, was_up=was_up)

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def _is_refused(self) -> bool:
        """Whether the server cannot serve now, and has answered all requests."""
        return bool(self._refused) and not self.link.unanswered

    def _set_timer(self) -> None:
        """Set the timer to the deadline of the oldest unfinished request, or to the driver's next time."""
        deadlines = self._deadlines
        while deadlines and deadlines[0].finished:
            deadlines.popleft()
        if self._refused and self._is_refused:
            self._timer.set(AT_ONCE)
        elif not deadlines:
            self._timer.set(inf)
        else:
            self._timer.set(AT_ONCE if deadlines[-1].deadline == AT_ONCE else deadlines[0].deadline)

    def elapse(self, now: float) -> None:
        """End the requests whose deadlines have passed at ``now``, in seconds; start the deadlines of new requests."""
        deadlines = self._deadlines
        for request in reversed(deadlines):
            if request.deadline != AT_ONCE:
                break
            request.deadline = now + request.timeout
        # A request is not answered before its elders, nor late. ``done`` may submit again: no deadline, no lateness.
        while deadlines and AT_ONCE < deadlines[0].deadline <= now:
            request = deadlines[0]
            if not request.finished and excuse(deadlines, self.link, now):
                break
            deadlines.popleft()
            if not request.finished:
                request.finish(self._late(request))
        if self._is_refused:
            self.retry_refused()
        self._forget_finished()
        self._set_timer()

    def retry_refused(self) -> None:
        """Drop the connection to a server that cannot serve now: refused requests wait for the next."""
        self.link.drop(refused(self._refused[-1].refusal))

    def _late(self, request: Request) -> StreamcoreError:
        self._forget_finished()
        # Requests wait in the order of their deadlines, so if this request waits for a connection it is the first.
        if request.refusal is None and (not self._waiting or self._waiting[0] is not request):
            return self._owner.late(f"{self.link.address} did not answer within {request.timeout:g} s")
        where = self.link.address if self.link.has_address else "any node"
        why = f"no connection to {where} within {request.timeout:g} s{because(self.link.error)}"
        return self._unanswered(request, why)

    def _forget_finished(self) -> None:
        """Drop finished requests from the head of the queue."""
        while self._waiting and self._waiting[0].finished:
            self.queued -= len(self._waiting.popleft().data)

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish_all(self, why: str) -> None:
        """End the requests that wait for a connection."""
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            self.queued -= len(request.data)
            request.finish(self._unanswered(request, why))
        self._set_timer()

    def _unanswered(self, request: Request, why: str) -> StreamcoreError:
        """Make the error of a request that waits for a connection, whether it was sent before or not."""
        if request.refusal is not None:
            return request.refusal
        if request.sent:
            return self._owner.lost(ConnectionLost(why))
        return ConnectionLost(f"the request was not sent: {why}")


def refused(refusal: ReplyError | None) -> ConnectionLost:
    """Make the error of a connection that is given up since the server cannot serve now, or another server does: its cause tells."""
    error = ConnectionLost(f"the server cannot serve now: {refusal}")
    error.__cause__ = refusal
    return error


def because(error: Exception | None) -> str:
    """Format an error as the end of a sentence."""
    return "" if error is None else f": {error}"
