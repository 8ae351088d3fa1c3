"""Which deliveries count: what may become a dead letter, and what did not count after all."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.events import DeadLettered, EntriesRecovered, GroupRecreated
from streamcore.group.consumer import GroupConsumer
from streamcore.scripts.lease import HOLD
from streamcore.testing.net import Fate, Net
from tests.core.support.members import (
    add,
    consume,
    deliver,
    delivery,
    events,
    holding,
    idle_for,
    ids,
    pending,
    take,
    take_all,
    taken,
    times,
)
from tests.core.support.server import Server

NUMBERS = count(1)


def process(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """One more process under the name of a consumer, with a nonce of its own."""
    number = next(NUMBERS)
    return consume(server, max_deliveries=2, random=lambda: number / 1000, **options)


def buried(net: Net) -> list[tuple[bytes, int]]:
    """The entries that became dead letters, and after how many deliveries."""
    return [(one.id, one.deliveries) for one in events(net) if isinstance(one, DeadLettered)]


class TestTheGroupVanishesWhileAMemberEnters:
    """Seed 5752."""

    def entered(self, server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
        def destroy(command: list[bytes]) -> None:
            if command[:2] == [b"XPENDING", b"s"]:
                server.before = len
                server.do("XGROUP", "DESTROY", "s", "g")

        deliver(server, "other", 1)
        server.before = destroy
        consumer, net = consume(server, **options)
        batches = take_all(consumer, net)
        assert "1-0" in ids(batches)
        for batch in batches:
            batch.ack()
        return consumer, net

    @pytest.mark.parametrize("fate", [Fate.REPLIES_LOST, Fate.HALF_OPEN])
    def test_a_reconnect_is_no_attempt_all_the_same(self, server: Server, fate: Fate) -> None:
        consumer, net = self.entered(server)
        if fate is Fate.HALF_OPEN:
            net.cut("main", fate)
            add(server, 2, 2)
        else:
            add(server, 2, 2)
            net.cut("main", fate)
        net.advance(0.1)
        batch = taken(consumer, net)
        assert (batch.ids, batch.deliveries, times(server)[2]) == ([b"2-0"], 1, 1)
        assert GroupRecreated(b"s", b"g", "0") in events(net)

    def test_its_other_streams_are_recovered(self, server: Server) -> None:
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        add(server, 1, 1, "t")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "t", ">")
        _, net = self.entered(server, streams=["s", "t"], audit_interval=1000)
        assert EntriesRecovered(b"t", 1) in events(net)


class TestAProcessBeforeUs:
    def test_that_is_gone_has_failed(self, server: Server) -> None:
        deliver(server, "c", 1)
        consumer, net = process(server)
        assert taken(consumer, net).deliveries == 2
        net.kill()
        _, net = process(server)
        assert buried(net) == [(b"1-0", 2)]

    @pytest.mark.parametrize("is_dead", [False, True])
    def test_whose_connection_still_stands_may_be_at_work(self, server: Server, is_dead: bool) -> None:
        """A twin, or a machine that has died. Seed 12757."""
        deliver(server, "c", 1)
        consumer, net = process(server)
        taken(consumer, net)
        if is_dead:
            net.kill(half_open=True)
        consumer, net = process(server)
        assert (buried(net), taken(consumer, net).deliveries) == ([], 3)

    def test_beside_each_stream_that_it_read(self, server: Server) -> None:
        deliver(server, "c", 1)
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        add(server, 1, 1, "t")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "t", ">")
        streams = ["s", "t"]
        consumer, net = process(server, streams=streams)
        assert len(take_all(consumer, net)) == 2
        consumer, net = process(server, streams=streams)
        assert (buried(net), [batch.deliveries for batch in take_all(consumer, net)]) == ([], [3, 3])

    def test_but_not_for_ever(self, server: Server) -> None:
        deliver(server, "c", 1)
        for deliveries in (2, 3):
            consumer, net = process(server)
            assert taken(consumer, net).deliveries == deliveries
            net.kill(half_open=True)
        _, net = process(server)
        assert buried(net) == [(b"1-0", 3)]

    @pytest.mark.parametrize("forbidden", [b"INFO", b"CLIENT LIST"])
    def test_of_which_nobody_can_tell(self, server: Server, forbidden: bytes) -> None:
        deliver(server, "c", 1)
        consumer, net = process(server)
        taken(consumer, net)
        net.kill()
        server.faults.denied = {forbidden.decode()}
        consumer, net = process(server)
        assert (buried(net), taken(consumer, net).deliveries) == ([], 3)

    def test_of_which_nobody_can_tell_since_the_server_is_another_run(self, server: Server) -> None:
        """Seed 12998."""
        deliver(server, "c", 1)
        consumer, net = process(server)
        taken(consumer, net)
        server.begin_anew()
        consumer, net = process(server)
        assert (buried(net), taken(consumer, net).deliveries) == ([], 3)

    def test_whose_name_we_had_taken_when_our_connection_broke(self, server: Server) -> None:
        """Seed 1292: nobody had looked yet whether its connection stands."""

        def cut(command: list[bytes]) -> None:
            if command[:2] == [b"CLIENT", b"LIST"]:
                server.before = len
                server.sessions[max(server.sessions)].lost()

        deliver(server, "c", 1)
        consumer, net = process(server)
        taken(consumer, net)
        server.before = cut
        consumer, net = process(server)
        net.advance(1)
        assert (buried(net), taken(consumer, net).deliveries) == ([], 3)

    def test_of_which_an_answer_that_was_lost_would_have_told(self, server: Server) -> None:
        def take_unheard(command: list[bytes]) -> None:
            if command[:2] == [b"EVAL", HOLD.encode()]:
                server.before = len
                server.do(*command)

        deliver(server, "c", 1)
        consumer, net = process(server)
        taken(consumer, net)
        server.before = take_unheard
        consumer, net = process(server)
        net.advance(1)
        assert (buried(net), taken(consumer, net).deliveries) == ([], 3)

    def test_that_died_before_it_was_answered_has_counted_one_that_nobody_saw(self, server: Server) -> None:
        """Seed 503280, a limit that the contract states: the counter has to rise before the application has the entry."""
        deliver(server, "c", 1)
        consumer, net = process(server)
        assert consumer.take() is None
        net.pair.settle()
        net.cut("main", Fate.REPLIES_LOST)
        net.kill()
        _, net = process(server)
        assert buried(net) == [(b"1-0", 2)]


class TestOurOwnPast:
    def test_what_a_failover_brings_back_has_not_killed_us(self, server: Server) -> None:
        """Seed 10334: the acknowledgement was confirmed, and is lost with the server."""
        deliver(server, "c", 1)
        consumer, net = consume(server, max_deliveries=2)
        for deliveries in (2, 3, 4):
            batch = taken(consumer, net)
            assert batch.deliveries == deliveries
            batch.ack()
            net.advance(0.1)
            assert pending(server, "c") == []
            server.group().deliver(batch[0].id, b"c", server.ms, deliveries)
            server.begin_anew()
            net.advance(1)
        assert buried(net) == []

    def test_nor_what_it_brings_back_to_another_member(self, server: Server) -> None:
        """Seed 2010420: the other one had it before us, and does not live any more."""

        def gives_to_another(id_: int) -> None:
            server.group().deliver(StreamId(id_), b"other", server.ms - 100_000, 2)

        deliver(server, "other", 1, idle=100)
        consumer, net = consume(server, max_deliveries=2)
        taken(consumer, net).ack()
        net.advance(0.1)
        gives_to_another(1)
        server.begin_anew()
        net.advance(60)
        batch = taken(consumer, net)
        assert (ids([batch]), batch.deliveries, buried(net)) == (["1-0"], 3, [])
        batch.ack()
        add(server, 2, 2)
        taken(consumer, net).ack()
        net.advance(0.1)
        gives_to_another(2)
        net.advance(60)
        assert buried(net) == [(b"2-0", 2)], "that came later"
        consumer.add_stream("t")
        consumer.remove_stream("s")
        net.advance(1)
        consumer.add_stream("s")
        gives_to_another(1)
        net.advance(60)
        assert buried(net) == [(b"1-0", 2)], "of a stream that is read anew, nothing is our past"

    def test_what_was_claimed_with_an_answer_that_was_lost_is_not_forgiven(self, server: Server) -> None:
        deliver(server, "other", 1, 2, idle=100)
        delivery(server, 1).times = 4
        cut: list[Net] = []

        def lose(command: list[bytes]) -> None:
            if command[0] == b"XCLAIM" and cut:
                cut.pop().cut("main", Fate.ONE_REPLY_LOST)

        consumer, net = consume(server, max_deliveries=4, claim_idle=None)
        cut.append(net)
        server.before = lose
        consumer.members[0].loop.backlog.claiming[b"s"] = {b"1-0", b"2-0"}
        server.do("XCLAIM", "s", "g", "c", 0, "1-0", "2-0", "JUSTID")
        net.advance(6)
        assert (buried(net), ids(take_all(consumer, net))) == ([(b"1-0", 4)], ["2-0"])


class TestUnsure:
    """What one process was given, and another one hands over: nobody knows whether it was seen before."""

    def test_does_not_count_where_it_is_refused(self, server: Server) -> None:
        deliver(server, "c", 1)
        consumer, net = consume(server, max_deliveries=2)
        batch = taken(consumer, net)
        assert batch.deliveries == 2
        batch.nack()
        net.advance(0.1)
        assert (buried(net), times(server)) == ([], {1: 1})
        batch = taken(consumer, net)
        assert batch.deliveries == 2
        batch.nack()
        net.advance(0.1)
        assert buried(net) == [(b"1-0", 2)]

    def test_also_where_it_is_claimed(self, server: Server) -> None:
        deliver(server, "other", 1, idle=100)
        consumer, net = consume(server, max_deliveries=2)
        taken(consumer, net).nack()
        net.advance(0.1)
        assert (buried(net), times(server)) == ([], {1: 1})

    def test_what_was_refused_before_was_seen(self, server: Server) -> None:
        add(server, 1, 1)
        consumer, net = consume(server, max_deliveries=2)
        taken(consumer, net).nack()
        net.advance(0.1)
        taken(consumer, net).nack()
        net.advance(0.1)
        assert buried(net) == [(b"1-0", 2)]

    def test_where_there_is_one_attempt_only(self, server: Server) -> None:
        deliver(server, "c", 1)
        consumer, net = consume(server, max_deliveries=1)
        taken(consumer, net).nack()
        net.advance(0.1)
        assert buried(net) == [(b"1-0", 2)]

    def test_a_part_of_a_batch_is_as_unsure(self, server: Server) -> None:
        deliver(server, "c", 1)
        consumer, net = consume(server)
        batch = taken(consumer, net)
        assert batch.is_unsure
        assert consumer.split(batch, 0).is_unsure


class TestLostAnswers:
    def asked(self, server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
        """The application has asked for the first of three entries, and another member claims it meanwhile."""
        deliver(server, "c", 1, 2, 3)
        consumer, net = consume(server, **{"max_deliveries": 9, **options})
        assert consumer.take() is None
        net.pair.settle()
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "JUSTID")
        return consumer, net

    @pytest.mark.parametrize("after", [None, *range(1, 12)])
    def test_what_was_counted_in_the_stead_of_another_one_is_set_back(self, server: Server, after: int | None) -> None:
        consumer, net = self.asked(server, count=10)
        net.cut("main", Fate.REPLIES_LOST)
        if after is not None:
            net.cut("main", Fate.REPLIES_LOST, after=after)
        net.advance(1)
        batches = take_all(consumer, net)
        net.advance(1)
        batches += take_all(consumer, net)
        assert [(batch.ids, batch.deliveries) for batch in batches] == [([b"2-0"], 2), ([b"3-0"], 2)]
        assert times(server) == {1: 1, 2: 2, 3: 2}

    @pytest.mark.parametrize("after", [None, *range(1, 12)])
    def test_of_a_batch_too(self, server: Server, after: int | None) -> None:
        """1-0 is gone, so that 2-0 was counted twice."""
        consumer, net = self.asked(server, count=10, max_deliveries=None)
        net.cut("main", Fate.REPLIES_LOST)
        if after is not None:
            net.cut("main", Fate.REPLIES_LOST, after=after)
        net.advance(1)
        batches = take_all(consumer, net)
        net.advance(1)
        batches += take_all(consumer, net)
        assert [(batch.ids, batch.deliveries) for batch in batches] == [([b"2-0", b"3-0"], 2)]
        assert times(server) == {1: 1, 2: 2, 3: 2}

    def test_also_where_that_one_is_in_hand(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        consumer, net = consume(server, count=10)
        queue = consumer.members[0].loop.redelivery_queue
        queue.add(reversed(queue.clear()))
        assert taken(consumer, net).ids == [b"2-0"]
        assert consumer.take() is None
        net.pair.settle()
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "JUSTID")
        net.cut("main", Fate.REPLIES_LOST)
        net.advance(1)
        assert times(server) == {1: 1, 2: 2}

    def test_nothing_is_set_back_where_the_group_is_gone(self, server: Server) -> None:
        consumer, net = self.asked(server)
        net.cut("main", Fate.REPLIES_LOST)
        server.do("XGROUP", "DESTROY", "s", "g")
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        assert times(server) == {1: 1, 2: 1, 3: 1}


class TestClaims:
    @pytest.mark.parametrize("forbidden", [b"INFO", b"CLIENT LIST"])
    def test_what_a_ghost_of_ours_has_got_is_no_claim(self, server: Server, forbidden: bytes) -> None:
        """It is idle before the audit looks for it."""
        server.faults.denied = {forbidden.decode()}
        consumer, net = consume(server, claim_idle=10, audit_interval=1000)
        net.cut("main", Fate.HALF_OPEN)
        net.advance(0.1)
        add(server, 1, 1)
        assert pending(server, "c") == ["1-0"]
        net.advance(20)
        batch = taken(consumer, net)
        assert (batch.ids, batch.deliveries, times(server)) == ([b"1-0"], 1, {1: 1})
        assert EntriesRecovered(b"s", 1) in events(net)

    def test_without_backlog_what_an_earlier_run_has_left_is_claimed_when_it_is_idle(self, server: Server) -> None:
        deliver(server, "c", 1)
        consumer, net = consume(server, backlog=False, claim_idle=10, audit_interval=1000)
        net.advance(20)
        assert taken(consumer, net).deliveries == 2


class TestLeaving:
    def test_what_is_given_back_before_the_server_has_counted_it_is_given_back_again(self, server: Server) -> None:
        """The acking link may be faster than the reading link."""
        consumer, net, batch = holding(server, 2, release_on_close=True)
        batch[0].ack()
        net.advance(0.1)
        batch[1].nack()
        net.advance(0.1)
        assert consumer.take() is None
        net.pair.settle()  # it is asked for
        consumer.leave()
        net.pair.settle()  # and given back
        net.run_next("acks")
        assert times(server) == {2: 1}
        net.serve()
        assert (consumer.settled, times(server), idle_for(server, delivery(server, 2))) == (True, {2: 1}, 60)

    def test_without_anything_that_was_asked_for(self, server: Server) -> None:
        deliver(server, "c", 1)
        consumer, net = consume(server)
        assert consumer.take() is None
        net.pair.settle()
        server.do("XACK", "s", "g", "1-0")
        consumer.leave()
        net.serve()
        assert (consumer.settled, take(consumer, net)) == (True, None)
