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
from .subscriber import Inbox, Item, Position


class Joining(Protocol):
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
    def join(self, inbox: Inbox, channels: Name | Iterable[Name], history: int, after: Id | None) -> Joining: ...
    def why_not(self, joining: Any) -> Exception: ...
    def end(self, joining: Any) -> None: ...
    def leave(self, inbox: Inbox, channels: Name | Iterable[Name] | None = None) -> None: ...
    def close_inbox(self, inbox: Inbox) -> None: ...
    def take_for(self, inbox: Inbox, *, events: bool = False) -> list[Item]: ...


class Subscribers:
    """All of them. ``first`` is the hub's own. ``announce`` tells an event to everybody else than subscribers."""

    def __init__(self, settings: Settings, naming: Naming, announce: Callable[[Event], None]) -> None:
        self.naming = naming
        self._settings = settings
        self._announce = announce
        self._inboxes: list[Inbox] = []
        self._members: dict[bytes, list[Inbox]] = {}
        self.first = self.open()

    def open(self, queue_size: int | None = None, queue_bytes: int | None = None) -> Inbox:
        """Add a subscriber; its queue is as large as all others, unless told otherwise."""
        inbox = self._settings.inbox(queue_size, queue_bytes)
        self._inboxes.append(inbox)
        return inbox

    def close(self, inbox: Inbox) -> None:
        """One has gone, and has left its channels before; again does nothing."""
        if not inbox.closed:
            inbox.clear()
            self._inboxes.remove(inbox)

    def of(self, key: bytes) -> list[Inbox]:
        """Those in a channel."""
        return self._members.get(key, [])

    def enter(self, inbox: Inbox, key: bytes, cursor: StreamId = ZERO) -> Position:
        """One is in a channel from now on."""
        self._members.setdefault(key, []).append(inbox)
        position = inbox.positions[key] = Position(cursor)
        return position

    def leave(self, inbox: Inbox, key: bytes) -> bool:
        """One is not any more, and gets nothing more of it; whether it was the last one."""
        del inbox.positions[key]
        inbox.forget(self.naming.channel(key), key)
        members = self._members[key]
        members.remove(inbox)
        if not members:
            del self._members[key]
        return not members

    def expel(self, inbox: Inbox, key: bytes, error: Exception) -> None:
        """One is not any more, since the channel cannot be read: that is told behind what it has got of it."""
        del inbox.positions[key]
        self._members[key].remove(inbox)
        if not self._members[key]:
            del self._members[key]
        inbox.fail(self.naming.channel(key), error)

    def channels(self, inbox: Inbox) -> frozenset[Any]:
        """The channels that one is in."""
        return frozenset(map(self.naming.channel, inbox.positions))

    def beginnings(self, inbox: Inbox) -> dict[Any, StreamId]:
        """For each channel that one is in, the id behind which lies all that it gets."""
        return {self.naming.channel(key): position.began for key, position in inbox.positions.items()}

    def new_to(self, inbox: Inbox, keys: Iterable[bytes]) -> list[bytes]:
        """Those of the channels that one is not in yet."""
        return [key for key in keys if key not in inbox.positions]

    def chosen(self, inbox: Inbox, channels: Name | Iterable[Name] | None) -> list[bytes]:
        """Those of the channels that one is in; None: all."""
        if channels is None:
            return list(inbox.positions)
        return [key for key in self.naming.keys(channels) if key in inbox.positions]

    def tell(self, event: Event) -> None:
        """Something has happened to all of them."""
        for inbox in self._inboxes:
            inbox.tell(event)

    def doubt(self, cursors: Mapping[Any, StreamId]) -> list[Event]:
        """Messages of channels behind these ids may be lost on their way to a subscriber; what to tell it, and the others are told."""
        gaps = [Gap(self.naming.key(channel), after, None, None, certain=False) for channel, after in cursors.items()]
        for gap in gaps:
            self._announce(gap)
        return list[Event](gaps)

    def take(self, inbox: Inbox, check: Callable[[], None], *, events: bool) -> list[Item]:
        """What is next for one of them. Raises what has ended the engine, behind what had arrived before."""
        if inbox.closed:
            raise ClosedError("this subscriber is closed; open another one")
        found = inbox.take(self._announce, events=events)
        if not found:
            check()
        return found
