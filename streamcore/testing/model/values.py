"""The values of keys: bytes, ``dict`` (a hash), ``deque`` (a list), ``set``, ``Scores`` (a sorted set) or ``Stream``.

All of them are plain data: ``copied`` makes a copy that no later command changes, for snapshots.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from .arguments import LAST, ZERO, Id
from .protocol import Failure


class Scores(dict[bytes, float]):
    """A sorted set: the score of each member."""

    def ranked(self) -> list[tuple[float, bytes]]:
        """The members with their scores, in the order of scores, then of names."""
        return sorted((score, member) for member, score in self.items())


@dataclass(slots=True)
class Delivery:
    """A pending entry of a group: its owner, its last delivery (``at``, in milliseconds) and its delivery counter (``times``)."""

    consumer: bytes
    at: int
    times: int


@dataclass(slots=True)
class Consumer:
    """A consumer of a group: when it was last ``seen``, and when it last got an entry (``active``), in milliseconds."""

    seen: int
    active: int = -1


@dataclass(slots=True)
class Group:
    """A consumer group: its last-delivered id, and how many entries it has ``read`` (None: unknown).

    ``pending`` is by id, in the order of the last deliveries; ``order`` keeps the order of the ids.
    """

    last: Id
    read: int | None = None
    pending: dict[Id, Delivery] = field(default_factory=dict)
    order: list[Id] = field(default_factory=list)
    consumers: dict[bytes, Consumer] = field(default_factory=dict)

    def deliver(self, id_: Id, consumer: bytes, at: int, times: int = 1) -> None:
        """Make an entry pending for a consumer, or pass it to that consumer (XCLAIM)."""
        if self.pending.pop(id_, None) is None:
            insort(self.order, id_)
        self.pending[id_] = Delivery(consumer, at, times)

    def settle(self, id_: Id) -> bool:
        """Remove an entry from the pending list (XACK); return whether it was pending."""
        if self.pending.pop(id_, None) is None:
            return False
        del self.order[bisect_left(self.order, id_)]
        return True

    def between(self, low: Id, high: Id = LAST) -> list[Id]:
        """The pending ids of a range, in order."""
        return self.order[bisect_left(self.order, low) : bisect_right(self.order, high)]

    def counts(self) -> dict[bytes, int]:
        """The number of pending entries of each consumer that has any, by name."""
        counts: dict[bytes, int] = {}
        for delivery in self.pending.values():
            counts[delivery.consumer] = counts.get(delivery.consumer, 0) + 1
        return dict(sorted(counts.items()))

    def copied(self) -> Group:
        """A copy, independent of this group."""
        pending = {id_: Delivery(one.consumer, one.at, one.times) for id_, one in self.pending.items()}
        consumers = {name: Consumer(one.seen, one.active) for name, one in self.consumers.items()}
        return Group(self.last, self.read, pending, self.order.copy(), consumers)


@dataclass(slots=True)
class Stream:
    """A stream: entries in the order of their ids, and its counters.

    ``sent`` is the memory of IDMP: for each producer the id and the time (in milliseconds) of each message.
    """

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
        """Add an entry (XADD); its id is above all others."""
        self.ids.append(id_)
        self.fields[id_] = fields
        self.last = id_
        self.added += 1

    def delete(self, id_: Id) -> bool:
        """Delete an entry (XDEL); return whether it existed."""
        if self.fields.pop(id_, None) is None:
            return False
        del self.ids[bisect_left(self.ids, id_)]
        self.deleted = max(self.deleted, id_)
        return True

    def trim(self, count: int) -> int:
        """Remove the ``count`` oldest entries (XTRIM); return how many."""
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
        """An entry as commands reply it: its id, and its fields."""
        return [b"%d-%d" % id_, self.fields[id_]]

    def between(self, low: Id, high: Id = LAST) -> list[Id]:
        """The ids of a range, in order."""
        return self.ids[bisect_left(self.ids, low) : bisect_right(self.ids, high)]

    def after(self, id_: Id, count: int) -> list[Id]:
        """The ids behind an id, at most ``count``; 0: all."""
        start = bisect_right(self.ids, id_)
        return self.ids[start : start + count] if count else self.ids[start:]

    def copied(self) -> Stream:
        """A copy, independent of this stream."""
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
    """The error for a key whose value is of another kind."""
    return Failure("WRONGTYPE Operation against a key holding the wrong kind of value")


def copied(value: Value) -> Value:
    """A copy, independent of this value."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Stream):
        return value.copied()
    return Scores(value) if isinstance(value, Scores) else value.copy()
