"""What a group has lost with its stream, or with itself, and what its members say of that: nobody is silent without a proof."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.events import EntriesRecovered, Event, Gap, GroupCreated, GroupRecreated, OwnershipLost, StreamAwaited
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Fate, Net
from tests.core.support.members import add, consume, deliver, events, ids, sent, take_all
from tests.core.support.server import Server

MAX = (1 << 64) - 1


def busy(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A consumer that has settled four of ten entries, and has read the next one ahead; an audit has seen that."""
    add(server, 1, 4)
    consumer, net = consume(server, **{"audit_interval": 1, "block": 1, "prefetch": 1, "claim_idle": None, **options})
    for batch in take_all(consumer, net):
        batch.ack()
    net.advance(2)
    consumer.pause()
    add(server, 5, 10)
    net.advance(3)
    events(net)
    return consumer, net


def go_on(consumer: GroupConsumer[bytes], net: Net) -> list[str]:
    """Take all that there is; what was handed over."""
    consumer.resume()
    taken = take_all(consumer, net)
    net.advance(2)
    return ids([*taken, *take_all(consumer, net)])


def gap(after: int, before: int | None, entries: int | None = None, *, certain: bool = False) -> Gap:
    return Gap(b"s", StreamId(after), None if before is None else StreamId(before), entries, certain)


def gaps(net: Net) -> list[Event]:
    return [event for event in events(net) if isinstance(event, Gap | GroupCreated | GroupRecreated | StreamAwaited)]


def replace_stream(server: Server, *numbers: int, trimmed: int = 0, group: bool = False) -> None:
    """Another stream takes the name: RENAME."""
    for number in numbers:
        server.add("aside", f"{number}-0")
    if group:
        server.do("XGROUP", "CREATE", "aside", "g", "0")
    if trimmed:
        server.do("XTRIM", "aside", "MAXLEN", len(numbers) - trimmed)
    stream = server.streams[b"aside"]
    server.do("DEL", "aside")
    server.put(b"s", stream)


class TestDeleted:
    """Case 22b: of 1,000 entries 940 were gone, and a group was told that it was created again."""

    def test_what_was_unread_is_told_with_the_repair(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("DEL", "s")
        add(server, 100, 101)
        assert go_on(consumer, net) == ["5-0", "100-0", "101-0"]
        assert gaps(net) == [GroupRecreated(b"s", b"g", "0"), gap(5, 100, 5, certain=True)]
        net.advance(5)
        assert gaps(net) == []

    def test_and_what_the_new_one_has_lost_before_it_could_be_read(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("DEL", "s")
        add(server, 100, 105)
        server.do("XTRIM", "s", "MAXLEN", 2)
        assert go_on(consumer, net)[1:] == ["104-0", "105-0"]
        assert gaps(net)[1:] == [gap(5, 104, 5, certain=True), gap(0, 104, 4)]

    def test_without_a_successor(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("DEL", "s")
        assert go_on(consumer, net) == ["5-0"]
        assert gaps(net) == [StreamAwaited(b"s", b"g"), gap(5, None, 5, certain=True)]

    def test_what_was_delivered_to_us_since_the_last_look_is_not_lost(self, server: Server) -> None:
        consumer, net = busy(server)
        consumer.resume()
        assert ids(take_all(consumer, net)) == [f"{n}-0" for n in range(5, 11)]
        server.do("DEL", "s")
        net.advance(2)
        assert gaps(net) == [StreamAwaited(b"s", b"g"), gap(5, None)]

    def test_each_of_two_members_tells(self, server: Server) -> None:
        consumer, net = busy(server)
        other, others = consume(server, consumer="other", audit_interval=1, block=1, prefetch=1, claim_idle=None)
        net.advance(2)
        server.do("DEL", "s")
        add(server, 100, 100)
        go_on(consumer, net)
        go_on(other, others)
        for one in (net, others):
            [told] = [event for event in gaps(one) if isinstance(event, Gap)]
            assert (told.certain, told.after >= StreamId(5), told.before) == (False, True, StreamId(100))

    def test_who_does_not_want_to_know_is_not_told(self, server: Server) -> None:
        consumer, net = busy(server, detect_gaps=None)
        server.do("DEL", "s")
        add(server, 100, 101)
        assert go_on(consumer, net)[1:] == ["100-0", "101-0"]
        assert gaps(net) == [GroupRecreated(b"s", b"g", "0")]

    def test_of_each_group_of_a_union(self, server: Server) -> None:
        add(server, 1, 4)
        add(server, 1, 4, "t")
        options: dict[str, Any] = {
            "consumer": "c",
            "count": 2,
            "prefetch": 1,
            "audit_interval": 1,
            "block": 1,
            "renew": False,
        }
        union: GroupConsumer[bytes] = GroupConsumer({"s": "g", "t": "h"}, exclusive=False, **options)
        net = Net(server, union)
        net.advance(2)
        for stream in ("s", "t"):
            server.do("DEL", stream)
        for _ in range(4):
            union.take()
            net.advance(1)
        told = {event.stream: event for event in net.pair.events() if isinstance(event, Gap)}
        assert told == {stream: Gap(stream, StreamId(2), None, 2, certain=True) for stream in (b"s", b"t")}


class TestGoneBack:
    def test_a_look_that_finds_it_voids_what_was_noted_before(self, server: Server) -> None:
        """Seed 333: the ids behind the loss are given anew, and the group goes before an audit has come."""
        server.do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
        add(server, 1, 2)
        consumer, net = consume(server, detect_gaps="always", audit_interval=1000, block=1, claim_idle=None)
        for batch in take_all(consumer, net):
            batch.ack()
        net.advance(1)
        replica = server.streams[b"s"].copied()
        add(server, 3, 4)
        for batch in take_all(consumer, net):
            batch.ack()
        net.advance(1)
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1)
        server.put(b"s", replica)
        net.advance(3)
        events(net)
        server.do("XGROUP", "DESTROY", "s", "g")
        add(server, 3, 5)
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0", "4-0", "5-0"]
        assert events(net)[0] == GroupRecreated(b"s", b"g", "0")


class TestReplaced:
    @pytest.mark.parametrize("group", [False, True])
    def test_by_one_with_fewer_entries(self, server: Server, group: bool) -> None:
        consumer, net = busy(server)
        replace_stream(server, 100, 101, group=group)
        assert go_on(consumer, net)[1:] == ["100-0", "101-0"]
        told = [event for event in gaps(net) if isinstance(event, Gap)]
        assert told == ([gap(5, 100)] if group else [gap(5, 100, 5, certain=True)])

    def test_by_one_whose_counters_explain_everything(self, server: Server) -> None:
        consumer, net = busy(server)
        replace_stream(server, *range(100, 130), trimmed=28)
        assert go_on(consumer, net)[1:] == ["128-0", "129-0"]
        assert gaps(net) == [GroupRecreated(b"s", b"g", "0"), gap(5, 128)]

    @pytest.mark.parametrize("detect_gaps", ["audit", None])
    def test_by_one_that_has_passed_the_low_water_mark(self, server: Server, detect_gaps: Any) -> None:
        """Seed 503664: the group was created again above entries that nobody had read."""
        consumer, net = busy(server, detect_gaps=detect_gaps)
        server.do("DEL", "s")
        add(server, 1, 3)
        add(server, 100, 101)
        assert go_on(consumer, net)[1:] == ["1-0", "2-0", "3-0", "100-0", "101-0"]
        assert gaps(net)[0] == GroupRecreated(b"s", b"g", "0")

    @pytest.mark.parametrize(("same_run", "told"), [(True, [gap(10, None), gap(0, None, 1)]), (False, [])])
    def test_by_one_that_brings_its_group_whose_read_puts_our_name_in(
        self, server: Server, same_run: bool, told: list[Gap]
    ) -> None:
        """The read that waits is answered there. Where the server's run is the same, no failover has taken anything back."""
        consumer, net = busy(server)
        consumer.resume()
        for batch in take_all(consumer, net):
            batch.ack()
        net.advance(2)
        replace_stream(server, 100, trimmed=1, group=True)
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "s", ">")
        if not same_run:
            server.run_id += b"+"
        net.cut("main", Fate.REPLIES_LOST)
        net.advance(2)
        assert [event for event in gaps(net) if isinstance(event, Gap)] == told

    def test_while_it_was_created_again(self, server: Server) -> None:
        consumer, net = busy(server)

        def replace(command: list[bytes]) -> None:
            if command[:2] == [b"XGROUP", b"CREATE"] and b"aside" not in server.streams:
                server.before = len
                replace_stream(server, 2, 3, *range(20, 30))

        server.before = replace
        server.do("XGROUP", "DESTROY", "s", "g")
        assert go_on(consumer, net)[1:3] == ["2-0", "3-0"]
        assert gaps(net) == [GroupRecreated(b"s", b"g", "0"), gap(5, None)]


class TestTheGroupAlone:
    def test_is_created_again_where_it_was_and_nothing_is_lost(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("XGROUP", "DESTROY", "s", "g")
        assert go_on(consumer, net)[1:] == [f"{n}-0" for n in range(5, 11)]
        assert gaps(net) == [GroupRecreated(b"s", b"g", f"4-{MAX}")]

    def test_what_was_pending_in_it_may_be_gone(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("XTRIM", "s", "MAXLEN", 4)
        net.advance(2)
        assert gaps(net) == [gap(5, 7, 1, certain=True)]
        server.do("XGROUP", "DESTROY", "s", "g")
        go_on(consumer, net)
        assert gaps(net) == [
            GroupRecreated(b"s", b"g", f"4-{MAX}"),
            Gap(b"s", StreamId(4, MAX), StreamId(7), None, False),
        ]

    def test_that_somebody_has_created_again_further_ahead_may_have_passed_over_something(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("XGROUP", "DESTROY", "s", "g")
        consumer.resume()
        server.before = lambda command: command[0] == b"XREADGROUP" and None
        server.do("XGROUP", "CREATE", "s", "g", "0")
        server.do("XGROUP", "DESTROY", "s", "g")

        def create(command: list[bytes]) -> None:
            if command[:2] == [b"XINFO", b"STREAM"]:
                server.do("XGROUP", "CREATE", "s", "g", "10-0")

        server.before = create
        assert go_on(consumer, net) == ["5-0"]
        assert gaps(net) == [Gap(b"s", StreamId(4, MAX), None, None, certain=False)]

    def test_that_another_member_was_faster_to_create_again(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("XGROUP", "DESTROY", "s", "g")

        def create(command: list[bytes]) -> None:
            if command[:2] == [b"XGROUP", b"CREATE"]:
                server.do("XGROUP", "CREATE", "s", "g", "8-0")

        server.before = create
        assert go_on(consumer, net)[1:] == ["9-0", "10-0"]
        assert gaps(net) == [Gap(b"s", StreamId(4, MAX), None, None, certain=False)]

    def test_that_was_destroyed_again_before_we_could_look(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("XGROUP", "DESTROY", "s", "g")

        def create(command: list[bytes]) -> None:
            if command[:2] == [b"XGROUP", b"CREATE"]:
                server.do("XGROUP", "CREATE", "s", "g", "8-0")
                server.before = destroy

        def destroy(command: list[bytes]) -> None:
            if command[:2] == [b"XINFO", b"GROUPS"]:
                server.do("XGROUP", "DESTROY", "s", "g")
                server.before = len

        server.before = create
        assert go_on(consumer, net)[1:] == [f"{n}-0" for n in range(5, 11)]

    def test_that_vanished_while_we_were_away_was_replaced(self, server: Server) -> None:
        consumer, net = busy(server)
        net.cut("main", Fate.REQUESTS_LOST)
        server.do("XGROUP", "DESTROY", "s", "g")
        server.do("XGROUP", "CREATE", "s", "g", "9-0")
        assert go_on(consumer, net) == ["5-0", "10-0"]
        assert gaps(net) == [Gap(b"s", StreamId(4, MAX), None, None, certain=False)]

    def test_that_is_still_there_after_a_reconnect_proves_its_stream(self, server: Server) -> None:
        """All entries that we knew are gone, and nothing is lost."""
        consumer, net = busy(server)
        assert go_on(consumer, net)[-1] == "10-0"
        net.advance(3)
        net.cut("main", Fate.REQUESTS_LOST)
        add(server, 11, 12)
        server.do("XREADGROUP", "GROUP", "g", "other", "COUNT", 9, "STREAMS", "s", ">")
        server.do("XTRIM", "s", "MAXLEN", 0)
        net.advance(3)
        assert gaps(net) == []


class TestLostReplies:
    def test_of_what_created_the_group_again(self, server: Server) -> None:
        consumer, net = busy(server)
        server.do("DEL", "s")
        add(server, 100, 101)
        server.before = lambda command: lose(server, net, command, b"CREATE")
        assert go_on(consumer, net)[1:] == ["100-0", "101-0"]
        assert gaps(net) == [GroupRecreated(b"s", b"g", "0"), gap(5, 100, 5, certain=True)]

    @pytest.mark.parametrize("detect_gaps", ["audit", None])
    def test_of_the_same_while_the_stream_was_replaced(self, server: Server, detect_gaps: Any) -> None:
        consumer, net = busy(server, detect_gaps=detect_gaps)
        server.do("XGROUP", "DESTROY", "s", "g")

        def replace(command: list[bytes]) -> None:
            if command[:2] == [b"XGROUP", b"CREATE"]:
                lose(server, net, command, b"CREATE")
                server.before = then

        def then(command: list[bytes]) -> None:
            if command[:2] == [b"XINFO", b"STREAM"] or command[:2] == [b"XINFO", b"GROUPS"]:
                server.before = len
                group = server.group()
                replace_stream(server, 2, 3, *range(20, 30))
                server.streams[b"s"].groups[b"g"] = group  # as if it had been created there

        server.before = replace
        assert go_on(consumer, net)[1:3] == ["2-0", "3-0"]
        assert gaps(net)[0] == GroupRecreated(b"s", b"g", "0")

    @pytest.mark.parametrize(("detect_gaps", "told"), [("always", [gap(0, 7)]), ("audit", [])])
    def test_of_the_very_read_behind_the_look(self, server: Server, detect_gaps: Any, told: list[Gap]) -> None:
        """Seed 6478: what it had passed over was trimmed unread, and nobody knew."""
        consumer, net = consume(server, detect_gaps=detect_gaps, block=1, audit_interval=60, prefetch=1)
        add(server, 1, 8)
        net.serve()
        net.advance(2)
        events(net)
        server.do("XTRIM", "s", "MAXLEN", 2)
        assert consumer.take() is not None
        net.cut_in_flight("main", Fate.REPLIES_LOST)
        net.advance(1)
        assert ids(take_all(consumer, net)) == ["7-0", "8-0"]
        assert gaps(net) == told


def lose(server: Server, net: Net, command: list[bytes], word: bytes) -> None:
    if word in command:
        server.before = len
        net.cut("main", Fate.REPLIES_LOST, after=1)


def test_all_that_was_pending_is_gone_so_the_next_audit_asks_for_the_anchor(server: Server) -> None:
    consumer, net = busy(server)
    server.do("XACK", "s", "g", "5-0")
    server.do("XREADGROUP", "GROUP", "g", "other", "COUNT", 9, "STREAMS", "s", ">")
    server.seen.clear()
    net.advance(2)
    assert [event for event in events(net) if isinstance(event, OwnershipLost)]
    net.advance(2)
    assert sent(server, "XRANGE") == [[b"XRANGE", b"s", b"10-0", b"10-0"]]
    assert gaps(net) == []
    assert consumer.members[0].loop.holdings.held(b"s") == set()


def test_where_it_is_forbidden_to_look_the_whole_stream_comes_again(server: Server) -> None:
    server.faults.denied = {"XINFO STREAM"}
    consumer, net = busy(server)
    server.do("XGROUP", "DESTROY", "s", "g")
    assert go_on(consumer, net)[1:] == [f"{n}-0" for n in range(1, 11)]
    assert gaps(net) == [GroupRecreated(b"s", b"g", "0")]


def test_a_member_that_waits_for_room_knows_the_mark_from_entering(server: Server) -> None:
    deliver(server, "c", 1, 2, 3)
    consumer, net = consume(server, max_in_flight=1, audit_interval=60)
    take_all(consumer, net)
    server.do("XGROUP", "DESTROY", "s", "g")
    net.advance(3)
    assert [event for event in events(net) if isinstance(event, EntriesRecovered | GroupRecreated)]
