"""A subscriber: its positions in its channels, and the queue of its messages, with the events in their places.

Messages are bounded in number and bytes. At the bound the hub decides: of a stream a subscriber falls *behind*, and
catches up by its own cursor; of pub/sub messages are dropped, and counted. Events are bounded as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

from ..engine.event_queue import MAX_EVENTS
from ..entries import StreamId
from ..events import Event, EventsDropped, Gap, MessagesDropped, StreamReset
from ..stream_id import ZERO
from .message import ChannelMessage, Received, Unreadable

CHUNK: Final = 250
"""How many messages are handed over at once."""
PAGE: Final = 500
"""The most messages that a page of a subscriber that is behind asks for."""
LARGE: Final = 1 << 14
"""Bytes of a message, assumed before the first page has come."""
DropPolicy: TypeAlias = Literal["drop_oldest", "drop_newest"]
Item: TypeAlias = ChannelMessage[Any] | Event


class Position:
    """A subscriber's position in a channel: the entry ``cursor``, up to which so many had been ``added``.

    ``live``: it gets the reader's new entries. Else it is behind, and asks for the entries behind the cursor, once it
    has room. ``joined``: entries before this are not for it. ``began``: behind this lie all of its messages.
    ``paged``: up to here pages have shown the missing entries.
    """

    __slots__ = ("added", "asking", "began", "cursor", "joined", "live", "paged")

    def __init__(self, cursor: StreamId) -> None:
        self.cursor = self.joined = self.began = self.paged = cursor
        self.added: int | None = None
        self.live = False
        self.asking = False

    def goto(self, cursor: StreamId, added: int | None) -> None:
        """Move to a cursor, and the count of entries up to it."""
        self.cursor, self.added = cursor, added

    def restart(self, added: int | None = None) -> None:
        """Move to the beginning of a channel that began anew; ``added`` entries of it are lost, if that is known."""
        self.cursor = self.joined = self.began = self.paged = ZERO
        self.added = added


class Subscriber:
    """A subscriber with a queue of at most ``limit`` messages and about ``nbytes`` bytes."""

    def __init__(self, limit: int, nbytes: int) -> None:
        self.positions: dict[bytes, Position] = {}  # by key
        self.closed = False
        self.page = max(
            1, min(PAGE, nbytes // LARGE)
        )  # messages to ask for at once; how large they are is not known yet
        self.has_news = False  # since it was looked into: else its waiting task need not be woken
        self.dropped = 0
        self._limit = limit
        self._most = nbytes
        self._items: deque[Received | Event] = deque()
        self._messages = 0  # items that are no events
        self._unreadable = 0  # messages that are no text
        self._nbytes = 0
        self._dropped_events = 0
        self._untold = 0  # dropped messages that were not told yet
        self._head: deque[Event] = deque()  # events among messages that were dropped
        self._is_taking = False  # or was interrupted in that, by a signal handler that has raised

    @property
    def is_full(self) -> bool:
        """Whether the queue has no room."""
        return self._messages >= self._limit or self._nbytes >= self._most

    @property
    def wants_more(self) -> bool:
        """Whether the queue has room for a page."""
        return self._messages * 2 < self._limit and self._nbytes * 2 < self._most

    # -- arriving messages --------------------------------------------------------------------------------------------

    def add(self, messages: Sequence[Received]) -> None:
        """Append messages, however many."""
        self.has_news = True
        self._items.extend(messages)
        self._count(messages)

    def add_page(self, messages: Sequence[Received]) -> None:
        """Append the messages of a page, and size the next: it fills a quarter of the bytes that may wait."""
        self.add(messages)
        if messages:
            average = max(1, _size(messages) // len(messages))
            self.page = max(1, min(PAGE, self._most // 4 // average))

    def add_or_drop(self, messages: Sequence[Received], policy: DropPolicy) -> None:
        """Append messages, and drop messages beyond the bounds by the policy."""
        self.has_news = True
        if policy == "drop_newest":
            room = 0 if self.is_full else self._limit - self._messages
            self.add(messages[:room])
            if len(messages) > room:
                self._drop_behind(len(messages) - room)
            return
        self.add(messages)
        while self._messages > self._limit or (self._nbytes > self._most and self._messages > 1):
            item = self._items.popleft()
            if isinstance(item, (ChannelMessage, Unreadable)):
                self._uncount(item)
                self._untold += 1
                self.dropped += 1
            else:
                self._head.append(item)

    def fail(self, channel: Any, error: Exception) -> None:
        """Append the end of a channel: ``error`` is raised behind its messages."""
        self.add([Unreadable(error, channel=channel)])

    def tell(self, event: Event) -> None:
        """Append an event, or count it as dropped."""
        self.has_news = True
        if len(self._items) - self._messages + len(self._head) >= MAX_EVENTS:
            self._dropped_events += 1
        else:
            self._items.append(event)

    def drop_channel(self, channel: bytes | str, key: bytes) -> None:
        """Remove the messages and events of a channel from the queue."""
        self._items = deque([item for item in self._items if not _is_of(item, channel, key)])
        self._recount()

    def _recount(self) -> None:
        self._messages = self._nbytes = self._unreadable = 0
        self._count([item for item in self._items if isinstance(item, (ChannelMessage, Unreadable))])

    def clear(self) -> None:
        """Close the subscriber and empty its queue."""
        self.closed = self.has_news = True
        self._items.clear()
        self._head.clear()
        self._messages = self._nbytes = self._unreadable = 0

    # -- handing over -------------------------------------------------------------------------------------------------

    def take(self, announce: Callable[[Event], None], *, events: bool) -> list[Item]:
        """Take the next messages, and the ``events`` between them. Raises the error of an unreadable message."""
        self.has_news = False
        if self._is_taking:
            self._recount()
        self._is_taking = True
        taken = self._take(announce, events=events)
        self._is_taking = False
        return taken

    def _take(self, announce: Callable[[Event], None], *, events: bool) -> list[Item]:
        if self._messages == len(self._items) and not (self._unreadable or self._untold or self._dropped_events):
            pop = self._items.popleft
            messages: list[Any] = [pop() for _ in range(min(self._messages, CHUNK))]
            self._messages -= len(messages)
            self._nbytes -= _size(messages)
            return messages
        taken: list[Item] = []
        if self._untold:
            drops, self._untold = MessagesDropped(self._untold), 0
            self._items.appendleft(drops)
            self._items.extendleft(reversed(self._head))
            self._head.clear()
        if events and self._dropped_events:
            taken.append(EventsDropped(self._dropped_events))
            self._dropped_events = 0
        while self._items and len(taken) < CHUNK:
            item = self._items.popleft()
            if isinstance(item, ChannelMessage):
                self._uncount(item)
                taken.append(item)
            elif isinstance(item, Unreadable):
                if taken:
                    self._items.appendleft(item)
                    break
                self._uncount(item)
                self._is_taking = False
                raise item.error
            else:
                if isinstance(item, MessagesDropped):
                    announce(item)
                if events:
                    taken.append(item)
        return taken

    def _drop_behind(self, messages: int) -> None:
        self.dropped += messages
        last = self._items[-1]
        if isinstance(last, MessagesDropped):
            self._items.pop()
            messages += last.messages
        self._items.append(MessagesDropped(messages))

    def _count(self, messages: Sequence[Received]) -> None:
        self._messages += len(messages)
        self._nbytes += _size(messages)
        self._unreadable += sum([type(message) is Unreadable for message in messages])

    def _uncount(self, item: Received) -> None:
        self._messages -= 1
        self._nbytes -= len(item.data)
        self._unreadable -= isinstance(item, Unreadable)


_data: Final = attrgetter("data")


def _size(messages: Sequence[Received]) -> int:
    return sum(map(len, map(_data, messages)))


def _is_of(item: Item | Unreadable, channel: bytes | str, key: bytes) -> bool:
    if isinstance(item, (ChannelMessage, Unreadable)):
        return bool(item.channel == channel)
    return isinstance(item, Gap | StreamReset) and item.stream == key
