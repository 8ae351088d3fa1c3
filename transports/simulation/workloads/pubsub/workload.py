"""The scenario of subscribers and their publisher."""

from __future__ import annotations

from streamcore.testing.model.cluster.keys import slot_of

from ...context import Scene
from ...world.invariants import EventsInOrder
from ...world.plan import Size
from .invariants import HandlersKept, InboxBounded, NeverSilent, SubscriberInvariants
from .records import CHANNELS, Publisher, SubscriberHabits
from .subscriber import Subscriber


def add_subscribers(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add subscribers and a publisher to the scene."""
    world = scene.world
    scene.used += [slot_of(name) for name in CHANNELS]
    lots = world.lots("cast of listeners")
    scene.store.limit_output(40_000)
    oracles = SubscriberInvariants(NeverSilent(world), HandlersKept(world), InboxBounded(world))
    publisher = Publisher(scene)
    for number in range(1, size.members + 2):
        subscriber = Subscriber(world, number, publisher, SubscriberHabits.drawn(lots), oracles, events)
        scene.enter(subscriber)
