"""The notations of ids in stream commands, and their form on the wire.

The name of an entry is complete: ``ms-seq``; where the sequence number is missing it is 0. A *position* is where
reading goes on: behind an id, or with the first entry of a millisecond, which may be given as a number or a
``datetime``. An *end* of a range includes the id that it names unless ``(`` stands before it; milliseconds alone
include all of their entries. Every id is checked here, as servers answer "Invalid stream ID" without telling which.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from ..arguments import positive, unix_milliseconds
from ..entries import StreamId
from ..errors import InvalidArgument

Id: TypeAlias = StreamId | str | bytes
Position: TypeAlias = Id | int | datetime


def parsed(what: str, value: Position) -> StreamId:
    """Parse a complete id; milliseconds alone stand for their first id. ``what`` names it in the error."""
    if isinstance(value, StreamId):
        return value
    text = _text(what, value)
    try:
        return StreamId.parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{what}: {error}") from None


def exact(what: str, value: Position) -> str:
    """Format the id of an entry: never a moment, which may have many."""
    if isinstance(value, (int, datetime)):
        raise _no_id(what, value)
    return str(parsed(what, value))


def exact_ids(command: str, ids: Iterable[Id]) -> list[str]:
    """Format the ids of several entries. Raises ``InvalidArgument`` without any."""
    sent = [exact("id", id_) for id_ in ids]
    if not sent:
        raise InvalidArgument(f"{command} needs at least one id")
    return sent


def position(what: str, value: Position, *words: str) -> str:
    """Format where reading goes on: behind an id, with the first entry of a moment, or at any of ``words``."""
    if isinstance(value, (str, bytes)) and (text := _text(what, value)) in words:
        return text
    id_ = parsed(what, value)
    return str(id_.before() if isinstance(value, (int, datetime)) else id_)


def lowest(what: str, value: Position) -> str:
    """Format the lowest id to keep: an id, or the first id of a moment."""
    return str(parsed(what, value))


def range_end(what: str, value: Position) -> str:
    """Format an end of a range, as told above; ``-`` and ``+`` are the ends of the stream."""
    if isinstance(value, StreamId):
        return str(value)
    text = _text(what, value)
    if text.startswith("("):
        return f"({parsed(what, text[1:])}"
    if text not in {"-", "+"}:
        parsed(what, text)
    return text


def _text(what: str, value: str | bytes | int | datetime) -> str:
    match value:
        case datetime():
            return str(unix_milliseconds(what, value))
        case int():
            return str(positive(what, value, zero=True))
        case bytes():
            return value.decode("ascii", "replace")
        case str():
            return value
    raise _no_id(what, value)


def _no_id(what: str, value: object) -> InvalidArgument:
    return InvalidArgument(f"{what}: {value!r} is not a stream id; ids look like 1526919030474-55 or 1526919030474")
