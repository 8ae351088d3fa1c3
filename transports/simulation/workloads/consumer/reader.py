"""A reader without a group: follows streams by XREAD, saves its cursor now and then, and goes on from there when it comes back.

Its entries are checked at once, against the ``IdLog`` of all that ever was in its streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamcore import Consumer, StreamcoreError, StreamId, StreamResetError
from streamcore.engine.degradation import GAPS
from streamcore.events import Degraded, Gap, StreamReset

from ...world.actor import Program
from ...world.engine_state import arrived, seen_by
from ...world.scheduler import Violation
from ...world.stream_log import ZERO, Id, fields_of
from .habits import ReaderHabits
from .losses import Key, Losses
from .track import Track

if TYPE_CHECKING:
    from streamcore.consumer.cursor import CursorChange
    from streamcore.entries import Batch

    from ...world.driver import World
    from ...world.invariants import EventsInOrder
    from .id_log import IdLog
    from .invariants import ReaderInvariants

BLOCK: Final = 0.6


class Reader(Program):
    """A reader. ``saved`` is its cursor in a safe store: where to go on."""

    def __init__(
        self,
        world: World,
        name: str,
        id_log: IdLog,
        habits: ReaderHabits,
        oracles: ReaderInvariants,
        events: EventsInOrder,
    ) -> None:
        super().__init__(world, name)
        self.id_log = id_log
        self.habits = habits
        self.oracles = oracles
        self.saved: dict[bytes, StreamId] = {}
        self.eras: dict[bytes, int] = {}  # of what was saved
        self._entering: dict[bytes, list[Key]] = {}  # what was removed before the starting points were known
        self._early: list[Gap] = []  # what was told before that
        self._wrong: Violation | None = None  # what they have broken
        self._in_doubt: set[bytes] = set()  # streams that began anew, or went back, before that
        self.tracks: dict[bytes, Track] = {}
        self.highest: tuple[bytes, Id] | None = None  # the entry with the highest id so far, for what is merged
        self._seeking: tuple[CursorChange, bytes, Track] | None = None  # and how far it was before
        self._events = events
        self._sought_at = 0.0
        self._busy = False
        self._puts_back = False

    # -- a life -------------------------------------------------------------------------------------------------------

    def begin(self) -> Consumer[bytes]:
        habits = self.habits
        start: Any = {stream: self.saved.get(stream, habits.start) for stream in habits.streams}
        engine = Consumer(
            start,
            count=habits.count,
            block=BLOCK,
            prefetch=habits.prefetch,
            merge=habits.merge,
            on_rewind=habits.on_rewind,
            **self.engine_options(),
        )
        engine.on_event = self._told
        self._events.listen(self.label, engine)
        return engine

    def _told(self, event: object) -> None:
        """The engine tells something, which the application takes in its own time."""
        self.world.tell(self.label, f"hears of {event!r}" if self.world.tells else "")
        if isinstance(event, Gap) and not self.tracks:
            self._early.append(event)
        elif isinstance(event, Gap):
            try:
                self.oracles.trims.told(self, event)
            except Violation as violation:  # an engine's script is no place for it
                self._wrong = violation

    def forget(self) -> None:
        self.tracks.clear()
        self._early.clear()
        self._entering.clear()
        self._in_doubt.clear()
        self.highest = self._seeking = None
        self._busy = self._puts_back = False

    def _tracks_of(self, stream: bytes) -> list[Track]:
        tracks = [self.tracks.get(stream), self._seeking[2] if self._seeking and self._seeking[1] == stream else None]
        return [track for track in tracks if track is not None]

    def _here(self, stream: bytes) -> set[Key]:
        """The entries of a stream that have arrived and were not handed over: they are not missed, even if they are removed."""
        return self.id_log.keys(stream, arrived(self.engine, stream))

    def removing(self, stream: bytes, ids: list[Id], how: str) -> None:
        """Entries are about to be removed."""
        if self.node is None or stream not in self.habits.streams:
            return
        number = self.id_log.number(stream)
        if not self.tracks:
            self._entering.setdefault(stream, []).extend((number, id_) for id_ in ids)
        for track in self._tracks_of(stream):
            here = self._here(stream)
            reached = track.reached(here, number)
            track.losses.removed([(number, id_) for id_ in ids if id_ > reached], how, here)

    def dropping(self, stream: bytes) -> None:
        """Note that a stream is about to go as a whole, with unread entries."""
        for track in self._tracks_of(stream):
            here = self._here(stream)
            reached = track.reached(here, self.id_log.number(stream))
            track.losses.removed(self.id_log.unread(stream, reached), "DEL", here)

    def rewinding(self, stream: bytes) -> None:
        """A stream begins anew, or goes back: entries with lower ids than our cursor may escape."""
        self.highest = None
        self._in_doubt.add(stream)
        for track in self._tracks_of(stream):
            seen = seen_by(self.engine, stream)
            track.rewind(self.id_log, stream, seen, self._here(stream))

    def unsettle(self, stream: bytes) -> None:
        """The counters of a stream are about to be set."""
        self._in_doubt.add(stream)
        for track in self._tracks_of(stream):
            here = self._here(stream)
            track.unsettle(self.id_log, stream, seen_by(self.engine, stream), here)

    def _track(self) -> None:
        """Entering is done: the starting points are known."""
        for stream, at in self.engine.cursor().items():
            place, number = (at.ms, at.seq), self.id_log.number(stream)
            track = self.tracks[stream] = Track(place, number)
            track.losses.doubtful |= stream in self._in_doubt
            saved = self.saved.get(stream)
            if saved is not None and track.position > ZERO:
                track.resume(self.id_log, stream, self.eras.get(stream, 0))
                if place == (saved.ms, saved.seq):
                    track.losses.lose(self.id_log.lost_since(stream, self.eras[stream], place))
            else:
                track.losses.lose(dict.fromkeys(self._entering.get(stream, ()), "before it began"))
        for gap in self._early:
            self.oracles.trims.told(self, gap)
        if self.habits.seeks:
            self._quietly(self.draw.random(), self._seek)

    # -- changes of mind ----------------------------------------------------------------------------------------------

    def _quietly(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later, and leave it to the engine to ask for its driver."""
        node = self.node

        def act() -> None:
            if node is not None and node is self.node and node.alive and not node.paused:
                action()

        self.world.after(seconds, act)

    def _seek(self) -> None:
        """Go to another place of a stream."""
        stream = self.draw.choice(list(self.tracks))
        ids = self.id_log.note(stream).ids
        if self._seeking is None and ids and self.world.faulty:
            place = self.draw.choice(ids)
            self.world.tell(self.label, f"seeks {place[0]}-{place[1]} of {stream.decode()}")
            try:
                change = self.engine.seek(stream, StreamId(*place))
            except StreamcoreError as error:  # it has ended, and nobody has looked since
                self._end(error)
                return
            self._seeking = change, stream, self.tracks[stream]
            number = self.id_log.number(stream)
            losses = Losses(resumed=True)
            losses.lose(self.id_log.lost_since(stream, number, place))
            self.tracks[stream] = Track(place, number, losses, rewound=True)
            self.highest, self._sought_at = None, self.world.now
            self._quietly(1.0, partial(self._give_up, change))
        self._quietly(0.2 + self.draw.random(), self._seek)

    def _give_up(self, change: CursorChange) -> None:
        if self._seeking is not None and self._seeking[0] is change:
            self.engine.give_up(change)
            self._go_on_as_before()

    def _go_on_as_before(self) -> None:
        assert self._seeking is not None
        _, stream, track = self._seeking
        self.world.tell(self.label, f"has not got to another place of {stream.decode()}")
        self._seeking, self.highest = None, None
        track.losses.due.clear()
        track.losses.resumed = True
        self.tracks[stream] = track

    def _follow_change(self) -> None:
        if self._seeking is not None:
            try:
                if self._seeking[0].poll():
                    self._seeking = None
            except StreamcoreError as error:
                self.world.tell(self.label, f"is told: {error}")
                self._go_on_as_before()

    # -- what it does -------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        node = self.node
        if node is None:
            return False
        self._events.take(node)
        if self._wrong is not None:
            raise self._wrong
        if not self.tracks and self.engine.is_ready:
            self._track()
        self._follow_change()
        self.oracles.trims.looked(self)
        if not self.tracks and self.cluster is not None:
            return self._enter_in_vain()  # entries of a node may come before the places at all nodes are known
        moved, at_once = False, Counter[bytes]()
        while not self._busy and self.node is node:
            while (event := self.engine.next_event_in_place()) is not None:
                self._hear(event)
            try:
                batch = self.engine.take()
            except StreamcoreError as error:
                self._end(error)
                return True
            if batch is None:
                break
            moved = True
            if self._puts_back:
                self._puts_back = False
                self.engine.put_back(batch)
                self.world.tell(self.label, "puts a batch back")
                continue
            at_once[batch.stream] += 1
            self.oracles.bounded.taken(self, at_once)
            self._handle(batch)
        return moved

    def _enter_in_vain(self) -> bool:
        """End with the error by which entering has failed, if it has: no batch is handed to a caller that waits for its end."""
        if not self.engine.closed:
            return False
        try:
            while self.engine.take() is not None:
                pass
        except StreamcoreError as error:
            self._end(error)
        return True

    def _end(self, error: StreamcoreError) -> None:
        self.world.tell(self.label, f"is told: {type(error).__name__}: {error}")
        if not (isinstance(error, StreamResetError) and self.habits.on_rewind == "raise"):
            self.world.violated("NoCrash", f"{self.label} was ended by {error!r}")
        self.saved.clear()
        self.ended(0.05)

    def _handle(self, batch: Batch[bytes]) -> None:
        stream, rows = batch.stream, batch.raw
        ids = [_id(row[0]) for row in rows]
        if self.world.tells:
            self.world.tell(self.label, f"is handed {stream.decode()} {[row[0].decode() for row in rows]}")
        for row, id_ in zip(rows, ids, strict=True):
            if list(row[1]) != fields_of(row[1][1]) or not self.id_log.was_there(stream, id_, row[1][1]):
                self.oracles.invented.violated(f"{self.label} is handed {row!r} of {stream.decode()}, which never was")
        self.world.notes["handed"] += len(ids)
        kept = self.engine.cursor(batch)[stream]
        if not self.tracks[stream].position <= (kept.ms, kept.seq) < ids[0]:
            self.oracles.cursor.violated(f"{self.label} works at {ids}, and a cursor that is saved now says {kept}")
        self.oracles.skipped.handed(self, stream, ids)
        keys = [self.id_log.key(stream, id_, row[1][1]) for row, id_ in zip(rows, ids, strict=True)]
        self.tracks[stream].era = keys[-1][0]
        self.oracles.trims.handed(self, stream, keys)
        cursor = self.engine.cursor()[stream]
        if (cursor.ms, cursor.seq) != ids[-1]:
            self.oracles.cursor.violated(f"{self.label} was handed {ids[-1]} last, and its cursor says {cursor}")
        lot = self.draw.random()
        if self.world.faulty and lot < self.habits.slow:
            self._busy = True
            self.later(0.3 * self.draw.random() ** 2, self._done)
        else:
            self._save()

    def _done(self) -> None:
        self._busy = False
        self._save()

    def _save(self) -> None:
        """The work is done; entries handed over until now need not be read again."""
        if self.draw.random() < self.habits.saves:
            self.saved = self.engine.cursor()
            self.eras = {stream: self.tracks[stream].era for stream in self.saved}

    def _hear(self, event: object) -> None:
        match event:
            case StreamReset() if not self.tracks:
                self._in_doubt.add(event.stream)  # where it begins is known when entering is done
            case StreamReset():
                self.highest = None
                track = self.tracks[event.stream]
                track.begin_anew(self.id_log.number(event.stream))
                track.lenient |= self.habits.seeks and self.world.now < self._sought_at + 2.0
                if self._seeking is not None and self._seeking[1] == event.stream:
                    self._seeking[2].begin_anew(self.id_log.number(event.stream))
            case Degraded() if event.what == GAPS:
                for track in self.tracks.values():
                    track.unwatched = True

    # -- what is done to it -------------------------------------------------------------------------------------------

    def cancel(self, lot: float) -> str | None:
        if self.node is None or self.node.paused or self._busy:
            return None
        self._puts_back = True
        return "its wait for a batch, which comes nevertheless"

    def missing(self) -> str:
        if self.node is None or not self.tracks:
            return f"{self.name} has not started"
        for stream, track in self.tracks.items():
            left = [one for one in self.oracles.skipped.owed(self, stream) if one > track.position]
            if left:
                return f"{self.label} was not handed {left[0]} of {stream.decode()}"
        return ""


def _id(text: bytes) -> Id:
    ms, _, seq = text.partition(b"-")
    return int(ms), int(seq)
