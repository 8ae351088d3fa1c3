"""Subscribers on an async runtime: messages, and handlers, which run in turn in a task beside the user's.

In threads, with ``background=False``, there is no thread beside the user's: handlers run in the thread that waits for messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self

from streamcore.arguments import Name, Seconds, seconds
from streamcore.events import Event
from streamcore.process_bound import ProcessBound
from streamcore.pubsub import Handler, KeyEvent, Kind, Message, SubscriptionChange, Subscriptions, with_handlers
from streamcore.pubsub import PubSub as PubSubEngine

from ..handler_tasks import call_handler
from ..lifecycle import all_done
from ..runtime import AsyncDriver
from ..subscribing import MESSAGES, Messages, T, is_left, take, to_subscribe, unconfirmed
from ..telling import NEWS
from .lifecycle import Running

# threads: from ..handler_threads import Pump, run_handlers


class Subscriber(ProcessBound, Messages[T]):
    """The calls of all kinds of subscribers. Its messages belong to a single task at a time."""

    _instead = "open another one where it is needed"

    def __init__(self, engine: PubSubEngine[Any], running: Running) -> None:
        super().__init__(engine)
        self._running = running
        # threads: self._pump = None if running.background else Pump(engine, running, self._calls)

    async def __aenter__(self) -> Self:
        began = monotonic()
        await self._running.open(self._engine.subscription_timeout)
        try:
            self._start_handling()
            await self._settle(*self._engine.first, spent=monotonic() - began)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close; messages that were not handed over are gone."""
        self._forget()
        await self._running.close()

    # -- what it is subscribed to -------------------------------------------------------------------------------------

    @property
    def subscriptions(self) -> Subscriptions[T]:
        """The names that are desired, that the server has confirmed, and that it refuses, with its reason."""
        engine = self._engine
        return self._running.call(lambda: engine.subscriptions)

    @property
    def dropped(self) -> int:
        """How many messages were dropped because the application was too slow; see ``when_full``."""
        return self._engine.dropped

    async def _subscribe(
        self, kind: Kind, given: Iterable[Name | Mapping[Any, Handler[T]]], named: Mapping[str, Handler[T]]
    ) -> None:
        self._running.check_open()
        wanted = to_subscribe(kind, given, named)
        change = self._running.driver.call(partial(self._engine.subscribe, kind, wanted))
        self._start_handling()
        await self._settle(change)

    async def _unsubscribe(self, kind: Kind, given: Iterable[Name]) -> None:
        self._running.check_open()
        engine, driver = self._engine, self._running.driver
        unwanted = with_handlers(kind, given, {})
        change = driver.call(partial(engine.unsubscribe, kind, unwanted))
        try:
            if not engine.lazy:
                await driver.until(partial(all_done, engine, change), engine.unsubscription_timeout)
        finally:
            self._running.call(partial(engine.keep, change))

    async def _settle(self, *changes: SubscriptionChange, spent: float = 0.0) -> None:
        engine, driver = self._engine, self._running.driver
        end = engine.keep if engine.lazy else engine.give_up
        confirmed = partial(all_done, engine, *changes)
        try:
            within = max(engine.subscription_timeout - spent, 0.0)
            if not engine.lazy and not await driver.until(confirmed, within):
                raise unconfirmed(engine, changes)
        finally:
            for change in changes:
                self._running.call(partial(end, change))

    # -- messages -----------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message[T]:
        for message in self._messages:
            return message
        if await self._fetch(self._ask) is True:
            raise StopAsyncIteration
        for message in self._messages:
            return message
        raise AssertionError("there is a message")

    async def get_message(
        self,
        ignore_subscribe_messages: bool = False,
        timeout: Seconds | None = None,  # noqa: ASYNC109  # 0 polls
    ) -> Message[T] | None:
        """The next message; None when ``timeout`` seconds pass first. A timeout of None waits, 0 only looks.

        ``ignore_subscribe_messages`` passes over the server's word on subscriptions, if this subscriber gets it at all.
        """
        wait = None if timeout is None else seconds("timeout", timeout, zero=True)
        for message in self._messages:
            if not ignore_subscribe_messages or message.kind in MESSAGES:
                return message
        await self._fetch(partial(take, self._engine, bare=ignore_subscribe_messages), wait)
        for message in self._messages:
            return message
        return None

    async def wait_for_message(
        self,
        predicate: Callable[[Message[T]], object],
        timeout: Seconds | None = None,  # noqa: ASYNC109  # 0 polls
    ) -> Message[T] | None:
        """The next message for which ``predicate`` is true, None when ``timeout`` seconds pass first.

        Messages before it are dropped.
        """
        wait = None if timeout is None else seconds("timeout", timeout, zero=True)
        deadline = None if wait is None else monotonic() + wait
        ask = partial(take, self._engine, bare=False)
        while True:
            for message in self._messages:
                try:
                    if predicate(message):
                        return message
                except BaseException as error:
                    if not isinstance(error, Exception):  # Ctrl-C, and no verdict of the predicate's
                        self._put_back(message)
                    raise
            if not await self._fetch(ask, None if deadline is None else max(deadline - monotonic(), 0.0)):
                return None

    def with_events(self) -> AsyncIterator[Message[T] | Event]:
        """Iterate over messages, and over the events between them: gaps and drops in their places, others as they happen.

        Each event comes once, in this way; ``on_event`` hears of it, too.
        """
        return _WithEvents(self)

    async def _next_with_events(self) -> Message[T] | Event:
        engine = self._engine
        while True:
            event: Event | None = self._running.driver.call(engine.next_event_in_place)
            if event is not None:
                return event
            for message in self._messages:
                return message
            if await self._fetch(self._ask_with_events) is True:
                raise StopAsyncIteration

    async def _fetch(self, ask: Callable[[], Any], within: float | None = None) -> Any:
        """Fetch the messages of the engine into ``_messages``; false when ``within`` seconds have passed first."""
        running, keep = self._running, partial(self._keep, ask)
        driver = running.driver  # async
        # threads: running.check()
        with running.sole_use(), running.telling_events():
            if within is not None or self._engine.has_messages:  # async: once for each piece, others shall run
                await driver.checkpoint()
            found = await running.wait(keep, within)  # async
            # threads: found = (running.wait if self._pump is None else self._pump.wait)(keep, within)
            running.tell_events()  # it may raise: the messages are there for the next call
            return found

    # -- handlers -----------------------------------------------------------------------------------------------------

    def _start_handling(self) -> None:
        # threads: if self._pump is not None:
        # threads:     return
        driver = self._running.driver
        if driver.call(self._begins_handling):
            try:
                driver.spawn(partial(self._handle, driver))  # async
                # threads: driver.spawn(partial(run_handlers, self._engine, driver, partial(self._handle, driver)))
            except BaseException:
                self._handling = False
                raise

    async def _handle(self, driver: AsyncDriver) -> None:
        """Call handlers, until the engine ends."""
        running, engine = self._running, self._engine
        while True:
            try:
                calls = await driver.until(running.or_news(engine.take_calls))
            except Exception:  # noqa: BLE001  # the engine has ended; its users are told why
                return
            try:
                running.tell_events()
                if calls is NEWS:
                    continue
                for call in calls:
                    if is_left(engine):
                        return
                    await call_handler(engine, driver, call)
                    running.tell_events()
            except Exception as error:  # noqa: BLE001  # of ``on_event``
                driver.call(partial(engine.fail, error))
            await driver.checkpoint()  # async


class PubSub(Subscriber[T], Generic[T]):
    """Messages of channels and patterns, of shard channels of a single node, too: ``async for message in pubsub``.

    The iteration ends when nothing is subscribed to any more, behind the last message. Handlers are called, and awaited,
    in turn, beside your tasks; they may subscribe. If a handler raises, the event ``HandlerFailed`` tells.
    """

    async def subscribe(self, *channels: Name | Mapping[Any, Handler[T]], **handlers: Handler[T]) -> None:
        """Subscribe to channels; keywords, or a mapping, name channels with a handler, which is called instead of handing over.

        Returns when the server has confirmed. Raises its refusal, such as ``NoPermissionError``, or ``RequestTimeout``; nothing
        of the call remains then. Raises ``InvalidArgument`` where nothing is named. If ``lazy`` was asked for it returns at once.
        """
        await self._subscribe(Kind.CHANNEL, channels, handlers)

    async def psubscribe(self, *patterns: Name | Mapping[Any, Handler[T]], **handlers: Handler[T]) -> None:
        """Subscribe to all channels whose names fit a pattern (``h?llo``, ``h*llo``, ``h[ae]llo``), as ``subscribe``."""
        await self._subscribe(Kind.PATTERN, patterns, handlers)

    async def ssubscribe(self, *shardchannels: Name | Mapping[Any, Handler[T]], **handlers: Handler[T]) -> None:
        """Subscribe to shard channels, as ``subscribe``."""
        await self._subscribe(Kind.SHARD, shardchannels, handlers)

    async def unsubscribe(self, *channels: Name) -> None:
        """End subscriptions to channels; without names, to all. Messages that have arrived already are handed over."""
        await self._unsubscribe(Kind.CHANNEL, channels)

    async def punsubscribe(self, *patterns: Name) -> None:
        """End subscriptions to patterns; without names, to all."""
        await self._unsubscribe(Kind.PATTERN, patterns)

    async def sunsubscribe(self, *shardchannels: Name) -> None:
        """End subscriptions to shard channels; without names, to all."""
        await self._unsubscribe(Kind.SHARD, shardchannels)


class ShardedPubSub(Subscriber[T], Generic[T]):
    """Messages of shard channels; see ``PubSub``."""

    async def subscribe(self, *shardchannels: Name | Mapping[Any, Handler[T]], **handlers: Handler[T]) -> None:
        """Subscribe to shard channels (``SSUBSCRIBE``); see ``PubSub.subscribe``."""
        await self._subscribe(Kind.SHARD, shardchannels, handlers)

    async def unsubscribe(self, *shardchannels: Name) -> None:
        """End subscriptions; without names, all of them. Messages that have arrived already are handed over."""
        await self._unsubscribe(Kind.SHARD, shardchannels)


class KeyEvents(ProcessBound, Generic[T]):
    """Changes of keys: ``async for event in events``; ``event.key``, ``event.event``, ``event.database``."""

    _instead = "open another one where it is needed"

    _pubsub: PubSub[T]

    def __init__(self, pubsub: PubSub[T]) -> None:
        self._pubsub = pubsub

    async def __aenter__(self) -> Self:
        await self._pubsub.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close; see ``PubSub.aclose``."""
        await self._pubsub.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> KeyEvent[T]:
        message = await self._pubsub.__anext__()
        try:
            return KeyEvent.of(message)
        except BaseException:  # of a signal handler
            self._pubsub._put_back(message)  # noqa: SLF001  # its other half
            raise

    async def get(self, timeout: Seconds | None = None) -> KeyEvent[T] | None:  # noqa: ASYNC109  # 0 polls
        """The next event; None when ``timeout`` seconds pass first. A timeout of None waits, 0 only looks."""
        message = await self._pubsub.get_message(timeout=timeout)
        if message is None:
            return None
        try:
            return KeyEvent.of(message)
        except BaseException:  # of a signal handler
            self._pubsub._put_back(message)  # noqa: SLF001  # its other half
            raise


class _WithEvents(Generic[T]):
    _subscriber: Subscriber[T]

    def __init__(self, subscriber: Subscriber[T]) -> None:
        self._subscriber = subscriber

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message[T] | Event:
        return await self._subscriber._next_with_events()  # noqa: SLF001  # its other half
