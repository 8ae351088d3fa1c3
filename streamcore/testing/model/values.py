"""What a key holds: bytes, ``dict`` (a hash), ``deque`` (a list), ``set``, ``Scores`` (a sorted set) or ``Stream``.

All of it is plain data: ``copied`` makes a second one that no later command changes, for snapshots.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from .arguments import LAST, ZERO, Id
from .protocol import Failure


class Scores(dict[bytes, float]):
    """A sorted set."""

    def ranked(self) -> list[tuple[float, bytes]]:
        """By score, then by name."""
        return sorted((score, member) for member, score in self.items())


@dataclass(slots=True)
class Delivery:
    """An entry that was delivered and is not acknowledged. ``at`` in milliseconds."""

    consumer: bytes
    at: int
    times: int


@dataclass(slots=True)
class Consumer:
    """A member of a group: when it was heard of, and when it last got something; in milliseconds."""

    seen: int
    active: int = -1


@dataclass(slots=True)
class Group:
    """A consumer group. ``read`` counts entries, None: unknown.

    ``pending`` is by id, in the order of the last deliveries; ``order`` keeps the order of the ids.
    """

    last: Id
    read: int | None = None
    pending: dict[Id, Delivery] = field(default_factory=dict)
    order: list[Id] = field(default_factory=list)
    consumers: dict[bytes, Consumer] = field(default_factory=dict)

    def deliver(self, id_: Id, consumer: bytes, at: int, times: int = 1) -> None:
        """An entry becomes pending for a consumer, or passes to it."""
        if self.pending.pop(id_, None) is None:
            insort(self.order, id_)
        self.pending[id_] = Delivery(consumer, at, times)

    def settle(self, id_: Id) -> bool:
        """It is pending no more; whether it was."""
        if self.pending.pop(id_, None) is None:
            return False
        del self.order[bisect_left(self.order, id_)]
        return True

    def between(self, low: Id, high: Id = LAST) -> list[Id]:
        """What is pending in a range, in order."""
        return self.order[bisect_left(self.order, low) : bisect_right(self.order, high)]

    def counts(self) -> dict[bytes, int]:
        """How much is pending for whom, by name."""
        counts: dict[bytes, int] = {}
        for delivery in self.pending.values():
            counts[delivery.consumer] = counts.get(delivery.consumer, 0) + 1
        return dict(sorted(counts.items()))

    def copied(self) -> Group:
        """The same again, independent of this one."""
        pending = {id_: Delivery(one.consumer, one.at, one.times) for id_, one in self.pending.items()}
        consumers = {name: Consumer(one.seen, one.active) for name, one in self.consumers.items()}
        return Group(self.last, self.read, pending, self.order.copy(), consumers)


@dataclass(slots=True)
class Stream:
    """Entries in the order of their ids. ``sent`` is what IDMP remembers: ids and times by producer and message."""

    ids: list[Id] = field(default_factory=list)
    fields: dict[Id, list[bytes]] = field(default_factory=dict)  # never changed in place
    last: Id = ZERO
    added: int = 0
    deleted: Id = ZERO  # the highest id that was ever deleted, not trimmed
    groups: dict[bytes, Group] = field(default_factory=dict)
    sent: dict[bytes, dict[bytes, tuple[Id, int]]] = field(default_factory=dict)
    sent_for: int = 100  # seconds
    sent_most: int = 100

    def append(self, id_: Id, fields: list[bytes]) -> None:
        """Add an entry; its id is above all others."""
        self.ids.append(id_)
        self.fields[id_] = fields
        self.last = id_
        self.added += 1

    def delete(self, id_: Id) -> bool:
        """Remove an entry; whether it was there."""
        if self.fields.pop(id_, None) is None:
            return False
        del self.ids[bisect_left(self.ids, id_)]
        self.deleted = max(self.deleted, id_)
        return True

    def trim(self, count: int) -> int:
        """Remove the oldest entries."""
        for id_ in self.ids[:count]:
            del self.fields[id_]
        del self.ids[:count]
        return count

    def trim_one(self, id_: Id) -> bool:
        """Remove an entry, which does not count as deleted."""
        del self.fields[id_]
        del self.ids[bisect_left(self.ids, id_)]
        return True

    def entry(self, id_: Id) -> list[Any]:
        """An entry as commands answer it."""
        return [b"%d-%d" % id_, self.fields[id_]]

    def between(self, low: Id, high: Id = LAST) -> list[Id]:
        """The ids in a range, in order."""
        return self.ids[bisect_left(self.ids, low) : bisect_right(self.ids, high)]

    def after(self, id_: Id, count: int) -> list[Id]:
        """The next ids; a ``count`` of 0 means all."""
        start = bisect_right(self.ids, id_)
        return self.ids[start : start + count] if count else self.ids[start:]

    def copied(self) -> Stream:
        """The same again, independent of this one."""
        groups = {name: group.copied() for name, group in self.groups.items()}
        sent = {producer: messages.copy() for producer, messages in self.sent.items()}
        return Stream(
            self.ids.copy(), self.fields.copy(), self.last, self.added, self.deleted, groups, sent, self.sent_for,
            self.sent_most,
        )  # fmt: skip


Value: TypeAlias = bytes | dict[bytes, bytes] | deque[bytes] | set[bytes] | Scores | Stream

KINDS: Final[dict[type, bytes]] = {
    bytes: b"string",
    dict: b"hash",
    deque: b"list",
    set: b"set",
    Scores: b"zset",
    Stream: b"stream",
}


def wrong_type() -> Failure:
    """For a key that holds something else."""
    return Failure("WRONGTYPE Operation against a key holding the wrong kind of value")


def copied(value: Value) -> Value:
    """The same again, independent of this one."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Stream):
        return value.copied()
    return Scores(value) if isinstance(value, Scores) else value.copy()
