"""When a member of a group has come to its end, with ``stop_on_idle``: a read came back empty, and nothing is to be expected.

Entries that we have given back ourselves are expected, as long as a read would wait for them: reads that do not wait otherwise do so
then, for a moment. Entries that others may leave later are not.
"""

from __future__ import annotations

from typing import Any

from ..connection.exchange import Exchange
from ..errors import ReplyError
from .context import GroupContext
from .given_back import GivenBack


class Idling:
    """The end of an iteration with ``stop_on_idle``; true once it is reached, until ``begin``."""

    def __init__(self, context: GroupContext, given_back: GivenBack) -> None:
        self._context = context
        self._given_back = given_back
        self._idle = False

    def __bool__(self) -> bool:
        return self._idle

    @property
    def expected(self) -> float | None:
        """Seconds until something may be claimed that we have given back; None where no read waits that long."""
        return self._given_back.within(self._context.now, self._context.block)

    def read(self, read: Exchange, *, waits: bool) -> None:
        """Find out by the reply to the last read in flight whether the end is reached; ``waits``: something else is to come."""
        [reply] = read.replies
        received: dict[bytes, Any] = {} if isinstance(reply, ReplyError) else reply or {}
        is_empty = not (isinstance(reply, ReplyError) or any(received.values()))
        self._idle = is_empty and not (waits or self.expected is not None)

    def find_nothing(self, *, waits: bool) -> None:
        """Reach the end because no stream can be read; ``waits``: something else is to come."""
        self._idle = self._context.member.stop_on_idle and not waits

    def give_back(self, stream: bytes, delay: float) -> None:
        """Expect an entry that was given back, to be claimed after ``delay`` seconds; the end is put off for it."""
        self._given_back.add(stream, self._context.now, delay)
        self._context.touch()
        if self.expected is not None:
            self.begin()

    def begin(self) -> bool:
        """Go on; return False where it goes on anyway."""
        was_idle, self._idle = self._idle, False
        if was_idle:
            self._context.wake()
        return was_idle
