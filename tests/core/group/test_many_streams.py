"""A member of a group that reads many streams."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from streamcore.engine.together import PAGE
from streamcore.errors import ConsumerFencedError, NoGroupError
from streamcore.events import EntriesClaimed, GroupRecreated, OwnershipLost
from streamcore.group.consumer import GroupConsumer
from streamcore.group.rounds import LONGEST, QUIET
from streamcore.testing.net import Fate, Net
from tests.core.support.calls import Work
from tests.core.support.members import add, consume, events, ids, take_all, taken
from tests.core.support.server import Server

MANY = 200


@pytest.fixture
def server() -> Server:
    server = Server()
    for name in names(MANY):
        server.do("XGROUP", "CREATE", name, "g", "0", "MKSTREAM")
    return server


def names(number: int) -> list[str]:
    return [f"s{at:03}" for at in range(number)]


def member(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """One of so many streams, that has entered."""
    return consume(server, streams=names(MANY), **options)


def seen(server: Server, net: Net, seconds: float, step: float = 1.0) -> Counter[str]:
    """What the server was asked in this time."""
    words: Counter[str] = Counter()
    server.seen.clear()
    for _ in range(round(seconds / step)):
        net.advance(step)
        words.update(command[0].decode() for command in server.seen)
        server.seen.clear()
    return words


class TestEntering:
    def test_the_first_name_is_taken_by_itself_and_the_others_by_the_page(self, server: Server) -> None:
        words: list[bytes] = []
        server.before = lambda command: words.append(command[0])
        member(server)
        words = [word for word in words if word in {b"EVAL", b"XPENDING"}]
        runs = [words[0]]
        lengths = [0]
        for word in words:
            if word != runs[-1]:
                runs.append(word)
                lengths.append(0)
            lengths[-1] += 1
        leases = [length for word, length in zip(runs, lengths, strict=True) if word == b"EVAL"]
        assert leases == [1, PAGE, PAGE, PAGE, MANY - 1 - 3 * PAGE]

    def test_only_where_something_is_pending_for_us_it_is_recovered(self, server: Server) -> None:
        add(server, 1, 1, "s007")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "s007", ">")
        consumer, net = member(server)
        own = [command[1] for command in server.seen if command[0] == b"XPENDING" and command[-1] == b"c"]
        assert set(own) == {b"s007"}
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_one_of_two_with_one_name_ends(self, server: Server) -> None:
        older, net = member(server)
        member(server, block=1)
        net.advance(10)
        with pytest.raises(ConsumerFencedError):
            older.take()


class TestJoining:
    @pytest.mark.parametrize("pending", [False, True])
    def test_only_the_stream_that_joins_is_asked_about(self, server: Server, pending: bool) -> None:
        consumer, net = consume(server, streams=names(MANY)[1:], audit_interval=3600)
        if pending:
            server.do("XADD", "s000", "1-0", "f", "v")
            server.do("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s000", ">")
        server.seen.clear()
        joining = consumer.add_stream("s000")
        assert joining is not None
        net.serve()
        assert joining.poll()
        asked = [command for command in server.seen if command[0] in {b"XINFO", b"XPENDING", b"XCLAIM"}]
        assert {command[2] if command[0] == b"XINFO" else command[1] for command in asked} == {b"s000"}
        assert ids(take_all(consumer, net)) == ["1-0"] * pending


class TestIdle:
    def test_what_it_asks_does_not_grow_with_the_streams(self, server: Server) -> None:
        _, net = member(server, block=1)
        net.advance(20)
        words = seen(server, net, 50)
        assert QUIET * 10 <= words["XINFO"] <= 2 * QUIET * 10
        assert words["EVAL"] == words["XINFO"] / 2
        assert words["XPENDING"] <= QUIET * 10 + MANY

    def test_each_stream_has_its_turn(self, server: Server) -> None:
        _, net = member(server, block=1)
        net.advance(20)
        server.seen.clear()
        found: set[bytes] = set()
        for _ in range(int(LONGEST)):
            net.advance(1)
            found |= {command[2] for command in server.seen if command[0] == b"XINFO"}
            server.seen.clear()
        assert len(found) == MANY

    def test_what_was_delivered_to_us_unseen_on_a_former_connection_is_found_in_time(self, server: Server) -> None:
        server.faults.denied = {"CLIENT"}
        consumer, net = member(server, block=2)
        net.cut("main", Fate.HALF_OPEN)
        add(server, 1, 1, "s150")  # the server gives it to the connection that is gone
        net.advance(15)
        assert ids(take_all(consumer, net)) == ["1-0"]


class TestOthers:
    def test_what_they_have_left_is_taken_over_in_time(self, server: Server) -> None:
        consumer, net = member(server, block=1, claim_idle=10)
        net.advance(25)
        add(server, 1, 1, "s041")
        net.serve()
        taken(consumer, net)
        server.do("XCLAIM", "s041", "g", "other", 0, "1-0")
        events(net)
        net.advance(16)
        assert EntriesClaimed(b"s041", 1) in events(net)

    def test_what_was_given_back_comes_in_time_and_only_its_stream_is_asked(self, server: Server) -> None:
        consumer, net = member(server, block=1)
        net.advance(20)
        add(server, 1, 1, "s042")
        net.serve()
        taken(consumer, net).nack(0.5)
        consumer.flush()
        net.serve()
        server.seen.clear()
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0"]
        asked = {command[1] for command in server.seen if command[0] == b"XPENDING"}
        assert b"s042" in asked
        assert len(asked) <= QUIET + 1

    def test_a_group_that_is_gone_meanwhile_is_left_to_the_read(self, server: Server) -> None:
        _, net = member(server, block=1, claim_idle=10)

        def destroy(command: list[bytes]) -> None:
            if command == [b"XPENDING", b"s042", b"g"]:
                server.before = len
                server.do("XGROUP", "DESTROY", "s042", "g")

        net.advance(25)
        events(net)
        server.before = destroy
        net.advance(40)
        assert events(net)[:1] == [GroupRecreated(b"s042", b"g", "0-0")]


class TestInHand:
    def test_what_is_in_hand_of_one_does_not_stop_the_others(self, server: Server) -> None:
        consumer, net = member(server, max_in_flight=MANY, count=10)
        add(server, 1, 1, "s001")
        net.serve()
        assert len(take_all(consumer, net)) == 1
        for name in names(100):
            add(server, 2, 2, name)
        net.serve()
        assert len(take_all(consumer, net)) == 100
        assert consumer.members[0].loop.pending.in_flight == 101

    def test_no_more_than_allowed(self, server: Server) -> None:
        consumer, net = member(server, max_in_flight=40, count=10)
        for name in names(MANY):
            add(server, 1, 5, name)
        net.serve()
        take_all(consumer, net)
        assert consumer.members[0].loop.pending.in_flight <= 40


class TestMending:
    def test_all_that_are_gone_are_created_again(self, server: Server) -> None:
        consumer, net = member(server)
        for name in names(MANY):
            server.do("XGROUP", "DESTROY", name, "g")
        net.serve()
        assert len([event for event in events(net) if isinstance(event, GroupRecreated)]) == MANY
        add(server, 1, 1, "s199")
        net.serve()
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_or_it_is_the_end(self, server: Server) -> None:
        consumer, net = member(server, create=False)
        server.do("XGROUP", "DESTROY", "s100", "g")
        net.serve()
        with pytest.raises(NoGroupError, match="'s100'"):
            consumer.take()

    def test_one_that_goes_during_an_audit_is_left_to_the_read(self, server: Server) -> None:
        consumer, net = member(server, block=1, audit_interval=1)
        for name in ("s001", "s002"):
            add(server, 1, 1, name)
        net.serve()
        assert len(take_all(consumer, net)) == 2
        server.do("XACK", "s001", "g", "1-0")

        def destroy(command: list[bytes]) -> None:
            if command == [b"XPENDING", b"s001", b"g"]:
                server.before = len
                server.do("XGROUP", "DESTROY", "s002", "g")

        events(net)
        server.before = destroy
        net.advance(3)
        assert [type(event) for event in events(net)] == [OwnershipLost, GroupRecreated]


@pytest.mark.parametrize("gone", ["removed", "deleted"])
def test_a_stream_that_had_more_and_is_read_no_more_keeps_no_read_from_waiting(server: Server, gone: str) -> None:
    """Seed 2013937: reads of the others went round and round."""
    words: Counter[bytes] = Counter()

    def count(command: list[bytes]) -> None:
        words[command[0]] += 1
        assert words[b"XREADGROUP"] < 50

    server.before = count
    add(server, 1, 9, "s000")
    consumer, net = consume(server, streams=names(2), count=10, max_in_flight=4)
    assert not consumer.readers[0].portions.is_through
    if gone == "removed":
        consumer.remove_stream("s000")
    else:
        server.do("DEL", "s000")
    for batch in take_all(consumer, net):
        batch.ack()
    net.advance(0.1)
    assert consumer.members[0].loop.in_flight.blocked


def test_an_audit_of_many_streams_costs_as_many_times_more_as_they_are() -> None:
    """Of 10,000 streams with acknowledgements that were not confirmed yet, the first audit never came to its end."""

    def cost(number: int) -> int:
        server = Server()
        streams = [f"s{at}" for at in range(number)]
        for name in streams:
            server.do("XGROUP", "CREATE", name, "g", "0", "MKSTREAM")
            add(server, 1, 1, name)
        consumer, net = consume(server, streams=streams, count=1, max_in_flight=2 * number, block=1, audit_interval=1)
        pending = consumer.members[0].loop.pending
        for batch in take_all(consumer, net):
            batch.ack()
        pending.collect()
        pending.take()  # and the answer does not come
        net.advance(1)
        with Work() as counted:
            net.advance(1.5)
        assert pending.unconfirmed == number
        return counted.done

    assert cost(600) < 8 * cost(100)
