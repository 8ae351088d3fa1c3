from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import NoGroupError, NoPermissionError
from streamcore.events import (
    Degraded,
    EntriesClaimed,
    EntriesRecovered,
    GroupCreated,
    OwnershipLost,
    PendingEntriesDeleted,
)
from streamcore.group import claiming as claims
from streamcore.group.consumer import GroupConsumer
from tests.core.members import NOISE, add, consume, deliver, delivery, events, ids, pending, sent, take_all, times
from tests.core.model import Server
from tests.core.net import Fate
from tests.core.pair import Pair
from tests.core.streams import listed

GONE = NoGroupError("NOGROUP", "No such key 's' or consumer group 'g'")


@pytest.fixture
def server() -> Server:
    return Server()


def scripted(**options: Any) -> tuple[GroupConsumer[bytes], Pair]:
    """A consumer of ``s`` that has just connected to a scripted server."""
    plain = {"streams": "s", "group": "g", "consumer": "c", "exclusive": False, "detect_gaps": None}
    consumer: GroupConsumer[bytes] = GroupConsumer(**{**plain, **options})
    return consumer, Pair(consumer)


def is_look(command: list[bytes]) -> bool:
    """Whether a command asks for a page of what is pending for anybody."""
    return command[0] == b"XPENDING" and len(command) == 6 and command[3] != command[4]


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


class TestClaiming:
    def test_entries_that_others_left_idle(self, server: Server) -> None:
        deliver(server, "other", 1, 2, idle=60)
        deliver(server, "other", 3, idle=0)
        server.group().pending[StreamId(3)].at = server.now - 59
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]
        assert events(net) == [EntriesClaimed(b"s", 2)]
        assert pending(server, "c") == ["1-0", "2-0"]

    def test_page_by_page_with_reads_in_between(self, server: Server) -> None:
        deliver(server, "other", *range(1, 8), idle=60)
        add(server, 8, 8)
        server.seen.clear()
        consumer, net = consume(server, prefetch=10)
        taken = ids(take_all(consumer, net))
        looks = [c for c in server.seen if (c[0] == b"XREADGROUP" and c[-1] == b">") or is_look(c)]
        order = ["look" if is_look(c) else "wait" if b"BLOCK" in c else "poll" for c in looks]
        assert order == ["poll", "look"] + ["look", "poll"] * 4 + ["look", "wait"]
        assert taken == [f"{number}-0" for number in (8, 1, 2, 3, 4, 5, 6, 7)], "new entries come first"

    def test_a_long_pass_is_followed_by_a_long_rest(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """However short the interval is, and however much is pending, others have most of the server's time."""
        monkeypatch.setattr(claims, "PAGE", 2)
        monkeypatch.setattr(claims, "REST", 1.0)
        deliver(server, "other", *range(1, 20))
        _, net = consume(server, claim_idle=2, block=0.1, audit_interval=1000)
        looked: list[int] = []
        for _ in range(200):
            for one in server.group().pending.values():
                one.at = server.now
            server.seen.clear()
            net.advance(0.1)
            looked.append(sum(map(is_look, server.seen)))
        assert sum(looked) <= 2 * 10 + 1, "ten pages, and as many seconds of rest"
        assert max(looked) == 10, "a pass goes on at once"

    def test_a_pass_goes_on_where_a_connection_was_lost(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(claims, "PAGE", 2)
        deliver(server, "other", *range(1, 20))
        pair = consume(server, prefetch=10)[1]

        def cut(command: list[bytes]) -> None:
            if is_look(command) and command[3] == b"(8-0":
                server.before = len
                pair.cut("main", Fate.REQUESTS_LOST)

        server.before = cut
        pair.advance(31)
        server.before = len
        pair.advance(1)
        starts = [one[3] for one in server.seen if is_look(one)]
        assert starts.count(b"-") == 2
        assert starts[-1] == b"(18-0"

    def test_nothing_is_looked_at_twice_in_a_pass(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """The place is remembered where something was claimed, and where nothing was."""
        monkeypatch.setattr(claims, "PAGE", 4)
        deliver(server, "other", *range(1, 30))
        for number in (6, 7, 20):
            delivery(server, number).at -= 60
        consumer, net = consume(server, prefetch=10)
        assert ids(take_all(consumer, net)) == ["6-0", "7-0", "20-0"]
        starts = [one[3] for one in server.seen if is_look(one)]
        assert len(starts) == len(set(starts)) <= 12

    def test_every_stream_has_its_own_cursor(self, server: Server) -> None:
        deliver(server, "other", *range(1, 6), idle=60)
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        consumer, net = consume(server, streams=["t", "s"], prefetch=10)
        assert ids(take_all(consumer, net)) == [f"{number}-0" for number in range(1, 6)]

    def test_comes_back_in_time_and_not_all_at_once(self, server: Server) -> None:
        for random, pause in ((0.0, 15.0), (1.0, 30.0)):
            server.seen.clear()
            _, net = consume(server, random=lambda random=random: random, audit_interval=0.5, block=0.1)
            net.advance(pause - 2)
            assert sum(map(is_look, server.seen)) == 1
            net.advance(4)
            assert sum(map(is_look, server.seen)) == 2

    def test_never_where_that_is_not_wanted(self, server: Server) -> None:
        deliver(server, "other", 1, idle=1000)
        consumer, net = consume(server, claim_idle=None)
        net.advance(200)
        assert sent(server, "XAUTOCLAIM") == []
        assert take_all(consumer, net) == []

    def test_what_is_ours_is_not_handed_over_again(self, server: Server) -> None:
        consumer, net = consume(server, claim_idle=10)
        add(server, 1, 2)
        net.serve()
        held = take_all(consumer, net)
        net.advance(60)
        assert take_all(consumer, net) == []
        for batch in held:
            batch.ack()
        net.advance(1)
        assert pending(server, "c") == []

    def test_what_was_taken_from_us_and_left_idle_there_is_handed_over_again(self, server: Server) -> None:
        consumer, net = consume(server, claim_idle=10)
        add(server, 1, 1)
        net.serve()
        [batch] = take_all(consumer, net)
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "RETRYCOUNT", 1)
        net.advance(30)
        [again] = take_all(consumer, net)
        batch.ack()
        net.advance(1)
        assert pending(server, "c") == ["1-0"], "the lease of the first one was lost"
        again.ack()
        net.advance(1)
        assert pending(server, "c") == []
        assert events(net)[1:] == [OwnershipLost(b"s", (b"1-0",)), EntriesClaimed(b"s", 1)]

    def test_our_own_are_left_to_others(self, server: Server) -> None:
        consumer, net = consume(server, claim_idle=10)
        add(server, 1, 1)
        net.serve()
        [batch] = take_all(consumer, net)
        net.advance(60)
        [row] = server.do("XPENDING", "s", "g", "-", "+", 10)
        assert row[2] >= 60_000, "its idle time has not begun anew"
        assert row[3] == 1
        batch.ack()
        net.advance(1)
        assert pending(server, "c") == []

    def test_deleted_entries_are_tombstones(self, server: Server) -> None:
        deliver(server, "other", 1, 2, idle=60)
        server.do("XDEL", "s", "1-0")
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["2-0"]
        assert events(net) == [EntriesClaimed(b"s", 1), PendingEntriesDeleted(b"s", (b"1-0",))]

    def test_an_entry_that_we_hold_is_no_tombstone(self, server: Server) -> None:
        consumer, net = consume(server, claim_idle=10)
        add(server, 1, 1)
        net.serve()
        [batch] = take_all(consumer, net)
        server.do("XDEL", "s", "1-0")
        net.advance(30)
        batch.ack()
        net.advance(1)
        assert [type(event) for event in events(net)] == [GroupCreated]

    @pytest.mark.parametrize("times_before", [0, 1])
    def test_what_another_member_claims_at_that_moment_is_its_own(self, server: Server, times_before: int) -> None:
        deliver(server, "other", 1, idle=60)
        delivery(server, 1).times = times_before

        def claim(command: list[bytes]) -> None:
            if command[0] == b"XCLAIM":
                server.do("XCLAIM", "s", "g", "third", 60_000, "1-0", "RETRYCOUNT", 1)

        server.before = claim
        consumer, net = consume(server)
        assert (take_all(consumer, net), pending(server, "third")) == ([], ["1-0"])
        assert events(net) == []

    @pytest.mark.parametrize("times_before", [0, 1])
    def test_what_is_deleted_at_that_moment_is_a_tombstone(self, server: Server, times_before: int) -> None:
        deliver(server, "other", 1, idle=60)
        delivery(server, 1).times = times_before
        server.before = lambda command: server.do("XDEL", "s", "1-0") if command[0] == b"XCLAIM" else None
        consumer, net = consume(server)
        assert (take_all(consumer, net), server.group().pending) == ([], {})
        assert events(net) == [PendingEntriesDeleted(b"s", (b"1-0",))]

    @pytest.mark.parametrize("times_before", [0, 1])
    def test_what_its_owner_settles_at_that_moment_is_no_tombstone(self, server: Server, times_before: int) -> None:
        """Found by the chaos: another member's acknowledgement between our list and our claim was told as a loss."""
        deliver(server, "other", 1, idle=60)
        delivery(server, 1).times = times_before
        server.before = lambda command: server.do("XACK", "s", "g", "1-0") if command[0] == b"XCLAIM" else None
        consumer, net = consume(server)
        assert (take_all(consumer, net), server.group().pending) == ([], {})
        assert events(net) == []

    def test_what_may_be_gone_is_told_where_it_is_forbidden_to_look(self, server: Server) -> None:
        deliver(server, "other", 1, idle=60)
        server.forbidden = {b"XRANGE"}
        server.before = lambda command: server.do("XDEL", "s", "1-0") if command[0] == b"XCLAIM" else None
        consumer, net = consume(server)
        assert take_all(consumer, net) == []
        assert events(net) == [Degraded("telling deleted entries", "+xrange"), PendingEntriesDeleted(b"s", (b"1-0",))]

    def test_a_refusal_ends_it_and_names_the_command(self, server: Server) -> None:
        server.forbidden = {b"XPENDING"}
        consumer, _ = consume(server)
        with pytest.raises(NoPermissionError, match="in reply to XPENDING"):
            consumer.take()

    def test_waits_for_room(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3, idle=60)
        add(server, 4, 4)
        consumer, net = consume(server, max_in_flight=2)
        for new, theirs, left in (("4-0", ["1-0", "2-0"], ["3-0"]), ("5-0", ["3-0"], [])):
            [turn] = take_all(consumer, net)
            assert ids([turn]) == [new], "new entries have their turn"
            turn.ack()
            net.advance(1)
            batches = take_all(consumer, net)
            add(server, 5, 5)
            net.advance(10)
            assert (ids(batches), take_all(consumer, net), pending(server, "other")) == (theirs, [], left)
            for batch in batches:
                batch.ack()
            net.advance(1)

    def test_the_next_pass_begins_at_the_beginning_again(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3, 4, idle=60)
        for number in (1, 2):
            server.group().pending[StreamId(number)].at = server.now - 50
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["3-0", "4-0"]
        net.advance(31)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]
