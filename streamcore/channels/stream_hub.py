"""Channels that are streams: a reader that all subscribers share, and for each subscriber a cursor per channel.

A subscriber that joins, resumes, or has been too slow is *behind*: it asks for the entries behind its cursor, page by
page, over a link beside the reader's. It is live once a page has brought it to the end, or to where the reader is;
from there on the reader brings new entries. As each subscriber keeps its own cursor no message is lost or seen twice
on the way, and none waits for another.

    joins --history--> live --no room--> behind --page--> behind
                         ^-------------------- at the end --'

A page comes together with the server's counters (MULTI), so a gap in front of it is known, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from functools import partial
from typing import Any, Final, NamedTuple, Unpack

from ..arguments import Name, positive
from ..commands import Command
from ..commands.command import READ, Traits
from ..commands.ids import Id, parsed
from ..engine.engine import Engine, EngineOptions
from ..engine.pending_change import PendingChange
from ..engine.script import WAIT, Steps
from ..entries import StreamId
from ..errors import (
    UNAVAILABLE,
    ConnectionLost,
    InvalidArgument,
    ReplyError,
    RequestTimeout,
    StreamcoreError,
    about,
)
from ..events import ChannelEnded, Event, Gap, StreamReset
from ..reading.continuity import Continuity
from ..reading.stream_history import History
from ..requests import Request
from ..requests.queue import because
from ..resp3 import Argument
from ..stream_id import ZERO
from .message import Naming, messages_in
from .options import Settings
from .pages import Pages, QueuedPages, SlotPages
from .stream_reader import ChannelReader
from .subscriber import Item, Position, Subscriber
from .subscribers import Subscribers

_ABOUT: Final = Traits(keys=slice(2, 3), repeatable=True)


class StreamJoin(PendingChange):
    """A subscriber's call to join channels; done when its position in each of them is known.

    ``keys``: the channels that it was not in; their positions in the channels of ``waiting`` are not known yet.
    ``others``: earlier calls that wait for some of the same channels; until they are done, ``poll`` tells False.
    """

    def __init__(self, subscriber: Subscriber, history: int, keys: list[bytes], others: list[StreamJoin]) -> None:
        super().__init__()
        self.subscriber = subscriber
        self.history = history
        self.keys = keys
        self.waiting = set(keys)
        self.others = others
        self.done = not keys

    def poll(self) -> bool:
        """Tell whether all positions are known. Raises why they cannot be."""
        return super().poll() and all(map(StreamJoin.poll, self.others))

    def place(self, key: bytes) -> None:
        """Note that the position in a channel is known."""
        self.waiting.discard(key)
        if not self.waiting:
            self.finish()


class PositionQuery(NamedTuple):
    """A query of a subscriber's position in a channel; ``joining``: the call that waits for it, if any."""

    subscriber: Subscriber
    key: bytes
    position: Position
    joining: StreamJoin | None
    reached: StreamId | None  # where the reader was
    page: int  # how many entries are asked for

    @property
    def is_wanted(self) -> bool:
        """Whether the subscriber is in the channel, as it was when it asked."""
        return self.subscriber.positions.get(self.key) is self.position


class StreamHub(Engine):
    """The hub of ``kind="streams"``: a reader for all channels, and pages for subscribers that are behind."""

    has_cursors = True

    def __init__(self, settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(**engine)
        self._subscribers = Subscribers(settings, naming, self.announce)
        self._channels = ChannelReader(self, self._subscribers, settings)
        self._joinings: list[StreamJoin] = []  # whose callers wait
        if self.owners is None:
            self._channels.begin()
        self._pages: Pages = QueuedPages(self) if self.owners is None else SlotPages(self)

    @property
    def label(self) -> str:
        """The name of the engine in messages."""
        return "Channels"

    @property
    def is_ready(self) -> bool:
        """Whether both links are up, or have been; in a cluster, whether its nodes are known: links come with channels."""
        owners = self.owners
        return self._channels.is_ready if owners is None else bool(owners.primaries)

    @property
    def subscribers(self) -> Subscribers:
        """The subscribers of the hub and their channels."""
        return self._subscribers

    @property
    def title(self) -> str:
        """The label alone: there may be thousands of channels."""
        return self.label

    # -- the application's side ---------------------------------------------------------------------------------------

    @property
    def patience(self) -> float:
        """Seconds within which joining ends."""
        return self.options.request_timeout

    def join(
        self,
        subscriber: Subscriber,
        channels: Name | Iterable[Name],
        history: int = 0,
        after: Id | None = None,
    ) -> StreamJoin:
        """Give a subscriber the messages of channels, behind the last ``history`` messages, or all ``after`` an id."""
        self.check()
        positive("history", history, zero=True)
        if after is not None and history:
            raise InvalidArgument("give history or after, not both: an id says where to begin")
        cursor = ZERO if after is None else parsed("after", after)
        keys = self._subscribers.naming.keys(channels)
        others = [
            other for other in self._joinings if other.subscriber is subscriber and not other.waiting.isdisjoint(keys)
        ]
        joining = StreamJoin(subscriber, history, self._subscribers.new_to(subscriber, keys), others)
        self._joinings.append(joining)
        for key in joining.keys:
            position = self._subscribers.enter(subscriber, key, cursor)
            topic = self._channels.open(key)
            query = PositionQuery(subscriber, key, position, joining, topic.reached, subscriber.page)
            if after is None:  # one entry at least: its counters tell the end, an empty reply would not
                self._ask(query, ("XREVRANGE", key, "+", "-", "COUNT", max(history, 1)), self._take_history)
            else:
                position.added = 0 if cursor == ZERO else None  # from the very beginning: all that is missing counts
                self._ask_for_page(query)
        return joining

    def end(self, joining: StreamJoin) -> None:
        """End the wait for a join; channels of an unfinished join are left."""
        self._joinings.remove(joining)
        if not joining.done:
            self._leave(joining.subscriber, [key for key in joining.keys if key in joining.subscriber.positions])

    def leave(self, subscriber: Subscriber, channels: Name | Iterable[Name] | None = None) -> None:
        """Take a subscriber out of some channels; None: all."""
        self._leave(subscriber, self._subscribers.chosen(subscriber, channels))

    def close_subscriber(self, subscriber: Subscriber) -> None:
        """Close a subscriber and leave its channels; closing again does nothing."""
        self.leave(subscriber)
        self._subscribers.close(subscriber)

    def take_for(self, subscriber: Subscriber, *, events: bool = False) -> list[Item]:
        """Take the next items of a subscriber, none where none has arrived. Raises the error that ended the engine."""
        found = self._subscribers.take(subscriber, self.check, events=events)
        for key, position in subscriber.lagging():
            self.catch_up(subscriber, key, position)
        return found

    def _leave(self, subscriber: Subscriber, keys: Iterable[bytes]) -> None:
        for key in keys:
            if self._subscribers.leave(subscriber, key):
                self._unfollow(key)

    def _unfollow(self, key: bytes) -> None:
        self._channels.unfollow(key)
        self._pages.leave(key)

    def expel(self, key: bytes, error: Exception) -> None:
        """End an unreadable channel: its subscribers are told, and leave it; all other channels go on."""
        error = self._named(key, error)
        joinings = [joining for joining in self._joinings if key in joining.waiting]
        for joining in joinings:
            joining.fail(error)
        staying = [
            subscriber
            for subscriber in self._subscribers.of(key)
            if all(joining.subscriber is not subscriber for joining in joinings)
        ]
        for subscriber in staying:
            self._subscribers.expel(subscriber, key, copy(error))
        if staying:
            self.announce(ChannelEnded(key, error))
        if not joinings:
            self._unfollow(key)

    def _named(self, key: bytes, error: Exception) -> Exception:
        """Add the channel's name to a server's error."""
        return (
            about(error, "channel", self._subscribers.naming.channel(key)) if isinstance(error, ReplyError) else error
        )

    # -- the hub of the reader ----------------------------------------------------------------------------------------

    def announce(self, event: Event) -> None:
        """Emit an event to the application, but not to subscribers."""
        super()._emit(event)

    def tell_all(self, event: Event) -> None:
        """Emit an event to the application and to all subscribers."""
        super()._emit(event)
        self._subscribers.tell(event)

    def _emit(self, event: Event) -> None:
        self.tell_all(event)

    def wait_for_link(self) -> Steps[None]:
        """Wait for the link of the pages, so that the hub is ready."""
        while not (self.is_ready or self._pages.is_up):
            yield WAIT

    def queue_is_up(self) -> None:
        """Have the reader go on that waits for the link of the pages."""
        self._channels.wake()

    # -- where a subscriber stands ------------------------------------------------------------------------------------

    def catch_up(self, subscriber: Subscriber, key: bytes, position: Position) -> None:
        """Ask for the entries that a subscriber has missed, if it has room for them."""
        if not (position.live or position.asking or self.closed) and subscriber.wants_more:
            self._ask_for_page(
                PositionQuery(subscriber, key, position, None, self._channels.topics[key].reached, subscriber.page)
            )

    def _ask_for_page(self, query: PositionQuery) -> None:
        """Ask for the entries behind the cursor, and the entry at it (XRANGE): while that is there, none was lost."""
        self._ask(
            query, ("XRANGE", query.key, bytes(query.position.cursor), "+", "COUNT", query.page + 1), self._take_page
        )

    def _take_history(self, query: PositionQuery, request: Request) -> None:
        """Hand over the history (XREVRANGE): the subscriber joins behind it."""
        if (answer := self._parse_answer(query, request)) is None:
            return
        history, entries = answer
        joining, position = query.joining, query.position
        assert joining is not None
        self._hand(query, entries[: joining.history][::-1])
        position.goto(history.last, history.added)
        position.joined = history.last
        if entries[: joining.history]:
            position.began = StreamId.parse(entries[: joining.history][-1][0]).before()
        else:
            position.began = history.last
        self._move(query, at_the_end=True)

    def _take_page(self, query: PositionQuery, request: Request) -> None:
        """Hand over a page of entries behind the cursor, with the gap in front of it, if any."""
        if (answer := self._parse_answer(query, request)) is None:
            return
        history, entries = answer
        position = query.position
        self._check_reader(query, history)
        continuity = Continuity(query.key, position.cursor, position.added)
        at = entries[:1] if entries and StreamId.parse(entries[0][0]) == position.cursor else []
        entries = entries[len(at) :]
        if continuity.anchor() is not None:
            continuity.is_proven(at)
        found = continuity.judge(history)
        if query.joining is not None and isinstance(found, StreamReset) and not history.added:
            found = Gap(query.key, position.cursor, None, None)  # it is gone, with an unknown number of entries
        if found is not None:
            self._channels.tell(found, [query.subscriber])
        if history.last < position.cursor:
            position.restart(history.removed)
            self._move(query, at_the_end=not history.length)
            if position.live:
                position.added = None  # from here on the reader knows
            return
        self._hand(query, entries)
        at_the_end = len(entries) < query.page
        if at_the_end:
            position.goto(history.last, history.added)
        else:
            continuity.received(entries)
            position.goto(continuity.cursor, continuity.added)
        position.paged = position.cursor
        self._move(query, at_the_end=at_the_end)

    def _check_reader(self, query: PositionQuery, history: History) -> None:
        """Restart the reader in a stream that ends before it: the stream has begun anew, perhaps unnoticed."""
        cursor = self._channels.cursor(query.key)
        if query.reached is None or history.last >= query.reached or cursor is None or cursor.continuity is None:
            return
        if cursor.continuity.cursor == query.reached:
            self._channels.emit(StreamReset(query.key, query.reached, history.last))
            self._channels.restart(cursor)
            cursor.continuity.begin(history)

    def _hand(self, query: PositionQuery, entries: list[Any]) -> None:
        naming = self._subscribers.naming
        query.subscriber.add_page(naming.messages(naming.channel(query.key), entries))

    def _move(self, query: PositionQuery, *, at_the_end: bool) -> None:
        """Move a subscriber to its new position: live where the reader is, else the next page is due."""
        subscriber, key, position, joining, *_ = query
        topic = self._channels.topics[key]
        if topic.reached is None and at_the_end:
            self._channels.follow(key, position)
        position.live = topic.reached is not None and position.cursor >= topic.reached
        if joining is not None:
            joining.place(key)
        self.catch_up(subscriber, key, position)

    # -- asking -------------------------------------------------------------------------------------------------------

    def _ask(
        self, query: PositionQuery, command: tuple[Argument, ...], then: Callable[[PositionQuery, Request], None]
    ) -> None:
        """Ask for entries of a channel, with its counters and its time to live (XINFO STREAM, PTTL)."""
        query.position.asking = True
        commands: list[Command[Any]] = [
            Command(("XINFO", "STREAM", query.key), History.of, _ABOUT),
            Command(("PTTL", query.key), int, READ),
            Command(command, messages_in, READ),
        ]
        self._pages.ask(query, commands, partial(then, query))
        self.on_wakeup()

    def _parse_answer(self, query: PositionQuery, request: Request) -> tuple[History, list[Any]] | None:
        """Parse the reply to a query; None where the subscriber has left the channel, or the query has failed."""
        subscriber, key, position, joining, *_ = query
        position.asking = False
        if not query.is_wanted:
            return None
        try:
            info, left, entries = request.answers()
            missing = isinstance(info, ReplyError) and info.code == "ERR"
            history: Any = History() if missing else info
            for answer in (history, left, entries):
                if isinstance(answer, Exception):
                    raise answer
        except StreamcoreError as raised:
            error = raised.__cause__ if isinstance(raised.__cause__, ReplyError) else raised  # why EXEC was refused
            if joining is not None:
                joining.fail(self._named(key, error))
            elif isinstance(error, ReplyError) and error.code in UNAVAILABLE:
                self._pages.refuse(key, error)
            elif not isinstance(error, ConnectionLost):
                self.expel(key, error)
            subscriber.has_news = True
            return None  # the query is repeated when the subscriber looks for more
        if not missing:  # else the reader needs the time that was known before
            self._channels.topics[key].expires = self._clock.now + left / 1000 if left >= 0 else None
        return history, entries

    def why_not(self, joining: StreamJoin) -> Exception:
        """Make the error of a join that has not ended in time."""
        trouble = self._pages.trouble(sorted(joining.waiting))
        return joining.error or RequestTimeout(f"no answer within {self.patience:g} s{because(trouble)}")

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self._pages.finish_all(f"the channels were closed{because(error)}")
