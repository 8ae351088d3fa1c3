"""A stream as server-sent events: each browser is followed up by a consumer, and a connection, of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final, Unpack

from streamcore.arguments import Name, name
from streamcore.commands.ids import Position
from streamcore.consumer.options import ConsumerOptions
from streamcore.consumer.start import starts
from streamcore.entries import Entry, StreamId
from streamcore.errors import ReplyError

from .._facade._async import Client, Consumer
from .making import ZERO, EventStreamOptions, Made, Maker
from .place import Bound, Oldest, Place
from .response import EventStream
from .wire import ServerSentEvent

READING_AHEAD: Final[ConsumerOptions] = {"count": 10, "prefetch": 1, "prefetch_bytes": 1 << 20}
"""Little is read ahead for each browser, unless told otherwise: many of them may be slow."""


class StreamSource:
    """A stream, followed by a consumer for each browser."""

    def __init__(
        self,
        client: Client,
        stream: Name,
        start: Position,
        bound: Bound,
        maker: Maker[Entry[bytes]],
        options: ConsumerOptions,
    ) -> None:
        self._client = client
        self._stream = name("stream", stream)
        self._start = start
        self._bound = bound
        self._maker = maker
        self._options: ConsumerOptions = {**READING_AHEAD, "on_rewind": "restart", **options}
        starts({self._stream: start})  # it may raise

    @asynccontextmanager
    async def open(self, after: StreamId | None) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        place = None if after is None else await self._bound.place(self._stream, after, self._client.pipeline)
        start = self._start if place is None else place.behind
        async with (
            self._client.consumer({self._stream: start}, **self._options) as consumer,
            aclosing(self._events(consumer, after, place)) as events,
        ):
            yield events

    async def _events(
        self, consumer: Consumer[bytes], after: StreamId | None, place: Place | None
    ) -> AsyncGenerator[ServerSentEvent]:
        maker = self._maker
        yield ServerSentEvent(id=str(consumer.cursor()[self._stream]))
        if place is not None and place.missed:
            if (gap := maker.gap(after, None, None, rewound=place.rewound)) is not None:
                yield gap
        elif after == ZERO and (gap := await self._missed()) is not None:
            yield gap
        async for item in consumer.with_events():
            if isinstance(item, Entry):
                yield maker.of(item, item.id)
            elif (told := maker.of_event(item)) is not None:
                yield told

    async def _missed(self) -> ServerSentEvent | None:
        """The gap of a browser that comes back to the beginning: it has seen the stream empty, and missed the entries removed since."""
        try:
            info = await self._client.xinfo_stream(self._stream)
        except ReplyError:  # there is no stream, or we may not ask
            return None
        removed = info.entries_added - info.length
        before = None if info.first_entry is None else info.first_entry.id
        return self._maker.gap(ZERO, before, removed) if removed > 0 else None


def entry_as_json(entry: Entry[bytes]) -> str:
    """The fields of an entry, as a JSON object of texts; bytes that are not UTF-8 are replaced."""
    shown = {field.decode(errors="replace"): value.decode(errors="replace") for field, value in entry.fields.items()}
    return json.dumps(shown, ensure_ascii=False)


def stream_events(
    client: Client,
    stream: Name,
    *,
    start: Position = "$",
    oldest: Oldest = None,
    encode: Callable[[Entry[bytes]], Made] = entry_as_json,
    event: str | None = None,
    gap_event: str | None = "gap",
    consumer: ConsumerOptions | None = None,
    **options: Unpack[EventStreamOptions],
) -> EventStream:
    """The entries of a stream as server-sent events, each browser by a consumer, and a connection, of its own.

    ``start`` is where a browser begins that does not come back: an id, ``"0"``, ``"$"``, as in ``client.consumer``. A browser that
    does says itself where it was, and may say anything; so it sees all that the stream still has, unless ``oldest`` (an id, a
    moment, or so long ago as a ``timedelta``) bounds it.
    ``encode`` makes of an entry the data of an event, or a whole ``ServerSentEvent``; None passes over it. ``event`` names
    the events, ``gap_event`` the events that tell of missing entries; None: that is not told. ``consumer`` are options of the
    consumers. For the others see ``EventStream``. The client has to be open when a request comes.
    """
    maker = Maker(encode, event, gap_event)
    return EventStream(StreamSource(client, stream, start, Bound(oldest), maker, consumer or {}), **options)
