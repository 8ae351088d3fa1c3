"""The public face for threads: the names and parameters of ``asynchronous``, without ``await``.

A consumer belongs to one thread at a time; clients and producers may be shared. ``entry.ack()`` works in any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from streamcore import commands
from streamcore.arguments import Name, Seconds, seconds
from streamcore.commands import Command
from streamcore.consumer import Consumer as ConsumerEngine
from streamcore.consumer import ConsumerOptions, Starts
from streamcore.engine import Engine
from streamcore.entries import Batch, Entry, GroupBatch, GroupEntry, StreamId
from streamcore.group import GroupConsumer as GroupEngine
from streamcore.group import GroupOptions
from streamcore.producer import Fields, ProducerOptions
from streamcore.producer import Producer as ProducerEngine
from streamcore.requests import Request, Requests

from ..address import Target
from .settings import ConnectOptions, Opened, Settings, chunks, consumer_name, unopened

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bytes, str)
E = TypeVar("E", bound=Entry[Any])
B = TypeVar("B", bound=Batch[Any])


class Driver(Protocol):
    """What the threads' transport does for one engine."""

    @property
    def lock(self) -> AbstractContextManager[Any]: ...
    def flush(self) -> None: ...
    def changed(self, timeout: float | None = None) -> bool: ...
    def linger(self, done: Callable[[], bool], timeout: float) -> None: ...
    def request(self, commands: Sequence[Command[Any]]) -> Request: ...
    def close(self) -> None: ...


class Runtime(Protocol):
    def __call__(self, engine: Engine, target: Target, *, background: bool = True) -> Driver: ...


class _Running(Opened):
    """An engine from entering to leaving."""

    _driver: Driver | None = None

    def __init__(self, engine: Engine, runtime: Runtime, settings: Settings, *, background: bool) -> None:
        super().__init__(engine, settings)
        self._runtime = runtime
        self._settings = settings
        self._background = background

    @property
    def driver(self) -> Driver:
        if self._driver is None:
            raise unopened(type(self.engine).__name__)
        self.check()
        return self._driver

    def open(self) -> None:
        """Start, and wait until the engine is ready; raises why it is not."""
        self.check()
        driver = self._driver = self._runtime(self.engine, self._settings.target, background=self._background)
        engine = cast(ConsumerEngine[Any], self.engine)
        try:
            with driver.lock:
                while not engine.is_ready:
                    self.engine.check()
                    if not driver.changed(self.engine.options.request_timeout):
                        raise self.not_reached()
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        return self._driver is not None and not self.engine.closed and not self.forked

    def close(self) -> None:
        """Close the engine and its sockets; again does nothing."""
        if self.is_open:
            with self.driver.lock:
                self.engine.close()
        driver, self._driver = self._driver, None
        if driver is not None and not self.forked:
            driver.close()


class _Reader(Generic[E, B]):
    """Entries one by one, or batch by batch. Belongs to one thread at a time."""

    def __init__(self, engine: Any, client: Client, *, background: bool) -> None:
        self._engine = engine
        self._client = client
        self._running = client._adopt(engine, background=background)  # noqa: SLF001  # a part of the client
        self._batch: B | None = None
        self._entries: Iterator[E] = iter(())

    def __enter__(self) -> Self:
        self._running.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; entries that were fetched and never handed over are forgotten here, not on the server."""
        self._client._release(self._running)  # noqa: SLF001

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E:
        for entry in self._entries:
            return entry
        return self._begin(self._fetch())

    def get(self, timeout: Seconds | None = None) -> E | None:
        """The next entry; None when ``timeout`` seconds pass first. None waits, 0 only looks."""
        wait = None if timeout is None else seconds("timeout", timeout, zero=True)
        for entry in self._entries:
            return entry
        batch = self._fetch_within(wait)
        return None if batch is None else self._begin(batch)

    def batches(self) -> Iterator[B]:
        """Iterate over batches, the fast lane; what is left of a batch begun by entries comes first."""
        while True:
            rest = list(self._entries)
            if rest and self._batch is not None:
                yield self._engine.split(self._batch, len(self._batch) - len(rest))
            else:
                yield self._fetch()

    def _begin(self, batch: B) -> E:
        self._batch = batch
        self._entries = cast("Iterator[E]", iter(batch))
        return next(self._entries)

    def _fetch(self) -> B:
        batch = self._fetch_within(None)
        assert batch is not None
        return batch

    def _fetch_within(self, timeout: float | None) -> B | None:
        running = self._running
        driver = running.driver
        with running.sole_use(), driver.lock:
            while (batch := self._engine.take()) is None:
                driver.flush()
                if not driver.changed(timeout):
                    return None
            driver.flush()
        running.tell_events()
        return cast(B, batch)


class Consumer(_Reader[Entry[T], Batch[T]], Generic[T]):
    """Follow streams by XREAD, each entry once: ``for entry in consumer``."""

    def cursor(self) -> dict[bytes, StreamId]:
        """Per stream the last id handed over in a batch; pass it as ``streams`` to go on from there."""
        engine: ConsumerEngine[T] = self._engine
        return engine.cursor()


class GroupConsumer(_Reader[GroupEntry[T], GroupBatch[T]], Generic[T]):
    """Consume streams through a group, at least once: ``for entry in consumer: ...; entry.ack()``."""

    def flush(self, timeout: Seconds | None = None) -> bool:
        """Send acknowledgements now and wait until the server has confirmed them; False if ``timeout`` passed first."""
        wait = self._engine.options.request_timeout if timeout is None else seconds("timeout", timeout, zero=True)
        with self._running.driver.lock:
            self._engine.flush()
        self._running.driver.linger(self._is_settled, wait)
        return self._is_settled()

    def close(self) -> None:
        """Send what is acknowledged, wait for the server's word (at most the request timeout), close."""
        if self._running.is_open:
            with self._running.driver.lock:
                self._engine.leave()
            self._running.driver.linger(self._is_settled, self._engine.options.request_timeout)
        super().close()

    def _is_settled(self) -> bool:
        engine: GroupEngine[T] = self._engine
        return engine.settled or engine.closed


class Producer:
    """Append to a stream: ``id = producer.send({...})``. Threads may share it; their entries leave together."""

    def __init__(self, engine: ProducerEngine, client: Client) -> None:
        self._engine = engine
        self._client = client
        self._running = client._adopt(engine)  # noqa: SLF001  # a part of the client

    def __enter__(self) -> Self:
        self._running.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; what was not sent yet fails with ``ConnectionLost``."""
        self._client._release(self._running)  # noqa: SLF001

    def send(self, fields: Fields, id: StreamId | str = "*") -> StreamId:  # noqa: A002  # the server's word
        """Append one entry (``XADD``) and wait for its id.

        Raises ``DeliveryUnknown`` where it was sent and the id never came back, ``ConnectionLost`` where it was not sent.
        """
        request = _submit(self._running, [self._engine.entry(fields, id)])
        return cast(StreamId, request.answer())

    def send_many(self, entries: Iterable[Fields]) -> list[StreamId]:
        """Append entries in order, many in flight at once; their ids. Raises the first error, what follows may be sent."""
        entry = self._engine.entry
        answers = _submit_all(self._running, [entry(fields) for fields in entries])
        return cast("list[StreamId]", answers)


def _submit(running: _Running, asked: Sequence[Command[Any]]) -> Request:
    driver = running.driver
    engine = cast(Requests, running.engine)
    with driver.lock:
        while not engine.has_room:
            driver.changed()
    request = driver.request(asked)
    if running.listens:
        running.tell_events()
    return request


def _submit_all(running: _Running, asked: Sequence[Command[Any]]) -> list[Any]:
    """Submit a long list piece by piece, and wait for all of it."""
    driver, engine = running.driver, cast(Requests, running.engine)
    requests: list[Request] = []
    try:
        with driver.lock:
            for piece in chunks(asked):
                while not engine.has_room:
                    driver.changed()
                requests.append(engine.submit(piece, _nobody))
                driver.flush()
            while not all(request.finished for request in requests):
                driver.changed()
    except BaseException:
        for request in requests:
            request.finished = True  # what has not left yet need not leave
        raise
    answers = [answer for request in requests for answer in request.answers()]
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _nobody(request: Request) -> None:
    """Whoever waits looks at ``finished``."""


def _method(build: Callable[P, Command[R]]) -> Callable[Concatenate[Client, P], R]:
    """A command builder as a method of the client."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.execute(build(*args, **kwargs))

    method.__doc__ = build.__doc__
    method.__name__ = build.__name__
    method.__wrapped__ = build  # type: ignore[attr-defined]  # for help() and the parity test
    return method


class Client:
    """A connection to a server: commands of any number of threads over one link, and the way to everything else."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._children: list[_Running] = []
        self._running = _Running(Requests(**settings.engine()), runtime, settings, background=True)

    def __enter__(self) -> Self:
        self._running.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the client with everything that was opened through it."""
        for child in self._children.copy():
            self._release(child)
        self._running.close()

    def _adopt(self, engine: Engine, *, background: bool = True) -> _Running:
        running = _Running(engine, self._runtime, self._settings, background=background)
        self._children.append(running)
        return running

    def _release(self, running: _Running) -> None:
        if running in self._children:
            self._children.remove(running)
        running.close()

    # -- commands -----------------------------------------------------------------------------------------------------

    def execute(self, command: Command[R]) -> R:
        """Run one command. Raises its ``ReplyError``; ``ConnectionLost``, which says whether it was sent."""
        request = _submit(self._running, [command])
        return cast(R, request.answer())

    def pipeline(self, asked: Iterable[Command[Any]]) -> list[Any]:
        """Run commands in one write; a refused one's answer is its ``ReplyError``, in its place."""
        listed = list(asked)
        if not listed:
            return []
        request = _submit(self._running, listed)
        return request.answers()

    ping = _method(commands.ping)
    info = _method(commands.info)
    dbsize = _method(commands.dbsize)
    flushall = _method(commands.flushall)
    delete = _method(commands.delete)
    exists = _method(commands.exists)
    expire = _method(commands.expire)
    ttl = _method(commands.ttl)
    type = _method(commands.type_)
    get = _method(commands.get)
    set = _method(commands.set_)
    incr = _method(commands.incr)
    hset = _method(commands.hset)
    hget = _method(commands.hget)
    hgetall = _method(commands.hgetall)
    hlen = _method(commands.hlen)
    hdel = _method(commands.hdel)
    xadd = _method(commands.xadd)
    xlen = _method(commands.xlen)
    xdel = _method(commands.xdel)
    xtrim = _method(commands.xtrim)
    xrange = _method(commands.xrange)
    xrevrange = _method(commands.xrevrange)
    xack = _method(commands.xack)
    xgroup_create = _method(commands.xgroup_create)
    xgroup_destroy = _method(commands.xgroup_destroy)
    xpending = _method(commands.xpending)

    # -- engines ------------------------------------------------------------------------------------------------------

    @overload
    def consumer(
        self, streams: Starts, *, background: bool = True, decode: None = None, **options: Unpack[ConsumerOptions]
    ) -> Consumer[bytes]: ...
    @overload
    def consumer(self, streams: Starts, *, background: bool = True, decode: str, **options: Unpack[ConsumerOptions]) -> Consumer[str]: ...
    def consumer(
        self, streams: Starts, *, background: bool = True, decode: str | None = None, **options: Unpack[ConsumerOptions]
    ) -> Consumer[Any]:
        """Follow streams by XREAD; see ``streamcore.Consumer`` for the options.

        ``background=False`` runs the engine in the thread that waits for entries: fastest, but nothing happens between calls.
        """
        engine = ConsumerEngine[Any](streams, decode=decode, **options, **self._settings.engine())
        return Consumer(engine, self, background=background)

    @overload
    def group_consumer(
        self,
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name | None = None,
        background: bool = True,
        decode: None = None,
        **options: Unpack[GroupOptions],
    ) -> GroupConsumer[bytes]: ...
    @overload
    def group_consumer(
        self,
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name | None = None,
        background: bool = True,
        decode: str,
        **options: Unpack[GroupOptions],
    ) -> GroupConsumer[str]: ...
    def group_consumer(
        self,
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name | None = None,
        background: bool = True,
        decode: str | None = None,
        **options: Unpack[GroupOptions],
    ) -> GroupConsumer[Any]:
        """Consume streams through a group; see ``streamcore.GroupConsumer`` for the options.

        ``background=False`` runs the engine in the thread that waits for entries: fastest, but nothing happens between calls,
        no acknowledgement by time either; an exception such as KeyboardInterrupt during such a call closes the consumer.
        """
        engine = GroupEngine[Any](
            streams,
            group=group,
            consumer=consumer_name(consumer),
            decode=decode,
            **options,
            **self._settings.engine(),
        )
        return GroupConsumer(engine, self, background=background)

    def producer(self, stream: Name, **options: Unpack[ProducerOptions]) -> Producer:
        """Append to a stream; see ``streamcore.Producer`` for the options."""
        return Producer(ProducerEngine(stream, **options, **self._settings.engine()), self)


class Connect(Protocol):
    def __call__(self, url: str | None = None, **options: Unpack[ConnectOptions]) -> Client: ...


def make_connect(runtime: Runtime) -> Connect:
    """The ``connect`` of a runtime."""

    def connect(url: str | None = None, **options: Unpack[ConnectOptions]) -> Client:
        """A client for the server at ``url``; use it as ``with connect(...) as client``.

        ``redis://user:password@host:port/database``, ``valkey://``, with TLS ``rediss://`` and ``valkeys://``, or
        ``unix:///path``; without a URL, that of the environment variable ``REDIS_URL``, or ``redis://localhost:6379``.
        Keywords win over the URL: see ``ConnectOptions``. Raises ``InvalidURL`` or ``InvalidArgument``; nothing is
        dialled before the block is entered.
        """
        return Client(runtime, Settings.of(url, options))

    return connect
