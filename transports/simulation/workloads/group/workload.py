"""The cast of a consumer group: members with their habits, a twin of the first, and the producers that feed them."""

from __future__ import annotations

from ...context import Scene
from ...world.invariants import EventsInOrder
from ...world.plan import Size
from ..producer import AtMostOneCopy, HeardIsHeard, IdMeansThere, Sender, SendsEnd
from .absent_streams import NotPutBack
from .application import Application
from .delivery_log import Book
from .gap_invariants import DamageTold, GapsAnnounced, GapsAreTrue, SilenceIsAProof
from .habits import Habits
from .invariants import (
    AttemptsSeen,
    GroupOracle,
    InFlightBounded,
    InOrder,
    LettersDeserved,
    NoNeedlessRepetition,
    NothingInvented,
    NothingLost,
    OnlySaidIsSettled,
)
from .member import Member
from .rights import DegradedTold, refuse_for_good
from .upkeep_budget import UpkeepBounded, WorkFirst

GROUP = b"g"


def cast_group(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Put members and producers on the stage, with the oracles that watch them."""
    _cast(scene, size, events, [Member])


def cast_applications(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """The same, where every other member is written with the async face."""
    _cast(scene, size, events, [Application, Member])


def _cast(scene: Scene, size: Size, events: EventsInOrder, kinds: list[type[Member]]) -> None:
    world = scene.world
    refuse_for_good(scene)
    lots = world.lots("cast of the group")
    streams = [b"s", b"t"][: lots.choice([1, 1, 2])]
    scene.streams += [one for one in streams if one not in scene.streams]
    book = Book(world, scene.history, GROUP, streams)
    scene.books.append(book)
    scene.running.append(book.before_command)
    max_deliveries = lots.choice([None, 2, 4])
    detect_gaps = lots.choice(["always", "audit", "audit"])

    letters = LettersDeserved(world, book, max_deliveries)
    damage, truth, silence = DamageTold(world, book), GapsAreTrue(world, book), SilenceIsAProof(world, book, events)
    scene.removing.append(book.removing)
    scene.dropping += [book.dropping, damage.dropping]
    scene.rewinding += [damage.rewinding, silence.rewinding, book.reset, letters.rewound]
    book.on_gap += [damage.heard, truth.heard]
    watch: list[GroupOracle] = [
        NothingInvented(world, book),
        InOrder(world, book),
        NoNeedlessRepetition(world, book),
        OnlySaidIsSettled(world, book),
        InFlightBounded(world, book),
        AttemptsSeen(world, book),
        letters,
        NothingLost(world, book),
        damage,
        truth,
        silence,
    ]
    if detect_gaps == "always":
        watch.append(GapsAnnounced(world, book))
    judges = AtMostOneCopy(world, scene.history), IdMeansThere(world), SendsEnd(world), HeardIsHeard(world)
    budget, first = UpkeepBounded(world), WorkFirst(world)
    gone = NotPutBack(world, book)
    scene.running += [budget.command, first.command, gone.command]
    scene.oracles += [*watch, *judges, budget, first, gone, DegradedTold(world, events, scene)]

    members, senders = min(size.members, lots.choice([2, 2, 3])), min(size.senders, lots.choice([1, 2]))
    for number in range(1, members + 1):
        habits = Habits.drawn(lots, streams, max_deliveries, detect_gaps)
        kind = kinds[(number - 1) % len(kinds)]
        member = kind(world, f"member-{number}", book, habits, watch, events)
        scene.enter(member)
    twin = Member(world, "twin", book, Habits.drawn(lots, streams, max_deliveries, detect_gaps), watch, events)
    twin.consumer, twin.is_twin = b"member-1", True
    scene.programs.append(twin)
    for number in range(1, senders + 1):
        entries = size.entries // senders
        stream = streams[number % len(streams)]
        sender = Sender(world, f"p{number}", book, stream, (entries, size.seconds), judges, events)
        scene.enter(sender)
