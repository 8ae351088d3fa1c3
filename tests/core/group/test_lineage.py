from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.events import AcksConfirmed, DeadLettered, Disconnected, OwnershipLost, PendingEntriesDeleted
from streamcore.group.lineage import Lineage, Origin
from streamcore.testing.model.values import Stream
from streamcore.testing.net import Fate, Net
from tests.core.support.members import add, consume, deliver, events, holding, ids, pending, sent, take, take_all
from tests.core.support.server import Server

ANOTHER = {"another": "entry"}
ONE = Origin(b"one", b"h")


def fail_over(server: Server, *, lost: int, again: bool = False, delivers: str = "") -> None:
    """A copy takes over that lacks everything from this number on; it may give the id again, and deliver that entry."""
    stream = server.streams[b"s"]
    stream.added -= stream.last[0] - lost + 1
    for id_ in [id_ for id_ in stream.ids if id_[0] >= lost]:
        stream.trim_one(id_)
        server.group().settle(id_)
    stream.last = server.group().last = StreamId(lost - 1)
    server.begin_anew()
    if again:
        server.add("s", f"{lost}-0", **ANOTHER)
    if delivers:
        server.do("XREADGROUP", "GROUP", "g", delivers, "COUNT", 1, "STREAMS", "s", ">")


def load_at(server: Server, *words: bytes) -> None:
    """From the next command of these words on, the server loads its data."""

    def load(command: list[bytes]) -> None:
        if command[: len(words)] == [*words]:
            server.faults.unavailable = "LOADING wait"
            server.before = len

    server.before = load


def lost(net: Net) -> list[bytes]:
    """The ids that are told not to be ours any more."""
    return [id_ for event in events(net) if isinstance(event, OwnershipLost) for id_ in event.ids]


class TestAnIdThatIsGivenTwice:
    """By a failover that loses entries, and a clock that was set back (seeds 13364 and 17422)."""

    @pytest.mark.parametrize("fenced", [False, True])
    @pytest.mark.parametrize("owner", ["c", "other"])
    @pytest.mark.parametrize("fate", [Fate.REQUESTS_LOST, Fate.REPLIES_LOST])
    def test_what_was_said_of_the_old_entry_is_not_taken_for_the_new_one(
        self, server: Server, fate: Fate, owner: str, fenced: bool
    ) -> None:
        consumer, net, batch = holding(server, 3, fenced=fenced, max_in_flight=3, report_acks=True)
        batch.ack()
        consumer.flush()
        net.pair.settle()
        net.cut("main", fate)
        fail_over(server, lost=3, again=True, delivers=owner)
        net.advance(0.1)
        assert (pending(server, owner), server.group().order) == (["3-0"], [StreamId(3)])
        told = [event for event in events(net) if isinstance(event, OwnershipLost | AcksConfirmed)]
        assert told == [OwnershipLost(b"s", (b"3-0",)), AcksConfirmed(b"s", (b"1-0", b"2-0"))]
        assert consumer.settled
        assert [entry.settled() for entry in batch] == [True, True, False]

    @pytest.mark.parametrize("how", ["ack", "nack", "dead_letter"])
    def test_nor_is_what_is_said_of_it_later(self, server: Server, how: str) -> None:
        consumer, net, batch = holding(server, 3)
        fail_over(server, lost=3, again=True)
        net.advance(0.1)
        assert lost(net) == [b"3-0"]
        getattr(batch, how)()
        net.advance(0.1)
        assert "3-0" in pending(server, "c")
        [new] = [one for one in take_all(consumer, net) if one.ids == [b"3-0"]]
        assert (new.raw[0][1], new.deliveries) == ([b"another", b"entry"], 1)
        new.ack()
        net.advance(0.1)
        assert "3-0" not in pending(server, "c")

    @pytest.mark.parametrize("how", ["nack", "dead_letter"])
    def test_nor_what_was_refused(self, server: Server, how: str) -> None:
        consumer, net, batch = holding(server, 3, max_in_flight=3)
        getattr(batch, how)()
        consumer.flush()
        net.pair.settle()
        net.cut("main", Fate.REQUESTS_LOST)
        fail_over(server, lost=3, again=True, delivers="c")
        net.advance(0.1)
        told = [event for event in events(net) if isinstance(event, DeadLettered)]
        assert [event.id for event in told] == ([b"1-0", b"2-0"] if how == "dead_letter" else [])
        assert b"3-0" in [one.raw[0][0] for one in take_all(consumer, net)]

    def test_what_was_read_ahead_of_the_old_stream_is_not_handed_over(self, server: Server) -> None:
        consumer, net = consume(server)
        add(server, 1, 2)
        net.serve()
        fail_over(server, lost=2, again=True)
        net.advance(0.1)
        entries = [entry for batch in take_all(consumer, net) for entry in batch]
        assert [(str(entry.id), entry.fields) for entry in entries] == [
            ("1-0", {b"f": b"v"}),
            ("2-0", {b"another": b"entry"}),
        ]


class TestProof:
    def test_the_highest_entry_proves_all_below_it(self, server: Server) -> None:
        consumer, net, batch = holding(server, 50, detect_gaps=None)
        batch[10].ack()
        server.begin_anew()
        server.seen.clear()
        net.advance(0.1)
        assert sent(server, "XRANGE") == [[b"XRANGE", b"s", b"50-0", b"50-0"]]
        batch.ack()
        net.advance(0.1)
        assert (lost(net), pending(server, "c"), consumer.settled) == ([], [], True)

    def test_what_is_deleted_by_now_does_no_harm(self, server: Server) -> None:
        consumer, net, batch = holding(server, 3, detect_gaps=None)
        server.do("XDEL", "s", "2-0", "3-0")
        fail_over(server, lost=4)
        server.seen.clear()
        net.advance(0.1)
        assert len(sent(server, "XRANGE")) == 4
        batch.ack()
        net.advance(0.1)
        assert (lost(net), pending(server, "c"), consumer.settled) == ([], [], True)

    def test_many_are_compared_by_the_page(self, server: Server) -> None:
        _, net, _ = holding(server, 2500)
        fail_over(server, lost=2400)
        net.advance(0.1)
        assert len(lost(net)) == 101
        assert len(pending(server, "c")) == 2399

    def test_of_a_stream_that_is_gone_nothing_is_ours(self, server: Server) -> None:
        _, net, _ = holding(server, 2)
        server.do("DEL", "s")
        server.begin_anew()
        net.advance(0.1)
        assert lost(net) == [b"1-0", b"2-0"]

    @pytest.mark.parametrize("forbidden", [b"INFO", b"XRANGE"])
    def test_what_cannot_be_proven_comes_again(self, server: Server, forbidden: bytes) -> None:
        server.faults.denied = {forbidden.decode()}
        consumer, net, batch = holding(server, 2)
        batch.ack()
        consumer.flush()
        net.pair.settle()
        net.cut("main", Fate.REQUESTS_LOST)
        server.begin_anew()
        net.advance(0.1)
        again = ids(take_all(consumer, net))
        assert (again, lost(net)) == (([], []) if forbidden == b"INFO" else (["1-0", "2-0"], [b"1-0", b"2-0"]))

    def test_what_was_acknowledged_in_a_batch_that_was_cut_is_proven(self, server: Server) -> None:
        """It was the highest entry, whose fields were gone with the rest of its batch: it came again."""
        server.faults.denied = {"INFO"}
        consumer, net, batch = holding(server, 3)
        batch[2].ack()
        consumer.split(batch, 2)
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(10.0)
        assert take_all(consumer, net) == []
        assert pending(server, "c") == ["1-0", "2-0"]

    def test_a_server_that_cannot_answer_now_is_asked_again(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2)
        batch.ack()
        server.begin_anew()
        load_at(server, b"XRANGE")
        net.advance(0.1)
        assert (server.faults.unavailable is not None, consumer.settled) == (True, False)
        server.faults.unavailable = None
        net.advance(1)
        assert (lost(net), pending(server, "c"), consumer.settled) == ([], [], True)

    def test_nor_is_it_taken_for_another_stream_where_its_counters_cannot_be_had_now(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2, detect_gaps=None)
        batch.ack()
        server.do("XDEL", "s", "2-0")
        server.begin_anew()
        load_at(server, b"XINFO", b"STREAM")
        net.advance(0.1)
        assert (server.faults.unavailable is not None, consumer.settled) == (True, False)
        server.faults.unavailable = None
        net.advance(1)
        assert (lost(net), pending(server, "c"), consumer.settled) == ([], [], True)

    def test_is_not_asked_for_while_the_server_is_the_same(self, server: Server) -> None:
        _, net, _ = holding(server, 2, detect_gaps=None)
        server.seen.clear()
        for fate in Fate:
            net.cut("main", fate)
            net.advance(6)
        assert sent(server, "XRANGE") == []

    def test_the_same_run_may_have_another_history(self, server: Server) -> None:
        """It was the copy of another one for a while, and is the first again."""
        _, net, _ = holding(server, 2, detect_gaps=None)
        server.replication.begin_anew()
        server.seen.clear()
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(0.1)
        assert len(sent(server, "XRANGE")) == 1

    def test_what_has_no_data_to_compare_is_found_again(self, server: Server) -> None:
        consumer, net = consume(server)
        consumer.members[0].loop.pending.bury(b"s", b"1-0", 3, b"too often")
        consumer.members[0].loop.settling.at_once = False
        server.begin_anew()
        net.advance(0.1)
        assert (consumer.members[0].loop.pending.settling, lost(net)) == (False, [])


class TestTombstones:
    """Seeds 8883 and 501003: what was deleted comes back, and nobody has processed it."""

    def test_what_clears_a_deleted_entry_does_not_settle_one_that_is_there_again(self, server: Server) -> None:
        deliver(server, "c", 1)
        server.do("XDEL", "s", "1-0")

        def bring_back(command: list[bytes]) -> None:
            if command[0] in {b"XCLAIM", b"XACK"}:
                server.put(
                    b"s", Stream([(1, 0)], {(1, 0): [b"f", b"v"]}, (1, 0), 1, groups=server.streams[b"s"].groups)
                )

        server.before = bring_back
        consumer, net = consume(server)
        assert take(consumer, net) is None
        net.advance(0.1)
        assert PendingEntriesDeleted(b"s", (b"1-0",)) in events(net)
        assert (pending(server, "c"), consumer.settled) == (["1-0"], True)
        net.advance(6)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_nor_does_it_end_anything_where_the_group_is_gone(self, server: Server) -> None:
        deliver(server, "c", 1)
        server.do("XDEL", "s", "1-0")
        server.before = lambda command: server.do("XGROUP", "DESTROY", "s", "g") if command[0] == b"XCLAIM" else None
        consumer, net = consume(server)
        assert take(consumer, net) is None
        net.advance(0.1)
        assert consumer.settled


class TestAckingLink:
    """It may reach another server than the reading link, or reach the new one first."""

    def lineage(self, origin: Origin, server: Server) -> Lineage:
        consumer, _ = consume(server)
        lineage = Lineage(consumer.members[0].loop.context, consumer.members[0].loop.pending)
        assert lineage.doubted(origin) == []
        lineage.prove(origin)
        return lineage

    def test_goes_on_without_the_reading_link_only_to_the_same_server(self, server: Server) -> None:
        lineage = self.lineage(ONE, server)
        lineage.disconnected()
        assert lineage.may_tell(ONE)
        assert not lineage.may_tell(Origin(b"two", b"h"))
        assert not lineage.may_tell(Origin(b"one", b"i"))
        assert not lineage.may_tell(Origin())

    def test_waits_for_the_first_connection_of_the_reading_link(self, server: Server) -> None:
        assert not Lineage((loop := consume(server)[0].members[0].loop).context, loop.pending).may_tell(ONE)

    def test_one_that_does_not_tell_who_it_is_has_to_be_believed(self, server: Server) -> None:
        assert self.lineage(ONE, server).may_tell(Origin())
        assert self.lineage(Origin(), server).may_tell(ONE)

    def test_waits_until_the_reading_link_has_proven_what_there_is(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2)
        batch[0].ack()
        net.advance(0.1)
        assert [link.name for link in consumer.links()] == ["main", "acks"]
        batch[1].ack()
        fail_over(server, lost=2, again=True, delivers="other")
        seen: list[bytes] = []
        server.before = lambda command: seen.append(command[0])
        net.advance(0.2)
        assert (pending(server, "other"), lost(net), consumer.settled) == (["2-0"], [b"2-0"], True)
        assert b"XACK" not in seen

    @pytest.mark.parametrize("how", ["ack", "nack", "dead_letter"])
    def test_does_not_repeat_what_is_voided_while_it_waits_for_an_answer_that_never_comes(
        self, server: Server, how: str
    ) -> None:
        """Seed 2015810: its connection is found to be lost after the reading link has proven what there is."""
        consumer, net, batch = holding(server, 3, max_deliveries=9)
        batch[0].ack()
        net.advance(0.1)
        for entry in (batch[1], batch[2]):
            getattr(entry, how)()
        consumer.flush()
        net.pair.settle()
        acks = net.pair.peer("acks")
        assert acks.commands
        net.silence("acks")
        fail_over(server, lost=3, again=True, delivers="c")
        net.advance(0.1)
        assert lost(net) == [b"3-0"]
        assert consumer.members[0].loop.pending.ids(b"s") == {b"2-0", b"3-0"}
        assert (consumer.members[0].loop.pending.unconfirmed, consumer.settled) == (1, False)
        acks.close(OSError("reset"))
        net.advance(0.5)
        assert consumer.settled
        assert server.group().pending[StreamId(3)].consumer == b"c"

    def test_is_dialled_again_where_it_has_reached_another_server(self, server: Server) -> None:
        consumer, net, batch = holding(server, 2)

        def answer(command: list[bytes]) -> None:
            server.run_id = b"two" if command[0] == b"INFO" and dials < 2 else first

        dials, first = 0, server.run_id
        server.before = answer
        batch.ack()
        net.advance(0.05)
        assert not consumer.settled
        told: list[Any] = [event for event in net.pair.events() if isinstance(event, Disconnected)]
        assert [event.link for event in told][:1] == ["acks"]
        dials = 2
        net.advance(1)
        assert (consumer.settled, pending(server, "c")) == (True, [])
