"""Channels on an async runtime: publish, look back, and any number of subscribers of a shared reader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from streamcore.arguments import Name, Seconds, seconds
from streamcore.channels import ChannelMessage, ChannelsKind, Hub, Publisher, Subscriber
from streamcore.commands import Command, unlink
from streamcore.commands.ids import Id
from streamcore.entries import StreamId
from streamcore.errors import ConnectionLost, StreamcoreError
from streamcore.events import Event
from streamcore.process_bound import ProcessBound
from streamcore.requests import Multiplexer
from streamcore.resp3 import Argument

from ..lifecycle import SoleUse, all_done
from ..settings import gathered, raised_together
from ..subscribing import ChannelItems
from .lifecycle import Running, submit

T = TypeVar("T", bytes, str)


class ChannelSubscriber(ProcessBound, ChannelItems, Generic[T]):
    """A subscriber: ``async for message in subscriber``. Its messages belong to a single task at a time.

    The iteration waits, also while nothing is subscribed to, until it is closed: then it raises ``ClosedError``.
    """

    _instead = "open another one where it is needed"

    def __init__(
        self,
        hub: Hub,
        running: Running,
        subscriber: Subscriber,
        *,
        channels: Name | Iterable[Name] = (),
        options: Any = None,
    ) -> None:
        super().__init__(hub, subscriber)
        self._running = running
        self._first = channels
        self._options: dict[str, Any] = options or {}
        self._sole_use = SoleUse()

    async def __aenter__(self) -> Self:
        try:
            await self.subscribe(self._first, **self._options)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave all channels; the others on the same reader go on. Again does nothing."""
        self._forget()
        self._running.call(partial(self._hub.close_subscriber, self._subscriber))
        self._running.soon(_nothing)  # a call that waits here is told

    # -- which channels it is in --------------------------------------------------------------------------------------

    @property
    def subscriptions(self) -> frozenset[T]:
        """The channels that it is in."""
        return self._running.call(partial(self._hub.subscribers.channels, self._subscriber))

    def cursor(self) -> dict[T, StreamId]:
        """For each channel the id of the last message handed over, or behind which it began: to go on ``after`` it.

        With ``kind="pubsub"`` there is none.
        """
        if not self._hub.has_cursors:
            return {}
        cursor: dict[Any, StreamId] = self._running.call(partial(self._hub.subscribers.beginnings, self._subscriber))
        for channel, message in self._last.items():
            if message.id is not None and channel in cursor:
                cursor[channel] = message.id
        return cursor

    @property
    def dropped(self) -> int:
        """How many messages were dropped because it was too slow (``kind="pubsub"``)."""
        return self._subscriber.dropped

    async def subscribe(self, channels: Name | Iterable[Name], *, history: int = 0, after: Id | None = None) -> None:
        """Get the messages of channels from now on; channels that it is in already stay as they are.

        ``history``: the last messages of each come first, up to so many. ``after``: everything behind the message with that
        id, to go on from there; messages that were trimmed away meanwhile are a ``Gap``. Raises the server's error,
        ``RequestTimeout`` or ``ConnectionLost``; nothing of the call remains then.
        """
        hub, driver = self._hub, self._running.driver
        joining = driver.call(partial(hub.join, self._subscriber, gathered(channels), history, after))
        try:
            if not await driver.until(partial(all_done, hub, joining), hub.patience):
                raise hub.why_not(joining)
        finally:
            self._running.call(partial(hub.end, joining))

    async def unsubscribe(self, channels: Name | Iterable[Name] | None = None) -> None:
        """Leave channels, by default all: nothing more of them is handed over. Never waits for the server."""
        chosen = None if channels is None else gathered(channels)
        self._running.call(partial(self._hub.leave, self._subscriber, chosen))
        self._keep_only(self.subscriptions)

    # -- messages -----------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChannelMessage[T]:
        for item in self._items:
            if type(item) is ChannelMessage:
                self._last[item.channel] = item
                return item
        return cast("ChannelMessage[T]", await self._next(None))

    async def get(self, timeout: Seconds | None = None) -> ChannelMessage[T] | None:  # noqa: ASYNC109  # 0 polls
        """The next message; None when ``timeout`` seconds pass first. A timeout of None waits, 0 only looks."""
        return await self._next(None if timeout is None else seconds("timeout", timeout, zero=True))

    def with_events(self) -> AsyncIterator[ChannelMessage[T] | Event]:
        """Iterate over messages, and over the events between them: gaps and drops in their places, others as they happen.

        Each event comes once, in this way; ``on_event`` hears of it, too.
        """
        return _WithEvents(self)

    async def _next(self, within: float | None) -> ChannelMessage[T] | None:
        ask = partial(self._hub.take_for, self._subscriber)
        while True:
            for item in self._items:
                if type(item) is ChannelMessage:
                    self._last[item.channel] = item
                    return item
            if not await self._fetch(ask, within):
                return None

    async def _next_with_events(self) -> ChannelMessage[T] | Event:
        ask = partial(self._hub.take_for, self._subscriber, events=True)
        while True:
            for item in self._items:
                if type(item) is ChannelMessage:
                    self._last[item.channel] = item
                return cast("ChannelMessage[T] | Event", item)
            await self._fetch(ask, None)

    async def _fetch(self, ask: Callable[[], Any], within: float | None) -> Any:
        """Fetch the items of the engine into ``_items``; false when ``within`` seconds have passed first."""
        running, keep = self._running, partial(self._keep, ask)
        driver = running.driver  # async
        # threads: running.check()
        with self._sole_use(), running.telling_events():
            await driver.checkpoint()  # async: once for each piece, others shall run
            if self._is_taking:
                gaps = running.call(partial(self._hub.subscribers.doubt, self.cursor()))
                self._items, self._is_taking = chain(gaps, self._items), False
            found = await running.wait(keep, within, self._is_worth_it)  # async
            # threads: found = running.wait(keep, within)
            running.tell_events()  # it may raise: what was taken is kept for the next call
        return found


class Channels(ChannelSubscriber[T], Generic[T]):
    """Channels of a prefix: the hub of all their subscribers here, and its own first subscriber."""

    def __init__(self, engine: Any, running: Running, publisher: Publisher, client: Running) -> None:
        self._client = client
        self._publisher = publisher
        super().__init__(engine, running, engine.subscribers.first)

    async def __aenter__(self) -> Self:
        await self._running.open()
        return self

    async def aclose(self) -> None:
        """Close the reader, with all subscribers. Publishing, and looking back, need nothing but the client."""
        self._forget()
        await self._running.close()

    def subscriber(
        self,
        channels: Name | Iterable[Name] = (),
        *,
        history: int = 0,
        after: Id | None = None,
        queue_size: int | None = None,
        queue_bytes: int | None = None,
    ) -> ChannelSubscriber[T]:
        """Another subscriber of the same reader, with cursors of its own, to be entered by ``async with``.

        ``history`` and ``after`` go to ``subscribe``, which entering calls. ``queue_size`` messages or ``queue_bytes``
        wait for this subscriber, by default as many as for all.
        """
        self._running.check_open()
        options = {"history": history, "after": after}
        subscriber = self._running.driver.call(partial(self._hub.subscribers.open, queue_size, queue_bytes))
        return ChannelSubscriber(self._hub, self._running, subscriber, channels=channels, options=options)

    @property
    def kind(self) -> ChannelsKind:
        """The kind of the channels on the server: ``"streams"``, or ``"pubsub"``."""
        return self._publisher.kind

    def key(self, channel: Name) -> bytes:
        """The key of a channel, or with ``kind="pubsub"`` its channel on the server."""
        return self._publisher.key(channel)

    async def publish(
        self,
        data: Argument,
        channels: Name | Iterable[Name],
        *,
        timeout: Seconds | None = None,  # noqa: ASYNC109  # for so long it is tried again
    ) -> list[StreamId | None]:
        """Publish in a channel or several, in all of them at once; the message's id in each, None with ``kind="pubsub"``.

        A stream gets it once, however often the connection is lost meanwhile. It is tried for as long as the request timeout,
        or for ``timeout`` seconds, rounded up to a multiple of that; then ``ConnectionLost`` or ``RequestTimeout`` is raised. With
        ``kind="pubsub"`` a message that may have been sent is not sent again. Nothing but the client need be open.
        """
        publisher = self._publishing
        commands = publisher.publications(data, channels)
        if not commands:
            return []
        for _ in range(publisher.rounds(timeout) - 1):
            try:
                return publisher.published(await submit(self._client, commands, publisher.publish))
            except StreamcoreError as error:
                commands = publisher.again(commands, error)
        return publisher.published(await submit(self._client, commands, publisher.publish))

    async def get_history(self, channel: Name, limit: int | None = None) -> list[ChannelMessage[T]]:
        """The last messages of a channel, oldest first, at most ``limit`` of them, by default as many as ``history`` says."""
        request = await submit(self._client, [self._publishing.history(channel, limit)])
        return cast("list[ChannelMessage[T]]", request.answer())

    async def pipeline(self, asked: Iterable[Command[Any]]) -> list[Any]:
        """Run commands over the client, in one write; about the ``key`` of a channel, say. A ``ReplyError`` stands in its place."""
        listed = list(asked)
        return (await submit(self._client, listed)).answers() if listed else []

    async def flush_all(self) -> int:
        """Delete all streams of this prefix, and no others; how many there were. Subscribers go on with later messages.

        In a cluster at all primaries in turn. Where slots get another owner meanwhile, streams may be left: ``KeysMoved`` tells that.
        """
        if not self._publisher.has_history:
            return 0
        self._client.check_open()
        deleted, engine = 0, self._publishing.requests
        tour = engine.tour()
        while (node := tour.next()) is not None:
            at, cursor, begun = engine.at(node), 0, False
            while cursor or not begun:
                begun = True
                try:
                    page = (await submit(self._client, [self._publisher.scan(cursor)], at.submit)).answer()
                except ConnectionLost:
                    if not tour.has_left(node):
                        raise
                    break
                if page.keys:  # a command for each: they are in many slots
                    unlinked = await submit(self._client, [unlink(key) for key in page.keys])
                    deleted += sum(raised_together(unlinked.answers(), wanted=True))
                cursor = page.cursor
        self._client.call(tour.finish)
        return deleted

    @property
    def _publishing(self) -> Publisher:
        """The publisher, over the present engine of the client: entering it may have found a cluster."""
        self._publisher.requests = cast(Multiplexer, self._client.engine)
        return self._publisher


class _WithEvents(Generic[T]):
    _subscriber: ChannelSubscriber[T]

    def __init__(self, subscriber: ChannelSubscriber[T]) -> None:
        self._subscriber = subscriber

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChannelMessage[T] | Event:
        return await self._subscriber._next_with_events()  # noqa: SLF001  # its other half


def _nothing() -> None:
    """All that wait look again."""
