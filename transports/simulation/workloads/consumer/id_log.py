"""All entries that were ever in some streams, by id: for readers without a group, whose promise is about ids and their order.

Each time that a stream begins anew, or goes back, its *era* is another. An entry of the former era that is still there, under the same
id, has survived; the ids of all others are new, even where they are lower than ids that were read before.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...world.stream_log import ZERO, Id, Key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...world.engine_state import Row
    from ...world.stream_log import StreamLog


@dataclass
class Era:
    """The entries of a stream in an era. ``gone`` says how entries were removed that are not there any more."""

    ids: list[Id] = field(default_factory=list)
    names: dict[Id, bytes] = field(default_factory=dict)
    gone: dict[Id, str] = field(default_factory=dict)
    former: dict[Id, bytes] = field(default_factory=dict)  # the names of what was there at the end of the era before
    ended: Id = ZERO  # the last id of all eras before
    leaves: object = None  # what the stream was, and is until it really begins anew
    dropped: bool = False  # it ended with its stream, and not by a failover that has lost the stream's end
    gone_before: int = 0  # how many entries the stream had lost before, by its counters; known when the era has ended

    def between(self, low: Id, high: Id) -> list[Id]:
        """The ids behind an id and up to another."""
        return self.ids[bisect_right(self.ids, low) : bisect_right(self.ids, high)]


class IdLog:
    """All streams. ``ever`` has the fields of every entry, by its stream and id: entries that were handed over must be among them."""

    def __init__(self, history: StreamLog, streams: list[bytes]) -> None:
        self.eras = {stream: Era() for stream in streams}
        self.past: dict[bytes, list[Era]] = {stream: [] for stream in streams}
        self.ever: set[tuple[bytes, Id, bytes]] = set()
        self.turns: dict[tuple[bytes, Id], int] = {}  # the order of all entries of all streams, as they were appended
        self._history = history

    def note(self, stream: bytes) -> Era:
        """Log the entries that were appended since the last call."""
        era, now = self.eras[stream], self._history.stream(stream)
        for id_ in () if now is era.leaves else now.after(era.ids[-1] if era.ids else ZERO, 0):
            name = now.fields[id_][1]
            era.ids.append(id_)
            era.names[id_] = name
            self.ever.add((stream, id_, name))
            self.turns[stream, id_] = len(self.turns)
        return era

    def was_there(self, stream: bytes, id_: Id, name: bytes) -> bool:
        """Whether an entry ever was in a stream, or with a former primary that did not know it yet."""
        self.note(stream)
        return (stream, id_, name) in self.ever or Key(stream, b"%d-%d" % id_, name) in self._history.strayed

    def before_command(self, *_: object) -> None:
        """A server is about to run a command: entries of the command before it are noted, so that the order is known."""
        for stream in self.eras:
            self.note(stream)

    def there(self, stream: bytes) -> dict[Id, list[bytes]]:
        """The entries of a stream now."""
        return self._history.stream(stream).fields

    def last(self, stream: bytes) -> Id:
        """The last id that a stream has given."""
        return self._history.stream(stream).last

    def has_deleted(self, stream: bytes) -> bool:
        """Whether single entries of a stream were ever deleted."""
        return self._history.stream(stream).deleted > ZERO

    def removing(self, stream: bytes, ids: list[Id], how: str) -> None:
        """Entries are about to be removed."""
        if stream in self.eras:
            self.note(stream).gone.update(dict.fromkeys(ids, how))

    def survived(self, stream: bytes, id_: Id, since: int) -> bool:
        """Whether an entry that is there was there at the end of an era, and of all others since."""
        eras = [*self.past[stream], self.note(stream)]
        return all(era.former.get(id_) == eras[-1].names[id_] for era in eras[since + 1 :])

    def removed(self, stream: bytes, number: int, count: int) -> set[Id]:
        """The entries of an era that were gone when so many had ever been removed from the stream."""
        is_past = number < self.number(stream)
        era = self.past[stream][number] if is_past else self.note(stream)
        before = era.gone_before if is_past else self._gone_before(stream, era)
        return set(list(era.gone)[: max(count - before, 0)])

    def _gone_before(self, stream: bytes, era: Era) -> int:
        now = self._history.stream(stream)
        return now.added - len(now.ids) - len(era.gone)

    def number(self, stream: bytes) -> int:
        """The number of the present era of a stream."""
        return len(self.past[stream])

    def key(self, stream: bytes, id_: Id, name: bytes) -> tuple[int, Id]:
        """The era in which an entry was there last, and its id."""
        eras = [*self.past[stream], self.note(stream)]
        return max((number for number, era in enumerate(eras) if era.names.get(id_) == name), default=0), id_

    def keys(self, stream: bytes, rows: Iterable[Row]) -> set[tuple[int, Id]]:
        """The keys of entries, as the server has sent them."""
        return {self.key(stream, _number(row[0]), row[1][1]) for row in rows}

    def is_there(self, stream: bytes, key: tuple[int, Id]) -> bool:
        """Whether an entry is in a stream, or is there again."""
        number, id_ = key
        fields = self.there(stream).get(id_)
        return fields is not None and fields[1] == [*self.past[stream], self.eras[stream]][number].names.get(id_)

    def lost_since(self, stream: bytes, number: int, place: Id) -> dict[tuple[int, Id], str]:
        """The entries that have gone behind a place of an era, and how; none that were there before a failover."""
        lost: dict[tuple[int, Id], str] = {}
        eras = [*self.past[stream], self.note(stream)]
        for at, era in enumerate(eras[number:], number):
            ends = at < len(eras) - 1
            gone = {id_: era.gone.get(id_, "DEL") for id_ in era.ids if id_ in era.gone or ends}
            lost.update(((at, id_), how) for id_, how in gone.items() if id_ > place)
            if ends and not era.dropped:
                lost.clear()
        return lost

    def unread(self, stream: bytes, place: Id) -> list[tuple[int, Id]]:
        """The entries of a stream behind a place."""
        return [(self.number(stream), id_) for id_ in self._history.stream(stream).after(place, 0)]

    def had(self, stream: bytes, place: Id) -> int:
        """How many entries the stream that is about to begin anew, or to go back, has had, but for entries behind a place."""
        now = self._history.stream(stream)
        return now.added - len(now.after(place, 0))

    def dropping(self, stream: bytes) -> None:
        """A stream is about to go as a whole."""
        if stream in self.eras:
            self.note(stream).dropped = True

    def rewinding(self, stream: bytes) -> None:
        """A stream is about to begin anew, or to go back."""
        if stream in self.eras:
            former = self.note(stream)
            former.gone_before = self._gone_before(stream, former)
            self.past[stream].append(former)
            last = max(former.ended, self._history.stream(stream).last)
            there = {id_: name for id_, name in former.names.items() if id_ not in former.gone}
            self.eras[stream] = Era(former=there, ended=last, leaves=self._history.stream(stream))

    def rewound(self, stream: bytes) -> None:
        """A stream has gone back: what it is now belongs to its present era."""
        if stream in self.eras:
            self.eras[stream].leaves = None


def _number(id_: bytes) -> Id:
    """An id as the model has it."""
    ms, _, seq = id_.partition(b"-")
    return int(ms), int(seq)
