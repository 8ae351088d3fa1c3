from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import InvalidArgument, NoPermissionError, WrongTypeError
from streamcore.events import DeadLettered, Degraded, EntriesRecovered, PendingEntriesDeleted, SettlingRefused
from streamcore.group.consumer import GroupConsumer
from streamcore.group.settling import LONG_PATIENCE
from streamcore.group.taken import TOO_OFTEN
from streamcore.options import Options
from streamcore.scripts.group import BURY
from streamcore.testing.net import Fate, Net
from tests.core.support.members import (
    FULL,
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
from tests.core.support.server import Server


def letters(server: Server, name: bytes = b"{s}:dead") -> list[dict[bytes, bytes]]:
    """What the dead-letter stream holds."""
    stream = server.streams.get(name)
    found = [] if stream is None else stream.fields.values()
    return [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in found]


def buried(net: Net) -> list[tuple[bytes, int, str]]:
    """The entries that became dead letters, how often they were handed over, and why."""
    return [(one.id, one.deliveries, one.reason) for one in events(net) if isinstance(one, DeadLettered)]


def refused(net: Net) -> list[tuple[str, bytes, type[Exception]]]:
    """What the server would not write: the entries, the key, and why."""
    told = [one for one in events(net) if isinstance(one, SettlingRefused)]
    assert all(repr(one.key.decode()) in str(one.error) for one in told)
    return [(one.ids[0].decode(), one.key, type(one.error)) for one in told]


def crash_loop(server: Server, times: int, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """Workers that die of the first entry that they are handed, and then one that has entered."""
    for _ in range(times):
        consumer, net = consume(server, count=10, **options)
        taken(consumer, net)
        net.kill()
    return consume(server, count=10, **options)


class TestByCrashLoops:
    def test_after_so_many_attempts_it_is_the_last(self, server: Server) -> None:
        add(server, 1, 3)
        consumer, net = crash_loop(server, 3, max_deliveries=3)
        assert ids(take_all(consumer, net)) == ["2-0", "3-0"]
        assert buried(net) == [(b"1-0", 3, TOO_OFTEN.decode())]
        assert [letter[b"dead:attempts"] for letter in letters(server)] == [b"3"]

    def test_and_one_attempt_less_is_not(self, server: Server) -> None:
        add(server, 1, 3)
        consumer, net = crash_loop(server, 2, max_deliveries=3)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        assert buried(net) == []

    def test_after_one_delivery_nobody_knows_whether_it_was_seen_so_it_has_another_chance(self, server: Server) -> None:
        add(server, 1, 2)
        consumer, net = crash_loop(server, 1, max_deliveries=1)
        assert [(batch.ids, batch.deliveries) for batch in take_all(consumer, net)] == [([b"1-0"], 2), ([b"2-0"], 2)]
        net.kill()
        consumer, net = consume(server, max_deliveries=1)
        assert take_all(consumer, net) == []
        assert [id_ for id_, *_ in buried(net)] == [b"1-0", b"2-0"]

    def test_also_where_it_is_claimed_from_another_member(self, server: Server) -> None:
        deliver(server, "other", 1, 2, idle=100)
        delivery(server, 1).times = 4
        consumer, net = consume(server, max_deliveries=4)
        assert ids(take_all(consumer, net)) == ["2-0"]
        assert buried(net) == [(b"1-0", 4, TOO_OFTEN.decode())]

    def test_without_a_limit_it_comes_again_and_again(self, server: Server) -> None:
        add(server, 1, 1)
        consumer, net = crash_loop(server, 20)
        assert taken(consumer, net).deliveries == 21

    @pytest.mark.parametrize("fate", Fate)
    def test_reconnects_condemn_nothing(self, server: Server, fate: Fate) -> None:
        consumer, net, batch = holding(server, 3, max_deliveries=2)
        for _ in range(10):
            net.cut("main", fate)
            net.advance(6)
        assert (take_all(consumer, net), buried(net), times(server)) == ([], [], {1: 1, 2: 1, 3: 1})
        batch.ack()
        net.advance(0.1)
        assert pending(server, "c") == []

    def test_a_burial_that_is_forbidden_waits(self, server: Server) -> None:
        add(server, 1, 2)
        server.faults.denied = {"EVAL"}
        consumer, net = crash_loop(server, 2, max_deliveries=2)
        net.advance(0.1)
        told = events(net)
        assert told.count(Degraded("dead letters", "+eval")) == 1
        [refusal] = [event for event in told if isinstance(event, SettlingRefused)]
        assert (refusal.ids, refusal.key) == ((b"1-0",), b"{s}:dead")
        assert ids(take_all(consumer, net)) == ["2-0"]
        assert pending(server, "c") == ["1-0", "2-0"]
        server.faults.denied = set()
        net.advance(LONG_PATIENCE)
        assert buried(net) == [(b"1-0", 2, TOO_OFTEN.decode())]
        assert pending(server, "c") == ["2-0"]


class TestByTheApplication:
    def test_refused_on_its_last_attempt_it_is_not_tried_again(self, server: Server) -> None:
        consumer, net, batch = holding(server, 1, max_deliveries=3)
        for attempt in (1, 2, 3):
            assert batch.deliveries == attempt
            batch[0].nack(reason=f"failed in attempt {attempt}")
            net.advance(1)
            if attempt < 3:
                batch = taken(consumer, net)
        assert take_all(consumer, net) == []
        assert buried(net) == [(b"1-0", 3, "failed in attempt 3")]
        assert (consumer.settled, consumer.members[0].loop.pending.in_flight) == (True, 0)

    def test_where_it_has_only_one(self, server: Server) -> None:
        _, net, batch = holding(server, 2, max_deliveries=1)
        batch.nack(30, "no")
        net.advance(0.1)
        assert buried(net) == [(b"1-0", 1, "no"), (b"2-0", 1, "no")]

    def test_at_once_whatever_the_limit(self, server: Server) -> None:
        _, net, batch = holding(server, 2)
        batch[1].dead_letter("not even JSON: größer\ud800")
        net.advance(0.1)
        assert buried(net) == [(b"2-0", 1, "not even JSON: größer\\ud800")]
        assert pending(server, "c") == ["1-0"]
        assert letters(server)[0][b"f"] == b"v"

    def test_a_whole_batch(self, server: Server) -> None:
        _, net, batch = holding(server, 3, dead_letter_stream="morgue")
        batch[0].ack()
        batch.dead_letter()
        net.advance(0.1)
        assert [letter[b"dead:id"] for letter in letters(server, b"morgue")] == [b"2-0", b"3-0"]
        assert {reason for _, _, reason in buried(net)} == {"rejected"}
        assert pending(server, "c") == []

    def test_what_was_deleted_meanwhile_is_a_tombstone(self, server: Server) -> None:
        _, net, batch = holding(server, 1)
        server.do("XDEL", "s", "1-0")
        batch.dead_letter()
        net.advance(0.1)
        assert PendingEntriesDeleted(b"s", (b"1-0",)) in events(net)
        assert (letters(server), pending(server, "c")) == ([], [])


def test_one_that_is_too_large_where_entries_are_read_one_by_one(server: Server) -> None:
    server.add("s", "1-0", data="x" * 500_000)
    server.add("s", "2-0")
    options = Options(max_reply=200_000, backoff_initial=0.01)
    consumer, net = consume(server, count=1, max_deliveries=3, detect_gaps=None, options=options)
    net.advance(3)
    assert ids(take_all(consumer, net)) == ["2-0"]
    assert buried(net) == [(b"1-0", 0, "larger than max_reply")]


class TestWhereLettersCannotBeWritten:
    def test_the_entry_stays_pending_and_everything_else_goes_on(self, server: Server) -> None:
        server.do("SET", "{s}:dead", "x")  # a key of another type
        consumer, net, batch = holding(server, 3)
        batch[0].dead_letter("no")
        batch[1].ack()
        for _ in range(20):
            net.advance(1)
        assert refused(net) == [("1-0", b"{s}:dead", WrongTypeError)]  # told once
        assert (pending(server, "c"), consumer.settled, batch[0].settled()) == (["1-0", "3-0"], False, False)
        add(server, 6, 6)
        net.serve()
        assert ids(take_all(consumer, net)) == ["6-0"]
        server.do("DEL", "{s}:dead")
        net.advance(LONG_PATIENCE)
        assert buried(net) == [(b"1-0", 1, "no")]
        assert (pending(server, "c"), consumer.settled) == (["3-0", "6-0"], True)

    def test_it_is_tried_now_and_then_whatever_else_happens(self, server: Server) -> None:
        server.do("SET", "{s}:dead", "x")
        consumer, net, batch = holding(server, 1)
        batch.dead_letter("no")
        net.advance(1)
        sent(server, "EVAL")
        for number in range(20):
            add(server, 10 + number, 10 + number)
            net.advance(1)
            take_all(consumer, net)
        assert 2 <= sum(command[1] == BURY.encode() for command in sent(server, "EVAL")) <= 5
        consumer.flush()
        net.serve()
        assert sum(command[1] == BURY.encode() for command in sent(server, "EVAL")) == 1

    def test_another_reason_is_told_as_well(self, server: Server) -> None:
        server.do("SET", "{s}:dead", "x")
        _, net, batch = holding(server, 1)
        batch.dead_letter("no")
        net.advance(6)
        server.faults.denied = {"EVAL"}
        net.advance(6)
        server.do("DEL", "{s}:dead")
        server.faults.denied = set()
        net.advance(6)
        assert [kind for *_, kind in refused(net)] == [WrongTypeError, NoPermissionError]

    def test_no_other_member_takes_it_over_meanwhile(self, server: Server) -> None:
        server.do("SET", "{s}:dead", "x")
        _, net, batch = holding(server, 1, claim_idle=3.0, renew=True)
        other, other_net = consume(server, consumer="d", claim_idle=3.0)
        batch.dead_letter("no")
        for _ in range(10):
            net.advance(0.5)
            other_net.advance(0.5)
        assert pending(server, "c") == ["1-0"]
        assert take_all(other, other_net) == []

    def test_it_is_tried_once_more_on_leaving(self, server: Server) -> None:
        server.do("SET", "{s}:dead", "x")
        consumer, net, batch = holding(server, 1)
        batch.dead_letter("no")
        net.advance(1)
        server.do("DEL", "{s}:dead")
        consumer.leave()
        net.serve()
        assert consumer.settled
        assert pending(server, "c") == []

    def test_it_survives_a_lost_connection(self, server: Server) -> None:
        server.do("SET", "{s}:dead", "x")
        consumer, net, batch = holding(server, 1)
        batch.dead_letter("no")
        net.advance(1)
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(8)
        assert take_all(consumer, net) == []
        server.do("DEL", "{s}:dead")
        net.advance(LONG_PATIENCE)
        assert buried(net) == [(b"1-0", 1, "no")]

    def test_what_is_refused_while_a_server_cannot_serve_is_repeated_on_another_connection(
        self, server: Server
    ) -> None:
        _, net, batch = holding(server, 1)
        server.faults.unavailable = "LOADING wait"
        batch.dead_letter("no")
        net.advance(1)
        assert net.pair.peer("acks").dials > 1
        server.faults.unavailable = None
        net.advance(6)
        assert buried(net) == [(b"1-0", 1, "no")]


class TestOnAFullServer:
    def test_a_letter_waits_for_room_and_everything_else_goes_on(self, server: Server) -> None:
        consumer, net, batch = holding(server, 3)
        server.faults.unavailable = FULL
        batch[0].dead_letter("no")
        batch[1].ack()
        for _ in range(10):
            net.advance(1)
        assert (pending(server, "c"), consumer.settled, batch[0].settled()) == (["1-0", "3-0"], False, False)
        add(server, 6, 6)
        net.serve()
        assert ids(take_all(consumer, net)) == ["6-0"]
        server.faults.unavailable = None
        net.advance(6)
        assert buried(net) == [(b"1-0", 1, "no")]
        assert (pending(server, "c"), consumer.settled) == (["3-0", "6-0"], True)

    def test_it_is_not_asked_all_the_time(self, server: Server) -> None:
        _, net, batch = holding(server, 1)
        server.faults.unavailable = FULL
        batch.dead_letter("no")
        net.advance(1)
        server.seen.clear()
        for _ in range(20):
            net.advance(1)
        assert 2 <= sum(command[1] == BURY.encode() for command in sent(server, "EVAL")) <= 20


class TestArguments:
    @pytest.mark.parametrize("max_deliveries", [0, -1, 1.5])
    def test_the_limit_is_a_number_of_attempts(self, max_deliveries: Any) -> None:
        with pytest.raises(InvalidArgument, match="max_deliveries"):
            GroupConsumer("s", group="g", consumer="c", max_deliveries=max_deliveries)

    def test_letters_must_not_be_read_as_entries(self) -> None:
        with pytest.raises(InvalidArgument, match="dead_letter_stream is one of the streams"):
            GroupConsumer(["s", "t"], group="g", consumer="c", dead_letter_stream="t")


def test_what_is_condemned_is_not_told_as_recovered(server: Server) -> None:
    deliver(server, "c", 1, 2)
    delivery(server, 1).times = 9
    _, net = consume(server, max_deliveries=9)
    assert [event for event in events(net) if isinstance(event, EntriesRecovered)] == [EntriesRecovered(b"s", 1)]
