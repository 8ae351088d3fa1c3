"""The reading of streams at a place: over a link, ahead of the application.

A reader has the batches that have arrived, the events between them, and the bounds of the next read. Its owner has the script
of the reads; the engine, which has a reader or several, hands over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypedDict

from ..arguments import Seconds, encoding, positive, seconds
from ..connection.exchange import Arguments
from ..connection.handshake import is_permanent
from ..connection.link import Link
from ..engine.context import EngineContext
from ..engine.degradation import Degradation
from ..engine.event_queue import EventQueue
from ..engine.lane import Lane, LaneMoved, LaneOwner
from ..engine.link_events import connected, emit_loss
from ..engine.router import ANYWHERE, Route
from ..engine.script import Replies, Script, ScriptRunner, Steps, call
from ..errors import ReplyError, ReplyTooLarge
from ..events import CountReduced, Event
from .portions import Portion, Portions
from .prefetch import B, Prefetch
from .unblock import Unblocker


class ReaderOptions(TypedDict, total=False):
    """Keywords of every engine that reads streams."""

    count: int
    """At most so many entries of each stream in one read (100)."""
    block: Seconds | None
    """Seconds that a read waits in the server for entries (5). None, with ``stop_on_idle``: reads do not wait."""
    prefetch: int
    """At most so many reads ahead of the application (2; with ``ack="none"``, 1)."""
    prefetch_bytes: int
    """No more is read ahead of the application while so many bytes are (67,108,864)."""


def _nothing() -> None:
    """Tell no engine."""


def waiting(block: float) -> Arguments:
    """Build BLOCK with its milliseconds, for ``block`` seconds; at least 1, since BLOCK 0 would be for ever."""
    return ("BLOCK", max(1, int(block * 1000)))


class ReaderOwner(Protocol):
    """The owner of a reader: it has the script of the reads, and names their events."""

    @property
    def title(self) -> str:
        """The name in logs and events."""
        ...

    def read(self) -> Script:
        """Return the script of the reading link."""
        ...

    def emit(self, event: Event) -> None:
        """Emit an event that the reader has found, by its ``place``."""
        ...

    def want_more(self) -> None:
        """Read on: the application has asked for a batch, and there is none."""
        ...

    def lose_connection(self, error: Exception, *, was_up: bool) -> None:
        """Note that the reading link has lost its connection, or that an attempt to connect has failed."""
        ...

    def goes_on_without(self, error: ReplyTooLarge) -> bool:
        """Tell whether an entry that is too large by itself can be left out."""
        ...


class Reader(Generic[B]):
    """Reads over a link, ahead of the application.

    ``count`` entries per stream and read; ``block`` seconds of waiting in the server; ``prefetch`` batches or
    ``prefetch_bytes`` ahead of the application. ``splits``: a read may be about a part of the streams. ``route`` leads to the server
    of the streams; ``suffix`` ends the names of the links, which other readers ``can_share``. ``hand_over`` and ``take_back`` are told of each batch that is taken and put back.
    ``shelf``: the reader that keeps the batches and events of this reader among its own.
    """

    def __init__(
        self,
        engine: EngineContext,
        owner: ReaderOwner,
        *,
        count: int = 100,
        block: Seconds | None = 5.0,
        prefetch: int = 2,
        prefetch_bytes: int = 64 << 20,
        decode: str | None = None,
        splits: bool = True,
        suffix: str = "",
        route: Route = ANYWHERE,
        can_share: bool = False,
        hand_over: Callable[[B], None] | None = None,
        take_back: Callable[[B], None] | None = None,
        shelf: Reader[B] | None = None,
    ) -> None:
        self.is_ready = False  # whether all streams are read, or their groups entered
        self.paused = False
        self.on_ready: Callable[[], object] = _nothing
        self.on_event_due: Callable[[], object] = _nothing  # called when an event comes to be the next to be told
        self.engine = engine
        self.request_timeout = engine.options.request_timeout
        self.emit = owner.emit
        self.degradation = Degradation(owner.emit)
        self.count = positive("count", count)
        self.polls = block is None  # reads never wait in the server
        self.block = 0.0 if block is None else seconds("block", block)
        engine.check_block(self.block)
        self.encoding = encoding(decode)
        self.prefetch: Prefetch[B] = Prefetch(
            positive("prefetch", prefetch), positive("prefetch_bytes", prefetch_bytes)
        )
        self.portions = Portions(prefetch_bytes // 2)  # two reads may be in flight
        self.asked: deque[Portion] = deque()  # by the reads that are in flight
        self._owner = owner
        self._suffix = suffix
        self._can_share = can_share
        self._moved: set[Lane] = set()  # lanes that go on elsewhere, and are not up there yet
        self._is_closed = False
        self._splits = splits
        self._hand_over = hand_over
        self._take_back = take_back
        self._events = EventQueue(engine.event_numbers)
        if shelf is None:
            self.prefetch.on_removal = self._look_for_event
        else:
            self.prefetch, self._events = shelf.prefetch, shelf._events  # noqa: SLF001  # of its own class
        self.runner = ScriptRunner(self, owner.read, route=route)
        self.unblocker = Unblocker(engine, self, self.runner.link, self.degradation)

    def open(self) -> None:
        """Read, from now on."""
        self._is_closed = False
        self.runner.link.open()
        self.unblocker.open()

    def close(self) -> None:
        """Read no more until ``open``: there is no stream."""
        self._is_closed = True
        self.runner.link.close()
        self._moved.clear()
        self.unblocker.close()
        self.on_ready()

    # -- the application's side ---------------------------------------------------------------------------------------

    @property
    def has_batch(self) -> bool:
        """Whether ``take`` would return a batch now."""
        return bool(self.prefetch) and not self.paused

    def take(self) -> B | None:
        """Take the next batch; None where nothing has arrived."""
        prefetch = self.prefetch
        batch = None if self.paused else prefetch.first
        if batch is None:
            self._owner.want_more()
            return None
        try:
            prefetch.pop()
            if self._hand_over is not None:
                self._hand_over(batch)
            self.runner.wake()
        except BaseException:  # a signal handler has raised: the batch was not returned
            if prefetch.first is not batch:
                self.put_back(batch)
            prefetch.recount()
            raise
        return batch

    def put_back(self, batch: B) -> None:
        """Put back the batch taken last, before all others."""
        self.prefetch.put_back(batch)
        if self._take_back is not None:
            self._take_back(batch)

    def pause(self) -> None:
        """Hand over nothing, and read nothing more, until ``resume``."""
        self.paused = True

    def resume(self) -> None:
        """Go on after ``pause``."""
        self.paused = False
        self.runner.wake()
        self.engine.on_wakeup()

    # -- events, each in its place between the batches ----------------------------------------------------------------

    def place(self, event: Event) -> None:
        """Append an event behind the batches that have arrived, and report it."""
        self._events.add(event, self.prefetch.added)
        self._look_for_event()
        self.engine.report(event)

    def next_event(self) -> Event | None:
        """Take the oldest event, once all batches before it were taken; else None."""
        return self._events.take(self.prefetch.reached)

    def _look_for_event(self) -> None:
        if self.has_event:
            self.on_event_due()

    @property
    def has_event(self) -> bool:
        """Whether ``next_event`` would return an event."""
        return self._events.is_due(self.prefetch.reached)

    @property
    def oldest_event(self) -> int:
        """The number of the oldest event; only where there is an event."""
        return self._events.oldest

    # -- parts of scripts ---------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Note that all streams are read, or their groups entered."""
        self.is_ready = True
        self.on_ready()

    def ask(self, *commands: Arguments) -> Steps[Replies]:
        """Send commands as one exchange and return its replies, as a part of a script; a refusal names its command."""
        replies = yield from call(*commands, timeout=self.request_timeout)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ReplyError):
                reply.command = command[0]
        return replies

    def lead(self, route: Route, why: str) -> None:
        """Lead the reading link to another server: its connection is given up, and that is no loss."""
        link = self.runner.link
        assert isinstance(link, Link), "it shares no link"
        self.engine.aim(link, route, LaneMoved(why))

    # -- the host of links --------------------------------------------------------------------------------------------

    def new_lane(self, owner: LaneOwner, name: str = "main", route: Route = ANYWHERE, *, shared: bool = False) -> Lane:
        """Make the lane of a script, with the suffix of this reader in its name."""
        if not self._can_share:
            return self.engine.new_link(owner, name + self._suffix, route)
        return self.engine.new_lane(owner, name + self._suffix, route, shared=shared)

    def report_up(self, link: Lane, *, again: bool) -> None:
        """Emit that a link is connected, or connected ``again``, unless it has only moved."""
        if link in self._moved:
            self._moved.discard(link)
        else:
            self.emit(connected(link, self._owner.title, again=again))
        if link is self.runner.link:
            self.degradation.begin()
            self.prefetch.recount()

    def report_down(self, link: Lane, error: Exception, *, was_up: bool) -> None:
        """Emit the loss of a connection, or a failed attempt; read less after a reply that was too large.

        Where dialling again is pointless, or no smaller read helps, the engine ends.
        """
        if self._is_closed:
            return
        if link is self.runner.link:
            self.unblocker.done()  # with the connection, the read has ended too
            self._owner.lose_connection(error, was_up=was_up)
            if isinstance(error, ReplyTooLarge) and not self._reads_less(error):
                self.fail(error)
                return
        if self.engine.closed:
            return
        if is_permanent(error) and not link.server:
            self.fail(error)
        elif isinstance(error, LaneMoved):
            self._moved.add(link)
        else:
            emit_loss(self.emit, link, error, self._owner.title, was_up=was_up)

    def fail(self, error: Exception) -> None:
        """End the engine by ``error``."""
        self.engine.fail(error)

    def _reads_less(self, error: ReplyTooLarge) -> bool:
        may_ask_less = bool(self.asked) and self.portions.too_much(self.asked[0]) and self._splits
        if self.count > 1 or may_ask_less:
            self.count = max(1, self.count // 2)
            self.emit(CountReduced(self.count))
            return True
        return self._owner.goes_on_without(error)
