"""The group is created, and created again where it has vanished."""

from __future__ import annotations

import pytest

from streamcore.entries import GroupBatch, StreamId
from streamcore.errors import NoGroupError, OutOfMemoryError
from streamcore.events import Connected, Disconnected, Gap, GroupCreated, GroupRecreated, StreamAwaited
from streamcore.testing.net import Fate
from streamcore.testing.resp import Simple, entry
from tests.core.support.members import add, consume, deliver, events, ids, take_all
from tests.core.support.scripted_member import GONE, scripted
from tests.core.support.server import Server
from tests.core.support.streams import info, listed


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

    def test_another_consumer_may_be_faster_to_create_it(self) -> None:
        consumer, pair = scripted()
        pair.server.answer("run_id:1")
        pair.server.answer([listed(name="another")], GONE)
        pair.server.commands.clear()
        server = Server()
        server.do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
        pair.server.answer(server.do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"))
        pair.server.answer(server.do("XINFO", "GROUPS", "s"), server.do("XPENDING", "s", "g"))
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
        assert not [state for state in server.streams.values() if state.groups]

    def test_a_full_server_is_waited_for_only_where_the_group_is_missing(self) -> None:
        consumer, pair = scripted()
        pair.server.answer("run_id:1")
        pair.server.answer([], GONE)
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

        def set_back(command: list[bytes]) -> None:
            """Somebody wants 2-0 to be processed again, just before the first audit; the next read finds no group."""
            reads = [one for one in server.seen if one[0] == b"XREADGROUP"]
            if command[:2] == [b"XINFO", b"GROUPS"] and reads:
                server.group().last = StreamId(1)
            elif command[0] == b"XREADGROUP" and len(reads) > 1:
                server.before = len
                server.do("XGROUP", "DESTROY", "s", "g")

        server.seen.clear()
        server.before = set_back
        _, net = consume(server)
        net.advance(6)
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
        assert events(net) == [
            GroupRecreated(b"s", b"g", "0") if lower_ids else StreamAwaited(b"s", b"g"),
            Gap(b"s", StreamId(100), None, None, certain=False),
        ]
        assert ids(take_all(consumer, net)) == (["1-0", "2-0"] if lower_ids else [])

    def test_a_stream_that_begins_anew_at_that_moment_is_read_from_its_beginning(self, server: Server) -> None:
        deliver(server, "other", 100)
        server.do("XACK", "s", "g", "100-0")
        consumer, net = consume(server, on_stream_lost="recreate")

        def begin_anew(command: list[bytes]) -> None:
            if command[:2] == [b"XGROUP", b"CREATE"]:
                server.do("DEL", "s")

        server.before = begin_anew
        server.do("XGROUP", "DESTROY", "s", "g")
        net.serve()
        add(server, 1, 2)  # by a clock that was set back
        net.serve()
        assert events(net) == [
            GroupRecreated(b"s", b"g", "0"),
            Gap(b"s", StreamId(100), None, None, certain=False),
        ]
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]

    def test_the_mark_of_the_old_stream_does_not_hold_for_the_new_one(self, server: Server) -> None:
        deliver(server, "other", 100)
        consumer, net = consume(server, audit_interval=60, on_stream_lost="recreate")
        server.do("DEL", "s")
        net.serve()
        add(server, 200, 200)
        server.do("XGROUP", "DESTROY", "s", "g")
        net.serve()
        take_all(consumer, net)
        net.advance(6)
        told = [event for event in events(net) if isinstance(event, GroupRecreated)]
        assert told == [GroupRecreated(b"s", b"g", "0"), GroupRecreated(b"s", b"g", "0-0")]

    def test_at_the_beginning_before_the_first_audit(self, server: Server) -> None:
        deliver(server, "other", 1, 2)
        server.faults.denied = {"XPENDING"}  # the connection is cut before
        _, pair = scripted(start="$")
        pair.server.answer("run_id:1")
        pair.server.answer([listed("2-0")], GONE)
        pair.server.close()
        pair.advance(0.1)
        pair.server.expect("INFO")
        pair.server.answer("run_id:2")
        pair.server.expect("XINFO", "GROUPS")
        pair.server.expect("XPENDING")
        pair.server.answer([], GONE)
        pair.server.expect("XINFO", "STREAM")
        pair.server.expect("XRANGE", "s", "2-0", "2-0")
        pair.server.answer(info("2-0", length=1), [entry("2-0")])
        pair.server.expect("XGROUP", "CREATE", "s", "g", "0")
        pair.server.expect("XINFO", "STREAM")
        pair.server.expect("XRANGE", "s", "2-0", "2-0")
        pair.server.answer(Simple("OK"), info("2-0", length=1), [entry("2-0")])
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
