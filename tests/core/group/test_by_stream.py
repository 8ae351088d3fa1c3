"""A question about a stream costs the same, however many other streams there are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from streamcore.entries import Batch, GroupBatch
from streamcore.group.by_stream import Batches, Ride, WaitingSettlements
from streamcore.group.pending import Pending
from streamcore.group.redelivery_queue import RedeliveryQueue, Waiting
from streamcore.group.rounds import Rounds
from streamcore.group.settlements import Ack, Burial, Clear
from streamcore.reading.prefetch import Prefetch
from tests.core.support.batches import MEMBER, delivered
from tests.core.support.calls import Work
from tests.support.moments import CORE, moments

FEW, MANY = 10, 1000


def work(act: Callable[[], object]) -> int:
    act()  # what is found out once, is found out now
    with Work() as counted:
        act()
    return counted.done


def names(number: int) -> list[str]:
    return [f"t{at}" for at in range(number // 2)] + ["s"] + [f"u{at}" for at in range(number // 2)]


def scattered(number: int) -> tuple[Pending, GroupBatch[bytes]]:
    """Of each of so many streams an entry is in hand, and others noted, unsent, late and riding. The batch is of ``s``."""
    pending = Pending(MEMBER)
    streams = names(number)
    batches = [delivered(pending, *(f"{at}-0" for at in range(1, 9)), stream=stream) for stream in streams]

    def settle(*at: int) -> None:
        for batch in batches:
            batch[at[0]].ack()
            for each in at[1:]:
                batch[each].dead_letter()
        pending.collect()

    settle(1, 2)
    pending.confirm(ride := pending.take()[1], [one for one in ride if isinstance(one, Burial)])
    settle(3, 4)
    pending.take()
    settle(5, 6)
    for batch in batches:
        batch[7].ack()
    return pending, next(batch for batch in batches if batch.key == b"s")


QUESTIONS: dict[str, Callable[[Pending, GroupBatch[bytes]], object]] = {
    "ids": lambda pending, _: pending.ids(b"s"),
    "awaits": lambda pending, batch: pending.awaits(batch, b"1-0"),
    "unsettled": lambda pending, _: pending.unsettled(b"s"),
    "deliveries": lambda pending, _: pending.deliveries(b"s", b"1-0"),
    "bodies": lambda pending, _: pending.bodies(b"s"),
    "unburied": lambda pending, _: pending.unburied(b"s"),
    "batches": lambda pending, _: pending.batches_of(b"s"),
    "forget": lambda pending, _: pending.forget(b"s", {b"1-0"}),
    "void": lambda pending, _: pending.void(b"s", {b"1-0"}),
    "void all": lambda pending, _: pending.void(b"s", {b"%d-0" % at for at in range(9)}),
}


class Compared(GroupBatch[bytes]):
    """A batch that counts how often it is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return self is other

    __hash__ = GroupBatch.__hash__


class Collected(GroupBatch[bytes]):
    """A batch of which another thread asks whether its entry is settled, when its ids are taken and have not arrived yet."""

    def collect(self) -> list[bytes]:
        ids = super().collect()
        self.told = [self.is_settled(id_) for id_ in ids]
        return ids


class TestPending:
    @pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
    def test_asks_about_a_stream_alone(self, question: Callable[[Pending, GroupBatch[bytes]], object]) -> None:
        def cost(number: int) -> int:
            pending, batch = scattered(number)
            return work(lambda: question(pending, batch))

        assert cost(MANY) <= cost(FEW) + 20

    def test_the_inbox_is_not_walked_for_an_entry_nor_for_each_batch(self) -> None:
        pending = Pending(MEMBER)
        batches = [Compared(b"s", [[b"1-0", []]], inbox=pending.note) for _ in range(MANY)]
        for each in batches:
            pending.add(each)
            each.ack()
        assert pending.awaits(batches[-1], b"1-0")
        pending.sweep()
        assert Compared.times == 0

    def test_all_of_it_is_told(self) -> None:
        pending, batch = scattered(4)
        told = {b"%d-0" % at for at in range(1, 9)} - {b"2-0"}  # whose acknowledgement the server has confirmed
        assert pending.ids(b"s") == told
        assert set(pending.bodies(b"s")) == told
        assert pending.unburied(b"s") == {b"3-0"}
        assert [pending.awaits(batch, b"%d-0" % at) for at in (2, 3, 4)] == [True] * 3, "as long as it is noted"
        pending.collect()
        assert [pending.awaits(batch, b"%d-0" % at) for at in range(1, 9)] == [False] * 2 + [True] * 6

    def test_an_entry_is_awaited_while_its_batch_is_collected(self) -> None:
        pending = Pending(MEMBER)
        batch = Collected(b"s", [[b"1-0", []]], inbox=pending.note, awaited=pending.awaits)
        pending.add(batch)
        batch[0].ack()
        pending.collect()
        assert batch.told == [False]

    def test_what_is_left_out_leaves_the_others_in_their_order(self) -> None:
        pending, _ = scattered(4)
        pending.retry()
        pending.void(b"s", {b"3-0", b"6-0"})
        pending.void(b"t0", {b"7-0"})
        burials = [one.stream + b" " + one.ids[0] for one in pending.take()[1] if isinstance(one, Burial)]
        streams = [b"t0", b"t1", b"s", b"u0", b"u1"]
        unsent = [stream + b" 7-0" for stream in streams if stream != b"t0"]
        late = [stream + b" 3-0" for stream in streams if stream != b"s"]
        assert burials == unsent + late

    def test_what_is_late_is_not_lost_where_a_handler_raises_while_it_is_queued_again(self) -> None:
        finished = 0
        for at in range(600):
            pending, _ = scattered(2)
            with suppress(KeyboardInterrupt):
                finished += not moments(pending.retry, at, interrupt, within=(CORE,), everywhere=True)
            assert b"3-0" in pending.ids(b"s")
        assert finished


def interrupt() -> None:
    raise KeyboardInterrupt


class TestInOrder:
    def test_what_is_appended_is_found_by_its_stream(self) -> None:
        ride = Ride([Ack(b"s", [b"1-0"])])
        assert (ride.of(b"s"), ride.of(b"t")) == ([Ack(b"s", [b"1-0"])], ())
        ride.append(Ack(b"t", [b"2-0"]))
        ride += [Ack(b"s", [b"3-0"])]
        assert (ride.of(b"t"), ride.of(b"s")) == ([Ack(b"t", [b"2-0"])], [Ack(b"s", [b"1-0"]), Ack(b"s", [b"3-0"])])
        pending = Pending(MEMBER)
        batches = Batches([delivered(pending, "1-0", stream=stream) for stream in ("s", "t")])
        assert batches.of(b"t") == [batches[1]]

    def test_what_waits_has_one_order_and_is_found_by_its_stream(self) -> None:
        waiting = WaitingSettlements()
        assert not waiting
        given = [Clear(stream, [id_]) for id_ in (b"1-0", b"2-0") for stream in (b"s", b"t")]
        for one in given:
            waiting.add(one)
        assert waiting
        assert waiting.all() == given
        assert waiting.of(b"t") == (Clear(b"t", [b"1-0"]), Clear(b"t", [b"2-0"]))
        waiting.leave_out(b"t", {b"1-0"})
        assert waiting.all() == [given[0], given[2], given[3]]
        waiting.leave_out(b"t", {b"2-0"})
        waiting.leave_out(b"s", {b"1-0", b"2-0"})
        assert (bool(waiting), waiting.all(), waiting.of(b"s")) == (False, [], ())


def queue_of(number: int) -> RedeliveryQueue:
    queue = RedeliveryQueue()
    queue.add(Waiting(name.encode(), b"%d-0" % at, 1) for at in (1, 2, 3) for name in names(number))
    return queue


CHANGES: dict[str, Callable[[RedeliveryQueue], object]] = {
    "ids": lambda queue: queue.ids(b"s"),
    "waiting": lambda queue: queue.waiting(b"s"),
    "in it": lambda queue: Waiting(b"s", b"2-0", 1) in queue,
    "forget": lambda queue: queue.forget(b"s", {b"2-0"}),
    "forget all": lambda queue: queue.forget(b"s"),
    "remove": lambda queue: queue.remove([queue.first]),
    "clear": lambda queue: queue.clear(b"s"),
}


class TestRedeliveryQueue:
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_walks_over_no_other_stream(self, change: Callable[[RedeliveryQueue], object]) -> None:
        def cost(number: int) -> int:
            queue = queue_of(number)
            with Work() as counted:
                change(queue)
            return counted.done

        assert cost(MANY) <= cost(FEW) + 20

    def test_keeps_the_order(self) -> None:
        queue = queue_of(2)
        queue.forget(b"t0", {b"1-0"})
        queue.remove([Waiting(b"s", b"1-0", 1), Waiting(b"s", b"9-0", 1)])
        assert queue.waiting(b"s") == [b"2-0", b"3-0"]
        assert queue.first == Waiting(b"u0", b"1-0", 1)
        assert [one.stream for one in queue] == [b"u0", b"t0", b"s", b"u0", b"t0", b"s", b"u0"]
        assert queue.clear(b"u0") == [Waiting(b"u0", b"%d-0" % at, 1) for at in (1, 2, 3)]
        assert queue.streams() == {b"t0", b"s"}
        assert len(queue.clear()) == 4
        assert not queue

    @pytest.mark.parametrize(
        "change",
        [
            lambda queue: queue.add([Waiting(b"s", b"4-0", 1), Waiting(b"v", b"4-0", 1)]),
            lambda queue: queue.clear(b"s"),
            lambda queue: queue.remove([Waiting(b"s", b"2-0", 1)]),
        ],
    )
    def test_is_counted_anew_where_a_handler_has_raised(self, change: Callable[[RedeliveryQueue], object]) -> None:
        finished = 0
        for at in range(250):
            queue = queue_of(2)
            with suppress(KeyboardInterrupt):
                finished += not moments(lambda: change(queue), at, interrupt, within=(CORE,), everywhere=True)  # noqa: B023
            queue.recount()
            assert queue.streams() == {one.stream for one in queue}
            for stream in queue.streams():
                assert queue.waiting(stream) == [one.id for one in queue if one.stream == stream]
        assert finished


@pytest.mark.parametrize(
    "change", [lambda prefetch: prefetch.drop(b"s"), lambda prefetch: prefetch.withdraw(b"s", {b"1-0"})]
)
def test_nothing_is_walked_to_take_out_of_the_prefetch_what_is_not_there(
    change: Callable[[Prefetch[Batch[bytes]]], object],
) -> None:
    def cost(number: int) -> int:
        prefetch: Prefetch[Batch[bytes]] = Prefetch(5, 100)
        for name in names(number):
            prefetch.add(Batch(name.encode(), [[b"1-0", [b"f", b"v"]]]))
        return work(lambda: change(prefetch))

    assert cost(MANY) <= cost(FEW) + 20


class Name(bytes):
    """The name of a stream, which counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return bytes.__eq__(self, other)

    __hash__ = bytes.__hash__


def test_a_stream_that_is_read_no_more_has_no_turn_in_a_round() -> None:
    streams = [Name(b"%d" % at) for at in range(150)]
    rounds = Rounds(1)
    rounds.piece(1, streams, streams)
    Name.compared = 0
    rounds.forget(Name(b"120"))
    assert Name.compared < 10
    assert rounds.piece(2, [], []) == [b"%d" % at for at in range(50, 100)]
    assert rounds.piece(3, [], []) == [b"%d" % at for at in range(100, 150) if at != 120]
