from __future__ import annotations

from typing import Any

import pytest

from streamcore.engine.engine import EngineOptions
from streamcore.entries import StreamId
from streamcore.errors import ClosedError, InvalidArgument
from streamcore.events import EntriesRecovered, OwnershipLost
from streamcore.group.consumer import GroupConsumer
from streamcore.options import Login
from streamcore.testing.pair import Pair
from streamcore.testing.resp import commands_in, entry
from tests.core.support.scripted_member import (
    EAGER,
    PATIENT,
    READ,
    acking,
    entered,
    events,
    joined,
    keep_up,
    links,
    reply,
    taken,
)
from tests.core.support.streams import NOTHING_PENDING, listed


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"streams": ""}, "stream is empty"),
            ({"streams": ["s", "s"]}, "stream 's' is named twice"),
            ({"streams": {"s": "0"}}, "where a new group begins is told by start="),
            ({"group": ""}, "group is empty"),
            ({"consumer": ""}, "consumer is empty"),
            ({"consumer": None}, "consumer must be str or bytes"),
            ({"start": "now"}, "'now' is not a stream id"),
            ({"start": None}, "None is not a stream id"),
            ({"count": 0}, "count must be at least 1"),
            ({"block": None}, "block=None would ask for entries all the time"),
            ({"block": 60}, "block=60 is longer than the keep-alive"),
            ({"max_in_flight": 0}, "max_in_flight must be at least 1"),
            ({"claim_idle": 0}, "claim_idle must be more than 0 seconds"),
            ({"ack_delay": -1}, "ack_delay must be at least 0 seconds"),
            ({"audit_interval": 0}, "audit_interval must be more than 0 seconds"),
            ({"decode": "utf-9"}, "not a text encoding"),
            ({"consumer": "streamcore:nacked"}, "owns what members give back; choose another name"),
            ({"ack": "maybe"}, "ack must be"),
            ({"on_group_lost": "ignore"}, "on_group_lost must be"),
            ({"detect_gaps": "sometimes"}, "detect_gaps must be"),
            ({"history_only": True, "backlog": False}, "history_only hands over the backlog alone; leave backlog=True"),
            (
                {"dead_letter_stream": "s"},
                "dead_letter_stream is one of the streams that are consumed; name another one",
            ),
            ({"max_deliveries": 0}, "max_deliveries must be at least 1"),
            ({"remove_idle_consumers": 0}, "remove_idle_consumers must be more than 0 seconds"),
        ],
    )
    def test_bad_ones_are_refused(self, options: dict[str, Any], why: str) -> None:
        arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", **options}
        with pytest.raises(InvalidArgument, match=why):
            GroupConsumer(**arguments)

    @pytest.mark.parametrize(("start", "sent"), [("0", "0-0"), ("5-1", "5-1"), (StreamId(5, 1), "5-1"), ("$", "$")])
    def test_a_group_starts_anywhere(self, start: str | StreamId, sent: str) -> None:
        assert GroupConsumer("s", group="g", consumer="c", start=start).members[0].membership.start == sent

    def test_the_connections_have_a_name_of_their_own(self) -> None:
        options: EngineOptions = {"entropy": lambda size: b"\x80" + bytes(size - 1), "login": Login(client_name="shop")}
        pair = Pair(GroupConsumer("s", group="g", consumer="c", **options), greets=False)
        assert pair.server.expect("HELLO", 3, "SETNAME")[-1] == b"shop:8000000000000000"

    def test_entries_are_decoded_as_asked(self) -> None:
        consumer, pair = entered(decode="utf-8")
        pair.server.answer({"s": [entry("1-0", name="größe")]})
        batch: Any = taken(consumer)
        assert (batch.stream, batch[0]["name"]) == ("s", "größe")


class TestReading:
    def test_ready_when_the_group_is_there(self) -> None:
        consumer, pair = joined()
        pair.server.answer("run_id:1")
        assert not consumer.is_ready
        pair.server.answer([listed()], NOTHING_PENDING)
        assert consumer.is_ready

    def test_a_read_that_may_block_is_alone(self) -> None:
        consumer, pair = entered()
        for ids in (["1-0"], ["2-0"]):
            pair.server.expect(*PATIENT)
            pair.server.expect_nothing()
            pair.server.answer(reply(*ids))
            assert taken(consumer).ids == [id_.encode() for id_ in ids]
            pair.settle()

    def test_nothing_in_time_is_asked_again(self) -> None:
        consumer, pair = entered()
        for _ in range(3):
            pair.server.expect(*PATIENT)
            pair.server.answer(None)
            assert consumer.take() is None

    def test_two_reads_are_in_flight_while_replies_come_back_full(self) -> None:
        consumer, pair = entered(prefetch=3)
        pair.server.expect(*PATIENT)
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.expect(*EAGER)
        pair.server.expect(*EAGER)
        pair.server.expect_nothing()
        pair.server.answer(reply("3-0", "4-0"))
        taken(consumer)
        pair.settle()
        pair.server.expect(*EAGER)
        pair.server.answer(reply("5-0"))
        pair.server.expect_nothing()  # the backlog is worked off; one is still in flight
        pair.server.answer(None)
        taken(consumer)
        pair.settle()
        pair.server.expect(*PATIENT)
        pair.server.expect_nothing()

    def test_never_more_than_two_are_in_flight(self) -> None:
        _, pair = entered(prefetch=10)
        pair.server.expect(*PATIENT)
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.expect(*EAGER)
        pair.server.expect(*EAGER)
        pair.server.expect_nothing()

    def test_the_upkeep_has_its_turn_while_there_is_always_more_to_read(self) -> None:
        consumer, pair = entered()
        upkeep: list[bytes] = []
        for number in range(20):
            pair.advance(1)
            pair.server.answer(reply(f"{number}-0", f"{number}-1"))
            taken(consumer)
            pair.settle()
            upkeep += [command[0] for command in pair.server.commands if command[0] != b"XREADGROUP"]
            keep_up(pair.server)
            pair.server.commands.clear()
        assert upkeep == [b"XINFO", b"XPENDING"] * 3

    def test_and_while_the_application_takes_nothing(self) -> None:
        _, pair = entered(prefetch=1)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0"))
        for _ in range(3):
            pair.server.expect_nothing()
            pair.advance(5)
            pair.server.expect("XINFO", "GROUPS", "s")
            pair.server.expect("XPENDING", "s", "g")
            pair.server.answer([listed("1-0")], [1, "1-0", "1-0", [["c", "1"]]])

    def test_several_streams_in_one_read(self) -> None:
        consumer, pair = entered(streams=["s", "t"])
        pair.server.expect(*READ, "BLOCK", 5000, "STREAMS", "s", "t", ">", ">")
        pair.server.answer({"s": [], "t": [entry("1-0")]})
        assert taken(consumer).stream == b"t"
        assert consumer.take() is None

    def test_no_more_reads_than_the_prefetch_allows(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.expect_nothing()
        taken(consumer)
        pair.settle()
        pair.server.expect(*EAGER)
        pair.server.expect_nothing()

    def test_no_more_bytes_than_the_prefetch_allows(self) -> None:
        consumer, pair = entered(prefetch=10, prefetch_bytes=100)
        pair.server.expect("XREADGROUP")
        pair.server.answer({"s": [entry("1-0", f="x" * 100)]})
        pair.server.expect_nothing()
        taken(consumer)
        pair.settle()
        pair.server.expect("XREADGROUP")

    def test_a_batch_can_be_split(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        rest = consumer.split(batch, 1)
        rest.ack()
        consumer.flush()
        pair.settle()
        assert (batch.ids, consumer.members[0].loop.pending.in_flight) == ([b"1-0"], 1)


class TestInFlight:
    def test_bounded_until_something_is_acknowledged(self) -> None:
        consumer, pair = entered(max_in_flight=4, prefetch=10)
        pair.server.expect(*PATIENT)
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.expect(*EAGER)
        pair.server.answer(reply("3-0", "4-0"))
        batches = [taken(consumer), taken(consumer)]
        pair.settle()
        pair.server.expect_nothing()
        batches[0][0].ack()
        pair.settle()
        pair.server.expect_nothing()
        wakeups = pair.wakeups
        batches[1][0].ack()
        assert pair.wakeups == wakeups + 1
        pair.settle()
        pair.server.expect("XACK", "s", "g", "1-0", "3-0")
        pair.server.expect(*EAGER)
        assert links(pair) == ["main"]

    def test_room_made_between_two_takes_is_seen_by_the_second(self) -> None:
        consumer, pair = entered(max_in_flight=2)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        pair.server.expect_nothing()
        batch.ack()
        assert consumer.take() is None
        assert commands_in(pair.server.link.data_to_send()) != []
        pair.settle()
        pair.server.expect("XACK")
        pair.server.expect(*EAGER)

    def test_what_others_have_settled_makes_room_at_the_next_audit(self) -> None:
        consumer, pair = entered(max_in_flight=2)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer)
        pair.advance(4.9)
        pair.server.expect_nothing()
        pair.advance(0.2)
        keep_up(pair.server)  # nothing is pending
        pair.server.expect(*EAGER)
        assert events(pair) == [OwnershipLost(b"s", (b"1-0", b"2-0"))]

    def test_what_we_settle_while_the_server_is_asked_is_no_lost_lease(self) -> None:
        consumer, pair = entered(max_in_flight=3)
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).answer(1)
        pair.server.answer(reply("2-0", "3-0"))
        batch = taken(consumer)
        pair.advance(5)
        pair.server.answer([listed("3-0")], [1, "3-0", "3-0", [["c", "1"]]])
        pair.server.commands.clear()
        batch[0].ack()
        pair.advance(0.05)
        acking(pair).answer(1)
        pair.server.answer([["3-0", "c", 5000, 1]])
        pair.server.answer([])
        assert consumer.members[0].loop.pending.ids(b"s") == {b"3-0"}
        assert events(pair) == []

    def test_and_so_it_does_while_the_backlog_waits_for_room(self) -> None:
        consumer, pair = joined(max_in_flight=1)
        pair.server.answer("run_id:1")
        pair.server.answer([listed("9-0")], [1, "1-0", "1-0", [["c", "1"]]])
        pair.server.answer([["1-0", "c", 0, 0]])
        pair.server.answer([entry("1-0")])
        pair.server.answer([["1-0", "c", 0, 1]])  # still ours
        pair.server.commands.clear()
        taken(consumer)
        pair.advance(5)
        keep_up(pair.server)
        pair.server.expect("XREADGROUP")
        assert events(pair) == [EntriesRecovered(b"s", 1), OwnershipLost(b"s", (b"1-0",))]

    @pytest.mark.parametrize(
        ("limit", "streams", "count"), [(100, 1, 20), (10, 1, 10), (10, 2, 5), (3, 2, 1), (1, 3, 1)]
    )
    def test_the_count_fits_into_it(self, limit: int, streams: int, count: int) -> None:
        _, pair = entered(streams=[str(n) for n in range(streams)], count=20, max_in_flight=limit)
        assert pair.server.expect("XREADGROUP")[5] == str(count).encode()

    def test_more_streams_than_entries_allowed_are_still_read(self) -> None:
        consumer, pair = entered(streams=["s", "t"], max_in_flight=1)
        pair.server.expect("XREADGROUP", "GROUP", "g", "c", "COUNT", 1)
        pair.server.answer({**reply("1-0"), **reply("1-0", stream="t")})
        batches = [taken(consumer), taken(consumer)]
        batches[0].ack()
        pair.settle()
        pair.server.expect_nothing()
        batches[1].ack()
        pair.settle()
        for stream in "st":
            pair.server.expect("XACK", stream, "g", "1-0")
        pair.server.expect("XREADGROUP")


class TestClosing:
    def test_is_final(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        consumer.close()
        pair.settle()
        assert taken(consumer).ids == [b"1-0"]
        with pytest.raises(ClosedError):
            consumer.take()

    def test_late_acknowledgements_open_nothing(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        batch = taken(consumer)
        consumer.close()
        batch.ack()
        consumer.flush()
        pair.advance(60)
        assert (links(pair), consumer.next_timeout(), pair.server.connected) == (["main"], None, False)
        assert not consumer.settled
