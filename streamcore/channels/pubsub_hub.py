"""Channels that are channels of the server: a single pub/sub link, whose messages go to all subscribers of their channel.

No message is kept, and no subscriber is waited for: a slow subscriber's messages are dropped, and counted. A possible
loss of the connection's messages (``SubscriptionGap``) is told to each subscriber concerned, in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Unpack

from ..arguments import Name, positive
from ..commands.ids import Id
from ..connection.exchange import Exchange
from ..engine.engine import Engine, EngineOptions
from ..engine.message_buffer import DropPolicy
from ..errors import InvalidArgument, ReplyError, RequestTimeout, StreamcoreError
from ..events import Event, SubscriptionGap
from ..options import DEFAULT_OPTIONS
from ..pubsub.changes import SubscriptionChange, SubscriptionChanges
from ..pubsub.message import TAKEN_AWAY, Kind
from ..pubsub.options import watchful
from ..pubsub.subscriptions import Subscription, SubscriptionTable
from ..requests.queue import because
from .message import Naming
from .options import Settings
from .subscriber import Item, Subscriber
from .subscribers import Subscribers

_word: Final = itemgetter(0)
_channel: Final = itemgetter(1)


class BroadcastHub(Engine):
    """The hub of ``kind="pubsub"``: a subscription for each channel, shared by its subscribers."""

    has_cursors = False

    def __init__(self, settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> None:
        if engine.get("router") is not None:
            options = engine.get("options", DEFAULT_OPTIONS)
            idle = options.keepalive_idle + options.keepalive_answer
            engine["options"] = watchful(options, idle, is_routed=True)
        super().__init__(**engine)
        self._subscribers = Subscribers(settings, naming, self.announce)
        self._policy: DropPolicy = settings.when_full
        self._subscriptions = SubscriptionTable(self, self, self._emit)
        self._changes = SubscriptionChanges(self, self._subscriptions)
        self._joining: dict[SubscriptionChange, tuple[Subscriber, list[bytes]]] = {}  # and the channels new to it
        self._subscriptions.link.open()

    @property
    def label(self) -> str:
        """The name of the engine in messages."""
        return "Channels"

    @property
    def is_ready(self) -> bool:
        """Whether the link is up."""
        return self._subscriptions.link.is_up

    # -- the application's side ---------------------------------------------------------------------------------------

    @property
    def subscribers(self) -> Subscribers:
        """The subscribers of the hub and their channels."""
        return self._subscribers

    @property
    def patience(self) -> float:
        """Seconds within which joining ends."""
        return self.options.request_timeout

    def join(
        self, subscriber: Subscriber, channels: Name | Iterable[Name], history: int = 0, after: Id | None = None
    ) -> SubscriptionChange:
        """Give a subscriber the messages of channels from now on. There is no history, hence no ``after``."""
        self.check()
        if positive("history", history, zero=True) or after is not None:
            raise InvalidArgument("kind='pubsub' keeps no history; leave out history and after, or use kind='streams'")
        keys = self._subscribers.naming.keys(channels)
        new = self._subscribers.new_to(subscriber, keys)
        for key in new:
            self._subscribers.enter(subscriber, key)
        joining = self._changes.subscribe(Kind.CHANNEL, dict.fromkeys(keys))
        self._joining[joining] = subscriber, new
        return joining

    def why_not(self, joining: SubscriptionChange) -> StreamcoreError:
        """Make the error of a join that was not confirmed in time."""
        late = RequestTimeout(f"not confirmed within {self.patience:g} s{because(self._subscriptions.link.error)}")
        return joining.refusal or late

    def end(self, joining: SubscriptionChange) -> None:
        """End the wait for a join; channels of an unconfirmed join are left."""
        self._changes.keep(joining)
        subscriber, new = self._joining.pop(joining)
        try:
            done = joining.poll()
        except ReplyError:
            done = False
        if not done:
            self._leave(subscriber, [key for key in new if key in subscriber.positions])

    def leave(self, subscriber: Subscriber, channels: Name | Iterable[Name] | None = None) -> None:
        """Take a subscriber out of some channels; None: all."""
        self._leave(subscriber, self._subscribers.chosen(subscriber, channels))

    def close_subscriber(self, subscriber: Subscriber) -> None:
        """Close a subscriber and leave its channels; closing again does nothing."""
        self.leave(subscriber)
        self._subscribers.close(subscriber)

    def take_for(self, subscriber: Subscriber, *, events: bool = False) -> list[Item]:
        """Take the next items of a subscriber, none where none has arrived. Raises the error that ended the engine."""
        return self._subscribers.take(subscriber, self.check, events=events)

    def _leave(self, subscriber: Subscriber, keys: Iterable[bytes]) -> None:
        for key in keys:
            if self._subscribers.leave(subscriber, key) and not self.closed:
                self._changes.keep(self._changes.unsubscribe(Kind.CHANNEL, [key]))

    # -- events -------------------------------------------------------------------------------------------------------

    def announce(self, event: Event) -> None:
        """Emit an event to the application, but not to subscribers."""
        super()._emit(event)

    def _emit(self, event: Event) -> None:
        self.announce(event)
        self._subscribers.tell(event)

    # -- calls of the subscription table ------------------------------------------------------------------------------

    def subscriptions_up(self, subscriptions: SubscriptionTable, *, again: bool) -> None:
        self.report_up(subscriptions.link, again=again)

    def subscriptions_down(self, subscriptions: SubscriptionTable, error: Exception, *, was_up: bool) -> None:
        self.report_down(subscriptions.link, error, was_up=was_up)

    def subscriptions_answered(self, subscriptions: SubscriptionTable, exchange: Exchange) -> None:
        """Leave the server's confirmations to the calls that wait for them."""

    def subscriptions_refused(self, subscriptions: SubscriptionTable, refused: Sequence[Subscription]) -> None:
        """Emit refusals, but for channels that a waiting call will raise them for."""
        for failed in self._changes.failures(refused):
            self._emit(failed)

    def subscriptions_lost(
        self, subscriptions: SubscriptionTable, names: Sequence[bytes] | None, error: Exception
    ) -> None:
        """Emit a gap, to the subscribers of these channels alone: their messages (None: those of all) may be lost."""
        if self.closed:
            return
        if names is None:
            self._emit(SubscriptionGap(subscriptions.link.name, None, error))
            return
        gap = SubscriptionGap(subscriptions.link.name, tuple(names), error)
        self.announce(gap)
        for subscriber in dict.fromkeys(subscriber for key in names for subscriber in self._subscribers.of(key)):
            subscriber.tell(gap)

    def subscriptions_pushed(self, subscriptions: SubscriptionTable, pushes: list[list[Any]]) -> None:
        """Give messages to the subscribers of their channels; note subscriptions that the server has ended."""
        for word, run in groupby(pushes, _word):
            if word == b"message":
                self._spread(run)
            elif word in TAKEN_AWAY:
                for _, key, _ in run:
                    subscriptions.revoked(TAKEN_AWAY[word], key)

    def _spread(self, messages: Iterable[list[Any]]) -> None:
        """Give messages to the subscribers of their channels."""
        naming = self._subscribers.naming
        for key, run in groupby(messages, _channel):
            channel = naming.channel(key)
            received = [naming.message(channel, data) for _, _, data in run]
            for subscriber in self._subscribers.of(key):
                subscriber.add_or_drop(received, self._policy)
