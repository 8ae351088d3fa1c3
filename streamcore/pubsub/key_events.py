"""Keyspace notifications: what happens to keys, as messages of channels that the server publishes itself.

A server publishes them where ``notify-keyspace-events`` has ``K`` and the classes of events that are wanted, by default
nothing. They come of the server that one is connected to only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar, cast

from ..arguments import Name, positive
from ..errors import InvalidArgument
from .asking import names
from .message import Message

T = TypeVar("T", bound=bytes | str)


class KeyEvent(NamedTuple, Generic[T]):
    """``event`` is the server's word for what happened to the key: ``"set"``, ``"expired"``, ``"xadd"`` ..."""

    key: T
    event: str
    database: int

    @classmethod
    def of(cls, message: Message[Any]) -> KeyEvent[Any]:
        """What a message of ``__keyspace@0__:key`` says."""
        channel, event = message.channel, message.data
        colon, at, end = (":", "@", "_") if isinstance(channel, str) else (b":", b"@", b"_")
        where, _, key = channel.partition(cast(Any, colon))
        database = where.partition(cast(Any, at))[2].rstrip(cast(Any, end))
        return KeyEvent(key, event if isinstance(event, str) else event.decode(errors="replace"), int(database))


def keyspace_patterns(keys: Name | Iterable[Name], database: int) -> list[bytes]:
    """The patterns of channels for patterns of keys; ``database`` is their number."""
    listed = names("key", keys)
    if not listed:
        raise InvalidArgument("name at least one key or pattern of keys, '*' for all of them")
    return [b"__keyspace@%d__:%b" % (positive("database", database, zero=True), key) for key in listed]


def notifies(setting: str) -> bool:
    """Whether a server with this ``notify-keyspace-events`` publishes anything of this kind."""
    return "K" in setting and len(setting) > 1
