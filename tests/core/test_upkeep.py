from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import GroupBatch, StreamId
from streamcore.errors import NoGroupError, NoPermissionError, OutOfMemoryError, WrongTypeError
from streamcore.events import (
    Claimed,
    Connected,
    Disconnected,
    Event,
    GhostKilled,
    GroupCreated,
    GroupRecreated,
    LeaseLost,
    Reconnected,
    Recovered,
    Tombstones,
)
from streamcore.group import GroupConsumer
from tests.core.model import Server
from tests.core.net import Fate, Net
from tests.core.pair import Pair, Simple

GONE = NoGroupError("NOGROUP", "No such key 's' or consumer group 'g'")
NOISE = (Connected, Reconnected, Disconnected)


@pytest.fixture
def server() -> Server:
    return Server()


def consume(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A consumer of ``s`` that has entered; its first read blocks."""
    arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", "count": 2, "renew": False, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(**arguments)
    return consumer, Net(server, consumer)


def events(net: Net) -> list[Event]:
    """What happened, beside coming and going."""
    return [event for event in net.pair.events() if not isinstance(event, NOISE)]


def take_all(consumer: GroupConsumer[bytes], net: Net) -> list[GroupBatch[bytes]]:
    """Whatever can be had at the moment, by taking again and again."""
    batches: list[GroupBatch[bytes]] = []
    while (batch := consumer.take()) is not None:
        batches.append(batch)
        net.serve()
    return batches


def ids(batches: list[GroupBatch[bytes]]) -> list[str]:
    return [str(entry.id) for batch in batches for entry in batch]


def add(server: Server, first: int, last: int, stream: str = "s") -> None:
    for number in range(first, last + 1):
        server.add(stream, f"{number}-0")


def deliver(server: Server, consumer: str, *numbers: int, start: str = "0", idle: float = 0.0) -> None:
    """The group exists, and has delivered entries to a consumer, ``idle`` seconds ago."""
    server.do("XGROUP", "CREATE", "s", "g", start, "MKSTREAM")
    for number in numbers:
        server.add("s", f"{number}-0")
        server.do("XREADGROUP", "GROUP", "g", consumer, "COUNT", 1, "STREAMS", "s", ">")
    for delivery in server.group().pending.values():
        delivery.at -= idle


def pending(server: Server, consumer: str) -> list[str]:
    return [str(id_) for id_ in server.group().of(consumer.encode())]


def sent(server: Server, word: str) -> list[list[bytes]]:
    """The commands of this kind that the server has seen since the last call."""
    found = [command for command in server.seen if command[0] == word.encode()]
    server.seen.clear()
    return found


class TestGroup:
    def test_is_created_with_its_stream(self, server: Server) -> None:
        consumer, net = consume(server, start="5-1")
        assert (consumer.is_ready, server.group().last) == (True, StreamId(5, 1))
        assert events(net) == [GroupCreated(b"s", b"g", "5-1")]

    def test_at_the_end_of_the_stream_where_asked_for(self, server: Server) -> None:
        add(server, 1, 3)
        consumer, net = consume(server, start="$")
        add(server, 4, 4)
        net.serve()
        assert ids(take_all(consumer, net)) == ["4-0"]

    def test_an_existing_one_is_left_as_it_is(self, server: Server) -> None:
        deliver(server, "other", 1, 2)
        add(server, 3, 3)
        server.forbidden = {b"XGROUP"}
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["3-0"]
        assert events(net) == []

    def test_another_consumer_may_be_faster_to_create_it(self) -> None:
        consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c")
        pair = Pair(consumer)
        pair.server.answer("run_id:1")
        pair.server.answer([{"name": "another", "last-delivered-id": "0-0"}])
        pair.server.commands.clear()
        server = Server()
        server.do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
        pair.server.answer(server.do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"))
        assert consumer.is_ready
        assert [type(event) for event in pair.events()] == [Connected]

    def test_of_every_stream(self, server: Server) -> None:
        _, net = consume(server, streams=["s", "t"])
        assert events(net) == [GroupCreated(b"s", b"g", "0-0"), GroupCreated(b"t", b"g", "0-0")]

    @pytest.mark.parametrize("exists", [False, True])
    def test_is_not_created_without_leave(self, server: Server, exists: bool) -> None:
        if exists:
            add(server, 1, 1)
        consumer, _ = consume(server, create=False)
        with pytest.raises(NoGroupError, match="stream 's' has no group 'g'; create it, or pass create=True"):
            consumer.take()
        assert not [state for state in server.streams.values() if state and state.groups]

    def test_may_exist_before(self, server: Server) -> None:
        deliver(server, "other")
        assert consume(server, create=False)[0].is_ready

    @pytest.mark.parametrize("create", [True, False])
    def test_on_a_key_of_another_type(self, server: Server, create: bool) -> None:
        server.streams[b"s"] = None
        consumer, _ = consume(server, create=create)
        with pytest.raises(WrongTypeError, match="in reply to XINFO"):
            consumer.take()

    def test_a_full_server_is_waited_for_only_where_the_group_is_missing(self) -> None:
        consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c")
        pair = Pair(consumer)
        pair.server.answer("run_id:1")
        pair.server.answer([])
        pair.server.answer(OutOfMemoryError("OOM", "command not allowed when used memory > 'maxmemory'."))
        assert [type(event) for event in pair.events()] == [Connected, Disconnected]
        assert not consumer.is_ready


class TestRecreation:
    def test_below_the_oldest_entry_that_was_pending_for_anybody(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3)
        server.do("XACK", "s", "g", "1-0")
        consumer, net = consume(server)
        server.do("XGROUP", "DESTROY", "s", "g")
        net.serve()
        assert events(net) == [GroupRecreated(b"s", b"g", f"1-{(1 << 64) - 1}")]
        assert ids(take_all(consumer, net)) == ["2-0", "3-0"]

    def test_behind_what_was_delivered_where_nothing_was_pending(self, server: Server) -> None:
        deliver(server, "other", 1, 2)
        server.do("XACK", "s", "g", "1-0", "2-0")
        consumer, net = consume(server)
        server.do("XGROUP", "DESTROY", "s", "g")
        add(server, 3, 3)
        net.serve()
        assert events(net) == [GroupRecreated(b"s", b"g", "2-0")]
        assert ids(take_all(consumer, net)) == ["3-0"]

    def test_what_was_set_back_and_not_delivered_again_is_not_skipped(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3)
        server.do("XACK", "s", "g", "1-0", "2-0")
        server.group().last = StreamId(1)  # XGROUP SETID: somebody wants 2-0 to be processed again
        _, net = consume(server)
        server.do("XGROUP", "DESTROY", "s", "g")
        net.serve()
        assert events(net) == [GroupRecreated(b"s", b"g", "1-0")]

    def test_the_mark_is_that_of_the_last_audit(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, 1, 2)
        net.serve()
        for batch in take_all(consumer, net):
            batch.ack()
        net.advance(6)
        add(server, 3, 3)
        net.serve()
        server.do("XGROUP", "DESTROY", "s", "g")
        net.serve()
        assert GroupRecreated(b"s", b"g", "2-0") in events(net)
        assert ids(take_all(consumer, net)) == ["3-0", "3-0"]  # once from each group

    @pytest.mark.parametrize("lower_ids", [False, True])
    def test_a_new_stream_is_read_from_its_beginning(self, server: Server, lower_ids: bool) -> None:
        deliver(server, "other", 100)
        consumer, net = consume(server)
        net.cut("main", Fate.REQUESTS_LOST)
        server.do("DEL", "s")
        if lower_ids:
            add(server, 1, 2)
        net.advance(1)
        assert events(net) == [GroupRecreated(b"s", b"g", "0")]
        assert ids(take_all(consumer, net)) == (["1-0", "2-0"] if lower_ids else [])

    def test_the_mark_of_the_old_stream_does_not_hold_for_the_new_one(self, server: Server) -> None:
        deliver(server, "other", 100)
        consumer, net = consume(server, audit=60)
        server.do("DEL", "s")
        net.serve()
        add(server, 200, 200)
        server.do("XGROUP", "DESTROY", "s", "g")
        net.serve()
        take_all(consumer, net)
        net.advance(6)
        assert events(net)[:2] == [GroupRecreated(b"s", b"g", "0"), GroupRecreated(b"s", b"g", "0")]

    def test_at_the_beginning_before_the_first_audit(self, server: Server) -> None:
        deliver(server, "other", 1, 2)
        server.forbidden = {b"XPENDING"}  # the connection is cut before
        consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c", start="$")
        pair = Pair(consumer)
        pair.server.answer("run_id:1")
        pair.server.answer([{"name": "g", "last-delivered-id": "2-0"}])
        pair.server.close()
        pair.advance(0.1)
        pair.server.expect("INFO")
        pair.server.answer("run_id:2")
        pair.server.expect("XINFO", "GROUPS")
        pair.server.answer([])
        pair.server.expect("XINFO", "STREAM")
        pair.server.answer({"last-generated-id": "2-0"})
        pair.server.expect("XGROUP", "CREATE", "s", "g", "0")
        pair.server.answer(Simple("OK"))
        assert GroupRecreated(b"s", b"g", "0") in pair.events()

    def test_twice_between_two_audits(self, server: Server) -> None:
        deliver(server, "other", 1, 2)
        server.do("XACK", "s", "g", "1-0", "2-0")
        _, net = consume(server)
        for _ in range(2):
            server.do("XGROUP", "DESTROY", "s", "g")
            net.serve()
        assert events(net) == [GroupRecreated(b"s", b"g", "2-0")] * 2

    @pytest.mark.parametrize("after", range(1, 10))
    def test_the_backlog_of_the_old_group_is_no_backlog_of_the_new_one(self, server: Server, after: int) -> None:
        """Its entries are delivered anew, and whichever reply is lost, they are ours to recover."""
        deliver(server, "c", 1, 2, 3)
        consumer, net = consume(server, backlog=False, claim_idle=None)
        assert take_all(consumer, net) == []
        net.cut("main", Fate.REPLIES_LOST, after=after)
        server.do("XGROUP", "DESTROY", "s", "g")
        batches: list[GroupBatch[bytes]] = []
        for _ in range(3):
            net.advance(3)
            batches += take_all(consumer, net)
        assert ids(batches) == ["1-0", "2-0", "3-0"]


class TestGhost:
    def test_our_previous_connection_is_closed_and_what_it_took_is_recovered(self, server: Server) -> None:
        consumer, net = consume(server)
        ghost = next(iter(server.sessions))
        net.cut("main", Fate.HALF_OPEN)
        add(server, 1, 1)
        assert pending(server, "c") == ["1-0"]
        net.advance(0.1)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert ghost not in server.sessions
        assert events(net)[1:] == [GhostKilled(ghost), Recovered(b"s", 1)]

    def test_a_connection_that_is_gone_needs_no_killing(self, server: Server) -> None:
        _, net = consume(server)
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(0.1)
        assert [command[1] for command in sent(server, "CLIENT")] == [b"SETINFO", b"SETINFO"] * 2 + [b"LIST"]
        assert events(net) == [GroupCreated(b"s", b"g", "0-0")]

    def test_ids_mean_nothing_after_a_restart(self, server: Server) -> None:
        _, net = consume(server)
        net.cut("main", Fate.HALF_OPEN)
        server.run_id = "two"
        net.advance(0.1)
        assert [command[1] for command in sent(server, "CLIENT")] == [b"SETINFO", b"SETINFO"] * 2

    def test_somebody_elses_connection_is_left_alone(self, server: Server) -> None:
        _, net = consume(server)
        [session] = server.sessions.values()
        net.cut("main", Fate.HALF_OPEN)
        session.name += b"x"
        net.advance(0.1)
        assert session.number in server.sessions
        assert GhostKilled not in {type(event) for event in events(net)}

    @pytest.mark.parametrize("word", [b"INFO", b"CLIENT LIST", b"CLIENT KILL"])
    def test_where_that_is_forbidden_the_audit_finds_what_it_takes(self, server: Server, word: bytes) -> None:
        consumer, net = consume(server)
        server.forbidden = {word}
        net.cut("main", Fate.HALF_OPEN)
        net.advance(0.1)
        add(server, 1, 1)
        net.serve()
        assert take_all(consumer, net) == []
        net.advance(6)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert events(net)[1:] == [Recovered(b"s", 1)]

    def test_it_may_go_by_itself_just_before(self) -> None:
        consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c")
        pair = Pair(consumer)
        pair.server.answer("run_id:1")
        pair.server.close()
        pair.advance(0.1)
        pair.server.expect("INFO", "server")
        pair.server.answer("# Server\r\nrun_id:1\r\nhz:10\r\n")
        pair.server.expect("CLIENT", "LIST", "ID", 7)
        pair.server.answer(b"id=7 addr=1.2.3.4 name=" + consumer.nonce + b" db=0\n")
        pair.server.expect("CLIENT", "KILL", "ID", 7)
        pair.server.answer(0)
        pair.server.expect("XINFO", "GROUPS", "s")
        assert [type(event) for event in pair.events()] == [Connected, Disconnected, Reconnected]

    def test_a_server_that_does_not_tell_its_run_is_no_reason_to_fail(self) -> None:
        pair = Pair(GroupConsumer("s", group="g", consumer="c"))
        pair.server.answer("# Server\r\n")
        pair.server.expect("INFO")
        pair.server.expect("XINFO", "GROUPS", "s")


class TestRecovery:
    def test_the_backlog_comes_first_and_new_entries_after_it(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        add(server, 4, 5)
        consumer, net = consume(server, prefetch=1)
        batches = take_all(consumer, net)
        assert [batch.ids for batch in batches] == [[b"1-0", b"2-0"], [b"3-0"], [b"4-0", b"5-0"]]
        assert events(net) == [Recovered(b"s", 2), Recovered(b"s", 1)]

    def test_the_application_is_let_in_before_a_long_backlog_is_worked_off(self, server: Server) -> None:
        deliver(server, "c", *range(1, 20))
        consumer, net = consume(server)
        assert consumer.is_ready
        assert ids(take_all(consumer, net)) == [f"{number}-0" for number in range(1, 20)]

    def test_of_every_stream(self, server: Server) -> None:
        deliver(server, "c", 1)
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        add(server, 1, 1, "t")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "t", ">")
        consumer, net = consume(server, streams=["s", "t"])
        assert [batch.stream for batch in take_all(consumer, net)] == [b"s", b"t"]

    def test_deliveries_are_not_counted_anew(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        server.group().pending[StreamId(2)].times = 7
        consumer, net = consume(server, count=10)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        assert [server.group().pending[StreamId(number)].times for number in (1, 2, 3)] == [1, 7, 1]

    def test_without_backlog_what_an_earlier_run_left_stays_pending(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        add(server, 3, 3)
        consumer, net = consume(server, backlog=False)
        assert ids(take_all(consumer, net)) == ["3-0"]
        net.advance(6)
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(6)
        assert take_all(consumer, net) == []
        assert pending(server, "c") == ["1-0", "2-0", "3-0"]

    def test_without_backlog_a_lost_reply_is_recovered_all_the_same(self, server: Server) -> None:
        deliver(server, "c", 1, 2)
        consumer, net = consume(server, backlog=False)
        add(server, 3, 3)
        net.cut("main", Fate.REPLIES_LOST)
        net.advance(0.1)
        assert ids(take_all(consumer, net)) == ["3-0"]

    @pytest.mark.parametrize("fate", Fate)
    def test_a_reply_lost_in_flight_is_handed_over_exactly_once(self, server: Server, fate: Fate) -> None:
        consumer, net = consume(server)
        for number in range(1, 9):
            server.add("s", f"{number}-0")
            if number % 2:
                net.cut("main", fate)
            net.advance(0.1)
        assert sorted(ids(take_all(consumer, net))) == [f"{number}-0" for number in range(1, 9)]

    @pytest.mark.parametrize("fate", Fate)
    @pytest.mark.parametrize("after", range(1, 10))
    def test_the_replies_to_the_recovery_itself_may_be_lost(self, server: Server, fate: Fate, after: int) -> None:
        deliver(server, "c", 1, 2, 3)
        consumer, net = consume(server, prefetch=1)
        net.cut("main", Fate.REQUESTS_LOST)
        net.cut("main", fate, after=after)
        net.advance(0.2)
        batches = take_all(consumer, net)
        net.advance(0.2)
        batches += take_all(consumer, net)
        assert ids(batches) == ["1-0", "2-0", "3-0"]
        assert net.pair.server.dials == 3

    def test_acknowledged_entries_do_not_come_again(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, 1, 2)
        net.serve()
        for batch in take_all(consumer, net):
            batch.ack()
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1)
        assert take_all(consumer, net) == []
        assert pending(server, "c") == []
        assert events(net) == [GroupCreated(b"s", b"g", "0-0")]

    def test_stops_where_there_is_no_room(self, server: Server) -> None:
        deliver(server, "c", *range(1, 10))
        consumer, net = consume(server, max_in_flight=4, prefetch=10)
        batches = take_all(consumer, net)
        net.advance(6)
        assert ids(batches) == ["1-0", "2-0", "3-0", "4-0"]
        batches[0].ack()
        net.advance(0.1)
        assert ids(take_all(consumer, net)) == ["5-0", "6-0"]

    def test_acknowledgements_leave_while_it_waits_for_room(self, server: Server) -> None:
        deliver(server, "c", *range(1, 10))
        consumer, net = consume(server, max_in_flight=4, prefetch=10)
        [first, *_] = take_all(consumer, net)
        first[0].ack()
        net.advance(0.1)
        assert (consumer.settled, "1-0" in pending(server, "c")) == (True, False)
        assert [link.name for link in consumer.links()] == ["main"]

    def test_deleted_entries_are_tombstones(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3)
        server.do("XDEL", "s", "1-0", "3-0")
        consumer, net = consume(server, count=10)
        assert ids(take_all(consumer, net)) == ["2-0"]
        assert events(net) == [Recovered(b"s", 1), Tombstones(b"s", (b"1-0", b"3-0"))]
        assert pending(server, "c") == ["2-0"]

    def test_nothing_but_tombstones(self, server: Server) -> None:
        deliver(server, "c", 1)
        server.do("XDEL", "s", "1-0")
        consumer, net = consume(server)
        assert take_all(consumer, net) == []
        assert events(net) == [Tombstones(b"s", (b"1-0",))]

    def test_what_another_consumer_claims_meanwhile_is_its_own_and_no_tombstone(self, server: Server) -> None:
        deliver(server, "c", 1, 2, idle=10)
        consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c")
        pair = Pair(consumer)
        for words in (["INFO", "server"], ["XINFO", "GROUPS", "s"], ["XPENDING", "s", "g", "(0-0", "+", 100, "c"]):
            pair.server.expect(*words)
            pair.server.answer(server.do(*words))
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "RETRYCOUNT", 1)
        claim = pair.server.expect("XCLAIM", "s", "g", "c", 10_000, "1-0", "2-0", "RETRYCOUNT", 1)
        pair.server.answer(server.do(*claim))
        pair.server.answer(server.do(*pair.server.expect("XPENDING", "s", "g", "1-0", "1-0", 1)))
        batch = consumer.take()
        assert batch is not None
        assert batch.ids == [b"2-0"]
        assert [event for event in pair.events() if not isinstance(event, NOISE)] == [Recovered(b"s", 1)]
        assert pending(server, "other") == ["1-0"]

    def test_a_group_that_vanishes_under_it_is_no_end(self) -> None:
        consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c")
        pair = Pair(consumer)
        pair.server.answer("run_id:1")
        pair.server.answer([{"name": "g", "last-delivered-id": "0-0"}])
        pair.server.answer([["1-0", "c", 0, 1]])
        pair.server.commands.clear()
        pair.server.answer(GONE)
        pair.server.expect("XPENDING", "s", "g", "IDLE")
        pair.server.answer(GONE)
        pair.server.expect("XREADGROUP")
        assert consumer.take() is None


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
        assert events(net)[1:] == [LeaseLost(b"s", (b"1-0", b"2-0"))]
        batch.ack()
        net.advance(1)
        assert pending(server, "c") == ["3-0", "4-0"]

    def test_nor_after_a_reconnect(self, server: Server) -> None:
        add(server, 1, 3)
        consumer, net = consume(server, max_in_flight=2, audit=600)
        take_all(consumer, net)
        net.cut("main", Fate.REQUESTS_LOST)
        server.do("XACK", "s", "g", "2-0")
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "RETRYCOUNT", 1)
        net.advance(1)
        assert LeaseLost(b"s", (b"1-0", b"2-0")) in events(net)
        assert ids(take_all(consumer, net)) == ["3-0"]

    def test_nor_while_it_waits_for_room_to_recover(self, server: Server) -> None:
        deliver(server, "c", 1, 2, 3, 4)
        consumer, net = consume(server, max_in_flight=2, claim_idle=None)
        net.serve()
        [batch] = take_all(consumer, net)
        assert batch.ids == [b"1-0", b"2-0"]
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "2-0", "RETRYCOUNT", 1)
        net.advance(6)
        assert ids(take_all(consumer, net)) == ["3-0", "4-0"]


class TestClaiming:
    def test_entries_that_others_left_idle(self, server: Server) -> None:
        deliver(server, "other", 1, 2, idle=60)
        deliver(server, "other", 3, idle=0)
        server.group().pending[StreamId(3)].at = server.now - 59
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]
        assert events(net) == [Claimed(b"s", 2)]
        assert pending(server, "c") == ["1-0", "2-0"]

    def test_page_by_page_with_reads_in_between(self, server: Server) -> None:
        deliver(server, "other", *range(1, 8), idle=60)
        add(server, 8, 8)
        consumer, net = consume(server, prefetch=10)
        net.serve()
        marks = {b"IDLE": "claim", b"BLOCK": "wait"}
        looks = [c for c in server.seen if c[0] == b"XREADGROUP" or b"IDLE" in c]
        order = [next((mark for word, mark in marks.items() if word in command), "poll") for command in looks]
        assert order[-8:] == ["claim", "poll", "claim", "poll", "claim", "poll", "claim", "wait"]
        assert sorted(ids(take_all(consumer, net))) == [f"{number}-0" for number in range(1, 9)]

    def test_every_stream_has_its_own_cursor(self, server: Server) -> None:
        deliver(server, "other", *range(1, 6), idle=60)
        server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
        consumer, net = consume(server, streams=["t", "s"], prefetch=10)
        assert ids(take_all(consumer, net)) == [f"{number}-0" for number in range(1, 6)]

    def test_comes_back_in_time_and_not_all_at_once(self, server: Server) -> None:
        for random, pause in ((0.0, 15.0), (1.0, 30.0)):
            server.seen.clear()
            _, net = consume(server, random=lambda random=random: random, audit=0.5, block=0.1)
            net.advance(pause - 2)
            assert sum(b"IDLE" in command for command in server.seen) == 1
            net.advance(4)
            assert sum(b"IDLE" in command for command in server.seen) == 2

    def test_never_where_that_is_not_wanted(self, server: Server) -> None:
        deliver(server, "other", 1, idle=1000)
        consumer, net = consume(server, claim_idle=None)
        net.advance(200)
        assert sent(server, "XAUTOCLAIM") == []
        assert take_all(consumer, net) == []

    def test_what_is_ours_is_not_handed_over_again(self, server: Server) -> None:
        consumer, net = consume(server, claim_idle=10)
        add(server, 1, 2)
        net.serve()
        held = take_all(consumer, net)
        net.advance(60)
        assert take_all(consumer, net) == []
        for batch in held:
            batch.ack()
        net.advance(1)
        assert pending(server, "c") == []

    def test_what_was_taken_from_us_and_left_idle_there_is_handed_over_again(self, server: Server) -> None:
        consumer, net = consume(server, claim_idle=10)
        add(server, 1, 1)
        net.serve()
        [batch] = take_all(consumer, net)
        server.do("XCLAIM", "s", "g", "other", 0, "1-0", "RETRYCOUNT", 1)
        net.advance(30)
        [again] = take_all(consumer, net)
        batch.ack()
        net.advance(1)
        assert pending(server, "c") == ["1-0"], "the lease of the first one was lost"
        again.ack()
        net.advance(1)
        assert pending(server, "c") == []
        assert events(net)[1:] == [LeaseLost(b"s", (b"1-0",)), Claimed(b"s", 1)]

    def test_our_own_are_left_to_others(self, server: Server) -> None:
        consumer, net = consume(server, claim_idle=10)
        add(server, 1, 1)
        net.serve()
        [batch] = take_all(consumer, net)
        net.advance(60)
        [row] = server.do("XPENDING", "s", "g", "-", "+", 10)
        assert row[2] >= 60_000, "its idle time has not begun anew"
        assert row[3] == 1
        batch.ack()
        net.advance(1)
        assert pending(server, "c") == []

    def test_deleted_entries_are_tombstones(self, server: Server) -> None:
        deliver(server, "other", 1, 2, idle=60)
        server.do("XDEL", "s", "1-0")
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["2-0"]
        assert events(net) == [Claimed(b"s", 1), Tombstones(b"s", (b"1-0",))]

    def test_an_entry_that_we_hold_is_no_tombstone(self, server: Server) -> None:
        consumer, net = consume(server, claim_idle=10)
        add(server, 1, 1)
        net.serve()
        [batch] = take_all(consumer, net)
        server.do("XDEL", "s", "1-0")
        net.advance(30)
        batch.ack()
        net.advance(1)
        assert [type(event) for event in events(net)] == [GroupCreated]

    def test_a_refusal_ends_it_and_names_the_command(self, server: Server) -> None:
        server.forbidden = {b"XPENDING"}
        consumer, _ = consume(server)
        with pytest.raises(NoPermissionError, match="in reply to XPENDING"):
            consumer.take()

    def test_waits_for_room(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3, idle=60)
        add(server, 4, 4)
        consumer, net = consume(server, max_in_flight=2)
        [batch] = take_all(consumer, net)
        net.advance(10)
        assert (take_all(consumer, net), pending(server, "other")) == ([], ["3-0"])
        batch.ack()
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["3-0"]

    def test_the_next_pass_begins_at_the_beginning_again(self, server: Server) -> None:
        deliver(server, "other", 1, 2, 3, 4, idle=60)
        for number in (1, 2):
            server.group().pending[StreamId(number)].at = server.now - 50
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["3-0", "4-0"]
        net.advance(31)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]


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
        _, net = consume(server, audit=2, block=1)
        server.seen.clear()
        net.advance(20)
        assert 6 <= len(sent(server, "XPENDING")) <= 10

    def test_an_idle_consumer_sends_less_than_a_command_a_second(self, server: Server) -> None:
        _, net = consume(server)
        server.seen.clear()
        net.advance(100)
        assert len(server.seen) < 100

    def test_a_group_that_vanishes_between_its_two_answers(self) -> None:
        consumer: GroupConsumer[bytes] = GroupConsumer("s", group="g", consumer="c", claim_idle=None)
        pair = Pair(consumer)
        pair.server.answer("run_id:1")
        pair.server.answer([{"name": "g", "last-delivered-id": "5-0"}])
        pair.server.answer([])
        pair.server.answer([], [0, None, None, None])  # and comes back
        pair.server.commands.clear()
        assert consumer._upkeep._low_water == {}
        pair.advance(5)
        pair.server.answer(None)
        pair.server.answer([{"name": "g", "last-delivered-id": "5-0"}], GONE)
        pair.server.expect("XINFO", "GROUPS", "s")
        pair.server.expect("XPENDING", "s", "g")
        pair.server.expect("XREADGROUP")
        assert consumer._upkeep._low_water == {}
