"""Entries on their way, in batches: held back to leave together, confirmed together, or sent again.

A batch is a single request. It leaves when enough has gathered (by number or bytes), when its eldest entry has lingered, or
at once. Where a wait (WAIT, WAITAOF) stands behind it, or it may be sent again, a single batch is in flight: later
entries are the next batch, so a wait serves many entries, and never more are in doubt than the server remembers.

    waiting --batch--> in flight --answered--> ended
       ^                  |-- refused for now; never left; lost, and appended only once --.
       '----------------------------------------------------------------------------------'

An entry has a single deadline, wherever it is. An entry that is cancelled while it waits never leaves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from operator import attrgetter
from typing import Any, Final, Protocol

from ..arguments import Seconds, positive, seconds
from ..commands import Command
from ..connection.link import AT_ONCE
from ..engine.timers import Timer
from ..entries import StreamId
from ..errors import (
    ConnectionLost,
    InvalidArgument,
    NoScriptError,
    ReplyError,
    SlotRedirect,
    StreamcoreError,
    UnreadableError,
)
from ..frozen import frozen
from ..requests import Request
from ..requests.lateness import excuse
from ..requests.queue import RequestQueue, because, refused
from ..requests.request import NOT_NOW, OR_ELSEWHERE
from .deduplication import Deduplication
from .durability import Disk, Durability, Replicas, check_server, shortfall, unconfirmed
from .outgoing import Batch, Outgoing

_MISSING: Final = object()
"""Stands for a reply that did not come."""


@frozen
class BatchLimits:
    """How long an entry may be held back, in seconds, and how many entries or bytes make a batch full."""

    linger: Seconds = 0.0
    count: int = 1000
    nbytes: int = 1 << 20

    def __post_init__(self) -> None:
        seconds("linger", self.linger, zero=True)
        positive("batch_count", self.count)
        positive("batch_bytes", self.nbytes)

    @property
    def holds_back(self) -> bool:
        """Whether entries are held back, to leave together."""
        return bool(self.linger)


class AccumulatorOwner(Protocol):
    """The producer of an accumulator: it makes the errors of lost and late entries."""

    def lost(self, error: Exception) -> ConnectionLost: ...
    def late(self, why: str) -> StreamcoreError: ...
    def fail(self, error: Exception) -> None: ...
    def new_timer(self, act: Callable[[float], None]) -> Timer: ...


class Accumulator:
    """The entries of a producer that have not ended. ``queued`` counts the bytes of waiting entries.

    ``is_ready``: the link is up, and the server's window of idempotence is known, where it is needed.
    """

    def __init__(
        self,
        owner: AccumulatorOwner,
        queue: RequestQueue,
        limits: BatchLimits,
        durability: Durability | None,
        deduplication: Deduplication | None,
        request_timeout: float,
    ) -> None:
        self.queued = 0
        self.is_ready = False
        self._owner = owner
        self._queue = queue
        self._not_now = OR_ELSEWHERE if queue.link.is_routed else NOT_NOW
        self._limits = limits
        self._linger = seconds("linger", limits.linger, zero=True)
        self._durability = durability
        self._deduplication = deduplication
        if durability is not None and not isinstance(durability, (Replicas, Disk)):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
            raise InvalidArgument(f"durability must be None, Replicas(...) or Disk(...), not {durability!r}")
        block = 0.0 if durability is None else durability.command().traits.block
        self._batch_timeout = request_timeout + block
        self.timeout = self._batch_timeout + block  # the wait of the batch before may be in front of it
        self._check_window()
        self._waiting: deque[Outgoing] = deque()
        self._flying: list[Batch] = []
        self._deadlines: deque[Outgoing] = deque()  # in the order of submission
        self._submitted = 0
        self._due = 0  # entries numbered up to this are not held back any more
        self._asking: Request | None = None
        self._refusal: ReplyError | None = None  # of a server that cannot serve now
        self._refusals = 0  # in a row
        self._timer = owner.new_timer(self.elapse)

    # -- the producer's side ------------------------------------------------------------------------------------------

    def put(self, command: Command[Any], done: Callable[[Request], None], message_id: bytes) -> Request:
        """Queue an entry; send a batch if it is full, or nothing lingers."""
        entry = Outgoing(command, done, self.timeout, message_id)
        self._submitted += 1
        entry.number = self._submitted
        self._waiting.append(entry)
        self._deadlines.append(entry)
        self.queued += len(entry.data)
        limits = self._limits
        if not self._linger or self.queued >= limits.nbytes or len(self._waiting) >= limits.count:
            self._due = entry.number
        self._dispatch()
        return entry

    def hurry(self) -> None:
        """End the lingering of all entries queued so far."""
        self._due = self._submitted
        self._dispatch()

    def finish_all(self, why: str) -> None:
        """End the waiting entries; there will be no connection any more."""
        waiting, self._waiting, self.queued = self._waiting, deque(), 0
        for entry in waiting:
            entry.finish(self._ended(entry, why))  # does nothing where it has ended
        self._set_timer()

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, server: Mapping[bytes, Any]) -> None:
        """Check a new server, and ask it for its window of idempotence where that is needed."""
        try:
            if self._durability is not None:
                check_server(self._durability, server)
        except InvalidArgument as error:
            self._owner.fail(error)
            return
        questions = [] if self._deduplication is None else self._meet(self._deduplication, server)
        if questions:
            self._asking = Request(questions, self._window_answered, self._batch_timeout)
            self._queue.submit(self._asking)
        else:
            self._begin()

    def _meet(self, deduplication: Deduplication, server: Mapping[bytes, Any]) -> list[Command[Any]]:
        questions = deduplication.meet(server)
        if not deduplication.native:
            for entry in [entry for entry in self._waiting if entry.native]:
                entry.finish(self._owner.lost(ConnectionLost("another server is there now, which cannot tell")))
        return questions

    def _window_answered(self, request: Request) -> None:
        if request is self._asking:  # else it was asked over a connection that is gone
            assert self._deduplication is not None
            self._deduplication.learn(request.replies)
            try:
                self._check_window()
            except InvalidArgument as error:
                self._owner.fail(error)
            else:
                self._begin()

    def _check_window(self) -> None:
        deduplication = self._deduplication
        if deduplication is not None and deduplication.seconds < self.timeout:
            limit = f"messages are remembered for {deduplication.seconds:g} seconds, and may be sent again for {self.timeout:g}"
            raise InvalidArgument(f"{limit}; lower the request_timeout, or the timeout of durability")

    def _begin(self) -> None:
        self.is_ready = True
        self._dispatch()

    def link_down(self) -> None:
        """Queue again the batches that have never left; ``_answered`` has got the sent batches."""
        self.is_ready, self._asking, self._refusal = False, None, None
        unsent, self._flying = self._flying, []
        for batch in unsent:
            batch.finished = True  # its entries leave in another batch, without the cancelled entries
            for entry in batch.entries:
                entry.flying = False
                entry.native = entry.native if entry.sent else None
            self._again(batch.entries)
        self._set_timer()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """Set the timer to the deadline of the eldest entry, the end of its lingering, or the driver's next time."""
        deadlines, waiting = self._deadlines, self._waiting
        while deadlines and deadlines[0].finished:
            deadlines.popleft()
        if self._is_refused or (deadlines and deadlines[-1].deadline == AT_ONCE):
            self._timer.set(AT_ONCE)
        elif not deadlines:
            self._timer.set(inf)
        elif not waiting or waiting[0].number <= self._due or not self._may_leave:
            self._timer.set(deadlines[0].deadline)
        else:
            self._timer.set(min(deadlines[0].deadline, self._leaves_at(waiting[0])))

    def elapse(self, now: float) -> None:
        """End late entries, and send the batch whose eldest entry has lingered, at ``now``, in seconds."""
        deadlines = self._deadlines
        for entry in reversed(deadlines):
            if entry.deadline != AT_ONCE:
                break
            entry.deadline = now + self.timeout
        while deadlines and AT_ONCE < deadlines[0].deadline <= now:
            entry = deadlines[0]
            if not entry.finished and excuse(deadlines, self._queue.link, now):
                break
            deadlines.popleft()
            if not entry.finished:
                entry.finish(self._ended(entry, f"within {self.timeout:g} s"))
        if self._is_refused:
            self._refusals += 1
            self._queue.link.attempts = self._refusals  # the back-off goes on doubling: such an answer is no success
            self._queue.link.drop(refused(self._refusal))
        waiting = self._waiting
        while waiting and waiting[0].finished:
            self.queued -= len(waiting.popleft().data)
        if waiting and self._leaves_at(waiting[0]) <= now:
            self._due = max(self._due, waiting[0].number)
        self._dispatch()

    def _leaves_at(self, entry: Outgoing) -> float:
        """When an entry has lingered long enough, in seconds on the driver's clock."""
        return entry.deadline - self.timeout + self._linger

    @property
    def _is_refused(self) -> bool:
        """Whether the server cannot serve now, and has answered all requests."""
        return self._refusal is not None and not self._queue.link.unanswered

    def _ended(self, entry: Outgoing, why: str) -> StreamcoreError:
        """Make the error of an entry that was not answered, or whose wait was not."""
        link = self._queue.link
        if entry.id is not None:
            return unconfirmed(entry.id, f"no answer {why}")
        if entry.sent or entry.flying:
            return self._owner.late(f"{link.address} did not answer {why}{because(entry.refusal)}")
        if entry.refusal is not None:
            return entry.refusal
        return ConnectionLost(f"the entry was not sent: no connection to {link.address} {why}{because(link.error)}")

    # -- batches ------------------------------------------------------------------------------------------------------

    @property
    def _may_leave(self) -> bool:
        alone = self._durability is not None or self._deduplication is not None
        return self.is_ready and self._queue.link.is_up and self._refusal is None and not (alone and self._flying)

    def _dispatch(self) -> None:
        while self._waiting and self._waiting[0].number <= self._due and self._may_leave:
            entries = self._gather()
            if entries:
                commands = [self._wire(entry) for entry in entries]
                if self._durability is not None:
                    commands.append(self._durability.command())
                once = self._deduplication is not None and self._durability is None
                batch = Batch(entries, commands, self._answered, self._batch_timeout, once=once)
                self._flying.append(batch)
                self._queue.submit(batch)
        self._set_timer()

    def _gather(self) -> list[Outgoing]:
        """Take the next batch out of the waiting entries: not empty, unless all were cancelled."""
        count, nbytes, waiting = self._limits.count, self._limits.nbytes, self._waiting
        if self._deduplication is not None:
            count = min(count, self._deduplication.window)
        entries: list[Outgoing] = []
        while waiting and len(entries) < count and nbytes > 0:
            entry = waiting.popleft()
            self.queued -= len(entry.data)
            if not entry.finished:
                nbytes -= len(entry.data)
                entry.flying, entry.refusal = True, None
                entries.append(entry)
        return entries

    def _wire(self, entry: Outgoing) -> Command[Any]:
        """Encode an entry for the wire: in a repetition as in the first attempt."""
        deduplication = self._deduplication
        if deduplication is None:
            return entry.asked[0]
        if entry.native is None:
            entry.native = deduplication.native
        return deduplication.wire(entry.asked[0], entry.message_id, native=entry.native)

    def _answered(self, request: Request) -> None:
        """Take the end of a batch: all of its replies, some, or none; queue entries again, and finish the rest."""
        assert isinstance(request, Batch)
        self._flying.remove(request)
        again: list[Outgoing] = []
        ended: list[Outgoing] = []
        replies = [*request.replies, *[_MISSING] * (request.size - len(request.replies))]
        if self._durability is not None and isinstance(replies[-2], SlotRedirect):
            replies[-1] = (
                _MISSING  # the stream has left the server between its entries: the wait there tells nothing of them
            )
            request.error = request.error or refused(replies[-2])
        unread = False  # the server executes nothing behind a command that it could not parse, and answers so
        for entry, reply in zip(request.entries, replies, strict=False):
            entry.flying = False
            if not entry.finished:
                goes = (unread and type(reply) is UnreadableError) or self._goes_again(entry, reply, request)
                (again if goes else ended).append(entry)
            unread |= type(reply) is UnreadableError
        self._again(again)
        for entry in ended:
            entry.finish(self._error(entry, replies[-1], request))
        self._dispatch()

    def _goes_again(self, entry: Outgoing, reply: object, batch: Batch) -> bool:
        """Tell whether an entry is sent again, after its reply."""
        if reply is _MISSING:
            entry.sent |= isinstance(batch.error, ConnectionLost) and batch.error.sent
            return self._deduplication is not None
        if isinstance(reply, ReplyError) and type(reply) in self._not_now:
            reply.command = entry.asked[0].name
            entry.refusal = self._refusal = reply
            return True
        if isinstance(reply, NoScriptError) and self._deduplication is not None:
            self._deduplication.forget_script()
            return True
        self._refusals = 0
        entry.replies = [reply]
        entry.id = _id_in(reply) or entry.id
        if batch.error is None or entry.id is None or self._deduplication is None or self._durability is None:
            return False
        entry.sent = True  # its id is known, but not its durability: the wait behind a repetition tells
        return True

    def _error(self, entry: Outgoing, confirmation: object, batch: Batch) -> StreamcoreError | None:
        """Return the error of an entry that has ended; None where its reply is its answer."""
        if not entry.replies:
            return batch.error
        [reply] = entry.replies
        if isinstance(reply, ReplyError) and entry.sent:
            # It is the repetition that was refused.
            return self._owner.lost(reply) if entry.id is None else unconfirmed(entry.id, reply)
        if self._durability is None or entry.id is None:
            return None
        if confirmation is _MISSING:
            return unconfirmed(entry.id, batch.error)
        return shortfall(self._durability, entry.id, confirmation)

    def _again(self, entries: list[Outgoing]) -> None:
        """Queue entries again, in the order in which they were first queued."""
        if entries:
            self._waiting = deque(sorted([*entries, *self._waiting], key=attrgetter("number")))
            self.queued += sum([len(entry.data) for entry in entries])


def _id_in(reply: object) -> StreamId | None:
    """Parse the id of a reply; None for an error, and for a reply that is no id."""
    try:
        return StreamId.parse(reply) if isinstance(reply, bytes) else None
    except InvalidArgument:
        return None
