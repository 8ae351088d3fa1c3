"""A member looks at the group of a stream when it enters."""

from __future__ import annotations

from copy import deepcopy

import pytest

from streamcore.errors import WrongTypeError
from streamcore.events import Degraded, GroupCreated
from streamcore.keys import consumer_lease
from streamcore.testing.net import Fate
from tests.core.support.members import add, consume, deliver, events, ids, take_all
from tests.core.support.server import Server


class TestGroup:
    def test_an_existing_one_is_left_as_it_is(self, server: Server) -> None:
        deliver(server, "other", 1, 2)
        add(server, 3, 3)
        server.faults.denied = {"XGROUP"}
        consumer, net = consume(server)
        assert ids(take_all(consumer, net)) == ["3-0"]
        assert events(net) == [Degraded("gap detection", "+xgroup|createconsumer")]

    def test_may_exist_before(self, server: Server) -> None:
        deliver(server, "other")
        assert consume(server, create=False)[0].is_ready

    @pytest.mark.parametrize("create", [True, False])
    def test_on_a_key_of_another_type(self, server: Server, create: bool) -> None:
        server.do("SET", "s", "x")
        consumer, _ = consume(server, create=create)
        with pytest.raises(WrongTypeError, match="in reply to XINFO"):
            consumer.take()


class TestALookThatAFailoverHasTorn:
    """Seed 2003724: ``XINFO STREAM`` was answered before the failover, and ``XINFO GROUPS`` behind it."""

    @pytest.fixture
    def torn(self, server: Server) -> Server:
        add(server, 1, 5)
        server.do("XGROUP", "CREATE", "s", "g", "2-0", "ENTRIESREAD", 2)
        former = deepcopy(server.streams[b"s"])
        server.do("XDEL", "s", "4-0")

        def fail_over(command: list[bytes]) -> None:
            if command == [b"XINFO", b"GROUPS", b"s"]:
                server.before = len
                server.put(b"s", former)

        server.before = fail_over
        return server

    def test_it_is_made_again(self, torn: Server) -> None:
        _, net = consume(torn, claim_idle=None)
        assert events(net) == []
        assert [command[:2] for command in torn.seen].count([b"XINFO", b"GROUPS"]) == 2

    def test_and_counts_us_among_the_consumers_once(self, torn: Server) -> None:
        """The second look lists our name, since it was made behind ``XGROUP CREATECONSUMER``: a lone consumer has no others to list."""
        consume(torn, claim_idle=None, remove_idle_consumers=60)
        assert [b"XINFO", b"CONSUMERS"] not in [command[:2] for command in torn.seen]


class TestAStreamThatIsRemovedMeanwhile:
    @pytest.mark.parametrize(
        ("gone", "asked"),
        [
            (("DEL", "t"), [b"EVAL"]),
            (("DEL", "t"), [b"XINFO", b"GROUPS"]),
            (("XGROUP", "DESTROY", "t", "g"), [b"XINFO", b"GROUPS"]),
            (("XGROUP", "DESTROY", "t", "g"), [b"XGROUP", b"CREATE"]),
        ],
    )
    def test_is_forgotten(self, server: Server, gone: tuple[str, ...], asked: list[bytes]) -> None:
        """The others were not read any more; or, where the group was being created, the consumer ended by a ``KeyError``."""

        def remove(command: list[bytes]) -> None:
            if command[: len(asked)] == asked and {b"t", consumer_lease(b"t", b"g", b"c")} & set(command):
                server.before = len
                assert consumer.remove_stream("t")

        add(server, 1, 1)
        add(server, 2, 2, "t")
        consumer, net = consume(server, streams=["s", "t"], create="group")
        assert sorted(ids(take_all(consumer, net))) == ["1-0", "2-0"]
        server.do(*gone)
        server.before = remove
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1.0)
        assert consumer.groups == {b"s": b"g"}
        add(server, 3, 3)
        net.serve()
        assert ids(take_all(consumer, net)) == ["3-0"]

    def test_is_new_when_it_is_added_again(self, server: Server) -> None:
        def remove(command: list[bytes]) -> None:
            if command == [b"XINFO", b"GROUPS", b"t"]:
                server.before = len
                consumer.remove_stream("t")

        consumer, net = consume(server, streams=["s", "t"])
        server.before = remove
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1.0)
        server.do("XGROUP", "DESTROY", "t", "g")
        events(net)
        consumer.add_stream("t")
        net.serve()
        assert events(net) == [GroupCreated(b"t", b"g", "0-0")]

    @pytest.mark.parametrize("asked", [[b"XINFO", b"STREAM", b"t"], [b"XINFO", b"GROUPS", b"t"]])
    def test_is_new_when_an_audit_has_looked_at_it(self, server: Server, asked: list[bytes]) -> None:
        """The audit noted its replies behind the removal, and the next look compared the stream with them."""

        def remove(command: list[bytes]) -> None:
            if command == asked:
                server.before = len
                assert consumer.remove_stream("t")

        add(server, 1, 5, "t")
        consumer, net = consume(server, streams=["s", "t"])
        net.advance(1.0)
        server.before = remove
        net.advance(10.0)
        assert consumer.groups == {b"s": b"g"}
        server.do("DEL", "t")
        add(server, 1, 1, "t")
        events(net)
        consumer.add_stream("t")
        net.serve()
        assert events(net) == [GroupCreated(b"t", b"g", "0-0")]

    @pytest.mark.parametrize("asked", [b"EVAL", b"XINFO", b"XPENDING", b"XGROUP"])
    @pytest.mark.parametrize("gone", ["DEL", "EXISTS"])
    def test_leaves_no_note_in_the_backlog(self, server: Server, gone: str, asked: bytes) -> None:
        def remove(command: list[bytes]) -> None:
            if command[0] == asked and {b"t", consumer_lease(b"t", b"g", b"c")} & set(command):
                server.before = len
                assert consumer.remove_stream("t")

        add(server, 2, 2, "t")
        consumer, net = consume(server, streams=["s", "t"])
        server.do(gone, "t")
        server.before = remove
        net.cut("main", Fate.REQUESTS_LOST)
        net.advance(1.0)
        assert consumer.groups == {b"s": b"g"}
        assert [notes for notes in vars(consumer.members[0].loop.backlog).values() if b"t" in notes] == []

    def test_leaves_no_lease_behind_when_its_name_is_checked(self, server: Server) -> None:
        def remove(command: list[bytes]) -> None:
            if consumer_lease(b"t", b"g", b"c") in command:
                server.before = len
                assert consumer.remove_stream("t")

        consumer, net = consume(server, streams=["s", "t"])
        server.before = remove
        net.advance(10.0)
        assert consumer.groups == {b"s": b"g"}
        assert [command[3] for command in consumer.members[0].loop.lease.let_go()] == [consumer_lease(b"s", b"g", b"c")]

    def test_is_not_busy_for_entries_that_come_behind_its_removal(self, server: Server) -> None:
        consumer, net = consume(server, streams=["s", "t"])
        server.before = lambda command: command[0] == b"XREADGROUP" and consumer.remove_stream("t")
        net.cut("main", Fate.REQUESTS_LOST)
        add(server, 2, 2, "t")
        net.advance(1.0)
        assert b"t" not in consumer.members[0].loop.rounds._came
