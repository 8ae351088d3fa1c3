"""What was ever in some streams, by id: for readers that have no group, and whose promise is about ids and their order.

Each time that a stream begins anew, or goes back, its *era* is another one. What of the former era is still there, under the same
id, has survived; the ids of everything else are new ones, even where they are lower than those that were read before.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .history import ZERO, Id

if TYPE_CHECKING:
    from .history import History


@dataclass
class Era:
    """The entries of a stream in one era. ``gone`` says how those were removed that are not there any more."""

    ids: list[Id] = field(default_factory=list)
    names: dict[Id, bytes] = field(default_factory=dict)
    gone: dict[Id, str] = field(default_factory=dict)
    former: dict[Id, bytes] = field(default_factory=dict)  # the names of what was there at the end of the era before
    ended: Id = ZERO  # the last id of all eras before
    leaves: object = None  # what the stream was, and is until it really begins anew

    def between(self, low: Id, high: Id) -> list[Id]:
        """The ids behind one and up to another."""
        return self.ids[bisect_right(self.ids, low) : bisect_right(self.ids, high)]

    def survived(self, id_: Id) -> bool:
        """Whether the entry was there before this era began."""
        return self.former.get(id_) == self.names[id_]


class Ledger:
    """All streams. ``ever`` has what every entry was called, by its stream and id: what was handed over must be of these."""

    def __init__(self, history: History, streams: list[bytes]) -> None:
        self.eras = {stream: Era() for stream in streams}
        self.ever: set[tuple[bytes, Id, bytes]] = set()
        self.turns: dict[tuple[bytes, Id], int] = {}  # the order of all entries of all streams, as they were appended
        self._history = history

    def note(self, stream: bytes) -> Era:
        """Write down what was appended since the last time."""
        era, now = self.eras[stream], self._history.stream(stream)
        for id_ in () if now is era.leaves else now.after(era.ids[-1] if era.ids else ZERO, 0):
            name = now.fields[id_][1]
            era.ids.append(id_)
            era.names[id_] = name
            self.ever.add((stream, id_, name))
            self.turns[stream, id_] = len(self.turns)
        return era

    def before_command(self, *_: object) -> None:
        """A server is about to run a command: what the one before has appended is noted, so that the order is known."""
        for stream in self.eras:
            self.note(stream)

    def there(self, stream: bytes) -> dict[Id, list[bytes]]:
        """What is in a stream now."""
        return self._history.stream(stream).fields

    def last(self, stream: bytes) -> Id:
        """The last id that a stream has given."""
        return self._history.stream(stream).last

    def removing(self, stream: bytes, ids: list[Id], how: str) -> None:
        """Entries are about to be removed."""
        if stream in self.eras:
            self.note(stream).gone.update(dict.fromkeys(ids, how))

    def rewinding(self, stream: bytes) -> None:
        """A stream is about to begin anew, or to go back."""
        if stream in self.eras:
            former = self.note(stream)
            last = max(former.ended, self._history.stream(stream).last)
            there = {id_: name for id_, name in former.names.items() if id_ not in former.gone}
            self.eras[stream] = Era(former=there, ended=last, leaves=self._history.stream(stream))
