"""What one reader has lost of one stream: entries that were removed before they came to it, and whether it was told of them.

An entry's *key* is the number of its era and its id. What was trimmed, or went with its stream, must be told; what was deleted
from the middle may be. A stream's going back (a failover) settles the account: what is not there any more is no part of the
history.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamcore import StreamId

from ...world.stream_log import Id

if TYPE_CHECKING:
    from streamcore.events import Gap
    from streamcore.reading.stream_history import History

    from .id_log import IdLog

Key = tuple[int, Id]
MUST: Final = frozenset({"XTRIM", "DEL"})
"""How entries go of which a reader must hear."""


class Place(NamedTuple):
    """The last entry of an era that a reader had, how many there had been up to it, as far as that was told, and its last look."""

    era: int
    id: Id
    had: int
    seen: History | None


class Hidden(NamedTuple):
    """Losses that nothing shows, and of how many entries; 0: nothing was known of their stream, as nothing of it had been read."""

    entries: int
    keys: list[Key]


@dataclass
class Losses:
    """The account. ``open`` is what was lost and not told, and how it went; ``due`` of it what the last batch has passed."""

    open: dict[Key, str] = field(default_factory=dict)
    due: list[Key] = field(default_factory=list)
    ever: set[Key] = field(default_factory=set)  # what was lost, told or not
    received: set[Key] = field(default_factory=set)
    resumed: bool = False  # the place was that of an id, so nobody can count, and its entry may be gone
    doubtful: bool = False  # the stream has begun anew, has gone back, or its counters were set
    places: list[Place] = field(default_factory=list)  # where the reader was when streams were replaced, or went back
    looked: History | None = None  # by which look the account was judged last
    settings: list[Place] = field(default_factory=list)  # when counters were set; there, how many were gone unread

    def removed(self, keys: list[Key], how: str, arrived: set[Key]) -> None:
        """These are about to go; ``arrived``: what the reader has, and was not handed yet."""
        self.lose({key: how for key in keys if key not in arrived and key not in self.received})

    def lose(self, keys: dict[Key, str]) -> None:
        """These are gone, and have not come."""
        self.open.update(keys)
        self.ever.update(keys)

    def untold(self, era: int, known: set[Id]) -> int:
        """How many were trimmed or deleted in an era, and not told, but for those that were ``known`` to be gone."""
        return sum(number == era and how != "DEL" and id_ not in known for (number, id_), how in self.open.items())

    def era_of(self, seen: History, present: int) -> int:
        """The era in which the reader looked last, and has ``seen`` this."""
        return min((place.era for place in self.places if place.seen is seen), default=present)

    def settled(self) -> None:
        """Nothing is owed any more."""
        self.open.clear()
        self.due.clear()

    def handed(self, keys: list[Key]) -> None:
        """These have come; what was before them should have."""
        self.received.update(keys)
        for key in keys:
            self.open.pop(key, None)
        self.due = self.passed(keys[-1])

    def passed(self, place: Key) -> list[Key]:
        """What was before a place, must be told, and is not."""
        return [key for key, how in self.open.items() if how in MUST and key < place]

    def told(self, gap: Gap, era: int, seen: History | None, arrived: set[Key]) -> list[Key]:
        """A gap is told, in an era, by a look that has ``seen`` the stream: what it tells of what is open.

        What was trimmed behind the first entry that was there, or appended later, has gone since.
        """
        for key in arrived:
            self.open.pop(key, None)
        first, last = first_of(seen), None if seen is None else last_of(seen)
        return [
            (number, id_)
            for (number, id_), how in self.open.items()
            if number < era
            or (covers(gap, id_) and (last is None or id_ <= last) and (how == "XDEL" or first is None or id_ < first))
        ]


def covers(gap: Gap, id_: Id) -> bool:
    """Whether an id lies where a gap is."""
    return (gap.after.ms, gap.after.seq) < id_ and (gap.before is None or id_ < (gap.before.ms, gap.before.seq))


def arrived(engine: Any, id_log: IdLog, stream: bytes) -> set[Key]:
    """What has come of a stream and is not handed over yet: that is not missed, whatever becomes of it."""
    rows = [
        row
        for batch in (*engine._reader.arrived, *(one[0] for one in engine.readers[0].prefetch._ready))  # noqa: SLF001
        if batch.key == stream
        for row in batch.raw
    ]  # nobody else can know
    if engine._merge is not None:  # noqa: SLF001
        rows += [row[2] for row in engine._merge._held.get(stream, ())]  # noqa: SLF001
    return {id_log.key(stream, _id(row[0]), row[1][1]) for row in rows}


class Look:
    """What a reader knows of a stream by its last look, which has ``seen`` it in an ``era``.

    ``unread``: how many entries were gone then, by the stream's counters, that it had neither read nor been told of.
    """

    def __init__(self, engine: Any, losses: Losses, id_log: IdLog, stream: bytes, seen: History) -> None:
        self.seen = seen
        self.era = losses.era_of(seen, id_log.number(stream))
        self.has = losses.received | arrived(engine, id_log, stream)
        self._removed = id_log.removed(stream, self.era, seen.removed)
        known = self.has | losses.ever.difference(losses.open)
        self.unread = seen.removed - sum(map(self.is_gone, known))

    def is_gone(self, key: Key) -> bool:
        """Whether an entry of that era was gone."""
        era, id_ = key
        first, last = first_of(self.seen), last_of(self.seen)
        return era == self.era and id_ <= last and (first is None or id_ < first or id_ in self._removed)

    def since(self, place: Place) -> int:
        """How many entries have come since a place was noted, but for those of that era."""
        return sum(place.era < era < self.era or (era == place.era and id_ > place.id) for era, id_ in self.has)


def hidden(engine: Any, losses: Losses, id_log: IdLog, stream: bytes) -> Hidden | None:
    """What the server could tell nothing of, if there is anything.

    That is so where as many entries of a stream had gone unread and untold, when the reader looked last, as another one that had
    stood there before had had up to the cursor; or, where its counters were set, no more than before that. None: the reader had to
    know.
    """
    seen = seen_by(engine, stream)
    if seen is None:
        return None
    look = Look(engine, losses, id_log, stream, seen)
    had = [place.had + look.since(place) for place in losses.places if place.seen is not seen]
    had += [place.had for place in losses.settings if place.seen is not seen and place.era == look.era]
    if look.unread not in had:
        return None
    return Hidden(look.unread, [key for key in losses.open if key[0] < look.era or look.is_gone(key)])


def seen_by(engine: Any, stream: bytes) -> History | None:
    """What the server has told a reader last of a stream."""
    sought = [change.cursor for change in engine._changes if change.cursor.stream == stream]  # noqa: SLF001  # nobody else can know
    followed = sought[0] if sought else engine._streams.get(stream)  # noqa: SLF001
    return None if followed is None or followed.continuity is None else followed.continuity._seen  # noqa: SLF001


def first_of(seen: History | None) -> Id | None:
    """The first entry that was there then."""
    return None if seen is None or seen.first is None else (seen.first.ms, seen.first.seq)


def last_of(seen: History) -> Id:
    """The last id that the stream had given then."""
    return seen.last.ms, seen.last.seq


def _id(text: bytes) -> Id:
    id_ = StreamId.parse(text)
    return id_.ms, id_.seq
