"""Invariants of channels: history, then live, without a hole or a duplicate.

The place of a subscriber in each of its channels is checked against the ``IdLog`` with each message: the entries between two
messages that it is handed must be gone from the stream, and a ``Gap`` must have told so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamcore import (
    StreamId,
)
from streamcore.events import Gap

from ...world.invariants import Oracle
from ...world.stream_log import ZERO, Id
from ..consumer.id_log import IdLog

if TYPE_CHECKING:
    from ...world.driver import World


def pair(id_: StreamId) -> Id:
    return id_.ms, id_.seq


@dataclass
class Membership:
    """The place of a subscriber in a channel. ``first``: nothing was handed over yet, and ``history`` messages before it may be."""

    position: Id
    before: Id = ZERO  # the end of the channel when joining began
    history: int = 0
    first: bool = True
    excused: Id = ZERO  # of another era,
    since: int = 0  # unless it was there in this one, and is still
    rewinds: int = 0  # of which nothing was heard
    passed: set[Id] = field(default_factory=set)  # gone when it was told that the channel began anew
    gaps: list[Gap] = field(default_factory=list)
    untold: list[Id] = field(default_factory=list)  # trimmed away before the last messages, and no gap has told it yet

    def resume(self, id_log: IdLog, stream: bytes, last: Id) -> None:
        """It goes on behind a message, which may be of another era."""
        self.position, self.first = last, False
        era = id_log.note(stream)
        if last not in era.names:
            self.excused, self.since = era.ended, max(0, id_log.number(stream) - 1)


class PublishedOnce(Oracle):
    """*Channels*: a message is in each of its channels once, however often its request was repeated; an id means that it is."""

    def __init__(self, world: World, id_log: IdLog) -> None:
        super().__init__(world)
        self.id_log = id_log

    def published(self, label: str, stream: bytes, id_: StreamId, data: bytes) -> None:
        """A publisher was given the id of a message."""
        era = self.id_log.note(stream)
        if (stream, pair(id_), data) not in self.id_log.ever and pair(id_) > era.ended:
            self.violated(f"{label} was told that {data!r} is {id_} of {stream.decode()}, and it never was")

    def look(self) -> None:
        for stream in self.id_log.eras:
            era = self.id_log.note(stream)
            if len(set(era.names.values())) == len(era.names):
                continue
            places: dict[bytes, int] = {}
            for place, id_ in enumerate(era.ids):
                name = era.names[id_]
                if place - places.get(name, place) in range(1, self.world.notes["retention"] + 1):
                    self.violated(f"{name!r} is in {stream.decode()} more than once")
                places[name] = place

    def judge(self) -> None:
        self.look()


class NoHoleNoDuplicate(Oracle):
    """*Channels*: history, then live, with no hole and no duplicate; trimmed messages show as a ``Gap``.

    Before the message behind it, or at the latest behind the batch with which that has come.
    """

    def __init__(self, world: World, id_log: IdLog) -> None:
        super().__init__(world)
        self.id_log = id_log

    def handed(self, label: str, stream: bytes, membership: Membership, id_: Id, data: bytes) -> None:
        """Check a message that a subscriber is handed."""
        era = self.id_log.note(stream)
        what = f"{label} is handed {id_[0]}-{id_[1]} ({data.decode()}) of {stream.decode()}"
        if (stream, id_, data) not in self.id_log.ever:
            self.violated(f"{what}, which never was")
        if membership.first and id_ <= membership.position:
            there = self.id_log.there(stream)
            old = [one for one in era.ids if id_ <= one <= membership.before and one in there]
            if len(old) > membership.history and not membership.rewinds:
                self.violated(
                    f"{what}, and asked for {membership.history} messages of history, and that is the last but {len(old) - 1}"
                )
        else:
            if id_ <= membership.position and not membership.rewinds:
                self.violated(f"{what} behind {membership.position[0]}-{membership.position[1]}")
            self._check_between(what, stream, membership, id_)
        membership.first, membership.position = False, id_

    def _check_between(self, what: str, stream: bytes, membership: Membership, id_: Id) -> None:
        era, there = self.id_log.eras[stream], self.id_log.there(stream)
        for one in era.between(membership.position, id_):
            is_over = one <= membership.excused and not self.id_log.survived(stream, one, membership.since)
            if one == id_ or one in membership.passed or is_over:
                continue
            if one in there:
                self.violated(
                    f"{what} after {membership.position[0]}-{membership.position[1]}, without {one[0]}-{one[1]} in between"
                )
            if one > membership.excused and not any(covers(gap, one) for gap in membership.gaps):
                membership.untold.append(one)  # the proof comes with the next read

    def owed(self, stream: bytes, membership: Membership) -> Id | None:
        """The first id in a channel that must still come to a subscriber; None: nothing."""
        era, there = self.id_log.note(stream), self.id_log.there(stream)
        for one in era.ids:
            is_owed = one > membership.excused or self.id_log.survived(stream, one, membership.since)
            if one > membership.position and one in there and is_owed:
                return one
        return None


def covers(gap: Gap, id_: Id) -> bool:
    return pair(gap.after) < id_ and (gap.before is None or id_ < pair(gap.before))
