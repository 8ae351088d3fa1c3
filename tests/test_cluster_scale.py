"""The numbers of the guide about large clusters: a topology of 1,000 nodes, and a member of 1,000 slots over 40 nodes."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import count

from streamcore.cluster.cluster import Cluster
from streamcore.cluster.topology import compare, read
from streamcore.commands import cluster_slots, key_slot
from streamcore.commands.cluster import SLOTS, SlotNode
from streamcore.group.consumer import GroupConsumer
from streamcore.options import Address
from streamcore.resp3 import make_decoder
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import ModelCluster
from streamcore.testing.resp import resp
from tests.core.support.clusters import START, address
from tests.core.support.slots import append

SEED = Address("10.0.0.1", 6379)
PRIMARIES = 500


def node(number: int) -> list[object]:
    return [
        f"10.0.{number // 250}.{number % 250}".encode(),
        6379,
        b"%040x" % number,
        {b"hostname": b"n%d.example.org" % number},
    ]


def reply_of_a_thousand() -> bytes:
    """The answer to ``CLUSTER SLOTS``: 500 primaries with a replica each, whose names and addresses are told."""
    edges = [SLOTS * number // PRIMARIES for number in range(PRIMARIES + 1)]
    return resp([[edges[n], edges[n + 1] - 1, node(n), node(PRIMARIES + n)] for n in range(PRIMARIES)])


def reached(node: SlotNode) -> Address | None:
    return None if node.host is None else Address(node.host, node.port)


def test_the_topology_of_a_thousand_nodes() -> None:
    data = reply_of_a_thousand()
    assert 110_000 < len(data) < 130_000
    [reply] = make_decoder().feed(data)
    parse = cluster_slots().parse
    assert parse is not None
    topology = read(parse(reply), SEED, 1.0, reached)
    assert len(topology.nodes) == 2 * PRIMARIES
    assert sys.getsizeof(topology.table) < 33 * 1024
    assert not compare(topology, read(parse(reply), SEED, 2.0, reached))
    assert {topology.owner(slot) for slot in range(SLOTS)} == {*topology.primaries}


def test_a_hundred_thousand_streams_lie_in_nearly_all_slots() -> None:
    slots = {key_slot(f"orders:{number}") for number in range(100_000)}
    assert 16_100 < len(slots) <= SLOTS


def test_a_member_of_a_thousand_slots_over_forty_nodes() -> None:
    """The caps: 256 connections that wait each in its slot, a shared connection to each node, and that for the topology."""
    model = ModelCluster(primaries=40, replicas=0, now=START, node_timeout=60.0)
    slots: dict[int, str] = {}
    for number in count():
        slots.setdefault(key_slot(f"s{number}"), f"s{number}")
        if len(slots) == 1_000:
            break
    streams = [*slots.values()]
    router = Cluster([address(model.nodes[0])]).router
    consumer: GroupConsumer[bytes] = GroupConsumer(streams, group="g", consumer="me", exclusive=True, router=router)
    net = ClusterNet(model, consumer)
    net.advance(0.5)
    assert consumer.is_ready
    for stream in streams:
        append(model, stream, 1)
    taken: list[str] = []
    for _ in range(4):
        net.advance(0.05)
        while (batch := consumer.take()) is not None:
            taken.append(batch.stream.decode())
            batch.ack()
        net.serve()
    assert sorted(taken) == sorted(streams)
    up = [link for link in consumer.links() if link.is_up]
    assert sum(link.name.startswith("main") for link in up) == 256
    assert len(up) == 256 + 40 + 1
    assert len(Counter(link.address for link in up)) == 40
