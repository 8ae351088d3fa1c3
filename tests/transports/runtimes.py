"""The runtimes on which every scenario runs.

A scenario is an async function that takes a ``Runtime`` and speaks the async face. It must await nothing but the face and
this module, for under threads nothing can wait for an event loop: there, ``connect`` gives the blocking classes with
methods that can be awaited and do their work at once, in the calling thread, so that a coroutine runs from its beginning
to its end without ever being suspended. A *task* is a thread then, and what cannot be cancelled takes a ``timeout``.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import ModuleType
from typing import Any, Generic, Protocol, Self, TypeVar, cast

import anyio
import trio
import uvloop

import transports.anyio
import transports.asyncio
import transports.blocking
import transports.trio
from transports.anyio import Client

T = TypeVar("T")
PATIENCE = 10.0  # seconds within which anything happens that a test waits for


class Flag(Protocol):
    """An event of the runtime."""

    def set(self) -> Any: ...
    async def wait(self) -> Any: ...


class Task(Generic[T]):
    """A call that runs beside others."""

    def __init__(self, call: Callable[..., Awaitable[T]], args: tuple[Any, ...], done: Flag) -> None:
        self.finished = False
        self.cancel: Callable[[], object] = lambda: None
        self.error: Exception | None = None
        self._call = call
        self._args = args
        self._done = done
        self._value: T

    async def run(self) -> None:
        try:
            self._value = await self._call(*self._args)
        except Exception as error:
            self.error = error
        finally:
            self.finished = True
            self._done.set()

    async def result(self) -> T:
        """Wait for the end; what the call returned, or raised."""
        await self._done.wait()
        if (error := self._take_error()) is not None:
            raise error
        return self._value

    async def raised(self) -> Exception:
        """Wait for the end; what the call raised."""
        await self._done.wait()
        error = self._take_error()
        assert error is not None, f"nothing was raised, but {self._value!r} returned"
        return error

    def _take_error(self) -> Exception | None:
        error, self.error = self.error, None
        return error


class Tasks:
    """Tasks that end with the block; an error that nobody asked for is raised there."""

    def __init__(self, runtime: Runtime, spawn: Callable[[Task[Any]], None]) -> None:
        self.all: list[Task[Any]] = []
        self._runtime = runtime
        self._spawn = spawn

    def start(self, call: Callable[..., Awaitable[T]], *args: Any) -> Task[T]:
        task = Task(call, args, self._runtime.flag())
        self.all.append(task)
        self._spawn(task)
        return task

    def check(self) -> None:
        for task in self.all:
            if task.error is not None:
                raise task.error


class Runtime:
    """What a scenario may use besides the public face."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        raise NotImplementedError

    def connect(self, url: str | list[str], **options: Any) -> Client:
        """The ``connect`` of this runtime."""
        raise NotImplementedError

    def flag(self) -> Flag:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def tasks(self) -> AbstractAsyncContextManager[Tasks]:
        raise NotImplementedError

    async def briefly(self, seconds: float, get: Callable[..., Awaitable[T | None]], *args: Any) -> T | None:
        """Call, and cancel the call after so many seconds: None then. Threads give it a ``timeout`` instead."""
        raise NotImplementedError

    async def until(self, condition: Callable[[], object], within: float = PATIENCE) -> None:
        """Wait for something outside, and fail if it does not happen in time."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            await self.sleep(0.003)


class Asyncio(Runtime):
    """asyncio's own means, on its own loop or uvloop's."""

    def __init__(self, name: str, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        super().__init__(name)
        self._loop = loop

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with asyncio.Runner(loop_factory=self._loop) as runner:
            runner.run(scenario())

    def connect(self, url: str | list[str], **options: Any) -> Client:
        return transports.asyncio.connect(url, **options)

    def flag(self) -> Flag:
        return asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def tasks(self) -> AsyncIterator[Tasks]:
        running: list[asyncio.Task[None]] = []

        def spawn(task: Task[Any]) -> None:
            running.append(asyncio.create_task(task.run()))
            task.cancel = running[-1].cancel

        tasks = Tasks(self, spawn)
        try:
            yield tasks
            await asyncio.gather(*running, return_exceptions=True)
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        tasks.check()

    async def briefly(self, seconds: float, get: Callable[..., Awaitable[T | None]], *args: Any) -> T | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await get(*args)
        return None


class Structured(Runtime):
    """trio and anyio, whose names for these things are the same."""

    def __init__(self, name: str, module: ModuleType, run: Callable[..., None], connect: Callable[..., Client]) -> None:
        super().__init__(name)
        self._module: Any = module
        self._run = run
        self._connect = connect

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._run(scenario)

    def connect(self, url: str | list[str], **options: Any) -> Client:
        return self._connect(url, **options)

    def flag(self) -> Flag:
        return cast(Flag, self._module.Event())

    async def sleep(self, seconds: float) -> None:
        await self._module.sleep(seconds)

    @asynccontextmanager
    async def tasks(self) -> AsyncIterator[Tasks]:
        group = trio.open_nursery() if self._module is trio else anyio.create_task_group()

        async def run(task: Task[Any], scope: Any) -> None:
            with scope:
                await task.run()

        def spawn(task: Task[Any]) -> None:
            scope = self._module.CancelScope()
            task.cancel = scope.cancel
            nursery.start_soon(run, task, scope)

        tasks = Tasks(self, spawn)
        try:
            async with group as nursery:
                yield tasks
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # that of the block; tasks keep theirs
        tasks.check()

    async def briefly(self, seconds: float, get: Callable[..., Awaitable[T | None]], *args: Any) -> T | None:
        got: list[T | None] = []
        with self._module.move_on_after(seconds):
            got.append(await get(*args))
        return got[0] if got else None


class Threads(Runtime):
    """Threads, with the consumers' engines in the background or pumped by whoever waits."""

    def __init__(self, name: str, *, background: bool) -> None:
        super().__init__(name)
        self._background = background

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        at_once(scenario())

    def connect(self, url: str | list[str], **options: Any) -> Client:
        return cast(Client, AsIfAsync(transports.blocking.connect(url, **options), background=self._background))

    def flag(self) -> Flag:
        return ThreadFlag()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @asynccontextmanager
    async def tasks(self) -> AsyncIterator[Tasks]:
        threads: list[threading.Thread] = []

        def spawn(task: Task[Any]) -> None:
            threads.append(threading.Thread(target=lambda: at_once(task.run()), daemon=True))
            threads[-1].start()

        tasks = Tasks(self, spawn)
        yield tasks  # after an error nobody waits: threads cannot be cancelled
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a thread does not end"
        tasks.check()

    async def briefly(self, seconds: float, get: Callable[..., Awaitable[T | None]], *args: Any) -> T | None:
        return await get(*args, timeout=seconds)


class ThreadFlag(threading.Event):
    async def wait(self) -> None:  # type: ignore[override]  # only ever awaited
        assert super().wait(PATIENCE), "a thread does not end"


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that is never suspended."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast(T, stop.value)
    coroutine.close()
    raise AssertionError("the scenario awaits what threads cannot wait for")


def _plain(given: Any) -> Any:
    """The same, with coroutine functions made into functions: handlers, also in mappings."""
    if isinstance(given, Mapping):
        return {key: _plain(value) for key, value in given.items()}
    return (lambda argument: at_once(given(argument))) if inspect.iscoroutinefunction(given) else given


class AsIfAsync:
    """A blocking client, consumer or producer with the async face."""

    def __init__(self, blocking: Any, *, background: bool) -> None:
        self._blocking = blocking
        self._background = background

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._blocking, {"aclose": "close"}.get(name, name))
        if name in {"cursor", "drain", "key", "queue", "remove_stream"} or not callable(method):
            return method

        async def call(*args: Any, **keywords: Any) -> Any:
            return method(*args, **keywords)

        return call

    def consumer(self, *args: Any, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.consumer(*args, background=self._background, **options))

    def streams(self, *args: Any, **named: Any) -> AsIfAsync:
        return self._wrap(self._blocking.streams(*args, **named))

    def group_consumer(self, *args: Any, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.group_consumer(*args, background=self._background, **options))

    def producer(self, *args: Any, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.producer(*args, **options))

    def pubsub(self, *args: Any, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.pubsub(*args, background=self._background, **_plain(options)))

    def channels(self, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.channels(background=self._background, **options))

    def subscriber(self, *args: Any, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.subscriber(*args, **options))

    def sharded_pubsub(self, *args: Any, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.sharded_pubsub(*args, background=self._background, **_plain(options)))

    def key_events(self, *args: Any, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.key_events(*args, background=self._background, **options))

    async def subscribe(self, *names: Any, **handlers: Any) -> None:
        self._blocking.subscribe(*map(_plain, names), **_plain(handlers))

    async def send_nowait(self, *args: Any, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.send_nowait(*args, **options))

    def batches(self) -> AsIfAsync:
        return self._wrap(self._blocking.batches())

    def with_events(self) -> AsIfAsync:
        return self._wrap(self._blocking.with_events())

    def transaction(self, *args: Any, **options: Any) -> Any:
        if "watch" in options:
            return self._wrap(self._blocking.transaction(*args, **options))
        return self.__getattr__("transaction")(*args, **options)

    async def transact(self, body: Callable[[Any], Coroutine[Any, Any, Any]], **options: Any) -> Any:
        return self._blocking.transact(lambda transaction: at_once(body(self._wrap(transaction))), **options)

    def nodes(self) -> Any:
        return self._blocking.nodes()

    def on(self, node: Any) -> AsIfAsync:
        return self._wrap(self._blocking.on(node))

    def scan_keys(self, **options: Any) -> AsIfAsync:
        return self._wrap(self._blocking.scan_keys(**options))

    def script(self, *args: Any) -> Any:
        return self._wrap(self._blocking.script(*args))

    async def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self._blocking(*args, **keywords)

    def _wrap(self, blocking: Any) -> AsIfAsync:
        return AsIfAsync(blocking, background=self._background)

    async def __aenter__(self) -> Self:
        self._blocking.__enter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._blocking.__exit__(*error)

    def __aiter__(self) -> AsIfAsync:
        return self._wrap(iter(self._blocking))

    async def __anext__(self) -> Any:
        try:
            return next(self._blocking)
        except StopIteration:
            raise StopAsyncIteration from None


def _anyio(backend: str) -> Callable[..., None]:
    return lambda scenario: anyio.run(scenario, backend=backend)


ASYNC: tuple[Runtime, ...] = (
    Asyncio("asyncio", asyncio.new_event_loop),
    Asyncio("uvloop", uvloop.new_event_loop),
    Structured("trio", trio, trio.run, transports.trio.connect),
    Structured("anyio-asyncio", anyio, _anyio("asyncio"), transports.anyio.connect),
    Structured("anyio-trio", anyio, _anyio("trio"), transports.anyio.connect),
)
THREADS: tuple[Runtime, ...] = (Threads("background", background=True), Threads("pumped", background=False))
RUNTIMES = ASYNC + THREADS


def named(*names: str) -> Iterator[Runtime]:
    """Some of the runtimes."""
    return (runtime for runtime in RUNTIMES if runtime.name in names)
