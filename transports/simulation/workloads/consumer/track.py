"""How far a process of a reader is in a stream, and which promises are off, since the stream has begun anew or gone back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...world.stream_log import ZERO, Id
from .losses import Key, Look, Losses, Place, last_of

if TYPE_CHECKING:
    from streamcore.reading.stream_history import History

    from .id_log import IdLog


@dataclass
class Track:
    """How far a process is in a stream, whose era has a number, and its losses."""

    position: Id
    era: int = 0
    losses: Losses = field(default_factory=Losses)
    excused: Id = ZERO  # what is not higher may be skipped: it belongs to another era than the cursor,
    since: int = 0  # unless it was there in this one, and is still
    rewinds: int = 0  # of the stream, that no event has told
    rewound: bool = False  # the stream was, since the process began
    unwatched: bool = False
    lenient: bool = False  # it is not known whether a rewind was that of the place before a seek, or of this one

    def begin_anew(self, era: int) -> None:
        """The engine has told that the stream begins anew, and that it reads it from its beginning."""
        self.position, self.era = ZERO, era
        self.losses = Losses(doubtful=True)
        self.rewinds -= 1
        self.since = max(era - 1, 0)
        if self.rewinds <= 0:
            self.rewinds, self.excused = 0, ZERO

    def resume(self, id_log: IdLog, stream: bytes, era: int) -> None:
        """It goes on from a cursor that was saved in an era."""
        self.excused = id_log.eras[stream].ended
        self.since = max(0, min(era, self.era - 1))
        self.losses.resumed = True

    def reached(self, here: set[Key], era: int) -> Id:
        """The last id that has arrived, in an era; entries in front of it were passed: a failover has brought them back."""
        return max([self.position, *(id_ for number, id_ in here if number == era)])

    def unsettle(self, id_log: IdLog, stream: bytes, seen: History | None, here: set[Key]) -> None:
        """Note that the counters of the stream are about to be set, after a last look, and with entries that have arrived."""
        self.losses.doubtful = True
        if seen is not None:
            look = Look(self.losses, id_log, stream, seen, here)
            self.losses.settings.append(Place(look.era, self.position, look.unread, seen))

    def rewind(self, id_log: IdLog, stream: bytes, seen: History | None, here: set[Key]) -> None:
        """The stream has begun anew, or gone back, where the reader was told this at its last look; entries ``here`` have arrived."""
        ended = id_log.past[stream][-1]
        place, era = max([self.position, *(id_ for _, id_ in here)]), id_log.number(stream) - 1
        if self.excused == ZERO:
            self.since = era
        self.excused = id_log.eras[stream].ended
        self.rewinds += 1
        self.rewound = self.losses.doubtful = True
        looked = seen if seen is not None and self.losses.era_of(seen, era) == era else None
        known = set[Id]() if looked is None else id_log.removed(stream, era, looked.removed)
        had = id_log.had(stream, place) - self.losses.untold(era, known)
        noted = sum(id_ <= place for id_ in ended.ids)  # where the counters were set since
        if looked is not None:
            ahead = [id_ for id_ in ended.ids if place < id_ <= last_of(looked) and id_ not in known]
            come = [
                id_ for number, id_ in self.losses.received | here if number == era and last_of(looked) < id_ <= place
            ]
            noted = looked.added - len(ahead) + len(come)
        self.losses.places += [Place(era, place, had, seen), Place(era, place, noted, seen)]
        if not ended.dropped:
            self.losses.settled()
