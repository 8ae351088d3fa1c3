"""Let the server see that a member is there, where reads that wait do not show it.

Members that were not heard of for long are removed from the group. Servers before 7.2 hear of a consumer only when it is
given something, so one that waits for hours would be taken for dead. There it asks now and then for its own pending entries
behind the last possible id: there are none, and the server has heard of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..connection.exchange import Arguments
from ..connection.features import Feature
from ..engine.script import Steps, checked
from ..engine.together import pages
from ..errors import UNAVAILABLE, ReplyError

if TYPE_CHECKING:
    from .read_loop import GroupReading

BEHIND_ALL: Final = f"{(1 << 64) - 1}-0"
OFTEN: Final = 4
"""How many times within ``remove_idle_consumers``."""


class Presence:
    """Of one consumer. ``at``: when it is to be shown next."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        self.at = inf

    def connected(self, server: Mapping[bytes, Any]) -> None:
        """There is a new connection, whose server has answered HELLO so; to enter has shown it."""
        needed = not Feature.SEEN_WAITING.of(server)
        self.at = self._consumer.now + self._interval if needed else inf

    @property
    def _interval(self) -> float:
        patience = self._consumer.member.remove_idle_consumers
        return inf if patience is None else patience / OFTEN

    def run(self) -> Steps[None]:
        """Show it; only when that is due."""
        consumer, member = self._consumer, self._consumer.member
        self.at = consumer.now + self._interval
        for page in pages(consumer.present):
            read: Arguments = ("XREADGROUP", "GROUP", member.group, member.name, "COUNT", 1, "STREAMS", *page)
            [reply] = yield from consumer.ask((*read, *(BEHIND_ALL for _ in page)))
            if isinstance(reply, ReplyError) and reply.code in UNAVAILABLE:
                checked(reply)  # what else is refused, the next read meets as well
