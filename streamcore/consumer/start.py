"""Where reading begins: the application's notations, and the places that only the server knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from ..arguments import Name, stream_names
from ..commands.ids import Position, position
from ..entries import StreamId


class Lookup(Enum):
    """A place that only the server knows; it is looked up once, and never again."""

    END = "$"
    """Behind the last entry that was ever added."""
    LAST = "+"
    """At the last entry that is there, which is read."""


Start: TypeAlias = StreamId | Lookup
Starts: TypeAlias = Name | Iterable[Name] | Mapping[str, Position] | Mapping[bytes, Position]

_WORDS: Final = tuple(lookup.value for lookup in Lookup)


def starts(given: Starts) -> dict[bytes, Start]:
    """Parse names or a mapping of names to starting points; names alone start at their end."""
    names = stream_names(given)
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, Lookup.END)
    places = cast("Mapping[Any, Any]", given).values()
    return dict(zip(names, map(start, places), strict=True))


def start(place: Position) -> Start:
    """Parse a place: an id (exclusive), ``"0"``, ``"$"``, ``"+"``; milliseconds or a ``datetime`` (inclusive)."""
    text = position("start", place, *_WORDS)
    return Lookup(text) if text in _WORDS else StreamId.parse(text)
