"""The results of recovery and claiming: entries for the first time, entries for another time, dead letters, deleted entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from ..events import EntriesClaimed, EntriesRecovered
from .redelivery_queue import Waiting

TOO_OFTEN: Final = b"delivered too often"
"""The reason of a dead letter that was delivered ``max_deliveries`` times."""


class DeadLetter(NamedTuple):
    """An entry that was delivered too often, and how often."""

    id: bytes
    deliveries: int


class Taken(NamedTuple):
    """Entries of a stream that are ours now, by ``kind``.

    ``first_time``: never seen before, with their fields. ``again``: handed over before. ``deleted``: ids without data.
    """

    stream: bytes
    kind: type[EntriesRecovered | EntriesClaimed] = EntriesRecovered
    first_time: list[Any] | None = None
    again: Sequence[Waiting] = ()
    dead_letters: Sequence[DeadLetter] = ()
    deleted: tuple[bytes, ...] = ()


Take: TypeAlias = Callable[[Taken], None]
"""Applies a result at once: the next command that leaves is compared with the entries that are known by then, and the
application does not wait for the end of a pass."""
