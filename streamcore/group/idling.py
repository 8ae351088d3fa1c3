"""When a member of a group has come to its end, with ``stop_on_idle``: a read came back empty, and nothing is to be expected.

What we have given back ourselves is expected, as long as a read would wait for it: reads that do not wait otherwise do so
then, for a moment. What others may leave later is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..connection.exchange import Exchange
from ..errors import ReplyError

if TYPE_CHECKING:
    from .read_loop import GroupReading


class Idling:
    """Of one consumer; true once it has come to its end, until it begins anew."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self._idle = False

    def __bool__(self) -> bool:
        return self._idle

    @property
    def expected(self) -> float | None:
        """Seconds until something may be claimed that we have given back; None where no read waits that long."""
        return self._consumer.claims.expected_within(self._consumer.block)

    def read(self, read: Exchange, *, is_last: bool) -> None:
        """A read was answered; ``is_last``: nobody has ended it, and no other one is in flight."""
        consumer = self._consumer
        if not (is_last and consumer.member.stop_on_idle):
            return
        [reply] = read.replies
        received: dict[bytes, Any] = {} if isinstance(reply, ReplyError) else reply or {}
        waits = consumer.paused or consumer.joins or consumer.now >= consumer.claims.at or self.expected is not None
        self._idle = not (isinstance(reply, ReplyError) or any(received.values()) or waits)

    def find_nothing(self) -> None:
        """There is no stream that could be read."""
        consumer = self._consumer
        self._idle = consumer.member.stop_on_idle and not (consumer.paused or consumer.joins)

    def look_again(self) -> None:
        """Something was given back."""
        if self.expected is not None:
            self.begin()

    def begin(self) -> bool:
        """Go on; False where it goes on anyway."""
        was_idle, self._idle = self._idle, False
        if was_idle:
            self._consumer.wake()
        return was_idle
