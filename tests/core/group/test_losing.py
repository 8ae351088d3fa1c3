"""A member whose connections are lost, or whose reads are refused."""

from __future__ import annotations

import pytest

from streamcore.errors import LoadingError, NoGroupError, NoPermissionError, ReplyError, UnblockedError
from streamcore.events import AckMissed, Connected, CountReduced, Disconnected, GroupRecreated
from streamcore.options import Options
from streamcore.testing.resp import Simple
from tests.core.support.scripted_member import (
    NOGROUP,
    PATIENT,
    READONLY,
    UNBLOCKED,
    acking,
    dialled,
    entered,
    events,
    joined,
    keep_up,
    reconnected,
    reply,
    taken,
)
from tests.core.support.streams import NOTHING_PENDING, info, listed


class TestLosing:
    def test_unconfirmed_acknowledgements_are_repeated_and_then_miss_nothing(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        batch.ack()
        pair.server.answer(reply("3-0"))
        taken(consumer)
        pair.settle()
        pair.server.commands.clear()
        pair.server.close()
        dialled(pair)
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect(*PATIENT)
        pair.server.answer(0)
        assert consumer.settled
        assert not any(isinstance(event, AckMissed) for event in events(pair))

    def test_they_are_repeated_also_where_no_read_takes_them_along(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        batch.ack()
        pair.server.answer(reply("3-0"))
        taken(consumer)
        consumer.leave()
        pair.settle()
        pair.server.close()
        dialled(pair)
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect_nothing()
        pair.server.answer(0)
        assert consumer.settled

    def test_confirmed_ones_are_not_repeated(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        batch.ack()
        pair.server.answer(reply("3-0"))
        taken(consumer)
        pair.settle()
        pair.server.answer(2)
        pair.server.close()
        reconnected(pair)
        pair.server.expect(*PATIENT)

    def test_those_of_the_acking_link_are_repeated_by_it(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).expect("XACK")
        acking(pair).close()
        pair.advance(0.05)
        acking(pair).expect("XACK", "s", "g", "1-0")
        acking(pair).answer(0)
        assert consumer.settled
        assert events(pair) == []

    def test_or_by_the_next_read_if_that_is_first(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        pair.dials = False
        acking(pair).close()
        pair.server.commands.clear()
        pair.server.answer(None)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.expect(*PATIENT)

    def test_the_acking_link_goes_on_while_the_reading_link_is_gone(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).answer(1)
        pair.server.answer(reply("2-0"))
        batch = taken(consumer)
        pair.dials = False
        pair.server.close()
        batch.ack()
        pair.advance(0.05)
        acking(pair).commands.popleft()
        acking(pair).expect("XACK", "s", "g", "2-0")

    def test_what_has_arrived_can_be_taken_while_disconnected(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        pair.server.close()
        assert taken(consumer).ids == [b"1-0"]
        assert consumer.take() is None

    @pytest.mark.parametrize("error", [READONLY, LoadingError("LOADING", "Redis is loading the dataset in memory")])
    def test_a_server_that_cannot_serve_now_is_dialled_again(self, error: ReplyError) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        batch = taken(consumer)
        pair.server.answer(error)
        batch.ack()
        assert [type(event) for event in pair.events()] == [Connected, Disconnected]
        dialled(pair)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.answer(error)
        dialled(pair)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.expect("XREADGROUP")

    def test_the_back_off_grows_until_a_read_is_answered(self) -> None:
        _, pair = joined()
        keep_up(pair.server)
        for attempt in range(1, 5):
            pair.server.answer(READONLY)
            assert pair.server.link.attempts == attempt
            pair.advance(1.0)
            keep_up(pair.server)
        pair.server.answer(None)
        assert pair.server.link.attempts == 0

    def test_that_of_the_acking_link_until_an_acknowledgement_is(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        for attempt in range(1, 4):
            acking(pair).expect("XACK", "s", "g", "1-0")
            acking(pair).answer(READONLY)
            assert acking(pair).link.attempts == attempt
            pair.advance(0.5)
        acking(pair).answer(1)
        assert (acking(pair).link.attempts, consumer.settled) == (0, True)

    def test_a_reply_over_the_limit_halves_the_count(self) -> None:
        _, pair = entered(options=Options(max_reply=1000))
        pair.server.reply(b"$2000\r\n" + b"x" * 1500)
        assert events(pair) == [CountReduced(1)]
        reconnected(pair)
        pair.server.expect("XREADGROUP", "GROUP", "g", "c", "COUNT", 1)


class TestRefusedReads:
    def test_end_it_where_repeating_is_pointless(self) -> None:
        consumer, pair = entered()
        pair.server.answer(NoPermissionError("NOPERM", "No permissions to access a key"))
        with pytest.raises(NoPermissionError, match="in reply to XREADGROUP"):
            consumer.take()

    @pytest.mark.parametrize("error", [NOGROUP, UNBLOCKED])
    def test_a_group_that_has_vanished_is_created_again(self, error: ReplyError) -> None:
        consumer, pair = entered()
        pair.server.expect(*PATIENT)
        pair.server.answer(error)
        pair.server.expect("XINFO", "GROUPS", "s")
        pair.server.expect("XPENDING", "s", "g")
        pair.server.answer([], NOGROUP)
        pair.server.expect("XINFO", "STREAM", "s")
        pair.server.answer(info())
        assert pair.server.expect("XGROUP", "CREATE", "s", "g", "0")[5:] == []
        pair.server.expect("XINFO", "STREAM", "s")
        pair.server.answer(Simple("OK"), info())
        pair.server.expect(*PATIENT)
        assert events(pair) == [GroupRecreated(b"s", b"g", "0")]
        pair.server.answer(reply("1-0"))
        assert taken(consumer).ids == [b"1-0"]

    def test_an_operator_unblocks_it(self) -> None:
        _, pair = entered()
        pair.server.expect(*PATIENT)
        pair.server.answer(UnblockedError("UNBLOCKED", "client unblocked via CLIENT UNBLOCK"))
        keep_up(pair.server)
        pair.server.expect(*PATIENT)
        assert events(pair) == []

    def test_both_reads_in_flight_are_refused_and_it_is_created_once(self) -> None:
        _, pair = entered(prefetch=3)
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.commands.clear()
        pair.server.answer(NOGROUP)
        pair.server.expect_nothing()
        pair.server.answer(NOGROUP)
        pair.server.expect("XINFO", "GROUPS", "s")
        pair.server.expect("XPENDING", "s", "g")
        pair.server.answer([listed()], NOTHING_PENDING)
        pair.server.expect(*PATIENT)

    def test_the_second_read_may_succeed_all_the_same(self) -> None:
        consumer, pair = entered(prefetch=3)
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.commands.clear()
        pair.server.answer(NOGROUP)
        pair.server.answer(reply("3-0"))
        pair.server.expect(*PATIENT)
        assert [taken(consumer).ids, taken(consumer).ids] == [[b"1-0", b"2-0"], [b"3-0"]]

    def test_without_leave_to_create_it_is_the_end(self) -> None:
        consumer, pair = entered(create=False)
        pair.server.answer(NOGROUP)
        pair.server.answer([], NOGROUP)
        with pytest.raises(NoGroupError, match="stream 's' has lost its group 'g'; create it, or pass create=True"):
            consumer.take()

    def test_a_group_that_vanishes_again_and_again_is_no_busy_loop(self) -> None:
        """Every further attempt is a connection of its own, after a back-off that grows."""
        _, pair = entered()
        created = 0
        pauses: list[float] = []
        for _ in range(12):
            pair.server.expect("XREADGROUP")
            pair.server.answer(NOGROUP)
            if pair.server.connected:
                created += 1
            else:
                due = pair.engine.next_timeout()
                assert due is not None
                pauses.append(due - pair.now)
                pair.advance(pauses[-1])
            keep_up(pair.server)
        assert created == 3
        assert len(pauses) == 9
        assert pauses[0] == pytest.approx(0.05)
        assert pauses == sorted(pauses)
        assert pauses[-1] == pytest.approx(5.0)
        pair.server.answer(None)
        assert pair.server.link.attempts == 0
        pair.server.expect("XREADGROUP")
        pair.server.answer(NOGROUP)
        assert pair.server.connected
