"""The state of a stream as the server tells it: its counters, and its ends (``XINFO STREAM``)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ..entries import StreamId
from ..sense import senseless
from ..stream_id import ZERO

NO_ENTRY: Final = (1 << 64) - 1
"""The sequence number of a place in front of a millisecond. Servers count from 0, so no entry is there."""


class History(NamedTuple):
    """The counters of a stream (``XINFO STREAM``); zeros for a stream that does not exist."""

    length: int = 0
    added: int = 0
    first: StreamId | None = None
    newest: StreamId | None = None
    last: StreamId = ZERO
    deleted: StreamId = ZERO

    @classmethod
    def of(cls, info: dict[bytes, Any]) -> History:
        """Parse the reply of XINFO STREAM. Raises ``RemoteProtocolError``, or the error of reading another shape."""
        first, newest = info[b"first-entry"], info[b"last-entry"]
        length, added = info[b"length"], info[b"entries-added"]
        if not (type(length) is type(added) is int):
            raise senseless("the counters of a stream")
        return cls(
            length,
            added,
            None if first is None else StreamId.told(first[0]),
            None if newest is None else StreamId.told(newest[0]),
            StreamId.told(info[b"last-generated-id"]),
            StreamId.told(info[b"max-deleted-entry-id"]),
        )

    @property
    def removed(self) -> int:
        """How many entries were trimmed or deleted, ever."""
        return self.added - self.length

    @property
    def passed(self) -> int | None:
        """How many entries there were in front of the first that is there; None where XDEL has removed behind it."""
        return self.removed if self.first is None or self.deleted < self.first else None

    @property
    def least_behind(self) -> int:
        """How many entries behind the first that is there were removed, at least: 1 where XDEL took an entry there, else 0."""
        return int(self.passed is None)

    def is_past(self, id_: StreamId) -> bool:
        """Tell whether all entries up to an id are gone."""
        return self.first is None or self.first > id_

    def may_follow(self, former: History) -> bool:
        """Tell whether a stream with the history ``former`` may have become this: ids and counters only grow.

        Its beginning may have been removed.
        """
        if self.last < former.last or self.added < former.added or self.removed < former.removed:
            return False
        if self.deleted < former.deleted or (self.last > former.last and self.added == former.added):
            return False
        if self.deleted > former.deleted and self.removed == former.removed:
            return False
        if self.is_past(former.last) and self.removed < former.added + self.least_behind:
            return False
        if former.first is None:
            return self.is_past(former.last)
        return self.first == former.first or (self.is_past(former.first) and self.removed > former.removed)
