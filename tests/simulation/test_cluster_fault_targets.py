"""The faults of a cluster: each finds fit nodes, and does what it says."""

from __future__ import annotations

from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.model.cluster.keys import slot_of
from transports.simulation.context import Scene
from transports.simulation.faults.cluster import promote
from transports.simulation.faults.slots import finish_moves, move_slot, owners, primaries, victim
from transports.simulation.world.cluster_site import ClusterSite
from transports.simulation.world.driver import World
from transports.simulation.world.plan import Fault
from transports.simulation.world.stream_log import StreamLog

STREAM = b"{a}t"
SLOT = slot_of(STREAM)


def stage() -> Scene:
    """A cluster whose gossip comes by itself never, and a stream whose slot is that of the third node."""
    world = World(0)
    site = ClusterSite(world, ModelCluster(now=world.now, gossip_delay=lambda _source, _target: None))
    site.do(b"XADD", STREAM, b"1-1", b"n", b"p1:1")
    return Scene(world, site, StreamLog(site), [STREAM])


def fault(a: float = 0.0, b: float = 0.0, c: float = 0.0) -> Fault:
    return Fault(0, 0.0, "", a, b, c)


def test_a_slot_that_is_brought_in_before_trouble_is_claimed_by_the_heir() -> None:
    scene = stage()
    site, nodes = scene.site, scene.site.cluster.nodes
    assert move_slot(scene, fault()) is not None
    target = site.moves[SLOT].target
    finish_moves(scene, target)
    assert not site.moves
    site.tell_time()  # its replica repeats the writes
    site.kill(target)
    promote(scene, target, site.cluster.replica_of(target))
    assert site.holder(STREAM) is nodes[nodes.index(target) + 3]
    assert scene.history.is_there(STREAM, (1, 1), b"p1:1")


def test_a_former_primary_that_has_not_heard_of_its_heir_gets_no_slot() -> None:
    scene = stage()
    site, nodes = scene.site, scene.site.cluster.nodes
    site.kill(nodes[0])
    promote(scene, nodes[0], nodes[3])
    site.cluster.restart(nodes[0])  # and no other node tells it anything
    site.hosts[nodes[0]].start(nodes[0])
    site.busy.clear()
    assert primaries(site)[0] is nodes[0], "it takes itself for a primary"
    assert move_slot(scene, fault()) is None
    assert nodes[0].view.myself.primary == nodes[3].id
    assert move_slot(scene, fault()) is not None


def test_a_shard_has_trouble_of_a_kind_at_a_time_also_when_it_has_an_heir() -> None:
    scene = stage()
    site, nodes = scene.site, scene.site.cluster.nodes
    site.busy[nodes[0]] = nodes[0]
    site.pause(nodes[0])
    assert owners(site) == [nodes[1], nodes[2]]
    assert victim(site, 0.0) is None, "the others would be no majority"
    promote(scene, nodes[0], nodes[3])
    assert owners(site) == [nodes[1], nodes[2]]
    assert victim(site, 0.0) is nodes[1]
