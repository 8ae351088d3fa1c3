"""The entries that have ever been in the streams, and are: the truth that programs are measured by.

Entries are told apart by their *name*, a field that their producer has given them, and that never comes twice. Where a stream
begins anew (FLUSHALL, DEL, a failover that loses) its ``era`` is another: promises about the entries before are over.
``note`` is called before anything is destroyed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from streamcore.testing.model.values import Group, Stream

if TYPE_CHECKING:
    from .store import Store

Id = tuple[int, int]
ZERO: Final[Id] = (0, 0)


class Key(NamedTuple):
    """An entry: ids may come twice, in different eras."""

    stream: bytes
    id: bytes
    name: bytes

    @property
    def number(self) -> Id:
        """The id as the model has it."""
        ms, _, seq = self.id.partition(b"-")
        return int(ms), int(seq)


def fields_of(name: bytes) -> list[bytes]:
    """The fields of an entry of this name."""
    return [b"n", name, b"v", name[::-1] * 2]


STRANGER: Final = b"stranger"
"""A member that reads, claims and settles, and is no program of ours; it dies with what it holds."""

HELD: Final = b"calm-held"
"""So begin the names of entries whose handlers take long, whoever has them."""

LATER: Final = b"calm-later"
"""Of those that are refused at the first time, for longer than entries may be idle."""


BURIED: Final = b"calm-buried"
"""Of those that nobody wants."""

REFUSED: Final = b"calm-refused"
"""Of those that are refused at the first time, for no time at all."""


STUBBORN: Final = b"calm-stubborn"
"""Of those that are refused at the first time, and whose handlers take long at the second."""


def is_poison(name: bytes) -> bool:
    """Whether a handler fails on it, whenever it is tried."""
    return name.endswith((b"13", b"66")) and not name.startswith(b"calm")


class StreamLog:
    """The streams of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.eras: Counter[bytes] = Counter()
        self.copies: dict[bytes, Counter[int]] = {}  # how often a name was appended, by era
        self.keys: dict[bytes, Key] = {}  # by name, the last
        self.born: dict[bytes, float] = {}  # when a name was noted first
        self.strayed: set[Key] = set()  # entries of former primaries that had answered before they knew it
        self._noted: dict[bytes, Id] = {}

    def stream(self, stream: bytes) -> Stream:
        """A stream as it is now; an empty stream where there is none."""
        found = self.store.value(stream)
        return found if isinstance(found, Stream) else Stream()

    def group(self, stream: bytes, group: bytes) -> Group | None:
        """A group as it is now."""
        return self.stream(stream).groups.get(group)

    def note(self, stream: bytes) -> None:
        """Write down the entries appended since the last time."""
        now = self.stream(stream)
        era = self.eras[stream]
        for id_ in now.after(self._noted.get(stream, ZERO), 0):
            fields = now.fields[id_]
            if len(fields) < 2:
                continue
            self.copies.setdefault(fields[1], Counter())[era] += 1
            self.keys[fields[1]] = Key(stream, b"%d-%d" % id_, fields[1])
            self.born.setdefault(fields[1], self.store.world.now)
        self._noted[stream] = now.last

    def stray(self, stream: bytes, there: Stream) -> None:
        """Write down the entries of a former primary, which are in the history, or never were."""
        self.strayed.update(Key(stream, b"%d-%d" % id_, fields[1]) for id_, fields in there.fields.items())

    def rewind(self, stream: bytes) -> None:
        """The stream begins anew, or goes back to a former state: ``note`` it before."""
        self.eras[stream] += 1
        self._noted[stream] = ZERO

    def is_there(self, stream: bytes, id_: Id, name: bytes) -> bool:
        """Whether an entry is in the stream now."""
        fields = self.stream(stream).fields.get(id_)
        return fields is not None and fields[1] == name
