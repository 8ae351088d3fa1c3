"""Events for a page: of an item that was read, and of items that are missing.

The id of an event is that of its entry, whatever data the application makes of the entry. Entries that were trimmed before a browser came
back are told in their place, as an event ``gap``. Its data is a JSON object: ``after`` and ``before`` are ids, ``entries``
is a number (all of them null where they are unknown), and ``rewound`` tells whether the stream has begun anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Generic, TypeAlias, TypedDict, TypeVar

from streamcore.arguments import Seconds
from streamcore.entries import StreamId
from streamcore.events import Event, Gap, MessagesDropped, StreamReset, SubscriptionGap

from .wire import ServerSentEvent

Item = TypeVar("Item")
Made: TypeAlias = ServerSentEvent | str | bytes | None

ZERO: Final = StreamId(0, 0)


class EventStreamOptions(TypedDict, total=False):
    """Keywords of ``EventStream``, explained there."""

    retry: Seconds
    """After so many seconds a browser comes back (2)."""
    keep_alive: Seconds
    """After so many seconds of silence a comment is sent, so that proxies keep the connection (15)."""
    send_timeout: Seconds
    """A browser that takes nothing for so many seconds is dropped (60)."""
    buffer_bytes: int
    """About so many bytes of events wait for a browser (65,536); one larger event may."""
    headers: Mapping[str, str] | None
    """More headers, such as those of CORS (None)."""
    parameter: str | None
    """The parameter of the query that stands in for the header ``Last-Event-ID`` (``"lastEventId"``); None: nothing does."""


class Maker(Generic[Item]):
    """Makes events of items that were read: ``encode`` gives the data of an item; None: no event."""

    def __init__(self, encode: Callable[[Item], Made], event: str | None, gap_event: str | None) -> None:
        self._encode = encode
        self._event = event
        self._gap_event = gap_event
        ServerSentEvent(event=event)  # it may raise
        ServerSentEvent(event=gap_event)

    def of(self, item: Item, id_: StreamId | None) -> ServerSentEvent:
        """The event of an item. The id is ours, not that of ``encode``, since it is where the browser goes on."""
        made = self._encode(item)
        text = None if id_ is None else str(id_)
        if isinstance(made, ServerSentEvent):
            return replace(made, id=text)
        return ServerSentEvent(made, event=None if made is None else self._event, id=text)

    def of_event(self, event: Event) -> ServerSentEvent | None:
        """The event that tells of a loss; None where nothing was lost."""
        match event:
            case Gap(after=after, before=before, entries=entries):
                return self.gap(after, before, entries)
            case StreamReset(cursor=cursor):
                return self.gap(cursor, None, None, rewound=True, place=ZERO)
            case MessagesDropped(messages=messages):
                return self.gap(None, None, messages)
            case SubscriptionGap():
                return self.gap(None, None, None)
            case _:
                return None

    def gap(
        self,
        after: StreamId | None,
        before: StreamId | None,
        entries: int | None,
        *,
        rewound: bool = False,
        place: StreamId | None = None,
    ) -> ServerSentEvent | None:
        """The event that tells of missing items; ``place`` is where the browser is then, so that it is told once."""
        if self._gap_event is None:
            return None
        shown = [None if id_ is None else str(id_) for id_ in (after, before)]
        told = {"after": shown[0], "before": shown[1], "entries": entries, "rewound": rewound}
        return ServerSentEvent(json.dumps(told), event=self._gap_event, id=None if place is None else str(place))
