"""A client of a service that Sentinels watch: how it finds the primary, and goes on with the next; what it says of wrong URLs."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore import ConnectFailed, ConnectionLost, InvalidArgument, NoSentinelError
from streamcore.commands import info, raw
from streamcore.events import Event
from streamcore.options import Login, SentinelAddress, ServerKind
from streamcore.topology_events import PrimaryChanged
from tests.support.proxy import Proxy
from tests.support.servers import Certificates
from tests.transports.runtimes import Runtime
from transports._facade.settings import Settings
from transports.address import TLS
from transports.embedded import EmbeddedSentinels


def names(sentinels: EmbeddedSentinels, service: str) -> str:
    return sentinels.url.rpartition("/")[0] + f"/{service}"


def where(client: Any) -> int:
    """The port of the only node that the client knows."""
    [node] = client.nodes()
    port: int = node.address.port
    return port


async def number(consumer: Any, timeout: float) -> bytes:
    value: bytes = (await consumer.get(timeout=timeout))["n"]
    return value


async def value_after(runtime: Runtime, client: Any, key: str) -> int:
    """Count up, as soon as that can be done."""
    while True:
        try:
            answer: int = await client.incr(key)
        except ConnectionLost:
            await runtime.sleep(0.01)
        else:
            return answer


@pytest.mark.every_server
@pytest.mark.core("sentinel/test_failover")
async def test_everything_follows_the_primary(runtime: Runtime, sentinels: EmbeddedSentinels) -> None:
    events: list[Event] = []
    former = sentinels.primary
    async with runtime.connect(sentinels.url, on_event=events.append) as client:
        assert where(client) == former.port
        await client.xadd("s", {"n": "1"})
        async with (
            client.group_consumer("s", group="g", consumer="c", start="0", block=1.0) as group,
            client.consumer({"s": "0"}, block=1.0) as reader,
            client.producer("s") as producer,
            client.pubsub(channels=["news"]) as pubsub,
        ):
            for consumer in (group, reader):
                assert await number(consumer, 5) == b"1"
            await client.wait(1, 5.0)
            new = sentinels.failover()
            assert new is not former
            sentinels.wait_ok()  # the former primary takes no writes any more
            await runtime.until(lambda: where(client) == new.port)
            await value_after(runtime, client, "n")
            await producer.send({"n": "2"})
            for consumer in (group, reader):
                while await number(consumer, 10) != b"2":
                    pass
            message = None
            while message is None:
                await client.publish("news", "hello")
                message = await pubsub.get_message(timeout=0.2)
            assert message.data == b"hello"
    changed = [event for event in events if isinstance(event, PrimaryChanged)]
    assert changed[-1] == PrimaryChanged("mymaster", f"127.0.0.1:{former.port}", f"127.0.0.1:{new.port}")


@pytest.mark.every_server
@pytest.mark.runtimes("asyncio")
@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_a_primary_that_dies_or_stands_still(runtime: Runtime, sentinels: EmbeddedSentinels, how: str) -> None:
    async with runtime.connect(sentinels.url) as client:
        assert await client.incr("n") == 1
        former = sentinels.primary
        getattr(former, how)()
        await value_after(runtime, client, "n")
        assert where(client) != former.port
        assert (await client.execute(info("replication")))["role"] == "master"


@pytest.mark.core("sentinel/test_asking")
async def test_a_sentinel_that_stands_still_is_passed_over(runtime: Runtime, sentinels: EmbeddedSentinels) -> None:
    sentinels.sentinels[0].pause()
    async with runtime.connect(sentinels.url) as client:
        assert await client.incr("n") == 1
        former = sentinels.primary
        new = sentinels.failover()
        await runtime.until(lambda: where(client) == new.port)
        assert await value_after(runtime, client, "n") >= 1
        assert new is not former


async def test_what_is_wrong_is_said(runtime: Runtime, sentinels: EmbeddedSentinels) -> None:
    port, primary = sentinels.sentinels[0].port, sentinels.primary.port
    with pytest.raises(NoSentinelError, match=r"no Sentinel knows 'clicks' \(asked 3: .*: knows mymaster\); check"):
        async with runtime.connect(names(sentinels, "clicks")):
            pass
    with pytest.raises(NoSentinelError, match=f"127.0.0.1:{primary}: it is no Sentinel but a server with data"):
        async with runtime.connect(f"redis+sentinel://127.0.0.1:{primary}/mymaster"):
            pass
    with pytest.raises(
        ConnectFailed, match=rf"127.0.0.1:{port}: it is a Sentinel.*redis\+sentinel://HOST:PORT/SERVICE"
    ):
        async with runtime.connect(f"redis://127.0.0.1:{port}"):
            pass
    with pytest.raises(NoSentinelError, match=r"no Sentinel tells .* 127.0.0.1:1: refused the connection"):
        async with runtime.connect("redis+sentinel://127.0.0.1:1/mymaster", request_timeout=0.5):
            pass


@pytest.mark.runtimes("asyncio", "background")
async def test_passwords(runtime: Runtime) -> None:
    with EmbeddedSentinels(replicas=0, sentinels=1, password="data", sentinel_password="s3") as sentinels:
        async with runtime.connect(sentinels.url, sentinel_password="s3") as client:
            assert await client.incr("n") == 1
        for given in ({}, {"sentinel_password": "data"}):
            with pytest.raises(NoSentinelError, match="check sentinel_username= and sentinel_password="):
                async with runtime.connect(sentinels.url, **given):
                    pass
        with pytest.raises(ConnectFailed, match="check the user and password of the URL"):
            async with runtime.connect(sentinels.url, sentinel_password="s3", password="other"):
                pass


@pytest.mark.runtimes("asyncio", "trio", "background")
async def test_sentinels_and_their_primary_by_tls(
    runtime: Runtime, sentinels: EmbeddedSentinels, certificates: Certificates
) -> None:
    port, primary = sentinels.sentinels[0].port, sentinels.primary.port
    with (
        Proxy(("127.0.0.1", port), tls=certificates.server()) as watching,
        Proxy(("127.0.0.1", primary), tls=certificates.server()) as serving,
    ):
        where = {("127.0.0.1", primary): ("localhost", serving.port)}
        url = f"redis+sentinel://localhost:{watching.port}/mymaster"
        context = certificates.client()
        async with runtime.connect(url, tls=context, address_map=where) as client:
            assert await client.incr("n") == 1
        async with runtime.connect(url, sentinel_tls=context) as client:
            assert await client.incr("n") == 2
        url = f"rediss+sentinel://localhost:{port}/mymaster"
        async with runtime.connect(url, tls=context, sentinel_tls=False, address_map=where) as client:
            assert await client.incr("n") == 3


async def test_administration_of_a_server(runtime: Runtime, sentinels: EmbeddedSentinels) -> None:
    async with runtime.connect(sentinels.url, refresh_interval=1) as client:
        assert await client.execute(raw("CONFIG", "SET", "maxmemory-policy", "noeviction")) == b"OK"
        assert await client.pipeline([info("server")])
        assert [key async for key in client.scan_keys()] == []


# -- arguments ------------------------------------------------------------------------------------------------------------

URL = "redis+sentinel://u:p@h,g:1/orders/2"


def test_the_sentinels_have_a_login_and_tls_of_their_own() -> None:
    target = Settings.of(URL, {"sentinel_username": "watch", "sentinel_password": "w", "sentinel_tls": True}).target
    assert (target.login, target.tls, target.service) == (Login("u", "p", 2), None, "orders")
    access = target.at(SentinelAddress("g", 1))
    assert (access.login, access.tls) == (Login("watch", "w"), TLS())
    assert str(target) == "the primary of 'orders' by h:26379, g:1"
    same = Settings.of("rediss+sentinel://u:p@h/orders", {})
    assert same.target.at(SentinelAddress("h")).tls == TLS()
    assert same.target.at(SentinelAddress("h")).login == Login()
    assert same.target.at(SentinelAddress("h")).login.kind is ServerKind.DATA


@pytest.mark.parametrize(
    ("url", "given", "text"),
    [
        (
            "redis://h",
            {"sentinel_password": "x"},
            r"sentinel_password is for Sentinels: .* redis\+sentinel://HOST:26379",
        ),
        (URL, {"sentinel_username": "x"}, "sentinel_username was given without sentinel_password"),
        (URL, {"sentinel_password": 5}, "sentinel_password must be a str"),
        (URL, {"sentinel_tls": "yes"}, "sentinel_tls must be a TLS"),
        (URL, {"cluster": True}, "a service of Sentinels is no cluster"),
        (URL, {"follow": "seeds"}, "follow is an option for clusters"),
        (URL, {"prefer": "ip"}, "prefer is an option for clusters"),
        (URL, {"refresh_interval": 0}, "refresh_interval"),
        (URL, {"address_map": 5}, "address_map must be"),
        ([URL, "redis://h"], {}, "differs from another URL"),
    ],
)
def test_bad_arguments(url: Any, given: Any, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        Settings.of(url, given)


def test_options_that_are_none_are_not_given() -> None:
    assert Settings.of("redis://h", {"sentinel_password": None, "sentinel_tls": None}).sentinels is None
