"""Invariants of readers without a group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ...world.engine_state import arrived, seen_by
from ...world.invariants import Oracle
from ...world.stream_log import Id
from .habits import ReaderHabits
from .id_log import IdLog
from .losses import MUST, Key, Losses, covers, hidden
from .track import Track

if TYPE_CHECKING:
    from streamcore.events import Gap

    from ...world.driver import World


class Judged(Protocol):
    """A reader, as the invariants know it."""

    habits: ReaderHabits
    tracks: dict[bytes, Track]
    highest: tuple[bytes, Id] | None

    @property
    def label(self) -> str: ...

    @property
    def engine(self) -> Any: ...


class ReadsWhatWas(Oracle):
    """*Consumer*: each entry of H: it was in the stream, under that id, unaltered."""


class CursorIsHandedOver(Oracle):
    """*Consumer*: a saved ``cursor()`` is the last entry handed over, not the last fetched."""


class ReadsEachOnce(Oracle):
    """*Consumer*: each entry of H after the cursor, once per instance, in id order per stream."""

    def __init__(self, world: World, id_log: IdLog) -> None:
        super().__init__(world)
        self.id_log = id_log

    def handed(self, reader: Judged, stream: bytes, ids: list[Id]) -> None:
        """A reader is handed a batch."""
        era, track = self.id_log.note(stream), reader.tracks[stream]
        there = self.id_log.there(stream)
        before = track.position
        self._merged(reader, stream, ids)
        for id_ in ids:
            if id_ <= track.position:
                self.violated(f"{reader.label} is handed {id_} of {stream.decode()} behind {track.position}")
            track.position = id_
        for id_ in set(era.between(before, ids[-1])).difference(ids):
            if track.lenient or (id_ <= track.excused and not self.id_log.survived(stream, id_, track.since)):
                continue
            if id_ in there:
                self.violated(
                    f"{reader.label} was not handed {id_} of {stream.decode()}, which is there, before {ids[-1]}"
                )

    def _merged(self, reader: Judged, stream: bytes, ids: list[Id]) -> None:
        """With ``merge="id"``: in the order of their ids, as far as the server had them at the time of the read."""
        if reader.habits.merge is None or reader.habits.seeks:  # what is sought is behind what was handed over
            return
        if any(track.rewound for track in reader.tracks.values()):  # a stream may begin anew while it is being read
            return
        turns, highest = self.id_log.turns, reader.highest
        if highest is not None and ids[0] < highest[1] and turns[stream, ids[0]] < turns[highest]:
            what = f"{ids[0]} of {stream.decode()} after {highest[1]} of {highest[0].decode()}"
            self.violated(f"{reader.label} is handed {what}, which was appended later")
        if highest is None or ids[-1] > highest[1]:
            reader.highest = stream, ids[-1]

    def owed(self, reader: Judged, stream: bytes) -> list[Id]:
        """The entries of the stream now that must come to the reader."""
        era, track = self.id_log.note(stream), reader.tracks[stream]
        if track.lenient:
            return []
        there = self.id_log.there(stream)
        return [
            id_
            for id_ in era.ids
            if id_ > track.position
            and id_ in there
            and (id_ > track.excused or self.id_log.survived(stream, id_, track.since))
        ]


class TrimsAnnounced(Oracle):
    """*Consumer, trimmed under us, or replaced*: ``Gap`` before the next entry, at the latest after the batch during which it happened.

    With an exact count, where ``entries-added`` tells; ``certain`` only where something was lost. A possible loss is told only where
    the entry that was read last may be gone: of a place that was given as an id, or where the stream has begun anew or gone back,
    its counters were set, or single entries were deleted. Where nothing was lost, that is a false alarm, which the contract
    allows; they are counted. A loss that nothing on the server shows need not be told: see ``hidden``; such losses are counted,
    too.
    """

    def __init__(self, world: World, id_log: IdLog) -> None:
        super().__init__(world)
        self.id_log = id_log
        self.readers: list[Judged] = []

    def handed(self, reader: Judged, stream: bytes, keys: list[Key]) -> None:
        """A reader is handed a batch: losses that the batch before has passed should have been told."""
        track = reader.tracks[stream]
        if reader.habits.merge is None:  # what is merged comes in pieces
            late = [key for key in track.losses.due if key in track.losses.open and key not in keys]
            if late and (found := self._untold(reader, stream, late)):
                self.violated(found)
        track.losses.handed(keys)
        if track.losses.due:
            self._excuse(reader, stream)  # by what was seen until now; later looks show more

    def _untold(self, reader: Judged, stream: bytes, keys: list[Key]) -> str:
        track = reader.tracks[stream]
        keys = [key for key in keys if not self.id_log.is_there(stream, key)]
        if not keys or track.unwatched or track.lenient:
            return ""
        self._excuse(reader, stream)
        keys = [key for key in keys if key in track.losses.open]
        if not keys:
            return ""
        how = track.losses.open[keys[0]]
        return f"{reader.label} has passed {keys[0][1]} of {stream.decode()}, which was removed ({how}), and no Gap has told it"

    def looked(self, reader: Judged) -> None:
        """A reader has something to do; it may have looked at its streams."""
        for stream, track in reader.tracks.items():
            if track.losses.open and (seen := seen_by(reader.engine, stream)) is not track.losses.looked:
                track.losses.looked = seen
                self._excuse(reader, stream)

    def _excuse(self, reader: Judged, stream: bytes) -> None:
        losses = reader.tracks[stream].losses
        here = self.id_log.keys(stream, arrived(reader.engine, stream))
        found = hidden(losses, self.id_log, stream, seen_by(reader.engine, stream), here)
        if found is not None and found.keys:
            self.world.notes["hidden losses" if found.entries else "unseen streams"] += 1
            for key in found.keys:
                del losses.open[key]

    def told(self, reader: Judged, gap: Gap) -> None:
        """A reader hears of a gap."""
        track = reader.tracks.get(gap.stream)
        if track is None:
            return
        losses = track.losses
        here = self.id_log.keys(gap.stream, arrived(reader.engine, gap.stream))
        told = losses.told(gap, self.id_log.number(gap.stream), seen_by(reader.engine, gap.stream), here)
        if not told:
            self._check_alarm(reader, gap, losses)
        if gap.entries is not None and not (losses.doubtful or losses.resumed):
            trimmed = 0 if gap.before is None else sum(losses.open[key] in MUST for key in told)
            if not trimmed <= gap.entries <= len(losses.open):  # what was deleted before may be counted late
                self.violated(
                    f"{reader.label} hears of {gap}, and {trimmed} to {len(losses.open)} entries were removed"
                )
        for key in told:
            del losses.open[key]

    def _check_alarm(self, reader: Judged, gap: Gap, losses: Losses) -> None:
        """Nothing that we know of is told by this gap."""
        if gap.certain and not losses.doubtful and not any(covers(gap, id_) for _, id_ in losses.ever):
            self.violated(f"{reader.label} hears of {gap}, and nothing was lost")
        if not gap.certain:
            self.world.notes["false alarms"] += 1
            deleted = self.id_log.has_deleted(gap.stream)
            if not (losses.doubtful or losses.resumed or deleted):
                self.violated(f"{reader.label} hears of {gap}, and nothing is in doubt")

    def left(self) -> str:
        for reader in self.readers:
            for stream, track in reader.tracks.items():
                keys = track.losses.passed((track.era, track.position))
                if keys and (found := self._untold(reader, stream, keys)):
                    return found
        return ""


class RewindsAnnounced(Oracle):
    """*Consumer, failover that loses*: the stream's last id is below the cursor: ``StreamReset``."""

    def __init__(self, world: World, id_log: IdLog) -> None:
        super().__init__(world)
        self.id_log = id_log
        self.readers: list[Judged] = []

    def left(self) -> str:
        for reader in self.readers:
            for stream, track in reader.tracks.items():
                if not (track.unwatched or track.lenient) and self.id_log.last(stream) < track.position:
                    return f"{reader.label} is at {track.position} of {stream.decode()}, which ends before, and was not told"
        return ""


class ReaderBounded(Oracle):
    """*Consumer, slow consumer*: pull only; prefetch bounded by entries and bytes."""

    def taken(self, reader: Judged, at_once: Counter[bytes]) -> None:
        """A reader has taken batches, without anything coming in between."""
        most = reader.habits.prefetch + 2
        if reader.habits.merge is None and max(at_once.values()) > most:
            self.violated(
                f"{reader.label} had {max(at_once.values())} batches of a stream ahead, and {most} are plenty"
            )


@dataclass
class ReaderInvariants:
    """All of them, as readers tell them."""

    invented: ReadsWhatWas
    cursor: CursorIsHandedOver
    skipped: ReadsEachOnce
    trims: TrimsAnnounced
    rewinds: RewindsAnnounced
    bounded: ReaderBounded
