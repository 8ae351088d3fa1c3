"""The subscribers of a hub and their channels, for hubs of all kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ..arguments import Name
from ..commands.ids import Id
from ..engine.pending_change import PendingChange
from ..entries import StreamId
from ..errors import ClosedError
from ..events import Event, Gap
from ..stream_id import ZERO
from .message import Naming
from .options import Settings
from .subscriber import Item, Position, Subscriber


class Hub(Protocol):
    """The engine of channels, of either kind, for the application's side."""

    has_cursors: bool
    closed: bool

    @property
    def subscribers(self) -> Subscribers: ...
    @property
    def patience(self) -> float: ...
    def check(self) -> None: ...
    def join(
        self, subscriber: Subscriber, channels: Name | Iterable[Name], history: int, after: Id | None
    ) -> PendingChange: ...
    def why_not(self, joining: Any) -> Exception: ...
    def end(self, joining: Any) -> None: ...
    def leave(self, subscriber: Subscriber, channels: Name | Iterable[Name] | None = None) -> None: ...
    def close_subscriber(self, subscriber: Subscriber) -> None: ...
    def take_for(self, subscriber: Subscriber, *, events: bool = False) -> list[Item]: ...


class Subscribers:
    """All subscribers. ``first`` is the hub's own. ``announce`` emits an event to the application alone."""

    def __init__(self, settings: Settings, naming: Naming, announce: Callable[[Event], None]) -> None:
        self.naming = naming
        self._settings = settings
        self._announce = announce
        self._all: list[Subscriber] = []
        self._members: dict[bytes, list[Subscriber]] = {}
        self.first = self.open()

    def open(self, queue_size: int | None = None, queue_bytes: int | None = None) -> Subscriber:
        """Add a subscriber; the bounds of its queue, in messages and bytes, are in the settings by default."""
        subscriber = self._settings.subscriber(queue_size, queue_bytes)
        self._all.append(subscriber)
        return subscriber

    def close(self, subscriber: Subscriber) -> None:
        """Remove a subscriber that has left its channels; removing again does nothing."""
        if not subscriber.closed:
            subscriber.clear()
            self._all.remove(subscriber)

    def of(self, key: bytes) -> list[Subscriber]:
        """Return the subscribers of a channel."""
        return self._members.get(key, [])

    def enter(self, subscriber: Subscriber, key: bytes, cursor: StreamId = ZERO) -> Position:
        """Add a subscriber to a channel."""
        self._members.setdefault(key, []).append(subscriber)
        return subscriber.enter(key, cursor)

    def leave(self, subscriber: Subscriber, key: bytes) -> bool:
        """Remove a subscriber from a channel, with its queued messages; tell whether it was the last."""
        del subscriber.positions[key]
        subscriber.drop_channel(self.naming.channel(key), key)
        members = self._members[key]
        members.remove(subscriber)
        if not members:
            del self._members[key]
        return not members

    def expel(self, subscriber: Subscriber, key: bytes, error: Exception) -> None:
        """Remove a subscriber from an unreadable channel; its error comes behind the queued messages."""
        del subscriber.positions[key]
        self._members[key].remove(subscriber)
        if not self._members[key]:
            del self._members[key]
        subscriber.fail(self.naming.channel(key), error)

    def channels(self, subscriber: Subscriber) -> frozenset[Any]:
        """Return the channels of a subscriber."""
        return frozenset(map(self.naming.channel, subscriber.positions))

    def beginnings(self, subscriber: Subscriber) -> dict[Any, StreamId]:
        """Return, for each channel of a subscriber, the id behind which lie all of its messages."""
        return {self.naming.channel(key): position.began for key, position in subscriber.positions.items()}

    def new_to(self, subscriber: Subscriber, keys: Iterable[bytes]) -> list[bytes]:
        """Return the channels that a subscriber is not in yet."""
        return [key for key in keys if key not in subscriber.positions]

    def chosen(self, subscriber: Subscriber, channels: Name | Iterable[Name] | None) -> list[bytes]:
        """Return the channels that a subscriber is in, among these; None: all."""
        if channels is None:
            return list(subscriber.positions)
        return [key for key in self.naming.keys(channels) if key in subscriber.positions]

    def tell(self, event: Event) -> None:
        """Tell all subscribers an event."""
        for subscriber in self._all:
            subscriber.tell(event)

    def doubt(self, cursors: Mapping[Any, StreamId]) -> list[Event]:
        """Announce a possible loss of messages behind these ids, and return the events for the subscriber."""
        gaps = [Gap(self.naming.key(channel), after, None, None, certain=False) for channel, after in cursors.items()]
        for gap in gaps:
            self._announce(gap)
        return list[Event](gaps)

    def take(self, subscriber: Subscriber, check: Callable[[], None], *, events: bool) -> list[Item]:
        """Take the next items of a subscriber. Raises the error that ended the engine, behind the queued items."""
        if subscriber.closed:
            raise ClosedError("this subscriber is closed; open another one")
        found = subscriber.take(self._announce, events=events)
        if not found:
            check()
        return found
