"""The keys of the demo on the server: streams, hashes of results, and leases on the workers' names.

On a server there is a stream. In a cluster there are several, by the groups of the table, each in a slot with its results.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from .source import Row, Source
from .worker import GROUP, results_of, stream_of
from .workers import RUNTIMES

PARTS: Final = 16  # streams in a cluster, at most


@dataclass(frozen=True)
class Keys:
    """``prefixes``: of a stream and its results."""

    prefixes: list[str]

    @property
    def streams(self) -> list[str]:
        return [stream_of(prefix) for prefix in self.prefixes]

    @property
    def results(self) -> list[str]:
        return [results_of(stream) for stream in self.streams]

    def all(self) -> list[str]:
        leases = [f"{{{stream}}}:name:{GROUP}:{runtime}" for stream in self.streams for runtime in RUNTIMES]
        return [*self.streams, *self.results, *leases]


def new_keys(source: Source, *, cluster: bool) -> Keys:
    """Choose keys that no other run has; in a cluster, a hash tag for each stream."""
    prefix = f"streamcore:demo:{secrets.token_hex(4)}:"
    if not cluster:
        return Keys([prefix])
    groups = {row.get(source.key) for row in source.rows}
    return Keys([f"{{{prefix}{part}}}:" for part in range(min(len(groups), PARTS))])


def divide(source: Source, parts: int) -> list[list[Row]]:
    """Deal the rows to so many streams: those of a group stay together and in their order."""
    numbers: dict[str | None, int] = {}
    divided: list[list[Row]] = [[] for _ in range(parts)]
    for row in source.rows:
        number = numbers.setdefault(row.get(source.key), len(numbers))
        divided[number % parts].append(row)
    return divided
