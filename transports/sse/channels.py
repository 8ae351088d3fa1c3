"""A channel as server-sent events: any number of browsers share the reader of ``client.channels(...)``.

A first visit is made a return: behind the message before its history. So its beginning and
its place after a break are found alike, and there is no hole between history and what comes after it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Unpack

from streamcore.arguments import Name, name, positive
from streamcore.channels import ChannelMessage
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument
from streamcore.events import Gap

from .._facade._async import Channels, ChannelSubscriber
from .making import ZERO, EventStreamOptions, Made, Maker
from .place import Bound, Oldest, Place
from .response import EventStream
from .wire import ServerSentEvent


class ChannelSource:
    """A channel, heard by a subscriber for each browser."""

    def __init__(
        self,
        channels: Channels[Any],
        channel: Name,
        history: int,
        bound: Bound,
        maker: Maker[ChannelMessage[Any]],
        queue: tuple[int | None, int],
    ) -> None:
        self._channels = channels
        self._channel = name("channel", channel)
        self._history = positive("history", history, zero=True)
        self._bound = bound
        self._maker = maker
        self._queue_size = None if queue[0] is None else positive("queue_size", queue[0])
        self._queue_bytes = positive("queue_bytes", queue[1])

    @asynccontextmanager
    async def open(self, after: StreamId | None) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        first = await self._first()
        place = first
        told: Place | None = None
        if first is not None and after is not None:
            told = await self._bound.place(self._channels.key(self._channel), after, self._channels.pipeline)
            place = told.behind
        async with (
            self._channels.subscriber(
                self._channel, after=place, queue_size=self._queue_size, queue_bytes=self._queue_bytes
            ) as subscriber,
            aclosing(self._events(subscriber, place, after, told)) as events,
        ):
            yield events

    async def _first(self) -> StreamId | None:
        """The place of a first visit; None for a channel without ids."""
        try:
            known = await self._channels.get_history(self._channel, self._history + 1)
        except InvalidArgument:  # pub/sub keeps none
            return None
        if not known or known[0].id is None:
            return ZERO
        return known[0].id if len(known) > self._history else known[0].id.before()

    async def _events(
        self, subscriber: ChannelSubscriber[Any], place: StreamId | None, after: StreamId | None, told: Place | None
    ) -> AsyncGenerator[ServerSentEvent]:
        maker = self._maker
        yield ServerSentEvent(id=None if place is None else str(place))
        if told is not None and told.missed and (gap := maker.gap(after, None, None, rewound=told.rewound)) is not None:
            yield gap
        async for item in subscriber.with_events():
            if isinstance(item, ChannelMessage):
                yield maker.of(item, item.id)
            elif told is None and isinstance(item, Gap) and item.after == place:
                continue  # who comes for the first time misses nothing
            elif (event := maker.of_event(item)) is not None:
                yield event


def message_data(message: ChannelMessage[Any]) -> str | bytes:
    """The published data, as they are."""
    data: str | bytes = message.data
    return data


def channel_events(
    channels: Channels[Any],
    channel: Name,
    *,
    history: int = 0,
    oldest: Oldest = None,
    encode: Callable[[ChannelMessage[Any]], Made] = message_data,
    event: str | None = None,
    gap_event: str | None = "gap",
    queue_size: int | None = None,
    queue_bytes: int = 1 << 20,
    **options: Unpack[EventStreamOptions],
) -> EventStream:
    """The messages of a channel as server-sent events; any number of browsers share a reader.

    A browser that does not come back gets the last ``history`` messages first. Channels of the kind ``"pubsub"`` have no
    ids: a browser that comes back has missed the messages published meanwhile. ``queue_size`` messages (as many as of ``channels``) or
    ``queue_bytes`` (1 MiB) wait for each browser here. The rest is as in ``stream_events``. ``channels`` has to be entered when a request comes.
    """
    maker = Maker(encode, event, gap_event)
    source = ChannelSource(channels, channel, history, Bound(oldest), maker, (queue_size, queue_bytes))
    return EventStream(source, **options)
