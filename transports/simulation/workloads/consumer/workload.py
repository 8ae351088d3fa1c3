"""The cast of readers without a group, and the producers that feed them."""

from __future__ import annotations

from ...context import Scene
from ...world.invariants import EventsInOrder
from ...world.plan import Size
from ..group.delivery_log import Book
from ..producer import AtMostOneCopy, HeardIsHeard, IdMeansThere, Sender, SendsEnd
from .habits import Taste
from .invariants import (
    CursorIsHandedOver,
    ReaderBounded,
    ReaderOracles,
    ReadsEachOnce,
    ReadsWhatWas,
    RewindsAnnounced,
    TrimsAnnounced,
)
from .reader import Reader
from .removals import Ledger


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
    scene.oracles += [oracles.skipped, oracles.trims, oracles.rewinds]
    scene.running.append(ledger.before_command)
    scene.removing.append(ledger.removing)
    scene.dropping.append(ledger.dropping)
    scene.rewinding.append(ledger.rewinding)
    for number in range(1, size.members + 1):
        reader = Reader(world, f"reader-{number}", ledger, Taste.drawn(lots, streams), oracles, events)
        oracles.trims.readers.append(reader)
        oracles.rewinds.readers.append(reader)
        scene.removing.append(reader.removing)
        scene.dropping.append(reader.dropping)
        scene.rewinding.append(reader.rewinding)
        scene.setting.append(reader.unsettle)
        scene.enter(reader)
    judges = AtMostOneCopy(world, scene.history), IdMeansThere(world), SendsEnd(world), HeardIsHeard(world)
    scene.oracles += judges
    book = Book(world, scene.history, b"", streams)
    for number in range(1, size.senders + 1):
        entries = size.entries // size.senders
        sender = Sender(
            world, f"p{number}", book, streams[number % len(streams)], (entries, size.seconds), judges, events
        )
        scene.enter(sender)
