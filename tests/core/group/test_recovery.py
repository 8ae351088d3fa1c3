"""What an earlier run, or a lost reply, has left pending for us."""

from __future__ import annotations

import pytest

from streamcore.events import DeadLettered, EntriesRecovered, GroupCreated, PendingEntriesDeleted
from streamcore.options import Options
from streamcore.testing.net import Fate
from tests.core.support.members import (
    NOISE,
    add,
    consume,
    deliver,
    delivery,
    events,
    ids,
    pending,
    take_all,
    taken,
    times,
)
from tests.core.support.scripted_member import GONE, scripted
from tests.core.support.server import Server
from tests.core.support.streams import listed


class TestRecovery:
    def test_the_backlog_comes_first_and_new_entries_after_it(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        add(server, 4, 5)
        consumer, net = consume(server, prefetch=1)
        batches = take_all(consumer, net)
        assert [batch.ids for batch in batches] == [[b"1-0", b"2-0"], [b"3-0"], [b"4-0", b"5-0"]]
        assert events(net) == [EntriesRecovered(b"s", 2), EntriesRecovered(b"s", 1)]

    def test_the_application_is_let_in_before_a_long_backlog_is_worked_off(self, server: Server) -> None:
        deliver(server, "c", *range(1, 20))
        consumer, net = consume(server)
        assert consumer.is_ready
        assert ids(take_all(consumer, net)) == [f"{number}-0" for number in range(1, 20)]

    def test_of_every_stream(self, server: Server) -> None:
        deliver(server, "c", 1)
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        add(server, 1, 1, "t")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "t", ">")
        consumer, net = consume(server, streams=["s", "t"])
        assert [batch.stream for batch in take_all(consumer, net)] == [b"s", b"t"]

    def test_each_is_one_delivery_more(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        delivery(server, 2).times = 7
        consumer, net = consume(server)
        assert [(batch.ids, batch.deliveries) for batch in take_all(consumer, net)] == [
            ([b"1-0"], 2),
            ([b"2-0"], 8),
            ([b"3-0"], 2),
        ]
        assert times(server) == {1: 2, 2: 8, 3: 2}

    def test_what_was_given_back_unseen_comes_by_the_page_and_for_the_first_time(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        server.do("XCLAIM", "s", "g", "c", 0, "1-0", "2-0", "RETRYCOUNT", 0)
        consumer, net = consume(server)
        assert [(batch.ids, batch.deliveries) for batch in take_all(consumer, net)] == [([b"1-0", b"2-0"], 1)]
        assert times(server) == {1: 1, 2: 1}

    def test_without_backlog_what_an_earlier_run_left_stays_pending(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        add(server, 3, 3)
        consumer, net = consume(server, backlog=False)
        assert ids(take_all(consumer, net)) == ["3-0"]
        net.advance(6)
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(6)
        assert take_all(consumer, net) == []
        assert pending(server, "c") == ["1-0", "2-0", "3-0"]

    def test_without_backlog_a_lost_reply_is_recovered_all_the_same(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        consumer, net = consume(server, backlog=False)
        add(server, 3, 3)
        net.cut("main", Fate.REPLIES_LOST)
        net.advance(0.1)
        assert ids(take_all(consumer, net)) == ["3-0"]

    @pytest.mark.parametrize("fate", Fate)
    def test_a_reply_lost_in_flight_is_handed_over_exactly_once(self, server: Server, fate: Fate) -> None:
        consumer, net = consume(server)
        for number in range(1, 9):
            server.add("s", f"{number}-0")
            if number % 2:
                net.cut("main", fate)
            net.advance(0.1)
        assert sorted(ids(take_all(consumer, net))) == [f"{number}-0" for number in range(1, 9)]

    @pytest.mark.parametrize("fate", Fate)
    @pytest.mark.parametrize("after", range(1, 10))
    def test_the_replies_to_the_recovery_itself_may_be_lost(self, server: Server, fate: Fate, after: int) -> None:
        deliver(server, "c", 1, 2, 3)
        consumer, net = consume(server, prefetch=1)
        net.cut("main", Fate.REQUESTS_LOST)
        net.cut("main", fate, after=after)
        net.advance(0.2)
        batches = take_all(consumer, net)
        net.advance(0.2)
        batches += take_all(consumer, net)
        assert ids(batches) == ["1-0", "2-0", "3-0"]
        assert net.pair.server.dials == 3

    def test_acknowledged_entries_do_not_come_again(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, 1, 2)
        net.serve()
        for batch in take_all(consumer, net):
            batch.ack()
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1)
        assert take_all(consumer, net) == []
        assert pending(server, "c") == []
        assert events(net) == [GroupCreated(b"s", b"g", "0-0")]

    def test_stops_where_there_is_no_room(self, server: Server) -> None:
        deliver(server, "c", *range(1, 10))
        consumer, net = consume(server, max_in_flight=4, prefetch=10)
        batches = take_all(consumer, net)
        net.advance(6)
        assert ids(batches) == ["1-0", "2-0", "3-0", "4-0"]
        batches[0].ack()
        net.advance(0.1)
        assert ids(take_all(consumer, net)) == ["5-0", "6-0"]

    def test_acknowledgements_leave_while_it_waits_for_room(self, server: Server) -> None:
        deliver(server, "c", *range(1, 10))
        consumer, net = consume(server, max_in_flight=4, prefetch=10)
        [first, *_] = take_all(consumer, net)
        first[0].ack()
        net.advance(0.1)
        assert (consumer.settled, "1-0" in pending(server, "c")) == (True, False)
        assert [link.name for link in consumer.links()] == ["main"]

    def test_deleted_entries_are_tombstones(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        server.do("XDEL", "s", "1-0", "3-0")
        consumer, net = consume(server, count=10)
        assert ids(take_all(consumer, net)) == ["2-0"]
        assert events(net) == [EntriesRecovered(b"s", 3), PendingEntriesDeleted(b"s", (b"1-0", b"3-0"))]
        assert pending(server, "c") == ["2-0"]

    def test_nothing_but_tombstones(self, server: Server) -> None:
        deliver(server, "c", 1)
        server.do("XDEL", "s", "1-0")
        consumer, net = consume(server)
        assert take_all(consumer, net) == []
        assert events(net) == [EntriesRecovered(b"s", 1), PendingEntriesDeleted(b"s", (b"1-0",))]
        assert pending(server, "c") == []

    def test_what_another_consumer_claims_meanwhile_is_its_own_and_no_tombstone(self, server: Server) -> None:
        deliver(server, "c", 1, 2, idle=10)
        for one in server.group().pending.values():
            one.times = 0  # given back, and never seen
        consumer, pair = scripted()
        entering = (["INFO", "server"], ["XINFO", "GROUPS", "s"], ["XPENDING", "s", "g"])
        for words in (*entering, ["XPENDING", "s", "g", "(0-0", "+", 100, "c"]):
            pair.server.expect(*words)
            pair.server.answer(server.do(*words))
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "RETRYCOUNT", 1)
        claim = pair.server.expect("XCLAIM", "s", "g", "c", 10_000, "1-0", "2-0", "RETRYCOUNT", 1)
        pair.server.answer(server.do(*claim))
        pair.server.answer(server.do(*pair.server.expect("XPENDING", "s", "g", "1-0", "1-0", 1)))
        batch = consumer.take()
        assert batch is not None
        assert batch.ids == [b"2-0"]
        assert [event for event in pair.events() if not isinstance(event, NOISE)] == [EntriesRecovered(b"s", 1)]
        assert pending(server, "other") == ["1-0"]

    def test_a_group_that_vanishes_under_it_is_no_end(self) -> None:
        consumer, pair = scripted()
        pair.server.answer("run_id:1")
        pair.server.answer([listed()], [1, "1-0", "1-0", [["c", "1"]]])
        pair.server.answer([["1-0", "c", 0, 0]])
        pair.server.commands.clear()
        pair.server.answer(GONE)
        pair.server.expect("XREADGROUP")
        pair.server.answer(None)
        pair.server.expect("XPENDING", "s", "g", "-", "+", 500)
        pair.server.answer(GONE)
        pair.server.expect("XREADGROUP")
        assert consumer.take() is None


class TestRecovering:
    def test_what_waits_to_be_handed_over_again_is_known_after_a_reconnect(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        consumer, net = consume(server, count=10, max_deliveries=5)
        assert taken(consumer, net).ids == [b"1-0"]
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["2-0", "3-0"]

    def test_a_read_that_is_too_large_is_not_blamed_on_what_was_fetched_before(self, server: Server) -> None:
        server.add("s", "1-0")
        server.do("XGROUP", "CREATE", "s", "g", "0")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "s", ">")
        server.do("XCLAIM", "s", "g", "c", 0, "1-0", "RETRYCOUNT", 0, "JUSTID")
        options = Options(max_reply=200_000, backoff_initial=0.01, backoff_max=0.1)
        consumer, net = consume(server, count=1, detect_gaps=None, max_deliveries=3, options=options)
        assert ids(take_all(consumer, net)) == ["1-0"]
        server.add("s", "2-0", data="x" * 500_000)
        net.advance(2)
        assert [event.id for event in net.pair.events() if isinstance(event, DeadLettered)] == [b"2-0"]
