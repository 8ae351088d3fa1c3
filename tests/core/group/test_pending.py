from __future__ import annotations

import pytest

from streamcore.entries import GroupBatch
from streamcore.group.by_stream import Ride
from streamcore.group.options import Membership
from streamcore.group.pending import MAX_IDS, Acks, Pending
from streamcore.group.settlements import Ack, Burial, Nack
from tests.core.support.batches import MEMBER, delivered


@pytest.fixture
def pending() -> Pending:
    return Pending(MEMBER)


class TestAcknowledging:
    def test_nothing_is_pending_at_first(self, pending: Pending) -> None:
        assert (pending.in_flight, pending.unsent, pending.settling) == (0, False, False)
        assert pending.take() == ([], [])
        assert pending.ids(b"s") == set()

    def test_an_id_moves_from_noted_to_unsent_to_riding_to_settled(self, pending: Pending) -> None:
        batch = delivered(pending, "1-0", "2-0")
        assert (pending.in_flight, pending.noted, pending.settling) == (2, False, False)
        batch[0].ack()
        assert (pending.in_flight, pending.noted, pending.settling) == (2, True, True)
        pending.collect()
        assert (pending.in_flight, pending.unsent, pending.settling) == (1, True, True)
        commands, ride = pending.take()
        assert commands == [("XACK", b"s", b"g", b"1-0")]
        assert (pending.unsent, pending.settling) == (False, True)
        assert pending.ids(b"s") == {b"1-0", b"2-0"}
        pending.confirm(ride)
        assert pending.settling is False
        assert pending.ids(b"s") == {b"2-0"}

    def test_what_an_id_means_no_more_is_neither_held_nor_spoken_of(self, pending: Pending) -> None:
        batches = [delivered(pending, "1-0", "2-0", stream=stream) for stream in ("s", "t")]
        for batch in batches:
            batch.ack()
        pending.collect()
        pending.void(b"s", {b"1-0"})
        commands, _ = pending.take()
        assert commands == [("XACK", b"s", b"g", b"2-0"), ("XACK", b"t", b"g", b"1-0", b"2-0")]
        assert [batch.lost for batch in batches] == [{b"1-0"}, set()]

    def test_what_is_late_is_spoken_of_and_keeps_what_its_entries_hold(self, pending: Pending) -> None:
        """Applications, seed 54: an acknowledgement that was refused for lack of memory was void on the next connection."""
        delivered(pending, "1-0").ack()
        delivered(pending, "2-0").ack()
        pending.collect()
        _, ride = pending.take()
        pending.confirm(ride, ride)
        assert pending.bodies(b"s") == {b"1-0": [b"f", b"v"], b"2-0": [b"f", b"v"]}
        assert (pending.unsent, pending.settling, pending.unconfirmed) == (False, True, 2)
        assert pending.ids(b"s") == {b"1-0", b"2-0"}
        pending.retry()
        assert pending.bodies(b"s") == {b"1-0": [b"f", b"v"], b"2-0": [b"f", b"v"]}
        commands, ride = pending.take()
        assert commands == [("XACK", b"s", b"g", b"1-0", b"2-0")]
        pending.confirm(ride)
        assert pending.bodies(b"s") == {}

    def test_what_is_void_is_not_told_later_either(self, pending: Pending) -> None:
        delivered(pending, "1-0").ack()
        delivered(pending, "2-0").ack()
        pending.collect()
        _, ride = pending.take()
        pending.confirm(ride, ride)
        pending.void(b"s", {b"1-0"})
        pending.void(b"t", {b"2-0"})
        pending.retry()
        assert pending.take()[0] == [("XACK", b"s", b"g", b"2-0")]

    @pytest.mark.parametrize("late", [False, True])
    def test_nor_is_it_repeated_where_it_became_void_on_its_way(self, pending: Pending, late: bool) -> None:
        delivered(pending, "1-0").ack()
        delivered(pending, "2-0").ack()
        pending.collect()
        _, ride = pending.take()
        pending.void(b"s", {b"1-0"})
        pending.void(b"t", {b"2-0"})
        assert (pending.ids(b"s"), pending.unconfirmed) == ({b"2-0"}, 1)
        if late:
            pending.confirm(ride, ride)
            pending.retry()
        else:
            pending.lose([ride])
        assert pending.take()[0] == [("XACK", b"s", b"g", b"2-0")]

    def test_batches_of_a_stream_share_a_command(self, pending: Pending) -> None:
        for ids in (["1-0", "2-0"], ["3-0"]):
            delivered(pending, *ids).ack()
        delivered(pending, "9-0", stream="t").ack()
        pending.collect()
        commands, ride = pending.take()
        assert commands == [("XACK", b"s", b"g", b"1-0", b"2-0", b"3-0"), ("XACK", b"t", b"g", b"9-0")]
        assert ride == [Ack(b"s", [b"1-0", b"2-0", b"3-0"]), Ack(b"t", [b"9-0"])]

    def test_an_exchange_carries_its_ride(self, pending: Pending) -> None:
        delivered(pending, "1-0").ack()
        pending.collect()
        commands, ride = pending.take()
        acks = Acks(commands, ride, 2.5)
        assert (acks.ride, acks.timeout) == (ride, 2.5)
        assert acks.data == b"*4\r\n$4\r\nXACK\r\n$1\r\ns\r\n$1\r\ng\r\n$3\r\n1-0\r\n"

    def test_a_long_list_is_cut(self, pending: Pending) -> None:
        delivered(pending, *(f"{n}-0" for n in range(2 * MAX_IDS + 1))).ack()
        pending.collect()
        commands, _ = pending.take()
        assert [len(command) - 3 for command in commands] == [MAX_IDS, MAX_IDS, 1]

    def test_an_entry_acknowledged_twice_is_counted_once(self, pending: Pending) -> None:
        batch = delivered(pending, "1-0", "2-0")
        batch[0].ack()
        pending.collect()
        batch[0].ack()
        pending.collect()
        assert pending.in_flight == 1
        assert pending.take()[1] == [Ack(b"s", [b"1-0"])]

    def test_nothing_new_is_not_sent(self, pending: Pending) -> None:
        batch = delivered(pending, "1-0")
        batch.ack()
        pending.collect()
        pending.confirm(pending.take()[1])
        batch.ack()
        assert pending.settling
        pending.collect()
        assert pending.take() == ([], [])
        assert not pending.settling


class TestKnowing:
    @pytest.mark.parametrize("how", ["ack", "nack", "dead_letter"])
    def test_an_id_is_settled_when_its_ride_is_confirmed(self, pending: Pending, how: str) -> None:
        batch = delivered(pending, "1-0", "2-0")
        batch.awaited = pending.awaits
        entry, other = batch
        assert not entry.settled()
        getattr(entry, how)()
        seen = [entry.settled()]
        pending.collect()
        seen.append(entry.settled())
        _, ride = pending.take()
        seen.append(entry.settled())
        pending.lose([ride])
        seen.append(entry.settled())
        pending.confirm(pending.take()[1])
        assert (seen, entry.settled(), other.settled()) == ([False] * 4, True, False)

    def test_a_batch_of_its_own_takes_its_word_for_it(self) -> None:
        batch = GroupBatch[bytes](b"s", [[b"1-0", []]], inbox=lambda _: None)
        batch.ack()
        assert not batch[0].settled()
        batch.collect()
        assert batch[0].settled()


class TestRefusing:
    def test_by_delay_and_in_commands_that_are_not_too_long(self, pending: Pending) -> None:
        batch = delivered(pending, *(f"{n}-0" for n in range(MAX_IDS + 2)))
        batch[0].nack(5)
        batch.nack()
        pending.collect()
        assert pending.in_flight == 0
        _, ride = pending.take()
        assert [(type(one), len(one.ids)) for one in ride] == [(Nack, 1), (Nack, MAX_IDS), (Nack, 1)]

    def test_a_lost_one_is_sent_again_as_a_repetition(self, pending: Pending) -> None:
        batch = delivered(pending, "1-0", "2-0")
        batch[0].nack(5)
        batch[1].dead_letter("no")
        pending.collect()
        _, ride = pending.take()
        assert pending.ids(b"s") == {b"1-0", b"2-0"}
        pending.lose([ride])
        assert pending.take()[1] == [
            Burial(b"s", [b"2-0"], b"{s}:dead", 1, b"no", repeated=True),
            Nack(b"s", [b"1-0"], 5.0, repeated=True),
        ]

    def test_on_the_last_attempt_it_is_a_burial(self) -> None:
        pending = Pending(Membership.of("s", "g", "c", max_deliveries=3))
        for deliveries in (2, 3):
            batch = delivered(pending, f"{deliveries}-0")
            batch.deliveries = deliveries
            batch.nack(0, "no")
        pending.collect()
        assert pending.take()[1] == [Nack(b"s", [b"2-0"], 0.0), Burial(b"s", [b"3-0"], b"{s}:dead", 3, b"no")]


class TestLosing:
    def test_a_lost_ride_is_sent_again_as_a_repetition(self, pending: Pending) -> None:
        delivered(pending, "1-0").ack()
        pending.collect()
        _, lost = pending.take()
        delivered(pending, "2-0").ack()
        pending.collect()
        pending.lose([lost])
        assert (pending.unsent, pending.ids(b"s")) == (True, {b"1-0", b"2-0"})
        _, ride = pending.take()
        assert ride == [Ack(b"s", [b"2-0"]), Ack(b"s", [b"1-0"], repeated=True)]

    def test_lost_again_it_is_still_one_repetition(self, pending: Pending) -> None:
        for stream in ("s", "t"):
            delivered(pending, "1-0", stream=stream).ack()
        pending.collect()
        for _ in range(3):
            _, ride = pending.take()
            pending.lose([ride])
        assert pending.take()[1] == [Ack(b"s", [b"1-0"], repeated=True), Ack(b"t", [b"1-0"], repeated=True)]

    def test_other_rides_go_on(self, pending: Pending) -> None:
        rides: list[Ride] = []
        for id_ in ("1-0", "2-0"):
            delivered(pending, id_).ack()
            pending.collect()
            rides.append(pending.take()[1])
        pending.lose(rides[:1])
        pending.confirm(rides[1])
        assert pending.ids(b"s") == {b"1-0"}
        pending.confirm(rides[1])  # a second answer to the same ride would change nothing
        assert pending.settling


class TestIds:
    def test_of_one_stream_in_all_places(self, pending: Pending) -> None:
        untouched = delivered(pending, "1-0", "2-0")
        partly = delivered(pending, "3-0", "4-0")
        delivered(pending, "5-0").ack()
        delivered(pending, "9-0", stream="t").ack()
        pending.collect()
        pending.take()
        partly[0].ack()
        delivered(pending, "8-0", stream="t").ack()
        delivered(pending, "7-0", stream="t")
        pending.collect()
        assert pending.ids(b"s") == {*untouched.ids, *partly.ids, b"5-0"}
        assert pending.ids(b"t") == {b"7-0", b"8-0", b"9-0"}
        assert pending.ids(b"u") == set()


class TestSplitting:
    def test_each_part_is_settled_by_itself(self, pending: Pending) -> None:
        batch = delivered(pending, "1-0", "2-0", "3-0")
        rest = pending.split(batch, 1)
        assert (batch.ids, rest.ids, pending.in_flight) == ([b"1-0"], [b"2-0", b"3-0"], 3)
        rest.ack()
        pending.collect()
        assert (pending.in_flight, pending.ids(b"s")) == (1, {b"1-0", b"2-0", b"3-0"})
        pending.confirm(pending.take()[1])
        assert pending.ids(b"s") == {b"1-0"}
        batch.ack()
        pending.collect()
        assert pending.in_flight == 0

    def test_what_was_acknowledged_before_still_counts(self, pending: Pending) -> None:
        batch = delivered(pending, "1-0", "2-0", "3-0")
        for entry in batch[:2]:
            entry.ack()
        rest = pending.split(batch, 1)
        assert pending.take()[0] == [("XACK", b"s", b"g", b"1-0", b"2-0")]
        rest.ack()
        pending.collect()
        assert pending.take()[0] == [("XACK", b"s", b"g", b"3-0")]
        assert pending.in_flight == 0

    def test_the_fields_of_what_was_acknowledged_before_are_kept(self, pending: Pending) -> None:
        """Else its acknowledgement cannot be proven on the next connection, and it comes again."""
        batch = delivered(pending, "1-0", "2-0", "3-0")
        batch[2].ack()
        pending.split(pending.split(batch, 1), 1)
        assert pending.bodies(b"s").keys() == {b"1-0", b"2-0", b"3-0"}
        _, ride = pending.take()
        assert pending.bodies(b"s").keys() == {b"1-0", b"2-0", b"3-0"}
        pending.confirm(ride)
        assert pending.bodies(b"s").keys() == {b"1-0", b"2-0"}

    @pytest.mark.parametrize("at", [0, 2])
    def test_an_empty_part_is_not_kept(self, pending: Pending, at: int) -> None:
        batch = delivered(pending, "1-0", "2-0")
        rest = pending.split(batch, at)
        for part in (batch, rest):
            part.ack()
        pending.collect()
        pending.confirm(pending.take()[1])
        assert (pending.in_flight, pending.ids(b"s"), pending._batches) == (0, set(), {})


def test_a_caller_interrupted_between_acknowledging_and_noting_is_swept_up() -> None:
    pending = Pending(MEMBER)

    def interrupted(batch: GroupBatch[bytes]) -> None:
        raise KeyboardInterrupt

    batch: GroupBatch[bytes] = GroupBatch(b"s", [[b"1-0", []], [b"2-0", []]], inbox=interrupted)
    pending.add(batch)
    with pytest.raises(KeyboardInterrupt):
        batch[0].ack()
    pending.collect()
    assert not pending.settling
    pending.sweep()
    pending.sweep()
    pending.collect()
    assert pending.take()[0] == [("XACK", b"s", b"g", b"1-0")]
    batch.inbox = pending.note
    batch[1].ack()
    assert pending.settling, "the next one tells by itself"


def test_what_is_forgotten_is_not_ours_any_more() -> None:
    pending = Pending(MEMBER)
    first, second, other = (
        GroupBatch[bytes](key, [[id_, []] for id_ in ids], inbox=pending.note)
        for key, ids in ((b"s", [b"1-0", b"2-0"]), (b"s", [b"3-0"]), (b"t", [b"1-0"]))
    )
    for batch in (first, second, other):
        pending.add(batch)
    first[0].ack()
    pending.collect()
    pending.forget(b"s", {b"1-0", b"2-0"})
    assert pending.unsettled(b"s") == {b"3-0"}
    assert pending.unsettled(b"t") == {b"1-0"}
    assert pending.in_flight == 2
    assert list(pending._batches.values()) == [second, other]
    first[1].ack()
    pending.collect()
    assert pending.take()[0] == [("XACK", b"s", b"g", b"1-0")], "acknowledged before it was forgotten"
