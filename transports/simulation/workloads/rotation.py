"""Clients whose login rotates, and the invariant that a healthy connection renews it in time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from streamcore import ConnectFailed, StreamcoreError
from streamcore.options import Login
from transports._facade._async import Client
from transports.address import Target

from ..world.actor import ADDRESS, OPTIONS
from ..world.async_runtime import Driver, Process
from ..world.invariants import Oracle
from ..world.issuer import Issuer
from .application import Seeded
from .client import AllOrNothing, AnsweredInTime, ClientProgram, ExecutedAsTold, RepliesBelong

if TYPE_CHECKING:
    from ..context import Scene
    from ..world.driver import World
    from ..world.invariants import EventsInOrder
    from ..world.plan import Size


class RenewsInTime(Oracle):
    """*All interfaces*: a connection renews its login before that ends, where nothing hinders it."""

    def __init__(self, world: World, issuer: Issuer, scene: Scene) -> None:
        super().__init__(world)
        self._issuer = issuer
        self._scene = scene

    def look(self) -> None:
        world, wires = self.world, self._scene.host.wires
        for session in [] if world.faulty else self._issuer.ended():
            wire = wires.get(session)
            if self._issuer.logins[session] > world.healed_at and wire is not None and wire.node is not None:
                self.violated(f"{wire.label} has not renewed its login, and nothing was wrong")

    def left(self) -> str:
        return "" if self._issuer.renewed > 2 else "no login was renewed"


class RotatingClientProgram(ClientProgram):
    """A client's program whose login rotates. No refusal of it is for ever."""

    def expects(self, error: StreamcoreError) -> bool:
        return super().expects(error) and not (isinstance(error, ConnectFailed) and error.permanent)

    def connect(self, process: Process) -> Client:
        target = Target(ADDRESS, Login(rotates=True))
        return Client(partial(Driver, process), Seeded(target, OPTIONS, given=self.named_engine_options()))


def add_rotating_clients(scene: Scene, size: Size, events: EventsInOrder) -> None:
    """Add clients to the scene, and the issuer of their tokens."""
    world = scene.world
    issuer = world.issuer = Issuer(world, scene.host)
    scene.running.append(issuer.before_command)
    judges = RepliesBelong(world), ExecutedAsTold(world, scene), AnsweredInTime(world)
    scene.oracles += [*judges, AllOrNothing(world, scene), RenewsInTime(world, issuer, scene)]
    for number in range(1, size.members + 1):
        scene.enter(RotatingClientProgram(world, number, judges, events))
