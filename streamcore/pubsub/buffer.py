"""The buffer of pushed messages, with markers of gaps, drops, confirmations and errors.

When a buffer is full, ``block`` leaves it to the engine to stop reading; the other policies drop messages, and count
them. Gaps that meet are merged, so that markers are bounded, too. A gap stands in the buffer of the iteration and
in that of the handlers, and the first to reach it tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from ..engine.message_buffer import CHUNK, DropMarker, Marker, MessageBuffer
from ..events import Event, MessagesDropped, SubscriptionGap

T = TypeVar("T")

WhenFull: TypeAlias = Literal["block", "drop_oldest", "drop_newest"]


class GapMarker(Marker):
    """A gap, told once: by the first of the buffers that comes to it; of several links, its event names all."""

    __slots__ = ("_absorbed", "_error", "_links", "_names", "held", "told")

    def __init__(self, event: SubscriptionGap) -> None:
        self._links, self._error = {event.link: None}, event.error
        self._names = None if event.names is None else dict.fromkeys(event.names)
        self.held = 0
        self.told = False
        self._absorbed: list[GapMarker] = []

    @property
    def event(self) -> SubscriptionGap:
        """The event of the gap and of all gaps that it has absorbed."""
        return SubscriptionGap(", ".join(self._links), None if self._names is None else tuple(self._names), self._error)

    def extend(self, event: SubscriptionGap) -> None:
        """Add the names of another loss: a node may take away thousands of names, each by itself."""
        self._error = event.error
        self._links[event.link] = None
        if self._names is None or event.names is None:
            self._names = None
        else:
            self._names.update(dict.fromkeys(event.names))

    def absorb(self, earlier: GapMarker) -> None:
        """Merge an earlier gap that this gap has met in a buffer."""
        earlier.held -= 1
        if earlier.told or earlier in self._absorbed:
            return
        self._links = earlier._links | self._links
        before, names = earlier._names, self._names
        self._names = None if before is None or names is None else before | names
        absorbed = (*self._absorbed, *earlier._absorbed, earlier)
        self._absorbed = [mark for mark in absorbed if mark.held and not mark.told]

    def tell(self, emit: Callable[[Event], None]) -> None:
        if not self.told:
            event = self.event
            for mark in self._absorbed:
                mark.told = True
            self.told = True
            emit(event)

    def leave(self) -> None:
        self.held -= 1


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

    def leave(self) -> None:
        raise self.error


class PushBuffer(MessageBuffer[T, Marker]):
    """A buffer of pushes, with the policy ``when_full``; the items under its bounds are messages and errors."""

    def __init__(self, limit: int, nbytes: int, when_full: WhenFull, measure: Callable[[Sequence[T]], int]) -> None:
        super().__init__(limit, nbytes, measure, min(limit, CHUNK))
        self._when_full = when_full
        self._head: GapMarker | None = None  # the gap among messages that were dropped; it still counts as a marker

    def __len__(self) -> int:
        return len(self._items)

    def add(self, messages: Sequence[T]) -> None:
        """Append messages, or drop messages by the policy."""
        if self._when_full == "drop_newest":
            self.fill(messages)
            return
        self.extend(messages)
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
            self.dropped += 1
            self._mark_drops(1)
            return
        self._count(1, _is_beside(marker))
        self._items.append(marker)

    def take(self, emit: Callable[[Event], None]) -> list[T]:
        """Take the next messages, at most ``CHUNK``; emit or raise the markers before the first."""
        if self._markers:
            self._tell_dropped(emit)
            if self._markers:
                return self._take_carefully(emit)
        return self._take_plain()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _has_no_room_for(self, marker: Marker) -> bool:
        """Tell whether the buffer is too full for the error of a message, or for a confirmation."""
        if isinstance(marker, ErrorMarker):
            return self._when_full == "drop_newest" and self.is_full
        return self._beside > self._limit

    def _take_carefully(self, emit: Callable[[Event], None]) -> list[T]:
        items, taken = self._items, list[T]()
        while items and len(taken) < self._chunk:
            item = items[0]
            if not isinstance(item, Marker):
                taken.append(item)
                self._nbytes -= self._measure((item,))
                items.popleft()
                continue
            if isinstance(item, ConfirmationMarker):
                taken.append(item.item)
            elif taken:
                break
            item.tell(emit)
            if items[0] is item:  # else a gap has come meanwhile, and has absorbed it
                items.popleft()
                self._count(-1, -_is_beside(item))
                item.leave()
        self._check_counts()
        return taken

    def _tell_dropped(self, emit: Callable[[Event], None]) -> None:
        if self._untold:
            event = MessagesDropped(self._untold)
            self._untold = 0
            self._markers -= 1
            emit(event)
        while (head := self._head) is not None:
            head.tell(emit)
            if self._head is head:  # else a gap has come meanwhile, and has absorbed it
                self._head = None
                self._markers -= 1
                head.leave()

    def _mark_drops(self, count: int) -> None:
        items = self._items
        last = items[-1] if items else None
        if isinstance(last, GapMarker) and len(items) > 1:  # drops before and behind a gap would pile up
            last = items[-2]
        if not (isinstance(last, DropMarker) and last.add(count)):
            self._count(1, 1)
            items.append(DropMarker(count))

    def _drop_first(self) -> None:
        item = self._items.popleft()
        if not isinstance(item, Marker):
            self._nbytes -= self._measure((item,))
        elif isinstance(item, GapMarker):
            self._count(0, -1)
            if self._head is not None:
                item.absorb(self._head)
                self._count(-1, 0)
            self._head = item
            return
        else:
            self._count(-1, -_is_beside(item))
        self._drop_in_front()


def _is_beside(marker: Marker) -> bool:
    """Tell whether a marker is beside the bounds: an error stands for a message, but a gap alone fills no buffer."""
    return not isinstance(marker, ErrorMarker)
