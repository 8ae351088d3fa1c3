"""The reader of a hub: it follows the channels that have subscribers, and hands new entries to the *live* subscribers.

It is a ``Consumer`` whose batches wait for no subscriber. A subscriber without room falls behind, and comes back by
pages (``stream_hub``). Gaps and resets that the consumer finds in a channel are told to its live subscribers, except
where the channel was deleted because its time to live was over: they have got all that there was, and the channel
begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Unpack

from ..consumer.consumer import Consumer
from ..consumer.cursor import CursorChange, StreamCursor
from ..engine.engine import EngineOptions
from ..engine.script import Steps
from ..entries import Batch, StreamId
from ..errors import ReplyError
from ..events import Event, Gap, StreamReset
from ..options import Options
from ..stream_id import ZERO
from .message import Naming
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


class StreamReader(Consumer[bytes]):
    """The reading side of ``StreamHub``."""

    def __init__(self, settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> None:
        options = engine.get("options") or Options()
        block = min(BLOCK, options.keepalive_idle)
        super().__init__({b"-": "0"}, count=COUNT, block=block, on_rewind="restart", **engine)
        self._streams.clear()  # a consumer follows at least one stream; a hub begins with none
        self._subscribers = Subscribers(settings, naming, self._announce)
        self._topics: dict[bytes, Topic] = {}
        self._ttl = settings.ttl_ms / 1000
        self._margin = min(self._ttl / 10, 1.0)  # seconds that a message may have been on its way to us
        self._down_since: float | None = None

    @property
    def subscribers(self) -> Subscribers:
        """The subscribers of the hub and their channels."""
        return self._subscribers

    def _open(self, key: bytes) -> None:
        """Add a channel, for its first subscriber."""
        if key not in self._topics:
            self._topics[key] = Topic()

    def _follow(self, key: bytes, position: Position) -> None:
        """Read a channel, from the position of a subscriber."""
        topic = self._topics[key]
        topic.reached = position.cursor
        topic.change = change = self.add_stream(key, position.cursor)
        assert change is not None
        change.cursor.goto(position.cursor, position.added)

    def _unfollow(self, key: bytes) -> None:
        topic = self._topics.pop(key)
        if topic.change is not None and not self.closed:
            self.give_up(topic.change)
            self.remove_stream(key)

    def end_change(self, change: CursorChange) -> None:
        super().end_change(change)
        if change.error is not None:
            self._expel(change.cursor.stream, change.error)

    def refuse(self, cursor: StreamCursor, error: ReplyError) -> None:
        """End a channel that the server does not let us read."""
        self._expel(cursor.stream, error)

    def _expel(self, key: bytes, error: Exception) -> None: ...

    # -- received batches ---------------------------------------------------------------------------------------------

    def take_in(self, batches: list[Batch[bytes]], full: int) -> None:
        """Give batches to the live subscribers."""
        for batch in batches:
            self._spread(batch)

    def _spread(self, batch: Batch[bytes]) -> None:
        """Give a batch to the live subscribers of its channel that have room; the others fall behind."""
        key, topic, continuity = batch.key, self._topics[batch.key], self._streams[batch.key].continuity
        assert continuity is not None
        assert topic.reached is not None
        before, topic.reached = topic.reached, continuity.cursor
        topic.expired = self._is_over(topic)
        if self._ttl:
            topic.expires = self._clock.now + self._ttl
        naming = self._subscribers.naming
        live = self._live_in(key)
        messages = naming.messages(naming.channel(key), batch.raw) if live else []
        for subscriber in live:
            position = subscriber.positions[key]
            if position.cursor == ZERO and position.added is not None:
                position.live = False  # only a page proves the first message of a channel that was empty
            elif subscriber.is_full:
                position.live = False
                if position.cursor == before:
                    position.added = None if continuity.added is None else continuity.added - len(batch.raw)
            else:
                is_ahead = position.cursor > before  # it joined where the reader had not been yet
                subscriber.add(
                    [message for message in messages if message.id is not None and message.id > position.cursor]
                    if is_ahead
                    else messages
                )
                position.cursor = max(position.cursor, topic.reached)
            self._catch_up(subscriber, key, position)

    def _catch_up(self, subscriber: Subscriber, key: bytes, position: Position) -> None: ...

    def _live_in(self, key: bytes) -> list[Subscriber]:
        return [subscriber for subscriber in self._subscribers.of(key) if subscriber.positions[key].live]

    # -- events of the history ----------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Emit an event; a gap or reset only for the subscribers concerned."""
        if not isinstance(event, (Gap, StreamReset)):
            self._emit(event)
            return
        if isinstance(event, StreamReset):
            self._reader.hand_on()  # the arrived batches are older than that
        topic = self._topics.get(event.stream)
        if topic is not None and not (self._knows_all() and (topic.expired or self._is_over(topic))):
            concerned = [subscriber for subscriber in self._live_in(event.stream) if _concerns(event, subscriber)]
            self._tell_subscribers(event, concerned)

    def _is_over(self, topic: Topic) -> bool:
        return topic.expires is not None and self._clock.now >= topic.expires - self._margin

    def _knows_all(self) -> bool:
        """Tell whether no message can have come, and expired, while there was no connection."""
        return self._down_since is None or self._clock.now - self._down_since < self._ttl

    def _announce(self, event: Event) -> None:
        """Emit an event to the application, but not to subscribers."""
        super()._emit(event)

    def _tell_subscribers(self, event: Event, subscribers: Iterable[Subscriber]) -> None:
        """Tell some subscribers an event, and the application once."""
        concerned = list(subscribers)
        if concerned:
            self._announce(event)
        for subscriber in concerned:
            subscriber.tell(event)

    def _emit(self, event: Event) -> None:
        super()._emit(event)
        self._subscribers.tell(event)

    def restart(self, cursor: StreamCursor) -> None:
        """Restart a channel that began anew, for its live subscribers, too."""
        super().restart(cursor)
        topic = self._topics.get(cursor.stream)
        if topic is not None:
            topic.reached, topic.expires, topic.expired = ZERO, None, False
            for subscriber in self._live_in(cursor.stream):
                subscriber.positions[cursor.stream].restart()

    def lose_connection(self, error: Exception, *, was_up: bool) -> None:
        """Note since when nothing is read."""
        if was_up:
            self._down_since = self._clock.now
        super().lose_connection(error, was_up=was_up)

    def enter(self) -> Steps[None]:
        """Note that the channels are known on a new connection."""
        yield from super().enter()
        self._down_since = None


def _concerns(event: Gap | StreamReset, subscriber: Subscriber) -> bool:
    """Tell whether a loss concerns a subscriber: not if it joined behind it, or its pages have shown it."""
    position = subscriber.positions[event.stream]
    return not (
        isinstance(event, Gap) and event.before is not None and event.before <= max(position.joined, position.paged)
    )
