"""Where a browser goes on that comes back: it says so itself, and may say anything.

An id ahead of the stream is none that the stream has given: the browser goes on at the end. An id that is older than the
application allows: it goes on at the bound. Both are told as a gap, since the browser's last event and its next do
not meet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from streamcore.commands import Command, xinfo_stream, xrevrange
from streamcore.commands.ids import Position, position
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument, NoPermissionError, ReplyError

from .making import ZERO

Oldest: TypeAlias = Position | timedelta | None
Ask: TypeAlias = Callable[[list[Command[Any]]], Awaitable[list[Any]]]


class Place(NamedTuple):
    """Behind which id a browser goes on; whether it is to be told that it has missed something, and that its id is not ours."""

    behind: StreamId
    missed: bool = False
    rewound: bool = False


class Bound:
    """How far back a browser may come: to an id, a moment, or as long ago as a ``timedelta``; None: as far as the stream."""

    def __init__(self, oldest: Oldest) -> None:
        self._oldest = oldest
        if isinstance(oldest, timedelta) and oldest <= timedelta(0):
            raise InvalidArgument(f"oldest must be more than 0 seconds ago, not {oldest}")
        self.at()  # it may raise

    def at(self) -> StreamId:
        """The id behind which everything may be seen at this moment."""
        oldest = self._oldest
        if oldest is None:
            return ZERO
        if isinstance(oldest, timedelta):
            oldest = datetime.now(UTC) - oldest
        return StreamId.parse(position("oldest", oldest))

    async def place(self, key: bytes, after: StreamId, ask: Ask) -> Place:
        """Where a browser goes on that says it has had everything up to ``after``. Raises the server's error."""
        oldest = self.at()
        asked: list[Command[Any]] = [xinfo_stream(key)]
        if after < oldest:
            asked.append(xrevrange(key, oldest, f"({after}", count=1))
        info, *between = await ask(asked)
        if isinstance(info, NoPermissionError):
            return Place(max(after, oldest), missed=after < oldest)
        last = ZERO if isinstance(info, ReplyError) and info.code == "ERR" else _checked(info).last_generated_id
        if after > last:
            return Place(last, missed=True, rewound=True)
        passed_over = _checked(between[0]) if between else []
        # Behind an entry that is there: else the consumer cannot tell that it has missed nothing more.
        return Place(passed_over[0].id, missed=True) if passed_over else Place(after)


def _checked(answer: Any) -> Any:
    if isinstance(answer, ReplyError):
        raise answer
    return answer
