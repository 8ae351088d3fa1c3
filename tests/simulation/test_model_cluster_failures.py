"""Primaries of a model cluster that crash, are cut off or stand still, and the replicas that take their places."""

from __future__ import annotations

from math import inf

import pytest

from streamcore.commands import key_slot
from streamcore.testing.model import REDIS7, VALKEY9, Flavour
from streamcore.testing.model.cluster import ModelCluster
from tests.simulation.clusters import START, Client, asked

KEY = "{a}1"
SLOT = key_slot(KEY)
DOWN = b"-CLUSTERDOWN The cluster is down"


def moved(port: int) -> bytes:
    return b"-MOVED %d 127.0.0.1:%d" % (SLOT, port)


def test_a_planned_failover_loses_nothing() -> None:
    cluster = ModelCluster(now=START)
    old, new = cluster.nodes[2], cluster.nodes[5]
    client = Client(cluster, old)
    asked(client, f"SET {KEY} v", "SCRIPT LOAD x")
    assert cluster.failover(new) == 0
    fresh = Client(cluster, new)
    assert fresh("GET", KEY) == b"v"
    assert fresh("EVALSHA", client("SCRIPT", "LOAD", "x"), 1, KEY) == b"-NOSCRIPT No matching script. Please use EVAL."
    assert client("GET", KEY) == moved(7005)
    assert asked(client, "READONLY", f"GET {KEY}") == [b"OK", b"v"]
    fresh("SET", KEY, "w")
    cluster.handle_timeout(START)
    assert client("GET", KEY) == b"w", "it follows the new primary"
    assert cluster.failover(old) == 0
    assert client("GET", KEY) == b"w"


def test_a_failover_that_loses_the_last_writes() -> None:
    cluster = ModelCluster(now=START)
    old, new = cluster.nodes[2], cluster.nodes[5]
    client = Client(cluster, old)
    client("SET", KEY, 0)
    cluster.handle_timeout(START)
    cluster.set_lag(new, inf)
    for number in (1, 2, 3):
        client("SET", KEY, number)
    cluster.handle_timeout(START)
    with pytest.raises(ValueError, match="all but 3 writes"):
        cluster.failover(new, lost=4)
    cluster.crash(old)
    assert cluster.failover(new, lost=2) == 2
    assert Client(cluster, new)("GET", KEY) == b"1"
    cluster.restart(old)
    copy = Client(cluster, old)
    assert asked(copy, "READONLY", f"GET {KEY}") == [b"OK", b"1"], "its writes are lost, too"


def test_a_crash_is_noticed_and_the_replica_elected() -> None:
    cluster = ModelCluster(now=START, node_timeout=1.0, election_delay=0.5)
    other = Client(cluster, cluster.nodes[0])
    cluster.crash(cluster.nodes[2])
    assert other("GET", KEY) == moved(7002), "nobody has noticed"
    cluster.handle_timeout(START + 0.99)
    assert other("GET", KEY) == moved(7002)
    cluster.handle_timeout(START + 1.0)
    assert other("GET", KEY) == DOWN, "until the election, the cluster serves nothing"
    assert b"fail" in other("CLUSTER", "NODES")
    cluster.handle_timeout(START + 1.5)
    assert other("GET", KEY) == moved(7005)
    assert Client(cluster, cluster.nodes[5])("SET", KEY, "v") == b"OK"


def test_a_single_replica_is_elected() -> None:
    """It is the one that has repeated most, though gossip takes longer than the election."""
    cluster = ModelCluster(replicas=2, now=START, gossip_delay=lambda *_: 2.0, election_delay=0.5)
    late, other = (one for one in cluster.nodes if one.view.myself.primary == cluster.nodes[2].id)
    cluster.set_lag(late, inf)
    Client(cluster, cluster.nodes[2])("SET", KEY, "v")
    cluster.handle_timeout(START)
    cluster.crash(cluster.nodes[2])
    cluster.handle_timeout(START + 10)
    assert cluster.owner(SLOT) is other
    assert late.view.myself.primary == other.id
    assert late.replication.primary is other
    assert cluster.at("127.0.0.1", 7002) is None


def test_a_user_without_the_right_to_ask() -> None:
    cluster = ModelCluster(now=START)
    cluster.nodes[0].faults.denied.add("CLUSTER SLOTS")
    client = Client(cluster, cluster.nodes[0])
    assert b"'cluster|slots'" in client("CLUSTER", "SLOTS")
    assert client("CLUSTER", "MYID") == cluster.nodes[0].id


def test_a_crash_without_a_replica() -> None:
    cluster = ModelCluster(replicas=0, now=START, election_delay=0.5)
    other = Client(cluster, cluster.nodes[0])
    cluster.crash(cluster.nodes[2])
    cluster.handle_timeout(START + 60)
    assert other("GET", KEY) == DOWN
    cluster.restart(cluster.nodes[2])
    assert other("GET", KEY) == moved(7002)


def test_a_primary_that_is_cut_off() -> None:
    cluster = ModelCluster(now=START, node_timeout=1.0, election_delay=0.5)
    old = cluster.nodes[2]
    client, subscriber, reader = (Client(cluster, old) for _ in range(3))
    subscriber.send("SSUBSCRIBE", KEY)
    client("XADD", "{a}s", "1-1", "f", "v")
    reader.send("XREAD", "BLOCK", 0, "STREAMS", "{a}s", "$")
    cluster.handle_timeout(START)
    cluster.partition([old])
    assert client("SET", KEY, "minority") == b"OK", "it serves its slots until it notices"
    cluster.handle_timeout(START + 1.0)
    assert asked(client, f"GET {KEY}", "PING") == [DOWN, b"PONG"]
    assert reader.read() == [DOWN]
    cluster.handle_timeout(START + 1.5)
    new = Client(cluster, cluster.nodes[5])
    assert new("SPUBLISH", KEY, "majority") == 0
    assert subscriber.read() == [], "it does not hear the majority, and is told nothing"
    assert asked(client, f"SPUBLISH {KEY} minority") == [1]
    assert subscriber.read() == [[b"smessage", KEY.encode(), b"minority"]], "its shard channels work for ever"
    assert b"cluster_state:fail" in client("CLUSTER", "INFO")
    cluster.heal()
    assert subscriber.read() == [[b"sunsubscribe", KEY.encode(), 0]]
    assert client("GET", KEY) == moved(7005)
    assert new("GET", KEY) is None, "the minority's write is lost"


def test_a_primary_that_reaches_the_majority_again_waits_for_news_of_its_slots() -> None:
    """Its first gossip is under way: what it accepted meanwhile would be lost."""
    cluster = ModelCluster(now=START, node_timeout=0.2, election_delay=0.5, gossip_delay=lambda _source, _target: 0.4)
    old = cluster.nodes[2]
    cluster.partition([old])
    cluster.handle_timeout(START + 5)
    assert cluster.nodes[5].view.myself.primary is None, "it was elected"
    cluster.heal()
    cluster.handle_timeout(START + 5.3)
    assert Client(cluster, old)("SET", KEY, "v") == DOWN
    cluster.handle_timeout(START + 5.4)
    assert Client(cluster, old)("SET", KEY, "v") == moved(7005)


def test_a_primary_that_was_not_replaced_serves_a_while_after_it_reaches_the_majority_again() -> None:
    cluster = ModelCluster(replicas=0, now=START, node_timeout=0.2)
    node = cluster.nodes[2]
    for begin in (START, START + 10):
        cluster.handle_timeout(begin)
        cluster.partition([node])
        cluster.handle_timeout(begin + 0.2)
        assert Client(cluster, node)("SET", KEY, "v") == DOWN
        cluster.heal()
        cluster.handle_timeout(begin + 0.4)
        cluster.partition([node])
        cluster.handle_timeout(begin + 0.7)
        cluster.heal()
        cluster.handle_timeout(begin + 1.1)
        assert Client(cluster, node)("SET", KEY, "v") == DOWN
        cluster.handle_timeout(begin + 1.3)
        assert Client(cluster, node)("SET", KEY, "v") == b"OK"


def test_a_minority_does_not_elect() -> None:
    cluster = ModelCluster(now=START, node_timeout=1.0, election_delay=0.5)
    cluster.partition([cluster.nodes[1], cluster.nodes[5]])
    cluster.handle_timeout(START + 60)
    assert cluster.nodes[5].view.myself.primary == cluster.nodes[2].id
    assert Client(cluster, cluster.nodes[5])("GET", KEY) == DOWN
    assert Client(cluster, cluster.nodes[2])("SET", KEY, "v") == b"OK", (
        "the majority has elected for the lost primary's slots"
    )
    cluster.heal()
    cluster.handle_timeout(START + 60)
    assert asked(Client(cluster, cluster.nodes[5]), "READONLY", f"GET {KEY}")[1] == b"v", "it has caught up"


def test_a_paused_node() -> None:
    cluster = ModelCluster(now=START, node_timeout=1.0, election_delay=0.5)
    old = cluster.nodes[2]
    client = Client(cluster, old)
    client("SET", KEY, "v")
    cluster.handle_timeout(START)
    cluster.pause(old)
    assert client.send("GET", KEY) == []
    assert client.send("SET", KEY, "w") == []
    cluster.handle_timeout(START + 2)
    assert Client(cluster, cluster.nodes[5])("GET", KEY) == b"v"
    cluster.resume(old)
    assert client.read() == [b"v", b"OK"], "it does not know yet that it was replaced"
    assert client("GET", KEY) == moved(7005)
    assert Client(cluster, cluster.nodes[5])("GET", KEY) == b"v", "the write is lost"


@pytest.mark.parametrize("flavour", [VALKEY9, REDIS7])
def test_a_node_that_starts_empty(flavour: Flavour) -> None:
    cluster = ModelCluster(flavour=flavour, now=START)
    node = cluster.nodes[2]
    Client(cluster, node)("SET", KEY, "v")
    cluster.crash(node)
    cluster.restart(node, empty=True)
    cluster.handle_timeout(START)
    assert Client(cluster, node)("GET", KEY) is None
    assert asked(Client(cluster, cluster.nodes[5]), "READONLY", f"GET {KEY}")[1] is None, "its replica has copied that"


def test_a_node_that_forgets_who_it_is() -> None:
    cluster = ModelCluster(now=START)
    cluster.crash(cluster.nodes[2])
    made = cluster.restart(cluster.nodes[2], forgets=True)
    assert cluster.at("127.0.0.1", 7002) is made is cluster.nodes[2]
    client = Client(cluster, made)
    assert asked(client, "CLUSTER SLOTS", f"GET {KEY}") == [[], b"-CLUSTERDOWN Hash slot not served"]
    assert Client(cluster, cluster.nodes[0])("GET", KEY) == moved(7002)
    assert cluster.join().view.myself.port == 7006


def test_a_primary_that_stood_still_hears_at_once_that_it_was_replaced() -> None:
    cluster = ModelCluster(now=START, node_timeout=0.2, election_delay=0.5, gossip_delay=lambda _source, _target: 0.4)
    old = cluster.nodes[2]
    client = Client(cluster, old)
    cluster.pause(old)
    cluster.handle_timeout(START + 5)
    client.send("SET", KEY, "v")
    cluster.resume(old)
    assert client.read() == [b"OK"], "it is answered by the old view"
    assert client("SET", KEY, "v") == moved(7005)


def test_a_node_that_joins_while_another_is_down_hears_of_its_return() -> None:
    cluster = ModelCluster(replicas=0, now=START, node_timeout=1.0)
    cluster.crash(cluster.nodes[2])
    cluster.handle_timeout(START + 0.5)
    joined = cluster.join()
    cluster.handle_timeout(START + 5)
    assert joined.view.is_down
    cluster.restart(cluster.nodes[2])
    cluster.handle_timeout(START + 6)
    assert not joined.view.is_down


def test_nodes_that_join_and_leave() -> None:
    cluster = ModelCluster(now=START)
    joined = cluster.join()
    copy = cluster.join(replica_of=joined)
    client = Client(cluster, joined)
    assert client("GET", KEY) == moved(7002)
    cluster.move_slot(SLOT, joined)
    client("SET", KEY, "v")
    cluster.handle_timeout(START)
    assert asked(Client(cluster, copy), "READONLY", f"GET {KEY}") == [b"OK", b"v"]
    ports = {row[2][1] for row in Client(cluster, cluster.nodes[0])("CLUSTER", "SLOTS")}
    assert ports == {7000, 7001, 7002, 7006}
    cluster.leave(copy)
    cluster.move_slot(SLOT, cluster.nodes[2])
    cluster.leave(joined)
    assert client.session.closed
    assert cluster.at("127.0.0.1", 7006) is None
    assert Client(cluster, cluster.nodes[2])("GET", KEY) == b"v"
    assert b":7006" not in Client(cluster, cluster.nodes[0])("CLUSTER", "NODES")
