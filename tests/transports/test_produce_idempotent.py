"""Idempotent producers: whatever breaks, each entry is in the stream exactly once, by IDMP or by a script."""

from __future__ import annotations

import random

import pytest

from streamcore import CommandErrors, DeliveryUnknown, InvalidArgument, ReplyError, StreamId
from streamcore.commands import key_slot
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from tests.transports.runtimes import Runtime
from tests.transports.steps import HASTE, answer, entered
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.core("producer/test_deduplication", "producer/test_deduplication_by_server")

REDIS8 = "redis8"


def numbers(raw: Raw) -> list[int]:
    return [int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")]


@pytest.mark.every_server
async def test_each_entry_is_there_once_although_connections_break(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    draw = random.Random(4)
    async with runtime.connect(proxy.url) as client, client.producer("s", idempotent=True) as producer:
        ids: list[StreamId] = []
        for first in range(0, 3000, 300):
            proxy.cut_after(draw.randrange(1, 6000), draw.choice(["upstream", "downstream"]), hard=draw.random() < 0.5)
            ids += await producer.send_many({"n": n} for n in range(first, first + 300))
    assert numbers(raw) == list(range(3000))
    assert ids == [StreamId.parse(id_) for id_, _ in raw("XRANGE", "s", "-", "+")]


@pytest.mark.every_server
async def test_many_tasks_while_connections_break(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    draw = random.Random(5)
    async with (
        runtime.connect(proxy.url) as client,
        client.producer("s", idempotent=True) as producer,
        runtime.tasks() as tasks,
    ):

        async def produce(first: int) -> list[StreamId]:
            return [await producer.send({"n": n}) for n in range(first, first + 25)]

        sending = [tasks.start(produce, first) for first in range(0, 500, 25)]
        for _ in range(8):
            proxy.cut_after(draw.randrange(100, 4000), draw.choice(["upstream", "downstream"]))
            await runtime.sleep(0.03)
        ids = [id_ for task in sending for id_ in await task.result()]
    assert sorted(numbers(raw)) == list(range(500))
    assert len(set(ids)) == 500


@pytest.mark.every_server
async def test_after_a_restart_the_same_message_is_answered_by_the_first_id(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    ids: list[StreamId] = []
    for n in range(3):
        async with runtime.connect(server.url) as client, client.producer("s", producer_id="billing") as producer:
            ids.append(await producer.send({"n": 0}, message_id="order-42"))
            sent = await producer.send_nowait({"n": 0}, message_id=b"order-42")
            ids.append(await sent.wait())
            await producer.send({"n": n + 1})  # its own numbers begin anew, and are no repetition
    assert len(set(ids)) == 1
    assert numbers(raw) == [0, 1, 2, 3]


@pytest.mark.every_server
async def test_by_the_servers_own_means_where_it_has_them(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, server_kind: ServerKind
) -> None:
    async with runtime.connect(server.url) as client:
        async with client.producer("s", producer_id="p") as producer:
            await producer.send({"n": 0})
        async with client.producer("a{tag}b", producer_id="p") as producer:
            await producer.send({"n": 0})
        keys = sorted(raw("KEYS", "*"))
    if server_kind.name == REDIS8:
        assert keys == [b"a{tag}b", b"s"]
    else:
        assert keys == [b"a{tag}b", b"a{tag}b:sent:p", b"s", b"{s}:sent:p"]
        assert 90_000 < raw("PTTL", "{s}:sent:p") <= 100_000
        assert key_slot("{s}:sent:p") == key_slot("s")
        assert key_slot("a{tag}b:sent:p") == key_slot("a{tag}b")


async def test_the_script_remembers_the_last_thousand(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.producer("s", producer_id="p") as producer:
        first = await producer.send({"n": 0}, message_id="m")
        await producer.send_many({"n": n} for n in range(1, 1000))
        assert await producer.send({"n": 0}, message_id="m") == first
        await producer.send({"n": 1000})
        assert await producer.send({"n": 0}, message_id="m") > first
    assert raw("HLEN", "{s}:sent:p") == 2001


async def test_a_server_that_forgets_its_scripts(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.producer("s", idempotent=True) as producer:
        for first in range(0, 300, 100):
            await producer.send_many({"n": n} for n in range(first, first + 100))
            raw("SCRIPT", "FLUSH")
    assert numbers(raw) == list(range(300))


@pytest.mark.every_server
async def test_a_server_that_is_killed_and_comes_back(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    server = fresh_server
    async with (
        runtime.connect(server.url, request_timeout=20) as client,
        client.producer("s", idempotent=True) as producer,
        runtime.tasks() as tasks,
    ):

        async def produce() -> list[StreamId]:
            return [await producer.send({"n": n}) for n in range(500)]

        producing = tasks.start(produce)
        for _ in range(2):
            await runtime.sleep(0.1)
            server.kill()
            server.restart()
        await producing.result()
        with Raw(server.address) as raw:
            assert numbers(raw) == list(range(500))


async def test_no_answer_in_time_is_still_unknown(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    async with (
        entered(lambda: runtime.connect(proxy.url, request_timeout=HASTE)) as client,
        entered(lambda: client.producer("s", producer_id="p")) as producer,
    ):
        proxy.freeze("downstream")
        with pytest.raises(DeliveryUnknown):
            await producer.send({"n": 0}, message_id="m")
        proxy.thaw()
        id_ = await answer(producer.send, {"n": 0}, message_id="m")  # the application may repeat it
    assert numbers(raw) == [0]
    assert id_ == StreamId.parse(raw("XRANGE", "s", "-", "+")[0][0])


@pytest.mark.every_server
async def test_a_refused_entry_is_an_error_and_not_repeated(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("ACL", "SETUSER", "writer", "on", ">secret", "~*", "+@all", "-xadd")
    raw("SET", "s", "text")
    async with runtime.connect(server.url) as client, client.producer("s", idempotent=True) as producer:
        for _ in range(2):
            with pytest.raises(ReplyError, match=r"WRONGTYPE .*in reply to XADD"):
                await producer.send({"n": 0})
    async with (
        runtime.connect(server.url, username="writer", password="secret") as client,
        client.producer("t", idempotent=True) as producer,
    ):
        with pytest.raises(ReplyError, match=r"permission|can't run") as caught:
            await producer.send({"n": 0})
        assert "secret" not in str(caught.value)
    raw("ACL", "DELUSER", "writer")


async def test_what_cannot_be_idempotent(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        with pytest.raises(InvalidArgument, match="producer_id is empty"):
            client.producer("s", producer_id="")
        async with client.producer("s", idempotent=True) as producer:
            with pytest.raises(InvalidArgument, match="needs id='\\*'"):
                await producer.send({"n": 0}, id="5-5")
            with pytest.raises(InvalidArgument, match="message_id is empty"):
                await producer.send({"n": 0}, message_id="")
        async with client.producer("s") as plain:
            with pytest.raises(InvalidArgument, match="message_id needs idempotent=True"):
                await plain.send({"n": 0}, message_id="m")
    async with runtime.connect(server.url, request_timeout=101) as patient:
        with pytest.raises(InvalidArgument, match="remembered for 100 seconds, and may be sent again for 101"):
            patient.producer("s", idempotent=True)
    assert not raw("EXISTS", "s")


@pytest.mark.every_server
async def test_a_stream_that_remembers_less(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, server_kind: ServerKind, proxy: Proxy
) -> None:
    raw("XADD", "s", "*", "n", "0")
    if server_kind.name != REDIS8:  # it alone can be told how much to remember
        async with runtime.connect(server.url) as client:
            with pytest.raises(ReplyError, match=r"needs Redis 8\.6"):
                await client.xcfgset("s", idmp_duration=60)
        return
    raw("XCFGSET", "s", "IDMP-DURATION", 60, "IDMP-MAXSIZE", 5)
    async with runtime.connect(proxy.url) as client:
        async with client.producer("s", idempotent=True) as producer:
            proxy.cut_after(3000, "downstream")
            await producer.send_many({"n": n} for n in range(1, 200))
        assert numbers(raw) == list(range(200))
        raw("XCFGSET", "s", "IDMP-DURATION", 2)
        with pytest.raises(InvalidArgument, match="remembered for 2 seconds"):
            async with client.producer("s", idempotent=True):
                pass


@pytest.mark.runtimes("async")
async def test_a_cancelled_entry_that_waits_never_leaves(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    async with (
        runtime.connect(proxy.url) as client,
        client.producer("s", idempotent=True) as producer,
        runtime.tasks() as tasks,
    ):
        await producer.send({"n": 0})
        proxy.refuse()
        proxy.cut()
        sending = [tasks.start(producer.send, {"n": n}) for n in range(1, 10)]
        await runtime.sleep(0.05)
        for task in sending[:8]:
            task.cancel()
        await runtime.sleep(0.05)
        proxy.accept()
        await sending[8].result()
    assert numbers(raw) == [0, 9]


async def test_errors_of_a_group_are_those_of_its_entries(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("SET", "s", "text")
    async with runtime.connect(server.url) as client, client.producer("s", idempotent=True) as producer:
        for n in range(3):
            await producer.send_nowait({"n": n})
        with pytest.raises(CommandErrors) as caught:
            await producer.flush()
        assert len(caught.value.exceptions) == 3


@pytest.mark.every_server
async def test_a_primary_that_becomes_a_replica_and_returns(runtime: Runtime, fresh_server: EmbeddedServer) -> None:
    server = fresh_server
    with Raw(server.address) as raw:
        async with (
            runtime.connect(server.url, request_timeout=20) as client,
            client.producer("s", idempotent=True) as producer,
            runtime.tasks() as tasks,
        ):
            await producer.send({"n": 0})
            raw("REPLICAOF", "127.0.0.1", 1)
            sending = tasks.start(producer.send_many, [{"n": n} for n in range(1, 200)])
            await runtime.sleep(0.2)
            assert not sending.finished
            raw("REPLICAOF", "NO", "ONE")
            assert len(await sending.result()) == 199
        there = numbers(raw)
        # The server may change its mind in the middle of a batch: what it has refused of it stands behind the rest.
        refused = there.index(1)
        assert there == [0, *range(200 - refused + 1, 200), *range(1, 200 - refused + 1)]
