"""The scenario of readers without a group, and the producers that feed them."""

from __future__ import annotations

from dataclasses import replace

from ...context import Scene
from ...world.invariants import EventsInOrder
from ...world.plan import Size
from ..group.delivery_log import DeliveryLog
from ..producer import AtMostOneCopy, HeardIsHeard, IdMeansThere, Sender, SendsEnd
from .habits import ReaderHabits
from .id_log import IdLog
from .invariants import (
    CursorIsHandedOver,
    ReaderBounded,
    ReaderInvariants,
    ReadsEachOnce,
    ReadsWhatWas,
    RewindsAnnounced,
    TrimsAnnounced,
)
from .reader import Reader


def add_readers(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add readers and producers to the scene, with the invariants that judge them."""
    lots = scene.world.lots("cast of readers")
    streams = [b"s", b"t", b"u"][: lots.choice([1, 2, 3])]
    _add_readers(scene, size, events, streams, [ReaderHabits.drawn(lots, streams) for _ in range(size.members)])


def add_spread_readers(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """The same in a cluster, with streams in several slots, two of them in a common slot."""
    lots = scene.world.lots("cast of readers")
    streams = lots.sample([b"{a}s", b"{a}t", b"{b}u", b"{c}v"], lots.choice([2, 3, 4]))
    drawn = [ReaderHabits.drawn(lots, streams) for _ in range(size.members)]
    # Each node has its own clock.
    _add_readers(scene, size, events, streams, [replace(habits, merge=None) for habits in drawn])


def _add_readers(
    scene: Scene, size: Size, events: EventsInOrder, streams: list[bytes], cast: list[ReaderHabits]
) -> None:
    world = scene.world
    id_log, oracles = judged(scene, streams)
    for number, habits in enumerate(cast, 1):
        add_reader(scene, f"reader-{number}", id_log, habits, oracles, events)
    judges = AtMostOneCopy(world, scene.history), IdMeansThere(world), SendsEnd(world), HeardIsHeard(world)
    scene.oracles += judges
    log = DeliveryLog(world, scene.history, b"", streams)
    for number in range(1, size.senders + 1):
        entries = size.entries // size.senders
        sender = Sender(
            world, f"p{number}", log, streams[number % len(streams)], (entries, size.seconds), judges, events
        )
        scene.enter(sender)


def judged(scene: Scene, streams: list[bytes]) -> tuple[IdLog, ReaderInvariants]:
    """Add streams to the scene; the log of their entries, and the invariants of their readers."""
    world = scene.world
    scene.streams += [one for one in streams if one not in scene.streams]
    id_log = IdLog(scene.history, streams)
    oracles = ReaderInvariants(
        ReadsWhatWas(world),
        CursorIsHandedOver(world),
        ReadsEachOnce(world, id_log),
        TrimsAnnounced(world, id_log),
        RewindsAnnounced(world, id_log),
        ReaderBounded(world),
    )
    scene.oracles += [oracles.skipped, oracles.trims, oracles.rewinds]
    scene.running.append(id_log.before_command)
    scene.removing.append(id_log.removing)
    scene.dropping.append(id_log.dropping)
    scene.rewinding.append(id_log.rewinding)
    scene.rewound.append(id_log.rewound)
    return id_log, oracles


def add_reader(
    scene: Scene, name: str, id_log: IdLog, habits: ReaderHabits, oracles: ReaderInvariants, events: EventsInOrder
) -> None:
    """Add a reader to the scene."""
    reader = Reader(scene.world, name, id_log, habits, oracles, events)
    oracles.trims.readers.append(reader)
    oracles.rewinds.readers.append(reader)
    scene.removing.append(reader.removing)
    scene.dropping.append(reader.dropping)
    scene.rewinding.append(reader.rewinding)
    scene.setting.append(reader.unsettle)
    scene.enter(reader)
