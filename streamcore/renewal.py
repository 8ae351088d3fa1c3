"""Keep what is in the application's hands from counting as idle, so that no other member takes it over.

The server counts for how long an entry has been with a consumer. Every third of ``claim_idle``, ours that have been here
for so long are claimed once more by ourselves, without counting a delivery (``XCLAIM ... JUSTID``). Only those that the
server still lists for us are named, and only if they are as idle as that: one that another member has claimed a moment
ago is not, so we never take it back.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from .engine import AT_ONCE, Steps, checked
from .errors import NoGroupError

if TYPE_CHECKING:
    from .group_reading import GroupReading

PAGE: Final = 1000
PATIENCE: Final = 1.0
"""Seconds until whoever should renew is reminded."""


class Renewal:
    """The renewal of one consumer's entries."""

    def __init__(self, consumer: GroupReading[Any]) -> None:
        self._consumer = consumer
        idle = consumer.member.claim_idle
        self._interval = idle / 3 if idle is not None and consumer.member.renew else None
        self._at = AT_ONCE
        self._reminded = AT_ONCE

    @property
    def timer(self) -> float | None:
        """When something is to be renewed, if nothing is acknowledged before."""
        pending = self._consumer.pending
        if self._interval is None or not (pending.in_flight or pending.waits or self._consumer.redelivery):
            return None
        if self._at == AT_ONCE:  # the first entry has just come
            self._at = self._consumer.now + self._interval
        return max(self._at, self._reminded + min(PATIENCE, self._interval))

    @property
    def due(self) -> bool:
        """Whether that time has come."""
        at = self.timer
        return at is not None and self._consumer.now >= self._at

    def remind(self) -> None:
        """Somebody was woken to do it."""
        self._reminded = self._consumer.now

    def run(self) -> Steps[None]:
        """Renew what needs it; only when it is ``due``."""
        assert self._interval is not None
        self._at = self._consumer.now + self._interval
        with suppress(NoGroupError):  # the next read meets it as well, and mends it
            for stream in self._consumer.member.streams.copy():
                yield from self._renew(stream, max(1, int(self._interval * 1000)))

    def _renew(self, stream: bytes, idle: int) -> Steps[None]:
        consumer, member = self._consumer, self._consumer.member
        start, more = b"-", True
        while more:
            page = ("XPENDING", stream, member.group, "IDLE", idle, start, "+", PAGE, member.name)
            [rows] = yield from consumer.ask(page)
            consumer.pending.collect()  # what was refused is about to have another owner: not to be taken back
            held = consumer.held(stream) | consumer.pending.unburied(stream)
            ours = [row[0] for row in checked(rows) if row[0] in held]
            if ours:
                [renewed] = yield from consumer.ask(
                    ("XCLAIM", stream, member.group, member.name, idle, *ours, "JUSTID")
                )
                checked(renewed)
            more = len(rows) == PAGE
            start = b"(" + rows[-1][0] if more else b""
