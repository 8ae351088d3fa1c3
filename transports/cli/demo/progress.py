"""How far the run is: what its parts write down for each other, and for the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from .account import Recovery
from .workers import Worker


class DemoError(Exception):
    """The run cannot go on, and the message says what is missing."""


@dataclass
class Progress:
    """The state of a run."""

    total: int
    workers: list[Worker]
    sent: int = 0
    processed: int = 0
    server: str = "?"
    reconnects: int = 0
    recoveries: list[Recovery] = field(default_factory=list)
    started: float = field(default_factory=monotonic)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return monotonic() - self.started

    @property
    def complete(self) -> bool:
        """Whether every row was sent, and has a result."""
        return self.sent >= self.total <= self.processed


async def until(condition: Callable[[], object], limit: float, complaint: Callable[[], str]) -> None:
    """Wait for a condition, at most ``limit`` seconds; then raise ``DemoError`` with the complaint."""
    deadline = monotonic() + limit
    while not condition():
        if monotonic() > deadline:
            raise DemoError(complaint())
        await asyncio.sleep(0.01)
