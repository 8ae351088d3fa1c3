"""Receive published messages: channels, patterns and shard channels, over a link that is renewed for ever.

At most once, in order, and never silent: a possible loss of messages is an event, told before the next message. A lost
link is a gap (``SubscriptionGap``); the subscriptions, their handlers included, are restored by ``subscriptions``.
Messages of subscriptions with a handler wait in a buffer of their own.

With ``when_full="block"`` a full buffer stops the reading of the socket, until the server has had enough and closes
the connection: a gap. While the server's confirmation of a subscription is due, the socket is read all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, Unpack, overload

from ..arguments import Name, ReadFrom, Seconds, encoding, one_of, positive, read_source, seconds
from ..connection.exchange import Exchange
from ..engine.engine import Engine, EngineOptions
from ..errors import UNAVAILABLE, InvalidArgument, ReplyError
from ..events import HandlerFailed, SubscriptionGap
from ..options import DEFAULT_OPTIONS
from .buffer import PushBuffer, WhenFull
from .changes import SubscriptionChange, SubscriptionChanges, Subscriptions, standing
from .dispatcher import Dispatcher
from .invalidation import Tracking
from .message import Kind, Message
from .options import Call, Handlers, Invalidated, ShardedPubSubOptions, names, watchful, with_handlers
from .primary_tables import PrimaryTables
from .replica_owners import places
from .shard_tables import ShardTables
from .subscriptions import Desired, Subscription, SubscriptionCommand, SubscriptionTable

T = TypeVar("T", bytes, str)

_NONE: Final[Mapping[Any, Any]] = MappingProxyType({})


class _Options(ShardedPubSubOptions, EngineOptions, total=False):
    shard_channels: Name | Iterable[Name]
    shard_channel_handlers: Handlers[Any]


class PubSub(Engine, Generic[T]):
    """Subscribe, and get messages.

    ``channels``, ``patterns``, ``shard_channels``: names; ``channel_handlers`` and so on: names with the functions
    that are called with their messages. ``ignore_subscribe_messages=False`` hands over the server's word on
    subscriptions, too. A call waits for that word up to ``subscription_timeout`` (1) and ``unsubscription_timeout``
    (0.1) seconds, with ``lazy`` not at all; entering waits up to ``subscription_timeout`` for the connection and that
    word together. A dead link is found within ``max_idle_seconds`` (15). ``queue_size`` (10,000) messages or
    ``queue_bytes`` (64 MiB) wait for the application; ``when_full`` chooses how a full queue acts: ``"block"``,
    ``"drop_oldest"``, ``"drop_newest"``.

    ``on_invalidate`` is called with the keys that have changed, or with None: all may have (``CLIENT TRACKING``,
    broadcasting); ``read_from`` chooses the node of a cluster at which a shard channel is subscribed to; ``track`` are the prefixes of keys that it is for, by default all keys. A ``retry_policy`` is
    refused: the link is dialled for ever, and its back-off begins anew after each success.
    """

    _is_local = False
    """Whether the messages are those of a node: in a cluster, each primary is subscribed to."""

    @overload
    def __init__(
        self: PubSub[bytes],
        channels: Name | Iterable[Name] = (),
        patterns: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[bytes] = _NONE,
        pattern_handlers: Handlers[bytes] = _NONE,
        decode: None = None,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: PubSub[str],
        channels: Name | Iterable[Name] = (),
        patterns: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[str] = _NONE,
        pattern_handlers: Handlers[str] = _NONE,
        decode: str,
        **options: Unpack[_Options],
    ) -> None: ...
    @overload
    def __init__(
        self: PubSub[Any],
        channels: Name | Iterable[Name] = (),
        patterns: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[Any] = _NONE,
        pattern_handlers: Handlers[Any] = _NONE,
        decode: str | None,
        **options: Unpack[_Options],
    ) -> None: ...
    def __init__(
        self,
        channels: Name | Iterable[Name] = (),
        patterns: Name | Iterable[Name] = (),
        *,
        shard_channels: Name | Iterable[Name] = (),
        channel_handlers: Handlers[Any] = _NONE,
        pattern_handlers: Handlers[Any] = _NONE,
        shard_channel_handlers: Handlers[Any] = _NONE,
        decode: str | None = None,
        ignore_subscribe_messages: bool = True,
        retry_policy: None = None,
        subscription_timeout: Seconds = 1.0,
        unsubscription_timeout: Seconds = 0.1,
        max_idle_seconds: Seconds = 15.0,
        queue_size: int = 10_000,
        queue_bytes: int = 64 << 20,
        when_full: WhenFull = "block",
        lazy: bool = False,
        track: Name | Iterable[Name] | None = None,
        on_invalidate: Invalidated | None = None,
        read_from: ReadFrom = "primary",
        **engine: Unpack[EngineOptions],
    ) -> None:
        idle = seconds("max_idle_seconds", max_idle_seconds)
        options = engine.get("options", DEFAULT_OPTIONS)
        engine["options"] = watchful(options, idle, is_routed=engine.get("router") is not None)
        super().__init__(**engine)
        if retry_policy is not None:
            raise InvalidArgument(
                "retry_policy cannot be chosen: the link is dialled for ever, and the back-off, up to "
                f"{options.backoff_max:g} seconds, begins anew after each success; leave it out"
            )
        self.lazy = lazy
        self._read_from = read_source(read_from)
        self.subscription_timeout = seconds("subscription_timeout", subscription_timeout)
        self.unsubscription_timeout = seconds("unsubscription_timeout", unsubscription_timeout, zero=True)
        self._blocks = one_of("when_full", when_full, "block", "drop_oldest", "drop_newest") == "block"
        limit, nbytes = positive("queue_size", queue_size), positive("queue_bytes", queue_bytes)
        self._tracking = Tracking(track, on_invalidate, limit)
        self._dispatcher: Dispatcher[T] = Dispatcher(
            limit,
            nbytes,
            when_full,
            encoding=encoding(decode),
            ignores=ignore_subscribe_messages,
            tracking=self._tracking,
            emit=self._emit,
        )
        self._buffer: PushBuffer[Message[T]] = self._dispatcher.buffer
        self._calls = self._dispatcher.calls
        self._node_tables: list[PrimaryTables | ShardTables] = []
        self._subscriptions, self._trackers = self._make_tables()
        self._sources = dict.fromkeys((self._subscriptions, self._trackers))
        self._changes = SubscriptionChanges(self, self._subscriptions)
        self.first = [
            self.subscribe(kind, with_handlers(kind, names(kind.what, listed), handlers))
            for kind, listed, handlers in (
                (Kind.CHANNEL, channels, channel_handlers),
                (Kind.PATTERN, patterns, pattern_handlers),
                (Kind.SHARD, shard_channels, shard_channel_handlers),
            )
        ]
        for tables in self._sources:
            tables.open()

    def _make_tables(self) -> tuple[Desired, Desired]:
        """Make the table of the subscriptions, and the table whose links are for invalidated keys."""
        nodes = self.owners
        if nodes is None:
            table = SubscriptionTable(self, self, self._emit)
            return table, table
        nodes.on_change = self._follow
        if self._is_local or self._tracking.command is not None:
            self._node_tables.append(PrimaryTables(self, self, self._emit, nodes))
        if not self._is_local:
            self._node_tables.append(ShardTables(self, self, self._emit, places(nodes, self._read_from)))
        return self._node_tables[-1], self._node_tables[0]

    def _follow(self) -> None:
        """Follow the owners of slots, which may have changed."""
        if not self.closed:
            for tables in self._node_tables:
                tables.follow()

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the link is up and tracking is in force, or need not be."""
        tracks = self._tracking.command is None or self._trackers.is_tracked
        return self.lazy or (self._subscriptions.is_up and tracks)

    @property
    def has_handlers(self) -> bool:
        """Whether handlers are to be called with the results of ``take_calls``."""
        return self._tracking.command is not None or self._subscriptions.has_handlers

    @property
    def is_over(self) -> bool:
        """Whether no subscription is left, and no message waits."""
        return not len(self._buffer) and self._subscriptions.is_idle

    @property
    def has_messages(self) -> bool:
        """Whether ``take`` would return a message, a gap or an error now."""
        return len(self._buffer) > 0

    @property
    def dropped(self) -> int:
        """How many messages were dropped because the application was too slow."""
        return self._buffer.dropped + self._calls.dropped

    @property
    def subscriptions(self) -> Subscriptions[T]:
        """The names that are desired, confirmed and refused at this moment."""
        table = self._subscriptions.table
        channels, patterns, shards = (standing(table[kind].values(), self._dispatcher.name) for kind in Kind)
        return Subscriptions(channels, patterns, shards)

    def subscribe(self, kind: Kind, wanted: Mapping[bytes, Any]) -> SubscriptionChange:
        """Desire these names, with their handlers; a handler that they had is replaced."""
        self.check()
        return self._changes.subscribe(kind, wanted)

    def unsubscribe(self, kind: Kind, unwanted: Iterable[bytes] = ()) -> SubscriptionChange:
        """Desire these names no more; without names, none of the kind."""
        self.check()
        return self._changes.unsubscribe(kind, unwanted)

    def give_up(self, change: SubscriptionChange) -> None:
        """Cancel a change that is not done, whose caller has left; names that another call waits for stay."""
        self._changes.give_up(change)

    def keep(self, change: SubscriptionChange) -> None:
        """Forget a change, whose caller has left, without taking it back."""
        self._changes.keep(change)

    def take(self) -> list[Message[T]]:
        """Take the next messages, none where none has arrived. Raises the error that ended the engine, behind them."""
        messages = self._buffer.take(self._emit)
        if not messages:
            self.check()
        for tables in self._sources:
            self._balance(tables)
        return messages

    def take_calls(self) -> list[Call]:
        """Take the next calls of handlers. Raises as ``take`` does."""
        calls = self.take_waiting_calls()
        if not calls:
            self.check()
        return calls

    def take_waiting_calls(self) -> list[Call]:
        """Take the next calls of handlers, also after the end of the engine."""
        invalidated = self._tracking.take()
        if invalidated is not None:
            return [Call(*invalidated)]
        calls = self._calls.take(self._emit)
        for tables in self._sources:
            self._balance(tables)
        return calls

    def handler_failed(self, call: Call, error: Exception) -> None:
        """Emit ``HandlerFailed``: a handler has raised."""
        self._emit(HandlerFailed(getattr(call.argument, "channel", b""), error))

    def _balance(self, subscriptions: Desired) -> None:
        """Pause or resume the reading of the sockets."""
        if self._blocks and self._dispatcher.is_full:
            subscriptions.pause()
        else:
            subscriptions.resume()

    # -- calls of the subscription table ------------------------------------------------------------------------------

    def subscriptions_up(self, subscriptions: SubscriptionTable, *, again: bool) -> None:
        """Report the connection, and ask the server to track keys (``CLIENT TRACKING``), where ``on_invalidate`` is given."""
        self.report_up(subscriptions.link, again=again)
        if self._tracking.command is not None and subscriptions.tracks and subscriptions.link.is_up:
            subscriptions.link.send(Exchange([self._tracking.command], self.options.request_timeout))

    def subscriptions_down(self, subscriptions: SubscriptionTable, error: Exception, *, was_up: bool) -> None:
        """Report the loss of the connection; with it all copies of keys are void."""
        if subscriptions.is_tracked:
            subscriptions.is_tracked = False
            self._tracking.invalidate(None)
        self.report_down(subscriptions.link, error, was_up=was_up)

    def subscriptions_answered(self, subscriptions: SubscriptionTable, exchange: Exchange) -> None:
        """Put the server's confirmations into the buffer; a refusal of ``CLIENT TRACKING`` ends the engine."""
        if isinstance(exchange, SubscriptionCommand):
            for push in exchange.replies:
                if not isinstance(push, ReplyError):
                    self._dispatcher.add_confirmation(push)
            self._balance(subscriptions)
            return
        reply, link = exchange.replies[0], subscriptions.link
        if not isinstance(reply, ReplyError):
            link.succeeded()
            self._tracking.begins()
            subscriptions.is_tracked = True
        elif reply.code in UNAVAILABLE:
            link.drop(reply)
        else:
            reply.command = "CLIENT TRACKING"
            self.fail(reply)

    def subscriptions_lost(
        self, subscriptions: SubscriptionTable, names: Sequence[bytes] | None, error: Exception
    ) -> None:
        """Put a gap into the buffers: messages of these names (None: of all) may be lost."""
        if not self.closed:
            lost = None if names is None else tuple(names)
            self._dispatcher.mark(SubscriptionGap(subscriptions.link.name, lost, error))

    def subscriptions_refused(self, subscriptions: SubscriptionTable, refused: Sequence[Subscription]) -> None:
        """Emit refusals, but for names that a waiting call will raise them for."""
        for failed in self._changes.failures(refused):
            self._emit(failed)

    def subscriptions_pushed(self, subscriptions: SubscriptionTable, pushes: list[list[Any]]) -> None:
        """Dispatch messages to the buffers."""
        self._dispatcher.dispatch(subscriptions, pushes)
        self._balance(subscriptions)
