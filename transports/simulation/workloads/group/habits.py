"""How a member of a group is set up and behaves, drawn once for its role, and the entries that its application has in hand."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamcore import GroupBatch, GroupEntry

    from ...world.stream_log import Key


@dataclass
class Habits:
    """How a member is set up, and how its application behaves; chances are from 0 to 1."""

    streams: list[bytes]
    max_deliveries: int | None = None
    count: int = 5
    prefetch: int = 2
    max_in_flight: int = 20
    fenced: bool = False
    detect_gaps: Any = "audit"
    remove_on_leaving: bool = False
    ack_delay: float = 0.02
    at_once: int = 3  # entries that are in hand at a time
    slow: float = 0.15
    very_slow: float = 0.01
    refuses: float = 0.06
    buries: float = 0.01
    lazy: float = 0.05  # looks at the clock before it takes more
    by_batch: float = 0.3

    @classmethod
    def drawn(cls, lots: Random, streams: list[bytes], max_deliveries: int | None, detect_gaps: str | None) -> Habits:
        """Habits of a new role."""
        return cls(
            streams,
            max_deliveries,
            count=lots.choice([1, 3, 6, 10]),
            prefetch=lots.choice([1, 2, 2]),
            max_in_flight=lots.choice([6, 20, 50]),
            fenced=lots.random() < 0.3,
            detect_gaps=detect_gaps,
            remove_on_leaving=lots.random() < 0.3,
            ack_delay=lots.choice([0.0, 0.02, 0.05]),
            at_once=lots.choice([1, 3, 8]),
            slow=lots.choice([0.0, 0.1, 0.4]),
            very_slow=lots.choice([0.0, 0.01, 0.04]),
            refuses=lots.choice([0.0, 0.05, 0.15]),
            by_batch=lots.choice([0.0, 0.3, 1.0]),
        )


@dataclass
class Hands:
    """The entries that the application of a process holds."""

    batch: GroupBatch[bytes] | None = None  # that is being handed over
    since: float = 0.0  # when that has arrived
    # Of the batches of each reader that have arrived and were not taken.
    arrivals: defaultdict[int, deque[float]] = field(default_factory=partial(defaultdict, deque))
    arrived: Counter[int] = field(default_factory=Counter)  # how many batches of each reader have
    at: int = 0  # entries of it that were begun
    lost: set[tuple[bytes, bytes]] = field(default_factory=set)  # told that others have them: streams and ids
    begun: list[tuple[Key, GroupEntry[bytes]]] = field(default_factory=list)  # being handled; one may be, twice
    resting_until: float = 0.0
    in_place: bool = False  # it takes events in their places, too
