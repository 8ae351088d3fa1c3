"""Nodes that stand still: each node in use is asked whether it answers, also where nothing, or only a read that blocks, waits there."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import blpop, get, incr, ping
from streamcore.connection.link import Link
from streamcore.events import Connected, Disconnected
from streamcore.options import Address
from streamcore.topology_events import NodeSuspected
from tests.core.support.cluster_client import KEY, SLOT, Play, address, ignored, read_from
from tests.core.support.clusters import KEYS, Rig, Topologies
from tests.core.support.slots import Following


def warm(rig: Rig) -> None:
    """Open a link to every primary."""
    for key in KEYS:
        assert rig.ask(incr(key)).answer() == 1
    rig.advance(0.5)


def suspected(rig: Rig, most: float) -> float:
    """Let time pass until a node is suspected; return the seconds."""
    for step in range(1, round(most * 20) + 1):
        rig.advance(0.05)
        if rig.events(NodeSuspected):
            return step / 20
    raise AssertionError("no node was suspected")


@pytest.mark.parametrize(("options", "most"), [({}, 3.1), ({"node_keepalive": 0.5}, 1.6)])
def test_an_idle_node_that_stands_still_is_found_and_left(options: dict[str, Any], most: float) -> None:
    rig = Rig(**options)
    warm(rig)
    owner = rig.owner("a")
    rig.model.pause(owner)
    assert suspected(rig, most) > most - 1.1
    rig.model.failover(rig.model.replica_of(owner))
    rig.advance(1.1)
    assert rig.link(owner) is None
    request = rig.ask(incr("a"))
    assert request.answer() == 2, "nothing was ever sent to the node that stands still"


def test_the_connections_of_other_nodes_are_left_alone() -> None:
    rig = Rig()
    warm(rig)
    owner = rig.owner("a")
    rig.events(Disconnected)
    rig.model.pause(owner)
    suspected(rig, 3.1)
    rig.model.failover(rig.model.replica_of(owner))
    rig.advance(2.0)
    assert {event.address for event in rig.events(Disconnected)} == {address(owner)}


def test_an_idle_node_costs_a_ping_each_two_seconds() -> None:
    rig = Rig()
    warm(rig)
    pings: list[float] = []
    node = rig.owner("a")
    node.on_command = lambda _, words: pings.append(rig.model.now) if words == [b"PING"] else None
    rig.advance(20.0)
    assert 9 <= len(pings) <= 10


def test_a_node_that_answers_late_is_kept() -> None:
    rig = Rig()
    warm(rig)
    owner = rig.owner("a")
    link = rig.link(owner)
    rig.model.pause(owner)
    suspected(rig, 3.1)
    rig.model.resume(owner)
    asked = Topologies(rig.model)
    rig.advance(3.0)
    assert rig.link(owner) is link
    assert link.is_up
    asked.take()
    rig.advance(3.0)
    assert asked.take() == 0, "there is nothing to ask for any more"


def test_what_goes_anywhere_goes_elsewhere_at_once() -> None:
    rig = Rig()
    warm(rig)
    main = next(link for link in rig.client.links() if link.name == "main")
    assert isinstance(main.address, Address)
    node = rig.model.at("127.0.0.1", main.address.port)
    assert node is not None
    rig.model.pause(node)
    suspected(rig, 3.1)
    request = rig.ask(ping())
    rig.advance(0.05)
    assert request.answer() == b"PONG"
    assert str(main.address) != address(node)


# -- reads that block -----------------------------------------------------------------------------------------------------


def guards(links: Any) -> dict[str, Link]:
    return {str(link.address): link for link in links if link.name.startswith("guard") and link.wants_connection}


def test_a_read_that_blocks_does_not_hide_its_node() -> None:
    story = Following(("a", "b"), block=10.0)
    story.work(2.5)
    node = story.cluster.owner("a")
    assert guards(story.consumer.links()).keys() == {str(story.address("a")), str(story.address("b"))}
    story.cluster.pause(node)
    story.work(3.1)
    assert [event.address for event in story.events if isinstance(event, NodeSuspected)] == [address(node)]
    story.cluster.failover(story.cluster.replica_of(node))
    story.append("a", 1)
    assert story.work(1.2) == [("a", 1)]
    story.work(1.5)
    assert guards(story.consumer.links()).keys() == {str(story.address("a")), str(story.address("b"))}
    assert story.alarms == []


def test_a_guard_goes_with_the_last_link_of_its_node() -> None:
    story = Following(("a", "b"))
    story.work(2.5)
    assert len(guards(story.consumer.links())) == 2
    gone = str(story.address("a"))
    story.consumer.remove_stream("a")
    story.work(3.0)
    assert gone not in guards(story.consumer.links())
    assert len(guards(story.consumer.links())) == 1


def test_a_command_that_blocks_has_a_guard_unless_its_node_is_in_use() -> None:
    play = Play()
    lease = play.lease(blpop(KEY, timeout=30))
    lease.submit([blpop(KEY, timeout=30)], ignored)
    play.engine.on_wakeup()
    play.net.advance(2.5)
    assert guards(play.engine.links()).keys() == {address(play.owner)}
    assert play.answer(play.engine, get(KEY)) == [None]
    play.net.advance(2.5)
    assert guards(play.engine.links()) == {}
    assert play.links("lease") == {"lease-1": address(play.owner)}


# -- attempts that are given up ---------------------------------------------------------------------------------------------


def test_an_attempt_that_is_given_up_for_another_node_is_no_failure() -> None:
    play = Play()
    play.net.pair.dials = False
    lease = play.lease(read_from(KEY))
    lease.submit([read_from(KEY)], ignored)
    play.engine.on_wakeup()
    play.net.advance(0.2)
    play.cluster.move_slot(SLOT, play.stranger)
    play.engine._map._refresher.want()
    play.engine.on_wakeup()
    play.net.advance(0.2)
    play.net.pair.dials = True
    play.net.advance(0.2)
    assert play.links("lease") == {"lease-1": address(play.owner)}
    assert play.told("lease-1") == [Connected]
