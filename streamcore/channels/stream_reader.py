"""The reader of a hub: it follows the channels that have subscribers, and hands new entries to the *live* subscribers.

Its batches wait for no subscriber. A subscriber without room falls behind, and comes back by
pages (``stream_hub``). Gaps and resets that the consumer finds in a channel are told to its live subscribers, except
where the channel was deleted because its time to live was over: they have got all that there was, and the channel
begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from ..consumer.cursor import CursorChange, StreamCursor
from ..consumer.streams_reader import StreamsReader
from ..engine.context import EngineContext
from ..engine.script import Steps
from ..entries import Batch, StreamId
from ..errors import ReplyError
from ..events import Event, Gap, StreamReset
from ..stream_id import ZERO
from .options import Settings
from .subscriber import Position, Subscriber
from .subscribers import Subscribers

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


class ChannelHub(Protocol):
    """The hub that follows channels: it tells events, and brings back the subscribers that are behind."""

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

    def __init__(self, engine: EngineContext, hub: ChannelHub, subscribers: Subscribers, settings: Settings) -> None:
        self.topics: dict[bytes, Topic] = {}
        self._engine = engine
        self._hub = hub
        self._subscribers = subscribers
        self._ttl = settings.ttl_ms / 1000
        self._margin = min(self._ttl / 10, 1.0)  # seconds that a message may have been on its way to us
        self._down_since: float | None = None
        self._streams: StreamsReader[bytes] = StreamsReader(
            engine,
            self,
            {},
            watches=True,
            on_rewind="restart",
            merges=False,
            count=COUNT,
            block=min(BLOCK, engine.options.keepalive_idle),
        )
        self.reader = self._streams.reader
        self.wake = self._streams.want_more

    @property
    def title(self) -> str:
        """The title of the hub."""
        return self._hub.title

    @property
    def followed(self) -> dict[bytes, StreamCursor]:
        """The cursors of the channels that are read."""
        return self._streams.streams

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
        self._streams.change(topic.change)

    def unfollow(self, key: bytes) -> None:
        """Read a channel no more, after its last subscriber."""
        topic = self.topics.pop(key)
        if topic.change is not None:
            self._streams.give_up(topic.change)
            if self._streams.remove(key):
                self.wake()

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
        self._streams.changes.remove(change)
        if change.error is not None:
            self._hub.expel(change.cursor.stream, change.error)

    def refuse(self, cursor: StreamCursor, error: ReplyError) -> None:
        """End a channel that the server does not let us read."""
        self._hub.expel(cursor.stream, error)

    def restart(self, cursor: StreamCursor) -> None:
        """Restart a channel that began anew, for its live subscribers, too."""
        self._streams.drop(cursor.stream)
        cursor.goto(ZERO)
        topic = self.topics.get(cursor.stream)
        if topic is not None:
            topic.reached, topic.expires, topic.expired = ZERO, None, False
            for subscriber in self._live_in(cursor.stream):
                subscriber.positions[cursor.stream].restart()

    def lose_connection_of(self, reader: StreamsReader[bytes], error: Exception, *, was_up: bool) -> None:
        """Note since when nothing is read."""
        if was_up:
            self._down_since = self._engine.clock.now

    def enter(self) -> Steps[None]:
        """Note that the channels are known on a new connection."""
        yield from self._hub.wait_for_link()
        self._down_since = None

    # -- received batches ---------------------------------------------------------------------------------------------

    def take_in(self, reader: StreamsReader[bytes], batches: list[Batch[bytes]], full: int) -> None:
        """Give batches to the live subscribers."""
        for batch in batches:
            self._spread(batch)

    def _spread(self, batch: Batch[bytes]) -> None:
        """Give a batch to the live subscribers of its channel that have room; the others fall behind."""
        key, topic, continuity = batch.key, self.topics[batch.key], self.followed[batch.key].continuity
        assert continuity is not None
        assert topic.reached is not None
        before, topic.reached = topic.reached, continuity.cursor
        topic.expired = self._is_over(topic)
        if self._ttl:
            topic.expires = self._engine.clock.now + self._ttl
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
        """Emit an event of the reader."""
        self.emit(event)

    def emit(self, event: Event) -> None:
        """Emit an event; a gap or reset only for the subscribers concerned."""
        if not isinstance(event, (Gap, StreamReset)):
            self._hub.tell_all(event)
            return
        if isinstance(event, StreamReset):
            self._streams.hand_on()  # the arrived batches are older than that
        topic = self.topics.get(event.stream)
        if topic is not None and not (self._knows_all() and (topic.expired or self._is_over(topic))):
            concerned = [subscriber for subscriber in self._live_in(event.stream) if _concerns(event, subscriber)]
            self.tell(event, concerned)

    def _is_over(self, topic: Topic) -> bool:
        return topic.expires is not None and self._engine.clock.now >= topic.expires - self._margin

    def _knows_all(self) -> bool:
        """Tell whether no message can have come, and expired, while there was no connection."""
        return self._down_since is None or self._engine.clock.now - self._down_since < self._ttl

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
