"""Commands on streams. Names follow the server's own documentation of each command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from ..arguments import Name, name, positive
from ..entries import StreamId
from ..errors import InvalidArgument
from ..resp3 import Argument
from .command import READ, Command

RawEntry = tuple[StreamId, dict[bytes, bytes]]


def xadd(
    stream: Name,
    fields: Mapping[Any, Any] | Iterable[tuple[Argument, Argument]],
    *,
    id: StreamId | str = "*",  # noqa: A002  # the server's word
    maxlen: int | None = None,
    minid: StreamId | str | None = None,
    approximate: bool = True,
    nomkstream: bool = False,
) -> Command[StreamId | None]:
    """Append an entry; answers its id, or None where ``nomkstream`` found no stream.

    ``maxlen`` entries, or those from ``minid`` on, are kept (about, unless ``approximate=False``).
    """
    args: list[Argument] = ["XADD", name("stream", stream)]
    if nomkstream:
        args.append("NOMKSTREAM")
    args += _trimming(maxlen, minid, approximate=approximate)
    args.append("*" if id == "*" else _explicit(id))
    head = len(args)
    items: Callable[[], Iterable[Any]] | None = getattr(fields, "items", None)
    try:
        for field, value in fields if items is None else items():
            args += (field, value)
    except (TypeError, ValueError):
        what = type(cast("object", fields)).__name__
        raise InvalidArgument(f"fields must be a mapping or pairs, not {what}") from None
    if len(args) == head:
        raise InvalidArgument("an entry needs at least one field")
    return Command(tuple(args), _id_or_none)


def _explicit(value: StreamId | str) -> str:
    """An id to give to a new entry: ``ms-seq``, or ``ms-*`` to let the server number within the millisecond."""
    if isinstance(value, str) and value.endswith("-*"):
        return f"{StreamId.parse(value[:-2]).ms}-*"
    return str(_id(value))


def _id(value: StreamId | str) -> StreamId:
    return value if isinstance(value, StreamId) else StreamId.parse(value)


def _id_or_none(reply: bytes | None) -> StreamId | None:
    return None if reply is None else StreamId.parse(reply)


def _trimming(maxlen: int | None, minid: StreamId | str | None, *, approximate: bool) -> list[Argument]:
    how = "~" if approximate else "="
    if maxlen is None:
        return [] if minid is None else ["MINID", how, str(_id(minid))]
    if minid is not None:
        raise InvalidArgument("give maxlen or minid, not both")
    return ["MAXLEN", how, positive("maxlen", maxlen, zero=True)]


def xlen(stream: Name) -> Command[int]:
    """How many entries the stream has; 0 where it does not exist."""
    return Command(("XLEN", name("stream", stream)), traits=READ)


def xdel(stream: Name, *ids: StreamId | str) -> Command[int]:
    """Delete entries; answers how many there were."""
    if not ids:
        raise InvalidArgument("xdel needs at least one id")
    return Command(("XDEL", name("stream", stream), *(str(_id(i)) for i in ids)))


def xtrim(
    stream: Name, *, maxlen: int | None = None, minid: StreamId | str | None = None, approximate: bool = True
) -> Command[int]:
    """Delete the oldest entries; answers how many."""
    trimming = _trimming(maxlen, minid, approximate=approximate)
    if not trimming:
        raise InvalidArgument("xtrim needs maxlen or minid")
    return Command(("XTRIM", name("stream", stream), *trimming))


def _entries(reply: list[Any]) -> list[RawEntry]:
    return [(StreamId.parse(id_), dict(zip(flat[::2], flat[1::2], strict=True))) for id_, flat in reply]


def xrange(
    stream: Name, start: StreamId | str = "-", end: StreamId | str = "+", *, count: int | None = None
) -> Command[list[RawEntry]]:
    """Entries from ``start`` to ``end``, both included (``(`` before an id excludes it), oldest first."""
    return _range("XRANGE", stream, start, end, count)


def xrevrange(
    stream: Name, end: StreamId | str = "+", start: StreamId | str = "-", *, count: int | None = None
) -> Command[list[RawEntry]]:
    """Entries from ``end`` back to ``start``, newest first."""
    return _range("XREVRANGE", stream, end, start, count)


def _range(
    word: str, stream: Name, one: StreamId | str, other: StreamId | str, count: int | None
) -> Command[list[RawEntry]]:
    limit: tuple[Argument, ...] = () if count is None else ("COUNT", positive("count", count))
    return Command((word, name("stream", stream), _end(one), _end(other), *limit), _entries, traits=READ)


def _end(value: StreamId | str) -> str:
    """One end of a range: an id, ``-``, ``+``, or an id behind ``(``, which excludes it."""
    if isinstance(value, StreamId) or value in {"-", "+"}:
        return str(value)
    return "(" + str(StreamId.parse(value[1:])) if value.startswith("(") else str(StreamId.parse(value))


def xack(stream: Name, group: Name, *ids: StreamId | str) -> Command[int]:
    """Acknowledge entries; answers how many were pending."""
    if not ids:
        raise InvalidArgument("xack needs at least one id")
    return Command(("XACK", name("stream", stream), name("group", group), *(str(_id(i)) for i in ids)))


def xgroup_create(stream: Name, group: Name, *, start: StreamId | str = "0", mkstream: bool = True) -> Command[bytes]:
    """Create a consumer group that begins behind ``start`` (an id, ``"0"`` or ``"$"``)."""
    where = "$" if start == "$" else str(_id(start))
    tail = ("MKSTREAM",) if mkstream else ()
    return Command(("XGROUP", "CREATE", name("stream", stream), name("group", group), where, *tail))


def xgroup_destroy(stream: Name, group: Name) -> Command[int]:
    """Destroy a consumer group with its pending entries; answers 1, or 0 where there was none."""
    return Command(("XGROUP", "DESTROY", name("stream", stream), name("group", group)))


class PendingSummary(NamedTuple):
    """What a group has pending: how many entries, the lowest and highest id, and how many per consumer."""

    entries: int
    lowest: StreamId | None
    highest: StreamId | None
    consumers: dict[bytes, int]


def _pending(reply: list[Any]) -> PendingSummary:
    entries, lowest, highest, consumers = reply
    by_name = {consumer: int(n) for consumer, n in consumers or ()}
    return PendingSummary(entries, _id_or_none(lowest), _id_or_none(highest), by_name)


def xpending(stream: Name, group: Name) -> Command[PendingSummary]:
    """What is delivered to the group's consumers and not acknowledged."""
    return Command(("XPENDING", name("stream", stream), name("group", group)), _pending, traits=READ)
