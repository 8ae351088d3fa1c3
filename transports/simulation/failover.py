"""Failover: a replica that is late takes the server's place, and what it has not got is lost.

At first the former primary lives on as a replica of the new one, with its data: whoever was blocked there is sent away, whoever writes
is refused. Then the address is given to the new one, and the former one's connections end.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from transports.memory.model import Server

from .plan import Fault
from .scene import Kind, Scene
from .server_faults import faults_of


def fail_over(scene: Scene, fault: Fault) -> None:
    """A replica has begun to fall behind; it is promoted a little later."""
    host = scene.host
    old = host.server
    if not host.is_up or host.paused or old.replication.replicas or old.replication.primary is not None:
        return
    lag = fault.a**2 * 0.6
    replica = Server(old.flavour, now=scene.world.now, entropy=scene.world.lots(f"replica {fault.index}").randbytes)
    replica.skew, replica.output_limit = old.skew, max(old.output_limit or 0, 40_000)
    replica.on_command = old.on_command
    replica.follow(old, scene.world.now, lag=lag)
    scene.world.after(0.05 + fault.b * 0.4, partial(_promote, scene, fault, old, replica))


def _promote(scene: Scene, fault: Fault, old: Server, replica: Server) -> None:
    host, world = scene.host, scene.world
    if host.server is not old or not host.is_up or host.paused or not world.faulty or not old.replication.replicas:
        old.replication.replicas.clear()  # it was killed meanwhile, say: nobody promotes what is out of touch with it
        return
    replica.handle_timeout(world.now)
    for stream in scene.streams:
        scene.rewind(stream)
    lost = replica.promote(world.now)
    old.follow(replica, world.now)
    host.flush()
    world.fault("failover", f"a replica takes over, and {lost} writes are lost")
    world.after(fault.c**2 * 0.3, partial(_move, scene, old, replica))


def _move(scene: Scene, old: Server, replica: Server) -> None:
    """The new primary gets the address."""
    host, world = scene.host, scene.world
    if host.server is not old:
        return
    if not world.faulty:
        old.promote(world.now)  # the failover is undone: both have the same data
    elif host.is_up:
        host.stop()
        host.start(replica)
        faults_of(scene)
    else:
        host.server = replica  # it is started when the former one would have been
        faults_of(scene)


KINDS: Final = {"failover": Kind(2, fail_over)}
