"""How far the run is: notes of its parts for each other, and for the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from .account import Recovery
from .workers import Worker

Say = Callable[[str], None]


class DemoError(Exception):
    """The run cannot go on; the message says why."""


@dataclass
class Progress:
    """The state of a run."""

    total: int
    workers: list[Worker]
    sent: int = 0
    sending: int = 0  # on their way to the stream, and not confirmed
    may_send: float = 1.0  # the share of each stream; the chaos holds the rest back until it has done its worst
    processed: int = 0
    server: str = "?"
    reconnects: int = 0
    recoveries: list[Recovery] = field(default_factory=list)
    moved: int = 0  # slots

    @property
    def complete(self) -> bool:
        """Whether every row was sent, and has a result."""
        return self.sent >= self.total <= self.processed

    def may_go_on(self, share: float) -> bool:
        """Whether the next row of a stream may leave, of which so much was sent."""
        return share < self.may_send


async def until(condition: Callable[[], object], limit: float, complaint: Callable[[], str]) -> None:
    """Wait for a condition, at most ``limit`` seconds; then raise ``DemoError`` with the complaint."""
    deadline = monotonic() + limit
    while not condition():
        if monotonic() > deadline:
            raise DemoError(complaint())
        await asyncio.sleep(0.01)
