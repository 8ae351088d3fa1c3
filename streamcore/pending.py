"""The pending-entries list as this consumer knows it, and the acknowledgements on their way.

Entries are kept by batch, as they came; a batch is expanded to single ids only when a part of it is acknowledged. An
acknowledged id moves through three places: *noted* in its batch (any thread), *unsent* here, *riding* in an exchange.
A confirmed ride is forgotten, a lost one becomes unsent again: XACK may be repeated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from .connection import Arguments, Exchange
from .entries import GroupBatch

MAX_ACK_IDS = 1000


class Ack(NamedTuple):
    """One XACK. ``repeated``: its first reply was lost, so that the server may have settled the ids already."""

    stream: bytes
    ids: list[bytes]
    repeated: bool


Ride: TypeAlias = list[Ack]  # the acknowledgements in one exchange


class Acks(Exchange):
    """Acknowledgements on their way."""

    __slots__ = ("ride",)

    def __init__(self, commands: list[Arguments], ride: Ride, timeout: float) -> None:
        super().__init__(commands, timeout)
        self.ride = ride


class Pending:
    """Everything delivered to us and not yet settled on the server."""

    def __init__(self) -> None:
        self.in_flight = 0  # entries handed over, or waiting to be, and not acknowledged
        self.unsent = 0  # acknowledged ids that are not on their way yet
        self._batches: dict[int, GroupBatch[Any]] = {}
        self._noted: deque[GroupBatch[Any]] = deque()
        self._unsent: dict[tuple[bytes, bool], list[bytes]] = {}  # by stream, and whether repeated
        self._riding: dict[int, Ride] = {}

    def add(self, batch: GroupBatch[Any]) -> None:
        """A batch was delivered to us."""
        self._batches[id(batch)] = batch
        self.in_flight += len(batch.raw)

    def split(self, batch: GroupBatch[Any], at: int) -> GroupBatch[Any]:
        """Cut a batch in two, so that each part is kept, and settled, by itself."""
        self.collect()
        rest = batch.split(at)
        self._batches[id(rest)] = rest
        for part in (batch, rest):
            if part.settled:
                self._batches.pop(id(part), None)
        return rest

    def note(self, batch: GroupBatch[Any]) -> None:
        """A batch has new acknowledgements; called in any thread."""
        self._noted.append(batch)

    def sweep(self) -> None:
        """Note again what has acknowledgements, in case that a caller was interrupted between acknowledging and noting."""
        for batch in tuple(self._batches.values()):
            if batch.acks and batch not in self._noted:
                self._noted.append(batch)

    def forget(self, stream: bytes, ids: set[bytes]) -> None:
        """Entries that are not ours any more: their acknowledgement will do nothing."""
        for key, batch in tuple(self._batches.items()):
            if batch.key == stream:
                self.in_flight -= batch.forget(ids)
                if batch.settled:
                    del self._batches[key]

    def unsettled(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that were delivered to us and not acknowledged, as far as is collected."""
        own = [batch for batch in self._batches.values() if batch.key == stream]
        return set[bytes]().union(*(batch.ids if batch.unsettled is None else batch.unsettled for batch in own))

    @property
    def noted(self) -> bool:
        """Whether there is something to collect."""
        return bool(self._noted)

    @property
    def settling(self) -> bool:
        """Whether acknowledgements are on their way, in any of the three places."""
        return bool(self._noted or self._unsent or self._riding)

    def collect(self) -> None:
        """Move what was acknowledged from the batches to the unsent ids."""
        noted = self._noted
        while noted:
            batch = noted[0]  # and gone only when its ids have arrived: ``settling`` may be asked in any thread
            ids = batch.collect()
            if ids:
                self._unsent.setdefault((batch.key, False), []).extend(ids)
                self.unsent += len(ids)
                self.in_flight -= len(ids)
            if batch.settled:
                self._batches.pop(id(batch), None)
            noted.popleft()

    def take(self, group: bytes) -> tuple[list[Arguments], Ride]:
        """The commands that send all unsent acknowledgements, and the ride to confirm or lose."""
        ride: Ride = []
        for (stream, repeated), ids in self._unsent.items():
            ride += [Ack(stream, ids[at : at + MAX_ACK_IDS], repeated) for at in range(0, len(ids), MAX_ACK_IDS)]
        if ride:
            self._riding[id(ride)] = ride
        self._unsent, self.unsent = {}, 0
        return [("XACK", ack.stream, group, *ack.ids) for ack in ride], ride

    def confirm(self, ride: Ride) -> None:
        """The server has answered a ride."""
        self._riding.pop(id(ride), None)

    def lose(self, rides: Iterable[Ride]) -> None:
        """Rides whose replies will never come: send them again."""
        for ride in rides:
            for ack in ride:
                self._unsent.setdefault((ack.stream, True), []).extend(ack.ids)
                self.unsent += len(ack.ids)
            self.confirm(ride)

    def ids(self, stream: bytes) -> set[bytes]:
        """All ids of a stream that are ours: unsettled, unsent or riding. For the rare comparison with the server."""
        known = self.unsettled(stream)
        for (name, _), ids in self._unsent.items():
            if name == stream:
                known.update(ids)
        for ride in self._riding.values():
            for ack in ride:
                if ack.stream == stream:
                    known.update(ack.ids)
        return known
