"""Follow streams without a group: XREAD from a cursor per stream, across any number of connections.

The start is resolved once: ``"$"`` and ``"+"`` are looked up before the first read, and never again, so that entries
that arrive during a reconnect are not skipped. ``cursor()`` says up to where entries were *handed over*: saved after the work
it gives at least once, before the work at most once. Streams may be added, removed and sought at any time.

Here are the cursors, the merge and all that the application does: the fan-in. The reading is in ``streams_reader``: by a single reader
where all streams are on a server, and by a reader for each slot in a cluster. A reader comes with the first stream of its slot, and
its links are closed with the last.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Any, Generic, Literal, TypeVar, Unpack, overload

from ..arguments import Name, ReadFrom, Seconds, listed, name, one_of, pick, seconds
from ..commands.ids import Position
from ..engine.engine import EngineOptions
from ..engine.event_queue import MAX_EVENTS
from ..engine.lane import LaneMoved
from ..engine.script import Steps
from ..entries import Batch, StreamId
from ..errors import InvalidArgument, ReplyError, about
from ..events import Event
from ..reading.engine import ReadingEngine
from ..reading.reader import ReaderOptions
from ..stream_id import ZERO
from .cursor import CursorChange, StreamCursor
from .merge import Merge
from .options import ConsumerOptions, Interruption
from .readers import Readers
from .start import Lookup, Starts, start, starts
from .streams_reader import StreamsReader

T = TypeVar("T", bytes, str)


class _ReaderAndEngine(ReaderOptions, EngineOptions, total=False): ...


class _Options(ConsumerOptions, EngineOptions, total=False): ...


class Consumer(ReadingEngine[Batch[T]], Generic[T]):
    """Follow streams by XREAD: each entry after the starting point once, in id order per stream.

    ``streams`` is a name or several, which start at their end, or a mapping of names to starting points: an id
    (exclusive), ``"0"`` (everything), ``"$"`` (only entries added from now on), ``"+"`` (the last entry), milliseconds
    or a ``datetime`` (inclusive). ``count`` (100) entries per stream and read, ``block`` (5) seconds of waiting in the
    server, ``prefetch`` (2) batches or ``prefetch_bytes`` (64 MB) ahead of the application; in a cluster, each of these
    for the streams of a slot.

    ``merge="id"`` hands over the entries of all streams in the order of their ids, as far as the server had them at
    the time of the read; ``merge_wait`` (0) seconds are left for late entries. In a cluster, a slot whose node is down holds back the
    entries of all others: for ``merge_wait`` seconds, or until the slot is read again. ``stop_on_idle`` ends the iteration
    when a read comes back empty, of each slot. A lost connection is renewed in silence, unless ``on_disconnect`` is to ``"raise"``
    or ``"yield"`` its error in the iteration, which goes on when it is asked again. When a stream ends before our
    cursor (it began anew), ``on_rewind`` is to ``"raise"`` ``StreamResetError`` or to ``"restart"`` from its
    beginning. ``detect_gaps=False`` asks nothing of the server but entries. ``read_from`` (``"primary"``): in a cluster, a
    ``"replica"`` or ``"any"`` node of the slot is read from, which may be late; starting points, gaps and resets are asked of the primary.
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
        read_from: ReadFrom = "primary",
        **options: Unpack[_ReaderAndEngine],
    ) -> None:
        given: dict[str, Any] = dict(options)
        super().__init__(**pick(given, EngineOptions.__annotations__))
        wait = seconds("merge_wait", merge_wait, zero=True)
        if wait and merge is None:
            raise InvalidArgument("merge_wait is for merge='id'; without it entries come as they are")
        self._merge = Merge(wait) if one_of("merge", merge, None, "id") else None
        self._merge_timer = self.new_timer(self._release)
        self._watches = detect_gaps
        self._readers: Readers[T] = Readers(
            self,
            self,
            watches=detect_gaps,
            on_rewind=one_of("on_rewind", on_rewind, "raise", "restart"),
            merges=self._merge is not None,
            read_from=read_from,
            hand_over=self._hand_over if self._merge is None else self._hand_over_merged,
            take_back=self._take_back,
            decode=decode,
            **given,
        )
        self.stop_on_idle = stop_on_idle
        self.idle = False  # all readers came back empty, and the iteration was not told yet
        self.ended = False  # because of ``stop_on_idle``, until ``begin``
        self._streams: dict[bytes, StreamCursor] = {}  # of all readers
        self._was_full = False  # the queue of merged entries
        self.on_disconnect = one_of("on_disconnect", on_disconnect, "retry", "raise", "yield")
        self._disconnects: deque[Exception] = deque(maxlen=MAX_EVENTS)  # that the iteration shall tell
        if given.get("block", 0.0) is None and not stop_on_idle:
            raise InvalidArgument("block=None would ask for entries all the time; it is for stop_on_idle=True")
        for stream, place in starts(streams).items():
            cursor = StreamCursor(stream, place, watched=detect_gaps)
            self._readers.open(stream).streams[stream] = self._streams[stream] = cursor
        self._readers.begin()
        if self._merge is not None and len(self._readers) > 1:
            self._merge.doubt(self._streams)

    @property
    def title(self) -> str:
        """The label with the names of the streams."""
        return f"{self.label} of {listed(self._streams)}" if self._streams else self.label

    # -- the user's side ----------------------------------------------------------------------------------------------

    def take(self) -> Batch[T] | None:
        """Take the next batch; None where nothing has arrived. Raises the error that ended the consumer."""
        readers = self._readers
        batch = readers.take_in_turn() if readers.source is None else readers.source.take()
        if batch is None:
            self.check()
        return batch

    @property
    def has_batch(self) -> bool:
        """Whether ``take`` would return a batch now."""
        return self._readers.has_batch

    def put_back(self, batch: Batch[T]) -> None:
        """Put back the batch taken last, before all others."""
        self._readers.put_back(batch)

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
        reader = self._readers.find(key)
        if key in self._streams or (reader is not None and key in reader.changes):
            if place is not None:
                raise InvalidArgument("the stream is followed already; seek() goes to another place in it")
            return None
        return self._change(key, place)

    def seek(self, stream: Name, place: Position) -> CursorChange:
        """Read on from another place in a stream; its prefetched entries are dropped."""
        self.check()
        key = self._known(stream)
        self._readers.of(key).changes.supersede(key)
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
        reader = self._readers.of(key)
        reader.remove(key)
        if self._merge is not None:
            self._merge.drop(key)
            self._release(self._clock.now)  # entries that waited for this stream wait no more
        reader.want_more()
        self._close_unused(key)
        return True

    def restart(self, cursor: StreamCursor) -> None:
        """Read a stream that began anew from its beginning."""
        self._drop(cursor.stream)
        cursor.goto(ZERO)

    def give_up(self, change: CursorChange) -> None:
        """Cancel a pending change, whose caller has left; a sought stream goes on from its former place."""
        self._readers.of(change.cursor.stream).give_up(change)

    def end_change(self, change: CursorChange) -> None:
        """Forget a change that is done, has failed, or was given up; a sought stream goes on from its former place."""
        stream = change.cursor.stream
        reader = self._readers.of(stream)
        reader.changes.remove(change)
        if (old := reader.streams.get(stream)) is change.cursor:
            self._streams[stream] = change.cursor
        elif old is not None and old.sought:
            old.sought = False
            old.go_back()
            reader.want_more()
        self._close_unused(stream)

    def begin(self) -> None:
        """Go on after ``stop_on_idle`` has ended the iteration."""
        if self.ended:
            self.ended = self.idle = False
            self._readers.go_on()
            self.on_wakeup()

    def interruption(self) -> Interruption | Exception | None:
        """Return the next disconnection error or idle read for an iteration without a batch, each once; else None."""
        if self._disconnects:
            return self._disconnects.popleft()
        if self.readers[0].paused:
            return None
        idle, self.idle = self.idle, False
        return Interruption.ENDED if self.ended else Interruption.IDLE if idle else None

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self._merge_timer.set(inf)

    # -- the fan-in ---------------------------------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """Whether entries wait for their turn in the order of ids."""
        return self._merge is not None and self._merge.holds

    def wanted(self, reader: StreamsReader[Any]) -> list[bytes]:
        """Return the names of the streams to read now: with a merge, the streams that hold no entries in it."""
        if self.ended or self._readers.rests(reader):
            return []
        return list(reader.streams) if self._merge is None else self._merge.wanted(reader.streams)

    def longest_wait(self, reader: StreamsReader[Any], block: float) -> float | None:
        """Return the seconds that a read may wait in the server: until an entry has waited long enough for its turn."""
        return block if self._merge is None else self._merge.longest_wait(reader.streams, block, self._clock.now)

    def take_in(self, reader: StreamsReader[Any], batches: list[Batch[T]], full: int) -> None:
        """Move batches to the prefetch queue, or to the merge; of a stream with ``full`` entries there may be more."""
        if self._merge is None:
            self._readers.add(reader.reader, batches)
            return
        self._merge.begin(reader.streams)
        for batch in batches:
            is_full = len(batch.raw) >= full
            self._merge.add(batch.key, batch.raw, size=batch.size, full=is_full, now=self._clock.now)
        self._release(self._clock.now)

    def end_read(self, reader: StreamsReader[Any], *, idle: bool) -> None:
        """Note for the iteration that the last reads of all readers came back empty.

        A reader that does not wait in the server rests then, until another has read entries.
        """
        if idle:
            self._readers.note_idle(reader)
            self._look_for_end()
        else:
            self._readers.note_busy(reader)

    def _look_for_end(self) -> None:
        if self._readers.are_idle():
            self.idle, self.ended = True, self.stop_on_idle

    def refuse(self, cursor: StreamCursor, error: ReplyError) -> None:
        """Raise the server's refusal to read a stream, with the name of the stream."""
        raise about(error, "stream", cursor.stream)

    def enter(self, reader: StreamsReader[Any]) -> Steps[None]:
        """Go on at once, on a new connection, when the streams are known."""
        yield from ()

    def emit_of(self, reader: StreamsReader[Any], event: Event) -> None:
        """Emit an event in its place among the batches of its reader."""
        reader.reader.place(event)

    def lose_connection_of(self, reader: StreamsReader[Any], error: Exception, *, was_up: bool) -> None:
        """Keep the error of a lost connection for the iteration, if it is to be told there."""
        self._readers.note_busy(reader)
        if self._merge is not None and len(self._readers) > 1:
            self._merge.doubt(reader.streams)
        if was_up and self.on_disconnect != "retry" and not isinstance(error, LaneMoved):
            self._disconnects.append(error)

    def _take_back(self, batch: Batch[T]) -> None:
        if (cursor := self._streams.get(batch.key)) is not None:
            cursor.take_back(batch.raw)

    def _hand_over(self, batch: Batch[T]) -> None:
        cursor = self._streams[batch.key]
        cursor.before, cursor.handed_over = cursor.handed_over, StreamId.parse(batch.raw[-1][0])

    def _hand_over_merged(self, batch: Batch[T]) -> None:
        self._hand_over(batch)
        if self._was_full and self.readers[0].prefetch.has_room(0):
            self._was_full = False
            self._readers.wake()

    def _close_unused(self, stream: bytes) -> None:
        self._readers.close_unused(stream)
        self._look_for_end()

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
        self._readers.open(stream).change(change)
        return change

    def _drop(self, stream: bytes) -> None:
        """Drop the prefetched and held entries of a stream."""
        self._readers.of(stream).drop(stream)
        if self._merge is not None:
            self._merge.drop(stream)
            self._merge_timer.set(self._merge.due)

    def _release(self, now: float) -> None:
        """Move the entries whose turn has come to the prefetch queue."""
        assert self._merge is not None
        runs = self._merge.release(self._streams, now)
        first = self.readers[0]
        for at, (stream, entries, size) in enumerate(runs):
            batch: Batch[T] = Batch(stream, entries, encoding=first.encoding, size=size)
            first.prefetch.add(batch, whole=at == len(runs) - 1)
        self._merge_timer.set(self._merge.due)
        self._was_full = not first.prefetch.has_room(0)
        if len(self._readers) > 1:  # the streams that hold nothing any more are to be read again
            released = {stream: self._readers.of(stream) for stream, _, _ in runs}
            self._merge.ask_again(released)
            for reader in released.values():
                reader.want_more()
