"""The messages of a subscriber, and the kinds of subscriptions.

A message is a tuple: making messages takes most of a subscriber's processor time, and tuples are made fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Final, Generic, Literal, NamedTuple, SupportsIndex, TypeAlias, TypeVar, cast

T = TypeVar("T", bound=bytes | str)

MessageKind: TypeAlias = Literal[
    "message",
    "pmessage",
    "smessage",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
]


class Kind(Enum):
    """The kind of a subscription: a channel, a pattern, or a channel that lives in a slot of a cluster."""

    CHANNEL = "channel", ""
    PATTERN = "pattern", "P"
    SHARD = "shard channel", "S"

    def __init__(self, what: str, letter: str) -> None:
        self.what = what
        self.subscribe = f"{letter}SUBSCRIBE"
        self.unsubscribe = f"{letter}UNSUBSCRIBE"


_ITEM: Final[Callable[[Any, Any], Any]] = cast(Any, tuple).__getitem__


class Message(NamedTuple, Generic[T]):
    """A message, or, with ``ignore_subscribe_messages=False``, the server's word that a subscription begins or ends.

    ``kind``: how it came, ``"message"``, ``"pmessage"`` (by ``pattern``, else None) or ``"smessage"`` (a shard
    channel's), or ``"subscribe"`` and its like; then ``channel`` may be a pattern, and ``data`` is the number of
    subscriptions of the connection, an int. ``message["data"]`` is the same as ``message.data``, and
    ``message["type"]`` as ``message.kind``; ``in`` asks for these names, not for values.
    """

    kind: MessageKind
    channel: T
    pattern: T | None
    data: T

    def __getitem__(self, key: SupportsIndex | slice | str) -> Any:
        if not isinstance(key, str):
            return _ITEM(self, key)
        try:
            return getattr(self, _FIELDS[key])
        except KeyError:
            raise KeyError(f"a message has no {key!r}; it has {', '.join(_FIELDS)}") from None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in _FIELDS


_FIELDS: Final = {"type": "kind", "kind": "kind", "channel": "channel", "pattern": "pattern", "data": "data"}


MESSAGE_KINDS: Final[dict[bytes, MessageKind]] = {
    b"message": "message",
    b"pmessage": "pmessage",
    b"smessage": "smessage",
}
WORDS: Final[dict[bytes, MessageKind]] = {
    b"subscribe": "subscribe",
    b"psubscribe": "psubscribe",
    b"ssubscribe": "ssubscribe",
    b"unsubscribe": "unsubscribe",
    b"punsubscribe": "punsubscribe",
    b"sunsubscribe": "sunsubscribe",
}
KIND_OF: Final[dict[MessageKind, Kind]] = {"message": Kind.CHANNEL, "pmessage": Kind.PATTERN, "smessage": Kind.SHARD}
TAKEN_AWAY: Final = {b"unsubscribe": Kind.CHANNEL, b"punsubscribe": Kind.PATTERN, b"sunsubscribe": Kind.SHARD}


_data: Final = attrgetter("data")


def size(messages: Sequence[Message[Any]]) -> int:
    """Count the bytes or characters of the data of messages."""
    return sum(map(len, map(_data, messages)))


_new: Final = cast(Any, tuple).__new__
_FOR_CHANNELS: Final = {word: kind for word, kind in MESSAGE_KINDS.items() if kind != "pmessage"}
_FOR_PATTERNS: Final = {word: kind for word, kind in MESSAGE_KINDS.items() if kind == "pmessage"}


def messages_of(pushes: list[list[Any]], encoding: str | None) -> list[Message[Any]]:
    """Make messages from pushes, all of channels or all of patterns.

    Raises ``KeyError`` or ``ValueError`` where a push is no such message.
    """
    kinds = _FOR_CHANNELS
    # Without the namedtuple's own constructor, which takes half as long again.
    if len(pushes[0]) == 4:
        by = _FOR_PATTERNS
        if encoding is None:
            return [_new(Message, (by[word], channel, pattern, data)) for word, pattern, channel, data in pushes]
        return [
            _new(Message, (by[word], channel.decode(encoding), pattern.decode(encoding), data.decode(encoding)))
            for word, pattern, channel, data in pushes
        ]
    if encoding is None:
        return [_new(Message, (kinds[word], channel, None, data)) for word, channel, data in pushes]
    return [
        _new(Message, (kinds[word], channel.decode(encoding), None, data.decode(encoding)))
        for word, channel, data in pushes
    ]


def message_of(encoding: str | None, kind: MessageKind, channel: Any, pattern: Any, data: Any) -> Message[Any]:
    """Make a message, as text where there is an encoding. Raises ``UnicodeDecodeError``."""
    if encoding is None:
        return Message(kind, channel, pattern, data)
    by = None if pattern is None else pattern.decode(encoding)
    return Message(kind, channel.decode(encoding), by, data.decode(encoding))
