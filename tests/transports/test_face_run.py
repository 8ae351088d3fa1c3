"""``consumer.run(handler)``: what is handled, by how many at a time, in which order, and what becomes of failures."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamcore import ClosedError, ConcurrentUseError, GroupEntry, NoGroupError
from streamcore.events import Event, GroupCreated
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime, Threads, at_once
from tests.transports.steps import add, blocked, drain, pending, take
from transports.anyio import Client, GroupConsumer
from transports.embedded import EmbeddedServer

Entry = GroupEntry[bytes]


def number(entry: Entry) -> int:
    return int(entry["n"])


def open_group(client: Client, **options: Any) -> GroupConsumer[bytes]:
    given: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "me", "block": 0.2, **options}
    return client.group_consumer(given.pop("streams"), **given)


def handler(runtime: Runtime, work: Callable[[Entry], Awaitable[None]]) -> Callable[[Entry], object]:
    """A coroutine function, for threads as a function."""
    return (lambda entry: at_once(work(entry))) if isinstance(runtime, Threads) else work  # type: ignore[arg-type]


class Record:
    """A handler that notes what it is given, and drains the consumer when it has seen ``count`` different entries."""

    def __init__(self, runtime: Runtime, consumer: GroupConsumer[bytes], count: int, seconds: float = 0.0) -> None:
        self.seen: list[int] = []
        self.streams: list[bytes] = []
        self.running = self.most = 0
        self.overlaps = 0  # of entries of one stream
        self._busy: list[bytes] = []
        self._lock = threading.Lock()
        self._runtime = runtime
        self._consumer = consumer
        self._count = count
        self._seconds = seconds

    async def work(self, entry: Entry) -> None:
        with self._lock:
            self.seen.append(number(entry))
            self.streams.append(entry.stream)
            self.overlaps += entry.stream in self._busy
            self._busy.append(entry.stream)
            self.running += 1
            self.most = max(self.most, self.running)
        if self._seconds:
            await self._runtime.sleep(self._seconds)
        with self._lock:
            self.running -= 1
            self._busy.remove(entry.stream)
            if len(set(zip(self.streams, self.seen, strict=True))) >= self._count:
                self._consumer.drain()

    @property
    def handler(self) -> Callable[[Entry], object]:
        return handler(self._runtime, self.work)


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.every_server
async def test_each_entry_is_handled_and_acknowledged(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, concurrency: int
) -> None:
    add(raw, range(1000))
    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        record = Record(runtime, consumer, 1000)
        await consumer.run(record.handler, concurrency=concurrency)
        assert sorted(record.seen) == list(range(1000))
        assert concurrency > 1 or record.seen == list(range(1000))
        assert await consumer.flush()
        assert pending(raw) == 0


async def test_a_plain_function_handles_too(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(250))
    seen: list[int] = []
    async with runtime.connect(server.url) as client, open_group(client) as consumer:

        def work(entry: Entry) -> None:
            seen.append(number(entry))
            if len(seen) == 250:
                consumer.drain()

        await consumer.run(work)
    assert seen == list(range(250))
    assert pending(raw) == 0


async def test_entries_that_come_later_are_handled_as_they_come(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with (
        runtime.connect(server.url) as client,
        open_group(client, block=5) as consumer,
        runtime.tasks() as tasks,
    ):
        record = Record(runtime, consumer, 20)
        running = tasks.start(lambda: consumer.run(record.handler, concurrency=3))
        await blocked(runtime, raw)
        for n in range(20):
            add(raw, [n])
        await running.result()
    assert sorted(record.seen) == list(range(20))
    assert pending(raw) == 0


async def test_never_more_at_a_time_than_allowed_and_as_many_as_that(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(40))
    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        record = Record(runtime, consumer, 40, seconds=0.005)
        await consumer.run(record.handler, concurrency=4)
    assert record.most == 4
    assert sorted(record.seen) == list(range(40))


async def test_by_streams_each_has_its_order_and_several_go_on_at_a_time(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    for stream in "abc":
        add(raw, range(20), stream)
    async with runtime.connect(server.url) as client, open_group(client, streams=list("abc"), count=5) as consumer:
        record = Record(runtime, consumer, 60, seconds=0.003)
        await consumer.run(record.handler, concurrency=5, order="stream")
    assert record.overlaps == 0
    assert record.most == 3
    for name in (b"a", b"b", b"c"):
        assert [n for at, n in zip(record.streams, record.seen, strict=True) if at == name] == list(range(20))
    assert [pending(raw, stream) for stream in "abc"] == [0, 0, 0]


async def test_by_streams_a_busy_one_holds_up_no_other(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """The first entry of a stream ends when all of another stream's, which come later, are done."""
    done: list[int] = []
    add(raw, range(4), "a")
    async with (
        runtime.connect(server.url) as client,
        open_group(client, streams=["a", "b"], count=2) as consumer,
        runtime.tasks() as tasks,
    ):

        async def work(entry: Entry) -> None:
            if entry.stream == b"b":
                done.append(number(entry))
            elif number(entry) == 0:
                await runtime.until(lambda: done == [0, 1, 2])
            elif number(entry) == 3:
                consumer.drain()

        running = tasks.start(lambda: consumer.run(handler(runtime, work), concurrency=4, order="stream"))
        await runtime.sleep(0.02)
        for n in range(3):
            add(raw, [n], "b")
        await running.result()
    assert [pending(raw, stream) for stream in "ab"] == [0, 0]


# -- failures ------------------------------------------------------------------------------------------------------------


async def test_what_fails_is_delivered_again(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, log: pytest.LogCaptureFixture
) -> None:
    add(raw, range(5))
    attempts: list[tuple[int, int]] = []
    async with runtime.connect(server.url) as client, open_group(client) as consumer:

        def work(entry: Entry) -> None:
            attempts.append((number(entry), entry.deliveries))
            if number(entry) == 2 and entry.deliveries < 3:
                raise LookupError("not yet")
            if len(attempts) == 7:
                consumer.drain()

        await consumer.run(work)
        assert await consumer.flush()
    assert sorted(attempts) == [(0, 1), (1, 1), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1)]
    assert pending(raw) == 0
    failures = [record for record in log.records if record.levelname == "WARNING" and record.exc_info]
    assert len(failures) == 2
    assert ", nack:" in failures[0].message
    assert isinstance((failures[0].exc_info or (None, None, None))[1], LookupError)


async def test_a_refused_entry_waits_for_its_delay(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        seen: list[int] = []

        def work(entry: Entry) -> None:
            seen.append(number(entry))
            if seen == [0, 1, 2]:
                consumer.drain()
            if number(entry) == 1:
                raise LookupError("not today")

        await consumer.run(work, nack_delay=50)
        assert await consumer.flush()
    assert seen == [0, 1, 2]
    assert pending(raw) == 1


async def test_dead_letters(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        record = Record(runtime, consumer, 5)

        async def work(entry: Entry) -> None:
            await record.work(entry)
            if number(entry) == 2:
                raise LookupError("no such order")

        await consumer.run(handler(runtime, work), on_error="dead_letter")
        assert await consumer.flush()
    assert pending(raw) == 0
    [[_, fields]] = raw("XRANGE", "{s}:dead", "-", "+")
    assert b"LookupError: no such order" in fields


async def test_an_error_that_is_raised_lets_the_others_end(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(8))
    begun: list[int] = []
    ended: list[int] = []
    async with runtime.connect(server.url) as client, open_group(client) as consumer:

        async def work(entry: Entry) -> None:
            begun.append(number(entry))
            await runtime.until(lambda: len(begun) >= 3)
            if number(entry) == 1:
                begun.append(number(entry))
                raise LookupError("the handler's own")
            await runtime.until(lambda: len(begun) >= 4)
            await runtime.sleep(0.05)
            ended.append(number(entry))

        with pytest.raises(LookupError, match="the handler's own"):
            await consumer.run(handler(runtime, work), concurrency=3, on_error="raise")
        assert sorted(ended) == [0, 2]
        assert await consumer.flush()
        assert pending(raw) == 6
        assert await take(consumer, 5) == [3, 4, 5, 6, 7]  # what nobody had begun


async def test_a_function_decides_what_becomes_of_a_failure(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(4))
    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        record = Record(runtime, consumer, 4)

        async def work(entry: Entry) -> None:
            await record.work(entry)
            if number(entry) == 1:
                raise LookupError("a dead letter")
            if number(entry) == 2:
                raise ValueError("no harm")

        def on_error(entry: Entry, error: Exception) -> Any:
            if isinstance(error, LookupError):
                return "dead_letter"
            entry.ack()
            return None

        await consumer.run(handler(runtime, work), on_error=on_error)
        assert await consumer.flush()
    assert pending(raw) == 0
    assert raw("XLEN", "{s}:dead") == 1


async def test_what_the_handler_refuses_itself_is_not_acknowledged(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, open_group(client) as consumer:

        def work(entry: Entry) -> None:
            if number(entry) == 1:
                entry.nack(delay=50)
            if number(entry) == 2:
                consumer.drain()

        await consumer.run(work)
        assert await consumer.flush()
    assert pending(raw) == 1


@pytest.mark.runtimes("asyncio", "uvloop", "anyio-asyncio")
async def test_a_handler_that_awaits_something_cancelled_has_failed(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(4))
    errors: list[str] = []
    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        record = Record(runtime, consumer, 4)

        async def work(entry: Entry) -> None:
            await record.work(entry)
            if number(entry) in (1, 2):
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future

        def on_error(entry: Entry, error: Exception) -> None:
            errors.append(str(error))
            entry.ack()

        await consumer.run(work, concurrency=2, on_error=on_error)
        assert await consumer.flush()
    assert errors == ["the handler has awaited something that was cancelled"] * 2
    assert pending(raw) == 0


# -- the end --------------------------------------------------------------------------------------------------------------


async def test_draining_from_outside_ends_it_while_it_waits(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with (
        runtime.connect(server.url) as client,
        open_group(client, block=10) as consumer,
        runtime.tasks() as tasks,
    ):
        seen: list[int] = []
        running = tasks.start(lambda: consumer.run(lambda entry: seen.append(number(entry)), concurrency=2))
        await runtime.until(lambda: len(seen) == 3)
        await blocked(runtime, raw)
        stranger = threading.Thread(target=consumer.drain)
        stranger.start()
        await running.result()
        stranger.join()
    assert pending(raw) == 0


async def test_a_signal_handler_may_drain_it(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(3))
    async with runtime.connect(server.url) as client, open_group(client, block=10) as consumer:
        former = signal.signal(signal.SIGUSR1, lambda *_: consumer.drain())
        try:

            def work(entry: Entry) -> None:
                if number(entry) == 2:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

            await consumer.run(work)
        finally:
            signal.signal(signal.SIGUSR1, former)
    assert pending(raw) == 0


async def test_what_was_read_ahead_is_handled_within_the_grace(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(20))
    async with runtime.connect(server.url) as client, open_group(client, count=20, prefetch=1) as consumer:
        seen: list[int] = []

        def work(entry: Entry) -> None:
            seen.append(number(entry))
            consumer.drain()

        await consumer.run(work)
    assert seen == list(range(20))
    assert pending(raw) == 0


@pytest.mark.parametrize("order", ["free", "stream"])
async def test_after_the_grace_nothing_is_begun_and_the_rest_comes_next(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, order: Any
) -> None:
    add(raw, range(20))
    async with runtime.connect(server.url) as client, open_group(client, count=5) as consumer:
        seen: list[int] = []

        def work(entry: Entry) -> None:
            seen.append(number(entry))
            if len(seen) == 3:
                consumer.drain()

        await consumer.run(work, grace=0, order=order)
        assert seen == [0, 1, 2]
        rest = [number(entry) async for entry in consumer]
        assert rest == list(range(3, 3 + len(rest)))
        assert len(rest) >= 2
        assert await consumer.flush()
        assert pending(raw) == len(rest)


async def test_what_nobody_has_begun_is_given_back_on_leaving(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(20))
    async with runtime.connect(server.url) as client:
        async with open_group(client, count=20) as consumer:

            def work(entry: Entry) -> None:
                if number(entry) == 4:
                    raise LookupError

            with pytest.raises(LookupError):
                await consumer.run(work, on_error="raise")
        async with open_group(client, consumer="other") as other:
            assert await drain(other, 15) == list(range(5, 20))
    assert pending(raw) == 1


@pytest.mark.runtimes("async")
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_cancelling_it_cancels_the_handlers_whose_entries_stay_pending(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, concurrency: int
) -> None:
    add(raw, range(20))
    cancelled: list[int] = []
    began: list[int] = []
    async with (
        runtime.connect(server.url) as client,
        open_group(client, count=20) as consumer,
        runtime.tasks() as tasks,
    ):

        async def work(entry: Entry) -> None:
            if number(entry) < 5:
                return
            began.append(number(entry))
            try:
                await runtime.sleep(60)
            except BaseException:
                cancelled.append(number(entry))
                raise

        running = tasks.start(lambda: consumer.run(work, concurrency=concurrency))
        await runtime.until(lambda: len(began) == concurrency)
        running.cancel()
        await runtime.until(lambda: running.finished)
        assert sorted(cancelled) == list(range(5, 5 + concurrency))
        assert await consumer.flush()
        assert pending(raw) == 15
        assert await take(consumer, 15 - concurrency) == list(range(5 + concurrency, 20))


async def test_an_error_of_the_consumer_is_raised_when_the_handlers_have_ended(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(1))
    ended: list[int] = []
    async with (
        runtime.connect(server.url) as client,
        open_group(client, on_group_lost="raise", block=0.1) as consumer,
    ):

        async def work(entry: Entry) -> None:
            raw("XGROUP", "DESTROY", "s", "g")
            await runtime.sleep(0.1)
            ended.append(number(entry))

        with pytest.raises(NoGroupError):
            await consumer.run(handler(runtime, work), concurrency=2)
    assert ended == [0]


async def test_closing_the_consumer_ends_it(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1))
    async with runtime.connect(server.url) as client, runtime.tasks() as tasks:
        consumer = await open_group(client, block=10).__aenter__()
        seen: list[int] = []
        running = tasks.start(lambda: consumer.run(lambda entry: seen.append(number(entry)), concurrency=2))
        await runtime.until(lambda: seen)
        await blocked(runtime, raw)
        await consumer.aclose()
        assert isinstance(await running.raised(), ClosedError)
    assert pending(raw) == 0


async def test_a_listener_that_fails_ends_it_and_loses_nothing(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    failing = [True]

    def refuse(event: Event) -> None:
        if type(event) is GroupCreated and failing:
            failing.clear()
            raise LookupError("the listener's own")

    add(raw, range(10))
    async with runtime.connect(server.url, on_event=refuse) as client, open_group(client) as consumer:
        record = Record(runtime, consumer, 10)
        with pytest.raises(LookupError, match="the listener's own"):
            await consumer.run(record.handler)
        await consumer.run(record.handler)
    assert record.seen == list(range(10))


async def test_it_goes_on_where_an_iteration_has_stopped(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(10))
    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        assert await take(consumer, 3) == [0, 1, 2]
        record = Record(runtime, consumer, 7)
        await consumer.run(record.handler)
        assert await consumer.flush()
    assert record.seen == list(range(3, 10))
    assert pending(raw) == 3


async def test_history_only_ends_it(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(5))
    raw("XGROUP", "CREATE", "s", "g", "0")
    raw("XREADGROUP", "GROUP", "g", "me", "COUNT", 3, "STREAMS", "s", ">")
    seen: list[int] = []
    async with runtime.connect(server.url) as client, open_group(client, history_only=True) as consumer:
        await consumer.run(lambda entry: seen.append(number(entry)), concurrency=2)
    assert sorted(seen) == [0, 1, 2]
    assert pending(raw) == 0


async def test_nobody_else_may_read_meanwhile(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(1))
    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        refused: list[Exception] = []

        async def work(entry: Entry) -> None:
            try:
                await consumer.get(timeout=0)
            except ConcurrentUseError as error:
                refused.append(error)
            consumer.drain()

        await consumer.run(handler(runtime, work))
    assert len(refused) == 1


async def test_without_acknowledgements_it_handles_as_well(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    add(raw, range(10))
    async with runtime.connect(server.url) as client, open_group(client, ack="none") as consumer:
        record = Record(runtime, consumer, 10)
        await consumer.run(record.handler)
    assert record.seen == list(range(10))
    assert pending(raw) == 0


@pytest.mark.runtimes("threads")
async def test_an_interrupted_thread_lets_the_handlers_end(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    """Ctrl-C reaches the main thread, which waits; the handlers run in other threads."""
    add(raw, range(10))
    ended: list[int] = []
    async with runtime.connect(server.url) as client, open_group(client) as consumer:

        async def work(entry: Entry) -> None:
            if number(entry) == 1:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await runtime.sleep(0.1 if number(entry) else 0.4)  # the first thread is the one that is waited for
            ended.append(number(entry))

        with pytest.raises(KeyboardInterrupt):
            await consumer.run(handler(runtime, work), concurrency=2)
        assert sorted(ended) == [0, 1]
        assert await take(consumer, 8) == list(range(2, 10))
    assert pending(raw) == 8


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_handler_that_exits_ends_it_all(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, concurrency: int
) -> None:
    add(raw, range(3))

    async def work(entry: Entry) -> None:
        if number(entry) == 1:
            raise SystemExit(3)
        await runtime.sleep(0.02)

    async with runtime.connect(server.url) as client, open_group(client) as consumer:
        with pytest.raises(SystemExit):
            await consumer.run(handler(runtime, work), concurrency=concurrency)
        assert await consumer.flush()
        assert pending(raw) == 2
        assert await take(consumer, 1) == [2]


async def test_streams_of_several_groups_are_handled_together(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    for stream in "st":
        add(raw, range(50), stream)
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer({"s": "g", "t": "h"}, count=10, block=0.2) as consumer,
    ):
        record = Record(runtime, consumer, 100)
        await consumer.run(record.handler, concurrency=3, order="stream")
        assert await consumer.flush()
    for name in (b"s", b"t"):
        assert [n for at, n in zip(record.streams, record.seen, strict=True) if at == name] == list(range(50))
    assert [pending(raw, "s", "g"), pending(raw, "t", "h")] == [0, 0]
