"""The keywords of channels, their defaults, and their checks."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypedDict, Unpack

from ..arguments import Name, Seconds, milliseconds, one_of, positive
from ..engine.message_buffer import DropPolicy
from ..errors import InvalidArgument
from .subscriber import Subscriber

ChannelsKind: TypeAlias = Literal["streams", "pubsub"]
PREFIX: Final = "channels"


class ChannelsOptions(TypedDict, total=False):
    """Keywords of ``channels``.

    ``kind``: ``"streams"`` keeps a history; ``"pubsub"`` keeps nothing, and costs least. ``prefix`` of the keys: that
    of the channel ``x`` is ``channels_x``; with an empty prefix, ``x``. ``history`` (100) is the number of messages of
    ``get_history``. A stream is trimmed to that or to ``retention`` (10,000), whichever is more: for so long a slow
    subscriber misses nothing (``approximate``: it may be a little longer, and costs less). ``ttl``: it is deleted so
    long after its last message.

    ``queue_size`` (10,000) messages or ``queue_bytes`` (64 MiB) wait for each subscriber. Of pub/sub ``when_full``
    says which messages a full queue drops: ``"drop_oldest"`` or ``"drop_newest"``.
    """

    kind: ChannelsKind
    """``"streams"`` keeps a history; ``"pubsub"`` keeps nothing, and costs least (``"streams"``)."""
    prefix: Name
    """Of the keys: that of the channel ``x`` is ``channels_x``; with an empty prefix, ``x`` (``"channels"``)."""
    history: int
    """So many messages are the answer of ``get_history`` (100)."""
    ttl: Seconds | None
    """A channel is deleted so many seconds after its last message (None: never)."""
    retention: int
    """A channel is trimmed to so many messages, or to ``history``: a slow subscriber misses none of them (10,000)."""
    approximate: bool
    """Let the server keep a few more, which is cheaper (False)."""
    queue_size: int
    """At most so many messages wait for each subscriber (10,000)."""
    queue_bytes: int
    """At most so many bytes do (67,108,864)."""
    when_full: DropPolicy
    """Drop ``"drop_oldest"`` or ``"drop_newest"`` of a full queue, with ``kind="pubsub"`` (``"drop_oldest"``)."""


class Settings:
    """The checked keywords of ``channels``."""

    def __init__(self, **options: Unpack[ChannelsOptions]) -> None:
        kind = one_of("kind", options.get("kind", "streams"), "streams", "pubsub")
        self.is_streams = kind == "streams"
        self.prefix = options.get("prefix", PREFIX)
        self.history = positive("history", options.get("history", 100), zero=True)
        self.maxlen = max(self.history, positive("retention", options.get("retention", 10_000)))
        self.approximate = options.get("approximate", False)
        ttl = options.get("ttl")
        self.ttl_ms = 0 if ttl is None else milliseconds("ttl", ttl)
        self.when_full: DropPolicy = one_of(
            "when_full", options.get("when_full", "drop_oldest"), "drop_oldest", "drop_newest"
        )
        if self.is_streams and "when_full" in options:
            raise InvalidArgument("when_full is for kind='pubsub'; of streams, slow subscribers catch up")
        self._queue_size = positive("queue_size", options.get("queue_size", 10_000))
        self._queue_bytes = positive("queue_bytes", options.get("queue_bytes", 64 << 20))

    def subscriber(self, queue_size: int | None = None, queue_bytes: int | None = None) -> Subscriber:
        """Make a subscriber with its queue. Raises ``InvalidArgument``."""
        size = self._queue_size if queue_size is None else positive("queue_size", queue_size)
        nbytes = self._queue_bytes if queue_bytes is None else positive("queue_bytes", queue_bytes)
        return Subscriber(size, nbytes)
