"""Messages that wait for the application: bounded, with markers of gaps, drops, confirmations and errors.

When a buffer is full, ``block`` leaves it to the engine to stop reading; the other policies drop messages, and count
them. Gaps that meet become one gap, so that markers are bounded, too. A gap stands in the buffer of the iteration and
in that of the handlers, and the first to reach it tells it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from ..events import Event, MessagesDropped, SubscriptionGap

T = TypeVar("T")

WhenFull: TypeAlias = Literal["block", "drop_oldest", "drop_newest"]
CHUNK: Final = 250
"""How many messages are handed over at once, and are outside the bounds then."""


class Marker:
    """An item of a buffer that is no message."""

    __slots__ = ()

    def tell(self, emit: Callable[[Event], None]) -> None: ...


class GapMarker(Marker):
    """A gap, told once: by the first of the buffers that comes to it."""

    __slots__ = ("_absorbed", "_error", "_link", "_names", "held", "told")

    def __init__(self, event: SubscriptionGap) -> None:
        self._link, self._error = event.link, event.error
        self._names = None if event.names is None else dict.fromkeys(event.names)
        self.held = 0
        self.told = False
        self._absorbed: list[GapMarker] = []

    @property
    def event(self) -> SubscriptionGap:
        return SubscriptionGap(self._link, None if self._names is None else tuple(self._names), self._error)

    def extend(self, event: SubscriptionGap) -> None:
        """Add the names of another loss: a node may take away thousands of names, each by itself."""
        self._error = event.error
        if self._names is None or event.names is None:
            self._names = None
        else:
            self._names.update(dict.fromkeys(event.names))

    def absorb(self, earlier: GapMarker) -> None:
        """Merge an earlier gap that this gap has met in a buffer."""
        earlier.held -= 1
        if earlier.told or earlier in self._absorbed:
            return
        before, names = earlier._names, self._names
        self._names = None if before is None or names is None else before | names
        absorbed = (*self._absorbed, *earlier._absorbed, earlier)
        self._absorbed = [mark for mark in absorbed if mark.held and not mark.told]

    def tell(self, emit: Callable[[Event], None]) -> None:
        self.held -= 1
        if not self.told:
            for mark in (self, *self._absorbed):
                mark.told = True
            emit(self.event)


class DropMarker(Marker):
    """A number of messages that were dropped at this place."""

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count

    def tell(self, emit: Callable[[Event], None]) -> None:
        emit(MessagesDropped(self.count))


class ConfirmationMarker(Marker):
    """The server's confirmation of a subscription; at most as many wait as messages do."""

    __slots__ = ("item",)

    def __init__(self, item: Any) -> None:
        self.item = item


class ErrorMarker(Marker):
    """A message that cannot be handed over; its error is raised in its place."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def tell(self, emit: Callable[[Event], None]) -> None:
        raise self.error


class MessageBuffer(Generic[T]):
    """A queue of at most ``limit`` items and about ``nbytes`` bytes; ``measure`` counts the bytes of messages."""

    def __init__(self, limit: int, nbytes: int, when_full: WhenFull, measure: Callable[[Sequence[T]], int]) -> None:
        self.dropped = 0
        self._limit = limit
        self._chunk = min(limit, CHUNK)
        self._most = nbytes
        self._when_full = when_full
        self._measure = measure
        self._items: deque[T | Marker] = deque()
        self._markers = 0
        self._beside = 0  # markers that are not under the bounds: a gap alone fills no buffer
        self._nbytes = 0
        self._head: GapMarker | None = None  # the gap among messages that were dropped
        self._untold = 0  # how many messages were dropped at the head, and not told

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        return len(self._items) - self._beside >= self._limit or self._nbytes >= self._most

    def add(self, messages: Sequence[T]) -> None:
        """Append messages, or drop some by the policy."""
        if self._when_full == "drop_newest":
            room = 0 if self.is_full else self._limit + self._beside - len(self._items)
            if room < len(messages):
                self._append(messages[:room])
                self._drop_behind(len(messages) - room)
                return
        self._append(messages)
        if self._when_full == "drop_oldest":
            while self._items and (len(self._items) > self._limit or self._nbytes > self._most):
                self._drop_first()

    def ends_with(self, mark: GapMarker) -> bool:
        """Tell whether a gap is the last item."""
        return bool(self._items) and self._items[-1] is mark

    def add_marker(self, marker: Marker) -> None:
        """Append a marker, or count it as dropped where it has no room."""
        if isinstance(marker, GapMarker):
            marker.held += 1
            if not self._items and self._head is not None:
                marker.absorb(self._head)
                self._head = marker
                return
            if self._items and isinstance(last := self._items[-1], GapMarker):
                marker.absorb(last)
                self._items[-1] = marker
                return
        elif self._has_no_room_for(marker):
            self._drop_behind(1)
            return
        self._count(marker, 1)
        self._items.append(marker)

    def take(self, emit: Callable[[Event], None]) -> list[T]:
        """Take the next messages, at most ``CHUNK``; emit or raise the markers before the first."""
        items = self._items
        if self._untold or self._head is not None:
            self._tell_dropped(emit)
        if self._markers:
            return self._take_carefully(emit)
        taken: list[Any]
        if len(items) <= self._chunk:
            taken = list(items)
            items.clear()
            self._nbytes = 0
        else:
            pop = items.popleft
            taken = [pop() for _ in range(self._chunk)]
            self._nbytes -= self._measure(taken)
        return taken

    # -- inside -------------------------------------------------------------------------------------------------------

    def _count(self, marker: Marker, more: int) -> None:
        self._markers += more
        if not isinstance(marker, ErrorMarker):
            self._beside += more

    def _has_no_room_for(self, marker: Marker) -> bool:
        """Tell whether the buffer is too full for the error of a message, or for a confirmation."""
        if isinstance(marker, ErrorMarker):
            return self._when_full == "drop_newest" and self.is_full
        return self._beside > self._limit

    def _append(self, messages: Sequence[T]) -> None:
        nbytes = self._measure(messages)  # first: it refuses messages that cannot be measured
        self._items.extend(messages)
        self._nbytes += nbytes

    def _take_carefully(self, emit: Callable[[Event], None]) -> list[T]:
        items, taken = self._items, list[T]()
        while items and len(taken) < self._chunk:
            item = items[0]
            if not isinstance(item, Marker):
                taken.append(item)
                self._nbytes -= self._measure((item,))
            elif isinstance(item, ConfirmationMarker):
                taken.append(item.item)
                self._count(item, -1)
            elif taken:
                break
            else:
                items.popleft()
                self._count(item, -1)
                item.tell(emit)
                continue
            items.popleft()
        return taken

    def _tell_dropped(self, emit: Callable[[Event], None]) -> None:
        untold, self._untold = self._untold, 0
        head, self._head = self._head, None
        if untold:
            emit(MessagesDropped(untold))
        if head is not None:
            head.tell(emit)

    def _drop_behind(self, count: int) -> None:
        self.dropped += count
        last = self._items[-1]
        if isinstance(last, GapMarker):  # drops before and behind a gap are counted together, else they would pile up
            last = self._items[-2]
        if isinstance(last, DropMarker):
            last.count += count
        else:
            self._items.append(drops := DropMarker(count))
            self._count(drops, 1)

    def _drop_first(self) -> None:
        item = self._items.popleft()
        if not isinstance(item, Marker):
            self._nbytes -= self._measure((item,))
        else:
            self._count(item, -1)
            if isinstance(item, GapMarker):
                if self._head is not None:
                    item.absorb(self._head)
                self._head = item
                return
        self._untold += 1
        self.dropped += 1
