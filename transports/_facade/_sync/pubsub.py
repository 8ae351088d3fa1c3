"""Subscribers for threads: messages one by one, and handlers, which run one after another in a thread beside the user's.

With ``background=False`` there is no such thread: handlers run in the one that waits for messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from streamcore.arguments import Name, Seconds, seconds
from streamcore.events import Event
from streamcore.process_bound import ProcessBound
from streamcore.pubsub import Call, Change, Handler, KeyEvent, Kind, Message, Subscriptions, with_handlers
from streamcore.pubsub import PubSub as PubSubEngine

from ..handler_pool import refuse_coroutine
from ..settings import WITH_EVENT, forgetful
from ..subscribing import MESSAGES, all_done, is_left, take, to_subscribe, unconfirmed
from ..telling import NEWS
from .lifecycle import Driver, Running

T = TypeVar("T", bytes, str)


class Subscriber(ProcessBound, Generic[T]):
    """What all kinds of subscribers have. Its messages belong to one thread at a time."""

    _instead = "open another one where it is needed"

    def __init__(self, engine: PubSubEngine[Any], client: Running, *, background: bool) -> None:
        self._engine = engine
        self._running = client.part(engine, background=background)
        self._background = background
        self._messages: Iterator[Message[T]] = iter(())  # taken from the engine, and not handed over yet
        self._calls: deque[Call] = deque()  # of handlers, as ``_messages``, where there is no thread for them
        self._handling = False
        forgetful.add(self)

    def __enter__(self) -> Self:
        began = monotonic()
        self._running.open(self._engine.subscription_timeout)
        try:
            self._start_handling()
            self._settle(*self._engine.first, spent=monotonic() - began)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; messages that were not handed over are gone."""
        self._forget()
        self._running.close()

    def _forget(self) -> None:
        self._messages = iter(())
        self._calls.clear()

    # -- what it is subscribed to -------------------------------------------------------------------------------------

    @property
    def subscriptions(self) -> Subscriptions[T]:
        """What is desired, what the server has confirmed, and what it refuses, with its reason."""
        engine = self._engine
        return self._running.call(lambda: engine.subscriptions)

    @property
    def dropped(self) -> int:
        """How many messages were dropped because the application was too slow; see ``when_full``."""
        return self._engine.dropped

    def _subscribe(
        self, kind: Kind, given: Iterable[Name | Mapping[Any, Handler[T]]], named: Mapping[str, Handler[T]]
    ) -> None:
        self._running.check_open()
        wanted = to_subscribe(kind, given, named)
        change = self._running.driver.call(lambda: self._engine.subscribe(kind, wanted))
        self._start_handling()
        self._settle(change)

    def _unsubscribe(self, kind: Kind, given: Iterable[Name]) -> None:
        self._running.check_open()
        engine, driver = self._engine, self._running.driver
        unwanted = with_handlers(kind, given, {})
        change = driver.call(lambda: engine.unsubscribe(kind, unwanted))
        try:
            if not engine.lazy:
                driver.until(partial(all_done, engine, (change,)), engine.unsubscription_timeout)
        finally:
            driver.call(partial(engine.keep, change))

    def _settle(self, *changes: Change, spent: float = 0.0) -> None:
        engine, driver = self._engine, self._running.driver
        end = engine.keep if engine.lazy else engine.give_up
        try:
            within = max(engine.subscription_timeout - spent, 0.0)
            if not engine.lazy and not driver.until(partial(all_done, engine, changes), within):
                raise unconfirmed(engine, changes)
        finally:
            for change in changes:
                driver.call(partial(end, change))

    # -- messages -----------------------------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message[T]:
        for message in self._messages:
            return message
        if self._fetch(self._ask) is True:
            raise StopIteration
        for message in self._messages:
            return message
        raise AssertionError("there is a message")

    def get_message(
        self,
        ignore_subscribe_messages: bool = False,
        timeout: Seconds | None = None,
    ) -> Message[T] | None:
        """The next message; None when ``timeout`` seconds pass first. A timeout of None waits, 0 only looks.

        ``ignore_subscribe_messages`` passes over the server's word on subscriptions, if this subscriber gets it at all.
        """
        wait = None if timeout is None else seconds("timeout", timeout, zero=True)
        for message in self._messages:
            if not ignore_subscribe_messages or message.kind in MESSAGES:
                return message
        self._fetch(partial(take, self._engine, bare=ignore_subscribe_messages), wait)
        for message in self._messages:
            return message
        return None

    def wait_for_message(
        self,
        predicate: Callable[[Message[T]], object],
        timeout: Seconds | None = None,
    ) -> Message[T] | None:
        """The next message for which ``predicate`` is true, None when ``timeout`` seconds pass first.

        Messages before it are passed over: nobody gets them.
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
            if not self._fetch(ask, None if deadline is None else max(deadline - monotonic(), 0.0)):
                return None

    def with_events(self) -> Iterator[Message[T] | Event]:
        """Iterate over messages, and over the events between them: gaps and drops in their places, others as they happen.

        Each event comes once, in this way; ``on_event`` hears of it, too.
        """
        return _WithEvents(self)

    def _next_with_events(self) -> Message[T] | Event:
        engine = self._engine
        while True:
            event: Event | None = self._running.driver.call(engine.next_event_in_place)
            if event is not None:
                return event
            for message in self._messages:
                return message
            if self._fetch(self._ask_with_events) is True:
                raise StopIteration

    def _put_back(self, message: Message[T]) -> None:
        """A message was not handed over: it is the next one again."""
        self._messages = chain((message,), self._messages)

    def _ask(self) -> Any:
        return self._engine.take() or self._engine.is_over

    def _ask_with_events(self) -> Any:
        engine = self._engine
        found = [] if engine.has_event_in_place else engine.take()
        return found or (WITH_EVENT if engine.has_event_in_place else engine.is_over)

    def _fetch(self, ask: Callable[[], Any], within: float | None = None) -> Any:
        """What the engine has for us, messages in ``_messages``; what is false when ``within`` seconds have passed first."""
        running, keep = self._running, partial(self._keep, ask)
        with running.sole_use(), running.telling_events():
            found = running.wait(keep, within) if self._background else self._pump(keep, within)
            running.tell_events()  # it may raise: the messages are there for the next call
            return found

    def _keep(self, ask: Callable[[], Any]) -> Any:
        """Keep messages at once: a signal handler may raise before they are handed over.

        Where one raises here, the connection is given up, and ``SubscriptionGap`` tells that messages may be lost.
        """
        found = ask()
        if type(found) is list:
            self._messages = iter(found)
        return found

    # -- handlers -----------------------------------------------------------------------------------------------------

    def _start_handling(self) -> None:
        driver = self._running.driver
        if self._background and driver.call(self._begins_handling):
            try:
                driver.spawn(self._handle)
            except BaseException:
                self._handling = False
                raise

    def _begins_handling(self) -> bool:
        """Once, whichever thread comes first: two that call handlers would disorder messages."""
        begins = not self._handling and self._engine.has_handlers
        self._handling |= begins
        return begins

    def _pump(self, ask: Callable[[], Any], within: float | None) -> Any:
        """What ``ask`` finds; handlers are called meanwhile."""
        running, engine = self._running, self._engine
        deadline = None if within is None else monotonic() + within
        calls = self._calls

        def look() -> Any:
            if not calls:
                calls.extend(engine.take_waiting_calls())
            return calls or ask()

        while True:
            found = running.wait(look, None if deadline is None else max(deadline - monotonic(), 0.0))
            if found is not calls or not calls:
                return found
            running.tell_events()
            while calls and not is_left(engine):
                self._call(calls.popleft())

    def _handle(self) -> None:
        driver = self._running.driver
        try:
            self._call_handlers(driver)
        except BaseException as error:  # noqa: BLE001  # ``sys.exit`` in a handler: silently, no handler would be called any more
            ended = RuntimeError(f"a handler has ended its thread: {error!r}")
            ended.__cause__ = error
            driver.call(partial(self._engine.fail, ended))

    def _call_handlers(self, driver: Driver) -> None:
        """Until the engine ends."""
        running, engine = self._running, self._engine
        while True:
            try:
                calls = driver.until(running.or_news(engine.take_calls))
            except Exception:  # noqa: BLE001  # the engine has ended; whoever uses it is told why
                return
            try:
                running.tell_events()
                if calls is NEWS:
                    continue
                for call in calls:
                    if is_left(engine):
                        return
                    self._call(call)
                    running.tell_events()
            except Exception as error:  # noqa: BLE001  # of ``on_event``
                driver.call(partial(engine.fail, error))

    def _call(self, call: Call) -> None:
        try:
            refuse_coroutine(call.handler(call.argument))
        except Exception as error:  # noqa: BLE001  # a handler may raise anything
            self._running.driver.call(partial(self._engine.handler_failed, call, error))


class PubSub(Subscriber[T], Generic[T]):
    """Messages of channels and patterns, of shard channels of one node, too: ``for message in pubsub``.

    The iteration ends when nothing is subscribed to any more, behind what had arrived. Handlers are called
    one after another, in a thread beside yours; they may subscribe. One that raises is told as ``HandlerFailed``.
    """

    def subscribe(self, *channels: Name | Mapping[Any, Handler[T]], **handlers: Handler[T]) -> None:
        """Subscribe to channels; keywords, or a mapping, name those with a handler, which is called instead of handing over.

        Returns when the server has confirmed. Raises its refusal, such as ``NoPermissionError``, or ``RequestTimeout``; nothing
        of the call remains then. Raises ``InvalidArgument`` where nothing is named. If ``lazy`` was asked for it returns at once.
        """
        self._subscribe(Kind.CHANNEL, channels, handlers)

    def psubscribe(self, *patterns: Name | Mapping[Any, Handler[T]], **handlers: Handler[T]) -> None:
        """Subscribe to all channels whose names fit a pattern (``h?llo``, ``h*llo``, ``h[ae]llo``), as ``subscribe``."""
        self._subscribe(Kind.PATTERN, patterns, handlers)

    def ssubscribe(self, *shardchannels: Name | Mapping[Any, Handler[T]], **handlers: Handler[T]) -> None:
        """Subscribe to shard channels, as ``subscribe``."""
        self._subscribe(Kind.SHARD, shardchannels, handlers)

    def unsubscribe(self, *channels: Name) -> None:
        """End subscriptions to channels; without names, to all. What has arrived already is handed over."""
        self._unsubscribe(Kind.CHANNEL, channels)

    def punsubscribe(self, *patterns: Name) -> None:
        """End subscriptions to patterns; without names, to all."""
        self._unsubscribe(Kind.PATTERN, patterns)

    def sunsubscribe(self, *shardchannels: Name) -> None:
        """End subscriptions to shard channels; without names, to all."""
        self._unsubscribe(Kind.SHARD, shardchannels)


class ShardedPubSub(Subscriber[T], Generic[T]):
    """Messages of shard channels; see ``PubSub``."""

    def subscribe(self, *shardchannels: Name | Mapping[Any, Handler[T]], **handlers: Handler[T]) -> None:
        """Subscribe to shard channels (``SSUBSCRIBE``); see ``PubSub.subscribe``."""
        self._subscribe(Kind.SHARD, shardchannels, handlers)

    def unsubscribe(self, *shardchannels: Name) -> None:
        """End subscriptions; without names, all of them. What has arrived already is handed over."""
        self._unsubscribe(Kind.SHARD, shardchannels)


class KeyEvents(ProcessBound, Generic[T]):
    """What happens to keys: ``for event in events``; ``event.key``, ``event.event``, ``event.database``."""

    _instead = "open another one where it is needed"

    _pubsub: PubSub[T]

    def __init__(self, pubsub: PubSub[T]) -> None:
        self._pubsub = pubsub

    def __enter__(self) -> Self:
        self._pubsub.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; see ``PubSub.close``."""
        self._pubsub.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> KeyEvent[T]:
        message = self._pubsub.__next__()
        try:
            return KeyEvent.of(message)
        except BaseException:  # of a signal handler
            self._pubsub._put_back(message)  # noqa: SLF001  # its other half
            raise

    def get(self, timeout: Seconds | None = None) -> KeyEvent[T] | None:
        """The next event; None when ``timeout`` seconds pass first. A timeout of None waits, 0 only looks."""
        message = self._pubsub.get_message(timeout=timeout)
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

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message[T] | Event:
        return self._subscriber._next_with_events()  # noqa: SLF001  # its other half
