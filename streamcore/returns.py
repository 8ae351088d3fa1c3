"""Entries that were read ahead and never handed over, given back by whoever leaves.

They are pending for us, and would be claimed by others only when they have been idle for long enough. So we tell the server
that they have been (``XCLAIM ... IDLE``), without counting a delivery: the next pass of any member takes them over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .connection import Arguments
from .engine import Steps
from .entries import GroupBatch

if TYPE_CHECKING:
    from .group import GroupConsumer

MAX_IDS: Final = 1000
NO_CLAIMS: Final = 60.0
"""Seconds of idleness to tell where we claim nothing ourselves, and so do not know for what others wait."""


class Returns:
    """What one consumer gives back; true while there is something that the server does not know yet."""

    def __init__(self, consumer: GroupConsumer[Any]) -> None:
        self._consumer = consumer
        self._ids: dict[bytes, list[bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self._ids)

    def add(self, batch: GroupBatch[Any]) -> None:
        """Nobody has seen these entries."""
        self._ids.setdefault(batch.key, []).extend(batch.ids)
        self._consumer.pending.forget(batch.key, set(batch.ids))

    def run(self) -> Steps[None]:
        """Tell the server. What it refuses stays pending, and will be idle in time."""
        ids = self._ids
        yield from self._consumer.ask(*self._commands(ids))
        self._ids = {}

    def _commands(self, ids_of: dict[bytes, list[bytes]]) -> list[Arguments]:
        member = self._consumer.member
        idle = int((member.claim_idle or NO_CLAIMS) * 1000)
        return [
            ("XCLAIM", stream, member.group, member.name, 0, *ids[at : at + MAX_IDS], "IDLE", idle, "JUSTID")
            for stream, ids in ids_of.items()
            for at in range(0, len(ids), MAX_IDS)
        ]
