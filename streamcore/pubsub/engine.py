"""Receive what others publish: channels, patterns and shard channels, over one link that is renewed for ever.

At most once, in order, and never silent: whatever may have cost a message is an event, told before the next one. A lost link
is a gap (``SubscriptionGap``); the subscriptions, their handlers included, are restored by ``subscriber``. Messages of
subscriptions with a handler wait in an inbox of their own.

With ``when_full="block"`` a full inbox stops the reading of the socket, until the server has had enough and closes the
connection: a gap. While the server's word on a subscription is due, the socket is read all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, Unpack, overload

from ..arguments import Name, Seconds, encoding, one_of, positive, seconds
from ..connection.exchange import Exchange
from ..connection.link import Link
from ..engine.degradation import UNSUBSCRIBING, Degradation
from ..engine.engine import Engine, EngineOptions
from ..errors import UNAVAILABLE, InvalidArgument, RemoteProtocolError, ReplyError
from ..events import HandlerFailed, SubscriptionFailed, SubscriptionGap
from ..options import DEFAULT_OPTIONS
from ..sense import MISSHAPEN
from .buffer import Inbox, WhenFull
from .changes import Change, Subscriptions, standing
from .dispatcher import Sorter
from .invalidation import Tracking
from .message import Kind, Message
from .options import Call, Handlers, Invalidated, PubSubOptions, names, with_handlers
from .subscriptions import Subscriber, Subscription, Telling, named

T = TypeVar("T", bytes, str)

READ_SIZE: Final = 16 << 10
"""Bytes. Of small messages there are many in a read; what is made of more of them would not stay in the processor's cache."""

_NONE: Final[Mapping[Any, Any]] = MappingProxyType({})


class _Options(PubSubOptions, EngineOptions, total=False):
    shard_channels: Name | Iterable[Name]
    shard_channel_handlers: Handlers[Any]


class PubSub(Engine, Generic[T]):
    """Subscribe, and get messages.

    ``channels``, ``patterns``, ``shard_channels``: names; ``channel_handlers`` and so on: names with what is called with
    their messages. ``ignore_subscribe_messages=False`` hands over the server's word on subscriptions, too. A call waits for
    that word up to ``subscription_timeout`` (1) and ``unsubscription_timeout`` (0.1) seconds, with ``lazy`` not at all;
    entering waits up to ``subscription_timeout`` for the connection and that word together. A dead link is found within ``max_idle_seconds`` (15). ``queue_size`` (10,000) messages or ``queue_bytes`` (64 MiB) wait for
    the application; ``when_full`` says what then: ``"block"``, ``"drop_oldest"``, ``"drop_newest"``.

    ``on_invalidate`` is called with the keys that have changed, or with None: all may have (``CLIENT TRACKING``, broadcasting);
    ``track`` are the prefixes of keys that it is for, by default all keys. A ``retry_policy`` is refused: the link is dialled
    for ever, and its back-off begins anew after each success.
    """

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
        **engine: Unpack[EngineOptions],
    ) -> None:
        idle = seconds("max_idle_seconds", max_idle_seconds)
        options = engine.get("options", DEFAULT_OPTIONS)
        engine["options"] = replace(options, keepalive_idle=idle * 2 / 3, keepalive_answer=idle / 3)
        super().__init__(**engine)
        if retry_policy is not None:
            raise InvalidArgument(
                "retry_policy cannot be chosen: the link is dialled for ever, and the back-off, up to "
                f"{options.backoff_max:g} seconds, begins anew after each success; leave it out"
            )
        self.lazy = lazy
        self.subscription_timeout = seconds("subscription_timeout", subscription_timeout)
        self.unsubscription_timeout = seconds("unsubscription_timeout", unsubscription_timeout, zero=True)
        self.degradation = Degradation(self._emit)
        self._blocks = one_of("when_full", when_full, "block", "drop_oldest", "drop_newest") == "block"
        limit, nbytes = positive("queue_size", queue_size), positive("queue_bytes", queue_bytes)
        self._tracking = Tracking(track, on_invalidate, limit)
        self._sorter: Sorter[T] = Sorter(
            limit,
            nbytes,
            when_full,
            encoding=encoding(decode),
            ignores=ignore_subscribe_messages,
            tracking=self._tracking,
            emit=self._emit,
        )
        self._inbox: Inbox[Message[T]] = self._sorter.inbox
        self._calls = self._sorter.calls
        self._changes: list[Change] = []
        self._up_before = self._was_up = False
        self._subscriber = Subscriber(self, options.request_timeout)
        self.first = [
            self.subscribe(kind, with_handlers(kind, names(kind.what, listed), handlers))
            for kind, listed, handlers in (
                (Kind.CHANNEL, channels, channel_handlers),
                (Kind.PATTERN, patterns, pattern_handlers),
                (Kind.SHARD, shard_channels, shard_channel_handlers),
            )
        ]
        self._subscriber.link.open()

    # -- the user's side ----------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the server has been reached, or need not be."""
        tracks = self._tracking.in_force or self._tracking.command is None
        return self.lazy or (self._subscriber.link.is_up and tracks)

    @property
    def has_handlers(self) -> bool:
        """Whether somebody has to call what ``take_calls`` gives."""
        return self._tracking.command is not None or any(one.handler for one in self._subscriber.special)

    @property
    def is_over(self) -> bool:
        """Whether nothing is subscribed to any more, and nothing waits to be handed over."""
        return not len(self._inbox) and self._subscriber.is_idle

    @property
    def has_messages(self) -> bool:
        """Whether ``take`` would give something now."""
        return len(self._inbox) > 0

    @property
    def dropped(self) -> int:
        """How many messages were dropped because the application was too slow."""
        return self._inbox.dropped + self._calls.dropped

    @property
    def subscriptions(self) -> Subscriptions[T]:
        """What is desired, confirmed and refused at this moment."""
        table = self._subscriber.table
        channels, patterns, shards = (standing(table[kind].values(), self._sorter.name) for kind in Kind)
        return Subscriptions(channels, patterns, shards)

    def subscribe(self, kind: Kind, wanted: Mapping[bytes, Any]) -> Change:
        """Desire these names, with their handlers; a handler that they had is replaced."""
        self.check()
        table = self._subscriber.table[kind]
        known = {name for name in wanted if name in table and table[name].wanted}
        wants = [self._subscriber.want(kind, name, handler) for name, handler in wanted.items()]
        return self._changed(Change(wants, (one for one in wants if one.name not in known), wanted=True))

    def unsubscribe(self, kind: Kind, unwanted: Iterable[bytes] = ()) -> Change:
        """Desire these names no more; without names, none of the kind."""
        self.check()
        found = self._subscriber.find(kind, unwanted)
        for one in found:
            self._subscriber.unwant(one)
        return self._changed(Change(found, (), wanted=False))

    def give_up(self, change: Change) -> None:
        """Nobody waits for a change any more: one that is not done is taken back, unless somebody else waits for the same."""
        self._changes.remove(change)
        if change.done or self.closed:
            return
        for one in change.added:
            other = next((other for other in self._changes if other.wanted and one in other.subscriptions), None)
            if other is not None:
                other.added[one] = None
            else:
                self._subscriber.unwant(one)
        self._settle()

    def keep(self, change: Change) -> None:
        """Nobody waits for a change, and it holds all the same."""
        self._changes.remove(change)

    def take(self) -> list[Message[T]]:
        """The next messages, none where none has arrived. Raises what ended the engine, behind what had arrived before."""
        messages = self._inbox.take(self._emit)
        if not messages:
            self.check()
        self._balance()
        return messages

    def take_calls(self) -> list[Call]:
        """The next calls of handlers. Raises as ``take`` does."""
        calls = self.take_waiting_calls()
        if not calls:
            self.check()
        return calls

    def take_waiting_calls(self) -> list[Call]:
        """The same, without a word about the end."""
        invalidated = self._tracking.take()
        if invalidated is not None:
            return [Call(*invalidated)]
        calls = self._calls.take(self._emit)
        self._balance()
        return calls

    def handler_failed(self, call: Call, error: Exception) -> None:
        """A handler has raised."""
        self._emit(HandlerFailed(getattr(call.argument, "channel", b""), error))

    def _changed(self, change: Change) -> Change:
        self._changes.append(change)
        self._settle()
        return change

    def _settle(self) -> None:
        self._subscriber.sync()
        self._balance()
        self.on_wakeup()

    def _balance(self) -> None:
        """Read from the socket, or do not."""
        subscriber = self._subscriber
        if self._blocks and self._sorter.is_full and not subscriber.awaits_answers:
            subscriber.link.pause()
        else:
            subscriber.link.resume()

    # -- what the subscriber tells ------------------------------------------------------------------------------------

    def new_subscriber_link(self, subscriber: Subscriber) -> Link:
        link = self.new_link(subscriber)
        link.read_size = READ_SIZE
        return link

    def subscriber_up(self, subscriber: Subscriber) -> None:
        again, self._was_up, self._up_before = self._up_before, True, True
        self.degradation.begin()
        self.report_up(subscriber.link, again=again)
        if self._tracking.command is not None and subscriber.link.is_up:
            subscriber.link.send(Exchange([self._tracking.command], self.options.request_timeout))

    def subscriber_down(self, subscriber: Subscriber, error: Exception) -> None:
        self._tracking.ends()
        was_up, self._was_up = self._was_up, False
        self.report_down(subscriber.link, error, was_up=was_up)

    def subscriber_answered(self, exchange: Exchange) -> None:
        reply, link = exchange.replies[0], self._subscriber.link
        if not isinstance(reply, ReplyError):
            link.succeeded()
            self._tracking.begins()
        elif reply.code in UNAVAILABLE:
            link.drop(reply)
        else:
            reply.command = "CLIENT TRACKING"
            self.fail(reply)

    def subscriber_told(self, subscriber: Subscriber, telling: Telling) -> None:
        for push in telling.replies:
            if not isinstance(push, ReplyError):
                self._sorter.add_word(push)
            elif not telling.wanted:  # what still comes reaches nobody
                self.degradation.is_forbidden(UNSUBSCRIBING, (telling.subscriptions[0].kind.unsubscribe,), push)
        self._balance()

    def subscriber_lost(self, subscriber: Subscriber, names: Sequence[bytes] | None, error: Exception) -> None:
        if not self.closed:
            lost = None if names is None else tuple(names)
            self._sorter.mark(SubscriptionGap(subscriber.link.name, lost, error))

    def subscriber_refused(self, subscriber: Subscriber, refused: Sequence[Subscription]) -> None:
        """Whoever waits for a change is told by the call."""
        reasons: dict[tuple[Kind, str], list[Subscription]] = {}
        for one in refused:
            if one.refusal is not None and not any(one in change.subscriptions for change in self._changes):
                reasons.setdefault((one.kind, one.refusal.code), []).append(one)
        for (kind, _), alike in reasons.items():
            self._emit(SubscriptionFailed(kind.what, tuple(one.name for one in alike), named(alike)))

    def subscriber_pushed(self, subscriber: Subscriber, pushes: list[list[Any]]) -> None:
        try:
            self._sorter.sort(subscriber, pushes)
        except MISSHAPEN as error:
            subscriber.link.drop(RemoteProtocolError(f"the server has pushed what makes no sense: {error!r}"))
        self._balance()

    def backoff(self, attempts: int) -> float:
        """When to try again what has failed so many times."""
        ceiling = min(self.options.backoff_initial * 2.0 ** min(attempts, 32), self.options.backoff_max)
        return self._clock.now + ceiling * self._random()

    # -- time ---------------------------------------------------------------------------------------------------------

    def _timer(self) -> float | None:
        return None if self.closed else self._subscriber.retry_at

    def _elapse(self, now: float) -> None:
        self._subscriber.elapse(now)
        self._balance()
