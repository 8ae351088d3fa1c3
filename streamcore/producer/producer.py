"""Append entries to a stream: many ``send`` calls, few writes, an id for each.

A producer is a request engine with a link of its own, so that a burst of entries does not hold up other commands.
Entries queued while the socket was busy leave in a single write. XADD must not be repeated blindly: when its reply is lost
the answer is ``DeliveryUnknown``; an entry that never left is sent on the next connection. With ``idempotent`` it may
be repeated, and is. An entry with an explicit id may be repeated by the application, because the server refuses an id
that it already has.

Entries pass through an ``Accumulator`` only where they are held back, waited for, or sent again; the others are
requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias, TypedDict, Unpack

from ..arguments import Name, Seconds, listed, name
from ..commands import Command, xadd
from ..engine.degradation import Degradation
from ..engine.engine import EngineOptions
from ..engine.router import Route
from ..entries import StreamId
from ..errors import (
    CommandErrors,
    ConnectionLost,
    DeliveryUnknown,
    InvalidArgument,
    StreamcoreError,
)
from ..events import SendFailed
from ..requests import Multiplexer, Request
from ..requests.queue import RequestQueue, because
from ..requests.request import OR_ELSEWHERE
from ..resp3 import Argument
from .accumulator import Accumulator, BatchLimits
from .deduplication import Deduplication, appended_once
from .durability import Durability

# Not Mapping[Any, Argument]: mypy takes {"n": 1, "name": "x"} for a dict of objects.
Fields: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Argument, Argument]]

MAX_UNANSWERED: Final = 10_000
"""Entries of ``send_nowait`` that may be unanswered, or failed and not looked at."""


class ProducerOptions(TypedDict, total=False):
    """Keywords of ``Producer``, explained there."""

    maxlen: int | None
    """Trim the stream to so many entries (None: not)."""
    minid: StreamId | str | None
    """Trim entries with lower ids than this (None: none)."""
    approximate: bool
    """Let the server keep a few entries more, which is much cheaper (True)."""
    limit: int | None
    """Examine at most so many entries each time, with ``approximate`` (None: the server decides)."""
    linger: Seconds
    """Hold an entry back for up to so many seconds, so that later entries join it (0)."""
    batch_count: int
    """So many entries leave at once, however they linger (1,000)."""
    batch_bytes: int
    """So many bytes leave at once, too (1,048,576)."""
    durability: Durability | None
    """When an id is given: None, the primary has the entry; ``Replicas(...)``, ``Disk(...)``: so have these (None)."""
    idempotent: bool
    """Send an entry again while it has no id; at most one copy of it exists (False)."""
    producer_id: Name | None
    """The name of a program across restarts, which makes its ``message_id`` known, and it ``idempotent`` (None)."""


class PendingSend:
    """An entry of ``send_nowait``. ``finished`` once it was answered, or given up."""

    __slots__ = ("_id", "error", "finished", "seen")

    def __init__(self) -> None:
        self.finished = False
        self.seen = False  # its error was raised
        self.error: StreamcoreError | None = None
        self._id: StreamId | None = None

    @property
    def id(self) -> StreamId:
        """The id of the entry. Raises the error that it ended by; then ``flush`` does not raise that again."""
        if self.error is not None:
            self.seen = True
            raise self.error.with_traceback(None)
        if self._id is None:
            raise InvalidArgument("the entry is not answered yet; wait for it, or flush the producer")
        return self._id

    def end(self, request: Request) -> None:
        """Take the answer of the entry's request: its id, or an error."""
        self.finished = True
        try:
            self._id = request.answer()
        except StreamcoreError as error:
            self.error = error


class _DirectRequest(Request):
    """An entry without an accumulator; the owner of the stream's slot executes it, wherever that is."""

    not_now = OR_ELSEWHERE
    __slots__ = ()


class Producer(Multiplexer):
    """Append to a stream, trimmed by ``maxlen`` or ``minid`` (about, unless ``approximate=False``).

    ``limit`` bounds the work of trimming. ``linger`` holds entries back, in seconds, to leave together, at most
    ``batch_count`` of them or ``batch_bytes``. ``durability`` says when an id is returned: None, the primary has the
    entry; ``Replicas``; ``Disk``. ``idempotent``: entries are sent again until their ids are known, and at most one
    copy of each exists; a program that sends again after a restart gives the same ``producer_id`` and message ids.
    Both need ``entropy``, else ``InvalidArgument`` is raised.
    """

    def __init__(
        self,
        stream: Name,
        *,
        maxlen: int | None = None,
        minid: StreamId | str | None = None,
        approximate: bool = True,
        limit: int | None = None,
        linger: Seconds = 0.0,
        batch_count: int = 1000,
        batch_bytes: int = 1 << 20,
        durability: Durability | None = None,
        idempotent: bool = False,
        producer_id: Name | None = None,
        **engine: Unpack[EngineOptions],
    ) -> None:
        self.stream = name("stream", stream)
        super().__init__(**engine)
        if self._main.link.is_routed:
            self._request = _DirectRequest
        self._maxlen, self._minid, self._approximate, self._limit = maxlen, minid, approximate, limit
        self._deduplication: Deduplication | None = None
        if idempotent or producer_id is not None:
            self._deduplication = Deduplication(
                self.stream, producer_id, partial(self.token, "an idempotent producer"), Degradation(self._emit)
            )
        self.entry({"check": ""})  # a bad option fails here, not at the first send
        limits = BatchLimits(linger, batch_count, batch_bytes)
        self._accumulator: Accumulator | None = None
        if durability is not None or self._deduplication is not None or limits.holds_back:
            timeout = self.options.request_timeout
            self._accumulator = Accumulator(self, self._main, limits, durability, self._deduplication, timeout)
        self._unanswered: deque[PendingSend] = deque()  # of ``send_nowait``, in order
        self._failed: deque[PendingSend] = deque(maxlen=MAX_UNANSWERED)

    @property
    def title(self) -> str:
        """The label with the name of the stream."""
        return f"{self.label} of {listed([self.stream])}"

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def is_direct(self) -> bool:
        """Whether entries are plain requests, which ``submit`` sends."""
        return self._accumulator is None

    @property
    def is_ready(self) -> bool:
        """Whether the link is up, and the server has the producer's durability and idempotence."""
        return super().is_ready if self._accumulator is None else self._accumulator.is_ready

    @property
    def has_room(self) -> bool:
        """Whether less than ``max_outgoing`` bytes are queued and unanswered; wait before submitting more."""
        waiting = 0 if self._accumulator is None else self._accumulator.queued
        return self._main.queued + waiting < self.options.max_outgoing

    @property
    def has_room_nowait(self) -> bool:
        """Whether there is room for ``send_nowait``, whose unanswered entries are counted as well."""
        return self.has_room and (len(self._unanswered) < MAX_UNANSWERED or self._forget_answered())

    @property
    def patience(self) -> float:
        """Seconds within which any entry is answered or fails."""
        return self.options.request_timeout if self._accumulator is None else self._accumulator.timeout

    def entry(self, fields: Fields, id: StreamId | str = "*") -> Command[StreamId | None]:  # noqa: A002
        """Build the XADD of an entry, with the trimming of this producer."""
        command = xadd(
            self.stream,
            fields,
            id=id,
            maxlen=self._maxlen,
            minid=self._minid,
            approximate=self._approximate,
            limit=self._limit,
        )
        return command if self._deduplication is None else appended_once(command, id)

    def send(
        self,
        fields: Fields,
        done: Callable[[Request], None],
        id: StreamId | str = "*",  # noqa: A002
        message_id: Name | None = None,
    ) -> Request:
        """Append an entry; ``request.answer()`` is its id. Entries with the same ``message_id`` are appended once."""
        return self.append([self.entry(fields, id)], done, message_id)

    def append(
        self, commands: Sequence[Command[Any]], done: Callable[[Request], None], message_id: Name | None = None
    ) -> Request:
        """Append an entry by its XADD, the only command; as ``submit`` where the producer is direct."""
        deduplication = self._deduplication
        if deduplication is None and message_id is not None:
            raise InvalidArgument("message_id needs idempotent=True")
        if self._accumulator is None:
            return self.submit(commands, done)
        self.check()
        message = b"" if deduplication is None else deduplication.message_id(message_id)
        [command] = commands
        request = self._accumulator.put(command, done, message)
        self.on_wakeup()
        return request

    def append_all(self, commands: Sequence[Command[Any]], done: Callable[[Request], None]) -> list[Request]:
        """Append several entries, in their order; return a request for each."""
        return [self.append([command], done) for command in commands]

    def send_nowait(self, command: Command[Any], message_id: Name | None = None) -> PendingSend:
        """Append an entry without waiting; the event ``SendFailed`` and ``raise_failures`` tell a failure."""
        sent = PendingSend()

        def ended(request: Request) -> None:
            sent.end(request)
            if sent.error is not None:
                self._failed.append(sent)
                self._emit(SendFailed(self.stream, sent.error))

        self.append([command], ended, message_id)
        self._unanswered.append(sent)
        return sent

    def hurry(self) -> None:
        """End the lingering of all entries queued so far."""
        if self._accumulator is not None:
            self._accumulator.hurry()
            self.on_wakeup()

    def unanswered(self) -> deque[PendingSend]:
        """Return the unanswered entries of ``send_nowait``, in order."""
        self._forget_answered()
        return self._unanswered.copy()

    def raise_failures(self) -> None:
        """Raise ``CommandErrors`` of the entries that failed since the last call, unless their ``id`` has raised it."""
        failed, self._failed = self._failed, deque[PendingSend](maxlen=MAX_UNANSWERED)
        errors = [sent.error for sent in failed if sent.error is not None and not sent.seen]
        if errors:
            raise CommandErrors(f"{len(errors)} entries were not appended, or are in doubt", errors)

    def _forget_answered(self) -> bool:
        """Drop the answered entries of ``send_nowait``; tell whether there is room again."""
        unanswered = self._unanswered
        while unanswered and unanswered[0].finished:
            unanswered.popleft()
        return len(unanswered) < MAX_UNANSWERED

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        if self._accumulator is not None:
            self._accumulator.finish_all(f"before the producer was closed{because(error)}")

    # -- calls of the request queues ----------------------------------------------------------------------------------

    def queue_route(self) -> Route:
        """Find the route of the links: to the server of the stream."""
        return self.route(self.stream)

    def queue_up(self, queue: RequestQueue, *, again: bool) -> None:
        """Tell the accumulator that the link is up, and to which server."""
        super().queue_up(queue, again=again)
        if self._accumulator is not None and queue is self._main:
            self._accumulator.link_up(queue.link.server)

    def queue_down(self, queue: RequestQueue, error: Exception, *, was_up: bool) -> None:
        """Tell the accumulator that the link is down."""
        super().queue_down(queue, error, was_up=was_up)
        if self._accumulator is not None and queue is self._main:
            self._accumulator.link_down()

    def lost(self, error: Exception) -> ConnectionLost:
        """Make the error of an entry without an answer: it may be in the stream."""
        return DeliveryUnknown(f"the entry was sent, but its id never came back; it may be in the stream: {error}")

    def late(self, why: str) -> StreamcoreError:
        """Make the error of a late entry: it may be in the stream."""
        return self.lost(ConnectionLost(why))


def settling(entries: Iterable[PendingSend | Request]) -> Callable[[], bool]:
    """Return a function that tells whether all entries have ended; it asks each entry until it has ended."""
    left = deque(entries)

    def settled() -> bool:
        while left and left[0].finished:
            left.popleft()
        return not left

    return settled
