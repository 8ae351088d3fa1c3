"""What the oracles of subscribers know of one name that is subscribed to twice."""

from __future__ import annotations

import pytest

from streamcore.pubsub import Kind, Message
from transports.memory.model import Server
from transports.simulation.history import History
from transports.simulation.host import Host
from transports.simulation.listener import Listener, Name
from transports.simulation.listener_oracles import cast_listeners
from transports.simulation.oracles import EventsInOrder
from transports.simulation.plan import Size
from transports.simulation.program import ADDRESS
from transports.simulation.scene import Scene
from transports.simulation.world import Violation, World

NAME: Name = (Kind.CHANNEL, b"b")


@pytest.mark.parametrize(("number", "handled", "is_wrong"), [(7, False, False), (8, False, True), (7, True, False)])
def test_what_lies_in_the_inbox_is_of_the_subscription_before(number: int, handled: bool, is_wrong: bool) -> None:
    """Seed 2017862: that had no handler, and this one has."""
    world = World(3)
    host = Host(world, Server(now=world.now))
    world.hosts[str(ADDRESS)] = host
    cast_listeners(Scene(world, host, History(host), []), Size(), EventsInOrder(world))
    listener = next(one for one in world.programs if isinstance(one, Listener))
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
