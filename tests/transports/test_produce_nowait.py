"""Entries that nobody waits for: bounded, in order, flushed at the end, and never lost in silence."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from streamcore import ClosedError, CommandErrors, DeliveryUnknown, InvalidArgument, ReplyError, StreamId
from streamcore.events import Event, SendFailed
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from transports.embedded import EmbeddedServer


def numbers(raw: Raw) -> list[int]:
    return [int(fields[1]) for _, fields in raw("XRANGE", "s", "-", "+")]


@pytest.mark.every_server
@pytest.mark.parametrize("linger", [0, 0.01])
async def test_in_order_and_all_there_when_the_block_is_left(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, linger: float
) -> None:
    async with runtime.connect(server.url) as client:
        async with client.producer("s", linger=linger) as producer:
            sent = [await producer.send_nowait({"n": n}) for n in range(5000)]
        assert numbers(raw) == list(range(5000))
        assert [entry.id for entry in sent] == [StreamId.parse(id_) for id_, _ in raw("XRANGE", "s", "-", "+")]


async def test_flush_waits_for_what_was_sent(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with runtime.connect(server.url) as client, client.producer("s", linger=timedelta(minutes=1)) as producer:
        sent = [await producer.send_nowait({"n": n}) for n in range(10)]
        assert not raw("EXISTS", "s")
        assert not sent[0].done
        with pytest.raises(InvalidArgument, match="not answered yet"):
            sent[0].id  # noqa: B018  # it raises
        assert await producer.flush()
        assert all(entry.done for entry in sent)
        assert await sent[3].wait() == sent[3].id
        assert raw("XLEN", "s") == 10
        assert await producer.flush(timeout=0)


async def test_flush_gives_up_in_time(runtime: Runtime, server: EmbeddedServer, proxy: Proxy) -> None:
    async with runtime.connect(proxy.url) as client, client.producer("s") as producer:
        proxy.freeze("downstream")
        sent = await producer.send_nowait({"n": 0})
        assert not await producer.flush(timeout=0.05)
        assert not sent.done
        proxy.thaw()
        assert await sent.wait()


async def test_failures_are_raised_together_and_told_as_events(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    events: list[Event] = []
    raw("SET", "s", "text")
    async with runtime.connect(server.url, on_event=events.append) as client, client.producer("s") as producer:
        for n in range(3):
            await producer.send_nowait({"n": n})
        with pytest.raises(CommandErrors, match="3 entries were not appended") as caught:
            await producer.flush()
        assert {type(error).__name__ for error in caught.value.exceptions} == {"WrongTypeError"}
        assert await producer.flush()  # they are raised once
        failed = [event for event in events if isinstance(event, SendFailed)]
        assert [event.stream for event in failed] == [b"s"] * 3


async def test_a_failure_that_was_looked_at_is_not_raised_again(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    raw("SET", "s", "text")
    async with runtime.connect(server.url) as client, client.producer("s") as producer:
        sent = await producer.send_nowait({"n": 0})
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            await sent.wait()
        assert await producer.flush()


async def test_leaving_the_block_raises_them_too(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, log: pytest.LogCaptureFixture
) -> None:
    raw("SET", "s", "text")
    async with runtime.connect(server.url) as client:
        producer = client.producer("s")
        with pytest.raises(CommandErrors):
            async with producer:
                await producer.send_nowait({"n": 0})
        with pytest.raises(ClosedError):
            await producer.send_nowait({"n": 1})
        with pytest.raises(ZeroDivisionError):  # noqa: PT012  # an error of the block comes first
            async with client.producer("s") as another:
                await another.send_nowait({"n": 0})
                raise ZeroDivisionError
    assert log.text.count("SendFailed") == 2


async def test_a_connection_that_breaks(runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy) -> None:
    async with runtime.connect(proxy.url) as client:
        producer = client.producer("s")
        async with producer:
            proxy.cut_after(5000, "downstream")
            sent = [await producer.send_nowait({"n": n}) for n in range(2000)]
            failed: tuple[Exception, ...] = ()
            try:
                await producer.flush()
            except CommandErrors as errors:  # unless the cut fell between two answers, with nothing else under way
                failed = errors.exceptions
        assert {type(error) for error in failed} <= {DeliveryUnknown}
    there = {StreamId.parse(id_) for id_, _ in raw("XRANGE", "s", "-", "+")}
    unknown = len(failed)
    ids = []
    for entry in sent:
        try:
            ids.append(entry.id)
        except DeliveryUnknown:
            unknown -= 1
    assert unknown == 0
    assert len(set(ids)) == len(ids)
    assert set(ids) <= there
    assert len(numbers(raw)) == len(set(numbers(raw)))


async def test_no_more_unanswered_than_allowed(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, proxy: Proxy
) -> None:
    async with (
        runtime.connect(proxy.url) as client,
        client.producer("s") as producer,
        runtime.tasks() as tasks,
    ):
        proxy.freeze("downstream")
        sent = [await producer.send_nowait({"n": n}) for n in range(10_000)]
        waiting = tasks.start(producer.send_nowait, {"n": 10_000})
        await runtime.sleep(0.1)
        assert not waiting.finished
        assert not sent[0].done
        proxy.thaw()
        await (await waiting.result()).wait()
    assert numbers(raw) == list(range(10_001))


async def test_lingering_entries_leave_together(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    async with (
        runtime.connect(server.url) as client,
        client.producer("s", linger=0.3, batch_count=5) as producer,
        runtime.tasks() as tasks,
    ):
        began = time.monotonic()
        alone = tasks.start(producer.send, {"n": 0})
        await runtime.sleep(0.05)
        assert not raw("EXISTS", "s") or time.monotonic() - began >= 0.3
        full = [tasks.start(producer.send, {"n": n}) for n in range(1, 5)]
        for task in [alone, *full]:  # the fifth makes a batch
            await task.result()
        assert await producer.send({"n": 5})  # and one alone leaves in time
    assert sorted(numbers(raw)) == list(range(6))
