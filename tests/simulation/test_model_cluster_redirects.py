"""A node of the model answers for its own slots only: MOVED, ASK, TRYAGAIN, CROSSSLOT, and the ways around them."""

from __future__ import annotations

from streamcore.commands import key_slot
from streamcore.testing.model.cluster import ModelCluster
from tests.simulation.clusters import START, Client, asked

KEY = "{a}1"
SLOT = key_slot(KEY)
MOVED = b"-MOVED %d 127.0.0.1:7002" % SLOT
ASK = b"-ASK %d 127.0.0.1:7000" % SLOT
TRY_AGAIN = b"-TRYAGAIN Multiple keys request during rehashing of slot"
CROSS_SLOT = b"-CROSSSLOT Keys in request don't hash to the same slot"


def test_keys_of_another_node() -> None:
    cluster = ModelCluster(now=START)
    owner, other = (Client(cluster, node) for node in (cluster.owner(KEY), cluster.nodes[0]))
    assert cluster.owner(KEY) is cluster.nodes[2] is cluster.at("127.0.0.1", 7002)
    assert owner("SET", KEY, "v") == b"OK"
    assert asked(other, f"GET {KEY}", f"XREAD STREAMS {KEY} 0", f"EVAL x 1 {KEY}", f"SSUBSCRIBE {KEY}") == [MOVED] * 4
    assert asked(other, "MGET {a}1 {b}1", "SSUBSCRIBE {a} {b}") == [CROSS_SLOT] * 2
    assert asked(other, "PING", "DBSIZE", "PUBLISH {a}1 x") == [b"PONG", 0, 0]


def test_a_slot_on_its_way() -> None:
    cluster = ModelCluster(now=START)
    source, target = (Client(cluster, node) for node in (cluster.owner(KEY), cluster.nodes[0]))
    source("MSET", KEY, "v", "{a}2", "w")
    move = cluster.begin_move(SLOT, cluster.nodes[0])
    assert asked(source, f"GET {KEY}", "GET {a}9", "MGET {a}1 {a}9") == [b"v", ASK, TRY_AGAIN]
    assert target("GET", KEY) == MOVED
    assert move.move_keys(1) == 1
    assert asked(source, f"GET {KEY}", "GET {a}2") == [ASK, b"w"]
    assert asked(target, "ASKING", f"GET {KEY}", f"GET {KEY}") == [b"OK", b"v", MOVED], "it holds for a single command"
    assert asked(target, "ASKING", "MGET {a}1 {a}2") == [b"OK", TRY_AGAIN]
    assert asked(target, "ASKING", "MULTI", f"GET {KEY}", f"GET {KEY}", "EXEC")[4] == [b"v", b"v"]
    assert target("GET", KEY) == MOVED
    move.finish()
    assert asked(target, f"GET {KEY}", "GET {a}2") == [b"v", b"w"]
    assert source("GET", KEY) == b"-MOVED %d 127.0.0.1:7000" % SLOT
    assert Client(cluster, cluster.nodes[1])("GET", KEY) == b"-MOVED %d 127.0.0.1:7000" % SLOT


def test_a_replica() -> None:
    cluster = ModelCluster(now=START)
    owner = cluster.owner(KEY)
    Client(cluster, owner)("SET", KEY, "v")
    cluster.handle_timeout(START)
    replica = Client(cluster, cluster.replica_of(owner))
    assert asked(replica, f"GET {KEY}", "READONLY", f"GET {KEY}", f"SET {KEY} w") == [MOVED, b"OK", b"v", MOVED]
    assert replica("XREADGROUP", "GROUP", "g", "c", "STREAMS", "{a}s", ">") == MOVED
    assert asked(replica, "READWRITE", f"GET {KEY}") == [b"OK", MOVED]
    assert asked(replica, "READONLY", "HELLO 3", f"GET {KEY}")[2] == b"v"
    assert asked(replica, "RESET", f"GET {KEY}") == [b"RESET", MOVED]


def test_hello_tells_of_the_cluster() -> None:
    cluster = ModelCluster(now=START)
    for node, role in ((cluster.nodes[0], b"master"), (cluster.nodes[3], b"replica")):
        hello = Client(cluster, node)("HELLO", 3)
        assert (hello[b"mode"], hello[b"role"]) == (b"cluster", role)
