"""The client for threads: commands, and the way to consumers and producers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from streamcore import commands
from streamcore.arguments import Name
from streamcore.commands import Command
from streamcore.consumer import Consumer as ConsumerEngine
from streamcore.consumer import ConsumerOptions, Starts
from streamcore.group import GroupConsumer as GroupEngine
from streamcore.group import GroupOptions
from streamcore.producer import Producer as ProducerEngine
from streamcore.producer import ProducerOptions
from streamcore.requests import Requests

from ..settings import ConnectOptions, Settings, consumer_name, method_signature
from .producer import Producer
from .readers import Consumer, GroupConsumer
from .running import Running, Runtime, submit

P = ParamSpec("P")
R = TypeVar("R")


def _method(build: Callable[P, Command[R]]) -> Callable[Concatenate[Client, P], R]:
    """A command builder as a method of the client."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.execute(build(*args, **kwargs))

    method.__doc__ = build.__doc__
    method.__name__ = build.__name__
    method.__signature__ = method_signature(build)  # type: ignore[attr-defined]  # for help() and editors
    return method


class Client:
    """A connection to a server: commands of any number of threads over one link, and the way to everything else."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._settings = settings
        self._running = Running(Requests(**settings.engine()), runtime, settings)

    def __enter__(self) -> Self:
        self._running.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the client with everything that was opened through it."""
        self._running.close()

    # -- commands -----------------------------------------------------------------------------------------------------

    def execute(self, command: Command[R]) -> R:
        """Run one command. Raises its ``ReplyError``; ``ConnectionLost``, which says whether it was sent."""
        request = submit(self._running, [command])
        return cast(R, request.answer())

    def pipeline(self, asked: Iterable[Command[Any]]) -> list[Any]:
        """Run commands in one write; a refused one's answer is its ``ReplyError``, in its place."""
        listed = list(asked)
        if not listed:
            return []
        request = submit(self._running, listed)
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
    def consumer(
        self, streams: Starts, *, background: bool = True, decode: str, **options: Unpack[ConsumerOptions]
    ) -> Consumer[str]: ...
    def consumer(
        self, streams: Starts, *, background: bool = True, decode: str | None = None, **options: Unpack[ConsumerOptions]
    ) -> Consumer[Any]:
        """Follow streams by XREAD; see ``streamcore.Consumer`` for the options.

        ``background=False`` runs the engine in the thread that waits for entries: fastest, but nothing happens between calls.
        """
        engine = ConsumerEngine[Any](streams, decode=decode, **options, **self._settings.engine())
        return Consumer(engine, self._running, background=background)

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
        return GroupConsumer(engine, self._running, background=background)

    def producer(self, stream: Name, **options: Unpack[ProducerOptions]) -> Producer:
        """Append to a stream; see ``streamcore.Producer`` for the options."""
        return Producer(ProducerEngine(stream, **options, **self._settings.engine()), self._running)


class Connect(Protocol):
    def __call__(self, url: str | None = None, **options: Unpack[ConnectOptions]) -> Client: ...


def make_connect(runtime: Runtime) -> Connect:
    """The ``connect`` of a runtime."""

    def connect(url: str | None = None, **options: Unpack[ConnectOptions]) -> Client:
        """A client for the server at ``url``, to be entered by ``with``.

        ``redis://user:password@host:port/database``, ``valkey://``, with TLS ``rediss://`` and ``valkeys://``, or
        ``unix:///path``; without a URL, that of the environment variable ``REDIS_URL``, or ``redis://localhost:6379``.
        Keywords win over the URL: see ``ConnectOptions``. Raises ``InvalidURL`` or ``InvalidArgument``; nothing is
        dialled before the block is entered.
        """
        return Client(runtime, Settings.of(url, options))

    return connect
