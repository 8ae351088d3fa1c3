"""The way of messages from an engine to the application, on any runtime, and the questions of subscribers to their engine, by way of the driver.

A signal handler may raise anywhere. So messages that are taken from the engine are kept at once, for the next call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from streamcore.arguments import Name
from streamcore.channels import ChannelMessage, Hub, Subscriber
from streamcore.errors import InvalidArgument, RequestTimeout, StreamcoreError
from streamcore.events import Gap, StreamReset
from streamcore.pubsub import Call, Kind, Message, PubSub, SubscriptionChange, with_handlers

from .lifecycle import forgetful
from .reading import WITH_EVENT

T = TypeVar("T", bytes, str)

NO_HANDLERS: Final[Mapping[Any, Any]] = MappingProxyType({})
MESSAGES: Final = frozenset({"message", "pmessage", "smessage"})


def to_subscribe(
    kind: Kind, given: Iterable[Name | Mapping[Any, Any]], handlers: Mapping[Any, Any]
) -> dict[bytes, Any]:
    """Names with their handlers. Raises ``InvalidArgument`` for a subscription to nothing, a mistake of the caller's."""
    wanted = with_handlers(kind, given, handlers)
    if not wanted:
        raise InvalidArgument(f"name at least one {kind.what} to subscribe to")
    return wanted


def unconfirmed(engine: PubSub[Any], changes: Sequence[SubscriptionChange]) -> StreamcoreError:
    """Why a subscription was not confirmed in time."""
    for change in changes:
        if change.refusal is not None:
            return change.refusal
    why = next((f": {link.error}" for link in engine.links() if link.error is not None), "")
    return RequestTimeout(f"no subscription was confirmed within {engine.subscription_timeout:g} s{why}")


def is_message(message: Message[Any]) -> bool:
    """Whether it was published, and is not the server's word on a subscription."""
    return message.kind in MESSAGES


def take(engine: PubSub[Any], *, bare: bool) -> list[Message[Any]]:
    """The next messages; ``bare``, without the server's word on subscriptions."""
    while found := engine.take():
        messages = [*filter(is_message, found)] if bare else found
        if messages:
            return messages
    return found


def is_left(engine: PubSub[Any]) -> bool:
    """Whether its user has closed it: no handler is called any more. Where an error has ended it, messages that had arrived are handled."""
    return engine.closed and engine.error is None


class Messages(Generic[T]):
    """The place between a subscriber's engine and the application."""

    def __init__(self, engine: PubSub[Any]) -> None:
        self._engine = engine
        self._messages: Iterator[Message[T]] = iter(())  # taken from the engine, and not handed over yet
        self._calls: deque[Call] = deque()  # of handlers: the same, where the thread that waits makes them
        self._handling = False
        forgetful.add(self)

    def _forget(self) -> None:
        self._messages = iter(())
        self._calls.clear()

    def _put_back(self, message: Message[T]) -> None:
        """Make a message the next again: it was not handed over."""
        self._messages = chain((message,), self._messages)

    def _keep(self, ask: Callable[[], Any]) -> Any:
        """Keep messages at once: a signal handler may raise before they are handed over.

        Where it raises here, the connection is given up, and ``SubscriptionGap`` tells that messages may be lost.
        """
        found = ask()
        if type(found) is list:
            self._messages = iter(found)
        return found

    def _ask(self) -> Any:
        return self._engine.take() or self._engine.is_over

    def _ask_with_events(self) -> Any:
        engine = self._engine
        found = [] if engine.has_event_in_place else engine.take()
        return found or (WITH_EVENT if engine.has_event_in_place else engine.is_over)

    def _begins_handling(self) -> bool:
        """Once, whichever thread comes first: two that call handlers would disorder messages."""
        begins = not self._handling and self._engine.has_handlers
        self._handling |= begins
        return begins


class ChannelItems:
    """The place between the engine of channels and a subscriber of the application's."""

    def __init__(self, hub: Hub, subscriber: Subscriber) -> None:
        self._hub = hub
        self._subscriber = subscriber
        self._items: Iterator[Any] = iter(())  # taken from the engine, and not handed over yet
        self._is_taking = False  # or was interrupted in that: what had been taken is lost
        self._last: dict[Any, ChannelMessage[Any]] = {}  # that were handed over, by channel
        forgetful.add(self)

    def _forget(self) -> None:
        self._items = iter(())

    def _keep(self, ask: Callable[[], Any]) -> Any:
        """Keep the taken items at once: a signal handler may raise before it is handed over."""
        self._is_taking = True
        found = ask()
        if found:
            self._items = chain(self._items, found)
        self._is_taking = False
        return found

    def _keep_only(self, channels: frozenset[Any]) -> None:
        """Drop the taken items of other channels."""
        keys: Container[bytes] = self._subscriber.positions
        self._is_taking = True
        self._items = iter([item for item in self._items if _is_wanted(item, channels, keys)])
        self._is_taking = False
        self._last = {channel: last for channel, last in self._last.items() if channel in channels}

    def _is_worth_it(self) -> bool:
        """Whether to look again: of a thousand subscribers that wait, most messages are for a few."""
        return self._subscriber.has_news or self._hub.closed


def _is_wanted(item: object, channels: frozenset[Any], keys: Container[bytes]) -> bool:
    if isinstance(item, Gap | StreamReset):
        return item.stream in keys
    return not isinstance(item, ChannelMessage) or item.channel in channels
