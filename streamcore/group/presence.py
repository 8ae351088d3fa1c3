"""Let the server see that a member is there, where reads that wait do not show it.

Members that were not heard of for long are removed from the group. Servers before 7.2 hear of a consumer only when they give
it an entry, so a member that waits for hours would be taken for dead. There it asks now and then for its own pending entries
behind the last possible id (``XREADGROUP``): there are none, and the server has heard of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

from ..connection.exchange import Arguments
from ..connection.features import Feature
from ..engine.script import Steps, checked
from ..engine.together import pages
from ..errors import UNAVAILABLE, ReplyError
from .context import GroupContext

BEHIND_ALL: Final = f"{(1 << 64) - 1}-0"
OFTEN: Final = 4
"""How many times within ``remove_idle_consumers``."""


class Presence:
    """Shows the server that a member is there. ``at``: when that is due next, in seconds; infinite where it is not needed."""

    def __init__(self, context: GroupContext) -> None:
        self._context = context
        self.at = inf

    def connected(self, server: Mapping[bytes, Any]) -> None:
        """Begin a connection, by its server's reply to ``HELLO``; to enter the group has shown the member."""
        needed = not Feature.SEEN_WAITING.of(server)
        self.at = self._context.now + self._interval if needed else inf

    @property
    def _interval(self) -> float:
        patience = self._context.member.remove_idle_consumers
        return inf if patience is None else patience / OFTEN

    def run(self) -> Steps[None]:
        """Ask by ``XREADGROUP`` for pending entries behind the last possible id, so that the server hears of the member."""
        context, member = self._context, self._context.member
        self.at = context.now + self._interval
        for page in pages(context.present):
            read: Arguments = ("XREADGROUP", "GROUP", member.group, member.name, "COUNT", 1, "STREAMS", *page)
            [reply] = yield from context.ask((*read, *(BEHIND_ALL for _ in page)))
            if isinstance(reply, ReplyError) and reply.code in UNAVAILABLE:
                checked(reply)  # any other refusal meets the next read as well
