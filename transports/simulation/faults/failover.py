"""Failover: a replica that is late takes the server's place, and writes that it has not got are lost.

At first the former primary lives on as a replica of the new primary, with its data: readers that were blocked there are sent away, writers
are refused. Then the address is given to the new primary, and the former primary's connections end. The new clock may be behind, so that
ids are given that the former primary has given already; and entries that were deleted a moment ago may be there again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from streamcore.testing.model import Server

from ..context import Kind, Scene
from ..world.plan import Fault
from .data import delete_pending
from .server import faults_of

T = TypeVar("T")


def replica_of(scene: Scene, old: Server, lots: str, *, lag: float) -> Server:
    """A new replica of a server, which has its present data, and repeats each write after ``lag`` seconds."""
    replica = Server(old.flavour, now=scene.world.now, entropy=scene.world.lots(lots).randbytes)
    replica.skew, replica.output_limit = old.skew, max(old.output_limit or 0, 40_000)
    replica.on_command = old.on_command
    replica.follow(old, scene.world.now, lag=lag)
    return replica


def fail_over(scene: Scene, fault: Fault) -> None:
    """A replica has begun to fall behind; it is promoted a little later."""
    _begin(scene, fault, fault.a**2 * 0.6, behind=0.0)


def fail_over_into_the_past(scene: Scene, fault: Fault) -> None:
    """The same, and the clock of the replica is behind by more than that."""
    lag = fault.a * 0.3
    _begin(scene, fault, lag, behind=lag + fault.b)


def fail_over_after_deletion(scene: Scene, fault: Fault) -> None:
    """The same, and something that was pending is deleted before, of which the replica does not hear."""
    if _begin(scene, fault, 0.6, behind=0.0):
        scene.world.after(fault.b * 0.4, partial(delete_pending, scene, fault))


def _begin(scene: Scene, fault: Fault, lag: float, *, behind: float) -> bool:
    host = scene.host
    old = host.server
    if not host.is_up or host.paused or old.replication.replicas or old.replication.primary is not None:
        return False
    replica = replica_of(scene, old, f"replica {fault.index}", lag=lag)
    replica.skew -= behind
    scene.world.after(0.05 + fault.b * 0.4, partial(_promote, scene, fault, old, replica))
    return True


def promote(scene: Scene, old: Server, replica: Server) -> int:
    """Make the replica the primary, and its former primary follow it; how many writes are lost."""
    now = scene.world.now
    replica.handle_timeout(now)

    def change_places() -> int:
        lost = replica.promote(now)
        old.follow(replica, now)
        return lost

    lost = losing(scene, scene.streams, change_places)
    scene.host.flush()
    return lost


def losing(scene: Scene, streams: Sequence[bytes], act: Callable[[], T]) -> T:
    """Let something happen by which streams go back to a former state, and note the entries that are lost with it."""
    logged = [(log, stream) for log in scene.delivery_logs for stream in log.streams if stream in streams]
    unread = [(log, stream, log.unread(stream)) for log, stream in logged]
    letters = [(log, stream, log.letters(stream)) for log, stream in logged]
    for stream in streams:
        scene.rewind(stream)
    result = act()
    for stream in streams:
        scene.end_rewind(stream)
    for log in scene.delivery_logs:
        log.losses.go_back()
    for log, stream, ids in unread:
        there = scene.history.stream(stream).fields
        log.losses.add(stream, *(one for one in ids if one not in there))
    for log, stream, names in letters:
        log.lost_letters |= names - log.letters(stream)
        log.failed_over(stream)
    return result


def _promote(scene: Scene, fault: Fault, old: Server, replica: Server) -> None:
    host, world = scene.host, scene.world
    if host.server is not old or not host.is_up or host.paused or not world.faulty or not old.replication.replicas:
        old.replication.replicas.clear()  # it was killed meanwhile, say: nobody promotes what is out of touch with it
        return
    lost = promote(scene, old, replica)
    late = old.skew - replica.skew
    clock = f", and its clock is {late:.2f} s behind" if late > 0 else ""
    world.fault(fault.kind, f"a replica takes over, and {lost} writes are lost{clock}")
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
GROUP_KINDS: Final = {
    **KINDS,
    "failover into the past": Kind(1, fail_over_into_the_past),
    "failover after a deletion": Kind(1, fail_over_after_deletion),
}
