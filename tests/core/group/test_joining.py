from __future__ import annotations

import pytest

from streamcore.engine.pending_change import PendingChange
from streamcore.entries import StreamId
from streamcore.errors import ClosedError, InvalidArgument, NoGroupError, WrongTypeError
from streamcore.events import EntriesClaimed, EntriesRecovered, GroupCreated, GroupRecreated
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Fate, Net
from tests.core.support.entropy import entropy
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
    sent,
    take_all,
    taken,
    times,
)
from tests.core.support.server import Server


def stream_of(command: list[bytes]) -> list[bytes]:
    return command[command.index(b"STREAMS") + 1 :]


class TestAdding:
    def test_does_not_wait_for_the_read_that_blocks(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, 1, 3, "t")
        joining = consumer.add_stream("t")
        assert joining is not None
        assert not joining.poll()
        net.advance(0.01)
        assert joining.poll()
        assert consumer.groups == {b"s": b"g", b"t": b"g"}
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        assert events(net)[-1] == GroupCreated(b"t", b"g", "0-0")
        assert [link.name for link in consumer.links()] == ["main", "control"]

    @pytest.mark.parametrize("meanwhile", [b"XPENDING", b"XINFO"])
    def test_no_read_waits_in_the_server_where_one_came_while_others_were_looked_after(
        self, server: Server, meanwhile: bytes
    ) -> None:
        consumer, net = consume(server)
        add(server, 1, 1, "t")

        def add_stream(command: list[bytes]) -> None:
            if command[0] == meanwhile:
                server.before = len
                joinings.append(consumer.add_stream("t"))

        joinings: list[object] = []
        server.before = add_stream
        server.seen.clear()
        net.advance(consumer.members[0].membership.audit_interval + 1)
        assert joinings
        assert consumer.groups == {b"s": b"g", b"t": b"g"}
        assert [link.name for link in consumer.links()] == ["main"], "no read had to be ended"
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_between_two_reads_that_do_not_block(self, server: Server) -> None:
        add(server, 1, 20)
        consumer, net = consume(server)
        taken(consumer, net)
        joining = consumer.add_stream("t")
        assert joining is not None
        taken(consumer, net)
        assert joining.poll()
        assert len(take_all(consumer, net)) == 8

    def test_while_nothing_may_be_read(self, server: Server) -> None:
        consumer, net, _ = holding(server, 2, count=2, max_in_flight=2)
        joining = consumer.add_stream("t")
        assert joining is not None
        net.serve()
        assert joining.poll()
        assert consumer.members[0].loop.in_flight.most_at_once == 2, "never more in one read than may be in flight"

    def test_what_is_pending_for_us_in_it_comes_first(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        consumer, net = consume(server, streams="t")
        consumer.add_stream("s")
        net.advance(0.1)
        add(server, 3, 3)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        assert EntriesRecovered(b"s", 2) in events(net)

    def test_what_others_left_idle_in_it_is_claimed(self, server: Server) -> None:
        deliver(server, "other", 1, idle=100)
        consumer, net = consume(server, streams="t")
        consumer.add_stream("s")
        for _ in range(31):
            net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert EntriesClaimed(b"s", 1) in events(net)

    def test_one_that_is_read_or_joins_already_is_none(self, server: Server) -> None:
        consumer, net = consume(server)
        assert consumer.add_stream(b"s") is None
        assert consumer.add_stream("t") is not None
        assert consumer.add_stream("t") is None
        net.advance(0.1)
        assert consumer.add_stream("t") is None

    def test_one_that_cannot_leaves_no_trace(self, server: Server) -> None:
        consumer, net = consume(server)
        server.do("SET", "t", "x")
        for _ in range(2):
            joining = consumer.add_stream("t")
            assert joining is not None
            net.advance(0.1)
            with pytest.raises(WrongTypeError):
                joining.poll()
        server.seen.clear()
        add(server, 1, 1)
        net.advance(10)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert {tuple(stream_of(command)) for command in sent(server, "XREADGROUP")} == {(b"s", b">")}
        server.do("DEL", "t")
        joining = consumer.add_stream("t")
        assert joining is not None
        net.advance(0.1)
        assert joining.poll()

    def test_one_whose_group_is_missing_where_none_may_be_created(self, server: Server) -> None:
        deliver(server, "c")
        consumer, net = consume(server, create=False)
        joining = consumer.add_stream("t")
        assert joining is not None
        net.advance(0.1)
        with pytest.raises(NoGroupError, match="stream 't' has no group 'g'; create it, or pass create=True"):
            joining.poll()
        assert consumer.take() is None

    def test_one_that_nobody_waits_for_any_more_does_not_join(self, server: Server) -> None:
        consumer, net = consume(server)
        joining = consumer.add_stream("t")
        assert joining is not None
        consumer.give_up(joining)
        net.advance(0.1)
        consumer.give_up(joining)  # again is nothing
        assert (joining.poll(), list(consumer.members[0].membership.streams), b"t" in server.streams) == (
            False,
            [b"s"],
            False,
        )

    def test_given_up_while_it_joins(self, server: Server) -> None:
        consumer, net = consume(server)
        joining = consumer.add_stream("t")
        assert joining is not None
        consumer.on_event = lambda event: consumer.give_up(joining) if isinstance(event, GroupCreated) else None
        net.advance(0.1)
        assert b"t" in server.streams
        assert (joining.poll(), list(consumer.members[0].membership.streams)) == (False, [b"s"])
        assert consumer.add_stream("t") is not None

    def test_given_up_while_it_fails_to_join_and_another_is_wanted(self, server: Server) -> None:
        consumer, net = consume(server)
        server.do("SET", "t", "x")

        def want_another(command: list[bytes]) -> None:
            if command[:2] == [b"XINFO", b"GROUPS"] and command[2] == b"t":
                server.before = len
                assert joining is not None
                consumer.give_up(joining)
                others.append(consumer.add_stream("t"))

        others: list[PendingChange | None] = []
        server.before = want_another
        joining = consumer.add_stream("t")
        net.advance(0.1)
        assert others[0] is not None
        with pytest.raises(WrongTypeError):
            others[0].poll()

    @pytest.mark.parametrize("fate", Fate)
    @pytest.mark.parametrize("after", range(6))
    def test_over_a_connection_that_breaks(self, server: Server, fate: Fate, after: int) -> None:
        add(server, 1, 2, "t")
        consumer, net = consume(server)
        joining = consumer.add_stream("t")
        assert joining is not None
        net.cut("main", fate, after=after)
        net.advance(1)
        assert joining.poll()
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]

    def test_while_the_server_cannot_serve(self, server: Server) -> None:
        consumer, net = consume(server)

        def load(command: list[bytes]) -> None:
            if command[:3] == [b"XINFO", b"GROUPS", b"t"]:
                server.faults.unavailable = "LOADING the dataset is in memory soon"

        server.before = load
        joining = consumer.add_stream("t")
        assert joining is not None
        net.advance(3)
        joined = [joining.poll()]
        server.before, server.faults.unavailable = len, None
        net.advance(6)
        assert [*joined, joining.poll()] == [False, True]

    def test_refuses_what_is_no_name_and_a_consumer_that_is_closed(self, server: Server) -> None:
        consumer, _ = consume(server)
        with pytest.raises(InvalidArgument, match="stream is empty"):
            consumer.add_stream("")
        consumer.close()
        for call in (consumer.add_stream, consumer.remove_stream):
            with pytest.raises(ClosedError):
                call("t")


class TestRemoving:
    def test_does_not_wait_for_the_read_that_blocks(self, server: Server) -> None:
        consumer, net = consume(server, streams=["s", "t"])
        assert consumer.remove_stream("t")
        net.advance(0.01)
        add(server, 1, 1, "t")
        add(server, 1, 1, "s")
        net.serve()
        assert [batch.stream for batch in take_all(consumer, net)] == [b"s"]
        assert pending(server, "c", "t") == []

    def test_one_that_is_not_read_is_false(self, server: Server) -> None:
        consumer, _ = consume(server)
        assert not consumer.remove_stream("t")

    def test_what_was_read_ahead_of_it_is_given_back(self, server: Server) -> None:
        add(server, 1, 8)
        add(server, 1, 1, "t")
        consumer, net = consume(server, streams=["t", "s"], prefetch=10)
        assert taken(consumer, net).stream == b"t"
        assert consumer.remove_stream("s")
        net.advance(0.1)
        assert times(server) == dict.fromkeys(range(1, 9), 0), "none was handed over"
        assert {round(idle_for(server, one)) for one in server.group().pending.values()} == {60}
        assert (take_all(consumer, net), consumer.members[0].loop.pending.in_flight) == ([], 1)

    def test_and_what_waits_to_be_handed_over_again(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        consumer, net = consume(server, streams=["s", "t"])
        assert len(consumer.members[0].loop.redelivery_queue) == 2
        consumer.remove_stream("s")
        net.advance(6)
        assert (take_all(consumer, net), times(server)) == ([], {1: 1, 2: 1, 3: 1})
        assert (consumer.settled, len(consumer.members[0].loop.redelivery_queue)) == (True, 0)

    @pytest.mark.parametrize("owner", ["c", "other"])
    @pytest.mark.parametrize("times_before", [0, 1])
    def test_what_is_recovered_or_claimed_of_it_at_that_moment(
        self, server: Server, owner: str, times_before: int
    ) -> None:
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        deliver(server, owner, 1, idle=100)
        delivery(server, 1).times = times_before
        consumer: GroupConsumer[bytes] = GroupConsumer(["t", "s"], group="g", consumer="c", entropy=entropy)

        def remove(command: list[bytes]) -> None:
            if command[0] == b"XCLAIM" or (command[:2] == [b"XPENDING", b"s"] and len(command) > 3):
                consumer.remove_stream("s")

        server.before = remove
        net = Net(server, consumer)
        net.advance(1)
        assert (take_all(consumer, net), times(server), consumer.settled) == ([], {1: times_before}, True)
        assert list(consumer.members[0].membership.streams) == [b"t"]

    def test_while_the_backlog_of_another_one_is_recovered(self, server: Server) -> None:
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        add(server, 1, 1, "t")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "t", ">")
        deliver(server, "c", 1, 2, 3)
        consumer, net = consume(server, streams=["s", "t"])
        consumer.remove_stream("t")
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        assert server.group("t").pending[StreamId(1)].times == 1

    def test_what_arrives_of_it_later_too(self, server: Server) -> None:
        """The read was in flight."""
        add(server, 1, 1, "t")
        consumer, net = consume(server, streams=["s", "t"])
        taken(consumer, net)
        add(server, 1, 1)
        consumer.remove_stream("s")
        net.advance(0.1)
        assert (take_all(consumer, net), times(server)) == ([], {1: 0})

    def test_what_is_in_hand_can_still_be_settled(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, streams=["s", "t"])
        consumer.remove_stream("s")
        batch.ack()
        net.advance(0.1)
        assert (pending(server, "c"), consumer.settled) == ([], True)

    def test_the_last_one_and_another_later(self, server: Server) -> None:
        consumer, net = consume(server)
        sent(server, "XREADGROUP")
        consumer.remove_stream("s")
        for _ in range(20):
            net.advance(1)
        assert sent(server, "XREADGROUP") == []
        add(server, 1, 1, "t")
        consumer.add_stream("t")
        net.advance(0.1)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_removed_and_added_again_its_backlog_is_that_of_this_run(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, streams=["s", "t"])
        consumer.remove_stream("s")
        net.advance(0.1)
        consumer.add_stream("s")
        net.advance(0.1)
        assert take_all(consumer, net) == [], "they are in hand"
        batch.ack()
        net.advance(0.1)
        assert pending(server, "c") == []

    def test_its_group_is_no_loss_when_it_comes_back(self, server: Server) -> None:
        consumer, net = consume(server, streams=["s", "t"])
        consumer.remove_stream("s")
        net.advance(0.1)
        server.do("DEL", "s")
        consumer.add_stream("s")
        net.advance(0.1)
        assert GroupRecreated not in {type(event) for event in events(net)}


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
        assert list(consumer.members[0].membership.streams) == [b"s", b"t"]
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
        server.group("t").pending[StreamId(2)].at -= 100_000
        consumer, net = consume(server, streams=["s", "t"])  # has claimed both
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1.0)  # the list of what is pending for us waits for room
        consumer.remove_stream("s")
        consumer.add_stream("s")
        net.advance(1.0)
        found = {str(one.id): one.deliveries for batch in take_all(consumer, net) for one in batch}
        assert found == {"1-0": 2, "2-0": 2}


def test_a_stream_may_be_removed_before_there_is_a_connection() -> None:
    consumer: GroupConsumer[bytes] = GroupConsumer(["s", "t"], group="g", consumer="c")
    assert consumer.remove_stream("t")
    assert consumer.groups == {b"s": b"g"}
