"""The embedded cluster: its life, its arguments, and that nothing of it outlives the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamcore.commands import key_slot
from streamcore.errors import InvalidArgument
from tests.support.cluster import KEY, SLOT, ask, is_home, moved, wait_until
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedCluster, EmbeddedServer, EmbeddedServerError
from transports.embedded import cluster as embedded
from transports.embedded.ports import free_base

ROOT = Path(__file__).resolve().parents[2]
every_server = pytest.mark.every_server
pytestmark = pytest.mark.timeout(180)  # six servers begin together, or elect a primary


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


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
    base = free_base(2)
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
    with EmbeddedServer(port=free_base(1)) as other:
        bases = iter([other.port, free_base(2)])
        monkeypatch.setattr(embedded, "free_base", lambda _count: next(bases))
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
