"""Producers: an id returned means an entry in the stream; where that is unknown, the error says so."""

from __future__ import annotations

import time

import pytest

from streamcore import ConnectionLost, DeliveryUnknown, InvalidArgument, ReplyError, StreamId
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import HASTE, answer, entered
from transports.embedded import EmbeddedServer


def stream_ids(raw: Raw, stream: str = "s") -> list[StreamId]:
    return [StreamId.parse(id_) for id_, _ in raw("XRANGE", stream, "-", "+")]


@pytest.mark.every_server
async def test_an_id_returned_is_in_the_stream(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        for n in range(20):
            sent = await producer.send({"n": n, "größe": "é", "raw": b"\xff"})
            assert stream_ids(raw)[-1] == sent
        assert await producer.send([("a", 1), ("a", 2)], id="99999999999999-1") == StreamId(99999999999999, 1)
    assert raw("XRANGE", "s", "-", "+")[0][1] == [b"n", b"0", "größe".encode(), "é".encode(), b"raw", b"\xff"]
    assert raw("XREVRANGE", "s", "+", "-", "COUNT", 1) == [[b"99999999999999-1", [b"a", b"1", b"a", b"2"]]]


@pytest.mark.every_server
async def test_many_in_order(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        ids = await producer.send_many({"n": n} for n in range(5000))
        assert ids == stream_ids(raw)
        assert [int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")] == list(range(5000))
        assert await producer.send_many([]) == []


async def test_many_tasks_share_a_producer(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.producer("s") as producer, runtime.tasks() as tasks:

        async def produce(first: int) -> list[StreamId]:
            return [await producer.send({"n": n}) for n in range(first, first + 20)]

        sending = [tasks.start(produce, first) for first in range(0, 1000, 20)]
        ids = [id_ for task in sending for id_ in await task.result()]
    assert sorted(ids) == stream_ids(raw)
    assert sorted(int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")) == list(range(1000))


async def test_trimming(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client:
        async with client.producer("s", maxlen=10, approximate=False) as producer:
            await producer.send_many({"n": n} for n in range(100))
            assert raw("XLEN", "s") == 10
        async with client.producer("s", minid=StreamId(5), approximate=False) as producer:
            await producer.send({"n": 1})
            assert raw("XLEN", "s") == 11


async def test_a_refused_entry(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        await producer.send({"n": 0}, id="5-5")
        with pytest.raises(ReplyError, match="equal or smaller than the target stream top item"):
            await producer.send({"n": 1}, id="5-5")
        with pytest.raises(InvalidArgument, match="an entry needs at least one field"):
            await producer.send({})
        with pytest.raises(InvalidArgument, match="'x' is not a stream id"):
            await producer.send({"n": 1}, id="x")
        await producer.send({"n": 2})
    assert raw("XLEN", "s") == 2


@pytest.mark.parametrize("hard", [False, True], ids=["FIN", "RST"])
async def test_a_reply_that_is_cut_off(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, hard: bool
) -> None:
    async with runtime.connect(server.url) as client, client.producer("s") as never_used:
        del never_used
    async with runtime.connect(proxy.url) as client, client.producer("s") as producer:
        await producer.send({"n": 0})
        proxy.cut_after(3, "downstream", hard=hard)
        with pytest.raises(DeliveryUnknown, match="may be in the stream") as caught:
            await producer.send({"n": 1})
        assert caught.value.sent
        await producer.send({"n": 2})  # over the next connection
    assert [int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")] == [0, 1, 2]


async def test_many_of_which_some_are_cut_off(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    async with runtime.connect(proxy.url) as client, client.producer("s") as producer:
        proxy.cut_after(10_000, "downstream")
        with pytest.raises(DeliveryUnknown):
            await producer.send_many({"n": n} for n in range(3000))
        await producer.send({"n": "last"})
    numbers = [fields[1] for _, fields in raw("XRANGE", "s", "-", "+")]
    assert numbers[-1] == b"last"
    sent = [int(n) for n in numbers[:-1]]
    assert sent == sorted(set(sent))  # nothing was repeated


async def test_no_answer_within_the_request_timeout(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    raw("XADD", "s", "*", "n", 0)
    async with (
        entered(lambda: runtime.connect(proxy.url, request_timeout=0.2)) as client,
        entered(lambda: client.producer("s")) as producer,
    ):
        proxy.freeze("downstream")
        began = time.monotonic()
        with pytest.raises(DeliveryUnknown, match=f"{proxy.port} did not answer (within 0.2 s|in time)") as caught:
            await producer.send({"n": 1})
        assert caught.value.sent
        assert time.monotonic() - began < 4
        proxy.thaw()
        await runtime.until(lambda: raw("XLEN", "s") == 2)  # it had been sent
        await answer(producer.send, {"n": 2})


async def test_nobody_there(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, log: pytest.LogCaptureFixture
) -> None:
    raw("XADD", "s", "*", "n", 0)
    async with (
        entered(lambda: runtime.connect(proxy.url, request_timeout=HASTE)) as client,
        entered(lambda: client.producer("s")) as producer,
    ):
        log.clear()
        proxy.refuse()
        proxy.cut()
        await runtime.until(lambda: "Producer of s Disconnected" in log.text)
        began = time.monotonic()
        with pytest.raises(
            ConnectionLost, match=f"no connection to 127.0.0.1:{proxy.port} within {HASTE:g} s"
        ) as caught:
            await producer.send({"n": 1})
        assert not caught.value.sent
        assert 0.25 < time.monotonic() - began < 4
    assert [int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")] == [0]


async def test_somebody_comes(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy, log: pytest.LogCaptureFixture
) -> None:
    async with (
        runtime.connect(proxy.url) as client,
        client.producer("s") as producer,
        runtime.tasks() as tasks,
    ):
        await producer.send({"n": 0})
        proxy.refuse()
        proxy.cut()
        await runtime.until(lambda: "Producer of s Disconnected" in log.text)
        sending = tasks.start(producer.send, {"n": 1})
        await runtime.sleep(0.05)
        proxy.accept()
        await sending.result()  # it waited, and left over the next connection
    assert [int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")] == [0, 1]
