"""Commands on streams: append, read, trim, delete. The commands of consumer groups are in ``groups``.

Names and options are the server's own; durations are seconds. The notations of ids and moments are told in ``ids``.
XADD is the only command here that is sent a million times: its fields go into the arguments in a single step, and are
looked at singly only to find a field that could not be encoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from itertools import chain
from typing import Any, Final, Literal, TypeAlias, cast

from ..arguments import Name, Seconds, milliseconds, name, positive, stream_names
from ..entries import StreamId
from ..errors import InvalidArgument
from ..resp3 import Argument, encode
from .command import READ, WRITE, Command, LinkUse, Traits
from .ids import Id, Position, exact, exact_ids, lowest, parsed, position, range_end
from .stream_entries import StreamEntry, by_stream, entries

Refs: TypeAlias = Literal["keep", "delete", "acked"]
# Keys are names. A mapping is invariant in its keys, and no type checker infers a dict of mixed values for a union.
Positions: TypeAlias = Mapping[Any, Position]

_REFS: Final = {"keep": "KEEPREF", "delete": "DELREF", "acked": "ACKED"}
_PAIRS: Final = frozenset({tuple, list})
_TWO: Final = frozenset({2})
_NOT_IN_VALKEY: Final = "; Valkey does not have it"
_WITH_REFS: Final = WRITE._replace(needs=f"Redis 8.2{_NOT_IN_VALKEY}")
_WITH_IDMP: Final = WRITE._replace(needs=f"Redis 8.6{_NOT_IN_VALKEY}")
_CONFIGURED: Final = READ._replace(needs=f"Redis 8.6{_NOT_IN_VALKEY}")


class Removal(IntEnum):
    """The fate of an entry in XDELEX or XACKDEL."""

    DELETED = 1
    """It is deleted."""
    KEPT = 2
    """It is kept, because ``refs="acked"`` and a group has not delivered or acknowledged it."""
    UNKNOWN = -1
    """There is no such entry, or none that is pending in the group; no such stream or group either."""


def xadd(
    stream: Name,
    fields: Mapping[Any, Any] | Iterable[tuple[Argument, Argument]],
    *,
    id: Id = "*",  # noqa: A002  # the server's word
    maxlen: int | None = None,
    minid: Position | None = None,
    approximate: bool = True,
    limit: int | None = None,
    nomkstream: bool = False,
    refs: Refs | None = None,
    idmp: tuple[Name, Name] | None = None,
    idmpauto: Name | None = None,
) -> Command[StreamId | None]:
    """Append an entry (``XADD``); answers its id, or None where ``nomkstream`` found no stream.

    ``id``: ``*`` (the server chooses), ``ms-*`` (it numbers within the millisecond), or an id above the last id.
    ``maxlen`` entries, or the entries from ``minid`` on, are kept: about, unless ``approximate=False``; ``limit``
    bounds how many are examined (0: all). ``refs`` says whether pending entries are trimmed: see ``xtrim``.
    ``idmp=(producer, id)`` appends once however often it is sent, ``idmpauto=producer`` takes the fields for the id: a
    repetition answers the first id, within the window that ``xcfgset`` sets (100 ids of a producer, 100 seconds).
    """
    args: list[Argument] = ["XADD", name("stream", stream)]
    traits = WRITE
    if nomkstream:
        args.append("NOMKSTREAM")
    if refs is not None:
        args.append(chosen("refs", refs, _REFS))
        traits = _WITH_REFS
    if idmp is not None or idmpauto is not None:
        args += _once(idmp, idmpauto, id)
        traits = _WITH_IDMP
    if maxlen is not None or minid is not None or limit is not None:
        args += _trimming(maxlen, minid, limit, approximate=approximate)
    args.append("*" if isinstance(id, str) and id == "*" else _new_id(id))
    head = len(args)
    items = getattr(fields, "items", None)
    try:
        args += chain.from_iterable(_pairs(fields) if items is None else items())
    except TypeError:
        raise _not_fields(fields) from None
    if len(args) == head:
        raise InvalidArgument("an entry needs at least one field")
    try:
        return Command(tuple(args), _id_or_none, traits)
    except InvalidArgument:
        raise _culprit(args[head:]) from None


def _pairs(fields: Iterable[Any]) -> list[Any]:
    """Check that pairs are tuples or lists: text of two letters, from a flat list, would pass for a pair."""
    listed = list(fields)
    of_pairs = _PAIRS.issuperset(map(type, listed)) or all(isinstance(pair, (tuple, list)) for pair in listed)
    if of_pairs and _TWO.issuperset(map(len, listed)):
        return listed
    raise _not_fields(fields)


def _not_fields(fields: object) -> InvalidArgument:
    return InvalidArgument(f"fields must be a mapping or pairs of a field and its value, not {type(fields).__name__}")


def _culprit(flat: list[Any]) -> InvalidArgument:
    """Find the field or value that cannot be sent, and why. A value is not shown."""
    at = 0
    while (reason := _refusal(flat[at])) is None:
        at += 1
    what = f"the value of field {flat[at - 1]!r}" if at % 2 else f"the name of field {at // 2 + 1}"
    return InvalidArgument(f"{what}: {reason}")


def _refusal(arg: Any) -> InvalidArgument | None:
    try:
        encode((arg,))
    except InvalidArgument as error:
        return error
    return None


def _new_id(value: Id) -> str:
    """An id to give to a new entry: ``ms-seq``, or ``ms-*`` to let the server number within the millisecond."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if isinstance(text, str):
        if text == "*":
            return text
        if text.endswith("-*"):
            return f"{parsed('id', text[:-2]).ms}-*"
    return exact("id", text)


def _once(idmp: tuple[Name, Name] | None, idmpauto: Name | None, id_: Id) -> list[Argument]:
    if idmp is not None and idmpauto is not None:
        raise InvalidArgument("give idmp or idmpauto, not both")
    if _new_id(id_) != "*":
        raise InvalidArgument("idmp and idmpauto need id='*': a repetition answers the id that was chosen at first")
    if idmp is None:
        return ["IDMPAUTO", name("idmpauto", cast("Name", idmpauto))]
    given: Any = idmp
    match given:
        case (producer, message):
            return ["IDMP", name("the producer of idmp", producer), name("the id of idmp", message)]
        case _:
            raise InvalidArgument("idmp must be a tuple of the producer's name and the message's id")


def _id_or_none(reply: bytes | None) -> StreamId | None:
    return None if reply is None else StreamId.parse(reply)


def _trimming(maxlen: int | None, minid: Position | None, limit: int | None, *, approximate: bool) -> list[Argument]:
    how = "~" if approximate else "="
    args: list[Argument]
    if maxlen is not None:
        if minid is not None:
            raise InvalidArgument("give maxlen or minid, not both")
        args = ["MAXLEN", how, positive("maxlen", maxlen, zero=True)]
    elif minid is not None:
        args = ["MINID", how, lowest("minid", minid)]
    elif limit is not None:
        raise InvalidArgument("limit needs maxlen or minid")
    else:
        return []
    if limit is not None:
        if not approximate:
            raise InvalidArgument("limit needs approximate=True: an exact trim examines all that it must")
        args += ["LIMIT", positive("limit", limit, zero=True)]
    return args


def chosen(what: str, value: object, words: Mapping[str, str]) -> str:
    """Return the server's word for a word of ours."""
    if not isinstance(value, str) or value not in words:
        raise InvalidArgument(f"{what} must be {' or '.join(map(repr, words))}, not {value!r}")
    return words[value]


def xlen(stream: Name) -> Command[int]:
    """How many entries the stream has (``XLEN``); 0 where it does not exist."""
    return Command(("XLEN", name("stream", stream)), traits=READ)


def xdel(stream: Name, *ids: Id) -> Command[int]:
    """Delete entries (``XDEL``); answers how many there were. They stay pending where they are: see ``xdelex``."""
    return Command(("XDEL", name("stream", stream), *exact_ids("xdel", ids)), traits=WRITE)


def xdelex(stream: Name, *ids: Id, refs: Refs | None = None) -> Command[list[Removal]]:
    """Delete entries (``XDELEX``); answers a ``Removal`` for each; ``refs`` as for ``xtrim``. Redis 8.2."""
    tail = removed("xdelex", ids, refs)
    return Command(("XDELEX", name("stream", stream), *tail), removals, _WITH_REFS)


def removed(command: str, ids: Iterable[Id], refs: Refs | None) -> list[Argument]:
    """Format the arguments that XDELEX and XACKDEL share."""
    sent = exact_ids(command, ids)
    return [*([] if refs is None else [chosen("refs", refs, _REFS)]), "IDS", len(sent), *sent]


def removals(reply: list[int]) -> list[Removal]:
    """Parse the reply that XDELEX and XACKDEL share, a number for each id."""
    return [Removal(code) for code in reply]


def xtrim(
    stream: Name,
    *,
    maxlen: int | None = None,
    minid: Position | None = None,
    approximate: bool = True,
    limit: int | None = None,
    refs: Refs | None = None,
) -> Command[int]:
    """Delete the oldest entries (``XTRIM``): all but ``maxlen``, or all below ``minid``; answers how many.

    Whole nodes only, unless ``approximate=False``; ``limit`` bounds how many entries are examined (0: all). ``refs``
    (Redis 8.2): ``keep`` leaves references of groups to deleted entries (the default), ``delete`` removes them from
    all groups' pending entries, ``acked`` deletes only entries that every group has acknowledged.
    """
    trimming = _trimming(maxlen, minid, limit, approximate=approximate)
    if not trimming:
        raise InvalidArgument("xtrim needs maxlen or minid")
    if refs is None:
        return Command(("XTRIM", name("stream", stream), *trimming), traits=WRITE)
    return Command(("XTRIM", name("stream", stream), *trimming, chosen("refs", refs, _REFS)), traits=_WITH_REFS)


def xrange(
    stream: Name, start: Position = "-", end: Position = "+", *, count: int | None = None
) -> Command[list[StreamEntry]]:
    """Entries from ``start`` to ``end``, both included (``(`` before an id excludes it), oldest first (``XRANGE``)."""
    return _range("XRANGE", stream, ("start", start), ("end", end), count)


def xrevrange(
    stream: Name, end: Position = "+", start: Position = "-", *, count: int | None = None
) -> Command[list[StreamEntry]]:
    """Entries from ``end`` back to ``start``, newest first (``XREVRANGE``)."""
    return _range("XREVRANGE", stream, ("end", end), ("start", start), count)


def _range(
    word: str, stream: Name, first: tuple[str, Position], second: tuple[str, Position], count: int | None
) -> Command[list[StreamEntry]]:
    limit: tuple[Argument, ...] = () if count is None else ("COUNT", positive("count", count))
    return Command((word, name("stream", stream), range_end(*first), range_end(*second), *limit), entries, READ)


def xread(
    streams: Positions, *, count: int | None = None, block: Seconds | None = None
) -> Command[dict[bytes, list[StreamEntry]]]:
    """Entries behind the position of each stream (``XREAD``); streams without any are not in the answer.

    A position is an id (exclusive), milliseconds or a ``datetime`` (inclusive), ``$`` (only new entries) or ``+`` (the
    last entry; Redis 7.4, Valkey 8.0). ``count`` bounds the entries of each stream. ``block`` waits so many seconds
    for the first entry, on a link of its own; without it the answer comes at once.
    """
    names, starts = placed(streams, "$", "+")
    options = reading(count, block)
    # Sent again, "$" would mean the end of the stream at that time, and skip the entries between.
    traits = read_traits(1 + len(options), len(names), block, repeatable="$" not in starts)
    if "+" in starts:
        traits = traits._replace(needs="Redis 7.4 or Valkey 8.0")
    return Command(("XREAD", *options, "STREAMS", *names, *starts), by_stream, traits)


def placed(streams: Positions, *words: str) -> tuple[list[bytes], list[str]]:
    """Split the names and positions of a read; each stream once, for a decoder cannot tell its two answers apart."""
    if not isinstance(streams, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        raise InvalidArgument("streams must be a mapping of names to the positions behind which to read")
    names = stream_names(streams.keys())
    return names, [position("streams", start, *words) for start in streams.values()]


def reading(count: int | None, block: Seconds | None) -> list[Argument]:
    """The options that XREAD and XREADGROUP share."""
    options: list[Argument] = []
    if count is not None:
        options += ["COUNT", positive("count", count)]
    if block is not None:
        options += ["BLOCK", milliseconds("block", block)]
    return options


def read_traits(
    streams_at: int, n_streams: int, block: Seconds | None, *, repeatable: bool = False, needs: str = ""
) -> Traits:
    """The traits of a read with STREAMS at ``streams_at``: where its keys are, how long it blocks, and its link."""
    keys = slice(streams_at + 1, streams_at + 1 + n_streams)
    if block is None:
        return Traits(keys, repeatable, needs=needs)
    return Traits(keys, repeatable, LinkUse.DEDICATED, milliseconds("block", block) / 1000, needs)


def xsetid(
    stream: Name,
    id: Id,  # noqa: A002
    *,
    entries_added: int | None = None,
    max_deleted_id: Id | None = None,
) -> Command[bytes]:
    """Set the stream's last id, and the counters of its life (``XSETID``); the stream must exist."""
    args: list[Argument] = ["XSETID", name("stream", stream), exact("id", id)]
    if entries_added is not None:
        args += ["ENTRIESADDED", positive("entries_added", entries_added, zero=True)]
    if max_deleted_id is not None:
        args += ["MAXDELETEDID", exact("max_deleted_id", max_deleted_id)]
    return Command(tuple(args), traits=READ)


def xcfgset(stream: Name, *, idmp_duration: Seconds | None = None, idmp_maxsize: int | None = None) -> Command[bytes]:
    """Set the seconds, whole, and the ids of a producer for which XADD's ``idmp`` remembers (``XCFGSET``). Redis 8.6.

    A changed value forgets all of them: a repetition is appended twice then.
    """
    args: list[Argument] = ["XCFGSET", name("stream", stream)]
    if idmp_duration is not None:
        duration = milliseconds("idmp_duration", idmp_duration)
        if duration % 1000:
            raise InvalidArgument(f"idmp_duration must be whole seconds, not {duration / 1000:g}")
        args += ["IDMP-DURATION", duration // 1000]
    if idmp_maxsize is not None:
        args += ["IDMP-MAXSIZE", positive("idmp_maxsize", idmp_maxsize)]
    if len(args) == 2:
        raise InvalidArgument("xcfgset needs idmp_duration or idmp_maxsize")
    return Command(tuple(args), traits=_CONFIGURED)
