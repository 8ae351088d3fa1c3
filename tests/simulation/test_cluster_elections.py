"""The elections of the simulator's cluster, where views of nodes differ: none loses a slot, or its keys, by itself."""

from __future__ import annotations

import pytest

from streamcore.testing.model import VALKEY9
from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.model.cluster.keys import slot_of
from streamcore.testing.model.cluster.node import Node
from transports.simulation.context import Scene
from transports.simulation.faults.cluster import NODE_TIMEOUT, fail_over, promote
from transports.simulation.faults.slots import owners, primaries, replica, way
from transports.simulation.world.cluster_site import ClusterSite
from transports.simulation.world.driver import World
from transports.simulation.world.plan import Fault
from transports.simulation.world.stream_log import StreamLog

KEY = b"{a}k"
SLOT = slot_of(KEY)


class Stage:
    """A cluster whose nodes hear of each other only where a fault sees to it. ``source`` has the key, and its slot."""

    def __init__(self) -> None:
        world = World(1)
        cluster = ModelCluster(flavour=VALKEY9, now=world.now, gossip_delay=lambda *_: None, node_timeout=NODE_TIMEOUT)
        self.site = ClusterSite(world, cluster)
        self.scene = Scene(world, self.site, StreamLog(self.site), [], used=[SLOT])
        self.site.do(b"SET", KEY, b"1")
        self.source = self.owner()
        self.target, self.other = (node for node in cluster.primaries() if node is not self.source)

    def owner(self) -> Node:
        found = self.site.owner(SLOT)
        assert found is not None
        return found

    def replica_of(self, primary: Node) -> Node:
        return next(node for node in self.site.hosts if node.view.myself.primary == primary.id)

    def demote(self, node: Node) -> None:
        """The replica of a node takes its place, and the node has not heard of it."""
        heir = self.replica_of(node)
        heir.view.current_epoch = 100
        self.site.cluster.bus.promote(heir)


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_heir_that_has_missed_slots_of_its_primary_gets_them_all_the_same(is_killed: bool) -> None:
    stage = Stage()
    heir = replica(stage.site, stage.source)
    assert heir is not None
    stage.target.view.bump()
    heir.view.current_epoch = heir.view.members[stage.target.id].epoch = stage.target.view.myself.epoch
    heir.view.assign([SLOT], stage.target.id)
    if is_killed:
        stage.site.tell_time()  # its replica has the key
        stage.site.hosts[stage.source].stop()  # before it hears what its replica has heard
        stage.site.cluster.crash(stage.source)
        assert promote(stage.scene, stage.source, heir) == 0
    else:
        lot = owners(stage.site).index(stage.source) / 3
        assert fail_over(stage.scene, Fault(0, 0.0, "", lot, 0.0, 0.0)) is not None
    assert stage.owner() is heir
    assert stage.site.value(KEY) is not None


def test_no_slot_goes_to_a_node_that_hears_it_is_a_replica_now() -> None:
    stage = Stage()
    stage.demote(stage.target)
    found = [node for node in primaries(stage.site) if node is not stage.source]
    assert way(stage.site, SLOT, found.index(stage.target) / len(found)) is None


def test_a_primary_that_hears_it_has_lost_its_last_slot_has_no_heir() -> None:
    stage = Stage()
    stage.target.view.current_epoch = 100
    stage.target.view.bump()
    stage.target.view.assign(stage.source.view.slots_of(stage.source.id), stage.target.id)
    assert replica(stage.site, stage.source) is None
    assert stage.source.view.myself.primary == stage.target.id


def test_a_replica_that_has_heard_of_another_primary_is_not_elected() -> None:
    stage = Stage()
    heir = stage.replica_of(stage.source)
    stage.site.kill(stage.source)
    heir.view.myself.primary = stage.target.id
    assert promote(stage.scene, stage.source, heir) is None
    assert heir.view.myself.primary == stage.target.id
