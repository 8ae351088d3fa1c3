"""Clusters behind networks: announced names and ports, proxies, TLS, and seeds that are none."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal

import pytest

import transports.blocking
from streamcore import (
    ClosedError,
    ConnectFailed,
    ConnectionLost,
    ForkedError,
    InvalidArgument,
    NoPermissionError,
    StreamcoreError,
)
from streamcore.commands import get, key_slot, set_
from tests.support.cluster import ask
from tests.support.proxy import Proxy
from tests.support.servers import Certificates
from tests.transports.runtimes import Runtime
from transports.embedded import EmbeddedCluster, EmbeddedNode, EmbeddedServer

KEY = "{orders}1"
SLOT = key_slot(KEY)
MANY = [f"key{number}" for number in range(60)]
"""Keys of many slots, at all nodes."""


def stranger(cluster: EmbeddedCluster) -> EmbeddedNode:
    """A primary that does not own the key."""
    return next(node for node in map(cluster.owner, (0, 8000, 16000)) if node is not cluster.owner(KEY))


class Gateways:
    """A proxy in front of each node, which the nodes do not know."""

    def __init__(self, cluster: EmbeddedCluster, stack: ExitStack, tls: dict[EmbeddedNode, ssl.SSLContext]) -> None:
        self.proxies = {node: stack.enter_context(Proxy(node.address, tls=tls.get(node))) for node in cluster.nodes}
        self.map = {("127.0.0.1", node.port): ("localhost", proxy.port) for node, proxy in self.proxies.items()}

    def url(self, node: EmbeddedNode, scheme: str = "redis") -> str:
        return f"{scheme}://localhost:{self.proxies[node].port}"


@pytest.fixture
def gateways(cluster: EmbeddedCluster) -> Iterator[Gateways]:
    with ExitStack() as stack:
        yield Gateways(cluster, stack, {})


@pytest.mark.runtimes("asyncio", "pumped")
async def test_nodes_behind_proxies(runtime: Runtime, cluster: EmbeddedCluster, gateways: Gateways) -> None:
    async with runtime.connect(gateways.url(cluster.nodes[0]), address_map=gateways.map) as client:
        assert {str(node.address) for node in client.nodes()} == {
            f"localhost:{port}" for _, port in gateways.map.values()
        }
        assert await client.pipeline([set_(key, 1) for key in MANY]) == [b"OK"] * 60
        assert await client.incr(KEY) == 1
        cluster.move_slot(SLOT, stranger(cluster))
        assert await client.incr(KEY) == 2
    assert all(gateways.proxies[cluster.owner(slot)].accepted for slot in (0, 8000, 16000))


@pytest.mark.runtimes("asyncio", "pumped")
async def test_without_the_map_nodes_behind_proxies_are_not_reached(
    runtime: Runtime, cluster: EmbeddedCluster, gateways: Gateways
) -> None:
    """Only hosts that were given may be dialled, and the nodes announce another."""
    url, why = (
        gateways.url(cluster.nodes[0]),
        "which leads nowhere from here, or may not be followed: .* pass address_map=",
    )
    with pytest.raises(ConnectFailed, match=f"^{url.rpartition('/')[2]} announces 127.0.0.1:[0-9]+, {why}"):
        async with runtime.connect(url, cluster=True, follow="seeds", request_timeout=1):
            pass


async def refused(client: Any, key: str) -> StreamcoreError:
    with pytest.raises(StreamcoreError) as raised:
        await client.get(key)
    return raised.value


# -- TLS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(cluster: EmbeddedCluster, certificates: Certificates) -> Iterator[Gateways]:
    with ExitStack() as stack:
        yield Gateways(cluster, stack, dict.fromkeys(cluster.nodes, certificates.server()))


@pytest.fixture
def ca_file(certificates: Certificates, tmp_path: Path) -> Path:
    return certificates.write_ca(tmp_path / "ca.pem")


async def test_every_node_is_dialled_by_tls(
    runtime: Runtime, cluster: EmbeddedCluster, secure: Gateways, ca_file: Path
) -> None:
    url = f"{secure.url(cluster.nodes[0], 'rediss')}?ca_file={ca_file}"
    async with runtime.connect(url, address_map=secure.map) as client:
        assert await client.pipeline([set_(key, 1) for key in MANY]) == [b"OK"] * 60
        cluster.move_slot(SLOT, stranger(cluster))
        assert await client.incr(KEY) == 1
        async with client.pubsub("news") as pubsub:
            await client.publish("news", "1")
            assert (await anext(pubsub)).data == b"1"


@pytest.mark.runtimes("asyncio", "pumped")
async def test_tls_is_not_dropped_on_a_redirect(
    runtime: Runtime, cluster: EmbeddedCluster, secure: Gateways, ca_file: Path
) -> None:
    """The map leads to the plain port of a node: it is greeted by TLS, and hears no command."""
    del secure.map["127.0.0.1", (plain := cluster.owner(KEY)).port]
    seed = stranger(cluster)
    url = f"{secure.url(seed, 'rediss')}?ca_file={ca_file}"
    async with runtime.connect(url, address_map=secure.map, request_timeout=3, connect_timeout=0.5) as client:
        error = await refused(client, KEY)
        assert f"no connection to 127.0.0.1:{plain.port}" in str(error)
        others = [key for key in MANY if cluster.owner(key) is not plain]
        assert set(await client.pipeline([get(key) for key in others])) == {None}


@pytest.mark.runtimes("asyncio", "pumped")
async def test_a_node_with_a_certificate_of_another_name(
    runtime: Runtime, cluster: EmbeddedCluster, certificates: Certificates, ca_file: Path
) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.authority.issue_cert("elsewhere.example").configure_cert(other)
    contexts = {**dict.fromkeys(cluster.nodes, certificates.server()), (wrong := cluster.owner(KEY)): other}
    with ExitStack() as stack:
        gateways = Gateways(cluster, stack, contexts)
        url = f"{gateways.url(stranger(cluster), 'rediss')}?ca_file={ca_file}"
        async with runtime.connect(url, address_map=gateways.map) as client:
            error = await refused(client, KEY)
            assert f"localhost:{gateways.proxies[wrong].port} (TLS)" in str(error)
            assert "certificate" in str(error)
            others = [key for key in MANY if cluster.owner(key) is not wrong]
            assert set(await client.pipeline([get(key) for key in others])) == {None}


# -- announced names -----------------------------------------------------------------------------------------------------


@pytest.mark.every_server
def test_announced_names_are_dialled(cluster: EmbeddedCluster) -> None:
    cluster.configure({"cluster-announce-hostname": "localhost"})
    preferred: list[tuple[Literal["hostname", "ip"], str]] = [("hostname", "localhost"), ("ip", "127.0.0.1")]
    for prefer, host in preferred:
        with transports.blocking.connect(cluster.url, prefer=prefer) as client:
            assert {node.address.host for node in client.nodes()} == {host}  # type: ignore[union-attr]
            assert client.pipeline([set_(key, 1) for key in MANY]) == [b"OK"] * 60
    cluster.configure({"cluster-preferred-endpoint-type": "hostname"})
    with transports.blocking.connect(cluster.url) as client:
        before = client.incr(KEY)
        cluster.move_slot(SLOT, stranger(cluster))
        assert client.incr(KEY) == before + 1


@pytest.mark.every_server
def test_a_host_that_no_node_announces_is_that_of_the_node_that_answers(cluster: EmbeddedCluster) -> None:
    cluster.configure({"cluster-preferred-endpoint-type": "unknown-endpoint"})
    seeds = [node.url.replace("127.0.0.1", "localhost") for node in cluster.nodes]
    with transports.blocking.connect(seeds, prefer="hostname") as client:
        assert client.incr(KEY) == 1
        cluster.move_slot(SLOT, stranger(cluster))
        assert client.incr(KEY) == 2


# -- seeds ---------------------------------------------------------------------------------------------------------------


@pytest.mark.runtimes("asyncio", "pumped")
async def test_dead_seeds_are_passed_over(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(["redis://localhost:1", cluster.nodes[2].url, "redis://127.0.0.1:2"]) as client:
        assert await client.incr(KEY) == 1


@pytest.mark.runtimes("asyncio", "pumped")
async def test_a_standalone_server_among_the_seeds(
    runtime: Runtime, cluster: EmbeddedCluster, server: EmbeddedServer
) -> None:
    for seeds in ([cluster.nodes[0].url, server.url], [server.url, cluster.nodes[0].url]):
        with pytest.raises(InvalidArgument, match=f"127.0.0.1:{server.port} is a standalone server"):  # noqa: PT012
            async with runtime.connect(seeds) as client:
                for _ in range(500):
                    with suppress(ConnectionLost):  # of a call that is under way then
                        await client.incr(KEY)
                    await runtime.sleep(0.01)


@pytest.mark.every_server
def test_a_user_who_may_not_ask_for_the_topology(cluster: EmbeddedCluster) -> None:
    for node in cluster.nodes:
        ask(node, "ACL", "SETUSER", "blind", "on", ">pw", "~*", "&*", "+@all", "-cluster|slots")
    try:
        with (
            pytest.raises(NoPermissionError, match=r"cluster\|slots"),
            transports.blocking.connect(cluster.url, username="blind", password="pw"),
        ):
            pass
    finally:
        for node in cluster.nodes:
            ask(node, "ACL", "DELUSER", "blind")


# -- at any moment -------------------------------------------------------------------------------------------------------


@pytest.mark.runtimes("async")
async def test_a_call_that_waits_for_a_slot_is_given_up(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        assert await client.incr(KEY) == 1
        cluster.uncover(SLOT)
        assert await runtime.briefly(0.4, client.incr, KEY) is None
        cluster.cover(SLOT)
        assert await client.get(KEY) == b"1", "what was given up was never executed"


async def test_a_client_is_closed_while_calls_wait_and_the_cluster_is_asked(
    runtime: Runtime, cluster: EmbeddedCluster
) -> None:
    async with runtime.tasks() as tasks:
        async with runtime.connect(cluster.url) as client:
            await client.get(KEY)
            cluster.uncover(SLOT)
            task = tasks.start(client.get, KEY)
            await runtime.sleep(0.3)
        assert isinstance(await task.raised(), (ClosedError, ConnectionLost))


async def test_a_forked_child(runtime: Runtime, cluster: EmbeddedCluster) -> None:
    async with runtime.connect(cluster.url) as client:
        await client.pipeline([set_(key, 1) for key in MANY])
        pid = os.fork()
        if not pid:
            try:
                await client.get(MANY[0])
            except ForkedError:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert await client.pipeline([get(key) for key in MANY]) == [b"1"] * 60
