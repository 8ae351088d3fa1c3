from __future__ import annotations

import pytest

from streamcore.errors import ConnectionLost, NoPermissionError
from streamcore.events import AckMissed, AcksConfirmed, Disconnected, EntriesClaimed, OwnershipLost, SettlingRefused
from streamcore.group.options import NACKED
from streamcore.group.settling import LONG_PATIENCE
from streamcore.keys import delayed_nacks
from streamcore.testing.net import Fate
from tests.core.support.members import (
    add,
    consume,
    delivery,
    events,
    holding,
    idle_for,
    ids,
    pending,
    sent,
    take,
    take_all,
    times,
)
from tests.core.support.server import Server


class TestRefusing:
    @pytest.mark.parametrize("delay", [0.0, 20.0, 59.0, 100.0])
    def test_an_entry_comes_again_after_its_delay_and_not_before(self, server: Server, delay: float) -> None:
        """Also where a read blocks for longer: it is ended."""
        consumer, net, batch = holding(server, 1)
        batch[0].nack(delay)
        consumer.flush()
        net.serve()
        begun = server.now
        while (again := take(consumer, net)) is None:
            assert server.now - begun < delay + 3
            net.advance(0.1)
        assert server.now - begun >= delay
        assert [(entry.raw_id, entry.deliveries) for entry in again] == [(b"1-0", 2)]
        assert EntriesClaimed(b"s", 1) in events(net)
        assert server.schedules.get(delayed_nacks(b"s", b"g"), {}) == {}

    @pytest.mark.parametrize("delay", [5.0, 100.0])
    def test_also_where_nothing_is_claimed_from_others(self, server: Server, delay: float) -> None:
        consumer, net, batch = holding(server, 1, claim_idle=None)
        batch.nack(delay)
        for _ in range(int(delay) + 3):
            net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_any_member_may_have_it(self, server: Server) -> None:
        consumer, net, batch = holding(server, 1)
        batch.nack()
        consumer.leave()
        net.serve()
        other, net = consume(server, consumer="other")
        assert [(batch.ids, batch.deliveries) for batch in take_all(other, net)] == [([b"1-0"], 2)]

    def test_and_not_before_its_time_though_it_counts_as_idle(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, claim_idle=10)
        batch[0].nack(30)
        batch[1].nack(100)
        consumer.leave()
        net.serve()
        other, net = consume(server, consumer="other", claim_idle=10, block=1)
        for _ in range(25):
            net.advance(1)
        assert take(other, net) is None
        for _ in range(15):
            net.advance(1)
        assert ids(take_all(other, net)) == ["1-0"]

    def test_where_the_schedule_cannot_be_asked_it_counts_as_idle(self, server: Server) -> None:
        consumer, net, batch = holding(server, 1, claim_idle=10)
        batch.nack(100)
        server.faults.denied = {"TIME"}
        for _ in range(20):
            net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_it_is_nobodys_meanwhile_and_not_in_flight(self, server: Server) -> None:
        consumer, net, batch = holding(server, 4, count=2, max_in_flight=2)
        batch.nack(50)
        net.advance(0.1)
        assert pending(server, NACKED.decode()) == ["1-0", "2-0"]
        assert ids(take_all(consumer, net)) == ["3-0", "4-0"]

    def test_the_first_word_counts(self, server: Server) -> None:
        consumer, net, batch = holding(server, 4)
        batch[0].ack()
        batch[0].nack()
        batch[1].nack(30)
        batch[1].nack(50)
        batch[2].nack(30)
        net.advance(0.1)
        batch[2].ack()
        batch[3].ack()
        net.advance(0.1)
        assert pending(server, NACKED.decode()) == ["2-0", "3-0"]
        assert [idle_for(server, delivery(server, number)) < 31 for number in (2, 3)] == [True, True]
        assert (consumer.settled, consumer.members[0].loop.pending.in_flight) == (True, 0)

    def test_many_at_once_and_each_delay_by_itself(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2500, prefetch_bytes=1 << 30)
        server.seen.clear()
        batch[0].nack(50)
        batch.nack(30)
        consumer.flush()
        net.serve()
        assert [len(command) - 11 for command in sent(server, "EVAL")] == [1, 1000, 1000, 499]

    @pytest.mark.parametrize("link", ["main", "acks"])
    @pytest.mark.parametrize("fate", Fate)
    def test_a_lost_reply_changes_nothing(self, server: Server, link: str, fate: Fate) -> None:
        consumer, net, batch = holding(server, 2, max_in_flight=2 if link == "main" else 100)
        batch[0].nack(30)
        batch[1].dead_letter("broken")
        consumer.flush()
        net.cut_in_flight(link, fate)
        net.advance(1)
        assert consumer.settled
        assert pending(server, NACKED.decode()) == ["1-0"]
        letters = server.streams[b"{s}:dead"]
        assert letters is not None
        assert len(letters.fields) == 1
        assert AckMissed not in {type(event) for event in events(net)}
        net.advance(31)
        net.advance(3)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_a_read_that_may_not_be_ended_costs_its_connection(self, server: Server) -> None:
        server.faults.denied = {"CLIENT UNBLOCK"}
        consumer, net, batch = holding(server, 1)
        batch.nack()
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert net.pair.server.dials == 2

    def test_where_scripts_are_forbidden_it_waits_and_that_is_told(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, exclusive=False)
        server.faults.denied = {"EVAL"}
        batch.nack()
        net.advance(0.1)
        [told] = [event for event in events(net) if isinstance(event, SettlingRefused)]
        assert (told.ids, told.key, told.stream) == ((b"1-0", b"2-0"), b"{s}:later:g", b"s")
        assert take_all(consumer, net) == []
        assert pending(server, "c") == ["1-0", "2-0"]
        server.faults.denied = set()
        net.advance(LONG_PATIENCE + 1)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]

    def test_an_acknowledgement_that_is_forbidden_is_the_end(self, server: Server) -> None:
        consumer, net, batch = holding(server, 1, exclusive=False)
        server.faults.denied = {"XACK"}
        batch.ack()
        net.advance(0.1)
        with pytest.raises(NoPermissionError, match="in reply to XACK"):
            consumer.take()


class TestFenced:
    def test_an_acknowledgement_does_nothing_once_another_member_has_the_entry(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, fenced=True)
        server.do("XCLAIM", "s", "g", "other", 0, "1-0")
        batch.ack()
        net.advance(0.1)
        assert (pending(server, "other"), pending(server, "c")) == (["1-0"], [])
        assert OwnershipLost(b"s", (b"1-0",)) in events(net)
        assert consumer.settled

    def test_without_the_fence_it_settles_what_is_theirs(self, server: Server) -> None:
        _, net, batch = holding(server, 1)
        server.do("XCLAIM", "s", "g", "other", 0, "1-0")
        batch.ack()
        net.advance(0.1)
        assert pending(server, "other") == []
        assert OwnershipLost not in {type(event) for event in events(net)}

    @pytest.mark.parametrize("fate", Fate)
    def test_a_lost_reply_is_no_lost_lease(self, server: Server, fate: Fate) -> None:
        consumer, net, batch = holding(server, 2, fenced=True)
        batch.ack()
        consumer.flush()
        net.cut_in_flight("acks", fate)
        net.advance(1)
        assert (pending(server, "c"), consumer.settled) == ([], True)
        assert OwnershipLost not in {type(event) for event in events(net)}


class TestReporting:
    def test_tells_when_the_server_has_confirmed(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, report_acks=True)
        batch[1].ack()
        consumer.flush()
        assert AcksConfirmed not in {type(event) for event in events(net)}
        net.serve()
        assert events(net) == [AcksConfirmed(b"s", (b"2-0",))]

    def test_nothing_is_told_unless_asked_for(self, server: Server) -> None:
        _, net, batch = holding(server, 2)
        batch.ack()
        net.advance(0.1)
        assert AcksConfirmed not in {type(event) for event in events(net)}

    @pytest.mark.parametrize("how", ["ack", "nack", "dead_letter"])
    def test_an_entry_knows_whether_it_is_settled(self, server: Server, how: str) -> None:
        consumer, net, batch = holding(server, 2)
        entry, other = batch
        assert not entry.settled()
        getattr(entry, how)()
        assert not entry.settled()
        consumer.flush()
        net.cut_in_flight("acks", Fate.REPLIES_LOST)
        assert not entry.settled()
        net.advance(1)
        assert (entry.settled(), other.settled()) == (True, False)
        assert times(server).get(2) == 1


class TestGivingBack:
    def test_what_another_member_has_claimed_unknown_to_us_is_not_taken_back(self, server: Server) -> None:
        add(server, 1, 4)
        consumer, net = consume(server, count=4)
        server.do("XCLAIM", "s", "g", "other", 0, "2-0", "RETRYCOUNT", 5)
        consumer.leave()
        net.serve()
        assert pending(server, "other") == ["2-0"]
        assert times(server) == {1: 0, 2: 5, 3: 0, 4: 0}

    def test_nor_when_it_is_told_once_more_after_a_lost_reply(self, server: Server) -> None:
        add(server, 1, 4)
        consumer, net = consume(server, count=4)
        consumer.leave()
        net.cut_in_flight("acks", Fate.REPLIES_LOST)
        server.do("XCLAIM", "s", "g", "other", 0, "2-0", "RETRYCOUNT", 5)
        net.advance(1.0)
        assert consumer.settled
        assert pending(server, "other") == ["2-0"]

    def test_a_lost_acking_link_does_not_keep_it_waiting_for_the_read(self, server: Server) -> None:
        add(server, 1, 4)
        consumer, net = consume(server, count=4)
        consumer.leave()
        net.cut_in_flight("acks", Fate.REQUESTS_LOST)
        settled = [consumer.settled]
        net.advance(1.0)  # the read blocks for five
        assert [*settled, consumer.settled] == [False, True]
        assert times(server) == {1: 0, 2: 0, 3: 0, 4: 0}

    def test_what_is_given_back_while_that_is_told_is_not_forgotten(self, server: Server) -> None:
        add(server, 1, 2)
        add(server, 1, 2, "t")
        consumer, net = consume(server, streams=["s", "t"], prefetch=4)

        def before(command: list[bytes]) -> None:
            if command[0] == b"EVAL" and b"1-0" in command:
                server.before = len
                consumer.remove_stream("t")

        server.before = before
        consumer.remove_stream("s")
        net.advance(0.5)
        assert {one.times for one in server.group("t").pending.values()} == {0}
        assert consumer.settled

    def test_it_is_told_once_though_both_links_could(self, server: Server) -> None:
        consumer, net, batch = holding(server, 1)
        batch.ack()
        net.advance(0.2)  # over the acking link, which exists from now on
        add(server, 2, 5)
        net.serve()
        consumer.drain()
        net.serve()  # nothing blocks any more
        server.seen.clear()
        consumer.leave()
        net.advance(0.1)
        assert len([command for command in sent(server, "EVAL") if b"2-0" in command]) == 1


class TestSettling:
    def test_an_entry_is_settled_when_the_server_has_said_so_and_not_before(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2)
        batch[0].ack()
        assert not batch[0].settled(), "noted"
        consumer.members[0].loop.pending.collect()
        assert not batch[0].settled(), "collected"
        net.advance(0.1)
        assert [entry.settled() for entry in batch] == [True, False]

    def test_a_batch_that_is_split_and_settled_is_kept_no_longer(self, server: Server) -> None:
        consumer, net, batch = holding(server, 4)
        batch[0].ack()
        batch[1].ack()
        consumer.split(batch, 2).ack()
        net.advance(1)
        assert pending(server, "c") == []
        assert consumer.members[0].loop.pending._batches == {}

    def test_lost_leases_are_told_in_the_order_of_their_ids(self, server: Server) -> None:
        _, net, _ = holding(server, 11)
        server.do("XCLAIM", "s", "g", "other", 0, "10-0", "9-0", "11-0", "JUSTID")
        net.advance(10)
        [lost] = [event for event in events(net) if isinstance(event, OwnershipLost)]
        assert lost.ids == (b"9-0", b"10-0", b"11-0")

    def test_a_silent_server_may_have_executed_what_it_was_sent(self, server: Server) -> None:
        _, net = consume(server)
        net.pair.advance(30)  # and the server does nothing
        lost = [event.error for event in net.pair.events() if isinstance(event, Disconnected)]
        assert lost
        assert all(isinstance(error, ConnectionLost) and error.sent for error in lost)
