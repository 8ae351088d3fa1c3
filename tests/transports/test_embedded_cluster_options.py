"""The embedded cluster: names and addresses that it announces, passwords, TLS, databases, reading from replicas."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest

from streamcore.commands import Command, cluster_slots, raw
from streamcore.errors import InvalidArgument, ReplyError
from tests.support.cluster import KEY, SLOT, another, ask, is_home
from tests.support.raw import Raw
from tests.support.servers import Certificates, ServerKind
from transports.embedded import EmbeddedCluster, EmbeddedServerError

every_server = pytest.mark.every_server
pytestmark = pytest.mark.timeout(180)  # six servers begin together, or elect a primary


@every_server
def test_announced_names(cluster: EmbeddedCluster) -> None:
    cluster.configure({"cluster-announce-hostname": "localhost", "cluster-preferred-endpoint-type": "hostname"})
    owner = cluster.owner(KEY)
    assert ask(another(cluster, owner), "GET", KEY) == f"MOVED {SLOT} localhost:{owner.port}"
    cluster.heal()
    assert is_home(cluster)
    assert ask(another(cluster, owner), "GET", KEY) == f"MOVED {SLOT} 127.0.0.1:{owner.port}"


@every_server
def test_a_null_host(cluster: EmbeddedCluster) -> None:
    cluster.configure({"cluster-preferred-endpoint-type": "unknown-endpoint"})
    owner = cluster.owner(KEY)
    assert ask(another(cluster, owner), "GET", KEY) == f"MOVED {SLOT} :{owner.port}"
    assert {part.primary.host for part in owner.ask(cluster_slots())} == {None}
    cluster.heal()
    assert is_home(cluster)


def test_wrong_ports_as_behind_a_network_address_translation(server_kind: ServerKind) -> None:
    def config(port: int) -> dict[str, str]:
        return {"cluster-announce-port": str(port + 1000), "cluster-announce-bus-port": str(port + 10_000)}

    with server_kind.create_cluster(primaries=2, replicas=0, config=config) as cluster:
        owner = cluster.owner(SLOT)
        other = next(node for node in cluster.nodes if node is not owner)
        assert ask(other, "GET", KEY) == f"MOVED {SLOT} 127.0.0.1:{owner.port + 1000}"
        cluster.move_slot(SLOT, other)
        cluster.heal()
        assert cluster.owner(SLOT) is owner


@every_server
def test_passwords(server_kind: ServerKind) -> None:
    user = ["--user", "reader", "on", ">other", "~*", "+@read"]
    with server_kind.create_cluster(primaries=2, password="p@ss", config=user) as cluster:
        owner = cluster.owner(KEY)
        other = next(node for node in cluster.nodes[:2] if node is not owner)
        assert cluster.url.startswith("redis://:p%40ss@127.0.0.1:")
        assert ask(owner, "GET", KEY).startswith("NOAUTH")
        owner.ask(raw("SET", KEY, "v"))
        cluster.move_slot(SLOT, other)
        with Raw(other.port) as client:
            client("AUTH", "reader", "other")
            assert client("GET", KEY) == b"v"
            with pytest.raises(hiredis.ReplyError, match="NOPERM"):
                client("SET", KEY, "w")
        cluster.crash(other)
        cluster.heal()
        assert owner.ask(raw("GET", KEY)) == b"v"


@pytest.fixture
def secure(server_kind: ServerKind, certificates: Certificates, tmp_path: Path) -> Iterator[EmbeddedCluster]:
    issued = certificates.authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "node.pem")
    config = {
        "tls-cert-file": str(tmp_path / "node.pem"),
        "tls-key-file": str(tmp_path / "node.pem"),
        "tls-ca-cert-file": str(certificates.write_ca(tmp_path / "ca.pem")),
        "tls-auth-clients": "no",
    }
    cluster = server_kind.create_cluster(primaries=2, tls=True, config=config)
    try:
        cluster.start()
    except EmbeddedServerError as error:
        if "TLS" not in str(error):
            raise
        pytest.skip(f"{server_kind.name} is built without TLS")
    yield cluster
    cluster.stop()


@every_server
def test_tls(secure: EmbeddedCluster, certificates: Certificates) -> None:
    owner = secure.owner(KEY)
    other = next(node for node in secure.nodes[:2] if node is not owner)
    assert f"127.0.0.1:{owner.tls_port}" in secure.tls_url
    assert secure.tls_url.startswith("rediss://")
    assert secure.replica_of(owner).is_linked()
    owner.ask(raw("SET", KEY, "v"))
    with pytest.raises(ReplyError, match="MOVED"):
        other.ask(raw("GET", KEY))
    assert tls_ask(certificates.client(), other.tls_port, b"GET %b" % KEY.encode()) == (
        b"-MOVED %d 127.0.0.1:%d\r\n" % (SLOT, owner.tls_port or 0)
    )
    secure.move_slot(SLOT, other)
    secure.crash(other)
    secure.heal()
    assert owner.ask(raw("GET", KEY)) == b"v"


def tls_ask(context: ssl.SSLContext, port: int | None, command: bytes) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port or 0), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(command + b"\r\n")
        return connection.recv(4096)


def test_a_cluster_without_tls(cluster: EmbeddedCluster) -> None:
    with pytest.raises(EmbeddedServerError, match="it takes tls=True"):
        _ = cluster.tls_url
    with pytest.raises(InvalidArgument, match="the 12 ports of 6 nodes"):
        EmbeddedCluster(base_port=22_760, tls=True)


def test_several_databases() -> None:
    with EmbeddedCluster(primaries=2, replicas=0, config={"cluster-databases": "3"}) as cluster:
        owner = cluster.owner(SLOT)
        other = next(node for node in cluster.nodes if node is not owner)
        assert list(owner.databases()) == [0, 1, 2]
        for number in (0, 2):
            owner.ask_all([Command(("SELECT", number)), raw("SET", KEY, number)])
        cluster.move_slot(SLOT, other)
        assert other.ask_all([Command(("SELECT", 2)), raw("GET", KEY)]) == [b"OK", b"2"]
        assert other.ask(raw("GET", KEY)) == b"0"


@every_server
def test_reading_from_replicas(cluster: EmbeddedCluster) -> None:
    owner = cluster.owner(KEY)
    ask(owner, "SET", KEY, "v")
    cluster.wait_replicated()
    assert ask(cluster.replica_of(owner), "GET", KEY, readonly=True) == b"v"
    assert cluster.execute(raw("PING")) == [b"PONG"] * 6
