"""The pending-entries list as this consumer knows it, and the acknowledgements on their way.

Entries are kept by batch, as they came; a batch is expanded to single ids only when a part of it is acknowledged. What
becomes of an id moves through three places: *noted* in its batch (any thread), *unsent* here, *riding* in an exchange.
A confirmed ride is forgotten, a lost one becomes unsent again: every settlement may be repeated. The batches are kept
until then, for what the entries hold: it tells whether the server still means the same ones (``lineage``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..connection.exchange import Arguments, Exchange
from ..entries import GroupBatch, Refusal
from .options import Membership
from .settlements import Ack, Burial, Clear, Nack, Settlement

MAX_IDS = 1000  # of one command

Ride: TypeAlias = list[Settlement]  # what one exchange tells


class Riding(NamedTuple):
    """A ride, what it is about, and the ids, by stream, that have come to mean other entries since it left."""

    ride: Ride
    batches: list[GroupBatch[Any]]
    void: dict[bytes, set[bytes]]

    def left(self, told: Sequence[Settlement]) -> Sequence[Settlement]:
        """What may be told once more of these."""
        if not self.void:
            return told
        kept = [_without(one, one.stream, self.void.get(one.stream, set())) for one in told]
        return [one for one in kept if one.ids]


class Acks(Exchange):
    """Settlements on their way."""

    __slots__ = ("ride",)

    def __init__(self, commands: list[Arguments], ride: Ride, timeout: float) -> None:
        super().__init__(commands, timeout)
        self.ride = ride


class Pending:
    """Everything delivered to us and not yet settled on the server."""

    def __init__(self, member: Membership) -> None:
        self.in_flight = 0  # entries handed over, or waiting to be, and not settled
        self._member = member
        self._batches: dict[int, GroupBatch[Any]] = {}
        self._of: dict[bytes, dict[int, GroupBatch[Any]]] = {}  # the same, by stream
        self._noted: deque[GroupBatch[Any]] = deque()
        self._acked: dict[tuple[bytes, bool], list[bytes]] = {}  # unsent, by stream, and whether repeated
        self._refused: list[Settlement] = []  # unsent
        self._late: list[Settlement] = []  # what the server refuses for now; it leaves again after ``retry``
        self._late_batches: list[GroupBatch[Any]] = []  # which that is about
        self._spoken_of: list[GroupBatch[Any]] = []  # what is unsent is about entries of these
        self._riding: dict[int, Riding] = {}

    # -- the application's side ---------------------------------------------------------------------------------------

    def add(self, batch: GroupBatch[Any]) -> None:
        """A batch was delivered to us."""
        self._keep(batch)
        self.in_flight += len(batch.raw)

    def split(self, batch: GroupBatch[Any], at: int) -> GroupBatch[Any]:
        """Cut a batch in two, so that each part is kept, and settled, by itself."""
        self.collect()
        rest = batch.split(at)
        self._keep(rest)
        for part in (batch, rest):
            if part.settled:
                self._drop(part)
        return rest

    def _keep(self, batch: GroupBatch[Any]) -> None:
        self._batches[id(batch)] = batch
        self._of.setdefault(batch.key, {})[id(batch)] = batch

    def _drop(self, batch: GroupBatch[Any]) -> None:
        if self._batches.pop(id(batch), None) is not None:
            own = self._of[batch.key]
            del own[id(batch)]
            if not own:
                del self._of[batch.key]

    def _batches_of(self, stream: bytes) -> tuple[GroupBatch[Any], ...]:
        return tuple(self._of.get(stream, {}).values())

    def note(self, batch: GroupBatch[Any]) -> None:
        """A batch has something new to collect; called in any thread."""
        self._noted.append(batch)

    def recount(self) -> None:
        """Count anew what is in hand: a signal handler may have raised in between."""
        self._of = {}
        for key, batch in self._batches.items():
            self._of.setdefault(batch.key, {})[key] = batch
        self.in_flight = sum(len(one.raw if one.unsettled is None else one.unsettled) for one in self._batches.values())

    def sweep(self) -> None:
        """Note again what has something, in case that a caller was interrupted between acknowledging and noting."""
        for batch in tuple(self._batches.values()):
            if (batch.acks or batch.refusals) and batch not in self._noted:
                self._noted.append(batch)

    def awaits(self, batch: GroupBatch[Any], id_: bytes) -> bool:
        """Whether what became of an id is still on its way; may be asked in any thread."""
        if batch in self._noted or id_ in self._acked.get((batch.key, False), ()):
            return True
        return any(one.stream == batch.key and id_ in one.ids for one in self._all_unconfirmed())

    # -- what the consumer knows --------------------------------------------------------------------------------------

    def forget(self, stream: bytes, ids: set[bytes]) -> None:
        """Entries that are not ours any more: their acknowledgement will do nothing."""
        for batch in self._batches_of(stream):
            self.in_flight -= batch.forget(ids)
            if batch.settled:
                self._drop(batch)

    def unsettled(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that were delivered to us and not settled, as far as is collected."""
        own = self._batches_of(stream)
        return set[bytes]().union(*(batch.ids if batch.unsettled is None else batch.unsettled for batch in own))

    @property
    def batches(self) -> tuple[GroupBatch[Any], ...]:
        """Those of which anything is in hand, in the order in which they came."""
        return tuple(self._batches.values())

    def deliveries(self, stream: bytes, id_: bytes) -> int | None:
        """How often an entry was handed over, or is about to have been; None where it is not among those that are."""
        return next(
            (one.deliveries for one in self._batches_of(stream) if id_ in one.ids),
            None,
        )

    def ids(self, stream: bytes) -> set[bytes]:
        """All ids of a stream that are ours: unsettled, unsent or riding. For the rare comparison with the server."""
        told = (one.ids for one in self._all_unconfirmed() if one.stream == stream)
        return self.unsettled(stream).union(*told)

    def _all_unconfirmed(self) -> list[Settlement]:
        acked = [Ack(stream, ids) for (stream, _), ids in tuple(self._acked.items())]
        riding = [one for riding in tuple(self._riding.values()) for one in riding.left(riding.ride)]
        return [*acked, *self._refused, *self._late, *riding]

    def streams(self) -> list[bytes]:
        """Those of which anything is ours."""
        self.collect()
        return list(dict.fromkeys([*self._of, *(one.stream for one in self._all_unconfirmed())]))

    def bodies(self, stream: bytes) -> dict[bytes, list[bytes]]:
        """The fields of what is ours in a stream, as far as they are known."""
        ours = self.ids(stream)
        batches = [batch for batch in self._known_batches() if batch.key == stream]
        return {id_: fields for batch in batches for id_, fields in batch.raw if id_ in ours}

    def _known_batches(self) -> list[GroupBatch[Any]]:
        """Those of which anything is ours, or spoken of."""
        riding = (batch for riding in self._riding.values() for batch in riding.batches)
        return [*self._spoken_of, *self._late_batches, *riding, *self._batches.values()]

    def void(self, stream: bytes, ids: set[bytes]) -> None:
        """These ids mean other entries by now, or none: nothing is said of them."""
        self.forget(stream, ids)
        for batch in self._known_batches():
            if batch.key == stream:
                batch.lost |= ids.intersection(batch.ids)
        kept = [(key, [id_ for id_ in told if key[0] != stream or id_ not in ids]) for key, told in self._acked.items()]
        self._acked = {key: told for key, told in kept if told}
        self._refused, self._late = (
            [left for one in told if (left := _without(one, stream, ids)).ids] for told in (self._refused, self._late)
        )
        for riding in self._riding.values():  # over the other link, whose connection is not known to be lost yet
            riding.void.setdefault(stream, set()).update(ids)

    @property
    def noted(self) -> bool:
        """Whether there is something to collect."""
        return bool(self._noted)

    @property
    def unsent(self) -> bool:
        """Whether something is collected, and not on its way yet."""
        return bool(self._acked or self._refused)

    @property
    def settling(self) -> bool:
        """Whether something is in any of the three places."""
        return bool(self._noted or self._acked or self._refused or self._late or self._riding)

    @property
    def gives_back(self) -> bool:
        """Whether an entry that shall be delivered again is in any of them."""
        if any(batch.refusals for batch in tuple(self._noted)):
            return True
        return any(isinstance(one, Nack) for one in self._all_unconfirmed())

    @property
    def unconfirmed(self) -> int:
        """How many entries are in them."""
        self.collect()
        return sum(len(one.ids) for one in self._all_unconfirmed())

    # -- on its way ---------------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Move what was settled from the batches to what is unsent."""
        noted = self._noted
        while noted:
            batch = noted[0]  # and gone only when its ids have arrived: ``settling`` may be asked in any thread
            ids = batch.collect()
            if ids:
                self._acked.setdefault((batch.key, False), []).extend(ids)
                self.in_flight -= len(ids)
            if batch.refusals:
                self._refuse(batch, batch.collect_refusals())
            self._spoken_of.append(batch)
            if batch.settled:
                self._drop(batch)
            noted.popleft()

    def _refuse(self, batch: GroupBatch[Any], refusals: list[Refusal]) -> None:
        self.in_flight -= len(refusals)
        # Of an earlier delivery nobody knows whether it was seen: that is no attempt, and the counter is set right.
        attempts = batch.deliveries - batch.is_unsure
        counted = attempts if batch.is_unsure else None
        last = self._member.is_last(attempts)
        again: dict[float, list[bytes]] = {}
        for id_, delay, reason in refusals:
            if delay is None or last:
                self.bury(batch.key, id_, batch.deliveries, reason)
            else:
                again.setdefault(delay, []).append(id_)
        for delay, ids in again.items():
            self._refused += [
                Nack(batch.key, ids[at : at + MAX_IDS], delay, counted) for at in range(0, len(ids), MAX_IDS)
            ]

    def bury(self, stream: bytes, id_: bytes, deliveries: int, reason: bytes) -> None:
        """An entry shall become a dead letter."""
        self._refused.append(Burial(stream, [id_], self._member.letters(stream), deliveries, reason))

    def clear(self, stream: bytes, ids: list[bytes]) -> None:
        """Forget entries whose data is gone."""
        self._refused.append(Clear(stream, ids))

    def take(self) -> tuple[list[Arguments], Ride]:
        """The commands that tell everything unsent, and the ride to confirm or lose."""
        ride: Ride = []
        member = self._member
        for (stream, repeated), ids in self._acked.items():
            ride += [
                Ack(stream, ids[at : at + MAX_IDS], repeated, member.fenced, member.report_acks)
                for at in range(0, len(ids), MAX_IDS)
            ]
        ride += self._refused
        if ride:
            self._riding[id(ride)] = Riding(ride, self._spoken_of, {})
        self._acked, self._refused, self._spoken_of = {}, [], []
        return [one.command(member) for one in ride], ride

    @property
    def rides(self) -> list[Ride]:
        """Those that are neither confirmed nor lost."""
        return [riding.ride for riding in self._riding.values()]

    def confirm(self, ride: Ride, late: Sequence[Settlement] = ()) -> None:
        """The server has answered a ride; what is ``late`` of it has to be told once more, after ``retry``."""
        riding = self._riding.get(id(ride))
        if riding is not None and (late := riding.left(late)):
            self._late += late
            self._late_batches += riding.batches
        self._riding.pop(id(ride), None)

    @property
    def waits(self) -> bool:
        """Whether something is put off until ``retry``."""
        return bool(self._late)

    def unburied_streams(self) -> set[bytes]:
        """The streams of which there are such."""
        return {one.stream for one in self._late if isinstance(one, Burial)}

    def unburied(self, stream: bytes) -> set[bytes]:
        """The ids of a stream whose dead letters are put off: they are still ours."""
        late = [one for one in self._late if isinstance(one, Burial) and one.stream == stream]
        return {id_ for one in late for id_ in one.ids}

    def retry(self) -> None:
        """What the server has refused may leave again."""
        late, self._late = self._late, []
        for one in late:
            self._put_off(one)
        self._spoken_of += self._late_batches
        self._late_batches = []

    def lose(self, rides: Iterable[Ride]) -> None:
        """Rides whose replies will never come: send them again."""
        for ride in rides:
            riding = self._riding[id(ride)]
            for one in riding.left(ride):
                self._put_off(one)
            self._spoken_of += riding.batches
            del self._riding[id(ride)]  # when it is elsewhere: ``settling`` may be asked in any thread

    def _put_off(self, one: Settlement) -> None:
        if isinstance(one, Ack):
            self._acked.setdefault((one.stream, True), []).extend(one.ids)
        else:
            self._refused.append(one.again())


def _without(one: Settlement, stream: bytes, ids: set[bytes]) -> Settlement:
    """What is told, but for some entries of a stream."""
    return one._replace(ids=[id_ for id_ in one.ids if one.stream != stream or id_ not in ids])
