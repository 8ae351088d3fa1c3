"""Backends for Litestar's ``ChannelsPlugin``: the engine of ``client.channels(...)`` behind the interface of Litestar's own.

A backend does nothing when it is made. From ``on_startup`` to ``on_shutdown`` it has a *life*: a client, unless the
application has given an open one, and a hub. A single reader serves all channels, wakes when something comes, and polls nothing.
Outside of a life, publishing and history use a connection for a moment, and subscriptions are kept for the next life.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, TypeAlias

from streamcore.arguments import Seconds, positive, seconds
from streamcore.channels import ChannelsOptions
from streamcore.errors import ClosedError, ConnectionLost, InvalidArgument, MissingExtra
from streamcore.tracebacks import conceals_arguments

from ._facade._async import Channels, Client
from ._facade.durations import warn_of_milliseconds
from ._facade.logs import write_line
from .asyncio import connect

try:
    from litestar.channels.backends.base import ChannelsBackend
except ModuleNotFoundError:
    raise MissingExtra("there is no Litestar here: pip install 'streamcore-redis[litestar]'") from None

__all__ = ["PubSubChannelsBackend", "StreamChannelsBackend"]

KEY_PREFIX: Final = "LITESTAR_CHANNELS"
GivenClient: TypeAlias = Client | Callable[[], Client]


class _Life:
    """From a start to its shutdown, in a single event loop."""

    def __init__(self, hub: Channels[bytes], closing: AsyncExitStack) -> None:
        self.hub = hub
        self.loop = asyncio.get_running_loop()
        self.closing = closing


class _Backend(ChannelsBackend):
    """The methods of both backends."""

    def __init__(
        self,
        url: str | None,
        client: GivenClient | None,
        stream_sleep_no_subscriptions: int,
        key_prefix: str,
        publish_timeout: Seconds,
        options: ChannelsOptions,
    ) -> None:
        if url is not None and client is not None:
            raise InvalidArgument("url and client exclude each other; give one of them")
        positive("stream_sleep_no_subscriptions", stream_sleep_no_subscriptions, zero=True)
        self._client = client if client is not None else partial(connect, url)
        self._key_prefix = key_prefix
        self._publish_timeout = seconds("publish_timeout", publish_timeout)
        warn_of_milliseconds({"publish_timeout": publish_timeout})
        self._options: ChannelsOptions = {**options, "prefix": key_prefix}
        self._life: _Life | None = None
        self._wanted: dict[str, None] = {}  # subscribed to before the start
        connect(url).channels(**self._options)  # it may raise; nothing is dialled

    async def on_startup(self) -> None:
        """Connect, and begin to hear the channels. Raises ``ConnectionLost`` where there is no server; again does nothing."""
        if self._life is not None and self._life.loop is asyncio.get_running_loop():
            return
        async with AsyncExitStack() as opening:
            client = await opening.enter_async_context(self._opened())
            hub = await opening.enter_async_context(client.channels(**self._options))
            if self._wanted:
                await hub.subscribe(list(self._wanted))
            self._wanted.clear()
            self._life = _Life(hub, opening.pop_all())

    async def on_shutdown(self) -> None:
        """Close everything; a client that was given open stays open. Again does nothing."""
        life, self._life = self._life, None
        self._wanted.clear()
        if life is not None:
            await life.closing.aclose()

    @property
    def channels(self) -> Channels[bytes]:
        """The hub, between start-up and shutdown, for uses beside the plugin, such as ``transports.sse``."""
        if self._life is None:
            raise ClosedError(
                "this backend is not started; its plugin does that, with the application, by on_startup()"
            )
        return self._life.hub

    @property
    def hub(self) -> Channels[bytes] | None:
        """The same; None outside of a life."""
        return None if self._life is None else self._life.hub

    async def publish(self, data: bytes, channels: Iterable[str]) -> None:
        """Publish to channels, to all at once. Tries again where connections are lost, for ``publish_timeout`` seconds.

        Works at any time. Raises ``ConnectionLost`` in the end; the plugin's publishing task would not survive that.
        """
        names = _names(channels)
        life = self._life
        if life is not None and life.loop is asyncio.get_running_loop():
            await life.hub.publish(data, names, timeout=self._publish_timeout)
        else:
            async with self._passing() as hub:
                await hub.publish(data, names, timeout=self._publish_timeout)

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Hear channels: the messages published after this returns, and nothing older."""
        names = _names(channels)
        if self._life is None:
            self._wanted.update(dict.fromkeys(names))
        elif names:
            await self._life.hub.subscribe(names)

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        """Hear them no more; their messages that have arrived are dropped. Waits for nothing, and never fails."""
        names = _names(channels)
        for name in names:
            self._wanted.pop(name, None)
        if self._life is not None and names:
            with suppress(ClosedError):
                await self._life.hub.unsubscribe(names)

    def stream_events(self) -> AsyncGenerator[tuple[str, bytes], None]:
        """Iterate over messages, as channel and data. It ends with the shutdown.

        A cancelled ``anext`` loses nothing, and the iteration goes on after it. It belongs to a single task at a time.
        """
        return _Events(self)

    def _make_key(self, channel: str) -> str:
        return f"{self._key_prefix}_{channel}"

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Client]:
        if isinstance(self._client, Client):
            yield self._client
        else:
            async with self._client() as client:
                yield client

    @asynccontextmanager
    async def _passing(self) -> AsyncIterator[Channels[bytes]]:
        """The channels for a request: of the present life, or else a passing one."""
        life = self._life
        if life is not None and life.loop is asyncio.get_running_loop():
            yield life.hub
        else:
            async with self._opened() as client:
                yield client.channels(**self._options)


class _Events(AsyncGenerator[tuple[str, bytes], None]):
    """The messages of a life. A generator function would end where its ``anext`` is cancelled."""

    def __init__(self, backend: _Backend) -> None:
        self._backend = backend
        self._hub = backend.hub
        self._ended = False

    async def asend(self, value: None, /) -> tuple[str, bytes]:
        if self._hub is None:
            self._hub = self._backend.channels
        try:
            if not self._ended:
                message = await anext(self._hub)
                return message.channel.decode(), message.data
        except ClosedError:
            if self._backend.hub is self._hub:
                raise
            self._ended = True
        raise StopAsyncIteration

    async def athrow(
        self, kind: Any, error: BaseException | object = None, trace: TracebackType | None = None, /
    ) -> tuple[str, bytes]:
        self._ended = True
        raise error if isinstance(error, BaseException) else kind


class StreamChannelsBackend(_Backend):
    """Channels with a history, in streams; in place of ``RedisChannelsStreamBackend``.

    ``history`` messages of each channel can be looked back at; messages are kept until that is exceeded, or ``retention``
    (10,000), if that is more, so that no subscriber misses a burst; with ``cap_streams_approximate`` (``MAXLEN ~``) for a little longer.
    ``stream_ttl``, a ``timedelta`` or milliseconds, after its last message a channel is deleted. ``key_prefix`` and the
    channel's name, its case kept, make its key.

    ``url`` says where the server is (see ``connect``; by default ``REDIS_URL``). Or ``client`` is a client of the
    application, open from start-up to shutdown, or a function that makes a client for each life, such as
    ``lambda: connect(url, username="ann")``. ``stream_sleep_no_subscriptions`` is taken, and means nothing: there is no pause
    between two looks, since nothing is polled.
    """

    @conceals_arguments
    def __init__(
        self,
        history: int,
        *,
        url: str | None = None,
        client: GivenClient | None = None,
        stream_sleep_no_subscriptions: int = 1,
        cap_streams_approximate: bool = True,
        stream_ttl: int | timedelta = timedelta(seconds=60),
        key_prefix: str = KEY_PREFIX,
        retention: int = 10_000,
        publish_timeout: Seconds = 30.0,
    ) -> None:
        ttl = stream_ttl if isinstance(stream_ttl, timedelta) else timedelta(milliseconds=stream_ttl)
        options: ChannelsOptions = {
            "kind": "streams",
            "history": history,
            "ttl": ttl,
            "retention": retention,
            "approximate": cap_streams_approximate,
        }
        super().__init__(url, client, stream_sleep_no_subscriptions, key_prefix, publish_timeout, options)
        self._history = history

    async def get_history(self, channel: str, limit: int | None = None) -> list[bytes]:
        """The last messages of a channel, oldest first: ``history`` of them, or fewer where ``limit`` says so."""
        most = self._history if limit is None or limit < 0 else min(limit, self._history)
        if not most:
            return []
        async with self._passing() as hub:
            return [message.data for message in await hub.get_history(channel, most)]

    async def flush_all(self) -> int:
        """Delete the streams of this prefix; how many there were."""
        async with self._passing() as hub:
            return await hub.flush_all()


class PubSubChannelsBackend(_Backend):
    """Channels without a history, by PUBLISH and SUBSCRIBE; in place of ``RedisChannelsPubSubBackend``.

    Who is not there misses a message, and a lost connection may cost some: that is logged as a warning. ``key_prefix`` is
    honoured: the channel of the server is called by it and the channel's name. The other arguments are those of ``StreamChannelsBackend``.
    """

    @conceals_arguments
    def __init__(
        self,
        *,
        url: str | None = None,
        client: GivenClient | None = None,
        stream_sleep_no_subscriptions: int = 1,
        key_prefix: str = KEY_PREFIX,
        publish_timeout: Seconds = 30.0,
    ) -> None:
        super().__init__(url, client, stream_sleep_no_subscriptions, key_prefix, publish_timeout, {"kind": "pubsub"})

    async def publish(self, data: bytes, channels: Iterable[str]) -> None:
        """As of streams; a message whose fate is unknown is not repeated, it may have arrived: that is logged."""
        try:
            await super().publish(data, channels)
        except ConnectionLost as error:
            if not error.sent:
                raise
            write_line(logging.WARNING, "a message may have been published, or not: %s", error)

    async def get_history(self, channel: str, limit: int | None = None) -> list[bytes]:
        """Raises ``NotImplementedError``, as Litestar's do: there is none."""
        raise NotImplementedError("pub/sub keeps no history; StreamChannelsBackend does")


def _names(channels: Iterable[str]) -> list[str]:
    return [channels] if isinstance(channels, str) else list(dict.fromkeys(channels))
