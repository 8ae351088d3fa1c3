"""Acknowledgements in whatever order: nothing is forgotten, and nothing invented."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from streamcore.entries import GroupBatch
from streamcore.group.by_stream import Ride
from streamcore.group.pending import Pending
from tests.core.support.batches import MEMBER, delivered


class PendingMachine(RuleBasedStateMachine):
    """Batches are delivered, split, acknowledged anyhow; rides are confirmed and lost in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending(MEMBER)
        self.number = 0
        self.known: dict[bytes, set[bytes]] = {b"s": set(), b"t": set()}  # delivered, and not confirmed
        self.unacked: set[bytes] = set()

    batches = Bundle("batches")
    rides = Bundle("rides")

    @rule(target=batches, stream=st.sampled_from(["s", "t"]), size=st.integers(1, 4))
    def deliver(self, stream: str, size: int) -> GroupBatch[bytes]:
        ids = [f"{self.number + n}-0" for n in range(size)]
        self.number += size
        self.known[stream.encode()].update(id_.encode() for id_ in ids)
        self.unacked.update(id_.encode() for id_ in ids)
        return delivered(self.pending, *ids, stream=stream)

    @rule(batch=batches, at=st.integers(0, 3))
    def ack_entry(self, batch: GroupBatch[bytes], at: int) -> None:
        if at < len(batch):
            batch[at].ack()
            self.unacked.discard(batch[at].raw_id)

    @rule(batch=batches)
    def ack_batch(self, batch: GroupBatch[bytes]) -> None:
        batch.ack()
        self.unacked.difference_update(batch.ids)

    @rule(target=batches, batch=consumes(batches), at=st.integers(0, 4))
    def split(self, batch: GroupBatch[bytes], at: int) -> Any:
        whole = batch.ids
        rest = self.pending.split(batch, at)
        assert batch.ids + rest.ids == whole
        return multiple(*(part for part in (batch, rest) if part))

    @rule()
    def collect(self) -> None:
        self.pending.collect()
        assert self.pending.in_flight == len(self.unacked)

    @rule(target=rides)
    def send(self) -> Any:
        self.pending.collect()
        commands, ride = self.pending.take()
        assert [command[:3] for command in commands] == [("XACK", ack.stream, b"g") for ack in ride]
        for ack in ride:
            assert len(set(ack.ids)) == len(ack.ids)
            assert set(ack.ids) <= self.known[ack.stream] - self.unacked
        return ride or multiple()

    @rule(ride=consumes(rides))
    def confirm(self, ride: Ride) -> None:
        self.pending.confirm(ride)
        for ack in ride:
            assert self.known[ack.stream] >= set(ack.ids), "confirmed twice: it was sent twice, and not as lost"
            self.known[ack.stream].difference_update(ack.ids)

    @rule(ride=consumes(rides))
    def lose(self, ride: Ride) -> None:
        self.pending.lose([ride])

    @invariant()
    def nothing_is_forgotten_and_nothing_invented(self) -> None:
        for stream, ids in self.known.items():
            assert self.pending.ids(stream) == ids
        assert self.pending.settling or set().union(*self.known.values()) == self.unacked

    def teardown(self) -> None:
        """Whatever happened: once everything is acknowledged and confirmed, nothing is left."""
        for batch in list(self.pending._batches.values()):
            batch.ack()
        self.pending.lose([riding.ride for riding in self.pending._riding.values()])
        self.pending.collect()
        _, ride = self.pending.take()
        self.pending.confirm(ride)
        assert not self.pending.settling
        assert (self.pending.in_flight, self.pending.unsent, self.pending._batches) == (0, False, {})


PendingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPendingMachine = PendingMachine.TestCase
