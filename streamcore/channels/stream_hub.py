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
from ..requests.queue import Line, because
from ..resp3 import Argument
from ..stream_id import ZERO
from .message import Naming, messages_in
from .options import Settings
from .publisher import PatientTransaction
from .stream_reader import Tail
from .subscriber import Inbox, Item, Position

_ABOUT: Final = Traits(keys=slice(2, 3), repeatable=True)


class Joining:
    """Channels that a subscriber joins; done when it is known where it stands in each of them."""

    def __init__(self, inbox: Inbox, history: int) -> None:
        self.inbox = inbox
        self.history = history
        self.keys: list[bytes] = []
        self.waiting: set[bytes] = set()
        self.others: list[Joining] = []  # calls that want some of the same, and came before this one
        self.error: Exception | None = None

    def poll(self) -> bool:
        """Whether it is done. Raises why it cannot be."""
        if self.error is not None:
            raise self.error
        return not self.waiting and all(map(Joining.poll, self.others))


class Asked(NamedTuple):
    """Whose place in which channel an answer is about; ``joining``: the call that waits for it, if any."""

    inbox: Inbox
    key: bytes
    position: Position
    joining: Joining | None
    reached: StreamId | None  # where the reader was
    page: int  # how many entries are asked for


class StreamHub(Tail):
    """The hub of ``kind="streams"``."""

    has_cursors = True

    def __init__(self, settings: Settings, naming: Naming, **engine: Unpack[EngineOptions]) -> None:
        super().__init__(settings, naming, **engine)
        self._joinings: list[Joining] = []  # that somebody waits for
        self._line = Line(self)
        self._line.link.open()  # the first one who joins shall not wait for it: messages may come meanwhile

    @property
    def label(self) -> str:
        """What messages call it."""
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
        inbox: Inbox,
        channels: Name | Iterable[Name],
        history: int = 0,
        after: Id | None = None,
    ) -> Joining:
        """Have a subscriber get what is published from now on, behind the last ``history`` messages, or all ``after`` an id."""
        self.check()
        joining = Joining(inbox, positive("history", history, zero=True))
        if after is not None and history:
            raise InvalidArgument("give history or after, not both: an id says where to begin")
        cursor = ZERO if after is None else parsed("after", after)
        keys = self._subscribers.naming.keys(channels)
        joining.others = [
            other for other in self._joinings if other.inbox is inbox and not other.waiting.isdisjoint(keys)
        ]
        self._joinings.append(joining)
        for key in self._subscribers.new_to(inbox, keys):
            position = self._subscribers.enter(inbox, key, cursor)
            joining.keys.append(key)
            joining.waiting.add(key)
            self._open(key)
            asked = Asked(inbox, key, position, joining, self._topics[key].reached, inbox.page)
            if after is None:  # one entry at least: where the end is, is told by its counters, and not by nothing
                self._ask(asked, ("XREVRANGE", key, "+", "-", "COUNT", max(history, 1)), self._looked_back)
            else:
                position.added = 0 if cursor == ZERO else None  # from the very beginning: all that is missing counts
                self._ask_for_page(asked)
        return joining

    def end(self, joining: Joining) -> None:
        """Nobody waits any more; what is not done is taken back."""
        self._joinings.remove(joining)
        if joining.error is not None or joining.waiting:
            self._leave(joining.inbox, [key for key in joining.keys if key in joining.inbox.positions])

    def leave(self, inbox: Inbox, channels: Name | Iterable[Name] | None = None) -> None:
        """Have a subscriber get nothing more of some channels; None: of all."""
        self._leave(inbox, self._subscribers.chosen(inbox, channels))

    def close_inbox(self, inbox: Inbox) -> None:
        """A subscriber has gone; again does nothing."""
        self.leave(inbox)
        self._subscribers.close(inbox)

    def take_for(self, inbox: Inbox, *, events: bool = False) -> list[Item]:
        """What is next for a subscriber, none where nothing is. Raises what ended the engine."""
        found = self._subscribers.take(inbox, self.check, events=events)
        for key, position in inbox.positions.items():
            self._catch_up(inbox, key, position)
        return found

    def _leave(self, inbox: Inbox, keys: Iterable[bytes]) -> None:
        for key in keys:
            if self._subscribers.leave(inbox, key):
                self._unfollow(key)

    def _expel(self, key: bytes, error: Exception) -> None:
        """A channel cannot be read: whoever is in it is told, and in it no more; all others go on."""
        error = self._named(key, error)
        joinings = [one for one in self._joinings if key in one.waiting]
        for joining in joinings:
            joining.error = joining.error or error
        staying = [inbox for inbox in self._subscribers.of(key) if all(one.inbox is not inbox for one in joinings)]
        for inbox in staying:
            self._subscribers.expel(inbox, key, copy(error))
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
        while not (self.is_ready or self._line.link.is_up):
            yield WAIT

    # -- where a subscriber stands ------------------------------------------------------------------------------------

    def _catch_up(self, inbox: Inbox, key: bytes, position: Position) -> None:
        """Ask for what a subscriber has missed, if it has, and has room for it."""
        if not (position.live or position.asking or self.closed) and inbox.wants_more:
            self._ask_for_page(Asked(inbox, key, position, None, self._topics[key].reached, inbox.page))

    def _ask_for_page(self, asked: Asked) -> None:
        """What follows the cursor, and the entry at it: while that is there, nothing behind it was lost."""
        self._ask(asked, ("XRANGE", asked.key, bytes(asked.position.cursor), "+", "COUNT", asked.page + 1), self._page)

    def _looked_back(self, asked: Asked, request: Request) -> None:
        """The last messages are here: the subscriber joins behind them."""
        if (answer := self._answer_of(asked, request)) is None:
            return
        history, entries = answer
        joining, position = asked.joining, asked.position
        assert joining is not None
        self._hand(asked, entries[: joining.history][::-1])
        position.goto(history.last, history.added)
        position.joined = history.last
        if entries[: joining.history]:
            position.began = StreamId.parse(entries[: joining.history][-1][0]).before()
        else:
            position.began = history.last
        self._has_come(asked, at_the_end=True)

    def _page(self, asked: Asked, request: Request) -> None:
        """What follows the cursor is here, or a part of it."""
        if (answer := self._answer_of(asked, request)) is None:
            return
        history, entries = answer
        position = asked.position
        self._check_reader(asked, history)
        continuity = Continuity(asked.key, position.cursor, position.added)
        at = entries[:1] if entries and StreamId.parse(entries[0][0]) == position.cursor else []
        entries = entries[len(at) :]
        if continuity.anchor() is not None:
            continuity.is_proven(at)
        found = continuity.judge(history)
        if asked.joining is not None and isinstance(found, StreamReset) and not history.added:
            found = Gap(asked.key, position.cursor, None, None)  # it is gone, and nobody knows what it had
        if found is not None:
            self._tell(found, [asked.inbox])
        if history.last < position.cursor:
            position.restart(history.removed)
            self._has_come(asked, at_the_end=not history.length)
            if position.live:
                position.added = None  # from here on the reader knows
            return
        self._hand(asked, entries)
        at_the_end = len(entries) < asked.page
        if at_the_end:
            position.goto(history.last, history.added)
        else:
            continuity.received(entries)
            position.goto(continuity.cursor, continuity.added)
        position.paged = position.cursor
        self._has_come(asked, at_the_end=at_the_end)

    def _check_reader(self, asked: Asked, history: History) -> None:
        """A stream that ends before where the reader was already has begun anew, and the reader may not have noticed."""
        followed = self._streams.get(asked.key)
        if asked.reached is None or history.last >= asked.reached or followed is None or followed.continuity is None:
            return
        if followed.continuity.cursor == asked.reached:
            self.emit(StreamReset(asked.key, asked.reached, history.last))
            self.restart(followed)
            followed.continuity.begin(history)

    def _hand(self, asked: Asked, entries: list[Any]) -> None:
        naming = self._subscribers.naming
        asked.inbox.add_page(naming.messages(naming.channel(asked.key), entries))

    def _has_come(self, asked: Asked, *, at_the_end: bool) -> None:
        """A subscriber has come to another place: that may be where the reader is, or where it is to begin."""
        inbox, key, position, joining, *_ = asked
        topic = self._topics[key]
        if topic.reached is None and at_the_end:
            self._follow(key, position)
        position.live = topic.reached is not None and position.cursor >= topic.reached
        if joining is not None:
            joining.waiting.discard(key)
        self._catch_up(inbox, key, position)

    # -- asking -------------------------------------------------------------------------------------------------------

    def _ask(self, asked: Asked, command: tuple[Argument, ...], then: Callable[[Asked, Request], None]) -> None:
        """Ask for entries of a channel, with the counters of the server and the time that the channel has left."""
        asked.position.asking = True
        commands: list[Command[Any]] = [
            Command(("XINFO", "STREAM", asked.key), History.of, _ABOUT),
            Command(("PTTL", asked.key), int, READ),
            Command(command, messages_in, READ),
        ]
        self._line.submit(PatientTransaction(commands, partial(then, asked), self.options.request_timeout))
        self.on_wakeup()

    def _answer_of(self, asked: Asked, request: Request) -> tuple[History, list[Any]] | None:
        """What the server has answered; None where nobody wants to know any more, or there is nothing to know."""
        inbox, key, position, joining, *_ = asked
        position.asking = False
        if inbox.positions.get(key) is not position:
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
                self._line.link.drop(error)
            elif not isinstance(error, ConnectionLost):
                self._expel(key, error)
            inbox.has_news = True
            return None  # whatever it is, it is asked again when the subscriber looks for more
        if not missing:  # else what was known about its end is what the reader needs to know
            self._topics[key].expires = self._clock.now + left / 1000 if left >= 0 else None
        return history, entries

    def why_not(self, joining: Joining) -> Exception:
        """Why joining has not come to an end in time."""
        return joining.error or RequestTimeout(f"no answer within {self.patience:g} s{because(self._line.link.error)}")

    # -- what the line asks -------------------------------------------------------------------------------------------

    def new_line_link(self, line: Line) -> Link:
        """The link beside the reader's."""
        return self.new_link(line, "history")

    def new_witness_link(self, witness: Owner) -> Link:
        """A link that exists while the one beside the reader's is in doubt."""
        return self.new_link(witness, "witness")

    def line_up(self, line: Line, *, again: bool) -> None:
        self._reading.wake()
        self.report_up(line.link, again=again)

    def line_down(self, line: Line, error: Exception, *, was_up: bool) -> None:
        self.report_down(line.link, error, was_up=was_up)

    def lost(self, error: Exception) -> ConnectionLost:
        """The error of a question whose answer will not come; it is harmless to ask again."""
        return ConnectionLost(f"the reply was lost: {error}", sent=True)

    def late(self, why: str) -> StreamcoreError:
        """The error of a question that is not answered in time."""
        return RequestTimeout(why)

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self._line.finish_all(f"the channels were closed{because(error)}")

    # -- time ---------------------------------------------------------------------------------------------------------

    def _timer(self) -> float | None:
        due, at = super()._timer(), self._line.timer()
        return due if at is None or (due is not None and due < at) else at

    def _elapse(self, now: float) -> None:
        self._line.elapse(now)
        super()._elapse(now)
