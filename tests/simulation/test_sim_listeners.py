"""What the oracles of subscribers know: of a name that is subscribed to twice, of a channel that began anew."""

from __future__ import annotations

import pytest

from streamcore import StreamId
from streamcore.events import StreamReset
from streamcore.pubsub import Kind, Message
from streamcore.testing.model import Server
from transports.simulation.context import Scene
from transports.simulation.workloads.channels.workload import Listeners, Seat, cast_audience
from transports.simulation.workloads.pubsub.records import Name
from transports.simulation.workloads.pubsub.subscriber import Listener
from transports.simulation.workloads.pubsub.workload import cast_listeners
from transports.simulation.world.actor import ADDRESS
from transports.simulation.world.driver import World
from transports.simulation.world.invariants import EventsInOrder
from transports.simulation.world.plan import Size
from transports.simulation.world.scheduler import Violation
from transports.simulation.world.server_host import Host
from transports.simulation.world.stream_log import ZERO, History, fields_of

NAME: Name = (Kind.CHANNEL, b"b")


def stage() -> Scene:
    world = World(3)
    host = Host(world, Server(now=world.now))
    world.hosts[str(ADDRESS)] = host
    return Scene(world, host, History(host), [])


@pytest.mark.parametrize(("number", "handled", "is_wrong"), [(7, False, False), (8, False, True), (7, True, False)])
def test_what_lies_in_the_inbox_is_of_the_subscription_before(number: int, handled: bool, is_wrong: bool) -> None:
    """Seed 2017862: that had no handler, and this one has."""
    scene = stage()
    world = scene.world
    cast_listeners(scene, Size(), EventsInOrder(world))
    listener = next(one for one in scene.programs if isinstance(one, Listener))
    listener.start()
    listener.tower.published[False, b"b"] = 7
    for share in (0.0, 1.0):
        listener.ear = type(listener.ear)(10, "block", share, 0.0)
        listener._subscribe([NAME])
        listener.wanted.clear()
    listener.tower.published[False, b"b"] = 8
    message = Message("message", b"b", None, b"%d " % number)
    heard = listener.oracles.silent.heard
    if is_wrong:
        with pytest.raises(Violation, match="is not given to a handler"):
            heard(listener, NAME, message, handled=handled)
    else:
        heard(listener, NAME, message, handled=handled)


def test_what_is_gone_when_a_channel_is_told_to_have_begun_anew_need_not_be_told() -> None:
    """Seed 2021434: the place where a listener resumed was one of the channel before."""
    scene, stream = stage(), b"c_x"
    cast_audience(scene, Size(), EventsInOrder(scene.world))
    listeners = next(one for one in scene.programs if isinstance(one, Listeners))
    seat = listeners.seats["first", stream] = Seat((9, 0))

    def trim(kept: int) -> None:
        scene.remove(stream, list(scene.history.stream(stream).ids)[:-kept], "XTRIM")
        scene.host.do(b"XTRIM", stream, b"MAXLEN", b"%d" % kept)

    for number in range(1, 5):
        scene.host.do(b"XADD", stream, b"%d-1" % number, *fields_of(b"m:%d" % number))
    trim(2)
    listeners._heard(None, "first", StreamReset(stream, StreamId(9), StreamId(4, 1)))
    assert seat.position == ZERO
    trim(1)
    listeners.oracle.handed("first", stream, seat, (4, 1), b"m:4")
    assert seat.untold == [(3, 1)]
