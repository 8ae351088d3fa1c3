"""Groups: what a mutation tester could change without any other test noticing; see docs/mutants.md."""

from __future__ import annotations

import pytest

from streamcore.entries import StreamId
from streamcore.errors import ConnectionLost
from streamcore.events import DeadLettered, Disconnected, Gap, OwnershipLost
from streamcore.group.consumer import GroupConsumer
from streamcore.group.group_history import GroupHistory, Reached
from streamcore.options import Options
from streamcore.reading.stream_history import History
from streamcore.scripts.lease import HOLD
from tests.core.members import consume, deliver, delivery, events, holding, ids, pending, sent, take_all, taken
from tests.core.model import Server
from tests.core.net import Fate, Net


@pytest.fixture
def server() -> Server:
    return Server()


class TestClaiming:
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

    def test_a_look_for_gaps_that_is_not_answered_is_given_up_after_the_request_timeout(self) -> None:
        consumer: GroupConsumer[bytes] = GroupConsumer(
            "s", group="g", consumer="c", exclusive=False, detect_gaps="always", options=Options(request_timeout=0.5)
        )
        look = consumer.members[0].loop.gaps.look([b"s"], consumer.options.request_timeout)
        assert look is not None
        assert look.timeout == 0.5

    def test_a_silent_server_may_have_executed_what_it_was_sent(self, server: Server) -> None:
        _, net = consume(server)
        net.pair.advance(30)  # and the server does nothing
        lost = [event.error for event in net.pair.events() if isinstance(event, Disconnected)]
        assert lost
        assert all(isinstance(error, ConnectionLost) and error.sent for error in lost)


class TestGaps:
    def test_a_single_entry_that_a_forgetful_server_has_passed_over_is_told(self) -> None:
        watch = GroupHistory(b"s", forgetful=True)
        two, four = StreamId(2), StreamId(4)
        assert watch.judge(History(2, 2, StreamId(1), two, two), Reached(two, 2)) == []
        assert watch.judge(History(1, 4, four, four, four), Reached(four, 3)) == [Gap(b"s", two, four, 1)]

    def test_a_forgetful_server_that_has_lost_nothing(self) -> None:
        watch = GroupHistory(b"s", forgetful=True)
        for last in (2, 4, 6, 8):
            end = StreamId(last)
            assert watch.judge(History(last, last, StreamId(1), end, end), Reached(StreamId(last - 1), last - 1)) == []

    def test_what_is_missing_at_the_first_look_is_told_by_a_forgetful_server_too(self) -> None:
        watch = GroupHistory(b"s", forgetful=True)
        one, four = StreamId(1), StreamId(4)
        [gap] = watch.judge(History(1, 4, four, four, four, StreamId(3)), Reached(one, 1))
        assert (gap.after, gap.before) == (one, four)


def test_the_lease_on_a_name_lasts_for_ten_minutes(server: Server) -> None:
    consume(server)
    holds = [command for command in sent(server, "EVAL") if command[1] == HOLD.encode()]
    assert {hold[-1] for hold in holds} == {b"600000"}


def test_a_stream_may_be_removed_before_there_is_a_connection() -> None:
    consumer: GroupConsumer[bytes] = GroupConsumer(["s", "t"], group="g", consumer="c")
    assert consumer.remove_stream("t")
    assert consumer.groups == {b"s": b"g"}


def test_of_a_batch_that_was_begun_a_union_gives_back_only_the_rest(server: Server) -> None:
    for number in (1, 2, 3):
        server.add("s", f"{number}-0")
    union: GroupConsumer[bytes] = GroupConsumer({"s": "g", "t": "h"}, consumer="c", renew=False, exclusive=False)
    net = Net(server, union)
    begun = union.take()
    assert begun is not None
    assert len(begun) == 3
    union.leave(begun, 1)
    net.advance(1)
    given_back = [id_.ms for id_, one in server.group().pending.items() if server.now - one.at >= 50]
    assert given_back == [2, 3]
