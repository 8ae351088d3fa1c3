"""Commands of consumer groups: create, read, acknowledge, claim.

A group delivers each entry to a single consumer and keeps it *pending* until it is acknowledged. ``GroupConsumer``
does all of this by itself; these are its parts, for programs that want their own way, and for tools. Durations are
seconds, also in the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from ..arguments import Moment, Name, Seconds, milliseconds, name, positive, unix_milliseconds
from ..entries import StreamId
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import WRITE, Command, Traits
from .ids import Id, Position, exact, exact_ids, position, range_end
from .replies import flag
from .stream_entries import DeliveredEntry, delivered, delivered_by_stream, idle_seconds
from .streams import Positions, Refs, Removal, chosen, placed, read_traits, reading, removals, removed

T = TypeVar("T")
Nack: TypeAlias = Literal["silent", "fail", "fatal"]

_GROUP: Final = Traits(keys=slice(2, 3))
_SET_GROUP: Final = _GROUP._replace(repeatable=True)
_ASK: Final = Traits(repeatable=True)
_ACKDEL: Final = Traits(needs="Redis 8.2; Valkey does not have it")
_NACK: Final = Traits(needs="Redis 8.8; Valkey does not have it")
_CLAIM: Final = "Redis 8.4; Valkey does not have it"
_NACKS: Final = {"silent": "SILENT", "fail": "FAIL", "fatal": "FATAL"}


def xgroup_create(
    stream: Name, group: Name, *, start: Position = "0", mkstream: bool = True, entries_read: int | None = None
) -> Command[bytes]:
    """Create a consumer group (``XGROUP CREATE``) behind ``start``: ``"0"`` for all entries, ``"$"`` for later entries.

    ``mkstream`` creates the stream where it does not exist. ``entries_read``, how many entries the group counts as
    read, is the base of its lag. Raises ``BusyGroupError`` where the group exists.
    """
    tail = ("MKSTREAM",) if mkstream else ()
    return Command((*_at("CREATE", stream, group, start), *tail, *_entries_read(entries_read)), traits=_GROUP)


def xgroup_setid(stream: Name, group: Name, start: Position, *, entries_read: int | None = None) -> Command[bytes]:
    """Have a group go on behind ``start`` (``XGROUP SETID``), an id or ``"$"``; pending entries stay pending."""
    args = (*_at("SETID", stream, group, start), *_entries_read(entries_read))
    return Command(args, traits=_GROUP if args[4] == "$" else _SET_GROUP)


def xgroup_destroy(stream: Name, group: Name) -> Command[bool]:
    """Destroy a group with its pending entries (``XGROUP DESTROY``); answers whether it existed."""
    return Command(_group("DESTROY", stream, group), flag, _GROUP)


def xgroup_createconsumer(stream: Name, group: Name, consumer: Name) -> Command[bool]:
    """Create a consumer (``XGROUP CREATECONSUMER``), as its first read would; answers whether it is new."""
    return Command((*_group("CREATECONSUMER", stream, group), name("consumer", consumer)), flag, _GROUP)


def xgroup_delconsumer(stream: Name, group: Name, consumer: Name) -> Command[int]:
    """Delete a consumer (``XGROUP DELCONSUMER``); answers how many pending entries are lost to the group with it."""
    return Command((*_group("DELCONSUMER", stream, group), name("consumer", consumer)), traits=_GROUP)


def _group(word: str, stream: Name, group: Name) -> tuple[Argument, ...]:
    return "XGROUP", word, name("stream", stream), name("group", group)


def _at(word: str, stream: Name, group: Name, start: Position) -> tuple[Argument, ...]:
    return *_group(word, stream, group), position("start", start, "$")


def _entries_read(value: int | None) -> tuple[Argument, ...]:
    return () if value is None else ("ENTRIESREAD", positive("entries_read", value, zero=True))


def xreadgroup(
    group: Name,
    consumer: Name,
    streams: Positions,
    *,
    count: int | None = None,
    block: Seconds | None = None,
    noack: bool = False,
    claim: Seconds | None = None,
) -> Command[dict[bytes, list[DeliveredEntry]]]:
    """Deliver entries to a consumer (``XREADGROUP``): new entries at ``">"``, else its pending entries behind an id.

    A stream that is read at ``">"`` is not in the answer where it has no new entry. ``noack``: new entries are not
    kept as pending. ``claim``: first take over entries that have been pending for so many seconds (Redis 8.4).
    ``block`` waits so many seconds for the first new entry, on a link of its own. Raises ``NoGroupError``.
    """
    names, starts = placed(streams, ">")
    args: list[Argument] = ["XREADGROUP", "GROUP", name("group", group), name("consumer", consumer)]
    args += reading(count, block)
    if claim is not None:
        args += ["CLAIM", milliseconds("claim", claim, zero=True)]
    if noack:
        args.append("NOACK")
    traits = read_traits(len(args), len(names), block, needs="" if claim is None else _CLAIM)
    return Command((*args, "STREAMS", *names, *starts), delivered_by_stream, traits)


def xack(stream: Name, group: Name, *ids: Id) -> Command[int]:
    """Acknowledge entries (``XACK``); answers how many were pending. A group that does not exist has none."""
    return Command(("XACK", name("stream", stream), name("group", group), *exact_ids("xack", ids)), traits=WRITE)


def xackdel(stream: Name, group: Name, *ids: Id, refs: Refs | None = None) -> Command[list[Removal]]:
    """Acknowledge entries and delete them (``XACKDEL``, Redis 8.2); answers a ``Removal`` for each.

    ``refs`` as for ``xtrim``.
    """
    tail = removed("xackdel", ids, refs)
    return Command(("XACKDEL", name("stream", stream), name("group", group), *tail), removals, _ACKDEL)


def xnack(
    stream: Name, group: Name, *ids: Id, mode: Nack, retrycount: int | None = None, force: bool = False
) -> Command[int]:
    """Give pending entries back to the group without acknowledging them (``XNACK``); answers how many. Redis 8.8.

    They stay pending, with no owner, and the next claim takes them at once. ``mode`` says how the delivery counts:
    ``silent`` takes it back, ``fail`` leaves it counted, ``fatal`` sets the count to the highest that there is;
    ``retrycount`` sets it to a number. ``force`` makes entries of the stream pending that are not.
    """
    sent = exact_ids("xnack", ids)
    args: list[Argument] = ["XNACK", name("stream", stream), name("group", group)]
    args += [chosen("mode", mode, _NACKS), "IDS", len(sent), *sent]
    if retrycount is not None:
        args += ["RETRYCOUNT", positive("retrycount", retrycount, zero=True)]
    if force:
        args.append("FORCE")
    return Command(tuple(args), traits=_NACK)


class PendingSummary(NamedTuple):
    """The pending entries of a group: how many, the lowest and highest id, and how many per consumer."""

    entries: int
    lowest: StreamId | None
    highest: StreamId | None
    consumers: dict[bytes, int]


class PendingEntry(NamedTuple):
    """A pending entry: its consumer, the seconds since its last delivery, and how often it was delivered.

    An entry that XNACK gave back has no consumer (``b""``), and its ``idle`` is infinite: any claim takes it.
    """

    id: StreamId
    consumer: bytes
    idle: float
    deliveries: int


def xpending(stream: Name, group: Name) -> Command[PendingSummary]:
    """Sum up the entries that are delivered and not acknowledged (``XPENDING``). Raises ``NoGroupError``."""
    return Command(("XPENDING", name("stream", stream), name("group", group)), _summary, _ASK)


def xpending_range(
    stream: Name,
    group: Name,
    start: Position = "-",
    end: Position = "+",
    *,
    count: int,
    consumer: Name | None = None,
    idle: Seconds | None = None,
) -> Command[list[PendingEntry]]:
    """List at most ``count`` pending entries from ``start`` to ``end``, in id order (``XPENDING``).

    ``consumer``: only this consumer's. ``idle``: only entries that have been pending for so many seconds. ``start``
    and ``end`` as for ``xrange``. Raises ``NoGroupError``.
    """
    args: list[Argument] = ["XPENDING", name("stream", stream), name("group", group)]
    if idle is not None:
        args += ["IDLE", milliseconds("idle", idle, zero=True)]
    args += [range_end("start", start), range_end("end", end), positive("count", count)]
    if consumer is not None:
        args.append(name("consumer", consumer))
    return Command(tuple(args), _pending, _ASK)


def _summary(reply: list[Any]) -> PendingSummary:
    entries, lowest, highest, consumers = reply
    by_name = {consumer: int(n) for consumer, n in consumers or ()}
    return PendingSummary(entries, _id_or_none(lowest), _id_or_none(highest), by_name)


def _id_or_none(reply: bytes | None) -> StreamId | None:
    return None if reply is None else StreamId.parse(reply)


def _pending(reply: list[Any]) -> list[PendingEntry]:
    return [
        PendingEntry(StreamId.parse(id_), owner or b"", idle_seconds(idle), times) for id_, owner, idle, times in reply
    ]


def xclaim(
    stream: Name,
    group: Name,
    consumer: Name,
    *ids: Id,
    min_idle: Seconds,
    idle: Seconds | None = None,
    time: Moment | None = None,
    retrycount: int | None = None,
    force: bool = False,
    lastid: Id | None = None,
) -> Command[list[DeliveredEntry]]:
    """Make a consumer the owner of entries that have been pending for ``min_idle`` seconds (``XCLAIM``); answers them.

    The entries count as delivered once more, now, unless told otherwise: ``idle`` seconds ago or at a ``time``, and
    ``retrycount`` times in all. ``force`` makes entries pending that are not. ``lastid`` moves the group's last
    delivered id up. Entries that are deleted are not pending afterwards, and not in the answer. Raises
    ``NoGroupError``.
    """
    args = _claimed(stream, group, consumer, ids, min_idle, idle, time, retrycount, lastid, force=force)
    return Command(args, delivered, traits=WRITE)


def xclaim_justid(
    stream: Name,
    group: Name,
    consumer: Name,
    *ids: Id,
    min_idle: Seconds,
    idle: Seconds | None = None,
    time: Moment | None = None,
    retrycount: int | None = None,
    force: bool = False,
    lastid: Id | None = None,
) -> Command[list[StreamId]]:
    """As ``xclaim``, but answers ids alone, and does not count as a delivery (``XCLAIM`` with ``JUSTID``)."""
    args = _claimed(stream, group, consumer, ids, min_idle, idle, time, retrycount, lastid, force=force)
    return Command((*args, "JUSTID"), _ids, traits=WRITE)


def _claimed(
    stream: Name,
    group: Name,
    consumer: Name,
    ids: Iterable[Id],
    min_idle: Seconds,
    idle: Seconds | None,
    time: Moment | None,
    retrycount: int | None,
    lastid: Id | None,
    *,
    force: bool,
) -> tuple[Argument, ...]:
    args = _claim("XCLAIM", stream, group, consumer, min_idle)
    args += exact_ids("xclaim", ids)
    if idle is not None:
        if time is not None:
            raise InvalidArgument("give idle or time, not both")
        args += ["IDLE", milliseconds("idle", idle, zero=True)]
    if time is not None:
        args += ["TIME", unix_milliseconds("time", time)]
    if retrycount is not None:
        args += ["RETRYCOUNT", positive("retrycount", retrycount, zero=True)]
    if force:
        args.append("FORCE")
    if lastid is not None:
        args += ["LASTID", exact("lastid", lastid)]
    return tuple(args)


class AutoClaimResult(NamedTuple, Generic[T]):
    """The answer of XAUTOCLAIM: the next cursor, the claimed entries, and the pending ids without an entry."""

    cursor: StreamId
    """The ``start`` of the next call; ``0-0`` when all pending entries have been looked at."""
    claimed: list[T]
    deleted: list[StreamId]
    """They are not pending any more, and were never acknowledged."""


def xautoclaim(
    stream: Name, group: Name, consumer: Name, *, min_idle: Seconds, start: Position = "0", count: int | None = None
) -> Command[AutoClaimResult[DeliveredEntry]]:
    """Claim entries that have been pending for ``min_idle`` seconds, from the id ``start`` on (``XAUTOCLAIM``).

    Their consumer may be any. At most ``count`` entries (100), and ten times as many are looked at. Raises
    ``NoGroupError``.
    """
    return Command(_scan(stream, group, consumer, min_idle, start, count), _parser(delivered), traits=WRITE)


def xautoclaim_justid(
    stream: Name, group: Name, consumer: Name, *, min_idle: Seconds, start: Position = "0", count: int | None = None
) -> Command[AutoClaimResult[StreamId]]:
    """As ``xautoclaim``, but answers ids alone, and does not count as a delivery (``XAUTOCLAIM`` with ``JUSTID``)."""
    return Command((*_scan(stream, group, consumer, min_idle, start, count), "JUSTID"), _parser(_ids), traits=WRITE)


def _scan(
    stream: Name, group: Name, consumer: Name, min_idle: Seconds, start: Position, count: int | None
) -> tuple[Argument, ...]:
    limit: tuple[Argument, ...] = () if count is None else ("COUNT", positive("count", count))
    return *_claim("XAUTOCLAIM", stream, group, consumer, min_idle), range_end("start", start), *limit


def _claim(word: str, stream: Name, group: Name, consumer: Name, min_idle: Seconds) -> list[Argument]:
    who = name("group", group), name("consumer", consumer)
    return [word, name("stream", stream), *who, milliseconds("min_idle", min_idle, zero=True)]


def _parser(claimed: Callable[[Iterable[Any]], list[T]]) -> Callable[[list[Any]], AutoClaimResult[T]]:
    def parse(reply: list[Any]) -> AutoClaimResult[T]:
        cursor, found, deleted = reply
        return AutoClaimResult(StreamId.parse(cursor), claimed(found), _ids(deleted))

    return parse


def _ids(reply: Iterable[bytes]) -> list[StreamId]:
    return [StreamId.parse(id_) for id_ in reply]
