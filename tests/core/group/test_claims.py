from __future__ import annotations

import pytest

from streamcore.entries import StreamId
from streamcore.errors import NoPermissionError
from streamcore.events import Degraded, EntriesClaimed, GroupCreated, OwnershipLost, PendingEntriesDeleted
from streamcore.group import claiming as claims
from streamcore.testing.net import Fate
from tests.core.support.members import add, consume, deliver, delivery, events, holding, ids, pending, sent, take_all
from tests.core.support.server import Server


def is_look(command: list[bytes]) -> bool:
    """Whether a command asks for a page of what is pending for anybody."""
    return command[0] == b"XPENDING" and len(command) == 6 and command[3] != command[4]


class TestClaiming:
    def test_entries_that_others_left_idle(self, server: Server) -> None:
        deliver(server, "other", 1, 2, idle=60)
        deliver(server, "other", 3, idle=0)
        server.group().pending[StreamId(3)].at = server.ms - 59_000
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
                one.at = server.ms
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
            delivery(server, number).at -= 60_000
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
        server.faults.denied = {"XRANGE"}
        server.before = lambda command: server.do("XDEL", "s", "1-0") if command[0] == b"XCLAIM" else None
        consumer, net = consume(server)
        assert take_all(consumer, net) == []
        assert events(net) == [Degraded("telling deleted entries", "+xrange"), PendingEntriesDeleted(b"s", (b"1-0",))]

    def test_a_refusal_ends_it_and_names_the_command(self, server: Server) -> None:
        server.faults.denied = {"XPENDING"}
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
            if left:
                add(server, 5, 5)
            net.advance(10)
            assert (ids(batches), take_all(consumer, net), pending(server, "other")) == (theirs, [], left)
            for batch in batches:
                batch.ack()
            net.advance(1)

    def test_the_next_pass_begins_at_the_beginning_again(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3, 4, idle=60)
        for number in (1, 2):
            server.group().pending[StreamId(number)].at = server.ms - 50_000
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["3-0", "4-0"]
        net.advance(31)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]

    def test_goes_on_page_by_page_also_one_by_one(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3, idle=100)
        consumer, net = consume(server, count=1, prefetch=10)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]

    def test_what_another_member_claims_at_that_moment_is_left_to_it(self, server: Server) -> None:
        deliver(server, "other", 1, idle=100)

        def be_faster(command: list[bytes]) -> None:
            if command[0] == b"XCLAIM":
                server.before = len
                server.do("XCLAIM", "s", "g", "third", 0, "1-0", "JUSTID")
                delivery(server, 1).at -= 30  # half a minute ago, which is not idle

        server.before = be_faster
        consumer, net = consume(server)
        assert take_all(consumer, net) == []
        assert pending(server, "third") == ["1-0"]

    def test_renewal_claims_what_is_as_idle_as_its_interval_and_nothing_else(self, server: Server) -> None:
        _, net, _ = holding(server, 2, renew=True, claim_idle=60)
        server.seen.clear()
        net.advance(25)
        assert {claim[4] for claim in server.seen if claim[0] == b"XCLAIM"} == {b"20000"}
