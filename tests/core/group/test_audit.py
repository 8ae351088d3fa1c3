"""What a look at the pending list of the server tells a member, every few seconds."""

from __future__ import annotations

from tests.core.support.members import add, consume, deliver, ids, sent, take_all
from tests.core.support.scripted_member import GONE, scripted
from tests.core.support.server import Server
from tests.core.support.streams import NOTHING_PENDING, listed


class TestAudit:
    def test_entries_that_are_ours_and_unseen_are_recovered(self, server: Server) -> None:
        consumer, net = consume(server)
        deliver(server, "c", 1)  # somebody reads in our name
        net.advance(6)
        assert "1-0" in ids(take_all(consumer, net))

    def test_asks_for_no_entries_while_the_counts_agree(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, 1, 2)
        net.serve()
        take_all(consumer, net)
        server.seen.clear()
        net.advance(20)
        assert {len(command) for command in sent(server, "XPENDING")} == {3}

    def test_comes_every_few_seconds(self, server: Server) -> None:
        _, net = consume(server, audit_interval=2, block=1)
        server.seen.clear()
        net.advance(20)
        assert 6 <= len(sent(server, "XPENDING")) <= 10

    def test_an_idle_consumer_sends_about_a_command_a_second(self, server: Server) -> None:
        _, net = consume(server)
        server.seen.clear()
        net.advance(100)
        assert len(server.seen) < 106

    def test_a_group_that_vanishes_between_its_two_answers(self) -> None:
        consumer, pair = scripted(claim_idle=None, remove_idle_consumers=None)
        pair.server.answer("run_id:1")
        pair.server.answer([listed("5-0")], GONE)
        pair.server.answer([])
        pair.server.answer(None)
        pair.server.answer([])
        pair.server.commands.clear()  # it blocks
        assert not consumer.members[0].loop.setup._looks.low_water
        pair.advance(5)
        pair.server.answer(None)
        pair.server.answer([], NOTHING_PENDING)  # and comes back
        pair.server.commands.clear()
        pair.advance(5)
        pair.server.answer(None)
        pair.server.answer([listed("5-0")], GONE)
        pair.server.expect("XINFO", "GROUPS", "s")
        pair.server.expect("XPENDING", "s", "g")
        pair.server.expect("XREADGROUP")
        assert not consumer.members[0].loop.setup._looks.low_water
