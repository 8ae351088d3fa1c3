"""The reader of a hub: it follows the channels that somebody is in, and hands what it receives to those who are *live*.

It is a ``Consumer`` whose batches wait for nobody. Whoever has no room falls behind, and comes back by itself
(``streams``). What the consumer finds to be wrong with the history of a channel is told to those who are live in it,
except where the channel was deleted because its time was over: whoever is live has got all that there was, and the channel
begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Unpack

from ..connection.link import Link
from ..consumer.consumer import Consumer
from ..consumer.cursor import Change, Followed
from ..engine.engine import EngineOptions
from ..engine.script import Steps
from ..entries import Batch, StreamId
from ..errors import ReplyError
from ..events import Event, Gap, StreamReset
from ..options import Options
from ..stream_id import ZERO
from .message import Naming
from .options import Settings
from .subscriber import Inbox, Position
from .subscribers import Subscribers

COUNT: Final = 500
"""Entries of a channel that the reader gets at once."""

BLOCK: Final = 5.0
"""Seconds for which a read waits in the server, at most."""


class Topic:
    """A channel that somebody is in.

    ``reached`` is where the reader is, None while it does not follow it. ``expires``: when its time is over, unless something
    comes. ``expired``: what came last came later than that.
    """

    __slots__ = ("change", "expired", "expires", "reached")

    def __init__(self) -> None:
        self.reached: StreamId | None = None
        self.change: Change | None = None
        self.expires: float | None = None
        self.expired = False


class Tail(Consumer[bytes]):
    """The reading side of ``StreamHub``."""

    def __init__(self, settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> None:
        options = engine.get("options") or Options()
        block = min(BLOCK, options.keepalive_idle)
        super().__init__({b"-": "0"}, count=COUNT, block=block, on_rewind="restart", **engine)
        self._streams.clear()  # a consumer follows one at least; a hub begins with none
        self._subscribers = Subscribers(settings, naming, self._announce)
        self._topics: dict[bytes, Topic] = {}
        self._ttl = settings.ttl_ms / 1000
        self._margin = min(self._ttl / 10, 1.0)  # seconds that a message may have been on its way to us
        self._down_since: float | None = None

    @property
    def subscribers(self) -> Subscribers:
        """Who is in which channel."""
        return self._subscribers

    def _open(self, key: bytes) -> None:
        """Somebody enters a channel."""
        if key not in self._topics:
            self._topics[key] = Topic()

    def _follow(self, key: bytes, position: Position) -> None:
        """Read a channel, from where one of its subscribers is."""
        topic = self._topics[key]
        topic.reached = position.cursor
        topic.change = change = self.add_stream(key, position.cursor)
        assert change is not None
        change.followed.goto(position.cursor, position.added)

    def _unfollow(self, key: bytes) -> None:
        topic = self._topics.pop(key)
        if topic.change is not None and not self.closed:
            self.give_up(topic.change)
            self.remove_stream(key)

    def _end_change(self, change: Change) -> None:
        super()._end_change(change)
        if change.error is not None:
            self._expel(change.followed.stream, change.error)

    def refused(self, one: Followed, error: ReplyError) -> None:
        """The server lets nobody read a channel."""
        self._expel(one.stream, error)

    def _expel(self, key: bytes, error: Exception) -> None: ...

    # -- what is received ---------------------------------------------------------------------------------------------

    def _hand_on(self) -> None:
        arrived, self._arrived = self._arrived, []
        for batch in arrived:
            self._spread(batch)

    def _spread(self, batch: Batch[bytes]) -> None:
        """Give a batch to those who are live in its channel, and have room."""
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
        for inbox in live:
            position = inbox.positions[key]
            if position.cursor == ZERO and position.added is not None:
                position.live = False  # what comes first in a channel that was empty is proven by nothing but a page
            elif inbox.is_full:
                position.live = False
                if position.cursor == before:
                    position.added = None if continuity.added is None else continuity.added - len(batch.raw)
            else:
                is_ahead = position.cursor > before  # it joined where the reader had not been yet
                inbox.add(
                    [one for one in messages if one.id is not None and one.id > position.cursor]
                    if is_ahead
                    else messages
                )
                position.cursor = max(position.cursor, topic.reached)
            self._catch_up(inbox, key, position)

    def _catch_up(self, inbox: Inbox, key: bytes, position: Position) -> None: ...

    def _live_in(self, key: bytes) -> list[Inbox]:
        return [inbox for inbox in self._subscribers.of(key) if inbox.positions[key].live]

    # -- what has happened to it --------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """What the watch over the history of a stream has found."""
        if not isinstance(event, (Gap, StreamReset)):
            self._emit(event)
            return
        if isinstance(event, StreamReset):
            self._hand_on()  # what has arrived is older than that
        topic = self._topics.get(event.stream)
        if topic is not None and not (self._knows_all() and (topic.expired or self._is_over(topic))):
            concerned = [inbox for inbox in self._live_in(event.stream) if _concerns(event, inbox)]
            self._tell(event, concerned)

    def _is_over(self, topic: Topic) -> bool:
        return topic.expires is not None and self._clock.now >= topic.expires - self._margin

    def _knows_all(self) -> bool:
        """Whether nothing can have come, and have gone again, while there was no connection."""
        return self._down_since is None or self._clock.now - self._down_since < self._ttl

    def _announce(self, event: Event) -> None:
        """Tell everybody but the subscribers."""
        super()._emit(event)

    def _tell(self, event: Event, inboxes: Iterable[Inbox]) -> None:
        """Tell some subscribers, and once everybody else."""
        concerned = list(inboxes)
        if concerned:
            self._announce(event)
        for inbox in concerned:
            inbox.tell(event)

    def _emit(self, event: Event) -> None:
        super()._emit(event)
        self._subscribers.tell(event)

    def restart(self, one: Followed) -> None:
        """A channel began anew."""
        super().restart(one)
        topic = self._topics.get(one.stream)
        if topic is not None:
            topic.reached, topic.expires, topic.expired = ZERO, None, False
            for inbox in self._live_in(one.stream):
                inbox.positions[one.stream].restart()

    def report_down(self, link: Link, error: Exception, *, was_up: bool) -> None:
        if link is self._reading.link and was_up:
            self._down_since = self._clock.now
        super().report_down(link, error, was_up=was_up)

    def _enter(self) -> Steps[None]:
        yield from super()._enter()
        self._down_since = None


def _concerns(event: Gap | StreamReset, inbox: Inbox) -> bool:
    """Whether a subscriber was to get what is lost, and does not know: not if it joined later, or has had it by pages."""
    position = inbox.positions[event.stream]
    return not (
        isinstance(event, Gap) and event.before is not None and event.before <= max(position.joined, position.paged)
    )
