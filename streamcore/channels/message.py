"""The messages of channels, and the names of their keys on the server.

A channel is a key (of ``kind="pubsub"`` a channel of the server), called by a prefix and its own name. A message is an
entry of that stream, with its data in the field ``data``; an entry without that field, appended by another program, is
no message.
"""

# Callers without a type checker pass anything.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, NoReturn, TypeAlias, TypeVar, cast

from ..arguments import Name, encoding, name
from ..commands.replies import strings
from ..entries import StreamId
from ..errors import InvalidArgument
from ..sense import senseless

T = TypeVar("T", bytes, str)

FIELD: Final = b"data"


class ChannelMessage(Generic[T]):
    """A message of a channel; ``channel, data = message`` unpacks it. ``id`` is None with ``kind="pubsub"``.

    It belongs to all subscribers of the channel: do not change it.
    """

    __slots__ = ("_id", "channel", "data")
    __match_args__ = ("channel", "data", "id")
    channel: T
    data: T

    def __init__(self, channel: T, data: T, id: StreamId | bytes | None = None) -> None:  # noqa: A002
        self.channel = channel
        self.data = data
        self._id = id

    @property
    def id(self) -> StreamId | None:
        """The id of its entry."""
        if isinstance(self._id, bytes):
            self._id = StreamId.told(self._id)
        return self._id

    def __iter__(self) -> Iterator[T]:
        yield self.channel
        yield self.data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChannelMessage) and self._key() == cast(Any, other)._key()

    def _key(self) -> tuple[object, ...]:
        """The values to compare, the type first: bytes never equal text, and shall not be compared with it."""
        return type(self.channel), self.channel, self.data, self.id

    def __hash__(self) -> int:
        return hash((self.channel, self.data, self.id))

    def __repr__(self) -> str:
        return f"ChannelMessage(channel={self.channel!r}, data={self.data!r}, id={self.id!r})"


class UnreadableMessage(ChannelMessage[T]):
    """A message of a history that is no text: ``data`` raises the error, ``raw`` holds the published bytes."""

    __slots__ = ("error", "raw")

    def __init__(self, channel: T, raw: bytes, error: Exception, id: StreamId | bytes | None) -> None:  # noqa: A002
        self.channel = channel
        self.raw = raw
        self.error = error
        self._id = id

    @property
    def data(self) -> NoReturn:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]  # it has none
        """Raise its ``UnicodeDecodeError``."""
        raise self.error.with_traceback(None)

    def _key(self) -> tuple[object, ...]:
        return type(self), self.channel, self.raw, self.id

    def __hash__(self) -> int:
        return hash((self.channel, self.raw, self.id))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.channel, self.raw, self.error, self._id)

    def __repr__(self) -> str:
        return f"UnreadableMessage(channel={self.channel!r}, raw={self.raw!r}, id={self.id!r})"


class Unreadable:
    """Stands for a message that is no text, or for the end of a channel; its ``error`` is raised in its place."""

    __slots__ = ("channel", "data", "error", "id", "raw")

    def __init__(self, error: Exception, id_: StreamId | None = None, channel: Any = None, raw: bytes = b"") -> None:
        self.data = b""
        self.error = error
        self.id = id_
        self.channel = channel
        self.raw = raw

    @property
    def kept(self) -> UnreadableMessage[Any]:
        """The same message in a list, where no error is raised before ``data`` is read."""
        return UnreadableMessage(self.channel, self.raw, self.error, self.id)


Received: TypeAlias = ChannelMessage[Any] | Unreadable


class Naming:
    """The names of channels and their keys, and text or bytes as the application wants them."""

    def __init__(self, prefix: Name, decode: str | None) -> None:
        is_empty = isinstance(prefix, (str, bytes)) and not prefix
        self.prefix = b"" if is_empty else name("prefix", prefix) + b"_"
        self._encoding = encoding(decode)

    def key(self, channel: Name) -> bytes:
        """Return the key of a channel."""
        return self.prefix + name("channel", channel)

    def keys(self, channels: Name | Iterable[Name]) -> list[bytes]:
        """Return the keys of a channel, or of several, each once. Raises ``InvalidArgument``."""
        if not isinstance(channels, Iterable):
            raise InvalidArgument(f"channels must be one name or several, not {channels!r}")
        listed: list[Any] = [channels] if isinstance(channels, (str, bytes, bytearray, memoryview)) else [*channels]
        return list(dict.fromkeys(map(self.key, listed)))

    def channel(self, key: bytes) -> Any:
        """Return the application's name of a channel."""
        channel = key.removeprefix(self.prefix)
        return channel if self._encoding is None else channel.decode(self._encoding, "replace")

    def message(self, channel: Any, data: bytes, id_: bytes | None = None) -> Received:
        """Make a message from its data; ``channel`` is the application's name."""
        if self._encoding is None:
            return ChannelMessage(channel, data, id_)
        try:
            return ChannelMessage(channel, data.decode(self._encoding), id_)
        except UnicodeDecodeError as error:
            return Unreadable(error, None if id_ is None else StreamId.told(id_), channel, data)

    def messages(self, channel: Any, entries: Iterable[Any]) -> list[Received]:
        """Make messages from the entries of a stream that have the field ``data``."""
        found: list[Received] = []
        make = self.message if self._encoding is not None else cast("Callable[..., Received]", ChannelMessage)
        for id_, fields in entries:
            data = fields[1] if fields[0] == FIELD else _data_in(fields)
            if data is not None:
                found.append(make(channel, data, id_))
        return found

    @property
    def pattern(self) -> bytes:
        """The pattern of all keys with the prefix, and no others, for ``SCAN``."""
        return b"".join(b"\\%c" % byte if byte in b"*?[]^\\" else b"%c" % byte for byte in self.prefix) + b"*"


def messages_in(reply: Any) -> list[Any]:
    """Check the entries of a reply. Raises ``RemoteProtocolError``, or the error of reading another shape."""
    if type(reply) is not list:
        raise senseless("entries")
    entries: list[Any] = reply  # pyright: ignore[reportUnknownVariableType]  # a reply
    for id_, fields in entries:
        StreamId.told(id_)
        if len(strings(fields)) % 2 or not fields:
            raise senseless("the fields of an entry")
    return entries


def _data_in(fields: list[bytes]) -> bytes | None:
    """Find the data where it is not the first field."""
    for at in range(2, len(fields), 2):
        if fields[at] == FIELD:
            return fields[at + 1]
    return None
