"""Channels that are streams: one reader for all subscribers, and for each of them a cursor per channel.

Whoever joins, resumes, or has been too slow is *behind*: it asks for what follows its cursor, page by page, over a link
beside the reader's. It is live once a page has brought it to the end, or to where the reader is; from there on the reader
brings what comes. As each keeps its own cursor nothing is lost or seen twice on the way, and none waits for another.

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
from ..connection.link import Link, Owner
from ..engine.engine import EngineOptions
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
from ..events import ChannelEnded, Gap, StreamReset
from ..reading.continuity import Continuity
from ..reading.stream_history import History
from ..requests import Request
from ..requests.queue import RequestQueue, because
from ..resp3 import Argument
from ..stream_id import ZERO
from .message import Naming, messages_in
from .options import Settings
from .publisher import PatientTransaction
from .stream_reader import StreamReader
from .subscriber import Item, Position, Subscriber

_ABOUT: Final = Traits(keys=slice(2, 3), repeatable=True)


class StreamJoin:
    """Channels that a subscriber joins; done when it is known where it stands in each of them."""

    def __init__(self, subscriber: Subscriber, history: int) -> None:
        self.subscriber = subscriber
        self.history = history
        self.keys: list[bytes] = []
        self.waiting: set[bytes] = set()
        self.others: list[StreamJoin] = []  # calls that want some of the same, and came before this one
        self.error: Exception | None = None

    def poll(self) -> bool:
        """Whether it is done. Raises why it cannot be."""
        if self.error is not None:
            raise self.error
        return not self.waiting and all(map(StreamJoin.poll, self.others))


class PositionQuery(NamedTuple):
    """Whose place in which channel an answer is about; ``joining``: the call that waits for it, if any."""

    subscriber: Subscriber
    key: bytes
    position: Position
    joining: StreamJoin | None
    reached: StreamId | None  # where the reader was
    page: int  # how many entries are asked for


class StreamHub(StreamReader):
    """The hub of ``kind="streams"``."""

    has_cursors = True

    def __init__(self, settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(settings, naming, **engine)
        self._joinings: list[StreamJoin] = []  # that somebody waits for
        self._queue = RequestQueue(self)
        self._queue.link.open()  # the first one who joins shall not wait for it: messages may come meanwhile

    @property
    def label(self) -> str:
        """The name of the engine in messages."""
        return "Channels"

    @property
    def title(self) -> str:
        """The same: there may be thousands."""
        return self.label

    # -- the application's side ---------------------------------------------------------------------------------------

    @property
    def patience(self) -> float:
        """Seconds within which joining ends, whatever happens."""
        return self.options.request_timeout

    def join(
        self,
        subscriber: Subscriber,
        channels: Name | Iterable[Name],
        history: int = 0,
        after: Id | None = None,
    ) -> StreamJoin:
        """Have a subscriber get what is published from now on, behind the last ``history`` messages, or all ``after`` an id."""
        self.check()
        joining = StreamJoin(subscriber, positive("history", history, zero=True))
        if after is not None and history:
            raise InvalidArgument("give history or after, not both: an id says where to begin")
        cursor = ZERO if after is None else parsed("after", after)
        keys = self._subscribers.naming.keys(channels)
        joining.others = [
            other for other in self._joinings if other.subscriber is subscriber and not other.waiting.isdisjoint(keys)
        ]
        self._joinings.append(joining)
        for key in self._subscribers.new_to(subscriber, keys):
            position = self._subscribers.enter(subscriber, key, cursor)
            joining.keys.append(key)
            joining.waiting.add(key)
            self._open(key)
            query = PositionQuery(subscriber, key, position, joining, self._topics[key].reached, subscriber.page)
            if after is None:  # one entry at least: where the end is, is told by its counters, and not by nothing
                self._ask(query, ("XREVRANGE", key, "+", "-", "COUNT", max(history, 1)), self._looked_back)
            else:
                position.added = 0 if cursor == ZERO else None  # from the very beginning: all that is missing counts
                self._ask_for_page(query)
        return joining

    def end(self, joining: StreamJoin) -> None:
        """Nobody waits any more; what is not done is taken back."""
        self._joinings.remove(joining)
        if joining.error is not None or joining.waiting:
            self._leave(joining.subscriber, [key for key in joining.keys if key in joining.subscriber.positions])

    def leave(self, subscriber: Subscriber, channels: Name | Iterable[Name] | None = None) -> None:
        """Have a subscriber get nothing more of some channels; None: of all."""
        self._leave(subscriber, self._subscribers.chosen(subscriber, channels))

    def close_subscriber(self, subscriber: Subscriber) -> None:
        """A subscriber has gone; again does nothing."""
        self.leave(subscriber)
        self._subscribers.close(subscriber)

    def take_for(self, subscriber: Subscriber, *, events: bool = False) -> list[Item]:
        """What is next for a subscriber, none where nothing is. Raises what ended the engine."""
        found = self._subscribers.take(subscriber, self.check, events=events)
        for key, position in subscriber.positions.items():
            self._catch_up(subscriber, key, position)
        return found

    def _leave(self, subscriber: Subscriber, keys: Iterable[bytes]) -> None:
        for key in keys:
            if self._subscribers.leave(subscriber, key):
                self._unfollow(key)

    def _expel(self, key: bytes, error: Exception) -> None:
        """A channel cannot be read: whoever is in it is told, and in it no more; all others go on."""
        error = self._named(key, error)
        joinings = [one for one in self._joinings if key in one.waiting]
        for joining in joinings:
            joining.error = joining.error or error
        staying = [
            subscriber
            for subscriber in self._subscribers.of(key)
            if all(one.subscriber is not subscriber for one in joinings)
        ]
        for subscriber in staying:
            self._subscribers.expel(subscriber, key, copy(error))
        if staying:
            self._announce(ChannelEnded(key, error))
        if not joinings:
            self._unfollow(key)

    def _named(self, key: bytes, error: Exception) -> Exception:
        """The error of a channel says of which."""
        return (
            about(error, "channel", self._subscribers.naming.channel(key)) if isinstance(error, ReplyError) else error
        )

    def _enter(self) -> Steps[None]:
        """The hub is ready when both of its links are."""
        yield from super()._enter()
        while not (self.is_ready or self._queue.link.is_up):
            yield WAIT

    # -- where a subscriber stands ------------------------------------------------------------------------------------

    def _catch_up(self, subscriber: Subscriber, key: bytes, position: Position) -> None:
        """Ask for what a subscriber has missed, if it has, and has room for it."""
        if not (position.live or position.asking or self.closed) and subscriber.wants_more:
            self._ask_for_page(
                PositionQuery(subscriber, key, position, None, self._topics[key].reached, subscriber.page)
            )

    def _ask_for_page(self, query: PositionQuery) -> None:
        """What follows the cursor, and the entry at it: while that is there, nothing behind it was lost."""
        self._ask(query, ("XRANGE", query.key, bytes(query.position.cursor), "+", "COUNT", query.page + 1), self._page)

    def _looked_back(self, query: PositionQuery, request: Request) -> None:
        """The last messages are here: the subscriber joins behind them."""
        if (answer := self._answer_of(query, request)) is None:
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
        self._has_come(query, at_the_end=True)

    def _page(self, query: PositionQuery, request: Request) -> None:
        """What follows the cursor is here, or a part of it."""
        if (answer := self._answer_of(query, request)) is None:
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
            found = Gap(query.key, position.cursor, None, None)  # it is gone, and nobody knows what it had
        if found is not None:
            self._tell(found, [query.subscriber])
        if history.last < position.cursor:
            position.restart(history.removed)
            self._has_come(query, at_the_end=not history.length)
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
        self._has_come(query, at_the_end=at_the_end)

    def _check_reader(self, query: PositionQuery, history: History) -> None:
        """A stream that ends before where the reader was already has begun anew, and the reader may not have noticed."""
        cursor = self._streams.get(query.key)
        if query.reached is None or history.last >= query.reached or cursor is None or cursor.continuity is None:
            return
        if cursor.continuity.cursor == query.reached:
            self.emit(StreamReset(query.key, query.reached, history.last))
            self.restart(cursor)
            cursor.continuity.begin(history)

    def _hand(self, query: PositionQuery, entries: list[Any]) -> None:
        naming = self._subscribers.naming
        query.subscriber.add_page(naming.messages(naming.channel(query.key), entries))

    def _has_come(self, query: PositionQuery, *, at_the_end: bool) -> None:
        """A subscriber has come to another place: that may be where the reader is, or where it is to begin."""
        subscriber, key, position, joining, *_ = query
        topic = self._topics[key]
        if topic.reached is None and at_the_end:
            self._follow(key, position)
        position.live = topic.reached is not None and position.cursor >= topic.reached
        if joining is not None:
            joining.waiting.discard(key)
        self._catch_up(subscriber, key, position)

    # -- asking -------------------------------------------------------------------------------------------------------

    def _ask(
        self, query: PositionQuery, command: tuple[Argument, ...], then: Callable[[PositionQuery, Request], None]
    ) -> None:
        """Ask for entries of a channel, with the counters of the server and the time that the channel has left."""
        query.position.asking = True
        commands: list[Command[Any]] = [
            Command(("XINFO", "STREAM", query.key), History.of, _ABOUT),
            Command(("PTTL", query.key), int, READ),
            Command(command, messages_in, READ),
        ]
        self._queue.submit(PatientTransaction(commands, partial(then, query), self.options.request_timeout))
        self.on_wakeup()

    def _answer_of(self, query: PositionQuery, request: Request) -> tuple[History, list[Any]] | None:
        """What the server has answered; None where nobody wants to know any more, or there is nothing to know."""
        subscriber, key, position, joining, *_ = query
        position.asking = False
        if subscriber.positions.get(key) is not position:
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
                joining.error = joining.error or self._named(key, error)
            elif isinstance(error, ReplyError) and error.code in UNAVAILABLE:
                self._queue.link.drop(error)
            elif not isinstance(error, ConnectionLost):
                self._expel(key, error)
            subscriber.has_news = True
            return None  # whatever it is, it is asked again when the subscriber looks for more
        if not missing:  # else what was known about its end is what the reader needs to know
            self._topics[key].expires = self._clock.now + left / 1000 if left >= 0 else None
        return history, entries

    def why_not(self, joining: StreamJoin) -> Exception:
        """Why joining has not come to an end in time."""
        return joining.error or RequestTimeout(f"no answer within {self.patience:g} s{because(self._queue.link.error)}")

    # -- calls of the request queue -----------------------------------------------------------------------------------

    def new_queue_link(self, queue: RequestQueue) -> Link:
        """The link beside the reader's."""
        return self.new_link(queue, "history")

    def new_witness_link(self, witness: Owner) -> Link:
        """A link that exists while the one beside the reader's is in doubt."""
        return self.new_link(witness, "witness")

    def queue_up(self, queue: RequestQueue, *, again: bool) -> None:
        self._reading.wake()
        self.report_up(queue.link, again=again)

    def queue_down(self, queue: RequestQueue, error: Exception, *, was_up: bool) -> None:
        self.report_down(queue.link, error, was_up=was_up)

    def lost(self, error: Exception) -> ConnectionLost:
        """The error of a question whose answer will not come; it is harmless to ask again."""
        return ConnectionLost(f"the reply was lost: {error}", sent=True)

    def late(self, why: str) -> StreamcoreError:
        """The error of a question that is not answered in time."""
        return RequestTimeout(why)

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self._queue.finish_all(f"the channels were closed{because(error)}")

    # -- time ---------------------------------------------------------------------------------------------------------

    def _timer(self) -> float | None:
        due, at = super()._timer(), self._queue.timer()
        return due if at is None or (due is not None and due < at) else at

    def _elapse(self, now: float) -> None:
        self._queue.elapse(now)
        super()._elapse(now)
