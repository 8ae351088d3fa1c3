"""Follow streams without a group: XREAD from a cursor per stream, across any number of connections.

The start is resolved once: ``"$"`` and ``"+"`` are looked up before the first read, and never again, so that entries
that arrive during a reconnect are not skipped. From then on a cursor per stream says up to where entries were
*received*; the next read leaves as soon as a reply is in, while the application works on it. ``cursor()`` says up to
where they were *handed over*: saved after the work it gives at least once, before the work at most once.

Along with each read the last batch is proven to be without a gap (``continuity``). Streams may be added, removed and
sought at any time; a change ends a read that blocks (``unblock``).
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

from ..arguments import Name, Seconds, name, one_of, seconds
from ..commands.ids import Position
from ..connection.exchange import Arguments, Exchange
from ..connection.link import Link
from ..engine.engine import EngineOptions
from ..engine.event_queue import MAX_EVENTS
from ..engine.script import WAIT, Script, ScriptRunner, Steps
from ..engine.together import pages
from ..entries import Batch, StreamId
from ..errors import InvalidArgument, ReplyError, StreamResetError, UnblockedError, about
from ..reading.portions import Portion
from ..reading.reader import Reader, ReaderOptions
from ..reading.unblock import Unblocker
from ..stream_id import ZERO
from .cursor import CursorChange, CursorChanges, StreamCursor
from .gap_detection import GapDetection
from .merge import Merge
from .options import ConsumerOptions, Interruption
from .start import Lookup, Starts, start, starts

T = TypeVar("T", bytes, str)


class _ReaderAndEngine(ReaderOptions, EngineOptions, total=False): ...


class _Options(ConsumerOptions, EngineOptions, total=False): ...


class Consumer(Reader[Batch[T]], Generic[T]):
    """Follow streams by XREAD: each entry after the starting point once, in id order per stream.

    ``streams`` is one name or several, which start at their end, or a mapping of names to starting points: an id
    (exclusive), ``"0"`` (everything), ``"$"`` (only entries added from now on), ``"+"`` (the last entry), milliseconds
    or a ``datetime`` (inclusive). ``count`` (100) entries per stream and read, ``block`` (5) seconds of waiting in the
    server, ``prefetch`` (2) batches or ``prefetch_bytes`` (64 MB) ahead of the application.

    ``merge="id"`` hands over the entries of all streams in the order of their ids, as far as the server had them at
    the time of the read; ``merge_wait`` (0) seconds are left for late entries. ``stop_on_idle`` ends the iteration
    when a read comes back empty. A lost connection is renewed in silence, unless ``on_disconnect`` is to ``"raise"``
    or ``"yield"`` its error in the iteration, which goes on when it is asked again. When a stream ends before our
    cursor (it began anew), ``on_rewind`` is to ``"raise"`` ``StreamResetError`` or to ``"restart"`` from its
    beginning. ``detect_gaps=False`` asks nothing of the server but entries.
    """

    @overload
    def __init__(
        self: Consumer[bytes], streams: Starts, *, decode: None = None, **options: Unpack[_Options]
    ) -> None: ...
    @overload
    def __init__(self: Consumer[str], streams: Starts, *, decode: str, **options: Unpack[_Options]) -> None: ...
    @overload
    def __init__(self: Consumer[Any], streams: Starts, *, decode: str | None, **options: Unpack[_Options]) -> None: ...
    def __init__(
        self,
        streams: Starts,
        *,
        decode: str | None = None,
        merge: Literal["id"] | None = None,
        merge_wait: Seconds = 0.0,
        stop_on_idle: bool = False,
        on_disconnect: Literal["retry", "raise", "yield"] = "retry",
        on_rewind: Literal["raise", "restart"] = "raise",
        detect_gaps: bool = True,
        **options: Unpack[_ReaderAndEngine],
    ) -> None:
        super().__init__(decode=decode, **options)
        self.stop_on_idle = stop_on_idle
        self.idle = False  # the last read came back empty, and the iteration was not told yet
        self.ended = False  # because of ``stop_on_idle``, until ``begin``
        self.on_disconnect = one_of("on_disconnect", on_disconnect, "retry", "raise", "yield")
        self._disconnects: deque[Exception] = deque(maxlen=MAX_EVENTS)  # that the iteration shall tell
        self._watches = detect_gaps
        self._gaps = GapDetection(self, one_of("on_rewind", on_rewind, "raise", "restart"))
        wait = seconds("merge_wait", merge_wait, zero=True)
        if self.polls and not stop_on_idle:
            raise InvalidArgument("block=None would ask for entries all the time; it is for stop_on_idle=True")
        if wait and merge is None:
            raise InvalidArgument("merge_wait is for merge='id'; without it entries come as they are")
        self._merge = Merge(wait) if one_of("merge", merge, None, "id") else None
        self._merge_timer = self.new_timer(self._release)
        self._splits = self._merge is None
        cursors = [StreamCursor(stream, place, watched=detect_gaps) for stream, place in starts(streams).items()]
        self._streams = self._names = {cursor.stream: cursor for cursor in cursors}
        self._changes = CursorChanges()
        self._arrived: list[Batch[T]] = []  # and not handed on yet, since a gap may have to be told first
        self._blocked = False
        self._reading = ScriptRunner(self, self._read)
        self._unblocker = Unblocker(self, self._reading.link, self.degradation)
        self._reading.link.open()

    # -- the user's side ----------------------------------------------------------------------------------------------

    def split(self, batch: Batch[T], at: int) -> Batch[T]:
        """Return the rest of a batch behind its first ``at`` entries, as a batch of its own."""
        return Batch(batch.key, batch.raw[at:], encoding=batch.encoding)

    def cursor(self, kept: Batch[T] | None = None) -> dict[bytes, StreamId]:
        """Return per stream the last id of the batches that were taken, except a last batch ``kept`` back."""
        ids = {stream: cursor.handed_over for stream, cursor in self._streams.items() if cursor.continuity is not None}
        if kept is not None and kept.key in ids:
            ids[kept.key] = self._streams[kept.key].before
        return ids

    def add_stream(self, stream: Name, place: Position | None = None) -> CursorChange | None:
        """Follow another stream, from its end by default; None where it is followed already.

        Raises ``InvalidArgument`` for a place in a stream that is followed already: ``seek`` goes there.
        """
        self.check()
        key = name("stream", stream)
        if key in self._streams or key in self._changes:
            if place is not None:
                raise InvalidArgument("the stream is followed already; seek() goes to another place in it")
            return None
        return self._change(key, place)

    def seek(self, stream: Name, place: Position) -> CursorChange:
        """Read on from another place in a stream; its prefetched entries are dropped."""
        self.check()
        key = self._known(stream)
        self._changes.supersede(key)
        change = self._change(key, place)
        self._drop(key)
        self._streams[key].sought = True
        return change

    def remove_stream(self, stream: Name) -> bool:
        """Stop following a stream and drop its prefetched entries; False where it was not followed."""
        self.check()
        key = name("stream", stream)
        if self._streams.pop(key, None) is None:
            return False
        self._changes.supersede(key)
        self._drop(key)
        if self._merge is not None:
            self._release(self._clock.now)  # entries that waited for this stream wait no more
        self._reading.wake()
        return True

    def restart(self, cursor: StreamCursor) -> None:
        """Read a stream that began anew from its beginning."""
        self._drop(cursor.stream)
        cursor.goto(ZERO)

    def give_up(self, change: CursorChange) -> None:
        """Cancel a pending change, whose caller has left; a sought stream goes on from its former place."""
        if self._changes.is_pending(change):
            self._end_change(change)

    def _end_change(self, change: CursorChange) -> None:
        self._changes.remove(change)
        if (old := self._streams.get(change.cursor.stream)) is not None and old.sought:
            old.sought = False
            old.go_back()
            self._reading.wake()

    def begin(self) -> None:
        """Go on after ``stop_on_idle`` has ended the iteration."""
        if self.ended:
            self.ended = self.idle = False
            self._reading.wake()
            self.on_wakeup()

    def interruption(self) -> Interruption | Exception | None:
        """Return the next disconnection error or idle read for an iteration without a batch, each once; else None."""
        if self._disconnects:
            return self._disconnects.popleft()
        if self.paused:
            return None
        idle, self.idle = self.idle, False
        return Interruption.ENDED if self.ended else Interruption.IDLE if idle else None

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self._merge_timer.set(inf)

    def report_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        if link is self._reading.link:
            self._unblocker.done()  # with the connection, the read has ended too
            if was_up and self.on_disconnect != "retry":
                self._disconnects.append(error)
        super().report_down(link, error, was_up=was_up)

    def _take_back(self, batch: Batch[T]) -> None:
        if (cursor := self._streams.get(batch.key)) is not None:
            cursor.take_back(batch.raw)

    def _hand_over(self, batch: Batch[T]) -> None:
        cursor = self._streams[batch.key]
        cursor.before, cursor.handed_over = cursor.handed_over, StreamId.parse(batch.raw[-1][0])

    # -- changes ------------------------------------------------------------------------------------------------------

    def _known(self, stream: Name) -> bytes:
        key = name("stream", stream)
        if key not in self._streams:
            raise InvalidArgument(f"stream {key.decode(errors='replace')!r} is not followed; add_stream() adds it")
        return key

    def _change(self, stream: bytes, place: Position | None) -> CursorChange:
        change = CursorChange(
            StreamCursor(stream, Lookup.END if place is None else start(place), watched=self._watches)
        )
        self._changes.add(change)
        if self._blocked:
            self._unblocker.unblock()
        self._reading.wake()
        self.on_wakeup()
        return change

    def _drop(self, stream: bytes) -> None:
        """Drop the prefetched entries of a stream."""
        self._prefetch.drop(stream)
        self._arrived = [batch for batch in self._arrived if batch.key != stream]
        self._gaps.drop(stream)
        if self._merge is not None:
            self._merge.drop(stream)
            self._merge_timer.set(self._merge.due)

    def _settle_changes(self) -> Steps[None]:
        for change, (*anchor, info) in (yield from self._changes.check(self.ask, self.portions.looks)):
            if self._changes.is_pending(change):  # else it was given up meanwhile
                self._settle(change, info, *anchor)

    def _settle(self, change: CursorChange, info: Any, *anchor: Any) -> None:
        cursor = change.cursor
        try:
            self._gaps.check(cursor, info, *anchor)
        except (ReplyError, StreamResetError) as error:
            change.error = error
        else:
            change.done = True
            self._streams[cursor.stream] = cursor
        self._end_change(change)

    # -- the story ----------------------------------------------------------------------------------------------------

    def _read(self) -> Script:
        self._blocked = False
        yield from self._enter()
        self.is_ready = True
        while True:
            if self._changes:
                yield from self._settle_changes()
            elif streams := self._readable():
                yield from self._read_once(streams)
            else:
                yield WAIT

    def _enter(self) -> Steps[None]:
        """Resolve starting points and check the known streams, on every new connection."""
        for cursor in self._streams.values():
            cursor.watched = self._watches  # the server may have forbidden it on the last connection
        known = [
            cursor for cursor in self._streams.values() if not cursor.sought
        ]  # where others were does not matter any more
        yield from self._check_streams([cursor for cursor in known if cursor.continuity is None or cursor.watched])

    def _check_streams(self, streams: list[StreamCursor]) -> Steps[None]:
        """Check the histories of streams, then hand on the arrived batches behind the events of that."""
        for page in pages(streams, self.portions.looks):
            yield from self._gaps.check_all(page)
        self._gaps.suspects = []
        self._hand_on()

    def _readable(self) -> list[StreamCursor]:
        """Return the cursors of the streams to read now."""
        if self.paused or self.ended or not self._prefetch.has_room(0):
            return []
        names = list(self._streams) if self._merge is None else self._merge.wanted(self._streams)
        return [
            cursor for stream in names if (cursor := self._streams[stream]).continuity is not None and not cursor.sought
        ]

    def _read_once(self, streams: list[StreamCursor]) -> Steps[None]:
        names = [cursor.stream for cursor in streams]
        portion: Portion = self.portions.next(names, self.count, split=self._splits)
        self.asked = deque((portion,))
        asked = streams if portion.streams is names else [self._streams[stream] for stream in portion.streams]
        read_from: dict[StreamCursor, StreamId] = {
            cursor: cursor.continuity.cursor for cursor in asked if cursor.continuity is not None
        }
        questions = [
            (cursor, cursor.continuity, question) for cursor in streams if (question := self._gaps.question(cursor))
        ]
        if questions:
            yield Exchange([question for _, _, question in questions], self.options.request_timeout)
        waiting: Arguments = self._waiting() if portion.whole else ()
        self._blocked = bool(waiting)
        places: Arguments = tuple(map(bytes, read_from.values()))
        read: Arguments = ("XREAD", "COUNT", portion.each, *waiting, "STREAMS", *portion.streams, *places)
        yield Exchange([read], self.block + self.options.request_timeout)
        if questions:
            proof = yield from self._answer()
            for (cursor, continuity, question), reply in zip(questions, proof.replies, strict=True):
                if cursor.continuity is continuity and not cursor.sought:
                    self._gaps.take_answer(cursor, question[0], reply)
        answered = yield from self._answer()
        self._blocked = False
        interrupted = self._unblocker.wanted
        self._unblocker.done()
        [reply] = answered.replies
        if isinstance(reply, UnblockedError):
            return  # the server has changed its role, and closes; or an operator has sent CLIENT UNBLOCK
        if isinstance(reply, ReplyError):
            left = [cursor for cursor in read_from if self._streams.get(cursor.stream) is cursor]
            yield from self._gaps.find_refused(left, reply, alone=len(read_from) == 1)
            return
        self._gaps.refusals = 0
        self._reading.link.succeeded()
        received: dict[bytes, list[Any]] = reply or {}
        self.portions.heard(portion, received, answered.nbytes, self.count)
        self._absorb(read_from, received, answered.nbytes)
        if suspects := self._gaps.suspects:
            yield from self._check_streams(suspects)
        else:
            self._hand_on()
        held = self._merge is not None and self._merge.holds
        idle = portion.whole and not (any(received.values()) or interrupted or self._changes or held)
        if idle:
            self.idle, self.ended = True, self.stop_on_idle
        self._gaps.schedule_checks(self._streams.values(), self._clock.now, idle=idle)

    def refused(self, cursor: StreamCursor, error: ReplyError) -> None:
        """Raise the server's refusal to read a stream, with the name of the stream."""
        raise about(error, "stream", cursor.stream)

    def _answer(self) -> Steps[Exchange]:
        while (answered := (yield WAIT)) is None:
            pass
        return answered

    def _absorb(self, read_from: dict[StreamCursor, StreamId], received: dict[bytes, list[Any]], nbytes: int) -> None:
        """Advance the cursors, except of streams that were sought or removed while the read was under way."""
        for cursor, place in read_from.items():
            entries = received.get(cursor.stream) or []
            continuity = cursor.continuity
            is_other = cursor.sought or self._streams.get(cursor.stream) is not cursor
            if is_other or continuity is None or continuity.cursor != place:
                continue
            if entries:
                continuity.received(entries, watched=cursor.watched)
            if entries or self._merge is not None:
                size = nbytes // max(len(received), 1)
                self._arrived.append(Batch(cursor.stream, entries, encoding=self._encoding, size=size))

    def _hand_on(self) -> None:
        """Move the arrived batches to the prefetch queue, or to the merge."""
        arrived, self._arrived = self._arrived, []
        if self._merge is None:
            for batch in arrived:
                self._prefetch.add(batch)
            return
        self._merge.begin()
        for batch in arrived:
            full = len(batch.raw) >= self.asked[0].each
            self._merge.add(batch.key, batch.raw, size=batch.size, full=full, now=self._clock.now)
        self._release(self._clock.now)

    def _release(self, now: float) -> None:
        """Move the entries whose turn has come to the prefetch queue."""
        assert self._merge is not None
        runs = self._merge.release(self._streams, now)
        for at, (stream, entries, size) in enumerate(runs):
            batch: Batch[T] = Batch(stream, entries, encoding=self._encoding, size=size)
            self._prefetch.add(batch, whole=at == len(runs) - 1)
        self._merge_timer.set(self._merge.due)

    def _waiting(self) -> Arguments:
        if self.polls or self._changes:
            return ()
        if self._merge is None:
            return super()._waiting()
        if not self._merge.may_wait:
            return ()
        wait = min(self.block, self._merge.due - self._clock.now)
        return ("BLOCK", max(1, int(wait * 1000)))
