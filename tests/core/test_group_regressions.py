"""What an adversary has found in the members of a group, each once."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import GroupBatch, StreamId
from streamcore.events import EntriesRecovered, OwnershipLost, PendingEntriesDeleted
from streamcore.group.consumer import GroupConsumer
from tests.core.members import (
    add,
    consume,
    deliver,
    delivery,
    events,
    holding,
    ids,
    pending,
    sent,
    take_all,
    taken,
    times,
)
from tests.core.model import Server
from tests.core.net import Fate, Net
from tests.core.pair import Pair, entry
from tests.core.streams import NOTHING_PENDING, listed


@pytest.fixture
def server() -> Server:
    return Server()


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


class TestRenewal:
    @pytest.mark.parametrize("idle", [0.3, 0.6, 1.0, 1.5, 3.0])
    def test_entries_in_hand_do_not_count_as_idle_however_short_that_is(self, server: Server, idle: float) -> None:
        _, net, _ = holding(server, 1, claim_idle=idle, renew=True)
        worst = 0.0
        for _ in range(100):
            net.advance(idle / 20)
            worst = max(worst, server.now - delivery(server, 1).at)
        assert worst < idle


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


def asking(pair: Pair, **replies: Any) -> None:
    """The server answers what it is asked while nothing is read, by the command's first word."""
    while pair.server.commands and pair.server.commands[0][0] != b"XREADGROUP":
        command = pair.server.commands.popleft()
        is_summary = command[0] == b"XPENDING" and len(command) == 3
        pair.server.answer(NOTHING_PENDING if is_summary else replies[command[0].decode()])


def blocked(**options: Any) -> tuple[GroupConsumer[bytes], Pair, GroupBatch[bytes]]:
    """The entry 1-0 is in hand, and its acknowledgement on the way over the acking link, while a read blocks."""
    arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", "exclusive": False, "detect_gaps": None}
    arguments |= {"remove_idle_consumers": None, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(**arguments)
    pair = Pair(consumer)
    asking(pair, INFO="run_id:1", XINFO=[listed()], XPENDING=[])
    pair.server.expect("XREADGROUP")
    pair.server.answer(None)
    asking(pair, XINFO=[listed()], XPENDING=[])
    pair.server.expect("XREADGROUP")
    pair.server.answer({"s": [entry("1-0")]})
    batch = consumer.take()
    assert batch is not None
    batch.ack()
    pair.advance(0.1)
    pair.peer("acks").expect("INFO", "server")
    pair.peer("acks").answer("run_id:1")
    pair.peer("acks").expect("XACK", "s", "g", "1-0")
    pair.advance(4.0)
    pair.server.expect("XREADGROUP")
    pair.server.answer(None)
    return consumer, pair, batch


class TestTwoLinks:
    """What is settled over the acking link while the reading link asks what is pending."""

    def test_is_not_taken_for_lost_by_the_audit(self) -> None:
        _, pair, _ = blocked(audit_interval=3.0, claim_idle=None)
        pair.server.expect("XINFO")
        pair.server.answer([listed("1-0")])
        pair.server.expect("XPENDING", "s", "g")
        pair.server.answer([2, "0-5", "1-0", [["c", "2"]]])
        pair.server.expect("XPENDING", "s", "g", "(0-0", "+", 100, "c")
        pair.peer("acks").answer(1)  # after the server had listed it, and before we hear of the list
        pair.server.answer([["1-0", "c", 10, 1]])
        pair.server.expect("XREADGROUP")
        assert not [event for event in pair.events() if isinstance(event, PendingEntriesDeleted | EntriesRecovered)]

    def test_is_not_claimed(self) -> None:
        _, pair, _ = blocked(audit_interval=100.0, claim_idle=6.0, renew=False)
        pair.server.expect("XPENDING", "s", "g", "-", "+", 500)
        pair.server.answer([["1-0", "c", 6009, 1]])
        pair.server.expect("XPENDING", "s", "g", "1-0", "+", 100)
        pair.peer("acks").answer(1)
        pair.server.answer([["1-0", "c", 6010, 1]])
        pair.server.expect("XREADGROUP")
        assert not [event for event in pair.events() if isinstance(event, PendingEntriesDeleted)]

    def test_is_not_renewed(self, server: Server) -> None:
        _, net, batch = holding(server, 1, claim_idle=6.0, renew=True)

        def before(command: list[bytes]) -> None:
            if command[:6] == [b"XPENDING", b"s", b"g", b"1-0", b"1-0", b"500"]:
                server.before = len
                batch.nack(delay=3.0)

        server.before = before
        net.advance(4.0)
        assert pending(server, "streamcore:nacked") == ["1-0"]
        assert not [command for command in sent(server, "XCLAIM") if command[3] == b"c"]


class TestLeaving:
    def test_waits_for_what_is_being_claimed(self, server: Server) -> None:
        deliver(server, "old", 1, 2, idle=100)
        consumers: list[GroupConsumer[bytes]] = []
        settled: list[bool] = []

        def before(command: list[bytes]) -> None:
            if command[0] == b"XCLAIM":
                server.before = len
                consumers[0].leave()
                settled.append(consumers[0].settled)

        server.before = before
        consumers.append(GroupConsumer("s", group="g", consumer="c", exclusive=False))
        Net(server, consumers[0])
        assert [*settled, consumers[0].settled] == [False, True]
        assert {round(server.now - one.at) for one in server.group().pending.values()} == {60}
        assert times(server) == {1: 1, 2: 1}


class TestNames:
    def test_are_taken_in_one_order_by_all(self, server: Server) -> None:
        """Else of two that begin together each may hold one, and both must go."""
        consumer, _ = consume(server, streams=["t", "s"])
        assert [command[3] for command in sent(server, "EVAL")[:2]] == [b"{s}:name:g:c", b"{t}:name:g:c"]
        assert consumer.members[0].membership.streams == [b"t", b"s"]


class TestRedelivery:
    def test_an_entry_whose_group_has_vanished_is_not_blamed_for_the_next_reply(self, server: Server) -> None:
        deliver(server, "c", 1)
        consumer, net = consume(server)

        def before(command: list[bytes]) -> None:
            if command[0] == b"XREADGROUP" and b">" not in command:
                server.do("XGROUP", "DESTROY", "s", "g")

        server.before = before
        take_all(consumer, net)
        assert consumer.members[0].loop.in_flight.single is None


class TestJoining:
    def test_does_not_wait_until_a_backlog_is_handed_over(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        add(server, 4, 9)
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        add(server, 1, 1, "t")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "t", ">")
        consumer, net = consume(server)
        joining = consumer.add_stream("t")
        net.serve()
        assert joining is not None
        assert joining.poll()
        assert consumer.members[0].membership.streams == [b"s", b"t"]
        found = {(batch.key, str(one.id), one.deliveries) for batch in take_all(consumer, net) for one in batch}
        assert (b"t", "1-0", 2) in found, "what is pending for us in it comes when there is room"
        assert len(found) == 10

    def test_nor_until_there_is_room_for_more(self, server: Server) -> None:
        add(server, 1, 20)
        consumer, net = consume(server)
        for stream in ("t", "u", "v"):
            joining = consumer.add_stream(stream)
            net.serve()
            assert joining is not None
            assert joining.poll()

    def test_anew_takes_what_was_given_back_for_what_was_handed_over(self, server: Server) -> None:
        deliver(server, "old", 1, idle=100)
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        add(server, 2, 2, "t")
        server.do("XREADGROUP", "GROUP", "g", "old", "COUNT", 1, "STREAMS", "t", ">")
        server.group("t").pending[StreamId(2)].at -= 100
        consumer, net = consume(server, streams=["s", "t"])  # has claimed both
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1.0)  # the list of what is pending for us waits for room
        consumer.remove_stream("s")
        consumer.add_stream("s")
        net.advance(1.0)
        found = {str(one.id): one.deliveries for batch in take_all(consumer, net) for one in batch}
        assert found == {"1-0": 2, "2-0": 2}
