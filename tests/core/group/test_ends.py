"""How a member ends: it drains, it leaves, it has read all that an earlier run left, its group is gone, others are removed."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import InvalidArgument, NoGroupError, ReplyTooLarge
from streamcore.events import AcksUnconfirmed, ConsumerRemoved, GroupCreated, PossibleLoss
from streamcore.group.consumer import GroupConsumer
from streamcore.group.options import NACKED
from streamcore.keys import consumer_lease
from streamcore.options import Options
from streamcore.scripts.group import REMOVE
from streamcore.testing.net import Fate, Net
from tests.core.support.entropy import entropy
from tests.core.support.members import (
    add,
    consume,
    deliver,
    events,
    holding,
    idle_for,
    ids,
    pending,
    sent,
    take,
    take_all,
    taken,
    times,
)
from tests.core.support.server import Server


def members(server: Server) -> set[bytes]:
    """The consumers that the group knows."""
    return set(server.group().consumers)


class TestDraining:
    def test_hands_over_what_is_here_and_reads_no_more(self, server: Server) -> None:
        add(server, 1, 4)
        consumer, net = consume(server)
        consumer.drain()
        assert not consumer.ended
        add(server, 5, 6)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0", "4-0"]
        assert (consumer.ended, pending(server, "c")) == (True, ["1-0", "2-0", "3-0", "4-0"])

    def test_ends_the_read_that_blocks(self, server: Server) -> None:
        consumer, net = consume(server)
        sent(server, "XREADGROUP")
        consumer.drain()
        ended = [consumer.ended]  # its reply may have entries
        net.advance(0.01)
        assert [*ended, consumer.ended] == [False, True]
        add(server, 1, 1)
        net.advance(10)
        assert (consumer.take(), sent(server, "XREADGROUP")) == (None, [])

    def test_no_longer_looks_for_what_was_given_back(self, server: Server) -> None:
        consumer, net, batch = holding(server, 1)
        batch[0].nack(delay=3.0)
        net.advance(0.5)
        given_back_at = consumer.members[0].loop.given_back.at
        assert consumer.next_timeout() == given_back_at
        net.pair.dials = False  # so that the read goes on to block
        consumer.drain()
        net.serve()
        assert consumer.next_timeout() != given_back_at

    def test_what_has_arrived_at_that_moment_is_handed_over(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, 1, 1)
        consumer.drain()
        net.advance(0.01)
        ended = [consumer.ended]
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert [*ended, consumer.ended] == [False, True]

    def test_what_waits_to_be_handed_over_again_is_given_back(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        consumer, net = consume(server, max_deliveries=5)
        assert taken(consumer, net).deliveries == 2
        consumer.drain()
        net.advance(0.1)
        assert (consumer.ended, take(consumer, net), consumer.settled) == (True, None, True)
        assert times(server) == {1: 2, 2: 1, 3: 1}

    def test_what_is_claimed_at_that_moment_too(self, server: Server) -> None:
        deliver(server, "other", 1, idle=100)
        consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c", entropy=entropy)
        server.before = lambda command: consumer.drain() if command[0] == b"XCLAIM" else None
        net = Net(server, consumer)
        net.advance(0.1)
        assert (take(consumer, net), consumer.ended, consumer.settled) == (None, True, True)
        assert times(server) == {1: 1}

    def test_what_is_in_hand_is_settled_and_kept_meanwhile(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, renew=True, claim_idle=9)
        consumer.drain()
        consumer.drain()
        for _ in range(30):
            net.advance(1)
            assert max(idle_for(server, one) for one in server.group().pending.values()) < 9
        batch.ack()
        net.advance(0.1)
        assert (consumer.settled, pending(server, "c")) == (True, [])

    @pytest.mark.parametrize("fate", Fate)
    def test_over_a_connection_that_breaks(self, server: Server, fate: Fate) -> None:
        add(server, 1, 4)
        consumer, net = consume(server)
        net.cut("main", fate)
        consumer.drain()
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0", "4-0"]
        assert consumer.ended


class TestClosing:
    def test_leaves_no_deadline_of_an_acknowledgement(self, server: Server) -> None:
        consumer, net, batch = holding(server, 1)
        net.pair.dials = False
        net.cut("main", Fate.HALF_OPEN)
        net.serve()
        batch.ack()
        net.serve()
        assert consumer.next_timeout() is not None
        consumer.close()
        assert consumer.next_timeout() is None


class TestHistoryOnly:
    def test_hands_over_what_an_earlier_run_left_and_ends(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        deliver(server, "other", 4, idle=100)
        add(server, 5, 5)
        consumer, net = consume(server, history_only=True)
        ended = [consumer.ended]
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        net.advance(0.1)
        assert [*ended, consumer.ended] == [False, True]
        net.advance(30)
        assert (take(consumer, net), pending(server, "other")) == (None, ["4-0"])

    def test_nothing_was_left(self, server: Server) -> None:
        consumer, _ = consume(server, history_only=True)
        assert (consumer.take(), consumer.ended) == (None, True)
        assert sent(server, "XREADGROUP") == []

    def test_acknowledgements_leave_and_what_is_in_hand_is_kept(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        consumer, net = consume(server, history_only=True, renew=True, claim_idle=9)
        [batch] = take_all(consumer, net)
        batch[0].ack()
        for _ in range(20):
            net.advance(1)
            assert max(idle_for(server, one) for one in server.group().pending.values()) < 9
        assert (pending(server, "c"), consumer.settled) == (["2-0"], True)

    def test_over_a_connection_that_breaks(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        consumer, net = consume(server, history_only=True)
        batches = [taken(consumer, net)]
        net.cut("main", Fate.REPLIES_LOST)
        assert not consumer.ended
        net.advance(1)
        batches += take_all(consumer, net)
        net.advance(1)
        assert (ids(batches), consumer.ended) == (["1-0", "2-0", "3-0"], True)


class TestWithoutAcknowledgements:
    def test_nothing_is_pending(self, server: Server) -> None:
        add(server, 1, 3)
        consumer, net = consume(server, ack="none")
        batches = take_all(consumer, net)
        assert ids(batches) == ["1-0", "2-0", "3-0"]
        for batch in batches:
            batch.ack()
        net.advance(30)
        assert (server.group().pending, consumer.settled, consumer.members[0].loop.pending.in_flight) == ({}, True, 0)
        assert events(net) == [GroupCreated(b"s", b"g", "0-0")]

    def test_one_page_is_read_ahead(self, server: Server) -> None:
        add(server, 1, 9)
        _, net = consume(server, ack="none")
        net.advance(1)
        assert len(sent(server, "XREADGROUP")) == 1

    def test_what_is_pending_for_its_name_is_left_alone(self, server: Server) -> None:
        deliver(server, "c", 1)
        deliver(server, "other", 2, idle=100)
        consumer, net = consume(server, ack="none")
        net.advance(60)
        assert take(consumer, net) is None
        assert times(server) == {1: 1, 2: 1}

    def test_a_lost_connection_may_have_lost_a_reply(self, server: Server) -> None:
        _, net = consume(server, ack="none")
        net.cut("main", Fate.REPLIES_LOST)
        net.advance(1)
        assert events(net)[-1] == PossibleLoss(2)

    def test_unless_no_read_was_in_flight(self, server: Server) -> None:
        add(server, 1, 2)
        consumer, net = consume(server, ack="none")
        net.cut("main", Fate.REPLIES_LOST)
        net.advance(1)
        assert PossibleLoss not in {type(event) for event in events(net)}
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]

    def test_leaving_tells_how_many_nobody_has_seen(self, server: Server) -> None:
        add(server, 1, 6)
        consumer, net = consume(server, ack="none", count=3)
        batch = taken(consumer, net)
        consumer.leave(batch, 1)
        net.serve()
        assert PossibleLoss(5) in events(net)
        assert consumer.settled

    def test_and_nothing_where_all_was_seen(self, server: Server) -> None:
        consumer, net = consume(server, ack="none")
        consumer.leave()
        net.serve()
        consumer.close()
        assert PossibleLoss not in {type(event) for event in events(net)}

    def test_an_entry_that_is_too_large_is_the_end(self, server: Server) -> None:
        """Nobody could find out later which one it was."""
        server.add("s", "1-0", data="x" * 500_000)
        consumer, net = consume(server, ack="none", count=1, detect_gaps=None, options=Options(max_reply=200_000))
        with pytest.raises(ReplyTooLarge):
            take(consumer, net)

    def test_a_batch_can_be_split(self, server: Server) -> None:
        add(server, 1, 2)
        consumer, net = consume(server, ack="none")
        batch = taken(consumer, net)
        rest = consumer.split(batch, 1)
        assert (batch.ids, rest.ids) == ([b"1-0"], [b"2-0"])

    @pytest.mark.parametrize("options", [{"fenced": True}, {"history_only": True}, {"max_deliveries": 3}])
    def test_goes_with_nothing_that_needs_them(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument, match="ack='none' leaves nothing pending"):
            GroupConsumer("s", group="g", consumer="c", ack="none", **options)


class TestGroupLost:
    def test_is_the_end_where_asked_for(self, server: Server) -> None:
        consumer, net = consume(server, on_group_lost="raise")
        server.do("XGROUP", "DESTROY", "s", "g")
        net.serve()
        with pytest.raises(
            NoGroupError, match="stream 's' has lost its group 'g'; create it, or pass on_group_lost='recreate'"
        ):
            consumer.take()

    def test_one_that_was_never_there_is_created_all_the_same(self, server: Server) -> None:
        consumer, net = consume(server, on_group_lost="raise")
        assert events(net) == [GroupCreated(b"s", b"g", "0-0")]
        assert consumer.take() is None

    def test_it_is_lost_while_we_are_not_connected(self, server: Server) -> None:
        consumer, net = consume(server, on_group_lost="raise")
        net.cut("main", Fate.REQUESTS_LOST)
        server.do("DEL", "s")
        net.advance(1)
        assert isinstance(consumer.error, NoGroupError)


class TestRemovingOthers:
    def test_who_has_nothing_pending_and_was_not_heard_of_for_long(self, server: Server) -> None:
        deliver(server, "dead", 1)
        deliver(server, "busy", 2)
        server.do("XACK", "s", "g", "1-0")
        for _ in range(8):
            server.sleep(9)
            deliver(server, "alive")
            server.do("XREADGROUP", "GROUP", "g", "alive", "COUNT", 1, "STREAMS", "s", ">")
        _, net = consume(server, remove_idle_consumers=60, claim_idle=1000)
        assert events(net) == [ConsumerRemoved(b"s", b"dead")]
        assert members(server) == {b"busy", b"alive", b"c"}

    def test_not_ourselves(self, server: Server) -> None:
        _, net = consume(server, remove_idle_consumers=1, block=5, claim_idle=4)
        for _ in range(30):
            net.advance(1)
        assert (members(server), events(net)[1:]) == ({b"c"}, [])

    def test_not_where_it_is_not_wanted(self, server: Server) -> None:
        deliver(server, "dead")
        server.do("XREADGROUP", "GROUP", "g", "dead", "COUNT", 1, "STREAMS", "s", ">")
        server.sleep(100_000)
        consume(server, remove_idle_consumers=None)
        assert members(server) == {b"dead", b"c"}

    def test_one_that_comes_back_at_that_moment_is_left(self, server: Server) -> None:
        deliver(server, "dead")
        server.do("XREADGROUP", "GROUP", "g", "dead", "COUNT", 1, "STREAMS", "s", ">")
        server.sleep(100_000)

        def come_back(command: list[bytes]) -> None:
            if command[:2] == [b"EVAL", REMOVE.encode()]:
                server.do("HSET", consumer_lease(b"s", b"g", b"dead"), "holder", "itself")

        server.before = come_back
        _, net = consume(server)
        assert (members(server), events(net)) == ({b"dead", b"c"}, [])

    @pytest.mark.parametrize("word", [b"XINFO CONSUMERS", b"EVAL"])
    def test_not_where_it_is_forbidden(self, server: Server, word: bytes) -> None:
        for name in ("dead", "gone"):
            deliver(server, name)
            server.do("XREADGROUP", "GROUP", "g", name, "COUNT", 1, "STREAMS", "s", ">")
        server.sleep(100_000)
        server.faults.denied = {word.decode()}
        consumer, net = consume(server, exclusive=False)
        for _ in range(60):
            net.advance(1)
        assert (members(server), consumer.error) == ({b"dead", b"gone", b"c"}, None)
        assert len(sent(server, "EVAL")) <= 1, "a refusal is heeded"


class TestRemovingOneself:
    def test_a_consumer_that_leaves_nothing_behind_is_gone(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, remove_on_leaving=True)
        batch.ack()
        consumer.leave()
        net.advance(0.1)
        assert (consumer.settled, members(server)) == (True, set())

    def test_one_that_does_stays(self, server: Server) -> None:
        consumer, net, _ = holding(server, 2, remove_on_leaving=True)
        consumer.leave()
        net.advance(0.1)
        assert (consumer.settled, members(server), pending(server, "c")) == (True, {b"c"}, ["1-0", "2-0"])

    def test_what_nobody_has_seen_goes_to_nobody(self, server: Server) -> None:
        add(server, 1, 4)
        consumer, net = consume(server, remove_on_leaving=True)
        consumer.leave()
        net.advance(0.1)
        assert (members(server), pending(server, NACKED.decode())) == ({NACKED}, ["1-0", "2-0", "3-0", "4-0"])
        other, net = consume(server, consumer="other")
        assert ids(take_all(other, net)) == ["1-0", "2-0", "3-0", "4-0"]

    def test_in_every_stream(self, server: Server) -> None:
        consumer, net = consume(server, streams=["s", "t"], remove_on_leaving=True)
        consumer.leave()
        net.advance(0.1)
        assert [server.group(stream).consumers for stream in "st"] == [{}, {}]


class TestWithoutAnAnswer:
    def test_what_is_open_is_counted_and_told(self, server: Server) -> None:
        consumer, net, batch = holding(server, 3)
        net.pair.dials = False
        net.cut("main", Fate.REQUESTS_LOST)
        batch.ack()
        consumer.leave()
        net.advance(1)
        consumer.give_up_settling()
        assert AcksUnconfirmed(3) in events(net)

    def test_nothing_is_told_where_nothing_is_open(self, server: Server) -> None:
        consumer, net, batch = holding(server, 3)
        batch.ack()
        consumer.leave()
        net.advance(0.1)
        events(net)
        consumer.give_up_settling()
        assert events(net) == []
