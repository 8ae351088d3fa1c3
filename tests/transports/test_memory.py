"""``memory://``: one scenario of each interface on every runtime, and what the server does on demand."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streamcore import Address, Login, MemoryAddress
from streamcore.commands import incr, set_, xlen
from streamcore.errors import (
    AuthenticationError,
    ConnectFailed,
    ConnectionLost,
    InvalidArgument,
    NoPermissionError,
    ReadOnlyError,
    ReplyError,
    StreamcoreError,
    WatchedKeyChanged,
)
from tests.transports.runtimes import Runtime
from tests.transports.steps import drain
from transports.address import Target, parse
from transports.blocking import connect
from transports.memory import MemoryServer, MemoryServerError, shared_server


@pytest.fixture
def memory() -> Iterator[MemoryServer]:
    with MemoryServer() as server:
        yield server


# -- each interface, on each runtime -----------------------------------------------------------------------------------


async def test_commands_and_transactions(runtime: Runtime, memory: MemoryServer) -> None:
    async with runtime.connect(memory.url) as client:
        assert await client.hset("order", {"id": "42", "total": "9.50"}) == 2
        assert await client.hget("order", "total") == b"9.50"
        id_ = await client.xadd("orders", {"id": "42"})
        [(only, fields)] = await client.xrange("orders")
        assert (only, fields) == (id_, {b"id": b"42"})
        with pytest.raises(WatchedKeyChanged):  # noqa: PT012  # it is the end of the block that raises
            async with client.transaction(watch=["count"]) as transaction:
                transaction.queue(set_("count", "7"))
                await client.set("count", "1")
        assert await client.transaction([incr("count"), xlen("orders")]) == [2, 1]
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            await client.get("orders")


async def test_what_happens_to_keys(runtime: Runtime, memory: MemoryServer) -> None:
    async with runtime.connect(memory.url) as client:
        await client.config_set({"notify-keyspace-events": "KA"})
        async with client.key_events("user:*", decode="utf-8") as events:
            await client.set("user:7", "Ann", ex=0.25)
            assert [(event.key, event.event) for event in [await anext(events) for _ in range(2)]] == [
                ("user:7", "set"),
                ("user:7", "expire"),
            ]
            memory.advance(1.0)
            assert (await anext(events)).event == "expired"


async def test_copies_that_are_void(runtime: Runtime, memory: MemoryServer) -> None:
    void: list[Any] = []
    async with (
        runtime.connect(memory.url) as client,
        client.pubsub(channels=["c"], track="user:", on_invalidate=void.append) as pubsub,
    ):
        await client.set("user:7", "Ann")
        await client.set("other", "x")
        await client.publish("c", "now")
        assert (await anext(pubsub)).data == b"now"
        await runtime.until(lambda: void == [frozenset({b"user:7"})])


async def test_following_streams(runtime: Runtime, memory: MemoryServer) -> None:
    async with runtime.connect(memory.url) as client, client.consumer({"a": "0", "b": "$"}) as consumer:
        for n in range(20):
            await client.xadd("ab"[n % 2], {"n": str(n)})
        got = [int((await anext(consumer))["n"]) for _ in range(20)]
    assert sorted(got) == list(range(20))


async def test_a_group_shares_and_acknowledges(runtime: Runtime, memory: MemoryServer) -> None:
    async with runtime.connect(memory.url) as client:
        for n in range(30):
            await client.xadd("orders", {"n": str(n)})
        got: list[int] = []
        async with (
            client.group_consumer("orders", group="g", consumer="a", max_in_flight=10) as one,
            client.group_consumer("orders", group="g", consumer="b") as other,
        ):
            while len(got) < 30:
                for consumer in (one, other):
                    got += await drain(consumer, quiet=0.2)
                    assert await consumer.flush(timeout=5)
        assert sorted(got) == list(range(30))
        assert (await client.xpending("orders", "g")).entries == 0


async def test_publishing_and_subscribing(runtime: Runtime, memory: MemoryServer) -> None:
    async with (
        runtime.connect(memory.url) as client,
        client.pubsub(channels=["news"], patterns=["user:*"], decode="utf-8") as pubsub,
    ):
        assert await client.publish("news", "first") == 1
        assert await client.publish("user:1", "second") == 1
        messages = [await anext(pubsub) for _ in range(2)]
    assert [(message.channel, message.data) for message in messages] == [("news", "first"), ("user:1", "second")]


async def test_producing(runtime: Runtime, memory: MemoryServer) -> None:
    async with runtime.connect(memory.url) as client:
        async with client.producer("orders", maxlen=5) as producer:
            ids = [await producer.send({"n": str(n)}) for n in range(20)]
        assert ids == sorted(ids)
        assert await client.xlen("orders") >= 5


@pytest.mark.parametrize("like", ["valkey", "redis8"])
async def test_producing_what_is_sent_twice(runtime: Runtime, like: Any) -> None:
    """By a script, or by IDMP."""
    with MemoryServer(like=like) as server:
        async with runtime.connect(server.url) as client:
            for _ in range(2):
                async with client.producer("orders", idempotent=True, producer_id="p") as producer:
                    await producer.send({"n": "1"}, message_id="m")
            assert await client.xlen("orders") == 1


# -- what happens on demand --------------------------------------------------------------------------------------------


async def test_a_link_that_breaks_loses_nothing(runtime: Runtime, memory: MemoryServer) -> None:
    async with runtime.connect(memory.url, client_name="worker") as client:
        for n in range(50):
            await client.xadd("orders", {"n": str(n)})
        got, dropped = [], 0
        async with client.group_consumer("orders", group="g", consumer="a", count=10) as consumer:
            for at in range(50):
                entry = await anext(consumer)
                got.append(int(entry["n"]))
                entry.ack()
                if at in (7, 23):
                    assert memory.drop_link("nobody") == 0
                    dropped += memory.drop_link("worker")
            assert await consumer.flush(timeout=5)
        assert dropped >= 1
        assert sorted(set(got)) == list(range(50))
        assert (await client.xpending("orders", "g")).entries == 0


async def test_time_that_passes_for_the_server(runtime: Runtime, memory: MemoryServer) -> None:
    async with runtime.connect(memory.url) as client:
        await client.set("key", "value", ex=60)
        await client.xadd("orders", {"n": "1"})
        async with client.group_consumer("orders", group="g", consumer="a", renew=False) as dead:
            await anext(dead)
            memory.advance(61)
            assert await client.get("key") is None
            async with client.group_consumer("orders", group="g", consumer="b", claim_idle=60) as heir:
                entry = await heir.get(timeout=5)
                assert entry is not None
                assert entry["n"] == b"1"


async def test_a_password(runtime: Runtime) -> None:
    with MemoryServer(password="sesame") as server:
        async with runtime.connect(server.url, password="sesame") as client:
            assert await client.ping() == b"PONG"
        with pytest.raises(AuthenticationError):
            async with runtime.connect(server.url, password="wrong"):
                pass


async def test_nobody_listens(runtime: Runtime, memory: MemoryServer) -> None:
    memory.refuse_connections()
    with pytest.raises(ConnectFailed, match=f"memory://{memory.name} refused the connection"):
        async with runtime.connect(memory.url, request_timeout=0.2):
            pass
    memory.refuse_connections(refuse=False)
    async with runtime.connect(memory.url) as client:
        assert await client.ping() == b"PONG"


# -- the rest, which is the same for all -------------------------------------------------------------------------------


def test_commands_fail_as_often_as_they_shall(memory: MemoryServer) -> None:
    with connect(memory.url) as client:
        client.xadd("s", {"f": "v"})
        memory.fail_next("XLEN", error="ERR out of luck", times=2)
        for _ in range(2):
            with pytest.raises(ReplyError, match="out of luck"):
                client.xlen("s")
        assert client.xlen("s") == 1


def test_commands_are_denied_and_allowed_again(memory: MemoryServer) -> None:
    with connect(memory.url) as client:
        memory.deny("xgroup create", "SET")
        with pytest.raises(NoPermissionError):
            client.xgroup_create("s", "g", mkstream=True)
        with pytest.raises(NoPermissionError):
            client.set("a", "b")
        memory.allow("SET")
        client.set("a", "b")


def test_an_error_may_befall_all_writes(memory: MemoryServer) -> None:
    with connect(memory.url, request_timeout=1) as client:
        memory.fail_all("READONLY You can't write against a read only replica.")
        assert client.get("a") is None
        with pytest.raises(ReadOnlyError):
            client.set("a", "b")


def test_a_server_that_loads_its_data_is_waited_for(memory: MemoryServer) -> None:
    with connect(memory.url, request_timeout=1) as client:
        memory.fail_all("LOADING the dataset is loaded")
        with pytest.raises(StreamcoreError, match="LOADING"):
            client.get("a")
    with connect(memory.url) as client:
        threading.Timer(0.2, memory.fail_all, [None]).start()
        assert client.get("a") is None


def test_a_denied_acknowledgement_inside_a_script_is_denied(memory: MemoryServer) -> None:
    with connect(memory.url) as client:
        client.xadd("s", {"f": "v"})
        memory.deny("XACK")
        with client.group_consumer("s", group="g", consumer="a", fenced=True) as consumer:
            next(consumer).ack()
            with pytest.raises(NoPermissionError):
                consumer.flush(timeout=2)


def test_a_paused_server_answers_when_it_goes_on(memory: MemoryServer) -> None:
    with connect(memory.url) as client:
        memory.pause()
        done: list[bytes] = []
        asking = threading.Thread(target=lambda: done.append(client.ping()))
        asking.start()
        asking.join(0.1)
        assert done == []
        memory.resume()
        asking.join(5)
        assert done == [b"PONG"]


def test_what_was_received_is_remembered(memory: MemoryServer) -> None:
    with connect(memory.url) as client:
        memory.forget_commands()
        client.set("a", "b")
    assert (b"SET", b"a", b"b") in memory.commands


def test_a_server_that_ends_and_starts_again_has_its_data(memory: MemoryServer) -> None:
    with connect(memory.url) as client:
        client.set("a", "b")
        memory.stop()
        with pytest.raises((ConnectionLost, ConnectFailed)), connect(memory.url, request_timeout=0.2):
            pass
        memory.start()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                assert client.get("a") == b"b"
                break
            except ConnectionLost:
                pass
        assert client.get("a") == b"b"


def test_more_than_a_socket_takes_at_once(memory: MemoryServer) -> None:
    value = bytes(range(256)) * 40_000
    with connect(memory.url) as client:
        client.set("large", value)
        assert client.get("large") == value


def test_an_error_inside_the_server_leaves_nobody_waiting(
    memory: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)

    def effect(session: Any, keys: list[bytes], args: list[bytes]) -> int:
        raise ZeroDivisionError

    memory.add_script("return 1", effect)
    with connect(memory.url, request_timeout=1) as client:
        with pytest.raises(ConnectionLost):
            client.script("return 1")()
        with pytest.raises(ConnectionRefusedError):
            memory.connect()
    memory.stop()
    assert [one.exc_type for one in raised] == [ZeroDivisionError]


def test_a_name_is_shared_within_the_process() -> None:
    with connect("memory://shared-by-name") as one, connect("memory://shared-by-name?db=1") as other:
        one.set("a", "b")
        assert other.get("a") is None
        assert shared_server("shared-by-name").url == "memory://shared-by-name"
    with connect("memory://shared-by-name") as again:
        assert again.get("a") == b"b"
    shared_server("shared-by-name").stop()


def test_names_and_starts_are_exclusive(memory: MemoryServer) -> None:
    with pytest.raises(MemoryServerError, match="started already"):
        memory.start()
    with pytest.raises(InvalidArgument, match="is another server's"):
        MemoryServer(memory.name).start()
    with pytest.raises(InvalidArgument, match="choose one of valkey, redis7, redis8"):
        MemoryServer(like="redis6")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidArgument, match="a server's time does not go back"):
        memory.advance(-1)
    assert repr(memory) == f"<MemoryServer {memory.url} (running)>"


def test_a_script_of_ones_own_is_a_function(memory: MemoryServer) -> None:
    source = "return redis.call('INCRBY', KEYS[1], ARGV[1]) * 2"
    with connect(memory.url) as client:
        with pytest.raises(ReplyError, match="runs no Lua"):
            client.script(source)(["n"], [2])

        def effect(session: Any, keys: list[bytes], args: list[bytes]) -> int:
            return 2 * int(session.server.call(session, b"INCRBY", keys[0], args[0]))

        memory.add_script(source, effect)
        assert client.script(source)(["n"], [2]) == 4


def test_urls() -> None:
    assert parse("memory://orders") == Target(MemoryAddress("orders"))
    assert parse("memory://") == Target(MemoryAddress(""))
    assert parse("memory://a%20b/3") == Target(MemoryAddress("a b"), Login(database=3))
    assert parse("redis://h").address == Address("h")
    with pytest.raises(InvalidArgument, match="a server in memory has no TLS"):
        parse("memory://orders", tls=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_no_server(memory: MemoryServer) -> None:
    child = os.fork()
    if not child:
        try:
            memory.connect()
        except ConnectionRefusedError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
