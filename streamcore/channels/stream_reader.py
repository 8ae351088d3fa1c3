"""The readers of a hub: they follow the channels that have subscribers, and hand new entries to the *live* subscribers.

On a single server a reader follows all channels; in a cluster each slot has a reader, which comes with the first channel of the
slot and goes with the last. Their batches wait for no subscriber. A subscriber without room falls behind, and comes back by
pages (``stream_hub``). Gaps and resets that the consumer finds in a channel are told to its live subscribers, except
where the channel was deleted because its time to live was over: they have got all that there was, and the channel
begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from ..consumer.cursor import CursorChange, StreamCursor
from ..consumer.readers_by_route import ReadersByRoute, suffix_of
from ..consumer.streams_reader import StreamsReader
from ..engine.context import EngineContext
from ..engine.router import Route, SlotOwners
from ..engine.script import Steps
from ..entries import Batch, StreamId
from ..errors import ReplyError
from ..events import Event, Gap, StreamReset
from ..stream_id import ZERO
from .options import Settings
from .subscriber import Position, Subscriber
from .subscribers import Subscribers

_ANY: Final = b""
"""A key: on a single server they have a route in common."""

COUNT: Final = 500
"""Entries of a channel in a read, at most."""

BLOCK: Final = 5.0
"""Seconds for which a read waits in the server, at most."""


class Topic:
    """A channel with subscribers.

    ``reached`` is the id that the reader has come to, None while it does not follow the channel. ``expires``: when the
    channel's time to live is over, unless a message comes. ``expired``: the last message came later than that.
    """

    __slots__ = ("change", "expired", "expires", "reached")

    def __init__(self) -> None:
        self.reached: StreamId | None = None
        self.change: CursorChange | None = None
        self.expires: float | None = None
        self.expired = False


class ChannelHub(EngineContext, Protocol):
    """The hub that follows channels: it tells events, and brings back the subscribers that are behind."""

    @property
    def owners(self) -> SlotOwners | None:
        """The nodes that channels are spread over; None where a single server has all of them."""
        ...

    def route(self, key: bytes) -> Route:
        """Find the route to a channel."""
        ...

    @property
    def title(self) -> str:
        """The name in logs and events."""
        ...

    def announce(self, event: Event) -> None:
        """Emit an event to the application, but not to subscribers."""
        ...

    def tell_all(self, event: Event) -> None:
        """Emit an event to the application and to all subscribers."""
        ...

    def expel(self, key: bytes, error: Exception) -> None:
        """End a channel that cannot be read."""
        ...

    def catch_up(self, subscriber: Subscriber, key: bytes, position: Position) -> None:
        """Ask for the entries that a subscriber has missed, if it has room for them."""
        ...

    def wait_for_link(self) -> Steps[None]:
        """Wait for the link of the pages, so that the hub is ready."""
        ...


class ChannelReader:
    """Follows channels for a hub. ``topics`` are the channels with subscribers, by key."""

    def __init__(self, hub: ChannelHub, subscribers: Subscribers, settings: Settings) -> None:
        self.topics: dict[bytes, Topic] = {}
        self._hub = hub
        self._subscribers = subscribers
        self._ttl = settings.ttl_ms / 1000
        self._margin = min(self._ttl / 10, 1.0)  # seconds that a message may have been on its way to us
        self._down_since: dict[StreamsReader[bytes], float] = {}  # of the readers that have no connection
        self._readers: ReadersByRoute[bytes] = ReadersByRoute(hub.route, self._make, self._forget)
        self.wake = self._readers.wake

    def _make(self, route: Route) -> StreamsReader[bytes]:
        return StreamsReader(
            self._hub,
            self,
            {},
            watches=True,
            on_rewind="restart",
            merges=False,
            count=COUNT,
            block=min(BLOCK, self._hub.options.keepalive_idle),
            suffix=suffix_of(route),
            route=route,
            can_share=True,
        )

    def _forget(self, reader: StreamsReader[bytes]) -> None:
        self._down_since.pop(reader, None)

    def begin(self) -> None:
        """Open the reader of a single server; it waits for channels."""
        self._readers.open(_ANY)

    @property
    def is_ready(self) -> bool:
        """Whether all readers are connected, or have been."""
        return all(reader.reader.is_ready for reader in self._readers)

    @property
    def title(self) -> str:
        """The title of the hub."""
        return self._hub.title

    def cursor(self, key: bytes) -> StreamCursor | None:
        """Return the cursor of a channel; None while it is not read."""
        reader = self._readers.find(key)
        return None if reader is None else reader.streams.get(key)

    def open(self, key: bytes) -> Topic:
        """Return the topic of a channel; for its first subscriber, a new topic."""
        return self.topics.setdefault(key, Topic())

    def follow(self, key: bytes, position: Position) -> None:
        """Read a channel, from the position of a subscriber."""
        topic = self.topics[key]
        cursor = StreamCursor(key, position.cursor, watched=True)
        cursor.goto(position.cursor, position.added)
        topic.reached = position.cursor
        topic.change = CursorChange(cursor)
        self._readers.open(key).change(topic.change)

    def unfollow(self, key: bytes) -> None:
        """Read a channel no more, after its last subscriber."""
        topic = self.topics.pop(key)
        if topic.change is not None:
            reader = self._readers.of(key)
            reader.give_up(topic.change)
            if reader.remove(key):
                reader.want_more()
            self._readers.close_unused(key)

    # -- the owner of the streams' reader -----------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """Return False: no entry waits for its turn."""
        return False

    def wanted(self, reader: StreamsReader[bytes]) -> list[bytes]:
        """Return the names of all channels that are followed."""
        return list(reader.streams)

    def longest_wait(self, reader: StreamsReader[bytes], block: float) -> float:
        """Return ``block``, in seconds: a read may wait for as long in the server."""
        return block

    def end_read(self, reader: StreamsReader[bytes], *, idle: bool) -> None:
        """Do nothing at the end of a read."""

    def end_change(self, change: CursorChange) -> None:
        """Forget a change that is done, or was given up; end the channel if it has failed."""
        self._readers.of(change.cursor.stream).changes.remove(change)
        if change.error is not None:
            self._hub.expel(change.cursor.stream, change.error)

    def refuse(self, cursor: StreamCursor, error: ReplyError) -> None:
        """End a channel that the server does not let us read."""
        self._hub.expel(cursor.stream, error)

    def restart(self, cursor: StreamCursor) -> None:
        """Restart a channel that began anew, for its live subscribers, too."""
        self._readers.of(cursor.stream).drop(cursor.stream)
        cursor.goto(ZERO)
        topic = self.topics.get(cursor.stream)
        if topic is not None:
            topic.reached, topic.expires, topic.expired = ZERO, None, False
            for subscriber in self._live_in(cursor.stream):
                subscriber.positions[cursor.stream].restart()

    def lose_connection_of(self, reader: StreamsReader[bytes], error: Exception, *, was_up: bool) -> None:
        """Note since when nothing is read."""
        if was_up:
            self._down_since[reader] = self._hub.clock.now

    def enter(self, reader: StreamsReader[Any]) -> Steps[None]:
        """Note that the channels of a reader are known on a new connection."""
        yield from self._hub.wait_for_link()
        self._forget(reader)

    # -- received batches ---------------------------------------------------------------------------------------------

    def take_in(self, reader: StreamsReader[bytes], batches: list[Batch[bytes]], full: int) -> None:
        """Give batches to the live subscribers."""
        for batch in batches:
            self._spread(batch, reader.streams[batch.key])

    def _spread(self, batch: Batch[bytes], cursor: StreamCursor) -> None:
        """Give a batch to the live subscribers of its channel that have room; the others fall behind."""
        key, topic, continuity = batch.key, self.topics[batch.key], cursor.continuity
        assert continuity is not None
        assert topic.reached is not None
        before, topic.reached = topic.reached, continuity.cursor
        topic.expired = self._is_over(topic)
        if self._ttl:
            topic.expires = self._hub.clock.now + self._ttl
        naming = self._subscribers.naming
        live = self._live_in(key)
        messages = naming.messages(naming.channel(key), batch.raw) if live else []
        for subscriber in live:
            position = subscriber.positions[key]
            if position.cursor == ZERO and position.added is not None:
                subscriber.fall_behind(key)  # only a page proves the first message of a channel that was empty
            elif subscriber.is_full:
                subscriber.fall_behind(key)
                if position.cursor == before:
                    position.added = None if continuity.added is None else continuity.added - len(batch.raw)
            else:
                is_ahead = position.cursor > before  # it joined where the reader had not been yet
                subscriber.extend(
                    [message for message in messages if message.id is not None and message.id > position.cursor]
                    if is_ahead
                    else messages
                )
                position.cursor = max(position.cursor, topic.reached)
            self._hub.catch_up(subscriber, key, position)

    def _live_in(self, key: bytes) -> list[Subscriber]:
        return [subscriber for subscriber in self._subscribers.of(key) if subscriber.positions[key].live]

    # -- events of the history ----------------------------------------------------------------------------------------

    def emit_of(self, reader: StreamsReader[bytes], event: Event) -> None:
        """Emit an event of a reader; that of a slot only for the subscribers there."""
        if isinstance(event, (Gap, StreamReset)):
            self.emit(event)
        elif self._hub.owners is None:
            self._hub.tell_all(event)
        else:
            self._hub.announce(event)
            there = [subscriber for key in reader.streams for subscriber in self._subscribers.of(key)]
            for subscriber in dict.fromkeys(there):
                subscriber.tell(event)

    def emit(self, event: Gap | StreamReset) -> None:
        """Emit a gap or reset, only for the subscribers concerned."""
        if isinstance(event, StreamReset):
            self._readers.of(event.stream).hand_on()  # the arrived batches are older than that
        topic = self.topics.get(event.stream)
        if topic is not None and not (self._knows_all(event.stream) and (topic.expired or self._is_over(topic))):
            concerned = [subscriber for subscriber in self._live_in(event.stream) if _concerns(event, subscriber)]
            self.tell(event, concerned)

    def _is_over(self, topic: Topic) -> bool:
        return topic.expires is not None and self._hub.clock.now >= topic.expires - self._margin

    def _knows_all(self, key: bytes) -> bool:
        """Tell whether no message can have come to a channel, and expired, while there was no connection."""
        since = self._down_since.get(self._readers.of(key))
        return since is None or self._hub.clock.now - since < self._ttl

    def tell(self, event: Event, subscribers: Iterable[Subscriber]) -> None:
        """Tell some subscribers an event, and the application once."""
        concerned = list(subscribers)
        if concerned:
            self._hub.announce(event)
        for subscriber in concerned:
            subscriber.tell(event)


def _concerns(event: Gap | StreamReset, subscriber: Subscriber) -> bool:
    """Tell whether a loss concerns a subscriber: not if it joined behind it, or its pages have shown it."""
    position = subscriber.positions[event.stream]
    return not (
        isinstance(event, Gap) and event.before is not None and event.before <= max(position.joined, position.paged)
    )
