"""Calls in the middle of calls: a signal handler, a finalizer or a callback gets into a client that is at work."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import pytest

import transports.blocking
from streamcore import ClosedError, ConcurrentUseError, GroupEntry, InvalidArgument
from streamcore.options import Options
from tests.support.moments import TRANSPORTS, moments
from tests.support.raw import Raw
from tests.transports.runtimes import Runtime
from tests.transports.steps import add, clients, pending, take, until_quiet
from transports._facade import settings
from transports.blocking import Client, GroupConsumer
from transports.blocking.switchboard import Ready, Switchboard
from transports.embedded import EmbeddedServer

pytestmark = pytest.mark.timeout(30)
WITHIN = "in the middle of another call"
WAITS = "would wait for itself"


@contextmanager
def storm(handler: Callable[[], object], seconds: float = 1.5, every: float = 0.002) -> Iterator[Callable[[], bool]]:
    """A signal, again and again; ``handler`` is called, but never in the middle of itself. Yields whether it goes on."""
    is_over = threading.Event()
    deadline = time.monotonic() + seconds
    handling = False

    def handle(*_: object) -> None:
        nonlocal handling
        if not handling and not is_over.is_set():
            handling = True
            try:
                handler()
            finally:
                handling = False

    def blow() -> None:
        while not is_over.wait(every):
            os.kill(os.getpid(), signal.SIGUSR1)

    former = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=blow)
    thread.start()
    try:
        yield lambda: time.monotonic() < deadline
    finally:
        is_over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, former)


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    with transports.blocking.connect(server.url, request_timeout=5) as client:
        yield client


# -- threads: calls that wait ------------------------------------------------------------------------------------------


def test_requests_of_a_signal_handler_are_answered_or_refused(client: Client, raw: Raw) -> None:
    for n in range(100):
        raw("SET", f"key{n}", n)
    asked = refused = counted = 0

    def handler() -> None:
        nonlocal asked, refused, counted
        asked += 1
        try:
            assert client.get(f"key{asked % 100}") == b"%d" % (asked % 100)
            client.incr("handler")
            counted += 1
        except ConcurrentUseError:
            refused += 1

    rounds = 0
    with storm(handler) as goes_on:
        while goes_on():
            assert client.get(f"key{rounds % 100}") == b"%d" % (rounds % 100)
            assert client.incr("main") == rounds + 1
            rounds += 1
    assert asked > 50
    assert counted + refused == asked
    assert (raw("GET", "main"), raw("GET", "handler") or b"0") == (b"%d" % rounds, b"%d" % counted)


def test_at_every_moment_of_a_request_another_one_is_answered_or_refused(client: Client, raw: Raw) -> None:
    """Before any bytecode of the transport, where a storm may never fall."""
    main = nested = refused = at = 0

    def request() -> None:
        nonlocal main
        client.incr("main")
        main += 1

    def handler() -> None:
        nonlocal nested, refused
        try:
            client.incr("nested")
            nested += 1
        except ConcurrentUseError:
            refused += 1

    while moments(request, at, handler, within=(TRANSPORTS,), everywhere=True):
        at += 1
    assert at > 100
    assert nested + refused == at
    assert min(nested, refused) > 10
    assert (raw("GET", "main"), raw("GET", "nested")) == (b"%d" % main, b"%d" % nested)


def test_a_finalizer_is_answered_or_refused(client: Client, raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage is collected in any thread that makes some, in the one that moves the bytes, too."""
    counted: list[str] = []
    refused: list[str] = []

    class Noisy:
        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            try:
                client.incr("finalizer")
                counted.append(threading.current_thread().name)
            except (ConcurrentUseError, ClosedError) as error:
                refused.append(str(error))

    before = gc.get_threshold()
    gc.set_threshold(20)
    try:
        deadline, rounds = time.monotonic() + 1.5, 0
        while time.monotonic() < deadline:
            for _ in range(rounds % 30):  # garbage is collected here, or in the call, or in the other thread
                Noisy()
            rounds += 1
            assert client.incr("main") == rounds
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert counted
    assert (raw("GET", "main"), raw("GET", "finalizer")) == (b"%d" % rounds, b"%d" % len(counted))


@pytest.mark.parametrize("asked", ["own", "other"])
def test_in_the_thread_that_moves_the_bytes_nothing_waits(
    client: Client, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    errors: list[Exception] = []
    select = Switchboard.select

    def with_a_finalizer(board: Switchboard, wait: float | None) -> Ready:
        if not errors and threading.current_thread() is not threading.main_thread():
            try:
                (client if asked == "own" else other).get("key")
            except Exception as error:
                errors.append(error)
        return select(board, wait)

    with transports.blocking.connect(server.url) as other:
        monkeypatch.setattr(Switchboard, "select", with_a_finalizer)
        for _ in range(3):
            assert client.get("key") is None
    [error] = errors
    assert isinstance(error, ConcurrentUseError)
    assert WAITS in str(error)


def test_what_is_called_within_a_call_is_refused_and_not_sent(client: Client, raw: Raw) -> None:
    driver = client._running.driver
    nested: list[Callable[[], object]] = [
        lambda: client.incr("counter"),
        lambda: client.pipeline([]) or client.execute(client_command()),
        client.close,
    ]
    for call in nested:
        with pytest.raises(ConcurrentUseError, match=WITHIN):
            driver.call(call)
    assert raw("EXISTS", "counter") == 0
    assert client.incr("counter") == 1


def client_command() -> Any:
    from streamcore.commands import incr

    return incr("counter")


def test_two_threads_within_two_clients_do_not_wait_for_each_other(client: Client, server: EmbeddedServer) -> None:
    """As by two finalizers that cross."""
    both = threading.Barrier(2)
    refused: list[Exception] = []

    def visit(mine: Client, theirs: Client) -> None:
        def call() -> None:
            both.wait()
            with suppress(TimeoutError):
                try:
                    theirs._running.driver.call(int)
                except ConcurrentUseError as error:
                    refused.append(error)

        mine._running.driver.call(call)

    with transports.blocking.connect(server.url) as other:
        threads = [threading.Thread(target=visit, args=pair) for pair in ((client, other), (other, client))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert refused
        assert client.ping() == other.ping() == b"PONG"


def test_a_pump_that_is_interrupted_does_not_wait_for_itself(client: Client, raw: Raw) -> None:
    refused: list[str] = []
    with client.group_consumer("s", group="g", consumer="me", background=False) as consumer:

        def handler(*_: object) -> None:
            for call in (partial(consumer.flush, timeout=5), consumer.close, partial(consumer.add_stream, "other")):
                try:
                    call()
                except ConcurrentUseError as error:
                    refused.append(str(error))

        former = signal.signal(signal.SIGUSR1, handler)
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        try:
            assert consumer.get(timeout=1.2) is None
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, former)
        add(raw, [1])
        assert consumer.get(timeout=5)
    assert len(refused) >= 2
    assert all(WAITS in one for one in refused)


# -- threads: what a signal handler raises -----------------------------------------------------------------------------


@pytest.fixture
def soon_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is lost again and again is dialled again at once."""
    monkeypatch.setattr(settings, "Options", partial(Options, backoff_max=0.05))


@pytest.mark.parametrize("call", ["request", "get", "send", "ack", "pump"])
def test_an_interruption_at_any_moment_leaves_nothing_taken(
    soon_dialled: None, client: Client, server: EmbeddedServer, raw: Raw, call: str
) -> None:
    """Where Python looks for signals; on 3.14 that is also between a lock's being taken by ``with`` and its block."""
    with ExitStack() as opened:
        producer = opened.enter_context(client.producer("p"))

        def consumer() -> GroupConsumer[bytes]:
            background = call != "pump"
            return opened.enter_context(client.group_consumer("s", group="g", block=0.05, background=background))

        reader = consumer()
        calls: dict[str, Callable[[], object]] = {
            "request": lambda: client.get("key"),
            "get": lambda: reader.get(timeout=0),
            "send": lambda: producer.send({"a": 1}),
            "ack": lambda: next(reader).ack(),
            "pump": lambda: reader.get(timeout=0),
        }
        at = interrupted = 0
        goes_on = True
        while goes_on:
            if call == "ack":
                add(raw, [at])
            try:
                goes_on = moments(calls[call], at, interrupt, within=(TRANSPORTS,))
            except KeyboardInterrupt:
                interrupted += 1
            except ClosedError:  # nobody knows what an interrupted pump has seen
                assert call == "pump"
                reader = consumer()
                continue
            at += 1
        assert interrupted > 10
        in_another_thread(client.ping, partial(producer.send, {"a": 2}))
        assert consumer().get(timeout=0.1) is None or call == "ack"


def interrupt() -> None:
    raise KeyboardInterrupt


def in_another_thread(*calls: Callable[[], object]) -> None:
    """Nothing is held up there."""
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.extend([call() for call in calls]), daemon=True)
    thread.start()
    thread.join(10)
    assert len(done) == len(calls)


# -- threads: calls that do not wait -----------------------------------------------------------------------------------


def test_entries_of_a_signal_handler_are_appended_once_or_refused(client: Client, raw: Raw) -> None:
    sent = refused = 0
    ids: dict[int, Any] = {}
    with client.producer("s") as producer:

        def handler() -> None:
            nonlocal sent, refused
            try:
                producer.send_nowait({"handler": sent})
                sent += 1
            except ConcurrentUseError:
                refused += 1

        with storm(handler) as goes_on:
            while goes_on():
                number = len(ids)
                ids[number] = producer.send({"main": number})
        producer.flush()
    entries = {id_: (fields[0], int(fields[1])) for id_, fields in raw("XRANGE", "s", "-", "+")}
    assert sorted(entries.values()) == sorted(
        [(b"main", number) for number in ids] + [(b"handler", number) for number in range(sent)]
    )
    assert all(entries[bytes(id_)] == (b"main", number) for number, id_ in ids.items())
    assert sent + refused > 50


# -- all runtimes: what is safe anywhere -------------------------------------------------------------------------------


@pytest.mark.parametrize("settle", ["ack", "nack"])
async def test_entries_are_settled_by_a_signal_handler_at_any_moment(
    runtime: Runtime, server: EmbeddedServer, raw: Raw, settle: str
) -> None:
    waiting: list[GroupEntry[bytes]] = []
    seen = settled = 0

    def handler() -> None:
        nonlocal settled
        if waiting:
            getattr(waiting.pop(), settle)(**({"delay": 30} if settle == "nack" else {}))
            settled += 1

    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", ack_delay=0.002, block=0.2) as consumer,
    ):
        with storm(handler, 1.0) as goes_on:
            while goes_on():
                if len(waiting) < 10:
                    add(raw, range(5))
                if (entry := await consumer.get(timeout=0.01)) is not None:
                    seen += 1
                    waiting.append(entry)
            while waiting:
                await runtime.sleep(0.01)
        async for entry in until_quiet(consumer.get, 0.2):
            entry.ack()
        assert await consumer.flush()
    assert settled > 10
    assert pending(raw) == (settled if settle == "nack" else 0)


async def test_a_signal_handler_acknowledges_while_all_sleeps(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """Within the delay of acknowledgements, not when something else wakes the loop."""
    add(raw, [1])
    async with (
        runtime.connect(server.url) as client,
        client.group_consumer("s", group="g", consumer="me", block=5) as consumer,
    ):
        entry = await anext(consumer)
        await runtime.sleep(0.2)
        former = signal.signal(signal.SIGALRM, lambda *_: entry.ack())
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            if runtime.name == "pumped":
                await consumer.get(timeout=1.5)
            else:
                await runtime.sleep(1.5)
            assert pending(raw) == 0
        finally:
            signal.signal(signal.SIGALRM, former)


async def test_a_drain_by_a_signal_handler_comes_at_any_moment(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(300))
    async with runtime.connect(server.url) as client:
        for after in (1, 7, 90):
            seen: list[int] = []
            async with client.group_consumer("s", group=f"g{after}", consumer="me", count=10) as consumer:

                def drain() -> None:
                    if len(seen) >= after:  # noqa: B023  # called within the round
                        consumer.drain()

                with storm(drain):
                    async for entry in consumer:
                        seen.append(int(entry["n"]))
                        entry.ack()
                        await runtime.sleep(0.001)
            assert after <= len(seen) < 300
            assert seen == list(range(len(seen)))
            assert pending(raw, group=f"g{after}") == 0


# -- all runtimes: what is refused -------------------------------------------------------------------------------------


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(ConcurrentUseError, match=WITHIN):
        call()


async def test_no_call_gets_into_an_engine_in_the_middle_of_another(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    add(raw, range(3))
    async with (
        runtime.connect(server.url) as client,
        client.consumer({"s": "0"}) as consumer,
        client.group_consumer("s", group="g", consumer="me") as group,
        client.pubsub("channel") as pubsub,
        client.channels() as channels,
    ):
        for one, calls in (
            (consumer, ("pause", "resume", "cursor")),
            (consumer, ("remove_stream",)),
            (group, ("remove_stream",)),
        ):
            real: Any = getattr(one, "_blocking", one)
            for call in calls:
                arguments = ("s",) if call == "remove_stream" else ()
                real._running.driver.call(partial(refused, partial(getattr(real, call), *arguments)))
        for subscriber in (pubsub, channels):
            real = getattr(subscriber, "_blocking", subscriber)
            real._running.driver.call(partial(refused, partial(getattr, real, "subscriptions")))
        assert await take(consumer, 3) == [0, 1, 2]
        assert await take(group, 3) == [0, 1, 2]


async def test_a_signal_handler_may_try_to_pause_at_any_moment(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    tried = refused = number = 0
    seen: list[int] = []
    async with runtime.connect(server.url) as client, client.consumer({"s": "$"}, block=0.2) as consumer:
        real: Any = getattr(consumer, "_blocking", consumer)

        def handler() -> None:
            nonlocal tried, refused
            tried += 1
            try:
                real.pause()
                real.cursor()
                real.resume()
            except ConcurrentUseError:
                refused += 1
                with suppress(ConcurrentUseError):
                    real.resume()

        with storm(handler, 1.0) as goes_on:
            while goes_on():
                add(raw, range(number, number + 3))
                number += 3
                if (entry := await consumer.get(timeout=0.05)) is not None:
                    seen.append(int(entry["n"]))
        real.resume()
        seen += [int(entry["n"]) for entry in [await anext(consumer) for _ in range(number - len(seen))]]
    assert tried > 50
    assert seen == list(range(number))


@pytest.mark.runtimes("async")
async def test_predicates_and_names_are_looked_at_outside_of_the_engine(
    runtime: Runtime, server: EmbeddedServer, raw: Raw
) -> None:
    """They are the application's own code, and may use what they belong to."""
    async with (
        runtime.connect(server.url) as client,
        client.pubsub("channel") as pubsub,
        client.channels() as channels,
    ):
        for n in range(3):
            raw("PUBLISH", "channel", n)
        found = await pubsub.wait_for_message(
            lambda message: bool(pubsub.subscriptions.desired) and message.data == b"2", timeout=5
        )
        assert found is not None
        await channels.subscribe(name for name in ("a", "b") if b"c" not in channels.subscriptions)
        assert channels.subscriptions == {b"a", b"b"}
        await channels.unsubscribe(name for name in ("a",) if channels.subscriptions)
        assert channels.subscriptions == {b"b"}


def test_a_predicate_may_use_the_subscriber_in_threads_too(client: Client, raw: Raw) -> None:
    with client.pubsub("channel") as pubsub, client.channels() as channels:
        raw("PUBLISH", "channel", "x")
        assert pubsub.wait_for_message(lambda _: bool(pubsub.subscriptions), timeout=5)
        assert pubsub.wait_for_message(lambda _: True, timeout=0.05) is None
        channels.subscribe(name for name in ("a", "b") if b"c" not in channels.subscriptions)
        assert channels.subscriptions == {b"a", b"b"}


def test_an_error_of_the_engines_own_tears_nothing(client: Client, raw: Raw) -> None:
    with client.consumer({"s": "$"}) as consumer:
        before = {one["id"] for one in clients(raw)}
        with pytest.raises(InvalidArgument):
            consumer.seek("unknown", "0")
        with pytest.raises(InvalidArgument):
            client.transaction([client_command(), _subscribe()])
        assert client.ping() == b"PONG"
        assert {one["id"] for one in clients(raw)} == before


def _subscribe() -> Any:
    from streamcore.commands import Command

    return Command(("SUBSCRIBE", "x"))


def test_a_consumer_is_free_again_after_a_call_of_a_signal_handler_was_refused(client: Client, raw: Raw) -> None:
    """At any bytecode of a ``get``; nothing stays taken."""
    with client.group_consumer("s", group="g", consumer="me", block=0.05) as consumer:
        at = refused = 0

        def handler() -> None:
            nonlocal refused
            try:
                consumer.get(timeout=0)
            except ConcurrentUseError:
                refused += 1

        step = 5 if sys.gettrace() is None else 50
        while moments(lambda: consumer.get(timeout=0), at, handler, within=(TRANSPORTS,), everywhere=True):
            at += step
        assert refused > 10
        add(raw, [1])
        assert consumer.get(timeout=5)
