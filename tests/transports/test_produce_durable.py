"""Producers whose ids mean more than the memory of one server: replicas, and disks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamcore import DeliveryUnknown, Disk, InvalidArgument, NotDurable, Replicas, StreamId
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from tests.transports.runtimes import Runtime
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.core("producer/test_durability")

ONE = Replicas(1, timeout=3)
BRIEFLY = Replicas(1, timeout=0.2)
AT_ONCE = {"repl-diskless-sync-delay": "0", "hz": "500"}


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[ServerKind, tuple[EmbeddedServer, EmbeddedServer]]]:
    """Primaries and their replicas, one pair of each kind of server, kept for the module."""
    started: dict[ServerKind, tuple[EmbeddedServer, EmbeddedServer]] = {}
    yield started
    for pair in started.values():
        for server in pair:
            server.stop()


@pytest.fixture
def primary(pairs: dict[ServerKind, tuple[EmbeddedServer, EmbeddedServer]], server_kind: ServerKind) -> EmbeddedServer:
    if server_kind not in pairs:
        primary, replica = pairs[server_kind] = server_kind.create(config=AT_ONCE), server_kind.create(config=AT_ONCE)
        primary.start()
        replica.start()
        with Raw(replica.address) as raw:
            raw("REPLICAOF", "127.0.0.1", primary.port)
    primary, _ = pairs[server_kind]
    with Raw(primary.address) as raw:
        raw("FLUSHALL")
        while not raw("WAIT", 1, 100):
            pass
    return primary


@pytest.fixture
def replica(
    pairs: dict[ServerKind, tuple[EmbeddedServer, EmbeddedServer]], primary: EmbeddedServer, server_kind: ServerKind
) -> Iterator[EmbeddedServer]:
    yield pairs[server_kind][1]
    pairs[server_kind][1].resume()


@pytest.mark.every_server
async def test_an_id_means_that_the_replica_has_it(
    runtime: Runtime, primary: EmbeddedServer, replica: EmbeddedServer
) -> None:
    with Raw(replica.address) as raw:
        async with (
            runtime.connect(primary.url) as client,
            client.producer("s", durability=ONE) as producer,
            runtime.tasks() as tasks,
        ):
            for n in range(5):
                id_ = await producer.send({"n": n})
                assert StreamId.parse(raw("XREVRANGE", "s", "+", "-", "COUNT", 1)[0][0]) == id_
            sending = [tasks.start(producer.send, {"n": n}) for n in range(20)]
            for task in sending:
                assert raw("XRANGE", "s", str(id_ := await task.result()), str(id_))
            ids = await producer.send_many({"n": n} for n in range(2500))
            assert raw("XLEN", "s") == 2525
            assert ids == sorted(ids)


@pytest.mark.every_server
async def test_too_few_replicas(runtime: Runtime, primary: EmbeddedServer, replica: EmbeddedServer) -> None:
    with Raw(primary.address) as raw:
        async with runtime.connect(primary.url) as client, client.producer("s", durability=BRIEFLY) as producer:
            replica.pause()
            with pytest.raises(NotDurable, match="the entry is in the stream, confirmed by 0 replicas") as caught:
                await producer.send({"n": 1})
            assert caught.value.replicas == 0
            assert StreamId.parse(raw("XRANGE", "s", "-", "+")[0][0]) == caught.value.id
            replica.resume()


@pytest.mark.every_server
async def test_a_repetition_is_confirmed_as_well(
    runtime: Runtime, primary: EmbeddedServer, replica: EmbeddedServer
) -> None:
    """Over a new connection, which has written nothing, WAIT alone would be content with anything."""
    async with runtime.connect(primary.url) as client:
        async with client.producer("s", durability=ONE, producer_id="p") as producer:
            first = await producer.send({"n": 0}, message_id="m")
        replica.pause()
        async with client.producer("s", durability=BRIEFLY, producer_id="p") as producer:
            with pytest.raises(NotDurable) as caught:
                await producer.send({"n": 0}, message_id="m")
            assert caught.value.id == first
        replica.resume()
        async with client.producer("s", durability=ONE, producer_id="p") as producer:
            assert await producer.send({"n": 0}, message_id="m") == first
    with Raw(primary.address) as raw:
        assert raw("XLEN", "s") == 1


@pytest.mark.every_server
async def test_on_the_disk(runtime: Runtime, fresh_server: EmbeddedServer, server_kind: ServerKind) -> None:
    server = fresh_server
    async with runtime.connect(server.url, request_timeout=2) as client:
        producer = client.producer("s", durability=Disk())
        if server_kind.name == "redis7":
            with pytest.raises(InvalidArgument, match=r"needs WAITAOF \(Redis 7.2 or .*, and this is redis 7.0"):
                async with producer:
                    pass
            return
        async with producer:
            ids = await producer.send_many({"n": n} for n in range(10))
            server.kill()
            server.restart()
            with Raw(server.address) as raw:
                assert [StreamId.parse(id_) for id_, _ in raw("XRANGE", "s", "-", "+")] == ids


async def test_a_server_without_an_append_only_file(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.producer("s", durability=Disk()) as producer:
        with pytest.raises(NotDurable, match="in the stream, and the server refused to wait: ERR WAITAOF") as caught:
            await producer.send({"n": 0})
        assert caught.value.replicas is None
        assert raw("XLEN", "s") == 1


async def test_an_entry_whose_answer_is_lost(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    async with runtime.connect(proxy.url) as client, client.producer("s", durability=BRIEFLY) as producer:
        proxy.cut_after(3, "downstream")
        with pytest.raises(DeliveryUnknown):
            await producer.send({"n": 0})
        proxy.cut_after(24, "downstream")  # behind "$15\r\n1234567890123-0\r\n", or in it: before WAIT is answered
        with pytest.raises((NotDurable, DeliveryUnknown)):
            await producer.send({"n": 1})
    assert raw("XLEN", "s") == 2
