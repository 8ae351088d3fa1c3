"""Keyspace notifications: events of keys, as messages of channels that the server publishes itself.

A server publishes them where ``notify-keyspace-events`` has ``K`` and the classes of events that are wanted, by
default none. A server publishes only its own keys' events, so in a cluster each primary is subscribed to. The next server
may be set otherwise, and so may the same server after a restart: each connection asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar, Unpack, cast

from ..arguments import Name, positive
from ..connection.exchange import Exchange
from ..engine.degradation import KEY_EVENTS
from ..engine.engine import EngineOptions
from ..errors import InvalidArgument, ReplyError
from ..events import SubscriptionFailed
from .buffer import ErrorMarker
from .engine import PubSub
from .message import Message
from .options import PubSubOptions, names
from .subscriptions import SubscriptionTable

T = TypeVar("T", bytes, str)

SETTING: Final = "notify-keyspace-events"


class _Options(PubSubOptions, EngineOptions, total=False): ...


class KeyEvent(NamedTuple, Generic[T]):
    """An event of a key; ``event`` is the server's word for it: ``"set"``, ``"expired"``, ``"xadd"`` ..."""

    key: T
    event: str
    database: int

    @classmethod
    def of(cls, message: Message[Any]) -> KeyEvent[Any]:
        """Parse a message of ``__keyspace@0__:key``."""
        channel, event = message.channel, message.data
        colon, at, end = (":", "@", "_") if isinstance(channel, str) else (b":", b"@", b"_")
        where, _, key = channel.partition(cast(Any, colon))
        database = where.partition(cast(Any, at))[2].rstrip(cast(Any, end))
        return KeyEvent(key, event if isinstance(event, str) else event.decode(errors="replace"), int(database))


def keyspace_patterns(keys: Name | Iterable[Name], database: int) -> list[bytes]:
    """Build the patterns of channels for patterns of keys in the ``database`` with this number."""
    listed = names("key", keys)
    if not listed:
        raise InvalidArgument("name at least one key or pattern of keys, '*' for all of them")
    return [b"__keyspace@%d__:%b" % (positive("database", database, zero=True), key) for key in listed]


class Question(Exchange):
    """The CONFIG GET that asks which notifications a server publishes."""

    __slots__ = ()


class KeyWatch(PubSub[T], Generic[T]):
    """A subscriber to the events of ``keys``, in a ``database`` (by number); see ``PubSub`` for the options.

    Where the server is not set to publish them, the first connection ends it by ``InvalidArgument``. A later
    connection has ``take`` raise that once, behind the messages that had arrived, and emits ``SubscriptionFailed``;
    events that come after all are handed over. A server that refuses CONFIG GET is taken to be set rightly.
    """

    _is_local = True

    def __init__(
        self, keys: Name | Iterable[Name], database: int, *, decode: str | None = None, **options: Unpack[_Options]
    ) -> None:
        self._has_entered = False
        self._patterns = tuple(keyspace_patterns(keys, database))
        given: Any = {**options, "decode": decode}
        super().__init__(patterns=self._patterns, **given)

    @property
    def label(self) -> str:
        """The name of the engine in messages."""
        return "KeyEvents"

    @property
    def is_ready(self) -> bool:
        """Whether the link is up and the server is set to publish, or need not be."""
        return super().is_ready and (self._has_entered or self.lazy)

    def subscriptions_up(self, subscriptions: SubscriptionTable, *, again: bool) -> None:
        """Ask the server which notifications it publishes (``CONFIG GET``), on each connection."""
        super().subscriptions_up(subscriptions, again=again)
        if subscriptions.link.is_up:
            subscriptions.link.send(Question([("CONFIG", "GET", SETTING)], self.options.request_timeout))

    def subscriptions_answered(self, subscriptions: SubscriptionTable, exchange: Exchange) -> None:
        """Take the reply to ``CONFIG GET``.

        A server that publishes no events of keys ends the engine on the first connection, and is told on a later connection.
        """
        if type(exchange) is not Question:
            super().subscriptions_answered(subscriptions, exchange)
            return
        [reply] = exchange.replies
        if isinstance(reply, ReplyError):
            subscriptions.degradation.refused(KEY_EVENTS, exchange.commands[0], reply)
        error = _silence(reply)
        if not (self._has_entered or error is None):
            self.fail(error)
            return
        self._has_entered = True
        if error is not None:
            self._emit(SubscriptionFailed("pattern", self._patterns, error))
            self._buffer.add_marker(ErrorMarker(error))


def _silence(reply: Any) -> InvalidArgument | None:
    """Explain why a server with these settings publishes no events of keys; None where it does, or does not say."""
    setting: Any = reply.get(SETTING.encode()) if type(reply) is dict else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(setting, bytes) or (b"K" in setting and len(setting) > 1):
        return None
    return InvalidArgument(
        f"the server publishes nothing about keys: its {SETTING} is {setting.decode(errors='replace')!r}; "
        f"it needs K and the classes of events, such as 'KA' for all: CONFIG SET {SETTING} KA"
    )
