"""A member that stops when there is nothing more: ``stop_on_idle``."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import InvalidArgument
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Fate, Net
from tests.core.support.entropy import entropy
from tests.core.support.members import add, consume, deliver, idle_for, ids, pending, sent, take, take_all, taken, times
from tests.core.support.server import Server


def stopping(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A consumer whose reads do not wait, unless they are told to."""
    return consume(server, stop_on_idle=True, **{"block": None, **options})


def ended(consumer: GroupConsumer[bytes]) -> bool:
    """Asked anew each time: type checkers take what a property has told for what it tells."""
    return consumer.ended


class TestWithoutWaiting:
    def test_hands_over_what_there_is_and_ends(self, server: Server) -> None:
        add(server, 1, 5)
        consumer, net = stopping(server)
        before = [ended(consumer)]
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0", "4-0", "5-0"]
        assert [*before, ended(consumer)] == [False, True]
        assert not any(b"BLOCK" in read for read in sent(server, "XREADGROUP"))

    def test_nothing_was_there(self, server: Server) -> None:
        consumer, net = stopping(server)
        assert (consumer.take(), ended(consumer), len(sent(server, "XREADGROUP"))) == (None, True, 2)
        net.advance(30)
        assert (ended(consumer), sent(server, "XREADGROUP")) == (True, [])

    def test_begins_anew(self, server: Server) -> None:
        consumer, net = stopping(server)
        add(server, 1, 1)
        net.advance(1)
        assert take(consumer, net) is None
        consumer.begin()
        net.serve()
        assert not ended(consumer)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert ended(consumer)

    def test_to_begin_in_the_middle_changes_nothing(self, server: Server) -> None:
        add(server, 1, 9)
        consumer, net = stopping(server)
        net.pair.wakeups = 0
        consumer.begin()
        assert net.pair.wakeups == 0

    def test_its_own_backlog_comes_first(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        add(server, 3, 3)
        consumer, net = stopping(server)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        assert ended(consumer)

    def test_what_others_have_left_idle_is_claimed_page_by_page(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3, 4, 5, idle=100)
        consumer, net = stopping(server)
        assert ids(take_all(consumer, net)) == [f"{n}-0" for n in range(1, 6)]
        assert ended(consumer)

    def test_nothing_is_claimed_after_the_end_but_what_is_in_hand_is_kept(self, server: Server) -> None:
        deliver(server, "other", 1)
        add(server, 2, 2)
        consumer, net = stopping(server, renew=True, claim_idle=9)
        batch = taken(consumer, net)
        for _ in range(40):
            net.advance(1)
            assert idle_for(server, server.group().pending[batch[0].id]) < 9
        assert (ended(consumer), pending(server, "other")) == (True, ["1-0"])
        batch.ack()
        net.advance(1)
        assert (consumer.settled, pending(server, "c")) == (True, [])

    def test_not_while_it_is_paused(self, server: Server) -> None:
        consumer, net = stopping(server)
        consumer.pause()
        before = [ended(consumer)]
        consumer.resume()
        assert [*before, ended(consumer)] == [False, True]
        consumer.begin()
        consumer.pause()
        net.serve()
        add(server, 1, 1)
        net.serve()
        assert not ended(consumer)
        consumer.resume()
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_a_stream_that_is_about_to_join_comes_first(self, server: Server) -> None:
        consumer, net = stopping(server)
        consumer.begin()
        net.pair.settle()  # a read is on its way
        server.add("t", "1-0")
        assert consumer.add_stream("t") is not None
        net.serve()
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert ended(consumer)

    def test_over_a_connection_that_breaks(self, server: Server) -> None:
        add(server, 1, 3)
        consumer, net = stopping(server)
        batches = [taken(consumer, net)]
        net.cut("main", Fate.REPLIES_LOST)
        net.advance(1)
        batches += take_all(consumer, net)
        assert (ids(batches), ended(consumer)) == (["1-0", "2-0", "3-0"], True)

    def test_after_draining_it_does_not_begin_again(self, server: Server) -> None:
        consumer, net = stopping(server)
        consumer.drain()
        consumer.begin()
        add(server, 1, 1)
        net.advance(1)
        assert (consumer.take(), ended(consumer)) == (None, True)

    def test_without_acknowledgements(self, server: Server) -> None:
        add(server, 1, 5)
        consumer, net = stopping(server, ack="none")
        assert ids(take_all(consumer, net)) == [f"{n}-0" for n in range(1, 6)]
        assert ended(consumer)


class TestGivenBack:
    @pytest.mark.parametrize("now", [1000.0, 0.1, 987_654_321.123456])
    def test_what_was_given_back_comes_again_before_the_end(self, now: float) -> None:
        server = Server(now=now)
        server.skew = 1e6
        add(server, 1, 1)
        consumer, net = stopping(server)
        [entry] = taken(consumer, net)
        assert ended(consumer)
        entry.nack()
        assert not ended(consumer)
        net.advance(0.2)
        [again] = taken(consumer, net)
        assert (str(again.id), again.deliveries) == ("1-0", 2)
        again.ack()
        assert ended(consumer)
        assert any(b"BLOCK" in read for read in sent(server, "XREADGROUP")), "until then it waits in the server"

    def test_not_what_is_given_back_for_longer_than_a_read_waits(self, server: Server) -> None:
        add(server, 1, 1)
        consumer, net = stopping(server)
        [entry] = taken(consumer, net)
        entry.nack(delay=30)
        assert not ended(consumer), "it is on its way"
        net.advance(1)
        assert (consumer.take(), ended(consumer), times(server)) == (None, True, {1: 1})

    def test_a_dead_letter_does_not_come_again(self, server: Server) -> None:
        add(server, 1, 1)
        consumer, net = stopping(server)
        [entry] = taken(consumer, net)
        entry.dead_letter(reason="bad")
        net.serve()
        consumer.members[0].loop.pending.collect()
        assert ended(consumer)

    def test_what_another_member_takes_meanwhile_is_not_waited_for(self, server: Server) -> None:
        add(server, 1, 1)
        consumer, net = stopping(server)
        [entry] = taken(consumer, net)
        entry.nack()
        net.serve()
        consumer.flush()
        net.serve()
        server.do("XCLAIM", "s", "g", "other", 0, "1-0")
        net.advance(0.2)
        assert (consumer.take(), ended(consumer), pending(server, "other")) == (None, True, ["1-0"])


class TestWaiting:
    def test_ends_when_a_read_has_waited_in_vain(self, server: Server) -> None:
        add(server, 1, 3)
        consumer, net = stopping(server, block=2)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        net.advance(1.5)
        assert not ended(consumer)
        add(server, 4, 4)
        net.serve()
        assert ids(take_all(consumer, net)) == ["4-0"]
        net.advance(1.5)
        assert not ended(consumer)
        net.advance(1)
        assert ended(consumer)

    def test_a_read_that_was_ended_for_a_new_stream_has_not(self, server: Server) -> None:
        consumer, net = stopping(server, block=2)
        server.add("t", "1-0")
        assert consumer.add_stream("t") is not None
        net.advance(0.1)
        assert not ended(consumer)
        assert ids(take_all(consumer, net)) == ["1-0"]
        net.advance(3)
        assert ended(consumer)

    def test_what_was_given_back_for_less_is_waited_for(self, server: Server) -> None:
        add(server, 1, 1)
        consumer, net = stopping(server, block=2)
        [entry] = taken(consumer, net)
        net.advance(3)
        assert ended(consumer)
        entry.nack(delay=1)
        net.advance(0.5)
        assert not ended(consumer)
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_by_default_it_waits_for_ever(self, server: Server) -> None:
        consumer, net = consume(server)
        net.advance(100)
        assert not ended(consumer)

    def test_a_group_that_is_gone_is_not_the_end(self, server: Server) -> None:
        consumer, net = stopping(server, block=2)
        server.do("XGROUP", "DESTROY", "s", "g")
        net.serve()
        assert not ended(consumer)
        add(server, 1, 1)
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_reads_that_do_not_wait_are_for_this_alone(self) -> None:
        with pytest.raises(InvalidArgument, match=r"block=None would ask .* it is for stop_on_idle=True"):
            GroupConsumer("s", group="g", consumer="c", block=None)


class TestSeveralGroups:
    def union(self, server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
        arguments: dict[str, Any] = {"consumer": "c", "count": 2, "renew": False, "stop_on_idle": True, "block": None}
        union: GroupConsumer[bytes] = GroupConsumer({"s": "g", "t": "h"}, entropy=entropy, **{**arguments, **options})
        return union, Net(server, union)

    def test_all_of_them_are_at_their_end(self, server: Server) -> None:
        add(server, 1, 3)
        add(server, 1, 1, "t")
        union, net = self.union(server)
        found: list[str] = []
        while not ended(union):
            if (batch := union.take()) is not None:
                found += [f"{batch.key.decode()} {entry.id}" for entry in batch]
            net.serve()
        assert sorted(found) == ["s 1-0", "s 2-0", "s 3-0", "t 1-0"]

    def test_while_one_goes_on_the_others_do(self, server: Server) -> None:
        add(server, 1, 9)
        union, net = self.union(server)
        assert union.take() is not None
        add(server, 1, 1, "t")  # whose group had come to its end
        net.serve()
        streams = []
        while (batch := union.take()) is not None:
            streams.append(batch.key)
            net.serve()
        assert b"t" in streams
        assert ended(union)

    def test_begin_anew(self, server: Server) -> None:
        union, net = self.union(server)
        assert ended(union)
        add(server, 1, 1, "t")
        union.begin()
        net.serve()
        assert not ended(union)
        assert union.take() is not None

    def test_without_it_nothing_begins(self, server: Server) -> None:
        add(server, 1, 1)
        union, _ = self.union(server, stop_on_idle=False, block=5)
        assert union.take() is not None
        assert not ended(union)
