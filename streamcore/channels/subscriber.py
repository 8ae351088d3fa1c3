"""A subscriber: its positions in its channels, and the queue of its messages, with the events in their places.

Messages are bounded in number and bytes. At the bound the hub decides: of a stream a subscriber falls *behind*, and
catches up by its own cursor; of pub/sub messages are dropped, and counted. Events are bounded as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias

from ..engine.event_queue import MAX_EVENTS
from ..engine.message_buffer import DropMarker, DropPolicy, MessageBuffer
from ..entries import StreamId
from ..events import Event, EventsDropped, Gap, StreamReset
from ..stream_id import ZERO
from .message import ChannelMessage, Received, Unreadable

PAGE: Final = 500
"""The most messages that a page of a subscriber that is behind asks for."""
LARGE: Final = 1 << 14
"""Bytes of a message, assumed before the first page has come."""
Item: TypeAlias = ChannelMessage[Any] | Event


class Position:
    """A subscriber's position in a channel: the entry ``cursor``, up to which so many had been ``added``.

    ``live``: it gets the reader's new entries. Else it is behind, and asks for the entries behind the cursor, once it
    has room. ``joined``: entries before this are not for it. ``began``: behind this lie all of its messages.
    ``paged``: up to here pages have shown the missing entries. ``number``: of the channels that the subscriber has entered.
    """

    __slots__ = ("added", "asking", "began", "cursor", "joined", "live", "number", "paged")

    def __init__(self, cursor: StreamId, number: int) -> None:
        self.number = number
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


class Subscriber(MessageBuffer[Received, Event | DropMarker]):
    """A subscriber with a queue of at most ``limit`` messages and about ``nbytes`` bytes, and the events between them."""

    def __init__(self, limit: int, nbytes: int) -> None:
        super().__init__(limit, nbytes, _size)
        self.positions: dict[bytes, Position] = {}  # by key
        self._entered = 0  # channels so far
        self._behind: dict[bytes, Position] = {}  # every position that is not live, and perhaps others
        self.closed = False
        # Messages to ask for at once; how large they are is not known yet.
        self.page = max(1, min(PAGE, nbytes // LARGE))
        self.has_news = False  # since it was looked into: else its waiting task need not be woken
        self._dropped_events = 0
        self._head: deque[Event | DropMarker] = deque()  # events among messages that were dropped

    @property
    def wants_more(self) -> bool:
        """Whether the queue has room for a page."""
        return (len(self._items) - self._beside) * 2 < self._limit and self._nbytes * 2 < self._most

    # -- positions ----------------------------------------------------------------------------------------------------

    def enter(self, key: bytes, cursor: StreamId) -> Position:
        """Take a position in a channel; it is not live yet."""
        self._entered += 1
        position = self._behind[key] = self.positions[key] = Position(cursor, self._entered)
        return position

    def fall_behind(self, key: bytes) -> None:
        """Get no more of the reader's entries of a channel, until the missing entries have come."""
        self._behind[key] = self.positions[key]
        self.positions[key].live = False

    def lagging(self) -> list[tuple[bytes, Position]]:
        """The keys and positions that are not live, in the order in which the channels were entered."""
        for key, position in list(self._behind.items()):
            if position.live or self.positions.get(key) is not position:
                del self._behind[key]
        return sorted(self._behind.items(), key=lambda one: one[1].number)

    # -- arriving messages --------------------------------------------------------------------------------------------

    def extend(self, messages: Sequence[Received]) -> None:
        """Append messages, however many, unreadable messages among them."""
        self.has_news = True
        if Unreadable in map(type, messages):
            self._count(_unreadable(messages), 0)
        super().extend(messages)

    def add_page(self, messages: Sequence[Received]) -> None:
        """Append the messages of a page, and size the next: it fills a quarter of the bytes that may wait."""
        self.extend(messages)
        if messages:
            average = max(1, _size(messages) // len(messages))
            self.page = max(1, min(PAGE, self._most // 4 // average))

    def add_or_drop(self, messages: Sequence[Received], policy: DropPolicy) -> None:
        """Append messages, and drop messages beyond the bounds by the policy; a message alone may be of any size."""
        if policy == "drop_newest":
            self.fill(messages)
            return
        self.extend(messages)
        while (waiting := len(self._items) - self._beside) > self._limit or (self._nbytes > self._most and waiting > 1):
            self._drop_first()

    def fail(self, channel: Any, error: Exception) -> None:
        """Append the end of a channel: ``error`` is raised behind its messages."""
        self.extend([Unreadable(error, channel=channel)])

    def tell(self, event: Event) -> None:
        """Append an event, or count it as dropped."""
        self.has_news = True
        if self._beside + len(self._head) >= MAX_EVENTS:
            self._dropped_events += 1
        else:
            self._count(1, 1)
            self._items.append(event)

    def drop_channel(self, channel: bytes | str, key: bytes) -> None:
        """Remove the messages and events of a channel from the queue."""
        self._items = deque([item for item in self._items if not _is_of(item, channel, key)])
        messages = [item for item in self._items if isinstance(item, (ChannelMessage, Unreadable))]
        self._nbytes = _size(messages)
        self._beside = len(self._items) - len(messages)
        self._markers = self._beside + _unreadable(messages) + (self._untold > 0)

    def clear(self) -> None:
        """Close the subscriber and empty its queue."""
        self.closed = self.has_news = True
        self._items.clear()
        self._head.clear()
        self._untold = 0
        self._check_counts()

    # -- handing over -------------------------------------------------------------------------------------------------

    def take(self, announce: Callable[[Event], None], *, events: bool) -> list[Item]:
        """Take the next messages, and the ``events`` between them. Raises the error of an unreadable message."""
        self.has_news = False
        if not (self._markers or self._dropped_events):
            return self._take_plain()
        if self._untold:
            self._put_drops_in_front()
        taken: list[Item] = []
        if events and self._dropped_events:
            taken.append(EventsDropped(self._dropped_events))
            self._dropped_events = 0
        self._take_carefully(taken, announce, events=events)
        self._check_counts()
        return taken

    def _take_carefully(self, taken: list[Item], announce: Callable[[Event], None], *, events: bool) -> None:
        while self._items and len(taken) < self._chunk:
            if isinstance(item := self._items[0], DropMarker):
                item.tell(announce)
            self._items.popleft()
            if isinstance(item, ChannelMessage):
                self._nbytes -= len(item.data)
                taken.append(item)
            elif isinstance(item, Unreadable):
                if taken:
                    self._items.appendleft(item)
                    break
                self._count(-1, 0)
                raise item.error
            else:
                self._count(-1, -1)
                if events:
                    taken.append(item.event if isinstance(item, DropMarker) else item)

    def _drop_first(self) -> None:
        item = self._items.popleft()
        if isinstance(item, (ChannelMessage, Unreadable)):
            self._nbytes -= len(item.data)
            self._count(-isinstance(item, Unreadable), 0)
            self._drop_in_front()
        else:
            self._count(-1, -1)
            self._head.append(item)

    def _put_drops_in_front(self) -> None:
        """Put the events among dropped messages in front, and behind them the number of these messages."""
        backwards = [DropMarker(self._untold), *reversed(self._head)]
        put, nothing = self._items.extendleft, deque[Event | DropMarker]()
        self._count(len(backwards) - 1, len(backwards))  # the number has been a marker before
        self._head, self._untold = nothing, 0
        put(backwards)  # and no call between: all of it has moved, or nothing

    def _mark_drops(self, count: int) -> None:
        last = self._items[-1] if self._items else None
        if not (isinstance(last, DropMarker) and last.add(count)):
            self._count(1, 1)
            self._items.append(DropMarker(count))


_data: Final = attrgetter("data")


def _size(messages: Sequence[Received]) -> int:
    return sum(map(len, map(_data, messages)))


def _unreadable(messages: Sequence[Received]) -> int:
    return sum([type(message) is Unreadable for message in messages])


def _is_of(item: Item | Unreadable | DropMarker, channel: bytes | str, key: bytes) -> bool:
    if isinstance(item, (ChannelMessage, Unreadable)):
        return bool(item.channel == channel)
    return isinstance(item, Gap | StreamReset) and item.stream == key
