"""The reading of streams at a place: XREAD from a cursor per stream, across any number of connections.

A cursor says up to where entries were *received*; the next read leaves as soon as a reply is in, while the application works
on it. Along with each read the last batch is proven to be without a gap (``gap_detection``). A change of the streams ends a read
that blocks. The consumer says which streams are wanted, and takes the batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from ..connection.exchange import Arguments, Exchange
from ..engine.context import EngineContext
from ..engine.degradation import Degradation
from ..engine.lane import WaitingRead
from ..engine.router import ANYWHERE, Route
from ..engine.script import WAIT, Replies, Script, Steps
from ..engine.together import pages
from ..entries import Batch, StreamId
from ..errors import UNAVAILABLE, ReplyError, ReplyTooLarge, StreamResetError, UnblockedError
from ..events import Event
from ..reading.continuity import Continuity
from ..reading.portions import Portion
from ..reading.reader import Reader, waiting
from .copies import have_copies, is_proven_by_copy
from .cursor import CursorChange, CursorChanges, StreamCursor
from .gap_detection import GapDetection
from .place import Place

T = TypeVar("T", bytes, str)
_Question: TypeAlias = tuple[StreamCursor, Continuity | None, Arguments]
"""A cursor, its continuity when the question left, and the command."""


class StreamsOwner(Protocol):
    """The fan-in of streams: it chooses the streams to read, and takes the batches, events and refusals."""

    @property
    def title(self) -> str:
        """The name of the consumer in logs and events."""
        ...

    @property
    def holds(self) -> bool:
        """Whether entries wait for their turn in the order of ids."""
        ...

    def wanted(self, reader: StreamsReader[Any]) -> list[bytes]:
        """Return the names of the streams that a reader is to read now."""
        ...

    def longest_wait(self, reader: StreamsReader[Any], block: float) -> float | None:
        """Return the seconds, at most ``block``, that a read may wait in the server; None: it may not wait."""
        ...

    def take_in(self, reader: StreamsReader[Any], batches: list[Batch[Any]], full: int) -> None:
        """Take the batches of a read, which has asked for ``full`` entries of each stream."""
        ...

    def end_read(self, reader: StreamsReader[Any], *, idle: bool) -> None:
        """Note the end of a read; ``idle``: it came back empty, after waiting for all streams of the reader."""
        ...

    def emit_of(self, reader: StreamsReader[Any], event: Event) -> None:
        """Emit an event of a reader."""
        ...

    def restart(self, cursor: StreamCursor) -> None:
        """Read a stream that began anew from its beginning."""
        ...

    def refuse(self, cursor: StreamCursor, error: ReplyError) -> None:
        """Take the server's refusal to read a stream."""
        ...

    def end_change(self, change: CursorChange) -> None:
        """End a change of the streams that is done, has failed, or was given up."""
        ...

    def enter(self, reader: StreamsReader[Any]) -> Steps[None]:
        """Go on, on a new connection of a reader, when its streams are known; then they are read."""
        ...

    def lose_connection_of(self, reader: StreamsReader[Any], error: Exception, *, was_up: bool) -> None:
        """Note that the connection of a reader is lost, or that an attempt to connect has failed."""
        ...


class StreamsReader(Generic[T]):
    """Reads streams of a server over a link, for a fan-in.

    ``streams``: the cursors of the streams that are read. ``changes``: streams to be read, or to be read from another place. ``merges``: the order of the fan-in
    depends on each reply as a whole, so a read is about all streams that are wanted. ``route`` leads to the primary, ``replica`` to
    a replica where streams are to be read there (see ``place``). ``options``: keywords of the ``Reader``.
    """

    def __init__(
        self,
        engine: EngineContext,
        owner: StreamsOwner,
        streams: dict[bytes, StreamCursor],
        *,
        watches: bool,
        on_rewind: str,
        merges: bool,
        hand_over: Callable[[Batch[T]], None] | None = None,
        take_back: Callable[[Batch[T]], None] | None = None,
        route: Route = ANYWHERE,
        replica: Route | None = None,
        **options: Any,
    ) -> None:
        self.streams = streams
        self.changes = CursorChanges()
        self.arrived: list[Batch[T]] = []  # and not handed on yet, since a gap may have to be told first
        self.restart = owner.restart
        self.refuse = owner.refuse
        self._owner = owner
        self._engine = engine
        self._watches = watches
        self._merges = merges
        self._blocked = False
        self._has_read = False  # over the present connection
        self.reader: Reader[Batch[T]] = Reader(
            engine, self, splits=not merges, hand_over=hand_over, take_back=take_back, route=route, **options
        )
        self._gaps = GapDetection(self, on_rewind)
        self._place = Place(engine.clock, route, replica, self.reader.lead)

    # -- the owner of the reader --------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The title of the consumer."""
        return self._owner.title

    def emit(self, event: Event) -> None:
        """Emit an event, in its place among the batches of the reader."""
        self._owner.emit_of(self, event)

    def lose_connection(self, error: Exception, *, was_up: bool) -> None:
        """Note that the connection is lost, or that an attempt to connect has failed."""
        self._owner.lose_connection_of(self, error, was_up=was_up)

    @property
    def degradation(self) -> Degradation:
        """The optional work that this connection leaves out."""
        return self.reader.degradation

    def ask(self, *commands: Arguments) -> Steps[Replies]:
        """Send commands as an exchange and return its replies, as a part of a script."""
        return self.reader.ask(*commands)

    def want_more(self) -> None:
        """Read on: the application has asked for a batch, and there is none."""
        self.reader.runner.wake()

    def goes_on_without(self, error: ReplyTooLarge) -> bool:
        """Return False: an entry that is too large cannot be left out."""
        return False

    # -- changes ------------------------------------------------------------------------------------------------------

    def change(self, change: CursorChange) -> None:
        """Have a stream read, or read from another place, as soon as its place is known; a read that blocks is ended."""
        self.changes.add(change)
        if self._place.is_copy:
            self._place.ask_primary()
        elif self._blocked:
            self.reader.unblocker.unblock()
        self.reader.runner.wake()
        self._engine.on_wakeup()

    def give_up(self, change: CursorChange) -> None:
        """Cancel a pending change of a stream: its caller has gone."""
        if self.changes.is_pending(change):
            self._owner.end_change(change)

    def remove(self, stream: bytes) -> bool:
        """Read a stream no more, and drop its prefetched entries; False where it was not read."""
        if self.streams.pop(stream, None) is None:
            return False
        self.changes.supersede(stream)
        self.drop(stream)
        return True

    def drop(self, stream: bytes) -> None:
        """Drop the prefetched and arrived entries of a stream."""
        self.reader.prefetch.drop(stream)
        self.arrived = [batch for batch in self.arrived if batch.key != stream]
        self._gaps.drop(stream)

    @property
    def is_used(self) -> bool:
        """Whether there is a stream to be read."""
        return bool(self.streams or self.changes)

    def _settle_changes(self) -> Steps[None]:
        for change, (*anchor, info) in (yield from self.changes.check(self.ask, self.reader.portions.looks)):
            if self.changes.is_pending(change):  # else it was given up meanwhile
                self._settle(change, info, *anchor)

    def _settle(self, change: CursorChange, info: Any, *anchor: Any) -> None:
        cursor = change.cursor
        try:
            self._gaps.check(cursor, info, *anchor)
        except (ReplyError, StreamResetError) as error:
            if self.reader.runner.link.is_routed and isinstance(error, ReplyError) and error.code in UNAVAILABLE:
                raise  # the change is made over the next connection, perhaps to another node
            change.fail(error)
        else:
            change.finish()
            self.streams[cursor.stream] = cursor
        self._owner.end_change(change)

    # -- the script ---------------------------------------------------------------------------------------------------

    def read(self) -> Script:
        """Return the script of the reading link: enter, then read, settle changes and check histories in turn."""
        self._blocked = self._has_read = False
        if self._place.is_copy:
            yield from self._enter_copy()
        else:
            yield from self._enter()
            self.reader.enter()
        while True:
            if self.changes:
                yield from self._settle_changes()
            elif self._place.may_leave:
                self._place.leave()
                yield WAIT  # for the next connection
            elif streams := self._readable():
                yield from self._read_once(streams)
            else:
                yield WAIT

    def _enter(self) -> Steps[None]:
        """Resolve starting points and check the known streams, on every new connection."""
        for cursor in self.streams.values():
            cursor.watched = self._watches  # the server may have forbidden it on the last connection
        known = [
            cursor for cursor in self.streams.values() if not cursor.sought
        ]  # the places of sought streams do not matter any more
        yield from self._check_streams([cursor for cursor in known if cursor.continuity is None or cursor.watched])
        yield from self._owner.enter(self)

    def _enter_copy(self) -> Steps[None]:
        """Go on at a replica, where that has all that is known of the streams; else at the primary."""
        known = [cursor for cursor in self.streams.values() if cursor.watched]
        for page in pages(known, self.reader.portions.looks):
            if not (yield from have_copies(self.ask, page)):
                yield from self._doubt_copy()

    def _doubt_copy(self) -> Steps[None]:
        self._place.doubt()
        yield WAIT  # for the next connection

    def _check_streams(self, streams: list[StreamCursor]) -> Steps[None]:
        """Check the histories of streams, then hand on the arrived batches behind the events of that."""
        for page in pages(streams, self.reader.portions.looks):
            yield from self._gaps.check_all(page)
        self._gaps.suspects = []
        self.hand_on()

    def _readable(self) -> list[StreamCursor]:
        """Return the cursors of the streams to read now."""
        if self.reader.paused or not self.reader.prefetch.has_room(0):
            return []
        streams = self.streams
        return [
            cursor
            for stream in self._owner.wanted(self)
            if (cursor := streams[stream]).continuity is not None and not cursor.sought
        ]

    def _read_once(self, streams: list[StreamCursor]) -> Steps[None]:
        reader = self.reader
        names = [cursor.stream for cursor in streams]
        portion: Portion = reader.portions.next(names, reader.count, split=not self._merges)
        reader.asked = deque((portion,))
        asked = streams if portion.streams is names else [self.streams[stream] for stream in portion.streams]
        read_from: dict[StreamCursor, StreamId] = {
            cursor: cursor.continuity.cursor for cursor in asked if cursor.continuity is not None
        }
        questions = [
            (cursor, cursor.continuity, question) for cursor in streams if (question := self._gaps.question(cursor))
        ]
        if self._place.is_copy and any(cursor.needs_counters for cursor, _, _ in questions):
            yield from self._doubt_copy()
        link = reader.runner.link
        if questions:
            yield Exchange([question for _, _, question in questions], reader.request_timeout)
            if link.is_shared:  # a wait on a shared link is ended here, at once, so nothing may be unanswered before it
                questions = yield from self._prove(questions)
        is_probe = link.is_shared and not self._has_read  # others begin on the link behind the first answer
        wait = self._wait() if portion.whole and not is_probe else None
        self._blocked = wait is not None
        blocking: Arguments = () if wait is None or link.is_shared else waiting(wait)
        places: Arguments = tuple(map(bytes, read_from.values()))
        read: Arguments = ("XREAD", "COUNT", portion.each, *blocking, "STREAMS", *portion.streams, *places)
        if wait is not None and link.is_shared:
            yield WaitingRead(read, reader.request_timeout, wait)
        else:
            yield Exchange([read], reader.block + reader.request_timeout)
        if questions:
            yield from self._prove(questions)
        answered = yield from self._answer()
        self._blocked = False
        interrupted = reader.unblocker.wanted
        reader.unblocker.done()
        [reply] = answered.replies
        if isinstance(reply, UnblockedError):
            return  # the server has changed its role, and closes; or an operator has sent CLIENT UNBLOCK
        if isinstance(reply, ReplyError):
            if self._place.is_copy and reply.code not in UNAVAILABLE:
                yield from self._doubt_copy()
            left = [cursor for cursor in read_from if self.streams.get(cursor.stream) is cursor]
            yield from self._gaps.find_refused(left, reply, alone=len(read_from) == 1)
            return
        self._gaps.refusals = 0
        link.succeeded()
        self._has_read = True
        received: dict[bytes, list[Any]] = reply or {}
        if received:
            link.active_at = self._engine.clock.now
        reader.portions.heard(portion, received, answered.nbytes, reader.count)
        self._absorb(read_from, received, answered.nbytes)
        if suspects := self._gaps.suspects:
            yield from self._check_streams(suspects)
        else:
            self.hand_on()
        idle = portion.whole and not (
            is_probe or any(received.values()) or interrupted or self.changes or self._owner.holds
        )
        self._owner.end_read(self, idle=idle)
        self._gaps.schedule_checks(self.streams.values(), self._engine.clock.now, idle=idle)

    def _prove(self, questions: list[_Question]) -> Steps[list[_Question]]:
        """Take the answers to the questions about the last batches; return no questions: none is left."""
        proof = yield from self._answer()
        for (cursor, continuity, question), reply in zip(questions, proof.replies, strict=True):
            if cursor.continuity is not continuity or cursor.sought:
                continue
            if not self._place.is_copy:
                self._gaps.take_answer(cursor, question[0], reply)
            elif not is_proven_by_copy(cursor, question[0], reply):
                yield from self._doubt_copy()
        return []

    def _wait(self) -> float | None:
        """Return the seconds that a read may wait for entries; None: it may not."""
        if self.reader.polls or self.changes:
            return None
        return self._owner.longest_wait(self, self.reader.block)

    def _answer(self) -> Steps[Exchange]:
        while (answered := (yield WAIT)) is None:
            pass
        return answered

    def _absorb(self, read_from: dict[StreamCursor, StreamId], received: dict[bytes, list[Any]], nbytes: int) -> None:
        """Advance the cursors, except of streams that were sought or removed while the read was under way."""
        for cursor, place in read_from.items():
            entries = received.get(cursor.stream) or []
            continuity = cursor.continuity
            is_other = cursor.sought or self.streams.get(cursor.stream) is not cursor
            if is_other or continuity is None or continuity.cursor != place:
                continue
            if entries:
                continuity.received(entries, watched=cursor.watched)
            if entries or self._merges:
                size = nbytes // max(len(received), 1)
                self.arrived.append(Batch(cursor.stream, entries, encoding=self.reader.encoding, size=size))

    def hand_on(self) -> None:
        """Hand the batches of a read on to the fan-in."""
        arrived, self.arrived = self.arrived, []
        self._owner.take_in(self, arrived, self.reader.asked[0].each if self.reader.asked else 0)
