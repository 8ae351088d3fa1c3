"""The readers of a consumer: a reader for each route to its streams, and the batches of all of them.

Batches are taken from the readers in turn. Where all entries have a single order, all readers put theirs into the queue of the
first, the ``source``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, TypeVar

from ..arguments import ReadFrom, read_source
from ..engine.router import Replica, Route, Slot
from ..entries import Batch
from ..reading.engine import ReadingEngine
from ..reading.reader import Reader
from .readers_by_route import ReadersByRoute, suffix_of
from .streams_reader import StreamsOwner, StreamsReader

T = TypeVar("T", bytes, str)


class Readers(ReadersByRoute[T]):
    """The readers of the streams of ``owner``.

    ``source``: the reader with all batches; None where readers have queues of their own. ``merges``: all readers have a queue in
    common. ``read_from``: the nodes of a cluster that are read from. ``options``: keywords of a ``StreamsReader``.
    """

    def __init__(
        self,
        engine: ReadingEngine[Batch[T]],
        owner: StreamsOwner,
        *,
        merges: bool,
        read_from: ReadFrom = "primary",
        **options: Any,
    ) -> None:
        super().__init__(engine.route, self._make_reader, self._forget_idle)
        self.source: Reader[Batch[T]] | None = None
        self._has_begun = False
        self._engine: ReadingEngine[Batch[T]] = engine
        self._owner = owner
        self._merges = merges
        self._read_from = read_source(read_from)
        self._options = options
        # The readers with batches, where there is no ``source``.
        self._turns: OrderedDict[Reader[Batch[T]], None] = OrderedDict()
        self._idle: dict[StreamsReader[Any], None] = {}  # whose last reads came back empty

    def begin(self) -> None:
        """Note that all streams are there which the consumer begins with; it is not ready before these are read."""
        self._has_begun = True

    def _make_reader(self, route: Route) -> StreamsReader[T]:
        first = next(iter(self._engine.readers), None)
        shelf = first if self._merges else None
        replica: Replica | None = None
        if isinstance(route, Slot) and self._read_from != "primary":
            replica = Replica(route.slot, or_primary=self._read_from == "any")
        made: StreamsReader[T] = StreamsReader(
            self._engine,
            self._owner,
            {},
            suffix=suffix_of(route),
            route=route,
            replica=replica,
            shelf=shelf,
            merges=self._merges,
            **self._options,
        )
        self._engine.add_reader(made.reader, is_awaited=not self._has_begun)
        if first is not None and first.paused:
            made.reader.pause()
        if first is None:
            self.source = made.reader
        elif shelf is not None:
            made.reader.on_event_due = shelf.on_event_due
        elif self.source is not None:
            if self.source.prefetch:
                self._turns[self.source] = None
            self.source = None
        return made

    # -- batches ------------------------------------------------------------------------------------------------------

    @property
    def has_batch(self) -> bool:
        """Whether a batch can be taken now."""
        source = self.source
        return any(reader.has_batch for reader in self._turns) if source is None else source.has_batch

    def add(self, reader: Reader[Batch[T]], batches: list[Batch[T]]) -> None:
        """Add batches to the queue of a reader."""
        for batch in batches:
            reader.prefetch.add(batch)
        if batches and self.source is None:
            self._turns[reader] = None

    def take_in_turn(self) -> Batch[T] | None:
        """Take the next batch of the readers that have batches, in turn; None while there is none."""
        turns = self._turns
        while turns and not self._engine.readers[0].paused:
            reader = next(iter(turns))
            turns.move_to_end(reader)
            batch = reader.take()
            if not reader.prefetch:
                del turns[reader]
            if batch is not None:
                return batch
        return None

    def put_back(self, batch: Batch[T]) -> None:
        """Put back the batch taken last, before all others."""
        reader = self.source
        if reader is None:
            reader = self.of(batch.key).reader
            self._turns[reader] = None
            self._turns.move_to_end(reader, last=False)
        reader.put_back(batch)

    # -- empty reads --------------------------------------------------------------------------------------------------

    def rests(self, reader: StreamsReader[Any]) -> bool:
        """Tell whether a reader that does not wait in the server came back empty, while others have entries."""
        return reader.reader.polls and reader in self._idle

    def are_idle(self) -> bool:
        """Tell whether the last reads of all readers came back empty; from then on they count anew."""
        if not self._idle or len(self._idle) < len(self._open):
            return False
        self._idle.clear()
        return True

    def _forget_idle(self, reader: StreamsReader[Any]) -> None:
        self._idle.pop(reader, None)

    def note_idle(self, reader: StreamsReader[Any]) -> None:
        """Note that the last read of a reader came back empty."""
        self._idle[reader] = None

    def note_busy(self, reader: StreamsReader[Any]) -> None:
        """Note that a reader may have entries; readers that rest look again."""
        if self._idle:
            self._idle.pop(reader, None)
            if reader.reader.polls:
                resting, self._idle = self._idle, {}
                for other in resting:
                    other.want_more()

    def go_on(self) -> None:
        """Have all readers read on after the end of an iteration."""
        self._idle.clear()
        self.wake()
