"""The forms in which ids are given to stream commands, and what each of them is sent as.

The name of an entry is complete: ``ms-seq``; where the sequence number is missing it is 0. A *position* is where reading
goes on: behind an id, or with the first entry of a millisecond, which may be told as a number or a ``datetime``. An *end*
of a range includes the id that it names unless ``(`` stands before it; milliseconds alone include all of their entries.
Everything is checked here, as servers answer "Invalid stream ID" without telling which.
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
    """A complete id; milliseconds alone stand for the first one of them. ``what`` names it in the error."""
    if isinstance(value, StreamId):
        return value
    text = _text(what, value)
    try:
        return StreamId.parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{what}: {error}") from None


def exact(what: str, value: Position) -> str:
    """The id of one entry: never a moment, which may have many."""
    if isinstance(value, (int, datetime)):
        raise _no_id(what, value)
    return str(parsed(what, value))


def exact_ids(command: str, ids: Iterable[Id]) -> list[str]:
    """The ids of several entries, at least one."""
    sent = [exact("id", id_) for id_ in ids]
    if not sent:
        raise InvalidArgument(f"{command} needs at least one id")
    return sent


def position(what: str, value: Position, *words: str) -> str:
    """Where reading goes on: behind an id, with the first entry of a moment, or at one of the server's ``words``."""
    if isinstance(value, (str, bytes)) and (text := _text(what, value)) in words:
        return text
    id_ = parsed(what, value)
    return str(id_.before() if isinstance(value, (int, datetime)) else id_)


def lowest(what: str, value: Position) -> str:
    """The lowest id that is meant: an id, or the first one of a moment."""
    return str(parsed(what, value))


def range_end(what: str, value: Position) -> str:
    """One end of a range, as told above; ``-`` and ``+`` are the ends of the stream."""
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
