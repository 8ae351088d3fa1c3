"""The scenario of channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..consumer.id_log import IdLog
from .invariants import NoHoleNoDuplicate, PublishedOnce
from .programs import PREFIX, ChannelPublisher, ChannelSubscribers
from .strange_channel import ROOM, disturb

if TYPE_CHECKING:
    from ...context import Scene
    from ...world.invariants import EventsInOrder
    from ...world.plan import Size

CHANNELS: Final = ("x", "y")


def add_channels(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add publishers and subscribers of channels to the scene."""
    world = scene.world
    world.notes["retention"] = world.lots("cast of the audience").choice([2, 5, 20, 10_000])
    streams = [f"{PREFIX}_{channel}".encode() for channel in CHANNELS]
    scene.streams += streams
    id_log = IdLog(scene.history, streams)
    scene.removing.append(id_log.removing)
    scene.dropping.append(id_log.dropping)
    scene.rewinding.append(id_log.rewinding)
    scene.running.append(id_log.before_command)
    if world.lots("is there a strange channel").random() < 0.3:
        world.notes["strange"] = 1
        disturb(scene, f"{PREFIX}_{ROOM}".encode())
    once, holes = PublishedOnce(world, id_log), NoHoleNoDuplicate(world, id_log)
    scene.oracles += [once, holes]
    for number in range(1, size.senders + 1):
        publisher = ChannelPublisher(world, number, once, size.entries // size.senders // 2, size.seconds)
        scene.enter(publisher)
    for number in range(1, size.members):
        subscribers = ChannelSubscribers(world, number, holes, events)
        scene.rewinding.append(subscribers.rewinding)
        scene.enter(subscribers)
