"""The embedded cluster: its life, each way to change or break it, and that it heals."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis
import pytest

from streamcore.commands import key_slot
from streamcore.errors import InvalidArgument
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedCluster, EmbeddedNode, EmbeddedServer, EmbeddedServerError
from transports.embedded import cluster as embedded

ROOT = Path(__file__).resolve().parents[2]
every_server = pytest.mark.every_server
KEY = "{orders}:1"
SLOT = key_slot(KEY)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], *, within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def ask(node: EmbeddedNode, *command: str | int, readonly: bool = False) -> Any:
    """A reply, or the text of an error."""
    with Raw(node.port) as raw:
        if readonly:
            raw("READONLY")
        try:
            return raw(*command)
        except hiredis.ReplyError as error:
            return str(error)


def roles(cluster: EmbeddedCluster) -> list[str]:
    return [ask(node, "ROLE")[0].decode() for node in cluster.nodes]


def moved(node: EmbeddedNode, slot: int = SLOT) -> str:
    return f"MOVED {slot} 127.0.0.1:{node.port}"


def is_home(cluster: EmbeddedCluster) -> bool:
    """As at the beginning, in the eyes of every node."""
    primaries = cluster.nodes[:3]
    edges = [0, 5461, 10922, 16384]
    for node in cluster.nodes:
        found = {
            (first, last, primary[1], *(replica[1] for replica in replicas))
            for first, last, primary, *replicas in ask(node, "CLUSTER", "SLOTS")
        }
        wanted = {
            (edges[n], edges[n + 1] - 1, primary.port, cluster.nodes[3 + n].port) for n, primary in enumerate(primaries)
        }
        if found != wanted or b"->-" in ask(node, "CLUSTER", "NODES") or b"-<-" in ask(node, "CLUSTER", "NODES"):
            return False
        if b"cluster_state:ok" not in ask(node, "CLUSTER", "INFO"):
            return False
        if any(flag in ask(node, "CLUSTER", "NODES") for flag in (b"handshake", b"noaddr")):
            return False
    return roles(cluster) == ["master"] * 3 + ["slave"] * 3


# -- an ordinary life ---------------------------------------------------------------------------------------------------


@every_server
def test_its_nodes_serve_all_slots_among_them(cluster: EmbeddedCluster) -> None:
    assert is_home(cluster)
    ports = [node.port for node in cluster.nodes]
    assert cluster.url == "redis://" + ",".join(f"127.0.0.1:{port}" for port in ports)
    assert all(16_000 <= port < 20_000 for port in ports)
    for number, slot in enumerate([0, 5461, 16383]):
        primary = cluster.owner(slot)
        assert primary is cluster.nodes[number]
        assert cluster.replica_of(primary) is cluster.nodes[3 + number]
    owner = cluster.owner(KEY)
    assert owner is cluster.owner(KEY.encode()) is cluster.owner(SLOT)
    assert ask(owner, "SET", KEY, "v") == b"OK"
    other = next(node for node in cluster.nodes[:3] if node is not owner)
    assert ask(other, "GET", KEY) == moved(owner)
    replica = cluster.replica_of(owner)
    wait_until(lambda: ask(replica, "GET", KEY, readonly=True) == b"v")


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_finds_the_cluster_empty(cluster: EmbeddedCluster, turn: int) -> None:
    assert ask(cluster.owner(KEY), "SET", KEY, turn, "NX") == b"OK"


def test_a_cluster_of_its_own(server_kind: ServerKind) -> None:
    config = {"cluster-require-full-coverage": "no"}
    base = embedded._free_base(2)
    with EmbeddedCluster(primaries=2, replicas=0, base_port=base, config=config) as cluster:
        nodes = cluster.nodes
        assert [node.port for node in nodes] == [base, base + 1]
        with pytest.raises(EmbeddedServerError, match="started already"):
            cluster.start()
        with pytest.raises(EmbeddedServerError, match=f"<EmbeddedNode 127.0.0.1:{base}> has no replica"):
            cluster.crash(nodes[0])
        assert nodes[0].is_running(), "it was not killed"

        cluster.uncover(1)
        with pytest.raises(EmbeddedServerError, match="no node has slot 1"):
            cluster.owner(1)
        assert ask(nodes[0], "GET", key_of_slot(0)) is None, "the other slots are served"
        directories = [node.directory for node in nodes]

        occupied = EmbeddedCluster(primaries=1, replicas=0, base_port=base)
        with pytest.raises(EmbeddedServerError, match="Address already in use"):
            occupied.start()
    assert not any(exists(node.pid) for node in nodes)
    assert not any(directory.exists() for directory in directories)
    cluster.stop()  # a second time: nothing happens
    with pytest.raises(EmbeddedServerError, match="not started"):
        _ = cluster.url


def key_of_slot(slot: int) -> str:
    return next(key for key in map(str, range(1_000_000)) if key_slot(key) == slot)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"primaries": 0}, "primaries=0 is below 1"),
        ({"replicas": -1}, "replicas=-1 below 0"),
        ({"base_port": 22_763}, "not between 1 and 22767"),
        ({"config": "--maxmemory 1mb"}, "not one string"),
        ({"server": "no-such-server"}, "not an executable"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        EmbeddedCluster(**arguments)


def test_an_owner_of_no_slot(cluster: EmbeddedCluster) -> None:
    for slot in (-1, 16384):
        with pytest.raises(InvalidArgument, match="between 0 and 16383"):
            cluster.owner(slot)


def test_ports_that_were_taken_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServer(port=embedded._free_base(1)) as other:
        bases = iter([other.port, embedded._free_base(2)])
        monkeypatch.setattr(embedded, "_free_base", lambda _count: next(bases))
        with EmbeddedCluster(primaries=1, replicas=0) as cluster:
            assert cluster.nodes[0].port != other.port


def test_a_wait_says_what_it_waited_for(cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster._members, "timeout", 0.3)
    cluster.nodes[3].kill()
    ask(cluster.nodes[0], "CLUSTER", "DELSLOTS", 0)
    with pytest.raises(EmbeddedServerError, match=r"all nodes agree, and find the cluster in order: not within 0.3 s"):
        cluster.wait_ok()
    monkeypatch.undo()


def test_a_killed_program_leaves_nothing_behind() -> None:
    program = """
import time
from transports.embedded import EmbeddedCluster
cluster = EmbeddedCluster(primaries=2, replicas=0)
cluster.start()
cluster.pause(cluster.nodes[0])
for node in cluster.nodes:
    print(node.pid, node.directory, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(2)]
        process.kill()
        for pid, directory in lines:
            wait_until(lambda pid=int(pid): not exists(pid))  # type: ignore[misc]
            wait_until(lambda path=Path(directory): not path.exists())  # type: ignore[misc]


# -- slots --------------------------------------------------------------------------------------------------------------


@every_server
def test_a_classic_move(cluster: EmbeddedCluster) -> None:
    source = cluster.owner(SLOT)
    target = next(node for node in cluster.nodes[:3] if node is not source)
    for number in range(250):
        ask(source, "SET", f"{{orders}}:{number}", number)
    cluster.move_slot(SLOT, target)
    assert cluster.owner(SLOT) is target
    assert ask(target, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == 250
    assert all(ask(node, "GET", KEY) == moved(target) for node in cluster.nodes if node is not target)
    cluster.heal()
    assert is_home(cluster)
    assert ask(source, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == 250, "keys go where their slot goes"


@every_server
def test_an_atomic_move(cluster: EmbeddedCluster, server_kind: ServerKind) -> None:
    source = cluster.owner(SLOT)
    target = next(node for node in cluster.nodes[:3] if node is not source)
    ask(source, "SET", KEY, "v")
    if server_kind.name == "redis7":
        with pytest.raises(InvalidArgument, match=r"needs servers of Valkey 9.0 or Redis 8.4"):
            cluster.move_slot(SLOT, target, "atomic")
        return
    cluster.move_slot(SLOT, target, "atomic")
    assert cluster.owner(SLOT) is target
    assert ask(target, "GET", KEY) == b"v"
    assert ask(source, "GET", KEY) == moved(target)


def test_a_move_of_an_unknown_kind(cluster: EmbeddedCluster) -> None:
    with pytest.raises(InvalidArgument, match="neither 'classic' nor 'atomic'"):
        cluster.move_slot(SLOT, cluster.nodes[0], "quick")  # type: ignore[arg-type]


@every_server
def test_a_move_step_by_step(cluster: EmbeddedCluster) -> None:
    source = cluster.owner(SLOT)
    target = next(node for node in cluster.nodes[:3] if node is not source)
    for number in range(3):
        ask(source, "SET", f"{{orders}}:{number}", number)
    move = cluster.slot_move(SLOT, target)
    move.begin()
    assert ask(source, "GET", KEY) == b"1"
    assert ask(source, "GET", "{orders}:none") == f"ASK {SLOT} 127.0.0.1:{target.port}"
    assert move.move_keys(2) == 2
    reply = ask(source, "MGET", *(f"{{orders}}:{number}" for number in range(3)))
    assert reply == "TRYAGAIN Multiple keys request during rehashing of slot"
    cluster.heal()  # it finishes what has begun, and brings the slot back
    assert is_home(cluster)
    assert ask(source, "CLUSTER", "COUNTKEYSINSLOT", SLOT) == 3


@every_server
def test_a_slot_without_an_owner(cluster: EmbeddedCluster) -> None:
    owner = cluster.owner(SLOT)
    ask(owner, "SET", KEY, "v")
    cluster.uncover(SLOT)
    assert all(ask(node, "GET", KEY) == "CLUSTERDOWN Hash slot not served" for node in cluster.nodes[:3])
    with pytest.raises(EmbeddedServerError, match=f"no node has slot {SLOT}"):
        cluster.owner(KEY)
    cluster.cover(SLOT)
    cluster.wait_ok()
    assert cluster.owner(SLOT) is owner
    assert ask(owner, "GET", KEY) == b"v", "it has kept the keys"


# -- primaries ----------------------------------------------------------------------------------------------------------


@every_server
def test_a_planned_failover(cluster: EmbeddedCluster) -> None:
    old = cluster.owner(KEY)
    ask(old, "SET", KEY, "v")
    new = cluster.failover(old)
    assert new is cluster.owner(KEY) is not old
    assert cluster.replica_of(new) is old
    assert ask(new, "GET", KEY) == b"v"
    assert ask(old, "GET", KEY) == moved(new)
    cluster.heal()
    assert is_home(cluster)
    assert ask(old, "GET", KEY) == b"v"


@every_server
def test_a_crash(cluster: EmbeddedCluster) -> None:
    old = cluster.owner(KEY)
    replica = cluster.replica_of(old)
    new = cluster.crash(old)
    assert new is replica
    assert not old.is_running()
    assert cluster.owner(KEY) is new
    cluster.wait_ok()
    assert ask(new, "SET", KEY, "v") == b"OK"
    with pytest.raises(EmbeddedServerError, match="no replica that can answer"):
        cluster.failover(new)
    cluster.heal()
    assert is_home(cluster)
    assert ask(old, "GET", KEY) == b"v"


@every_server
def test_a_stopped_node(cluster: EmbeddedCluster) -> None:
    node = cluster.owner(KEY)
    with Raw(node.port) as raw:
        cluster.pause(node)
        assert not node.is_up()
        raw.send("PING")
        assert raw.is_silent(0.2)
        cluster.resume(node)
        assert raw.read() == b"PONG"
    assert node.is_up()


@every_server
def test_it_heals_after_an_election(cluster: EmbeddedCluster) -> None:
    node = cluster.owner(KEY)
    replica = cluster.replica_of(node)
    cluster.pause(node)
    wait_until(lambda: cluster.owner(KEY) is replica)
    cluster.heal()
    assert is_home(cluster)


@every_server
def test_it_heals_when_every_node_was_killed(cluster: EmbeddedCluster) -> None:
    for node in cluster.nodes:
        node.kill()
    with pytest.raises(EmbeddedServerError, match="no node of the embedded cluster can answer"):
        cluster.owner(KEY)
    cluster.heal()
    assert is_home(cluster)


# -- nodes that join and leave ------------------------------------------------------------------------------------------


@every_server
def test_nodes_that_join(cluster: EmbeddedCluster) -> None:
    first = cluster.owner(SLOT)
    ask(first, "SET", KEY, "v")
    node = cluster.add_node()
    assert cluster.nodes[6:] == (node,)
    assert f"127.0.0.1:{node.port}" in cluster.url
    cluster.move_slot(SLOT, node)
    replica = cluster.add_node(replica_of=node)
    assert cluster.replica_of(node) is replica
    assert ask(replica, "GET", KEY, readonly=True) == b"v"

    cluster.remove_node(replica)
    with pytest.raises(EmbeddedServerError, match="no replica"):
        cluster.replica_of(node)
    assert not replica.is_started()
    cluster.heal()
    assert is_home(cluster)
    assert len(cluster.nodes) == 6
    assert ask(first, "GET", KEY) == b"v"


@every_server
def test_a_primary_that_leaves(cluster: EmbeddedCluster) -> None:
    leaving = cluster.owner(SLOT)
    orphan = cluster.replica_of(leaving)
    ask(leaving, "SET", KEY, "v")
    before = leaving.id
    cluster.remove_node(leaving)
    assert leaving not in cluster.nodes
    assert not leaving.is_running()
    owner = cluster.owner(SLOT)
    assert ask(owner, "GET", KEY) == b"v", "keys go where their slot goes"
    assert ask(orphan, "ROLE")[0] == b"slave"
    assert before.encode() not in ask(owner, "CLUSTER", "NODES")
    cluster.wait_ok()
    with pytest.raises(EmbeddedServerError, match="does not belong"):
        cluster.remove_node(leaving)
    cluster.heal()
    assert is_home(cluster)
    assert leaving.id != before
    assert ask(leaving, "GET", KEY) == b"v"


def test_the_pytest_plugin(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["transports.pytest_plugin"]\n')
    (tmp_path / "test_it.py").write_text(
        "def test_one(streamcore_cluster):\n    streamcore_cluster.pause(streamcore_cluster.nodes[0])\n"
        "def test_two(streamcore_cluster):\n    assert streamcore_cluster.nodes[0].is_up()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=50,
    )
