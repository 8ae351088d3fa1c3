"""Channels that are channels of the server: a single pub/sub link, whose messages go to all subscribers of their channel.

No message is kept, and no subscriber is waited for: a slow subscriber's messages are dropped, and counted. A possible
loss of the connection's messages (``SubscriptionGap``) is told to each subscriber concerned, in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, Unpack

from ..arguments import Name, positive
from ..commands.ids import Id
from ..engine.engine import EngineOptions
from ..engine.message_buffer import DropPolicy
from ..errors import InvalidArgument, ReplyError, RequestTimeout, StreamcoreError
from ..events import Event, SubscriptionGap
from ..options import DEFAULT_OPTIONS
from ..pubsub import Kind, PubSub, SubscriptionChange
from ..pubsub.subscriptions import SubscriptionTable
from ..requests.queue import because
from .message import Naming
from .options import Settings
from .subscriber import Item, Subscriber
from .subscribers import Subscribers

_channel: Final = attrgetter("channel")


class BroadcastHub(PubSub[bytes]):
    """The hub of ``kind="pubsub"``: a subscription for each channel, shared by its subscribers."""

    has_cursors = False

    def __init__(self, settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> None:
        timeout = engine.get("options", DEFAULT_OPTIONS).request_timeout
        super().__init__(subscription_timeout=timeout, **engine)
        self._subscribers = Subscribers(settings, naming, super()._emit)
        self._policy: DropPolicy = settings.when_full
        self._joining: dict[SubscriptionChange, tuple[Subscriber, list[bytes]]] = {}  # and the channels new to it

    @property
    def label(self) -> str:
        """The name of the engine in messages."""
        return "Channels"

    # -- the application's side ---------------------------------------------------------------------------------------

    @property
    def subscribers(self) -> Subscribers:
        """The subscribers of the hub and their channels."""
        return self._subscribers

    @property
    def patience(self) -> float:
        """Seconds within which joining ends."""
        return self.subscription_timeout

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
        joining = self.subscribe(Kind.CHANNEL, dict.fromkeys(keys))
        self._joining[joining] = subscriber, new
        return joining

    def why_not(self, joining: SubscriptionChange) -> StreamcoreError:
        """Make the error of a join that was not confirmed in time."""
        late = RequestTimeout(f"not confirmed within {self.patience:g} s{because(self._subscriptions.link.error)}")
        return joining.refusal or late

    def end(self, joining: SubscriptionChange) -> None:
        """End the wait for a join; channels of an unconfirmed join are left."""
        self.keep(joining)
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
                self.keep(self.unsubscribe(Kind.CHANNEL, [key]))

    # -- pushes of the server -----------------------------------------------------------------------------------------

    def subscriptions_pushed(self, subscriptions: SubscriptionTable, pushes: list[list[object]]) -> None:
        super().subscriptions_pushed(subscriptions, pushes)
        self._spread()

    def subscriptions_lost(
        self, subscriptions: SubscriptionTable, names: Sequence[bytes] | None, error: Exception
    ) -> None:
        super().subscriptions_lost(subscriptions, names, error)
        self._spread()

    def _spread(self) -> None:
        """Give arrived messages to the subscribers of their channels."""
        naming = self._subscribers.naming
        while self.has_messages:
            for key, run in groupby(self._buffer.take(self._emit), _channel):
                channel = naming.channel(key)
                received = [naming.message(channel, message.data) for message in run]
                for subscriber in self._subscribers.of(key):
                    subscriber.add_or_drop(received, self._policy)

    def _emit(self, event: Event) -> None:
        super()._emit(event)
        if isinstance(event, SubscriptionGap) and event.names is not None:
            for subscriber in dict.fromkeys(
                subscriber for key in event.names for subscriber in self._subscribers.of(key)
            ):
                subscriber.tell(event)
        else:
            self._subscribers.tell(event)
