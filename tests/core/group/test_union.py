from __future__ import annotations

from typing import Any

import pytest

from streamcore.consumer.consumer import Consumer
from streamcore.entries import GroupBatch
from streamcore.errors import ClosedError, InvalidArgument, WrongTypeError
from streamcore.events import AcksUnconfirmed, Connected, Disconnected, EntriesRecovered, GroupCreated
from streamcore.group.consumer import GroupConsumer, by_group
from streamcore.testing.net import Fate, Net
from tests.core.support.members import idle_for
from tests.core.support.server import Server

GROUPS: dict[str, Any] = {"orders": "billing", "clicks": "stats", "returns": "billing"}


def consume(server: Server, groups: Any = GROUPS, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    arguments: dict[str, Any] = {"consumer": "c", "count": 2, "renew": False, "exclusive": False, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(groups, **arguments)
    return consumer, Net(server, consumer)


def add(server: Server, stream: str, *numbers: int) -> None:
    for number in numbers:
        server.add(stream, f"{number}-0")


def take(consumer: GroupConsumer[bytes], net: Net) -> list[tuple[str, list[int]]]:
    """Whatever can be had, acknowledged."""
    taken: list[tuple[str, list[int]]] = []
    while (batch := consumer.take()) is not None:
        taken.append((batch.stream.decode(), numbers(batch)))
        batch.ack()
        net.serve()
    return taken


def numbers(batch: GroupBatch[bytes] | None) -> list[int]:
    assert batch is not None
    return [entry.id.ms for entry in batch]


def pending(server: Server) -> dict[str, int]:
    return {stream: len(server.group(stream, group).pending) for stream, group in GROUPS.items()}


class TestReading:
    def test_each_stream_comes_through_its_own_group(self, server: Server) -> None:
        for stream in GROUPS:
            add(server, stream, 1, 2, 3)
        consumer, net = consume(server)
        taken = take(consumer, net)
        assert sorted(taken) == [(stream, ids) for stream in sorted(GROUPS) for ids in ([1, 2], [3])]
        net.advance(1)
        assert pending(server) == dict.fromkeys(GROUPS, 0)

    def test_streams_of_one_group_share_a_read(self, server: Server) -> None:
        consumer, _ = consume(server)
        reads = [command for command in server.seen if command[0] == b"XREADGROUP" and b"BLOCK" in command]
        assert sorted(read[2] for read in reads) == [b"billing", b"stats"]
        assert [read[-4:] for read in reads if read[2] == b"billing"] == [[b"orders", b"returns", b">", b">"]]
        assert consumer.groups == {b"orders": b"billing", b"returns": b"billing", b"clicks": b"stats"}

    def test_the_groups_come_in_turn_however_much_one_of_them_has(self, server: Server) -> None:
        consumer, net = consume(server, prefetch=50)
        add(server, "orders", *range(1, 41))
        net.serve()
        add(server, "clicks", 1, 2, 3, 4)
        net.serve()
        taken = take(consumer, net)
        assert sorted(stream for stream, _ in taken[:4]) == ["clicks"] * 2 + ["orders"] * 2
        assert sum(len(ids) for _, ids in taken) == 44

    def test_an_entry_that_comes_again_has_its_turn_beside_a_group_with_more_and_more(self, server: Server) -> None:
        consumer, net = consume(server, prefetch=50)
        add(server, "clicks", 1)
        net.serve()
        again = consumer.take()
        assert again is not None
        again[0].nack()
        add(server, "orders", *range(1, 41))
        net.advance(6)
        taken = [stream for stream, _ in take(consumer, net)]
        assert "clicks" in taken[:-5]

    def test_a_batch_that_was_put_back_comes_in_its_turn(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, "orders", 1)
        net.serve()
        batch = consumer.take()
        assert batch is not None
        net.advance(1)
        assert (consumer.take(), consumer.take(), consumer.has_batch) == (None, None, False)
        consumer.put_back(batch)
        assert consumer.has_batch
        assert take(consumer, net) == [("orders", [1])]

    def test_it_is_ready_when_all_groups_are_entered(self, server: Server) -> None:
        server.do("SET", "clicks", "x")
        consumer, _ = consume(server)
        assert not consumer.is_ready
        assert consume(Server())[0].is_ready

    def test_a_pause_holds_back_all_of_them(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, "orders", 1)
        net.serve()
        assert consumer.has_batch
        consumer.pause()
        assert (consumer.has_batch, consumer.take()) == (False, None)
        consumer.resume()
        assert take(consumer, net) == [("orders", [1])]

    def test_decoded(self, server: Server) -> None:
        add(server, "orders", 1)
        consumer = GroupConsumer({b"orders": "billing", b"clicks": "stats"}, consumer="c", decode="utf-8")
        Net(server, consumer)
        batch = consumer.take()
        assert batch is not None
        assert batch.stream == "orders"

    def test_what_an_earlier_run_has_left_is_handed_over_by_each_group(self, server: Server) -> None:
        for stream, group in GROUPS.items():
            server.do("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
            add(server, stream, 1)
            server.do("XREADGROUP", "GROUP", group, "c", "COUNT", 1, "STREAMS", stream, ">")
        consumer, net = consume(server, history_only=True)
        ended: list[bool] = []
        seen: list[str] = []
        for _ in range(8):
            ended.append(consumer.ended)
            if (batch := consumer.take()) is not None:
                seen.append(batch.stream.decode())
                batch.ack()
            net.serve()
        assert sorted(seen) == sorted(GROUPS)
        assert (ended[0], ended[-1]) == (False, True)


class TestBatches:
    def test_are_split_and_put_back_where_they_belong(self, server: Server) -> None:
        add(server, "orders", 1, 2)
        consumer, net = consume(server, prefetch=1)
        batch = consumer.take()
        assert batch is not None
        rest = consumer.split(batch, 1)
        batch.ack()
        consumer.put_back(rest)
        assert numbers(consumer.take()) == [2]
        net.advance(1)
        assert pending(server)["orders"] == 1

    def test_acknowledgements_are_flushed_and_settled_together(self, server: Server) -> None:
        consumer, net = consume(server, ack_delay=100)
        for stream in GROUPS:
            add(server, stream, 1)
        net.serve()
        batches = [batch for _ in GROUPS if (batch := consumer.take()) is not None]
        for batch in batches:
            batch.ack()
        before = consumer.settled
        consumer.flush()
        net.serve()
        assert (before, consumer.settled) == (False, True)
        assert pending(server) == dict.fromkeys(GROUPS, 0)


class TestTheEnd:
    def test_leaving_gives_back_what_nobody_has_seen_in_every_group(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, "orders", 1, 2)
        add(server, "clicks", 1, 2)
        net.serve()
        begun = consumer.take()
        assert begun is not None
        begun[0].ack()
        consumer.leave(begun, 1)
        net.advance(1)
        assert consumer.settled
        idle = [
            round(idle_for(server, one)) >= 50
            for stream in ("orders", "clicks")
            for one in server.group(stream, GROUPS[stream]).pending.values()
        ]
        assert idle == [True] * 3
        consumer.close()
        assert consumer.next_timeout() is None

    def test_what_nobody_has_confirmed_is_told_for_each_group(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, "orders", 1, 2)
        add(server, "clicks", 1)
        net.serve()
        batches = [batch for _ in GROUPS if (batch := consumer.take()) is not None]
        net.pair.dials = False
        for link in consumer.links():
            net.cut(link.name, Fate.REQUESTS_LOST)
        for batch in batches:
            batch.ack()
        consumer.leave()
        consumer.give_up_settling()
        told = [event.entries for event in net.pair.events() if isinstance(event, AcksUnconfirmed)]
        assert sorted(told) == [1, 2]

    def test_leaving_with_nothing_in_hand(self, server: Server) -> None:
        consumer, net = consume(server)
        consumer.leave()
        net.advance(1)
        assert consumer.settled

    def test_draining_ends_when_all_is_handed_over(self, server: Server) -> None:
        add(server, "orders", 1, 2, 3, 4)
        add(server, "clicks", 1)
        consumer, net = consume(server, prefetch=1)
        consumer.drain()
        net.advance(1)
        assert not consumer.ended
        assert sorted(take(consumer, net)) == [("clicks", [1]), ("orders", [1, 2])]
        assert consumer.ended

    def test_closing_it_closes_every_link(self, server: Server) -> None:
        consumer, net = consume(server)
        woken = net.pair.wakeups
        consumer.close()
        net.serve()
        assert not [link for link in consumer.links() if link.wants_connection]
        assert net.pair.wakeups > woken
        with pytest.raises(ClosedError, match="this GroupConsumer is closed"):
            consumer.take()
        consumer.close()

    def test_the_error_of_one_is_the_end_of_all(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, "orders", 1)
        net.serve()
        server.do("SET", "clicks", "x")
        net.advance(6)
        assert not [link for link in consumer.links() if link.wants_connection]
        assert numbers(consumer.take()) == [1], "what has arrived is handed over first"
        for _ in range(2):
            with pytest.raises(WrongTypeError, match="WRONGTYPE"):
                consumer.take()


class TestEvents:
    def test_come_in_their_order_whoever_told_them(self, server: Server) -> None:
        consumer = GroupConsumer({"orders": "billing", "clicks": "stats"}, consumer="c", exclusive=False)
        heard: list[Any] = []
        consumer.on_event = heard.append
        net = Net(server, consumer)
        told = net.pair.events()
        assert told == heard
        assert [event.link for event in told if isinstance(event, Connected)] == ["main of billing", "main of stats"]
        assert {event.stream for event in told if isinstance(event, GroupCreated)} == {b"orders", b"clicks"}
        assert consumer.next_event() is None

    def test_in_place_come_behind_the_batches_of_their_own_group(self, server: Server) -> None:
        add(server, "orders", 1, 2)
        consumer, net = consume(server, prefetch=1)
        while consumer.next_event_in_place() is not None:
            pass
        add(server, "orders", 3, 4)
        net.cut("main of billing", Fate.HALF_OPEN)
        server.do("XREADGROUP", "GROUP", "billing", "c", "COUNT", 1, "STREAMS", "orders", ">")
        before = (consumer.has_event_in_place, consumer.next_event_in_place())
        assert numbers(consumer.take()) == [1, 2]
        assert (before, consumer.has_event_in_place) == ((False, None), True)
        net.advance(1)
        kinds = []
        while consumer.has_event_in_place:
            kinds.append(type(consumer.next_event_in_place()))
        assert EntriesRecovered in kinds
        assert numbers(consumer.take()) == [3]

    def test_that_are_due_come_in_their_order_whatever_their_groups(self, server: Server) -> None:
        consumer, net = consume(server)
        told = net.pair.events()
        assert len({event.group for event in told if isinstance(event, GroupCreated)}) == 2
        in_place = []
        while consumer.has_event_in_place:
            in_place.append(consumer.next_event_in_place())
        assert in_place == told
        assert consumer.next_event_in_place() is None

    def test_wait_for_no_batch_of_another_group(self, server: Server) -> None:
        consumer, net = consume(server)
        while consumer.next_event_in_place() is not None:
            pass
        add(server, "orders", 1)
        net.serve()
        net.cut("main of billing", Fate.REQUESTS_LOST)
        net.cut("main of stats", Fate.REQUESTS_LOST)
        first, second = consumer.next_event_in_place(), consumer.next_event_in_place()
        assert isinstance(first, Disconnected)
        assert (first.link, second) == ("main of stats", None)
        assert numbers(consumer.take()) == [1]
        second = consumer.next_event_in_place()
        assert isinstance(second, Disconnected)
        assert second.link == "main of billing"


class TestStreams:
    def test_one_more_through_a_group_that_is_there(self, server: Server) -> None:
        consumer, net = consume(server)
        joining = consumer.add_stream("refunds", "stats")
        net.advance(1)
        assert joining is not None
        assert joining.poll()
        assert consumer.add_stream("refunds", "stats") is None
        add(server, "refunds", 1)
        net.serve()
        assert take(consumer, net) == [("refunds", [1])]
        assert consumer.groups[b"refunds"] == b"stats"

    def test_one_that_nobody_waits_for_any_more_does_not_join(self, server: Server) -> None:
        consumer, net = consume(server)
        joining = consumer.add_stream("refunds", "stats")
        assert joining is not None
        consumer.give_up(joining)
        net.advance(1)
        assert b"refunds" not in consumer.groups

    @pytest.mark.parametrize(("stream", "group"), [("refunds", "unknown"), ("clicks", "billing")])
    def test_not_through_a_group_that_is_not_there_or_another_one_than_before(
        self, server: Server, stream: str, group: str
    ) -> None:
        consumer, _ = consume(server)
        with pytest.raises(InvalidArgument, match=f"'{stream}' cannot be read through group '{group}'"):
            consumer.add_stream(stream, group)

    def test_of_several_groups_the_one_to_use_is_named(self, server: Server) -> None:
        consumer, _ = consume(server)
        with pytest.raises(InvalidArgument, match="group is missing; name the one of our groups"):
            consumer.add_stream("refunds")

    def test_where_there_is_one_group_it_need_not_be_named(self, server: Server) -> None:
        consumer, net = consume(server, {"orders": "billing"})
        consumer.add_stream("refunds")
        consumer.add_stream("returns", "billing")
        net.advance(1)
        assert consumer.groups == dict.fromkeys((b"orders", b"refunds", b"returns"), b"billing")

    def test_one_less(self, server: Server) -> None:
        consumer, net = consume(server)
        assert consumer.remove_stream("clicks")
        assert not consumer.remove_stream("clicks")
        assert not consumer.remove_stream("unknown")
        net.advance(1)
        add(server, "clicks", 1)
        add(server, "returns", 1)
        net.serve()
        assert take(consumer, net) == [("returns", [1])]


def test_the_streams_of_each_group_are_listed_in_their_order() -> None:
    assert by_group(GROUPS, None) == {b"billing": [b"orders", b"returns"], b"stats": [b"clicks"]}


def test_an_option_that_does_not_exist_is_refused() -> None:
    options: dict[str, Any] = {"patience": 5}
    with pytest.raises(TypeError, match="unexpected keyword argument 'patience'"):
        GroupConsumer("s", group="g", consumer="c", **options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'patience'"):
        Consumer("s", **options)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "no stream was given"),
        ({"s": ""}, "group is empty"),
        ({"s": None}, "group must be str or bytes"),
    ],
)
def test_what_makes_no_sense_is_refused(groups: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        GroupConsumer(groups, consumer="c")


def test_one_group_has_a_member_and_several_have_one_each() -> None:
    one = GroupConsumer("s", group="g", consumer="c")
    several = GroupConsumer({"s": "g", "t": "h", "u": "g"}, consumer="c", ack="auto")
    assert (one.groups, several.groups) == ({b"s": b"g"}, {b"s": b"g", b"u": b"g", b"t": b"h"})
    assert (one.settles_itself, several.settles_itself) == (False, True)
    assert [link.name for link in one.links()] == ["main"]
    assert [link.name for link in several.links()] == ["main of g", "main of h"]
    assert [link.name for link in GroupConsumer({"s": "g"}, consumer="c").links()] == ["main"]


def test_the_group_is_named_in_one_place() -> None:
    with pytest.raises(InvalidArgument, match="group is missing; name it, or pass a mapping"):
        GroupConsumer(["s", "t"], consumer="c")
    with pytest.raises(InvalidArgument, match="group is named twice"):
        GroupConsumer({"s": "g"}, group="h", consumer="c")


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
    given_back = [id_[0] for id_, one in server.group().pending.items() if idle_for(server, one) >= 50]
    assert given_back == [2, 3]
