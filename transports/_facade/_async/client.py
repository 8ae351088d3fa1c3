"""The client on an async runtime: commands, and the way to consumers and producers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, Unpack, cast, overload

from streamcore.arguments import Name, ReadFrom, positive, read_source
from streamcore.commands import Command
from streamcore.commands.command import LinkUse
from streamcore.commands.ids import Position
from streamcore.consumer.consumer import Consumer as ConsumerEngine
from streamcore.consumer.options import ConsumerOptions
from streamcore.consumer.start import Starts
from streamcore.errors import InvalidArgument, WatchedKeyChanged
from streamcore.group.consumer import GroupConsumer as GroupEngine
from streamcore.group.consumer import GroupOptions, Groups
from streamcore.producer.producer import Producer as ProducerEngine
from streamcore.producer.producer import ProducerOptions
from streamcore.requests import DedicatedLink, Multiplexer, Request, Submit
from streamcore.tracebacks import conceals_arguments

# threads: from ..._credentials import check_plain
from ..keywords import check_keywords
from ..reading import NOTHING
from ..runtime import AsyncRuntime
from ..settings import ConnectOptions, Settings, key_names, member, raised_together, together
from .consumers import Consumer
from .groups import GroupConsumer
from .lifecycle import Running, leased, submit
from .nodes import Nodes
from .producer import Producer
from .transaction import Transaction

R = TypeVar("R")


class Client(Nodes):
    """A connection to a server, or to the nodes of a cluster: commands of any number of tasks, and the way to everything else."""

    _instead = "call connect() where it is needed"

    def __init__(self, runtime: AsyncRuntime, settings: Settings) -> None:
        self._settings = settings
        self._engine = settings.client()
        self._running = Running(self._engine, runtime, settings)

    async def __aenter__(self) -> Self:
        await self._running.open()
        settings = self._settings.learned(self._engine)
        if settings is not self._settings:
            await self._running.go_on(settings.client(), settings)
            self._settings, self._engine = settings, cast(Multiplexer, self._running.engine)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client with everything that was opened through it."""
        await self._running.close()

    # -- asking -------------------------------------------------------------------------------------------------------

    async def execute(self, command: Command[R], *, read_from: ReadFrom | None = None) -> R:
        """Run a command. Raises its ``ReplyError``; ``ConnectionLost``, which says whether it was sent.

        A command that blocks gets a link of its own meanwhile, and holds up no other caller. ``read_from``, instead of the
        client's: the ``"primary"``, a ``"replica"`` or ``"any"`` node of a cluster is to answer, where the command only reads, and does not block.
        """
        how = None if read_from is None else self._reading(read_from)
        if command.traits.use is LinkUse.DEDICATED:
            request = await self._ask_apart([command])
        else:
            request = await submit(self._running, [command], how)
        return cast(R, request.answer())

    async def pipeline(
        self, asked: Iterable[Command[Any]], *, raise_errors: bool = False, read_from: ReadFrom | None = None
    ) -> list[Any]:
        """Run commands in one write. The answer of a refused command is its ``ReplyError``, in its place.

        With ``raise_errors`` these are raised, as a ``CommandErrors`` group that has the other ``answers`` as well. Where
        a command blocks (``wait`` behind its write) all of them run on a link of their own. ``read_from``, as of ``execute``, is for
        the commands of slots that the pipeline only reads.
        """
        listed = list(asked)
        if not listed:
            return []
        how = None if read_from is None else self._reading(read_from)
        if any(command.traits.use is LinkUse.DEDICATED for command in listed):
            request = await self._ask_apart(listed)
        else:
            request = await submit(self._running, listed, how)
        return raised_together(request.answers(), wanted=raise_errors)

    def _reading(self, source: ReadFrom) -> Submit:
        return partial(self._engine.submit, read_from=read_source(source))

    async def _ask_apart(self, asked: list[Command[Any]]) -> Request:
        async with leased(self._running, partial(self._lend, asked)) as lease:
            return await submit(self._running, asked, lease.submit)

    @overload
    def transaction(self, asked: Iterable[Command[Any]], *, raise_errors: bool = False) -> Awaitable[list[Any]]: ...
    @overload
    def transaction(self, *, watch: Name | Iterable[Name], raise_errors: bool = False) -> Transaction: ...
    def transaction(
        self,
        asked: Iterable[Command[Any]] | None = None,
        *,
        watch: Name | Iterable[Name] | None = None,
        raise_errors: bool = False,
    ) -> Awaitable[list[Any]] | Transaction:
        """All of the commands, with nothing in between, or none (``MULTI``, ``EXEC``); or a block that watches keys first.

        A command that fails when it is executed has its ``ReplyError`` for an answer, as in ``pipeline``; a command that the
        server refuses before raises ``ExecAbortError``. ``async with transaction(watch=[...]) as tx`` reads first, and
        executes only if the keys did not change meanwhile: see ``Transaction``, and ``transact``, which tries again.
        """
        if (asked is None) == (watch is None):
            raise InvalidArgument("give transaction() either commands, or the keys to watch")
        if watch is not None:
            return Transaction(self._running, watch, self._lend, raise_errors=raise_errors)
        return self._transact(list(asked or ()), raise_errors=raise_errors)

    def _lend(self, asked: Sequence[Command[Any]]) -> DedicatedLink | None:
        return self._engine.lease(asked)

    async def _transact(self, asked: list[Command[Any]], *, raise_errors: bool) -> list[Any]:
        if not asked:
            return []
        request = await submit(self._running, asked, self._engine.transact)
        return raised_together(request.answers(), wanted=raise_errors)

    async def transact(
        self, body: Callable[[Transaction], Awaitable[R]], *, watch: Name | Iterable[Name], attempts: int = 16
    ) -> R:
        """Call ``body`` with a transaction that watches keys, again while they are changed by others; the result of ``body``.

        Raises ``WatchedKeyChanged`` when that has happened ``attempts`` times.
        """
        watched = key_names(watch)  # once: it may be an iterator
        left = positive("attempts", attempts)
        while True:
            try:
                async with self.transaction(watch=watched) as transaction:
                    result = await body(transaction)
                return result  # noqa: RET504  # the end of the block, which executes, may raise
            except WatchedKeyChanged:
                left -= 1
                if not left:
                    raise

    # -- engines ------------------------------------------------------------------------------------------------------

    @overload
    def consumer(
        self,
        streams: Starts,
        *,
        # threads: background: bool = True,
        decode: None = None,
        idle_value: Any = NOTHING,
        **options: Unpack[ConsumerOptions],
    ) -> Consumer[bytes]: ...
    @overload
    def consumer(
        self,
        streams: Starts,
        *,
        # threads: background: bool = True,
        decode: str,
        idle_value: Any = NOTHING,
        **options: Unpack[ConsumerOptions],
    ) -> Consumer[str]: ...
    def consumer(
        self,
        streams: Starts,
        *,
        # threads: background: bool = True,
        decode: str | None = None,
        idle_value: Any = NOTHING,
        **options: Unpack[ConsumerOptions],
    ) -> Consumer[Any]:
        """Follow streams by XREAD; see ``streamcore.Consumer`` for the options.

        The iteration returns ``idle_value``, where it is given, when a read comes back empty.
        """
        check_keywords("consumer", options, ConsumerOptions, "decode", "idle_value")  # async
        # threads: check_keywords("consumer", options, ConsumerOptions, "decode", "idle_value", "background")
        given: ConsumerOptions = {"read_from": self._settings.read_from, **options}
        engine = ConsumerEngine[Any](streams, decode=decode, **given, **self._settings.engine())
        running = self._running.part(engine)  # async
        # threads: running = self._running.part(engine, background=background)
        return Consumer(engine, running, idle_value)

    def streams(self, streams: Starts | None = None, /, **named: Position | None) -> Consumer[bytes]:
        """Follow streams, named as keywords or in a mapping, in the order of their entries' ids, entry by entry.

        A start of None is the end. There is no keyword that is not a stream; ``consumer(..., merge="id")`` has options.
        """
        return self.consumer(together(streams, named), merge="id")

    @overload
    def group_consumer(
        self,
        streams: Name | Iterable[Name],
        *,
        group: Name,
        consumer: Name | None = None,
        # threads: background: bool = True,
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
        # threads: background: bool = True,
        decode: str,
        **options: Unpack[GroupOptions],
    ) -> GroupConsumer[str]: ...
    @overload
    def group_consumer(
        self,
        streams: Groups,
        *,
        group: None = None,
        consumer: Name | None = None,
        # threads: background: bool = True,
        decode: None = None,
        **options: Unpack[GroupOptions],
    ) -> GroupConsumer[bytes]: ...
    @overload
    def group_consumer(
        self,
        streams: Groups,
        *,
        group: None = None,
        consumer: Name | None = None,
        # threads: background: bool = True,
        decode: str,
        **options: Unpack[GroupOptions],
    ) -> GroupConsumer[str]: ...
    def group_consumer(
        self,
        streams: Name | Iterable[Name] | Groups,
        *,
        group: Name | None = None,
        consumer: Name | None = None,
        # threads: background: bool = True,
        decode: str | None = None,
        **options: Unpack[GroupOptions],
    ) -> GroupConsumer[Any]:
        """Consume streams through a group; see ``streamcore.GroupConsumer`` for the options.

        A mapping gives each stream a group of its own; then there is no ``group=``, and the options hold for every group.
        """
        check_keywords("group_consumer", options, GroupOptions, "group", "consumer", "decode")  # async
        # threads: check_keywords("group_consumer", options, GroupOptions, "group", "consumer", "decode", "background")
        given = {**member(consumer, options), **self._settings.engine()}
        engine: GroupEngine[Any] = GroupEngine(streams, group=group, decode=decode, **given)
        running = self._running.part(engine)  # async
        # threads: running = self._running.part(engine, background=background)
        return GroupConsumer(engine, running, self._running)

    def producer(self, stream: Name, **options: Unpack[ProducerOptions]) -> Producer:
        """Append to a stream; see ``streamcore.Producer`` for the options."""
        check_keywords("producer", options, ProducerOptions)
        engine = ProducerEngine(stream, **options, **self._settings.engine())
        return Producer(engine, self._running.part(engine))


class Connect(Protocol):
    def __call__(self, url: str | Iterable[str] | None = None, **options: Unpack[ConnectOptions]) -> Client: ...


def make_connect(runtime: AsyncRuntime) -> Connect:
    """The ``connect`` of a runtime."""

    @conceals_arguments
    def connect(url: str | Iterable[str] | None = None, **options: Unpack[ConnectOptions]) -> Client:
        """A client for the server at ``url``, or for the cluster of its hosts, to be entered by ``async with``.

        ``redis://user:password@host:port/database``, ``valkey://``, with TLS ``rediss://`` and ``valkeys://``, or
        ``unix:///path``; without a URL, that of the environment variable ``REDIS_URL``, or ``redis://localhost:6379``.
        ``redis://host,host:7001`` or several URLs name nodes of a cluster; a single host may belong to a cluster, too.
        Keywords win over the URL: see ``ConnectOptions``. Raises ``InvalidURL`` or ``InvalidArgument``; nothing is
        dialled before the block is entered.
        """
        # threads: check_plain(options.get("credentials"))
        return Client(runtime, Settings.of(url, options))

    return connect
