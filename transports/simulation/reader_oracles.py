"""What must hold of readers without a group, and their cast."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamcore import StreamId

from .book import Book
from .history import Id
from .ledger import Ledger
from .oracles import EventsInOrder, Oracle
from .reader import Reader, Taste
from .sender import AtMostOneCopy, HeardIsHeard, IdMeansThere, Sender, SendsEnd

if TYPE_CHECKING:
    from streamcore.events import Gap

    from .plan import Size
    from .scene import Scene
    from .world import World


class ReadsWhatWas(Oracle):
    """*Consumer*: each entry of H: what is handed over was in the stream, under that id, unaltered."""


class CursorIsHandedOver(Oracle):
    """*Consumer*: a saved ``cursor()`` is the last entry handed over, not the last one fetched."""


class ReadsEachOnce(Oracle):
    """*Consumer*: each entry of H after the cursor, once per instance, in id order per stream."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        super().__init__(world)
        self.ledger = ledger

    def handed(self, reader: Reader, stream: bytes, ids: list[Id]) -> None:
        """A reader is handed a batch."""
        era, track = self.ledger.note(stream), reader.tracks[stream]
        there = self.ledger.there(stream)
        before = track.position
        self._merged(reader, stream, ids)
        for id_ in ids:
            if id_ <= track.position:
                self.violated(f"{reader.label} is handed {id_} of {stream.decode()} behind {track.position}")
            track.position = id_
        reader.oracles.trims.next_batch(reader, stream)
        for id_ in set(era.between(before, ids[-1])).difference(ids):
            if track.lenient or (id_ <= track.excused and not era.survived(id_)):
                continue
            if id_ in there:
                self.violated(
                    f"{reader.label} was not handed {id_} of {stream.decode()}, which is there, before {ids[-1]}"
                )
            elif era.gone.get(id_) == "XTRIM" and before > track.excused:
                reader.oracles.trims.skips(reader, stream, id_)
        track.handed.update(ids)

    def _merged(self, reader: Reader, stream: bytes, ids: list[Id]) -> None:
        """With ``merge="id"``: in the order of their ids, as far as the server had them at the time of the read."""
        if reader.taste.merge is None or reader.taste.seeks:  # what is sought is behind what was handed over
            return
        if any(track.rewound for track in reader.tracks.values()):  # a stream may begin anew while it is being read
            return
        turns, highest = self.ledger.turns, reader.highest
        if highest is not None and ids[0] < highest[1] and turns[stream, ids[0]] < turns[highest]:
            what = f"{ids[0]} of {stream.decode()} after {highest[1]} of {highest[0].decode()}"
            self.violated(f"{reader.label} is handed {what}, which was appended later")
        if highest is None or ids[-1] > highest[1]:
            reader.highest = stream, ids[-1]

    def owed(self, reader: Reader, stream: bytes) -> list[Id]:
        """What is in the stream now and must come to the reader."""
        era, track = self.ledger.note(stream), reader.tracks[stream]
        if track.lenient:
            return []
        there = self.ledger.there(stream)
        return [
            id_
            for id_ in era.ids
            if id_ > track.position and id_ in there and (id_ > track.excused or era.survived(id_))
        ]


class TrimsAnnounced(Oracle):
    """*Consumer, trimmed under us*: ``Gap`` before the next entry, at the latest after the batch during which it happened.

    With an exact count, where ``entries-added`` tells.
    """

    def __init__(self, world: World, ledger: Ledger) -> None:
        super().__init__(world)
        self.ledger = ledger
        self.readers: list[Reader] = []

    def skips(self, reader: Reader, stream: bytes, id_: Id) -> None:
        """A reader has passed an entry that was trimmed."""
        track = reader.tracks[stream]
        if not track.unwatched and id_ not in track.told:
            track.owed.append(id_)
            track.errors = self._errors()

    def _errors(self) -> int:
        faults = self.world.faults
        return faults["error reply"] + faults["server unavailable"]

    def next_batch(self, reader: Reader, stream: bytes) -> None:
        """One more batch: what was passed before should have been told, unless the proof itself was answered by an error."""
        track = reader.tracks[stream]
        if (
            track.owed and reader.taste.merge is None and track.errors == self._errors()
        ):  # what is merged comes in pieces
            self._complain(reader, stream)

    def _complain(self, reader: Reader, stream: bytes) -> None:
        owed = reader.tracks[stream].owed
        self.violated(
            f"{reader.label} has passed {owed[0]} of {stream.decode()}, which was trimmed, and no Gap has told it"
        )

    def told(self, reader: Reader, gap: Gap) -> None:
        """A reader hears of a gap."""
        track = reader.tracks.get(gap.stream)
        if track is None:
            return
        era, before = self.ledger.note(gap.stream), track.told
        track.told = before.union(id_ for id_ in era.gone if _covers(gap, id_))
        track.owed = [id_ for id_ in track.owed if not _covers(gap, id_)]
        if gap.entries is not None and not track.rewound:
            known = before | track.handed | _arrived(reader.engine, gap.stream)
            lost = [id_ for id_ in era.gone if id_ not in known and id_ > track.began and _is_before(gap, id_)]
            trimmed = [id_ for id_ in lost if _covers(gap, id_) and era.gone[id_] == "XTRIM"]
            if not len(trimmed) <= gap.entries <= len(lost):  # what was deleted before may be counted late
                self.violated(f"{reader.label} hears of {gap}, and {len(trimmed)} to {len(lost)} entries were removed")

    def left(self) -> str:
        for reader in self.readers:
            for stream, track in reader.tracks.items():
                if track.owed and not track.unwatched:
                    return f"{reader.label} has passed {track.owed[0]} of {stream.decode()}, which was trimmed, untold"
        return ""


def _arrived(engine: Any, stream: bytes) -> set[Id]:
    """What has come of a stream and is not handed over yet: that is not missed, whatever has become of it since."""
    batches = [*engine._arrived, *(batch for batch, *_ in engine._prefetch._ready)]  # noqa: SLF001  # nobody else can know
    return {StreamId.parse(id_) for batch in batches if batch.key == stream for id_, _ in batch.raw}


class RewindsAnnounced(Oracle):
    """*Consumer, failover that loses*: the stream's last id is below the cursor: ``HistoryRewound``."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        super().__init__(world)
        self.ledger = ledger
        self.readers: list[Reader] = []

    def left(self) -> str:
        for reader in self.readers:
            for stream, track in reader.tracks.items():
                if not (track.unwatched or track.lenient) and self.ledger.last(stream) < track.position:
                    return f"{reader.label} is at {track.position} of {stream.decode()}, which ends before, and was not told"
        return ""


class ReaderBounded(Oracle):
    """*Consumer, slow consumer*: pull only; prefetch bounded by entries and bytes."""

    def taken(self, reader: Reader, at_once: Counter[bytes]) -> None:
        """A reader has taken batches, without anything coming in between."""
        most = reader.taste.prefetch + 2
        if reader.taste.merge is None and max(at_once.values()) > most:
            self.violated(
                f"{reader.label} had {max(at_once.values())} batches of a stream ahead, and {most} are plenty"
            )


@dataclass
class ReaderOracles:
    """All of them, as readers tell them."""

    invented: ReadsWhatWas
    cursor: CursorIsHandedOver
    skipped: ReadsEachOnce
    trims: TrimsAnnounced
    rewinds: RewindsAnnounced
    bounded: ReaderBounded


def _covers(gap: Gap, id_: Id) -> bool:
    return (gap.after.ms, gap.after.seq) < id_ and _is_before(gap, id_)


def _is_before(gap: Gap, id_: Id) -> bool:
    return gap.before is None or id_ < (gap.before.ms, gap.before.seq)


def cast_readers(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Put readers and producers on the stage, with the oracles that watch them."""
    world = scene.world
    lots = world.lots("cast of readers")
    streams = [b"s", b"t", b"u"][: lots.choice([1, 2, 3])]
    scene.streams += [one for one in streams if one not in scene.streams]
    ledger = Ledger(scene.history, streams)
    oracles = ReaderOracles(
        ReadsWhatWas(world),
        CursorIsHandedOver(world),
        ReadsEachOnce(world, ledger),
        TrimsAnnounced(world, ledger),
        RewindsAnnounced(world, ledger),
        ReaderBounded(world),
    )
    world.oracles += [oracles.skipped, oracles.trims, oracles.rewinds]
    scene.host.server.on_command = ledger.before_command
    scene.removing.append(ledger.removing)
    scene.rewinding.append(ledger.rewinding)
    for number in range(1, size.members + 1):
        reader = Reader(world, f"reader-{number}", ledger, Taste.drawn(lots, streams), oracles, events)
        oracles.trims.readers.append(reader)
        oracles.rewinds.readers.append(reader)
        scene.rewinding.append(reader.rewinding)
        world.at(world.now, reader.start)
    judges = AtMostOneCopy(world, scene.history), IdMeansThere(world), SendsEnd(world), HeardIsHeard(world)
    world.oracles += judges
    book = Book(world, scene.history, b"", streams)
    for number in range(1, size.senders + 1):
        entries = size.entries // size.senders
        sender = Sender(
            world, f"p{number}", book, streams[number % len(streams)], (entries, size.seconds), judges, events
        )
        world.at(world.now, sender.start)
