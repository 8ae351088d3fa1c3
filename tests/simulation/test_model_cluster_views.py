"""Each node of a model cluster has its own view, and gossip brings them together; a claim of a higher epoch wins."""

from __future__ import annotations

from streamcore.commands import key_slot
from streamcore.testing.model.cluster import ModelCluster, Node
from tests.simulation.clusters import START, Client, asked

KEY = "{a}1"
SLOT = key_slot(KEY)


def never(_source: Node, _target: Node) -> None:
    """No gossip by itself."""


def moved(port: int) -> bytes:
    return b"-MOVED %d 127.0.0.1:%d" % (SLOT, port)


def owners(cluster: ModelCluster) -> list[int]:
    """The port of the slot's owner, in the view of each node."""
    found = [node.view.owner(SLOT) for node in cluster.nodes]
    return [0 if one is None else one.port for one in found]


def test_nodes_name_the_owner_that_they_know() -> None:
    cluster = ModelCluster(now=START, gossip_delay=never)
    cluster.move_slot(SLOT, cluster.nodes[0])
    assert owners(cluster) == [7000, 7002, 7000, 7002, 7002, 7002], "source and target know it"
    assert Client(cluster, cluster.nodes[1])("GET", KEY) == moved(7002)
    assert Client(cluster, cluster.nodes[2])("GET", KEY) == moved(7000)
    cluster.gossip(cluster.nodes[0], cluster.nodes[1])
    assert Client(cluster, cluster.nodes[1])("GET", KEY) == moved(7000)
    assert owners(cluster) == [7000, 7000, 7000, 7002, 7002, 7002]


def test_gossip_takes_its_time() -> None:
    delays = {7001: 0.5, 7004: 2.0}
    cluster = ModelCluster(now=START, gossip_delay=lambda _, target: delays.get(target.view.myself.port, 1.0))
    cluster.move_slot(SLOT, cluster.nodes[0])
    assert owners(cluster)[1] == 7002
    assert cluster.next_timeout() == START + 0.5
    cluster.handle_timeout(START + 0.5)
    assert owners(cluster) == [7000, 7000, 7000, 7002, 7002, 7002]
    cluster.handle_timeout(START + 1.0)
    assert owners(cluster) == [7000, 7000, 7000, 7000, 7002, 7000]
    cluster.handle_timeout(START + 2.0)
    assert set(owners(cluster)) == {7000}
    assert cluster.next_timeout() is None


def test_an_old_claim_is_answered_by_the_owners() -> None:
    cluster = ModelCluster(now=START, gossip_delay=never)
    old, new = cluster.nodes[2], cluster.nodes[5]
    cluster.crash(old)
    cluster.failover(new)
    cluster.gossip(new, cluster.nodes[0])
    cluster.restart(old)
    assert (owners(cluster)[0], owners(cluster)[2]) == (7005, 7002), "it does not know yet"
    cluster.gossip(old, cluster.nodes[0])
    assert owners(cluster)[2] == 7005
    assert old.view.myself.primary == new.id, "it has no slots any more, and becomes a replica"
    assert asked(Client(cluster, old), f"GET {KEY}") == [moved(7005)]


def test_a_slot_that_its_owner_has_ceased_to_claim_is_the_next_claimants() -> None:
    """The former owner has a newer epoch by now; but it is no answer to the claim of the new owner."""
    cluster = ModelCluster(now=START, gossip_delay=never)
    target, onlooker, source = cluster.nodes[:3]
    cluster.move_slot(SLOT, target)
    source.view.bump()
    cluster.gossip(source, onlooker)
    assert onlooker.view.unclaimed == {SLOT}
    assert owners(cluster)[1] == 7002, "it is redirected there still"
    cluster.gossip(target, onlooker)
    assert owners(cluster)[:3] == [7000, 7000, 7000]
    assert not onlooker.view.unclaimed


def test_a_slot_that_is_imported_is_not_learnt() -> None:
    cluster = ModelCluster(now=START, gossip_delay=never)
    target, owner, new = cluster.nodes[0], cluster.nodes[2], cluster.nodes[5]
    move = cluster.begin_move(SLOT, target)
    cluster.failover(new)
    cluster.gossip(new, target)
    assert target.view.owners[SLOT] == owner.id
    assert target.view.owners[SLOT + 1] == new.id
    move.cancel()
    cluster.gossip(new, target)
    assert target.view.owners[SLOT] == new.id


def test_a_primary_without_slots_becomes_a_replica() -> None:
    cluster = ModelCluster(primaries=3, replicas=0, now=START)
    joined = cluster.join()
    cluster.move_slot(SLOT, joined)
    assert cluster.owner(SLOT) is joined
    cluster.move_slot(SLOT, cluster.nodes[0])
    assert joined.view.myself.primary == cluster.nodes[0].id
    assert joined.replication.primary is cluster.nodes[0]


def test_a_role_that_is_heard_before_the_claim() -> None:
    """Redis 7.0 serves the slots of a demoted primary by no node until the new primary is heard."""
    from streamcore.testing.model import REDIS7, VALKEY9

    for flavour, first in ((REDIS7, b"-CLUSTERDOWN Hash slot not served"), (VALKEY9, moved(7005))):
        cluster = ModelCluster(flavour=flavour, now=START, gossip_delay=never)
        cluster.failover(cluster.nodes[5])
        client = Client(cluster, cluster.nodes[1])
        assert client("GET", KEY) == moved(7002)
        cluster.gossip(cluster.nodes[2], cluster.nodes[1])
        assert client("GET", KEY) == first
        cluster.gossip(cluster.nodes[5], cluster.nodes[1])
        assert client("GET", KEY) == moved(7005)
