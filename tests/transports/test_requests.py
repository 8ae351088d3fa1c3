"""Commands of a client: each gets its own reply, or an error that says what became of it."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from streamcore import ConnectionLost, InvalidArgument, ReplyError, RequestTimeout, WrongTypeError
from streamcore.commands import get, incr, set_, xlen
from streamcore.commands import raw as command
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import answer, entered
from transports.anyio import Client
from transports.embedded import EmbeddedServer


@pytest.mark.every_server
async def test_commands(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        assert await client.ping() == b"PONG"
        await client.set("key", "value")
        assert await client.get("key") == b"value"
        assert await client.execute(get("key").text()) == "value"
        assert await client.get("no such key") is None
        assert [await client.incr("n") for _ in range(3)] == [1, 2, 3]
        assert await client.hset("h", {"a": 1, "b": 2.5}) == 2
        assert await client.hgetall("h") == {b"a": b"1", b"b": b"2.5"}
        id_ = await client.xadd("s", {"n": 0})
        assert await client.xrange("s") == [(id_, {b"n": b"0"})]
        assert await client.exists("key", "h", "s", "x") == 3
        assert await client.execute(command("OBJECT", "ENCODING", "n")) == b"int"
        assert await client.expire("key", 100)
        assert 99 < (await client.ttl("key") or 0) <= 100
        assert await client.delete("key", "x") == 1
        assert "redis_version" in await client.info("server")
    assert raw("DBSIZE") == 3


async def test_a_pipeline_with_an_error_in_its_place(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        asked = [set_("text", "a"), incr("text"), xlen("text"), incr("n"), command("NO-SUCH"), get("text")]
        replies = await client.pipeline(asked)
        assert await client.pipeline([]) == []
        with pytest.raises(WrongTypeError) as caught:
            await client.xlen("text")
    assert (replies[0], replies[3], replies[5]) == (b"OK", 1, b"a")
    assert [type(reply) for reply in replies[1:3]] == [ReplyError, WrongTypeError]
    assert [replies[at].command for at in (1, 2, 4)] == ["INCR", "XLEN", "NO-SUCH"]
    assert (caught.value.code, caught.value.command) == ("WRONGTYPE", "XLEN")


async def test_large_values(runtime: Runtime, server: EmbeddedServer) -> None:
    blob = random.Random(1).randbytes(3_000_000)
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:

        async def there_and_back(key: str) -> bytes | None:
            await client.set(key, blob + key.encode())
            return await client.get(key)

        moving = [tasks.start(there_and_back, f"key{n}") for n in range(4)]
        for n, task in enumerate(moving):
            assert await task.result() == blob + b"key%d" % n


@pytest.mark.every_server
async def test_a_hundred_tasks_share_a_client(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:

        async def work(n: int) -> None:
            key = f"key{n}"
            for turn in range(10):
                await client.set(key, f"{n}:{turn}")
                assert await client.get(key) == b"%d:%d" % (n, turn)
                replies = await client.pipeline([get(key), incr("total")])
                assert replies[0] == b"%d:%d" % (n, turn)

        for n in range(100):
            tasks.start(work, n)
    async with runtime.connect(server.url) as client:
        assert await client.get("total") == b"1000"


async def test_commands_that_would_change_a_shared_connection(runtime: Runtime, server: EmbeddedServer) -> None:
    async with runtime.connect(server.url) as client:
        for words in (["SELECT", 1], ["subscribe", "x"], ["CLIENT", "REPLY", "OFF"], ["WATCH", "key"]):
            with pytest.raises(InvalidArgument, match="cannot run on a shared connection"):
                await client.execute(command(*words))
        assert await client.ping() == b"PONG"


async def test_no_answer_within_the_request_timeout(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    raw("SET", "key", "value")
    async with entered(lambda: runtime.connect(proxy.url, request_timeout=0.2)) as client:
        proxy.freeze()
        began = time.monotonic()
        with pytest.raises(ConnectionLost) as caught:
            await client.incr("n")
        assert 0.15 < time.monotonic() - began < 4
        assert caught.value.sent
        error = str(caught.value)
        if "in time" not in error:  # as the connection says, where the machine has stalled beyond its deadline, too
            assert isinstance(caught.value, RequestTimeout)
            assert f"127.0.0.1:{proxy.port} did not answer within 0.2 s" in error
        proxy.thaw()
        assert await answer(client.get, "key") == b"value"  # and not the late answer of INCR


async def test_late_replies_reach_nobody_else(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    for n in range(40):
        raw("SET", f"key{n}", n)
    with Proxy(server.address) as proxy:
        async with (
            entered(lambda: runtime.connect(proxy.url, request_timeout=0.1)) as client,
            runtime.tasks() as tasks,
        ):
            proxy.delay(0.08, "downstream")  # about half of them are too late

            async def work(n: int) -> int:
                late = 0
                for _ in range(5):
                    try:
                        assert await client.get(f"key{n}") == b"%d" % n
                    except ConnectionLost:
                        late += 1
                return late

            for n in range(40):
                tasks.start(work, n)


async def test_a_cut_connection(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    """What may be repeated is repeated; of the rest the caller learns that it was sent."""
    raw("SET", "key", "value")
    async with runtime.connect(proxy.url) as client:
        await client.ping()
        proxy.cut_after(2, "downstream")
        assert await client.get("key") == b"value"
        proxy.cut_after(2, "downstream")
        with pytest.raises(ConnectionLost, match="the server may have executed the request") as caught:
            await client.incr("n")
        assert caught.value.sent
        await client.ping()  # there is a new connection
        proxy.cut_after(2, "downstream", hard=True)
        with pytest.raises(ConnectionLost):
            await client.pipeline([get("key"), incr("n")])
        assert await client.get("n") == b"2"


async def test_waiting_while_there_is_no_connection(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, log: pytest.LogCaptureFixture
) -> None:
    async with runtime.connect(proxy.url) as client, runtime.tasks() as tasks:
        proxy.refuse()
        proxy.cut()
        await runtime.until(lambda: "Client Disconnected" in log.text)
        waiting = [tasks.start(client.incr, "n") for _ in range(20)]
        await runtime.sleep(0.02)
        assert raw("EXISTS", "n") == 0
        proxy.accept()
        assert sorted([await task.result() for task in waiting]) == list(range(1, 21))


async def test_nobody_there_any_more(
    runtime: Runtime, server: EmbeddedServer, proxy: Proxy, log: pytest.LogCaptureFixture
) -> None:
    async with entered(lambda: runtime.connect(proxy.url, request_timeout=0.2)) as client:
        log.clear()
        proxy.refuse()
        proxy.cut()
        await runtime.until(lambda: "Client ConnectAttemptFailed" in log.text)
        with pytest.raises(ConnectionLost, match=f"127.0.0.1:{proxy.port} within 0.2 s: .*refused") as caught:
            await client.incr("n")
        assert not caught.value.sent


@pytest.mark.runtimes("async")  # threads write for themselves
async def test_concurrent_tasks_leave_together(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """The commands of many tasks leave in few writes, so that the server reads them at once."""

    def reads() -> int:
        info: bytes = raw("INFO", "stats")
        return int(info.split(b"total_reads_processed:")[1].split(b"\r")[0])

    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        before = reads()
        for task in [tasks.start(client.incr, "n") for _ in range(200)]:
            await task.result()
        assert reads() - before < 20


async def test_back_pressure(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """More than fits the outgoing buffer waits its turn; 80 MB at a time go through a client that keeps 64."""
    blob = bytes(4_000_000)

    async def store(client: Client, key: Any) -> None:
        await client.set(f"key{key}", blob)

    async with runtime.connect(server.url, request_timeout=20) as client, runtime.tasks() as tasks:
        for n in range(20):
            tasks.start(store, client, n)
    assert raw("DBSIZE") == 20
