"""Commands of a cluster, against a primary and a replica of every server, in both protocols."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import hiredis
import pytest

from streamcore.commands import (
    PrimaryRole,
    ReplicaRole,
    asking,
    cluster_countkeysinslot,
    cluster_getkeysinslot,
    cluster_info,
    cluster_keyslot,
    cluster_myid,
    cluster_nodes,
    cluster_shards,
    cluster_slots,
    get,
    hello,
    key_slot,
    mset,
    readonly,
    readwrite,
    role,
    set_,
    wait,
    waitaof,
)
from streamcore.errors import MovedError, ReplyError
from tests.integration.lines import Line, is_unknown
from tests.support.raw import Raw
from tests.support.servers import ServerKind, available_servers
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.every_server

PORTS = range(16_000, 20_000)  # with 10000 more for the cluster's bus, which is still below the ephemeral ports
OPTIONS = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "repl-diskless-sync-delay": "0"}


@dataclass(frozen=True)
class Cluster:
    """A primary, which has all slots and a host name, and its replica."""

    primary: EmbeddedServer
    replica: EmbeddedServer


def free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        return port


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the cluster is not ready"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def clusters() -> Iterator[dict[ServerKind, Cluster]]:
    """One of each kind; all at once, because each takes two seconds before it is ready."""
    with ExitStack() as stack:
        started: dict[ServerKind, Cluster] = {}
        for kind in available_servers():
            named = {**OPTIONS, "cluster-announce-hostname": "a.example"}
            primary = stack.enter_context(kind.create(port=free_port(), config=named))
            replica = stack.enter_context(kind.create(port=free_port(), config=OPTIONS))
            started[kind] = Cluster(primary, replica)
            with Raw(primary.address) as raw:
                raw("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
                raw("CLUSTER", "MEET", "127.0.0.1", replica.address[1])
        for cluster in started.values():
            with Raw(cluster.primary.address) as one, Raw(cluster.replica.address) as two:
                make_ready(one, two)
        yield started


def make_ready(primary: Raw, replica: Raw) -> None:
    until(lambda: is_replica(replica, primary("CLUSTER", "MYID")))
    until(lambda: all(b"cluster_state:ok" in raw("CLUSTER", "INFO") for raw in (primary, replica)))
    until(lambda: primary("ROLE")[2] and replica("ROLE")[3] == b"connected")
    until(lambda: primary("CLUSTER", "NODES").count(b" connected") == 2)
    until(lambda: all(len(raw("CLUSTER", "SHARDS")) == 1 for raw in (primary, replica)))  # they have told each other
    primary("SET", "first", 1)  # CLUSTER SLOTS has no replicas that have nothing


def is_replica(raw: Raw, primary: bytes) -> bool:
    try:
        raw("CLUSTER", "REPLICATE", primary)
    except hiredis.ReplyError:  # they have not met yet
        return False
    return True


@pytest.fixture
def cluster(clusters: dict[ServerKind, Cluster], server_kind: ServerKind) -> Cluster:
    return clusters[server_kind]


def connected(server: EmbeddedServer, protocol: int) -> Iterator[Line]:
    with Raw(server.address) as raw:
        if protocol == 3:
            raw("HELLO", 3)
        yield Line(raw)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value


@pytest.fixture
def primary(cluster: Cluster, protocol: int) -> Iterator[Line]:
    yield from connected(cluster.primary, protocol)


@pytest.fixture
def replica(cluster: Cluster, protocol: int) -> Iterator[Line]:
    yield from connected(cluster.replica, protocol)


def port(server: EmbeddedServer) -> int:
    address = server.address
    assert isinstance(address, tuple)
    return address[1]


def test_shards(primary: Line, cluster: Cluster, server_kind: ServerKind) -> None:
    [shard] = primary(cluster_shards())
    assert shard.slots == [(0, 16383)]
    assert shard.other.keys() == ({b"id"} if server_kind.name == "valkey" else set())
    nodes = {node.role: node for node in shard.nodes}
    one, two = nodes["master"], nodes["replica"]
    assert one.id == primary(cluster_myid()) != two.id
    assert (one.port, two.port) == (port(cluster.primary), port(cluster.replica))
    assert (one.endpoint, one.ip, one.hostname, one.tls_port) == ("127.0.0.1", "127.0.0.1", "a.example", None)
    assert two.hostname is None
    assert one.health == "online"
    assert one.replication_offset >= 0


def test_slots(primary: Line, cluster: Cluster) -> None:
    until(lambda: primary(cluster_slots())[0].replicas)
    [slots] = primary(cluster_slots())
    assert (slots.start, slots.end) == (0, 16383)
    assert (slots.primary.host, slots.primary.port) == ("127.0.0.1", port(cluster.primary))
    assert slots.primary.id == primary(cluster_myid())
    assert slots.primary.metadata == {b"hostname": b"a.example"}
    assert [(node.host, node.port, node.metadata) for node in slots.replicas] == [
        ("127.0.0.1", port(cluster.replica), {})
    ]


def test_nodes(primary: Line, replica: Line, cluster: Cluster) -> None:
    mine, theirs = primary(cluster_myid()), replica(cluster_myid())
    nodes = {node.id: node for node in primary(cluster_nodes())}
    assert nodes.keys() == {mine, theirs}
    one, two = nodes[mine], nodes[theirs]
    assert (one.host, one.port, one.bus_port) == ("127.0.0.1", port(cluster.primary), port(cluster.primary) + 10_000)
    assert (one.flags, two.flags) == (frozenset({"myself", "master"}), frozenset({"slave"}))
    assert (one.hostname, one.primary, one.slots) == ("a.example", None, [(0, 16383)])
    assert (two.hostname, two.primary, two.slots) == (None, mine, [])
    assert (one.connected, two.connected) == (True, True)
    assert abs(two.pong_received - time.time()) < 60


def test_a_slot_on_its_way(clusters: dict[ServerKind, Cluster], server_kind: ServerKind, protocol: int) -> None:
    """Two primaries for this test alone: a slot is between them."""
    with server_kind.create(port=free_port(), config=OPTIONS) as one, server_kind.create(
        port=free_port(), config=OPTIONS
    ) as two, Raw(one.address) as raw, Raw(two.address) as other:  # fmt: skip
        if protocol == 3:
            raw("HELLO", 3)
        ask, mine, theirs = Line(raw), raw("CLUSTER", "MYID"), other("CLUSTER", "MYID")
        raw("CLUSTER", "ADDSLOTSRANGE", 0, 5, 7, 99)
        other("CLUSTER", "ADDSLOTSRANGE", 100, 200)
        raw("CLUSTER", "MEET", "127.0.0.1", port(two))
        until(lambda: b"100-200" in raw("CLUSTER", "NODES") and mine in other("CLUSTER", "NODES"))
        raw("CLUSTER", "SETSLOT", 77, "MIGRATING", theirs)
        raw("CLUSTER", "SETSLOT", 150, "IMPORTING", theirs)
        [node] = [node for node in ask(cluster_nodes()) if "myself" in node.flags]
        assert node.slots == [(0, 5), (7, 99)]
        assert (node.migrating, node.importing) == ({77: theirs.decode()}, {150: theirs.decode()})


def test_the_state_of_the_cluster(primary: Line) -> None:
    state = primary(cluster_info())
    assert (state["cluster_state"], state["cluster_slots_assigned"], state["cluster_known_nodes"]) == (
        "ok",
        "16384",
        "2",
    )
    assert primary(hello()).mode == "cluster"


def test_the_slots_of_keys_are_those_that_the_server_finds(primary: Line) -> None:
    seeded = random.Random(3)
    keys = [b"a", b"{}", b"{}a", b"{a}", b"x{a}y{b}", b"{a", b"a}{", b"{{a}}", b"\xff\x00", b"{a}{b}", b"}{a}"]
    keys += [bytes(seeded.choices(b"{}ab\xff", k=seeded.randint(1, 9))) for _ in range(200)]
    assert [key_slot(key) for key in keys] == [primary(cluster_keyslot(key)) for key in keys]


def test_keys_in_slots(primary: Line) -> None:
    slot = key_slot("{tag}")
    primary(mset({"{tag}a": 1, "{tag}b": 2}))
    assert primary(cluster_countkeysinslot(slot)) == 2
    assert sorted(primary(cluster_getkeysinslot(slot, 10))) == [b"{tag}a", b"{tag}b"]
    assert len(primary(cluster_getkeysinslot(slot, 1))) == 1


def test_a_replica_sends_elsewhere_unless_it_may_answer(primary: Line, replica: Line) -> None:
    primary(set_("k", "v"))
    assert primary(wait(1, 5)) == 1
    with pytest.raises(MovedError):
        replica(get("k"))
    assert replica(readonly()) == b"OK"
    assert replica(get("k")) == b"v"
    assert replica(readwrite()) == b"OK"
    with pytest.raises(MovedError):
        replica(get("k"))
    assert replica(asking()) == b"OK"


def test_roles(primary: Line, replica: Line, cluster: Cluster) -> None:
    mine = primary(role())
    theirs = replica(role())
    assert isinstance(theirs, ReplicaRole)
    assert (theirs.host, theirs.port, theirs.state) == ("127.0.0.1", port(cluster.primary), "connected")
    assert isinstance(mine, PrimaryRole)
    assert [(each.host, each.port) for each in mine.replicas] == [("127.0.0.1", port(cluster.replica))]


def test_waiting_for_disks(primary: Line, server_kind: ServerKind) -> None:
    primary(set_("k", 1))
    if server_kind.name == "redis7":
        is_unknown(primary, waitaof(0, 0, 0.1))
    else:
        assert primary(waitaof(0, 0, 0.1)) == (0, 0)


@pytest.mark.parametrize("command", [cluster_shards(), cluster_slots(), cluster_nodes(), cluster_info()])
def test_a_server_that_is_no_cluster_says_so(line: Line, command: object) -> None:
    with pytest.raises(ReplyError, match="cluster support disabled"):
        line(command)  # type: ignore[arg-type]  # four kinds
