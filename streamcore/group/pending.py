"""The pending-entries list as a member knows it, and its settlements on their way to the server.

Delivered entries are kept by batch; a batch is expanded to single ids only when a part of it is acknowledged. A settlement
(``Ack``, ``Nack``, ``Burial``, ``Clear``) moves through three places: *noted* in its batch (any thread), *unsent* here,
*riding* in an exchange. A confirmed ride is forgotten; the settlements of a lost ride become unsent again, for each may be
repeated. A settlement that the server refuses for now is *late*, until ``retry``. The batches are kept until their rides are
confirmed, because their fields prove whether the ids still mean the same entries on the server (``lineage``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ..connection.exchange import Arguments, Exchange
from ..entries import GroupBatch, Refusal
from .by_stream import Batches, Ride, WaitingSettlements, without
from .options import Membership
from .settlements import Ack, Burial, Clear, Nack, Settlement

MAX_IDS = 1000  # ids of a command


class Riding(NamedTuple):
    """A ride, the batches of its entries, and the ids, by stream, that have come to mean other entries since it left."""

    ride: Ride
    batches: Batches
    void: dict[bytes, set[bytes]]

    def left(self, told: Sequence[Settlement]) -> Sequence[Settlement]:
        """Leave out of settlements the ids that mean other entries by now; return the settlements that may be sent again."""
        if not self.void:
            return told
        kept = [without(one, self.void.get(one.stream, ())) for one in told]
        return [one for one in kept if one.ids]


class Acks(Exchange):
    """The exchange of a ride: a command for each settlement."""

    __slots__ = ("ride",)

    def __init__(self, commands: list[Arguments], ride: Ride, timeout: float) -> None:
        super().__init__(commands, timeout)
        self.ride = ride


class Pending:
    """The entries that were delivered to a member and are not settled on the server."""

    def __init__(self, member: Membership) -> None:
        self.in_flight = 0  # entries handed over, or waiting to be, and not settled
        self._member = member
        self._batches: dict[int, GroupBatch[Any]] = {}
        self._of: dict[bytes, dict[int, GroupBatch[Any]]] = {}  # the batches, by stream
        self._noted: deque[GroupBatch[Any]] = deque()
        self._acked: dict[tuple[bytes, bool], list[bytes]] = {}  # unsent, by stream, and whether repeated
        self._refused = WaitingSettlements()  # unsent
        self._late = WaitingSettlements()  # refused by the server for now; they leave again after ``retry``
        self._late_batches = Batches()  # of the late settlements
        self._spoken_of = Batches()  # of the unsent settlements
        self._riding: dict[int, Riding] = {}

    # -- the application's side ---------------------------------------------------------------------------------------

    def add(self, batch: GroupBatch[Any]) -> None:
        """Keep a delivered batch; its entries are in flight."""
        self._keep(batch)
        self.in_flight += len(batch.raw)

    def split(self, batch: GroupBatch[Any], at: int) -> GroupBatch[Any]:
        """Cut a batch in two at an index, so that each part is kept, and settled, by itself; return the second part."""
        self.collect()
        rest = batch.split(at)
        self._keep(rest)
        if rest.unsettled is not None:
            self._spoken_of.append(rest)  # it has the fields of entries whose settlements may be unconfirmed
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

    def note(self, batch: GroupBatch[Any]) -> None:
        """Queue a batch for ``collect``, since entries of it were acknowledged or refused; called in any thread."""
        self._noted.append(batch)

    def recount(self) -> None:
        """Count the entries in flight anew, from the batches: a signal handler may have raised between two changes."""
        self._of = {}
        for key, batch in self._batches.items():
            self._of.setdefault(batch.key, {})[key] = batch
        self.in_flight = sum(len(one.raw if one.unsettled is None else one.unsettled) for one in self._batches.values())

    def sweep(self) -> None:
        """Note again each batch with settlements, in case that a caller was interrupted between acknowledging and noting."""
        noted = set(map(id, tuple(self._noted)))
        for batch in tuple(self._batches.values()):
            if (batch.acks or batch.refusals) and id(batch) not in noted:
                self._noted.append(batch)

    def awaits(self, batch: GroupBatch[Any], id_: bytes) -> bool:
        """Whether the settlement of an entry is not confirmed yet; may be asked in any thread."""
        if batch.noted:
            return True
        with suppress(IndexError):  # another thread may have collected the last of them
            if self._noted[0] is batch:  # which is being collected
                return True
        return any(id_ in one.ids for one in self._unconfirmed_of(batch.key))

    # -- the entries that are known -----------------------------------------------------------------------------------

    def forget(self, stream: bytes, ids: set[bytes]) -> None:
        """Drop entries that are not ours any more: their acknowledgement would do nothing."""
        for batch in self.batches_of(stream):
            self.in_flight -= batch.forget(ids)
            if batch.settled:
                self._drop(batch)

    def unsettled(self, stream: bytes) -> set[bytes]:
        """The ids of a stream that were delivered to us and not settled, as far as settlements are collected."""
        own = self.batches_of(stream)
        return set[bytes]().union(*(batch.ids if batch.unsettled is None else batch.unsettled for batch in own))

    def batches_of(self, stream: bytes) -> tuple[GroupBatch[Any], ...]:
        """The batches of a stream with unsettled entries, in the order of their delivery."""
        return tuple(self._of.get(stream, {}).values())

    def deliveries(self, stream: bytes, id_: bytes) -> int | None:
        """The delivery counter of an entry that is handed over or read ahead, this delivery included; None for any other id."""
        return next(
            (one.deliveries for one in self.batches_of(stream) if id_ in one.ids),
            None,
        )

    def ids(self, stream: bytes) -> set[bytes]:
        """All ids of a stream that are pending for us: unsettled, unsent, late or riding.

        For the rare comparison with the server, since it expands the batches.
        """
        return self.unsettled(stream).union(*(one.ids for one in self._unconfirmed_of(stream)))

    def _unconfirmed_of(self, stream: bytes) -> list[Settlement]:
        acked = [Ack(stream, self._acked.get((stream, repeated), [])) for repeated in (False, True)]
        waiting = [*self._refused.of(stream), *self._late.of(stream)]
        riding = [one for riding in tuple(self._riding.values()) for one in riding.left(riding.ride.of(stream))]
        return [*acked, *waiting, *riding]

    def _all_unconfirmed(self) -> list[Settlement]:
        acked = [Ack(stream, ids) for (stream, _), ids in tuple(self._acked.items())]
        waiting = [*self._refused.all(), *self._late.all()]
        riding = [one for riding in tuple(self._riding.values()) for one in riding.left(riding.ride)]
        return [*acked, *waiting, *riding]

    def streams(self) -> list[bytes]:
        """The streams in which an entry is unsettled, or a settlement unconfirmed."""
        self.collect()
        return list(dict.fromkeys([*self._of, *(one.stream for one in self._all_unconfirmed())]))

    def bodies(self, stream: bytes) -> dict[bytes, list[bytes]]:
        """The fields of our pending entries of a stream, by id, as far as their batches are kept."""
        ours = self.ids(stream)
        return {id_: fields for batch in self._known_of(stream) for id_, fields in batch.raw if id_ in ours}

    def _known_of(self, stream: bytes) -> list[GroupBatch[Any]]:
        """The batches of unsettled entries of a stream, and of unconfirmed settlements."""
        riding = (batch for riding in self._riding.values() for batch in riding.batches.of(stream))
        spoken_of = (*self._spoken_of.of(stream), *self._late_batches.of(stream))
        return [*spoken_of, *riding, *self.batches_of(stream)]

    def void(self, stream: bytes, ids: set[bytes]) -> None:
        """Drop ids that mean other entries by now, or none: no settlement of them is sent, nor repeated."""
        self.forget(stream, ids)
        for batch in self._known_of(stream):
            batch.lost |= ids.intersection(batch.ids)
        for key in ((stream, False), (stream, True)):
            if left := [id_ for id_ in self._acked.get(key, ()) if id_ not in ids]:
                self._acked[key] = left
            else:
                self._acked.pop(key, None)
        for waiting in (self._refused, self._late):
            waiting.leave_out(stream, ids)
        for riding in self._riding.values():  # over the other link, whose connection is not known to be lost yet
            riding.void.setdefault(stream, set()).update(ids)

    @property
    def noted(self) -> bool:
        """Whether a batch has settlements to collect."""
        return bool(self._noted)

    @property
    def unsent(self) -> bool:
        """Whether a settlement is collected, and not on its way yet."""
        return bool(self._acked or self._refused)

    @property
    def settling(self) -> bool:
        """Whether a settlement is noted, unsent, late or riding."""
        return bool(self._noted or self._acked or self._refused or self._late or self._riding)

    @property
    def gives_back(self) -> bool:
        """Whether an entry is to be given back (``Nack``), and the server has not confirmed it."""
        if any(batch.refusals for batch in tuple(self._noted)):
            return True
        return any(isinstance(one, Nack) for one in self._all_unconfirmed())

    @property
    def unconfirmed(self) -> int:
        """How many entries have a settlement that is not confirmed."""
        self.collect()
        return sum(len(one.ids) for one in self._all_unconfirmed())

    # -- on its way ---------------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Move acknowledgements and refusals from the noted batches to the unsent settlements."""
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
        """Turn refusals into ``Nack`` settlements, by delay; into dead letters without a delay, or after ``max_deliveries``."""
        self.in_flight -= len(refusals)
        # Whether an earlier delivery was seen is unknown: it is no attempt, and the counter is set right.
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
            for at in range(0, len(ids), MAX_IDS):
                self._refused.add(Nack(batch.key, ids[at : at + MAX_IDS], delay, counted))

    def bury(self, stream: bytes, id_: bytes, deliveries: int, reason: bytes) -> None:
        """Queue the move of an entry to the dead-letter stream."""
        self._refused.add(Burial(stream, [id_], self._member.letters(stream), deliveries, reason))

    def clear(self, stream: bytes, ids: list[bytes]) -> None:
        """Queue the removal of entries whose data is gone from the pending list (``XCLAIM``)."""
        self._refused.add(Clear(stream, ids))

    def take(self) -> tuple[list[Arguments], Ride]:
        """Build the commands of all unsent settlements, and the ride to confirm or lose."""
        ride = Ride()
        member = self._member
        for (stream, repeated), ids in self._acked.items():
            ride += [
                Ack(stream, ids[at : at + MAX_IDS], repeated, member.fenced, member.report_acks)
                for at in range(0, len(ids), MAX_IDS)
            ]
        refused = bool(self._refused)
        if refused:
            ride += self._refused.all()
        if ride:
            self._riding[id(ride)] = Riding(ride, self._spoken_of, {})
        self._acked, self._spoken_of = {}, Batches()
        if refused:
            self._refused = WaitingSettlements()
        return [one.command(member) for one in ride], ride

    @property
    def rides(self) -> list[Ride]:
        """The rides that are neither confirmed nor lost."""
        return [riding.ride for riding in self._riding.values()]

    def confirm(self, ride: Ride, late: Sequence[Settlement] = ()) -> None:
        """Forget a ride that the server has answered.

        Its ``late`` settlements were refused for now, and leave again after ``retry``.
        """
        riding = self._riding.get(id(ride))
        if riding is not None and (late := riding.left(late)):
            for one in late:
                self._late.add(one)
            self._late_batches += riding.batches
        self._riding.pop(id(ride), None)

    @property
    def waits(self) -> bool:
        """Whether any settlement is late."""
        return bool(self._late)

    def unburied_streams(self) -> set[bytes]:
        """The streams with late dead letters."""
        return {one.stream for one in self._late.all() if isinstance(one, Burial)}

    def unburied(self, stream: bytes) -> set[bytes]:
        """The ids of a stream whose dead letters are late: these entries are still pending for us."""
        return {id_ for one in self._late.of(stream) if isinstance(one, Burial) for id_ in one.ids}

    def retry(self) -> None:
        """Queue the late settlements for the next ride."""
        for one in self._late.all():
            self._put_off(one)
        self._spoken_of += self._late_batches
        self._late, self._late_batches = WaitingSettlements(), Batches()

    def lose(self, rides: Iterable[Ride]) -> None:
        """Queue the settlements of rides whose replies will never come for the next ride."""
        for ride in rides:
            riding = self._riding[id(ride)]
            for one in riding.left(ride):
                self._put_off(one)
            self._spoken_of += riding.batches
            del self._riding[id(ride)]  # when its settlements are unsent: ``settling`` may be asked in any thread

    def _put_off(self, one: Settlement) -> None:
        if isinstance(one, Ack):
            self._acked.setdefault((one.stream, True), []).extend(one.ids)
        else:
            self._refused.add(one.again())
