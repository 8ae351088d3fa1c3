"""The cast of subscribers, and the publisher."""

from __future__ import annotations

from ...context import Scene
from ...world.invariants import EventsInOrder
from ...world.plan import Size
from .invariants import HandlersKept, InboxBounded, ListenerOracles, NeverSilent
from .records import Ear, Tower
from .subscriber import Listener


def cast_listeners(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Put subscribers on the stage, and somebody who publishes."""
    world = scene.world
    lots = world.lots("cast of listeners")
    scene.host.server.output_limit = 40_000
    oracles = ListenerOracles(NeverSilent(world), HandlersKept(world), InboxBounded(world))
    tower = Tower(scene)
    for number in range(1, size.members + 2):
        listener = Listener(world, f"listener-{number}", tower, Ear.drawn(lots), oracles, events)
        scene.enter(listener)
