"""A client's way to its subscribers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack, overload

from streamcore.arguments import Name
from streamcore.channels import ChannelsOptions, Naming, Publisher, hub_engine
from streamcore.channels import Settings as ChannelsSettings
from streamcore.pubsub import Handlers, KeyWatch, PubSubOptions, ShardedPubSubOptions
from streamcore.pubsub import PubSub as PubSubEngine
from streamcore.requests import Multiplexer

from ..keywords import check_keywords
from ..settings import Settings
from ..subscribing import NO_HANDLERS
from .channels import Channels
from .commands import Commands
from .lifecycle import Running
from .pubsub import KeyEvents, PubSub, ShardedPubSub


class Subscribers(Commands):
    """A part of ``Client``."""

    _settings: Settings
    _engine: Multiplexer
    _running: Running

    @overload
    def pubsub(
        self,
        channels: Name | Iterable[Name] = (),
        patterns: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[bytes] = NO_HANDLERS,
        pattern_handlers: Handlers[bytes] = NO_HANDLERS,
        # threads: background: bool = True,
        decode: None = None,
        **options: Unpack[PubSubOptions],
    ) -> PubSub[bytes]: ...
    @overload
    def pubsub(
        self,
        channels: Name | Iterable[Name] = (),
        patterns: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[str] = NO_HANDLERS,
        pattern_handlers: Handlers[str] = NO_HANDLERS,
        # threads: background: bool = True,
        decode: str,
        **options: Unpack[PubSubOptions],
    ) -> PubSub[str]: ...
    def pubsub(
        self,
        channels: Name | Iterable[Name] = (),
        patterns: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[Any] = NO_HANDLERS,
        pattern_handlers: Handlers[Any] = NO_HANDLERS,
        # threads: background: bool = True,
        decode: str | None = None,
        **options: Unpack[PubSubOptions],
    ) -> PubSub[Any]:
        """Receive the messages of channels and patterns; see ``streamcore.PubSub`` for the options."""
        check_keywords(
            "pubsub",
            options,
            PubSubOptions,
            "channels",
            "patterns",
            "channel_handlers",
            "pattern_handlers",
            "decode",
            # threads: "background",
        )
        engine = PubSubEngine[Any](
            channels,
            patterns,
            channel_handlers=channel_handlers,
            pattern_handlers=pattern_handlers,
            decode=decode,
            **options,
            **self._settings.engine(),
        )
        running = self._running.part(engine)  # async
        # threads: running = self._running.part(engine, background=background)
        return PubSub(engine, running)

    @overload
    def sharded_pubsub(
        self,
        channels: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[bytes] = NO_HANDLERS,
        # threads: background: bool = True,
        decode: None = None,
        **options: Unpack[ShardedPubSubOptions],
    ) -> ShardedPubSub[bytes]: ...
    @overload
    def sharded_pubsub(
        self,
        channels: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[str] = NO_HANDLERS,
        # threads: background: bool = True,
        decode: str,
        **options: Unpack[ShardedPubSubOptions],
    ) -> ShardedPubSub[str]: ...
    def sharded_pubsub(
        self,
        channels: Name | Iterable[Name] = (),
        *,
        channel_handlers: Handlers[Any] = NO_HANDLERS,
        # threads: background: bool = True,
        decode: str | None = None,
        **options: Unpack[ShardedPubSubOptions],
    ) -> ShardedPubSub[Any]:
        """Receive the messages of shard channels (``SSUBSCRIBE``), published by ``spublish``; with the options of ``pubsub``."""
        check_keywords(
            "sharded_pubsub",
            options,
            ShardedPubSubOptions,
            "channels",
            "channel_handlers",
            "decode",
            # threads: "background",
        )
        given: ShardedPubSubOptions = {"read_from": self._settings.read_from, **options}
        engine = PubSubEngine[Any](
            shard_channels=channels,
            shard_channel_handlers=channel_handlers,
            decode=decode,
            **given,
            **self._settings.engine(),
        )
        running = self._running.part(engine)  # async
        # threads: running = self._running.part(engine, background=background)
        return ShardedPubSub(engine, running)

    @overload
    def channels(
        self,
        *,
        # threads: background: bool = True,
        decode: None = None,
        **options: Unpack[ChannelsOptions],
    ) -> Channels[bytes]: ...
    @overload
    def channels(
        self,
        *,
        # threads: background: bool = True,
        decode: str,
        **options: Unpack[ChannelsOptions],
    ) -> Channels[str]: ...
    def channels(
        self,
        *,
        # threads: background: bool = True,
        decode: str | None = None,
        **options: Unpack[ChannelsOptions],
    ) -> Channels[Any]:
        """Publish and subscribe, with a history; see ``streamcore.channels.ChannelsOptions`` for the options."""
        check_keywords("channels", options, ChannelsOptions, "decode")  # async
        # threads: check_keywords("channels", options, ChannelsOptions, "decode", "background")
        settings = ChannelsSettings(**options)
        naming = Naming(settings.prefix, decode)
        publisher = Publisher(self._engine, settings, naming)
        engine = hub_engine(settings, naming, **self._settings.engine())
        running = self._running.part(engine)  # async
        # threads: running = self._running.part(engine, background=background)
        return Channels(engine, running, publisher, self._running)

    @overload
    def key_events(
        self,
        *keys: Name,
        database: int | None = None,
        # threads: background: bool = True,
        decode: None = None,
        **options: Unpack[PubSubOptions],
    ) -> KeyEvents[bytes]: ...
    @overload
    def key_events(
        self,
        *keys: Name,
        database: int | None = None,
        # threads: background: bool = True,
        decode: str,
        **options: Unpack[PubSubOptions],
    ) -> KeyEvents[str]: ...
    def key_events(
        self,
        *keys: Name,
        database: int | None = None,
        # threads: background: bool = True,
        decode: str | None = None,
        **options: Unpack[PubSubOptions],
    ) -> KeyEvents[Any]:
        """Hear of changes to keys whose names fit any of the patterns; in this client's database, unless told otherwise.

        Entering raises ``InvalidArgument`` where the server is not set to tell (``notify-keyspace-events``). Where it is not any more,
        after a lost connection, so does the next call, once.
        """
        number = self._settings.target.login.database if database is None else database
        check_keywords("key_events", options, PubSubOptions, "database", "decode")  # async
        # threads: check_keywords("key_events", options, PubSubOptions, "database", "decode", "background")
        engine = KeyWatch[Any](keys, number, decode=decode, **options, **self._settings.engine())
        running = self._running.part(engine)  # async
        # threads: running = self._running.part(engine, background=background)
        return KeyEvents(PubSub(engine, running))
