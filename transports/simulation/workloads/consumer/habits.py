"""How a reader of streams reads, drawn once for its role."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal


@dataclass(frozen=True)
class ReaderHabits:
    """The settings of a reader, and its pace."""

    streams: tuple[bytes, ...]
    start: str
    merge: Literal["id"] | None
    count: int
    prefetch: int
    on_rewind: Literal["raise", "restart"]
    saves: float  # how often, of the times that it could
    slow: float
    seeks: bool

    @classmethod
    def drawn(cls, lots: Random, streams: list[bytes]) -> ReaderHabits:
        """Draw the habits of a new role."""
        return cls(
            tuple(streams if lots.random() < 0.7 else [lots.choice(streams)]),
            lots.choice(["0", "0", "$"]),
            lots.choice([None, None, "id"]),
            lots.choice([1, 3, 10, 100]),
            lots.choice([1, 2, 4]),
            lots.choice(["raise", "restart", "restart"]),
            lots.choice([0.2, 1.0]),
            lots.choice([0.0, 0.1, 0.4]),
            lots.random() < 0.3,
        )
