"""Settlements and batches, in their order and by stream.

A member may hold entries of thousands of streams, and asks about a stream after the other: such a question shall not cost as much
as all streams together.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from ..entries import GroupBatch
from .settlements import Settlement

T = TypeVar("T")


class ByStream(list[T]):
    """Items in their order. Items are appended, and never removed.

    The table of streams is brought up to date by a question, and not before, so that appending costs no more than to a list. It may be
    asked in any thread, and interrupted anywhere: then an item may be listed twice under its stream.
    """

    _filed: tuple[dict[bytes, list[T]], int] | None = None  # the table, and the number of items that are in it

    def of(self, stream: bytes) -> Sequence[T]:
        """The items of a stream, in their order."""
        table, filed = self._filed or (dict[bytes, list[T]](), 0)
        length = len(self)
        for item in self[filed:length]:
            table.setdefault(self._stream_of(item), []).append(item)
        self._filed = table, length
        return table.get(stream, ())

    @abstractmethod
    def _stream_of(self, item: T) -> bytes: ...


class Ride(ByStream[Settlement]):
    """The settlements of an exchange."""

    def _stream_of(self, item: Settlement) -> bytes:
        return item.stream


class Batches(ByStream[GroupBatch[Any]]):
    """Batches whose settlements are on their way."""

    def _stream_of(self, item: GroupBatch[Any]) -> bytes:
        return item.key


class WaitingSettlements:
    """Settlements that wait to leave; true while there are any. They may be asked for in any thread."""

    def __init__(self) -> None:
        self._last = 0  # number
        self._of: dict[bytes, dict[int, Settlement]] = {}  # by stream and number, no stream without any

    def __bool__(self) -> bool:
        return bool(self._of)

    def all(self) -> list[Settlement]:
        """All settlements, in their order."""
        numbered = [pair for own in tuple(self._of.values()) for pair in tuple(own.items())]
        return [one for _, one in sorted(numbered, key=itemgetter(0))]

    def of(self, stream: bytes) -> Sequence[Settlement]:
        """The settlements of a stream, in their order."""
        return tuple(self._of.get(stream, {}).values())

    def add(self, one: Settlement) -> None:
        """Append a settlement."""
        self._last += 1
        own = self._of.get(one.stream)
        if own is None:
            self._of[one.stream] = {self._last: one}
        else:
            own[self._last] = one

    def leave_out(self, stream: bytes, ids: Collection[bytes]) -> None:
        """Leave ids out of the settlements of a stream, and drop the settlements that are about these ids alone."""
        own = self._of.get(stream, {})
        kept = {number: left for number, one in own.items() if (left := without(one, ids)).ids}
        if kept:
            self._of[stream] = kept
        else:
            self._of.pop(stream, None)


def without(one: Settlement, ids: Collection[bytes]) -> Settlement:
    """Leave ids out of a settlement."""
    return one._replace(ids=[id_ for id_ in one.ids if id_ not in ids])
