"""How acknowledgements leave: with a read, over a link of their own, or at the end."""

from __future__ import annotations

from math import inf

import pytest

from streamcore.errors import NoPermissionError
from streamcore.events import AckMissed
from streamcore.scripts.group import RELEASE
from streamcore.testing.resp import entry
from tests.core.support.scripted_member import EAGER, PATIENT, acking, entered, events, keep_up, links, reply, taken
from tests.core.support.streams import NOTHING_PENDING, listed


class TestAcknowledging:
    def test_rides_in_front_of_the_next_read(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        for item in taken(consumer):
            item.ack()
        pair.server.expect_nothing()
        assert consumer.take() is None
        pair.settle()
        pair.server.expect(*EAGER)
        pair.server.answer(reply("3-0"))
        taken(consumer)
        pair.settle()
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect(*PATIENT)
        pair.server.answer(2)
        assert consumer.settled
        assert events(pair) == []

    def test_goes_over_a_link_of_its_own_where_a_read_blocks(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.answer(None)
        pair.server.answer(None)
        taken(consumer).ack()
        pair.advance(0.049)
        assert links(pair) == ["main"]
        pair.advance(0.001)
        assert links(pair) == ["main", "acks"]
        acking(pair).expect("XACK", "s", "g", "1-0", "2-0")
        acking(pair).answer(2)
        assert consumer.settled
        assert consumer.next_timeout() != consumer.now

    def test_that_link_is_used_again(self) -> None:
        consumer, pair = entered()
        for n in (1, 2, 3):
            pair.server.answer(reply(f"{n}-0"))
            taken(consumer).ack()
            pair.advance(0.05)
            acking(pair).expect("XACK", "s", "g", f"{n}-0")
            acking(pair).answer(1)
            assert consumer.settled
        assert acking(pair).dials == 1

    def test_what_is_acknowledged_meanwhile_follows(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        pair.server.answer(reply("2-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).expect("XACK", "s", "g", "1-0")
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).expect_nothing()
        acking(pair).answer(1)
        acking(pair).expect("XACK", "s", "g", "2-0")

    def test_goes_over_the_reading_link_where_that_is_idle(self) -> None:
        consumer, pair = entered(max_in_flight=2)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer)[0].ack()
        pair.advance(0.05)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.expect_nothing()
        pair.server.answer(1)
        assert consumer.settled
        assert links(pair) == ["main"]

    def test_an_audit_that_is_due_waits_for_its_confirmation(self) -> None:
        consumer, pair = entered(max_in_flight=2, audit_interval=1)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer)[0].ack()
        pair.advance(0.05)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.advance(2)  # and nobody turns in circles meanwhile
        pair.server.expect_nothing()
        pair.server.answer(1)
        pair.server.expect("XINFO", "GROUPS", "s")

    def test_a_read_that_does_not_block_is_waited_for(self) -> None:
        consumer, pair = entered(prefetch=3, max_in_flight=6)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        pair.server.commands.clear()
        batch[0].ack()
        pair.advance(0.1)
        pair.server.expect_nothing()
        assert links(pair) == ["main"]
        pair.server.answer(reply("3-0", "4-0"))
        pair.server.answer(reply("5-0", "6-0"))
        pair.server.expect("XACK", "s", "g", "1-0")

    def test_within_the_delay_also_while_others_ride(self) -> None:
        """The timer is not set anew for each of them: it ticks twice within the delay."""
        consumer, pair = entered(ack_delay=1.0, prefetch=1)
        pair.server.answer(reply("1-0", "2-0"))
        first = taken(consumer)
        pair.settle()
        first[0].ack()
        pair.server.answer(reply("3-0"))
        pair.advance(0.4)
        second = taken(consumer)
        pair.settle()
        pair.server.answer(1)
        assert (consumer.settled, links(pair)) == (True, ["main"])
        pair.advance(0.05)
        second.ack()
        pair.advance(0.5)
        assert links(pair) == ["main"]
        pair.advance(0.06)
        acking(pair).expect("XACK", "s", "g", "3-0")

    def test_the_timer_rests_when_everything_rode(self) -> None:
        consumer, pair = entered(prefetch=1, renew=False)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        batch.ack()
        pair.server.answer(reply("3-0"))
        taken(consumer)
        pair.settle()
        pair.server.answer(2)
        pair.advance(0.05)
        assert consumer.members[0].loop.timer() == inf
        assert links(pair) == ["main"]

    def test_without_a_delay(self) -> None:
        consumer, pair = entered(ack_delay=0)
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.settle()
        acking(pair).expect("XACK", "s", "g", "1-0")

    def test_wakes_the_driver_once_however_many_there_are(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        wakeups = pair.wakeups
        for item in taken(consumer):
            item.ack()
        assert pair.wakeups == wakeups + 1

    def test_fewer_than_named_were_pending(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer).ack()
        consumer.flush()
        pair.settle()
        pair.server.answer(None)
        pair.server.answer(None)
        pair.settle()
        pair.server.answer(1)
        assert events(pair) == [AckMissed(b"s", 1)]

    @pytest.mark.parametrize("link", ["main", "acks"])
    def test_a_refusal_ends_it_and_names_the_command(self, link: str) -> None:
        consumer, pair = entered(max_in_flight=2 if link == "main" else 100)
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        keep_up(pair.peer(link))
        pair.peer(link).answer(NoPermissionError("NOPERM", "this user has no permissions"))
        with pytest.raises(NoPermissionError, match="in reply to XACK"):
            consumer.take()


class TestFlushing:
    def test_does_not_wait_for_the_delay(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        consumer.flush()
        pair.settle()
        acking(pair).expect("XACK", "s", "g", "1-0")
        assert not consumer.settled
        acking(pair).answer(1)
        assert consumer.settled

    @pytest.mark.parametrize("swept_by", ["flush", "audit"])
    def test_an_acknowledgement_that_was_interrupted_before_it_was_noted(self, swept_by: str) -> None:
        """Ctrl-C in ``ack`` between the two."""
        consumer, pair = entered(max_in_flight=4)
        pair.server.answer(reply("1-0"))
        batch = taken(consumer)
        batch.acks.append(b"1-0")
        assert not consumer.members[0].loop.pending.noted
        pair.advance(5)
        if swept_by == "flush":
            consumer.flush()
            pair.settle()
            acking(pair).expect("XACK", "s", "g", "1-0")
        else:
            pair.server.commands.clear()
            pair.server.answer(None)
            pair.server.expect("XINFO")
            pair.server.expect("XPENDING")
            pair.server.answer([listed("1-0")], [1, "1-0", "1-0", [["c", "1"]]])
            pair.server.expect("XACK", "s", "g", "1-0")

    def test_nothing_to_send_is_settled_and_leaves_nothing_behind(self) -> None:
        consumer, pair = entered(renew=False)
        pair.server.answer(reply("1-0"))
        batch = taken(consumer)
        consumer.flush()
        pair.settle()
        assert (consumer.settled, links(pair), consumer.members[0].loop.timer()) == (True, ["main"], inf)
        batch.ack()
        pair.settle()
        assert links(pair) == ["main"]  # the delay is in force again
        pair.advance(0.05)
        acking(pair).expect("XACK")

    def test_nothing_to_send_over_an_idle_link(self) -> None:
        consumer, pair = entered(max_in_flight=2)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer)
        consumer.flush()
        assert consumer.take() is None  # the story goes on before the timer was told
        pair.advance(0.05)
        pair.server.expect_nothing()
        assert consumer.members[0].loop.timer() == consumer.members[0].loop.rounds.at

    def test_leaving_stops_reading(self) -> None:
        consumer, pair = entered()
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        pair.server.commands.clear()
        batch.ack()
        consumer.leave()
        pair.settle()
        pair.server.expect_nothing()
        pair.server.answer(reply("3-0", "4-0"))
        pair.server.answer(None)
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect_nothing()
        pair.server.answer(2)
        settled = [consumer.settled]
        pair.server.expect("EVAL", RELEASE, 1, "s", "g", "c", "c", 60_000, 0, "3-0", "4-0")
        pair.server.answer(2)
        assert [*settled, consumer.settled] == [False, True]
        pair.advance(9)
        pair.server.expect_nothing()

    def test_leaving_while_a_read_blocks(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        consumer.leave()
        pair.settle()
        acking(pair).expect("XACK")
        acking(pair).answer(1)
        assert consumer.settled

    def test_leaving_while_disconnected(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.server.close()
        batch.ack()
        consumer.leave()
        pair.settle()
        assert links(pair) == ["main"]
        pair.advance(0.05)
        pair.server.expect("INFO")
        pair.server.answer("run_id:2")
        pair.server.expect("XINFO")
        pair.server.expect("XPENDING")
        pair.server.answer([listed()], NOTHING_PENDING)
        pair.server.expect("XRANGE", "s", "2-0", "2-0")  # it is another run of the server
        pair.server.answer([entry("2-0")])
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect_nothing()
        pair.server.answer(2)
        assert consumer.settled

    def test_leaving_survives_the_loss_of_the_last_acknowledgement(self) -> None:
        consumer, pair = entered(max_in_flight=2)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        consumer.leave()
        pair.settle()
        for _ in range(3):
            pair.server.expect("XACK", "s", "g", "1-0")
            pair.server.close()
            pair.advance(0.5)
            keep_up(pair.server)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.answer(0)
        assert consumer.settled
        assert events(pair) == []
