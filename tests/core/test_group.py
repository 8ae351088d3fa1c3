from __future__ import annotations

from math import inf
from typing import Any

import pytest

from streamcore.engine.engine import EngineOptions
from streamcore.entries import GroupBatch, StreamId
from streamcore.errors import (
    ClosedError,
    InvalidArgument,
    LoadingError,
    NoGroupError,
    NoPermissionError,
    ReadOnlyError,
    ReplyError,
    UnblockedError,
)
from streamcore.events import (
    AckMissed,
    Connected,
    CountReduced,
    Disconnected,
    EntriesRecovered,
    Event,
    GroupRecreated,
    OwnershipLost,
    Reconnected,
)
from streamcore.group.consumer import GroupConsumer
from streamcore.options import Login, Options
from streamcore.scripts.group import RELEASE
from tests.core.pair import Pair, Peer, Simple, commands_in, entry
from tests.core.streams import NOTHING_PENDING, info, listed

NOGROUP = NoGroupError("NOGROUP", "No such key 's' or consumer group 'g' in XREADGROUP with GROUP option")
UNBLOCKED = UnblockedError("UNBLOCKED", "the stream key no longer exists")
READONLY = ReadOnlyError("READONLY", "You can't write against a read only replica.")
READ = ("XREADGROUP", "GROUP", "g", "c", "COUNT", 2)
PATIENT = (*READ, "BLOCK", 5000, "STREAMS", "s", ">")
EAGER = (*READ, "STREAMS", "s", ">")
CONNECTED = (Connected, Reconnected, Disconnected)


def keep_up(peer: Peer) -> None:
    """Answer the upkeep: the group is there, nothing is pending, nobody is idle."""
    while peer.commands:
        match peer.commands[0]:
            case [b"INFO", *_]:
                reply: Any = "# Server\r\nrun_id:1\r\n"
            case [b"CLIENT", b"LIST", *_]:
                reply = ""
            case [b"XINFO", b"GROUPS", _]:
                reply = [listed()]
            case [b"XINFO", b"CONSUMERS", *_] | [b"XPENDING", _, _, _, *_]:
                reply = []
            case [b"XPENDING", _, _]:
                reply = [0, None, None, None]
            case _:
                return
        peer.commands.popleft()
        peer.answer(reply)


def joined(**options: Any) -> tuple[GroupConsumer[bytes], Pair]:
    """A consumer of ``s`` (COUNT 2) that has just connected, and asks for nothing that the tests here are not about."""
    plain = {"streams": "s", "group": "g", "consumer": "c", "count": 2, "exclusive": False, "detect_gaps": None}
    consumer: GroupConsumer[bytes] = GroupConsumer(**{**plain, **options})
    return consumer, Pair(consumer)


def entered(**options: Any) -> tuple[GroupConsumer[bytes], Pair]:
    """The same, and its first read has found nothing; it has looked after everything, and sent the next one."""
    consumer, pair = joined(**options)
    settle_in(pair.server)
    return consumer, pair


def settle_in(peer: Peer) -> None:
    """Answer what comes before the first read of a connection, that read, and what comes behind it."""
    keep_up(peer)
    peer.expect("XREADGROUP")
    peer.answer(None)
    keep_up(peer)


def dialled(pair: Pair) -> None:
    """The lost connection is dialled again, and has sent its first read."""
    pair.advance(0.05)
    keep_up(pair.server)


def reconnected(pair: Pair) -> None:
    """The same, and it has settled in."""
    pair.advance(0.05)
    settle_in(pair.server)


def reply(*ids: str, stream: str = "s") -> dict[str, Any]:
    return {stream: [entry(id_) for id_ in ids]}


def taken(consumer: GroupConsumer[bytes]) -> GroupBatch[bytes]:
    batch = consumer.take()
    assert batch is not None
    return batch


def events(pair: Pair) -> list[Event]:
    """What happened, beside coming and going."""
    return [event for event in pair.events() if not isinstance(event, CONNECTED)]


def acking(pair: Pair) -> Peer:
    """The server's end of the acking link, which asks first whether it is the server of the reading link."""
    peer = pair.peer("acks")
    keep_up(peer)
    return peer


def links(pair: Pair) -> list[str]:
    return [link.name for link in pair.engine.links()]


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


class TestAcknowledging:
    def test_rides_in_front_of_the_next_read(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        for item in taken(consumer):
            item.ack()
        pair.server.expect_nothing()
        assert consumer.take() is None
        pair.settle()
        pair.server.expect(*EAGER)
        pair.server.answer(reply("3-0"))
        taken(consumer)
        pair.settle()
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect(*PATIENT)
        pair.server.answer(2)
        assert consumer.settled
        assert events(pair) == []

    def test_goes_over_a_link_of_its_own_where_a_read_blocks(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.answer(None)
        pair.server.answer(None)
        taken(consumer).ack()
        pair.advance(0.049)
        assert links(pair) == ["main"]
        pair.advance(0.001)
        assert links(pair) == ["main", "acks"]
        acking(pair).expect("XACK", "s", "g", "1-0", "2-0")
        acking(pair).answer(2)
        assert consumer.settled
        assert consumer.next_timeout() != consumer.now

    def test_that_link_is_used_again(self) -> None:
        consumer, pair = entered()
        for n in (1, 2, 3):
            pair.server.answer(reply(f"{n}-0"))
            taken(consumer).ack()
            pair.advance(0.05)
            acking(pair).expect("XACK", "s", "g", f"{n}-0")
            acking(pair).answer(1)
            assert consumer.settled
        assert acking(pair).dials == 1

    def test_what_is_acknowledged_meanwhile_follows(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        pair.server.answer(reply("2-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).expect("XACK", "s", "g", "1-0")
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).expect_nothing()
        acking(pair).answer(1)
        acking(pair).expect("XACK", "s", "g", "2-0")

    def test_goes_over_the_reading_link_where_that_is_idle(self) -> None:
        consumer, pair = entered(max_in_flight=2)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer)[0].ack()
        pair.advance(0.05)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.expect_nothing()
        pair.server.answer(1)
        assert consumer.settled
        assert links(pair) == ["main"]

    def test_an_audit_that_is_due_waits_for_its_confirmation(self) -> None:
        consumer, pair = entered(max_in_flight=2, audit_interval=1)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer)[0].ack()
        pair.advance(0.05)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.advance(2)  # and nobody turns in circles meanwhile
        pair.server.expect_nothing()
        pair.server.answer(1)
        pair.server.expect("XINFO", "GROUPS", "s")

    def test_a_read_that_does_not_block_is_waited_for(self) -> None:
        consumer, pair = entered(prefetch=3, max_in_flight=6)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        pair.server.commands.clear()
        batch[0].ack()
        pair.advance(0.1)
        pair.server.expect_nothing()
        assert links(pair) == ["main"]
        pair.server.answer(reply("3-0", "4-0"))
        pair.server.answer(reply("5-0", "6-0"))
        pair.server.expect("XACK", "s", "g", "1-0")

    def test_within_the_delay_also_while_others_ride(self) -> None:
        """The timer is not set anew for each of them: it ticks twice within the delay."""
        consumer, pair = entered(ack_delay=1.0, prefetch=1)
        pair.server.answer(reply("1-0", "2-0"))
        first = taken(consumer)
        pair.settle()
        first[0].ack()
        pair.server.answer(reply("3-0"))
        pair.advance(0.4)
        second = taken(consumer)
        pair.settle()
        pair.server.answer(1)
        assert (consumer.settled, links(pair)) == (True, ["main"])
        pair.advance(0.05)
        second.ack()
        pair.advance(0.5)
        assert links(pair) == ["main"]
        pair.advance(0.06)
        acking(pair).expect("XACK", "s", "g", "3-0")

    def test_the_timer_rests_when_everything_rode(self) -> None:
        consumer, pair = entered(prefetch=1, renew=False)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        batch.ack()
        pair.server.answer(reply("3-0"))
        taken(consumer)
        pair.settle()
        pair.server.answer(2)
        pair.advance(0.05)
        assert consumer.members[0].timer() == inf
        assert links(pair) == ["main"]

    def test_without_a_delay(self) -> None:
        consumer, pair = entered(ack_delay=0)
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.settle()
        acking(pair).expect("XACK", "s", "g", "1-0")

    def test_wakes_the_driver_once_however_many_there_are(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        wakeups = pair.wakeups
        for item in taken(consumer):
            item.ack()
        assert pair.wakeups == wakeups + 1

    def test_fewer_than_named_were_pending(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer).ack()
        consumer.flush()
        pair.settle()
        pair.server.answer(None)
        pair.server.answer(None)
        pair.settle()
        pair.server.answer(1)
        assert events(pair) == [AckMissed(b"s", 1)]

    @pytest.mark.parametrize("link", ["main", "acks"])
    def test_a_refusal_ends_it_and_names_the_command(self, link: str) -> None:
        consumer, pair = entered(max_in_flight=2 if link == "main" else 100)
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        keep_up(pair.peer(link))
        pair.peer(link).answer(NoPermissionError("NOPERM", "this user has no permissions"))
        with pytest.raises(NoPermissionError, match="in reply to XACK"):
            consumer.take()


class TestFlushing:
    def test_does_not_wait_for_the_delay(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        consumer.flush()
        pair.settle()
        acking(pair).expect("XACK", "s", "g", "1-0")
        assert not consumer.settled
        acking(pair).answer(1)
        assert consumer.settled

    @pytest.mark.parametrize("swept_by", ["flush", "audit"])
    def test_an_acknowledgement_that_was_interrupted_before_it_was_noted(self, swept_by: str) -> None:
        """Ctrl-C in ``ack`` between the two."""
        consumer, pair = entered(max_in_flight=4)
        pair.server.answer(reply("1-0"))
        batch = taken(consumer)
        batch.acks.append(b"1-0")
        assert not consumer.members[0].loop.pending.noted
        pair.advance(5)
        if swept_by == "flush":
            consumer.flush()
            pair.settle()
            acking(pair).expect("XACK", "s", "g", "1-0")
        else:
            pair.server.commands.clear()
            pair.server.answer(None)
            pair.server.expect("XINFO")
            pair.server.expect("XPENDING")
            pair.server.answer([listed("1-0")], [1, "1-0", "1-0", [["c", "1"]]])
            pair.server.expect("XACK", "s", "g", "1-0")

    def test_nothing_to_send_is_settled_and_leaves_nothing_behind(self) -> None:
        consumer, pair = entered(renew=False)
        pair.server.answer(reply("1-0"))
        batch = taken(consumer)
        consumer.flush()
        pair.settle()
        assert (consumer.settled, links(pair), consumer.members[0].timer()) == (True, ["main"], inf)
        batch.ack()
        pair.settle()
        assert links(pair) == ["main"]  # the delay is in force again
        pair.advance(0.05)
        acking(pair).expect("XACK")

    def test_nothing_to_send_over_an_idle_link(self) -> None:
        consumer, pair = entered(max_in_flight=2)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        taken(consumer)
        consumer.flush()
        assert consumer.take() is None  # the story goes on before the timer was told
        pair.advance(0.05)
        pair.server.expect_nothing()
        assert consumer.members[0].timer() == consumer.members[0].loop.rounds.at

    def test_leaving_stops_reading(self) -> None:
        consumer, pair = entered()
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        pair.server.commands.clear()
        batch.ack()
        consumer.leave()
        pair.settle()
        pair.server.expect_nothing()
        pair.server.answer(reply("3-0", "4-0"))
        pair.server.answer(None)
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect_nothing()
        pair.server.answer(2)
        settled = [consumer.settled]
        pair.server.expect("EVAL", RELEASE, 1, "s", "g", "c", "c", 60_000, 0, "3-0", "4-0")
        pair.server.answer(2)
        assert [*settled, consumer.settled] == [False, True]
        pair.advance(9)
        pair.server.expect_nothing()

    def test_leaving_while_a_read_blocks(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        consumer.leave()
        pair.settle()
        acking(pair).expect("XACK")
        acking(pair).answer(1)
        assert consumer.settled

    def test_leaving_while_disconnected(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.server.close()
        batch.ack()
        consumer.leave()
        pair.settle()
        assert links(pair) == ["main"]
        pair.advance(0.05)
        pair.server.expect("INFO")
        pair.server.answer("run_id:2")
        pair.server.expect("XINFO")
        pair.server.expect("XPENDING")
        pair.server.answer([listed()], NOTHING_PENDING)
        pair.server.expect("XRANGE", "s", "2-0", "2-0")  # it is another run of the server
        pair.server.answer([entry("2-0")])
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect_nothing()
        pair.server.answer(2)
        assert consumer.settled

    def test_leaving_survives_the_loss_of_the_last_acknowledgement(self) -> None:
        consumer, pair = entered(max_in_flight=2)
        pair.server.expect("XREADGROUP")
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        consumer.leave()
        pair.settle()
        for _ in range(3):
            pair.server.expect("XACK", "s", "g", "1-0")
            pair.server.close()
            pair.advance(0.5)
            keep_up(pair.server)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.answer(0)
        assert consumer.settled
        assert events(pair) == []


class TestLosing:
    def test_unconfirmed_acknowledgements_are_repeated_and_then_miss_nothing(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        batch.ack()
        pair.server.answer(reply("3-0"))
        taken(consumer)
        pair.settle()
        pair.server.commands.clear()
        pair.server.close()
        dialled(pair)
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect(*PATIENT)
        pair.server.answer(0)
        assert consumer.settled
        assert not any(isinstance(event, AckMissed) for event in events(pair))

    def test_they_are_repeated_also_where_no_read_takes_them_along(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        batch.ack()
        pair.server.answer(reply("3-0"))
        taken(consumer)
        consumer.leave()
        pair.settle()
        pair.server.close()
        dialled(pair)
        pair.server.expect("XACK", "s", "g", "1-0", "2-0")
        pair.server.expect_nothing()
        pair.server.answer(0)
        assert consumer.settled

    def test_confirmed_ones_are_not_repeated(self) -> None:
        consumer, pair = entered(prefetch=1)
        pair.server.answer(reply("1-0", "2-0"))
        batch = taken(consumer)
        pair.settle()
        batch.ack()
        pair.server.answer(reply("3-0"))
        taken(consumer)
        pair.settle()
        pair.server.answer(2)
        pair.server.close()
        reconnected(pair)
        pair.server.expect(*PATIENT)

    def test_those_of_the_acking_link_are_repeated_by_it(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).expect("XACK")
        acking(pair).close()
        pair.advance(0.05)
        acking(pair).expect("XACK", "s", "g", "1-0")
        acking(pair).answer(0)
        assert consumer.settled
        assert events(pair) == []

    def test_or_by_the_next_read_if_that_is_first(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        pair.dials = False
        acking(pair).close()
        pair.server.commands.clear()
        pair.server.answer(None)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.expect(*PATIENT)

    def test_the_acking_link_goes_on_while_the_reading_link_is_gone(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        acking(pair).answer(1)
        pair.server.answer(reply("2-0"))
        batch = taken(consumer)
        pair.dials = False
        pair.server.close()
        batch.ack()
        pair.advance(0.05)
        acking(pair).commands.popleft()
        acking(pair).expect("XACK", "s", "g", "2-0")

    def test_what_has_arrived_can_be_taken_while_disconnected(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        pair.server.close()
        assert taken(consumer).ids == [b"1-0"]
        assert consumer.take() is None

    @pytest.mark.parametrize("error", [READONLY, LoadingError("LOADING", "Redis is loading the dataset in memory")])
    def test_a_server_that_cannot_serve_now_is_dialled_again(self, error: ReplyError) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        batch = taken(consumer)
        pair.server.answer(error)
        batch.ack()
        assert [type(event) for event in pair.events()] == [Connected, Disconnected]
        dialled(pair)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.answer(error)
        dialled(pair)
        pair.server.expect("XACK", "s", "g", "1-0")
        pair.server.expect("XREADGROUP")

    def test_the_back_off_grows_until_a_read_is_answered(self) -> None:
        _, pair = joined()
        keep_up(pair.server)
        for attempt in range(1, 5):
            pair.server.answer(READONLY)
            assert pair.server.link.attempts == attempt
            pair.advance(1.0)
            keep_up(pair.server)
        pair.server.answer(None)
        assert pair.server.link.attempts == 0

    def test_that_of_the_acking_link_until_an_acknowledgement_is(self) -> None:
        consumer, pair = entered()
        pair.server.answer(reply("1-0"))
        taken(consumer).ack()
        pair.advance(0.05)
        for attempt in range(1, 4):
            acking(pair).expect("XACK", "s", "g", "1-0")
            acking(pair).answer(READONLY)
            assert acking(pair).link.attempts == attempt
            pair.advance(0.5)
        acking(pair).answer(1)
        assert (acking(pair).link.attempts, consumer.settled) == (0, True)

    def test_a_reply_over_the_limit_halves_the_count(self) -> None:
        _, pair = entered(options=Options(max_reply=1000))
        pair.server.reply(b"$2000\r\n" + b"x" * 1500)
        assert events(pair) == [CountReduced(1)]
        reconnected(pair)
        pair.server.expect("XREADGROUP", "GROUP", "g", "c", "COUNT", 1)


class TestRefusedReads:
    def test_end_it_where_repeating_is_pointless(self) -> None:
        consumer, pair = entered()
        pair.server.answer(NoPermissionError("NOPERM", "No permissions to access a key"))
        with pytest.raises(NoPermissionError, match="in reply to XREADGROUP"):
            consumer.take()

    @pytest.mark.parametrize("error", [NOGROUP, UNBLOCKED])
    def test_a_group_that_has_vanished_is_created_again(self, error: ReplyError) -> None:
        consumer, pair = entered()
        pair.server.expect(*PATIENT)
        pair.server.answer(error)
        pair.server.expect("XINFO", "GROUPS", "s")
        pair.server.expect("XPENDING", "s", "g")
        pair.server.answer([], NOGROUP)
        pair.server.expect("XINFO", "STREAM", "s")
        pair.server.answer(info())
        assert pair.server.expect("XGROUP", "CREATE", "s", "g", "0")[5:] == []
        pair.server.expect("XINFO", "STREAM", "s")
        pair.server.answer(Simple("OK"), info())
        pair.server.expect(*PATIENT)
        assert events(pair) == [GroupRecreated(b"s", b"g", "0")]
        pair.server.answer(reply("1-0"))
        assert taken(consumer).ids == [b"1-0"]

    def test_an_operator_unblocks_it(self) -> None:
        _, pair = entered()
        pair.server.expect(*PATIENT)
        pair.server.answer(UnblockedError("UNBLOCKED", "client unblocked via CLIENT UNBLOCK"))
        keep_up(pair.server)
        pair.server.expect(*PATIENT)
        assert events(pair) == []

    def test_both_reads_in_flight_are_refused_and_it_is_created_once(self) -> None:
        _, pair = entered(prefetch=3)
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.commands.clear()
        pair.server.answer(NOGROUP)
        pair.server.expect_nothing()
        pair.server.answer(NOGROUP)
        pair.server.expect("XINFO", "GROUPS", "s")
        pair.server.expect("XPENDING", "s", "g")
        pair.server.answer([listed()], NOTHING_PENDING)
        pair.server.expect(*PATIENT)

    def test_the_second_read_may_succeed_all_the_same(self) -> None:
        consumer, pair = entered(prefetch=3)
        pair.server.answer(reply("1-0", "2-0"))
        pair.server.commands.clear()
        pair.server.answer(NOGROUP)
        pair.server.answer(reply("3-0"))
        pair.server.expect(*PATIENT)
        assert [taken(consumer).ids, taken(consumer).ids] == [[b"1-0", b"2-0"], [b"3-0"]]

    def test_without_leave_to_create_it_is_the_end(self) -> None:
        consumer, pair = entered(create=False)
        pair.server.answer(NOGROUP)
        pair.server.answer([], NOGROUP)
        with pytest.raises(NoGroupError, match="stream 's' has lost its group 'g'; create it, or pass create=True"):
            consumer.take()

    def test_a_group_that_vanishes_again_and_again_is_no_busy_loop(self) -> None:
        """Every further attempt is a connection of its own, after a back-off that grows."""
        _, pair = entered()
        created = 0
        pauses: list[float] = []
        for _ in range(12):
            pair.server.expect("XREADGROUP")
            pair.server.answer(NOGROUP)
            if pair.server.connected:
                created += 1
            else:
                due = pair.engine.next_timeout()
                assert due is not None
                pauses.append(due - pair.now)
                pair.advance(pauses[-1])
            keep_up(pair.server)
        assert created == 3
        assert len(pauses) == 9
        assert pauses[0] == pytest.approx(0.05)
        assert pauses == sorted(pauses)
        assert pauses[-1] == pytest.approx(5.0)
        pair.server.answer(None)
        assert pair.server.link.attempts == 0
        pair.server.expect("XREADGROUP")
        pair.server.answer(NOGROUP)
        assert pair.server.connected


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
