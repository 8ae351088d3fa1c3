"""Entries as answers of commands.

Consumers hand over lazy views of many entries (``streamcore.entries``); a command answers a few, and plain values
serve it best: tuples that unpack as ``id, fields``, with the fields as a dict. An entry may repeat a field, so the
dict keeps the server's list beside it, and ``pairs()`` has everything in its order. A group also hands out entries
that are deleted meanwhile: their fields are None, which a type checker has the caller look at.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any, NamedTuple

from ..entries import StreamId
from .replies import pairs, strings


class EntryFields(dict[bytes, bytes]):
    """The fields of an entry and their values; of a repeated field, the last value. ``pairs()`` has them all."""

    __slots__ = ("_flat",)

    def __init__(self, flat: list[bytes]) -> None:
        strings(flat)
        super().__init__(zip(flat[::2], flat[1::2], strict=True))
        self._flat = flat

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """The fields and values in the entry's own order, repeated fields included."""
        return list(zip(self._flat[::2], self._flat[1::2], strict=True))


class StreamEntry(NamedTuple):
    """An entry of a stream; unpacks as ``id, fields``."""

    id: StreamId
    fields: EntryFields


class DeliveredEntry(NamedTuple):
    """An entry that was delivered to a consumer of a group.

    ``fields`` is None where the entry is not in the stream any more. ``idle``, for how many seconds it had been
    pending with its last consumer, and ``deliveries``, how often it was delivered before, are told by XREADGROUP with
    ``claim`` only: both are 0 for a new entry. ``idle`` is infinite for an entry that XNACK gave back.
    """

    id: StreamId
    fields: EntryFields | None
    idle: float | None = None
    deliveries: int | None = None


def entries(reply: Iterable[Any]) -> list[StreamEntry]:
    """Parse the entries of XRANGE."""
    return [entry(each) for each in reply]


def entry(reply: Any) -> StreamEntry:
    """Parse an entry, ``[id, [field, value, ...]]``."""
    id_, flat = reply
    return StreamEntry(StreamId.parse(id_), EntryFields(flat))


def by_stream(reply: Any) -> dict[bytes, list[StreamEntry]]:
    """Parse the reply of XREAD; a null is empty."""
    return {stream: entries(found) for stream, found in pairs(reply)}


def delivered(reply: Iterable[Any]) -> list[DeliveredEntry]:
    """Parse the entries of XCLAIM and XREADGROUP."""
    return [_delivery(*each) for each in reply]


def delivered_by_stream(reply: Any) -> dict[bytes, list[DeliveredEntry]]:
    """Parse the reply of XREADGROUP; a null is empty."""
    return {stream: delivered(found) for stream, found in pairs(reply)}


def _delivery(
    id_: bytes, flat: list[bytes] | None, idle: int | None = None, deliveries: int | None = None
) -> DeliveredEntry:
    fields = None if flat is None else EntryFields(flat)
    return DeliveredEntry(StreamId.parse(id_), fields, None if idle is None else idle_seconds(idle), deliveries)


def idle_seconds(milliseconds: int) -> float:
    """Servers write -1 for an entry that XNACK gave back: any claim takes it, however long it asks to have waited."""
    return milliseconds / 1000 if milliseconds >= 0 else inf
