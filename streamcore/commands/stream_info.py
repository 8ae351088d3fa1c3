"""The server's report on a stream, its groups and their consumers (``XINFO``).

Answers have the fields that servers document, under the servers' own names. A field that the server is too old for is
None; a field that a newer server adds is kept in ``other``. Durations are seconds, moments are unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, NamedTuple, TypeVar, cast

from ..arguments import Name, name, positive
from ..entries import StreamId
from ..frozen import frozen
from .command import Command, Traits
from .replies import mapping
from .stream_entries import StreamEntry, entries, entry

T = TypeVar("T")

_ASK: Final = Traits(keys=slice(2, 3), repeatable=True)


@frozen(kw_only=True)
class StreamCounters:
    """The counters of both forms of ``XINFO STREAM``. The fields of ``idmp`` came with Redis 8.6."""

    length: int
    """How many entries the stream has."""
    last_generated_id: StreamId
    """The highest id that it ever had."""
    max_deleted_entry_id: StreamId
    """The highest id that was deleted; ``0-0`` where none was."""
    entries_added: int
    """How many entries were ever added."""
    recorded_first_entry_id: StreamId
    """The id of the first entry; ``0-0`` where there is none."""
    radix_tree_keys: int
    radix_tree_nodes: int
    idmp_duration: float | None = None
    """For how many seconds XADD's ids are remembered."""
    idmp_maxsize: int | None = None
    """How many ids of each producer are remembered."""
    pids_tracked: int | None = None
    """How many producers are remembered now."""
    iids_tracked: int | None = None
    """How many ids are remembered now."""
    iids_added: int | None = None
    """How many ids were ever remembered."""
    iids_duplicates: int | None = None
    """How many repetitions were found."""
    other: dict[bytes, Any]
    """Further fields of newer servers."""


@frozen(kw_only=True)
class StreamInfo(StreamCounters):
    """The counters and ends of a stream, and how many groups it has (``XINFO STREAM``)."""

    groups: int
    """How many consumer groups it has."""
    first_entry: StreamEntry | None = None
    last_entry: StreamEntry | None = None


class PendingDelivery(NamedTuple):
    """A pending entry: its consumer, its last delivery, and how often it was delivered."""

    id: StreamId
    consumer: bytes
    time: float
    """Unix seconds of its last delivery."""
    deliveries: int


@frozen(kw_only=True)
class ConsumerFullInfo:
    """A consumer of a group, with its first pending entries (``XINFO STREAM FULL``)."""

    name: bytes
    seen_time: float
    """When it last sent a command for the group, in unix seconds."""
    active_time: float | None = None
    """When it last got an entry; None where it never did, or on Redis 7.0."""
    pel_count: int
    """How many entries it has pending."""
    pending: list[PendingDelivery]
    """The first of them."""
    other: dict[bytes, Any]
    """Further fields of newer servers."""


@frozen(kw_only=True)
class GroupFullInfo:
    """A group, with its consumers and its first pending entries (``XINFO STREAM FULL``)."""

    name: bytes
    last_delivered_id: StreamId
    entries_read: int | None = None
    """How many entries it has read, counted from the stream's first; None where the server cannot tell."""
    lag: int | None = None
    """How many entries it has still to read; None where the server cannot tell."""
    pel_count: int
    """How many entries are pending."""
    nacked_count: int | None = None
    """How many pending entries were given back by XNACK. Redis 8.8."""
    pending: list[PendingDelivery]
    """The first of them."""
    consumers: list[ConsumerFullInfo]
    other: dict[bytes, Any]
    """Further fields of newer servers."""


@frozen(kw_only=True)
class StreamFullInfo(StreamCounters):
    """A stream, with its first entries and all of its groups (``XINFO STREAM FULL``)."""

    entries: list[StreamEntry]
    """Its first entries."""
    groups: list[GroupFullInfo]


@frozen(kw_only=True)
class GroupInfo:
    """How far a group has read its stream, and how many entries it has pending (``XINFO GROUPS``)."""

    name: bytes
    consumers: int
    """How many consumers it has."""
    pending: int
    """How many entries are delivered and not acknowledged."""
    last_delivered_id: StreamId
    entries_read: int | None = None
    """How many entries it has read, counted from the stream's first; None where the server cannot tell."""
    lag: int | None = None
    """How many entries it has still to read; None where the server cannot tell."""
    other: dict[bytes, Any]
    """Further fields of newer servers."""


@frozen(kw_only=True)
class ConsumerInfo:
    """A consumer of a group: its pending entries, and when it was last heard of (``XINFO CONSUMERS``)."""

    name: bytes
    pending: int
    """How many entries it has pending."""
    idle: float
    """For how many seconds it has sent no command for the group."""
    inactive: float | None = None
    """For how many seconds it has got no entry; None where it never got any, or on Redis 7.0."""
    other: dict[bytes, Any]
    """Further fields of newer servers."""


def xinfo_stream(stream: Name) -> Command[StreamInfo]:
    """The counters and ends of a stream (``XINFO STREAM``). An error of the server where it does not exist."""
    return Command(("XINFO", "STREAM", name("stream", stream)), _stream, _ASK)


def xinfo_stream_full(stream: Name, *, count: int | None = None) -> Command[StreamFullInfo]:
    """A stream with its first entries, its groups and their pending entries (``XINFO STREAM FULL``).

    ``count`` (10) bounds each of the lists of entries; 0 is all of them. An error of the server where it does not
    exist.
    """
    limit = () if count is None else ("COUNT", positive("count", count, zero=True))
    return Command(("XINFO", "STREAM", name("stream", stream), "FULL", *limit), _full_stream, _ASK)


def xinfo_groups(stream: Name) -> Command[list[GroupInfo]]:
    """The groups of a stream (``XINFO GROUPS``). An error of the server where it does not exist."""
    return Command(("XINFO", "GROUPS", name("stream", stream)), _groups, _ASK)


def xinfo_consumers(stream: Name, group: Name) -> Command[list[ConsumerInfo]]:
    """The consumers of a group (``XINFO CONSUMERS``). Raises ``NoGroupError``."""
    return Command(("XINFO", "CONSUMERS", name("stream", stream), name("group", group)), _consumers, _ASK)


def _seconds(milliseconds: int) -> float | None:
    """A duration or a moment; servers write -1 for "never"."""
    return milliseconds / 1000 if milliseconds >= 0 else None


def _deliveries(reply: list[Any]) -> list[PendingDelivery]:
    return [PendingDelivery(StreamId.parse(id_), owner or b"", at / 1000, times) for id_, owner, at, times in reply]


def _full_group(reply: Any) -> GroupFullInfo:
    return _made(GroupFullInfo, reply, _FULL_GROUP)


def _full_consumer(reply: Any) -> ConsumerFullInfo:
    told = mapping(reply)
    owner = told[b"name"]
    pending = [(id_, owner, *more) for id_, *more in told[b"pending"]]  # the lists of a consumer do not repeat its name
    return _made(ConsumerFullInfo, {**told, b"pending": pending}, _FULL_CONSUMER)


_Parsers = Mapping[str, Callable[[Any], Any]]

_COUNTERS: Final[_Parsers] = dict.fromkeys(
    ("last_generated_id", "max_deleted_entry_id", "recorded_first_entry_id"), StreamId.parse
)
_STREAM: Final[_Parsers] = {**_COUNTERS, "first_entry": entry, "last_entry": entry}
_FULL_STREAM: Final[_Parsers] = {
    **_COUNTERS,
    "entries": entries,
    "groups": lambda groups: [_full_group(group) for group in groups],
}
_GROUP: Final[_Parsers] = {"last_delivered_id": StreamId.parse}
_FULL_GROUP: Final[_Parsers] = {
    **_GROUP,
    "pending": _deliveries,
    "consumers": lambda consumers: [_full_consumer(consumer) for consumer in consumers],
}
_CONSUMER: Final[_Parsers] = {"idle": _seconds, "inactive": _seconds}
_FULL_CONSUMER: Final[_Parsers] = {"seen_time": _seconds, "active_time": _seconds, "pending": _deliveries}


def _stream(reply: Any) -> StreamInfo:
    return _made(StreamInfo, reply, _STREAM)


def _full_stream(reply: Any) -> StreamFullInfo:
    return _made(StreamFullInfo, reply, _FULL_STREAM)


def _groups(reply: list[Any]) -> list[GroupInfo]:
    return [_made(GroupInfo, group, _GROUP) for group in reply]


def _consumers(reply: list[Any]) -> list[ConsumerInfo]:
    return [_made(ConsumerInfo, consumer, _CONSUMER) for consumer in reply]


def _made(kind: type[T], reply: Any, parsers: _Parsers) -> T:
    """Make a value of ``kind`` from the server's map; fields that it does not have go to ``other``."""
    other = mapping(reply)
    known: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # all kinds are dataclasses
        key = field.name.replace("_", "-").encode()
        if key in other and field.name != "other":
            told = other.pop(key)
            known[field.name] = parsers[field.name](told) if field.name in parsers and told is not None else told
    return cast("Callable[..., T]", kind)(**known, other=other)
