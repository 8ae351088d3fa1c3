"""The scenario of a consumer group: members with their habits, a twin of the first, and the producers that feed them."""

from __future__ import annotations

from random import Random

from ...context import Scene
from ...world.invariants import EventsInOrder
from ...world.plan import Size
from ..producer import AtMostOneCopy, HeardIsHeard, IdMeansThere, Sender, SendsEnd
from .absent_streams import NotPutBack
from .application import Application
from .delivery_log import DeliveryLog
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


def add_group(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add members and producers to the scene, with the invariants that judge them."""
    _add(scene, size, events, [Member])


def add_applications(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """The same, where every other member is written with the async face."""
    _add(scene, size, events, [Application, Member])


def add_spread_group(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """The same in a cluster, with streams in several slots, two of them in a common slot."""
    lots = scene.world.lots("spread of the group")
    streams = lots.sample([b"{a}s", b"{a}t", b"{b}u", b"{c}v", b"{d}w"], lots.choice([2, 3, 4]))
    _add_to(scene, size, events, [Member], streams, scene.world.lots("cast of the group"))


def _add(scene: Scene, size: Size, events: EventsInOrder, kinds: list[type[Member]]) -> None:
    refuse_for_good(scene)
    lots = scene.world.lots("cast of the group")
    streams = [b"s", b"t"][: lots.choice([1, 1, 2])]
    if size.streams is not None:
        streams = [b"s%d" % number for number in range(size.streams)]
    _add_to(scene, size, events, kinds, streams, lots)
    scene.oracles.append(DegradedTold(scene.world, events, scene))


def _add_to(
    scene: Scene,
    size: Size,
    events: EventsInOrder,
    kinds: list[type[Member]],
    streams: list[bytes],
    lots: Random,
) -> None:
    world = scene.world
    scene.streams += [one for one in streams if one not in scene.streams]
    log = DeliveryLog(world, scene.history, GROUP, streams)
    scene.delivery_logs.append(log)
    scene.running.append(log.before_command)
    max_deliveries = lots.choice([None, 2, 4])
    detect_gaps = lots.choice(["always", "audit", "audit"])

    letters = LettersDeserved(world, log, max_deliveries)
    damage, truth, silence = DamageTold(world, log), GapsAreTrue(world, log), SilenceIsAProof(world, log, events)
    scene.removing.append(log.removing)
    scene.dropping += [log.dropping, damage.dropping]
    scene.rewinding += [damage.rewinding, silence.rewinding, log.reset, letters.rewound]
    log.on_gap += [damage.heard, truth.heard]
    watch: list[GroupOracle] = [
        NothingInvented(world, log),
        InOrder(world, log),
        NoNeedlessRepetition(world, log),
        OnlySaidIsSettled(world, log),
        InFlightBounded(world, log),
        AttemptsSeen(world, log),
        letters,
        NothingLost(world, log),
        damage,
        truth,
        silence,
    ]
    if detect_gaps == "always":
        watch.append(GapsAnnounced(world, log))
    judges = AtMostOneCopy(world, scene.history), IdMeansThere(world), SendsEnd(world), HeardIsHeard(world)
    budget, first = UpkeepBounded(world), WorkFirst(world)
    gone = NotPutBack(world, log)
    scene.running += [budget.command, first.command, gone.command]
    scene.oracles += [*watch, *judges, budget, first, gone]

    members, senders = min(size.members, lots.choice([2, 2, 3])), size.streams or min(size.senders, lots.choice([1, 2]))
    for number in range(1, members + 1):
        habits = Habits.drawn(lots, streams, max_deliveries, detect_gaps)
        kind = kinds[(number - 1) % len(kinds)]
        member = kind(world, f"member-{number}", log, habits, watch, events)
        scene.enter(member)
    twin = Member(world, "twin", log, Habits.drawn(lots, streams, max_deliveries, detect_gaps), watch, events)
    twin.consumer, twin.is_twin = b"member-1", True
    scene.programs.append(twin)
    for number in range(1, senders + 1):
        entries = size.entries // senders
        stream = streams[number % len(streams)]
        sender = Sender(world, f"p{number}", log, stream, (entries, size.seconds), judges, events)
        scene.enter(sender)
