"""Backends of ours in Litestar: what its own tests ask of a backend and of the plugin with one, and what they do not ask.

``backend`` is either of ours; ``runtime`` is asyncio's, since Litestar's plugin knows no other, for some tests on uvloop's loop, too.
After each test nothing may be left: no connection in the server, no socket, no task.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, get, post
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.base import ChannelsBackend
from litestar.testing import TestClient
from websockets.sync.client import connect as connect_websocket

from streamcore.errors import ClosedError, ConcurrentUseError, ConnectionLost, InvalidArgument
from tests.support.proxy import Proxy
from tests.support.raw import Raw
from tests.support.web import Web
from tests.transports.runtimes import Runtime
from tests.transports.steps import clients
from transports.asyncio import connect
from transports.embedded import EmbeddedServer
from transports.litestar import PubSubChannelsBackend, StreamChannelsBackend

pytestmark = pytest.mark.runtimes("asyncio")
ON_BOTH_LOOPS = pytest.mark.runtimes("asyncio", "uvloop")
Backend = StreamChannelsBackend | PubSubChannelsBackend
Make = Callable[..., Backend]
MARK = "mark"
PATIENCE = 15.0  # seconds, on a busy machine


def streams(url: str | None = None, **options: Any) -> StreamChannelsBackend:
    return StreamChannelsBackend(options.pop("history", 10), url=url, **options)


def pubsub(url: str | None = None, **options: Any) -> PubSubChannelsBackend:
    return PubSubChannelsBackend(url=url, **options)


@pytest.fixture(params=[streams, pubsub], ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    chosen: Make = request.param
    return chosen


@pytest.fixture
def backend(make: Make, server: EmbeddedServer) -> Backend:
    return make(server.url)


@pytest.fixture(autouse=True)
def nothing_is_left(raw: Raw) -> Iterator[None]:
    before = {client["id"] for client in clients(raw)}
    yield
    gc.collect()  # a socket that was not closed is an error
    deadline = time.monotonic() + 5
    while {client["id"] for client in clients(raw)} - before:
        assert time.monotonic() < deadline, "a connection was left open"
        time.sleep(0.002)


@asynccontextmanager
async def started(backend: Backend) -> AsyncIterator[Backend]:
    await backend.on_startup()
    try:
        yield backend
    finally:
        await backend.on_shutdown()
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def soon(events: AsyncGenerator[tuple[str, bytes], None]) -> tuple[str, bytes]:
    return await asyncio.wait_for(anext(events), PATIENCE)


async def nothing_comes(events: AsyncGenerator[tuple[str, bytes], None], within: float = 0.05) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), within)


# -- what Litestar asks of a backend -----------------------------------------------------------------------------------


async def test_the_first_to_subscribe_waits_for_no_connection(runtime: Runtime, backend: Backend, raw: Raw) -> None:
    await backend.on_startup()
    before = {one["id"] for one in clients(raw)}
    await backend.subscribe(["foo"])
    assert {one["id"] for one in clients(raw)} == before
    await backend.on_shutdown()


@pytest.mark.every_server
@pytest.mark.parametrize("channels", [{"foo"}, {"foo", "bar"}])
async def test_who_has_subscribed_gets_what_is_published(
    runtime: Runtime, backend: Backend, channels: set[str]
) -> None:
    async with started(backend):
        await backend.subscribe(channels)
        await backend.publish(b"something", channels)
        events = backend.stream_events()
        assert {await soon(events) for _ in channels} == {(channel, b"something") for channel in channels}


async def test_who_has_not_subscribed_gets_nothing(runtime: Runtime, backend: Backend) -> None:
    async with started(backend):
        await backend.publish(b"something", ["foo"])
        await nothing_comes(backend.stream_events())


@ON_BOTH_LOOPS
async def test_who_has_left_gets_nothing_more_and_may_come_back(runtime: Runtime, backend: Backend) -> None:
    async with started(backend):
        events = backend.stream_events()
        for number in range(5):
            await backend.subscribe(["foo"])
            await backend.publish(b"%d" % number, ["foo"])
            assert await soon(events) == ("foo", b"%d" % number)
            await backend.unsubscribe(["foo"])
            await backend.publish(b"unheard", ["foo"])
            await nothing_comes(events, 0.01)


async def test_what_has_arrived_and_was_not_read_goes_with_its_subscription(runtime: Runtime, backend: Backend) -> None:
    async with started(backend):
        await backend.subscribe(["foo", "bar"])
        await backend.publish(b"1", ["foo"])
        await backend.publish(b"2", ["bar"])
        await runtime.sleep(0.02)
        await backend.unsubscribe(["foo"])
        assert await soon(backend.stream_events()) == ("bar", b"2")


async def test_leaving_what_was_never_joined_is_no_error(runtime: Runtime, backend: Backend) -> None:
    await backend.unsubscribe(["foo"])
    async with started(backend):
        await backend.unsubscribe(["foo"])
    await backend.unsubscribe(["foo"])


async def test_shutting_down_does_not_wait_for_messages_that_nobody_reads(runtime: Runtime, backend: Backend) -> None:
    async with started(backend):
        await backend.subscribe(["foo"])
        for _ in range(100):
            await backend.publish(b"something", ["foo"])
        began = time.monotonic()
        await backend.on_shutdown()
        assert time.monotonic() - began < 3


@pytest.mark.every_server
@pytest.mark.parametrize(
    ("limit", "count"), [(None, 10), (1, 1), (5, 5), (10, 10), (50, 10), (0, 0), (-1, 10)], ids=str
)
async def test_the_last_messages_can_be_looked_back_at(
    runtime: Runtime, server: EmbeddedServer, limit: int | None, count: int
) -> None:
    messages = [b"%d" % number for number in range(100)]
    for approximate in (True, False):
        backend = streams(server.url, cap_streams_approximate=approximate, key_prefix=f"p{approximate}")
        async with started(backend):
            for message in messages:
                await backend.publish(message, {"foo"})
            assert await backend.get_history("foo", limit) == messages[len(messages) - count :]
            assert await backend.get_history("nobody", limit) == []


async def test_pubsub_has_no_history_and_says_so(runtime: Runtime, server: EmbeddedServer) -> None:
    async with started(pubsub(server.url)) as backend:
        with pytest.raises(NotImplementedError, match="StreamChannelsBackend"):
            await backend.get_history("foo")


async def test_a_stream_is_trimmed_to_the_history_or_to_what_is_kept_for_the_slow(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    for number, (history, retention, kept) in enumerate([(10, 20, 20), (10, 1, 10), (0, 3, 3)]):
        options = {"history": history, "retention": retention, "cap_streams_approximate": False}
        async with started(streams(server.url, key_prefix=f"p{number}", **options)) as backend:
            for _ in range(30):
                await backend.publish(b"x", ["foo"])
            assert raw("XLEN", f"p{number}_foo") == kept


async def test_all_channels_can_be_flushed_and_no_others(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    raw("SET", "LITESTAR_CHANNEL", "x")
    raw("SET", "other_foo", "x")
    backend = streams(server.url)
    async with started(backend):
        await backend.publish(b"something", ["foo", "bar", "baz"])
        assert await backend.flush_all() == 3
        assert await backend.flush_all() == 0
    assert sorted(raw("KEYS", "*")) == [b"LITESTAR_CHANNEL", b"other_foo"]


@pytest.mark.parametrize("ttl", [50_000, timedelta(seconds=50)], ids=repr)
async def test_a_channel_expires_and_begins_anew(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, ttl: int | timedelta
) -> None:
    key = "LITESTAR_CHANNELS_foo"
    async with started(streams(server.url, stream_ttl=ttl)) as backend:
        await backend.subscribe(["foo"])
        events = backend.stream_events()
        for number in range(5):
            await backend.publish(b"%d" % number, ["foo"])
            assert await soon(events) == ("foo", b"%d" % number)
            assert 0 < raw("PTTL", key) <= 50_000
            raw("PEXPIRE", key, 1)
            await runtime.until(lambda: not raw("EXISTS", key))
        assert await backend.get_history("foo") == []


# -- what a life is ----------------------------------------------------------------------------------------------------


def test_a_constructor_needs_no_server_and_no_loop(make: Make) -> None:
    make("redis://127.0.0.1:1")
    make(client=lambda: connect("redis://127.0.0.1:1"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "nonsense://x"},
        {"url": "redis://x", "client": lambda: None},
        {"key_prefix": b"\xff".decode("latin-1") + "\ud800"},
        {"stream_sleep_no_subscriptions": -1},
        {"history": -1},
        {"stream_ttl": 0},
        {"retention": 0},
    ],
    ids=lambda wrong: next(reversed(wrong)),
)
def test_arguments_are_checked_where_they_are_given(wrong: dict[str, Any]) -> None:
    makers = [streams] if {"history", "stream_ttl", "retention"} & wrong.keys() else [streams, pubsub]
    for maker in makers:
        with pytest.raises(InvalidArgument):
            maker(**wrong)


def test_litestars_keywords_are_taken_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    StreamChannelsBackend(
        history=5,
        url="redis://x",
        stream_sleep_no_subscriptions=1,
        cap_streams_approximate=False,
        stream_ttl=timedelta(seconds=60),
        key_prefix="LITESTAR_CHANNELS",
    )
    PubSubChannelsBackend(url="redis://x", stream_sleep_no_subscriptions=1, key_prefix="LITESTAR_CHANNELS")
    assert list(recwarn) == []
    assert StreamChannelsBackend(5, key_prefix="P", url="redis://x")._make_key("Foo") == "P_Foo"


async def test_publishing_works_before_the_start_and_after_the_end(
    runtime: Runtime, server: EmbeddedServer, backend: Backend, make: Make, raw: Raw
) -> None:
    async with started(make(server.url)) as other:
        await other.subscribe(["foo"])
        events = other.stream_events()
        await backend.publish(b"before", ["foo"])
        assert await soon(events) == ("foo", b"before")
        async with started(backend):
            await backend.publish(b"while", ["foo"])
            assert await soon(events) == ("foo", b"while")
        await backend.publish(b"after", ["foo"])
        assert await soon(events) == ("foo", b"after")


async def test_looking_back_works_at_any_time(runtime: Runtime, server: EmbeddedServer, raw: Raw) -> None:
    backend = streams(server.url)
    await backend.publish(b"x", ["foo"])
    assert await backend.get_history("foo") == [b"x"]
    assert await backend.flush_all() == 1


async def test_a_subscription_before_the_start_is_in_force_after_it(runtime: Runtime, backend: Backend) -> None:
    await backend.subscribe(["foo", "bar"])
    await backend.unsubscribe(["bar"])
    async with started(backend):
        await backend.publish(b"x", ["bar", "foo"])
        events = backend.stream_events()
        assert await soon(events) == ("foo", b"x")
        await nothing_comes(events, 0.02)


async def test_an_iteration_needs_a_start(runtime: Runtime, backend: Backend) -> None:
    events = backend.stream_events()
    with pytest.raises(ClosedError, match="on_startup"):
        await anext(events)
    with pytest.raises(ClosedError, match="on_startup"):
        _ = backend.channels
    async with started(backend):
        await backend.subscribe(["foo"])
        await backend.publish(b"x", ["foo"])
        assert await soon(events) == ("foo", b"x")


@ON_BOTH_LOOPS
async def test_a_backend_lives_as_often_as_one_likes(runtime: Runtime, backend: Backend) -> None:
    """Each life begins with nothing: what was subscribed to is not any more."""
    for number in range(5):
        async with started(backend):
            await backend.on_startup()  # again does nothing
            events = backend.stream_events()
            await backend.publish(b"unheard", ["foo"])
            await backend.subscribe(["foo"])
            await backend.publish(b"%d" % number, ["foo"])
            assert await soon(events) == ("foo", b"%d" % number)
        with pytest.raises(StopAsyncIteration):
            await anext(events)


def test_a_backend_lives_in_one_loop_after_another(backend: Backend) -> None:
    async def live(number: int) -> None:
        async with started(backend):
            await backend.subscribe(["foo"])
            await backend.publish(b"%d" % number, ["foo"])
            assert await soon(backend.stream_events()) == ("foo", b"%d" % number)

    for number in range(3):
        asyncio.run(live(number))


def test_a_loop_that_ended_without_a_shutdown_does_not_stand_in_the_way(server: EmbeddedServer, make: Make) -> None:
    backend = make(server.url)

    async def forget() -> None:
        await backend.on_startup()

    async def live() -> None:
        await backend.publish(b"unheard", ["foo"])
        async with started(backend):
            await backend.subscribe(["foo"])
            await backend.publish(b"x", ["foo"])
            assert await soon(backend.stream_events()) == ("foo", b"x")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the first loop
        asyncio.run(forget())
        asyncio.run(live())
        gc.collect()


async def test_shutting_down_again_and_again_does_nothing(runtime: Runtime, backend: Backend) -> None:
    await backend.on_shutdown()
    async with started(backend):
        await backend.subscribe(["foo"])
        await asyncio.gather(backend.on_shutdown(), backend.on_shutdown())
        await backend.on_shutdown()


@ON_BOTH_LOOPS
async def test_shutting_down_takes_less_than_a_tenth_of_a_second(
    runtime: Runtime, backend: Backend, server: EmbeddedServer
) -> None:
    """While one task waits for messages and another leaves a channel; the best of some tries, since the machine is busy."""
    channels = [f"{n}" for n in range(50)]
    for number in range(40):
        await backend.on_startup()
        await backend.subscribe(channels)
        waiting = asyncio.ensure_future(anext(backend.stream_events()))
        leaving = asyncio.ensure_future(backend.unsubscribe(channels))
        if number % 2:
            await asyncio.sleep(0)  # in the middle of it
        began = time.monotonic()
        await backend.on_shutdown()
        elapsed = time.monotonic() - began
        with pytest.raises(StopAsyncIteration):
            await waiting
        await leaving
        if number >= 3 and elapsed < 0.1:
            return
    raise AssertionError("no shutdown took less than a tenth of a second")


async def test_shutting_down_does_not_wait_for_a_server_that_does_not_answer(
    runtime: Runtime, make: Make, fresh_server: EmbeddedServer
) -> None:
    backend = make(fresh_server.url)
    await backend.on_startup()
    await backend.subscribe(["foo"])
    fresh_server.pause()
    try:
        leaving = asyncio.ensure_future(backend.unsubscribe(["foo"]))
        await asyncio.sleep(0)
        began = time.monotonic()
        await backend.on_shutdown()
        assert time.monotonic() - began < 3  # an answer would be waited for for 5 seconds
        await leaving
    finally:
        fresh_server.resume()


async def test_the_client_of_an_application_stays_open(
    runtime: Runtime, server: EmbeddedServer, make: Make, raw: Raw
) -> None:
    async with connect(server.url) as client:
        backend = make(client=client)
        for _ in range(2):
            async with started(backend):
                await backend.subscribe(["foo"])
                await backend.publish(b"x", ["foo"])
                assert await soon(backend.stream_events()) == ("foo", b"x")
            await backend.publish(b"between", ["foo"])
        assert await client.ping()
    with pytest.raises(ClosedError):
        await backend.on_startup()


async def test_a_function_that_makes_clients_is_called_for_each_life(
    runtime: Runtime, server: EmbeddedServer, make: Make
) -> None:
    made = []

    def create() -> Any:
        made.append(connect(server.url, client_name="ours"))
        return made[-1]

    backend = make(client=create)
    assert len(made) <= 1  # to check the other arguments
    made.clear()
    for _ in range(2):
        async with started(backend):
            await backend.publish(b"x", ["foo"])
    assert len(made) == 2


async def test_without_a_server_the_start_fails_and_leaves_nothing(runtime: Runtime, make: Make) -> None:
    backend = make(client=lambda: connect("redis://127.0.0.1:1", request_timeout=0.1))
    with pytest.raises(ConnectionLost):
        await backend.on_startup()
    with pytest.raises(ConnectionLost):
        await backend.publish(b"x", ["foo"])
    await backend.on_shutdown()


# -- iterating ---------------------------------------------------------------------------------------------------------


@ON_BOTH_LOOPS
async def test_a_cancelled_anext_loses_nothing(runtime: Runtime, backend: Backend) -> None:
    """Cancelled again and again, wherever it happens to be, while messages arrive."""
    async with started(backend):
        await backend.subscribe(["foo"])
        events = backend.stream_events()
        got: list[bytes] = []

        async def publish() -> None:
            for number in range(300):
                await backend.publish(b"%d" % number, ["foo"])

        publishing = asyncio.create_task(publish())
        delay = 0.0
        while len(got) < 300:
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(delay)
            delay = (delay + 0.0003) % 0.002
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                got.append((await waiting)[1])
        await publishing
        assert got == [b"%d" % number for number in range(300)]


async def test_a_second_iteration_goes_on_where_the_first_was_left(runtime: Runtime, backend: Backend) -> None:
    async with started(backend):
        await backend.subscribe(["foo"])
        for number in range(4):
            await backend.publish(b"%d" % number, ["foo"])
        assert [await soon(backend.stream_events()) for _ in range(4)] == [("foo", b"%d" % n) for n in range(4)]


async def test_two_iterations_at_once_are_an_error_and_no_theft(runtime: Runtime, backend: Backend) -> None:
    async with started(backend):
        await backend.subscribe(["foo"])
        waiting = asyncio.ensure_future(anext(backend.stream_events()))
        await asyncio.sleep(0)
        with pytest.raises(ConcurrentUseError):
            await anext(backend.stream_events())
        await backend.publish(b"x", ["foo"])
        assert await waiting == ("foo", b"x")


async def test_the_iteration_is_an_async_generator_that_can_be_closed(runtime: Runtime, backend: Backend) -> None:
    async with started(backend):
        await backend.subscribe(["foo"])
        await backend.publish(b"x", ["foo"])
        events = backend.stream_events()
        assert isinstance(events, AsyncGenerator)
        assert aiter(events) is events
        await events.aclose()
        await events.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        with pytest.raises(KeyError):
            await backend.stream_events().athrow(KeyError("x"))
        with pytest.raises(KeyError):
            await backend.stream_events().athrow(KeyError)
        assert await soon(backend.stream_events()) == ("foo", b"x")


async def test_an_application_that_closes_its_client_is_told(
    runtime: Runtime, server: EmbeddedServer, make: Make
) -> None:
    """Only the shutdown ends an iteration in silence."""
    async with connect(server.url) as client:
        backend = make(client=client)
        await backend.on_startup()
        waiting = asyncio.ensure_future(anext(backend.stream_events()))
        await asyncio.sleep(0.01)
    with pytest.raises(ClosedError):
        await waiting
    await backend.on_shutdown()


async def test_any_bytes_and_any_name_come_through(runtime: Runtime, backend: Backend) -> None:
    names = ["foo", "FOO", "überall", "a b\r\nc", "*", "[x]", "{tag}", "x" * 300]
    payloads = [b"", b"\x00\xff", b"\r\n", bytes(range(256)), b"x" * 100_000]
    async with started(backend):
        await backend.subscribe(names)
        events = backend.stream_events()
        for name in names:
            for payload in payloads:
                await backend.publish(payload, [name])
                assert await soon(events) == (name, payload)


async def test_one_name_is_one_channel_and_no_letters(runtime: Runtime, backend: Backend) -> None:
    """A plain text is an iterable of letters, to those who do not look."""
    async with started(backend):
        await backend.subscribe("foo")
        await backend.publish(b"x", "foo")
        await backend.publish(b"nowhere", [])
        await backend.publish(b"twice", (name for name in ["foo", "foo"]))
        events = backend.stream_events()
        assert [await soon(events), await soon(events)] == [("foo", b"x"), ("foo", b"twice")]
        await nothing_comes(events, 0.02)


async def test_two_processes_hear_each_other(runtime: Runtime, server: EmbeddedServer, make: Make) -> None:
    async with started(make(server.url)) as one, started(make(server.url)) as other:
        for backend in (one, other):
            await backend.subscribe(["foo"])
        await one.publish(b"x", ["foo"])
        assert await soon(one.stream_events()) == await soon(other.stream_events()) == ("foo", b"x")


# -- when things break -------------------------------------------------------------------------------------------------


async def heard(
    runtime: Runtime, backend: Backend, events: AsyncGenerator[tuple[str, bytes], None], mark: bytes
) -> None:
    """Publish until one message arrives: pub/sub may lose some while its connection comes back."""
    for _ in range(500):
        await backend.publish(mark, ["foo"])
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05 if isinstance(backend, PubSubChannelsBackend) else 10):
                while (await anext(events))[1] != mark:
                    pass
                return
    raise AssertionError("nothing was heard")


@pytest.mark.every_server
@ON_BOTH_LOOPS
async def test_a_backend_survives_lost_connections(
    runtime: Runtime, backend: Backend, raw: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "streamcore")
    async with started(backend):
        await backend.subscribe(["foo"])
        events = backend.stream_events()
        for number in range(5):
            for kind in ("normal", "pubsub"):
                raw("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            await heard(runtime, backend, events, b"%d" % number)


@ON_BOTH_LOOPS
async def test_streams_lose_nothing_while_connections_are_lost(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    async with started(streams(server.url)) as backend:
        await backend.subscribe(["foo"])
        events = backend.stream_events()

        async def kill() -> None:
            while True:
                raw("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(0.03)

        killing = asyncio.create_task(kill())
        try:
            for number in range(60):
                await backend.publish(b"%d" % number, ["foo"])
                await asyncio.sleep(0.003)
        finally:
            killing.cancel()
            with suppress(asyncio.CancelledError):
                await killing
        assert [(await soon(events))[1] for _ in range(60)] == [b"%d" % number for number in range(60)]


@ON_BOTH_LOOPS
async def test_a_backend_survives_a_restart_of_the_server(
    runtime: Runtime, make: Make, fresh_server: EmbeddedServer
) -> None:
    async with started(make(fresh_server.url)) as backend:
        await backend.subscribe(["foo"])
        events = backend.stream_events()
        await heard(runtime, backend, events, b"1")
        fresh_server.kill()
        publishing = asyncio.create_task(backend.publish(b"while it is down", ["foo"]))
        await asyncio.sleep(0.05)
        fresh_server.restart()
        await publishing
        await heard(runtime, backend, events, b"2")


async def publish_often(backend: Backend) -> None:
    """Of pub/sub, a message that was sent into a connection that breaks may have arrived, and raises nothing."""
    for _ in range(10):
        await backend.publish(b"x", ["foo"])


async def test_publishing_outlasts_the_request_timeout_and_ends_with_its_own(
    runtime: Runtime, make: Make, fresh_server: EmbeddedServer
) -> None:
    """The plugin's publishing task does not survive an error: it is better to wait."""
    patient = make(client=lambda: connect(fresh_server.url, request_timeout=1))
    hasty = make(client=lambda: connect(fresh_server.url, request_timeout=1), publish_timeout=0.2)
    async with started(patient), started(hasty):
        fresh_server.kill()
        with pytest.raises(ConnectionLost):
            await publish_often(hasty)
        publishing = asyncio.create_task(patient.publish(b"x", ["foo"]))
        await asyncio.sleep(1.2)
        assert not publishing.done()
        fresh_server.restart()
        await publishing


async def test_a_backend_survives_a_flush(runtime: Runtime, backend: Backend, raw: Raw) -> None:
    async with started(backend):
        await backend.subscribe(["foo"])
        events = backend.stream_events()
        for number in range(5):
            await backend.publish(b"%d" % number, ["foo"])
            assert await soon(events) == ("foo", b"%d" % number)
            raw("FLUSHALL")
            await runtime.sleep(0.002)  # in the same millisecond, the next message would have the id of this one


@pytest.mark.every_server
async def test_a_message_whose_answer_is_lost_is_there_once(
    runtime: Runtime, server: EmbeddedServer, proxy: Proxy, raw: Raw
) -> None:
    async with started(streams(proxy.url)) as backend:
        for number in range(10):
            proxy.cut_after(1, "downstream")
            await backend.publish(b"%d" % number, ["foo"])
        assert await backend.get_history("foo") == [b"%d" % number for number in range(10)]


async def test_of_pubsub_a_message_whose_answer_is_lost_is_not_repeated_and_raises_nothing(
    runtime: Runtime, server: EmbeddedServer, proxy: Proxy, raw: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    """An error would end the plugin's publishing for good."""
    raw("CLIENT", "ID")
    with Raw(server.address) as listener:
        listener("SUBSCRIBE", "LITESTAR_CHANNELS_foo")
        async with started(pubsub(proxy.url)) as backend:
            proxy.cut_after(1, "downstream")
            await backend.publish(b"1", ["foo"])
            await backend.publish(b"2", ["foo"])
        assert [listener.read()[2], listener.read()[2]] == [b"1", b"2"]
    assert "may have been published" in caplog.text


# -- in applications ---------------------------------------------------------------------------------------------------


def application(backend: ChannelsBackend, **options: Any) -> tuple[Litestar, ChannelsPlugin]:
    plugin = ChannelsPlugin(backend=backend, create_ws_route_handlers=True, **options)
    return Litestar([], plugins=[plugin]), plugin


async def take(subscriber: Any, count: int) -> list[bytes]:
    got: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        async for item in subscriber.iter_events():
            got.append(item)
            if len(got) == count:
                break
    return got


class Socket:
    """A client's websocket, and the channel behind it. The application accepts a socket before it subscribes; so does this wait."""

    def __init__(self, client: TestClient[Litestar], plugin: ChannelsPlugin, socket: Any, channel: str) -> None:
        self._client = client
        self._plugin = plugin
        self._socket = socket
        self._channel = channel

    def join(self, mode: str = "text") -> None:
        """Publish marks until one arrives."""
        for _ in range(500):
            self.publish(MARK)
            with suppress(queue.Empty):
                assert self._receive(mode, timeout=0.02) == MARK
                return
        raise AssertionError("the socket's handler does not subscribe")

    def publish(self, data: str) -> None:
        self._client.blocking_portal.call(self._plugin.wait_published, data, self._channel)

    def receive(self, mode: str = "text") -> str:
        """The next message that is no mark."""
        while (data := self._receive(mode, timeout=PATIENCE)) == MARK:
            pass
        return data

    def _receive(self, mode: str, timeout: float) -> str:
        if mode == "binary":
            data: bytes = self._socket.receive_bytes(timeout=timeout)
            return data.decode()
        text: str = self._socket.receive_text(timeout=timeout)
        return text


@pytest.mark.parametrize("mode", ["text", "binary"])
@pytest.mark.parametrize("path", ["/", "/ws"])
def test_a_websocket_gets_what_the_plugin_publishes(backend: Backend, mode: Any, path: str) -> None:
    app, plugin = application(backend, channels=["something"], ws_send_mode=mode, ws_handler_base_path=path)
    with (
        TestClient(app) as client,
        client.websocket_connect(f"{path.rstrip('/')}/something") as connection,
    ):
        socket = Socket(client, plugin, connection, "something")
        socket.join(mode)
        socket.publish("foo")
        assert socket.receive(mode) == "foo"
        connection.send("whatever")
        client.blocking_portal.call(plugin.publish, {"bar": 1}, "something")
        assert socket.receive(mode) == '{"bar":1}'


def test_websockets_of_any_channel(backend: Backend) -> None:
    app, plugin = application(backend, arbitrary_channels_allowed=True, ws_handler_base_path="/ws")
    with TestClient(app) as client:
        for channel in ("foo", "FOO", "bar", "foo"):
            with client.websocket_connect(f"/ws/{channel}") as connection:
                socket = Socket(client, plugin, connection, channel)
                socket.join()
                for number in range(3):
                    socket.publish(f"{channel} {number}")
                assert [socket.receive() for _ in range(3)] == [f"{channel} {number}" for number in range(3)]


def test_a_websocket_gets_the_history_first(server: EmbeddedServer) -> None:
    for asked, expected in ((-1, ["0", "1", "2"]), (1, ["2"]), (2, ["1", "2"]), (0, [])):
        backend = streams(server.url, key_prefix=f"p{asked}")
        app, plugin = application(backend, arbitrary_channels_allowed=True, ws_handler_send_history=asked)
        asyncio.run(publish_before(backend))
        with TestClient(app) as client, client.websocket_connect("/foo") as connection:
            socket = Socket(client, plugin, connection, "foo")
            assert [socket.receive() for _ in expected] == expected
            socket.join()
            socket.publish("live")
            assert socket.receive() == "live"


async def publish_before(backend: Backend) -> None:
    for number in range(3):
        await backend.publish(b"%d" % number, ["foo"])


def test_an_application_starts_and_stops_as_often_as_one_likes(backend: Backend) -> None:
    app, plugin = application(backend, channels=["something"])
    for number in range(3):
        with TestClient(app) as client, client.websocket_connect("/something") as connection:
            socket = Socket(client, plugin, connection, "something")
            socket.join()
            socket.publish(str(number))
            assert socket.receive() == str(number)


def test_a_handler_publishes_through_the_plugin(backend: Backend) -> None:
    app, plugin = application(backend, channels=["something"])

    @get("/say")
    async def say() -> None:
        await plugin.wait_published("hello", "something")

    app.register(say)
    with TestClient(app) as client, client.websocket_connect("/something") as connection:
        socket = Socket(client, plugin, connection, "something")
        socket.join()
        assert client.get("/say").status_code == 200
        assert socket.receive() == "hello"


@ON_BOTH_LOOPS
async def test_subscribers_of_the_plugin(runtime: Runtime, backend: Backend) -> None:
    async with ChannelsPlugin(backend=backend, channels=["foo", "bar"]) as plugin:
        one, both = await plugin.subscribe("foo"), await plugin.subscribe(["foo", "bar"])
        await plugin.wait_published(b"1", "foo")
        plugin.publish(b"2", ["bar"])
        assert await take(both, 2) == [b"1", b"2"]
        assert await take(one, 1) == [b"1"]
        await plugin.unsubscribe(one)
        await plugin.wait_published(b"3", ["foo", "bar"])
        assert await take(both, 2) == [b"3", b"3"]
        async with plugin.start_subscription(["foo"]) as third:
            await plugin.wait_published(b"4", "foo")
            assert await take(third, 1) == [b"4"]


@pytest.mark.parametrize("channels", [["foo"], ["foo", "bar"]], ids=len)
@pytest.mark.parametrize("history", [1, 2])
async def test_a_subscriber_of_the_plugin_with_a_history(
    runtime: Runtime, server: EmbeddedServer, channels: list[str], history: int
) -> None:
    async with ChannelsPlugin(backend=streams(server.url), channels=channels) as plugin:
        first = await plugin.subscribe(channels)
        for channel in channels:
            for number in range(4):
                await plugin.wait_published(f"{channel}{number}", channel)
        await take(first, 4 * len(channels))  # what is still on its way would come once more
        subscriber = await plugin.subscribe(channels, history=history)
        expected = [f"{channel}{number}".encode() for channel in channels for number in range(4)[-history:]]
        assert await take(subscriber, len(expected)) == expected


async def test_a_callback_of_the_plugin(runtime: Runtime, backend: Backend) -> None:
    got: list[bytes] = []

    async def on_event(data: bytes) -> None:
        got.append(data)

    async with ChannelsPlugin(backend=backend, channels=["foo"]) as plugin:
        subscriber = await plugin.subscribe("foo")
        async with subscriber.run_in_background(on_event):
            plugin.publish(b"x", "foo")
            await runtime.until(lambda: got)
    assert got == [b"x"]


@pytest.mark.parametrize(("strategy", "expected"), [("backoff", [b"0", b"1"]), ("dropleft", [b"1", b"2"])])
async def test_a_backlog_of_the_plugin(
    runtime: Runtime, backend: Backend, strategy: Any, expected: list[bytes]
) -> None:
    plugin = ChannelsPlugin(
        backend=backend, channels=["foo", "mark"], subscriber_max_backlog=2, subscriber_backlog_strategy=strategy
    )
    async with plugin:
        slow, mark = await plugin.subscribe("foo"), await plugin.subscribe("mark")
        for number in range(3):
            await plugin.wait_published(b"%d" % number, "foo")
        await plugin.wait_published(b"x", "mark")
        await take(mark, 1)
        assert await take(slow, 2) == expected


async def test_what_was_published_at_the_last_moment_is_out(
    runtime: Runtime, make: Make, server: EmbeddedServer
) -> None:
    async with started(make(server.url)) as other:
        await other.subscribe(["foo"])
        async with ChannelsPlugin(backend=make(server.url), channels=["foo"]) as plugin:
            for number in range(50):
                plugin.publish(b"%d" % number, "foo")
        events = other.stream_events()
        assert [(await soon(events))[1] for _ in range(50)] == [b"%d" % number for number in range(50)]


@ON_BOTH_LOOPS
async def test_many_publishers_and_a_short_history(runtime: Runtime, server: EmbeddedServer) -> None:
    """8 x 250 messages with history=10; all arrive."""
    async with started(streams(server.url)) as backend:
        await backend.subscribe(["foo"])

        async def publish(who: int) -> None:
            for number in range(250):
                await backend.publish(b"%d %d" % (who, number), ["foo"])

        publishing = asyncio.gather(*map(publish, range(8)))
        events = backend.stream_events()
        got = [(await soon(events))[1] for _ in range(2000)]
        await publishing
        assert sorted(got) == sorted(b"%d %d" % (who, number) for who in range(8) for number in range(250))
        for who in range(8):
            own = [message for message in got if message.startswith(b"%d " % who)]
            assert own == [b"%d %d" % (who, number) for number in range(250)]


def test_two_clients_of_a_real_server_hear_each_other_over_websockets(backend: Backend) -> None:
    app, plugin = application(backend, arbitrary_channels_allowed=True, ws_handler_base_path="/ws")

    @post("/say")
    async def say(request: Request[Any, Any, Any]) -> None:
        await plugin.wait_published(await request.body(), "room")

    app.register(say)
    with Web(app) as web, httpx.Client(base_url=web.url, trust_env=False) as http:
        address = f"ws://{web.address[0]}:{web.address[1]}/ws/room"
        with connect_websocket(address, proxy=None) as one, connect_websocket(address, proxy=None) as other:
            for socket in (one, other):
                for _ in range(500):
                    http.post("/say", content=MARK)
                    with suppress(TimeoutError):
                        assert socket.recv(timeout=0.05) == MARK
                        break
            http.post("/say", content="hello")
            for socket in (one, other):
                while (heard := socket.recv(timeout=PATIENCE)) == MARK:
                    pass
                assert heard == "hello"
