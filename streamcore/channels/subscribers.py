"""The subscribers of one hub: who is in which channel, and what all kinds of hubs do for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ..arguments import Name
from ..commands.ids import Id
from ..entries import StreamId
from ..errors import ClosedError
from ..events import Event, Gap
from ..stream_id import ZERO
from .message import Naming
from .options import Settings
from .subscriber import Item, Position, Subscriber


class PendingJoin(Protocol):
    """Channels that a subscriber joins. ``poll`` tells when it gets what is published, and raises why it does not."""

    def poll(self) -> bool: ...


class Hub(Protocol):
    """What the application's side of channels asks of an engine; one for each kind."""

    has_cursors: bool
    closed: bool

    @property
    def subscribers(self) -> Subscribers: ...
    @property
    def patience(self) -> float: ...
    def check(self) -> None: ...
    def join(
        self, subscriber: Subscriber, channels: Name | Iterable[Name], history: int, after: Id | None
    ) -> PendingJoin: ...
    def why_not(self, joining: Any) -> Exception: ...
    def end(self, joining: Any) -> None: ...
    def leave(self, subscriber: Subscriber, channels: Name | Iterable[Name] | None = None) -> None: ...
    def close_subscriber(self, subscriber: Subscriber) -> None: ...
    def take_for(self, subscriber: Subscriber, *, events: bool = False) -> list[Item]: ...


class Subscribers:
    """All of them. ``first`` is the hub's own. ``announce`` tells an event to everybody else than subscribers."""

    def __init__(self, settings: Settings, naming: Naming, announce: Callable[[Event], None]) -> None:
        self.naming = naming
        self._settings = settings
        self._announce = announce
        self._all: list[Subscriber] = []
        self._members: dict[bytes, list[Subscriber]] = {}
        self.first = self.open()

    def open(self, queue_size: int | None = None, queue_bytes: int | None = None) -> Subscriber:
        """Add a subscriber; its queue is as large as all others, unless told otherwise."""
        subscriber = self._settings.subscriber(queue_size, queue_bytes)
        self._all.append(subscriber)
        return subscriber

    def close(self, subscriber: Subscriber) -> None:
        """One has gone, and has left its channels before; again does nothing."""
        if not subscriber.closed:
            subscriber.clear()
            self._all.remove(subscriber)

    def of(self, key: bytes) -> list[Subscriber]:
        """Those in a channel."""
        return self._members.get(key, [])

    def enter(self, subscriber: Subscriber, key: bytes, cursor: StreamId = ZERO) -> Position:
        """One is in a channel from now on."""
        self._members.setdefault(key, []).append(subscriber)
        position = subscriber.positions[key] = Position(cursor)
        return position

    def leave(self, subscriber: Subscriber, key: bytes) -> bool:
        """One is not any more, and gets nothing more of it; whether it was the last one."""
        del subscriber.positions[key]
        subscriber.forget(self.naming.channel(key), key)
        members = self._members[key]
        members.remove(subscriber)
        if not members:
            del self._members[key]
        return not members

    def expel(self, subscriber: Subscriber, key: bytes, error: Exception) -> None:
        """One is not any more, since the channel cannot be read: that is told behind what it has got of it."""
        del subscriber.positions[key]
        self._members[key].remove(subscriber)
        if not self._members[key]:
            del self._members[key]
        subscriber.fail(self.naming.channel(key), error)

    def channels(self, subscriber: Subscriber) -> frozenset[Any]:
        """The channels that one is in."""
        return frozenset(map(self.naming.channel, subscriber.positions))

    def beginnings(self, subscriber: Subscriber) -> dict[Any, StreamId]:
        """For each channel that one is in, the id behind which lies all that it gets."""
        return {self.naming.channel(key): position.began for key, position in subscriber.positions.items()}

    def new_to(self, subscriber: Subscriber, keys: Iterable[bytes]) -> list[bytes]:
        """Those of the channels that one is not in yet."""
        return [key for key in keys if key not in subscriber.positions]

    def chosen(self, subscriber: Subscriber, channels: Name | Iterable[Name] | None) -> list[bytes]:
        """Those of the channels that one is in; None: all."""
        if channels is None:
            return list(subscriber.positions)
        return [key for key in self.naming.keys(channels) if key in subscriber.positions]

    def tell(self, event: Event) -> None:
        """Something has happened to all of them."""
        for subscriber in self._all:
            subscriber.tell(event)

    def doubt(self, cursors: Mapping[Any, StreamId]) -> list[Event]:
        """Messages of channels behind these ids may be lost on their way to a subscriber; what to tell it, and the others are told."""
        gaps = [Gap(self.naming.key(channel), after, None, None, certain=False) for channel, after in cursors.items()]
        for gap in gaps:
            self._announce(gap)
        return list[Event](gaps)

    def take(self, subscriber: Subscriber, check: Callable[[], None], *, events: bool) -> list[Item]:
        """What is next for one of them. Raises what has ended the engine, behind what had arrived before."""
        if subscriber.closed:
            raise ClosedError("this subscriber is closed; open another one")
        found = subscriber.take(self._announce, events=events)
        if not found:
            check()
        return found
