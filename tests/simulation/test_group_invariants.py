"""The invariants of a group: what may come again, attempts, dead letters."""

from __future__ import annotations

import pytest

from streamcore.events import DeadLettered
from tests.simulation.support import TOO_OFTEN, appended, delivered, entry_of, group, run
from transports.simulation.workloads.group.delivery_log import DeliveryLog
from transports.simulation.workloads.group.invariants import AttemptsSeen, LettersDeserved
from transports.simulation.workloads.group.member import Member
from transports.simulation.world.driver import World
from transports.simulation.world.scheduler import Violation
from transports.simulation.world.stream_log import STRANGER, Key, fields_of


def test_an_entry_that_is_in_hand_twice_is_handled_twice() -> None:
    """Seed 501785: the first handling, whose lease was lost, ended the second one."""
    _, log, member = group()
    key = appended(log, member)
    member.habits.refuses = member.habits.buries = 0.0
    handlings = [(key, entry_of(key)), (key, entry_of(key, 2))]
    member.hands.begun += handlings
    member._finish(handlings[0])
    assert member.hands.begun == handlings[1:]
    member._finish(handlings[1])
    assert (member.hands.begun, log.fate(key).acked) == ([], True)
    member._finish(handlings[1])  # it was cancelled, say


def hand(log: DeliveryLog, member: Member, key: Key, deliveries: int) -> None:
    oracle = AttemptsSeen(log.world, log)
    entry = entry_of(key, deliveries)
    oracle.handed(member, entry._batch, [entry._raw], [key])
    log.tenures.handed(key, member.label)
    log.fate(key).times += 1


@pytest.mark.parametrize(("owner", "excused"), [(b"gone", True), (None, False)])
def test_what_another_one_has_claimed_may_come_again(owner: bytes | None, excused: bool) -> None:
    """Seed 1258: before it was handed over."""
    _, log, member = group()
    key = appended(log, member)
    delivered(log, key, owner or member.consumer)
    assert member._was_robbed(key) is excused


class TestAttemptsSeen:
    def test_a_reconnect_explains_no_delivery(self) -> None:
        """Seed 5752."""
        world, log, member = group()
        key = appended(log, member)
        world.now += 60
        delivered(log, key, member.consumer)
        with pytest.raises(Violation, match="at delivery 2; it was handed over 0 times before, and 0 were lost"):
            hand(log, member, key, 2)

    def test_what_another_process_had_and_did_not_see_explains_one(self) -> None:
        _, log, member = group()
        key = appended(log, member)
        for consumer in (b"member-9", STRANGER, b"member-9"):
            delivered(log, key, consumer)
        log.fate(key).strangers = 1
        delivered(log, key, member.consumer)
        with pytest.raises(Violation):
            hand(log, member, key, 5)
        hand(log, member, key, 4)

    def test_what_it_has_seen_itself_is_counted(self) -> None:
        _, log, member = group()
        key = appended(log, member)
        for deliveries in (1, 2, 3):
            delivered(log, key, member.consumer, deliveries)
            hand(log, member, key, deliveries)
        delivered(log, key, b"member-9", 4)
        delivered(log, key, member.consumer, 4)
        hand(log, member, key, 5)

    def test_the_first_read_of_a_process_ends_what_its_name_has_inherited(self) -> None:
        world, log, member = group()
        member.crash(silently=True, away=10.0)
        key = Key(b"s", b"1-1", b"p9:1")
        log.sent.add(key.name)
        log.history.store.do(b"XADD", key.stream, key.id, *fields_of(key.name))
        log.history.note(key.stream)
        delivered(log, key, member.consumer)
        member.start()
        hand(log, member, key, 2)
        for _ in range(8):
            run(world, 0.2)
            log.tenures.note()
        with pytest.raises(Violation):
            hand(log, member, appended(log, member, 2), 2)

    def test_a_group_that_went_back_may_recount(self) -> None:
        _, log, member = group()
        key = appended(log, member)
        log.reset(key.stream)
        hand(log, member, key, 7)


class TestLetters:
    KEY = Key(b"s", b"1-1", b"p9:1")

    def wrong(
        self, world: World, log: DeliveryLog, member: Member, *, deliveries: int = 2, reason: str = TOO_OFTEN
    ) -> str:
        """What is wrong with the letter of which a member tells."""
        event = DeadLettered(self.KEY.stream, self.KEY.id, b"dead", b"1-1", deliveries, reason)
        LettersDeserved(world, log, 2).heard(member, event)
        try:
            run(world, 0.01)
        except Violation as violation:
            return violation.message
        return ""

    def held(self, *, settled: bool = False) -> tuple[World, DeliveryLog, Member]:
        """A member that was handed an entry, once."""
        world, log, member = group()
        fate = log.fate(self.KEY)
        fate.holder, fate.times, fate.excused, fate.settled, fate.at = member.label, 1, False, settled * 1.0, world.now
        return world, log, member

    def test_what_was_settled_is_no_letter(self) -> None:
        """Seed 10334."""
        assert "which it had settled" in self.wrong(*self.held(settled=True))
        assert self.wrong(*self.held()) == ""

    def test_what_was_refused_for_the_first_time_is_none_either(self) -> None:
        assert "nobody was handed it before" in self.wrong(*self.held(), reason="refused")
        assert self.wrong(*self.held(), reason="refused", deliveries=3) == ""

    def test_what_a_process_of_the_same_name_has_in_hand_is_none(self) -> None:
        """Seed 12757."""
        world, log, _ = self.held()
        twin = next(one for one in log.members if isinstance(one, Member) and one.is_twin)
        run(world, 0.5)
        twin.start()
        log.tenures.note()
        assert "which member-1.1 has in hand" in self.wrong(world, log, twin)
