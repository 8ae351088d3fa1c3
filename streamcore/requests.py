"""The multiplexed request engine behind a Client: commands of many tasks, one link, each answer to its own request.

A request waits in ``_waiting`` while there is no connection, then rides in the link's FIFO. It ends exactly once: with
its replies, or with ``ConnectionLost`` or ``RequestTimeout`` that say whether it was sent. When a connection breaks, what
never left is kept for the next one, and so is what may be repeated; only the rest is lost. What a server refuses because
it cannot serve now (it loads, or has become a replica) was not executed: it waits for the next connection as well, until
its deadline. A request whose deadline has passed, or whose caller was cancelled, keeps its place in the FIFO: its reply
is discarded there and reaches nobody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Unpack, cast

from .commands import Command
from .connection import Exchange
from .engine import Engine, EngineOptions
from .errors import (
    ConnectionLost,
    LoadingError,
    MasterDownError,
    ReadOnlyError,
    ReplyError,
    RequestTimeout,
    StreamcoreError,
)
from .link import AT_ONCE, Link

# The server executes nothing now: it loads its data, or is a replica, perhaps since a moment ago.
_NOT_NOW: Final = frozenset({LoadingError, ReadOnlyError, MasterDownError})


class Request(Exchange):
    """Commands of one caller. ``done`` is called once, when ``error`` or the ``replies`` are there; it must not raise.

    A caller that no longer waits sets ``finished``: ``done`` is not called then, and what has not left yet never does.
    """

    __slots__ = ("asked", "deadline", "done", "error", "finished", "refusal", "repeatable", "sent")

    def __init__(self, asked: Sequence[Command[Any]], done: Callable[[Request], None], timeout: float) -> None:
        super().__init__([command.args for command in asked], timeout, [command.data for command in asked])
        self.asked = asked
        self.done = done
        self.deadline = AT_ONCE  # until the engine is told the time
        self.repeatable = all(command.repeatable for command in asked)
        self.finished = False
        self.sent = False  # over a connection that was lost, before this one
        self.refusal: ReplyError | None = None  # the last word of a server, which cannot serve now
        self.error: StreamcoreError | None = None

    def answers(self) -> list[Any]:
        """What the replies mean; a refused command's answer is its ``ReplyError``. Raises what ended the request."""
        if self.error is not None:
            raise self.error
        return [_answer(command, reply) for command, reply in zip(self.asked, self.replies, strict=True)]

    def answer(self) -> Any:
        """The answer of a request with one command. Raises its ``ReplyError``, or what ended the request."""
        if self.error is not None:
            raise self.error
        answer = _answer(self.asked[0], self.replies[0])
        if isinstance(answer, ReplyError):
            raise answer
        return answer

    def refuse(self) -> None:
        """The server has executed none of the commands, and may execute them later."""
        refusal: ReplyError = self.replies[0]
        refusal.command = self.asked[0].name
        self.refusal = refusal
        self.replies = []

    def finish(self, error: StreamcoreError | None = None) -> None:
        """End the request, unless it has ended before."""
        if not self.finished:
            self.finished = True
            self.error = error
            self.done(self)


def _answer(command: Command[Any], reply: Any) -> Any:
    if isinstance(reply, ReplyError):
        reply.command = command.name
        return reply
    return reply if command.parse is None else command.parse(reply)


class Requests(Engine):
    """Send commands, in the order of ``submit``, over one link that is renewed for ever."""

    def __init__(self, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(**engine)
        self._waiting: deque[Request] = deque()
        self._deadlines: deque[Request] = deque()  # in the order of submission, which is that of the deadlines
        self._refused: list[Request] = []  # by a server that cannot serve now: they wait for the next connection
        self._queued = 0
        self._up_before = False
        self._was_up = False
        self._link = self._new_link(self)
        self._link.open()

    @property
    def label(self) -> str:
        """A client, to whoever uses it."""
        return "Client" if type(self) is Requests else type(self).__name__

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the server has been reached, and has let us in."""
        return self._link.is_up

    @property
    def has_room(self) -> bool:
        """Whether less is queued and unanswered than ``max_outgoing`` bytes; wait before submitting more."""
        return self._queued < self.options.max_outgoing

    def submit(self, commands: Sequence[Command[Any]], done: Callable[[Request], None]) -> Request:
        """Send commands together. Raises ``InvalidArgument`` or ``ClosedError`` before anything is queued."""
        self.check()
        request = self._request(commands, done)
        self._queued += len(request.data)
        self._deadlines.append(request)
        if self._link.is_up and not self._refused:
            self._link.send(request)
        else:
            self._waiting.append(request)
        self.on_wakeup()
        return request

    def _request(self, commands: Sequence[Command[Any]], done: Callable[[Request], None]) -> Request:
        return Request(commands, done, self.options.request_timeout)

    # -- what the link tells ------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            if request.finished:
                self._queued -= len(request.data)
            else:
                request.refusal = None
                link.send(request)
        again, self._was_up, self._up_before = self._up_before, True, True
        self._report_up(link, again=again)  # last: whoever is told may submit more, which comes behind what waited

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        assert isinstance(exchange, Request)
        if type(exchange.replies[0]) in _NOT_NOW and link.is_up and _NOT_NOW.issuperset(map(type, exchange.replies)):
            exchange.refuse()
            self._refused.append(exchange)  # ``_elapse`` drops the connection, once all answers have been told
            return
        self._queued -= len(exchange.data)
        exchange.finish()
        if link.attempts:
            link.succeeded()

    def link_pushed(self, link: Link, items: list[Any]) -> None:
        """Nothing was subscribed to."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        kept: list[Request] = []
        for request in cast("list[Request]", sent):
            request.sent = True
            if request.repeatable:
                request.replies.clear()
                kept.append(request)
            else:
                self._queued -= len(request.data)
                request.finish(self._lost(error))
        kept += cast("list[Request]", unsent)
        refused, self._refused = self._refused, []
        kept[:0] = refused
        self._waiting.extendleft(reversed(kept))
        was_up, self._was_up = self._was_up, False
        self._report_down(link, error, was_up=was_up)

    def _lost(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(f"the reply was lost, the server may have executed the request: {error}", sent=True)

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def _is_refused(self) -> bool:
        """Whether the server cannot serve now, and has answered everything."""
        return bool(self._refused) and not self._link.unanswered

    def _timer(self) -> float | None:
        if self._is_refused:
            return AT_ONCE
        deadlines = self._deadlines
        while deadlines and deadlines[0].finished:
            deadlines.popleft()
        if not deadlines:
            return None
        return AT_ONCE if deadlines[-1].deadline == AT_ONCE else deadlines[0].deadline

    def _elapse(self, now: float) -> None:
        deadlines = self._deadlines
        for request in reversed(deadlines):
            if request.deadline != AT_ONCE:
                break
            request.deadline = now + request.timeout
        # ``done`` may submit again, at once: what has no deadline yet is not late.
        while deadlines and AT_ONCE < deadlines[0].deadline <= now:
            request = deadlines.popleft()
            if not request.finished:
                request.finish(self._late(request))
        if self._is_refused:
            self._link.drop(ConnectionLost(f"the server cannot serve now: {self._refused[-1].refusal}"))
        self._forget_finished()

    def _late(self, request: Request) -> StreamcoreError:
        self._forget_finished()
        # Requests wait in the order of their deadlines, so if this one waits for a connection it is the first.
        if request.refusal is None and (not self._waiting or self._waiting[0] is not request):
            return RequestTimeout(f"{self._link.address} did not answer within {request.timeout:g} s")
        why = f"no connection to {self._link.address} within {request.timeout:g} s{_because(self._link.error)}"
        return self._unanswered(request, why)

    def _forget_finished(self) -> None:
        """Drop what nobody waits for any more from the head of the queue."""
        while self._waiting and self._waiting[0].finished:
            self._queued -= len(self._waiting.popleft().data)

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            self._queued -= len(request.data)
            request.finish(self._unanswered(request, f"the client was closed{_because(error)}"))

    def _unanswered(self, request: Request, why: str) -> StreamcoreError:
        """How a request ends that waits for a connection, if not for the first then for another one."""
        if request.refusal is not None:
            return request.refusal
        return self._lost(ConnectionLost(why)) if request.sent else ConnectionLost(f"the request was not sent: {why}")


def _because(error: Exception | None) -> str:
    return "" if error is None else f": {error}"
