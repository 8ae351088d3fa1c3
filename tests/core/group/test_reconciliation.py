"""Entries that are not pending for a member any more are dropped."""

from __future__ import annotations

from streamcore.events import OwnershipLost
from streamcore.testing.net import Fate
from tests.core.support.members import add, consume, deliver, events, holding, ids, pending, take_all, taken
from tests.core.support.server import Server


class TestLeases:
    def test_what_others_have_settled_does_not_fill_us_up_for_ever(self, server: Server) -> None:
        add(server, 1, 4)
        consumer, net = consume(server, max_in_flight=2, claim_idle=None)
        net.serve()
        [batch] = take_all(consumer, net)
        assert batch.ids == [b"1-0", b"2-0"]
        server.do("XACK", "s", "g", "1-0", "2-0")
        net.advance(6)
        assert ids(take_all(consumer, net)) == ["3-0", "4-0"]
        assert events(net)[1:] == [OwnershipLost(b"s", (b"1-0", b"2-0"))]
        batch.ack()
        net.advance(1)
        assert pending(server, "c") == ["3-0", "4-0"]

    def test_nor_after_a_reconnect(self, server: Server) -> None:
        add(server, 1, 3)
        consumer, net = consume(server, max_in_flight=2, audit_interval=600)
        take_all(consumer, net)
        net.cut("main", Fate.REQUESTS_LOST)
        server.do("XACK", "s", "g", "2-0")
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "RETRYCOUNT", 1)
        net.advance(1)
        assert OwnershipLost(b"s", (b"1-0", b"2-0")) in events(net)
        assert ids(take_all(consumer, net)) == ["3-0"]

    def test_nor_while_it_waits_for_room_to_recover(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3, 4)
        consumer, net = consume(server, max_in_flight=2, claim_idle=None)
        net.serve()
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "2-0", "RETRYCOUNT", 1)
        net.advance(6)
        assert ids(take_all(consumer, net)) == ["3-0", "4-0"]


class TestLostLeases:
    def test_what_is_known_to_be_with_another_member_is_not_handed_over(self, server: Server) -> None:
        add(server, 1, 4)
        consumer, net = consume(server)
        for number in (2, 3, 4):
            server.do("XCLAIM", "s", "g", "other", 0, f"{number}-0", "RETRYCOUNT", 5)
        net.advance(5.1)  # an audit
        assert OwnershipLost(b"s", (b"2-0", b"3-0", b"4-0")) in events(net)
        batch = taken(consumer, net)
        assert ids([batch]) == ["1-0"]
        assert not consumer.has_batch
        batch.ack()
        net.advance(1.0)
        assert (consumer.settled, pending(server, "other")) == (True, ["2-0", "3-0", "4-0"])

    def test_they_are_not_said_to_be_settled(self, server: Server) -> None:
        consumer, net, batch = holding(server, 3)
        server.do("XCLAIM", "s", "g", "other", 0, "2-0", "RETRYCOUNT", 5)
        net.advance(5.1)
        entries = list(batch)
        rest = consumer.split(batch, 1)
        for one in [entries[0], *rest]:
            one.ack()
        net.advance(0.1)
        assert [entries[0].settled(), *(one.settled() for one in rest)] == [True, False, True]
