"""Streams that are waited for: they have gone, or were never there."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument, NoGroupError, WrongTypeError
from streamcore.events import Gap, GroupCreated, GroupRecreated, StreamAwaited
from streamcore.group.absent_streams import KEYS, LOOK
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Fate, Net
from tests.core.support.members import add, consume, events, ids, sent, take_all
from tests.core.support.server import Server


def expired(server: Server, *names: str, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A member whose streams were there when it came, and have gone since; all that was in them is acknowledged."""
    for name in names:
        add(server, 1, 2, name)
    consumer, net = consume(server, streams=list(names), **options)
    for batch in take_all(consumer, net):
        batch.ack()
    net.advance(0.1)
    events(net)
    for name in names:
        server.do("DEL", name)
    net.serve()
    return consumer, net


class TestGone:
    def test_it_is_not_put_back(self, server: Server) -> None:
        _, net = expired(server, "s")
        net.advance(30)
        assert server.streams == {}
        assert events(net) == [StreamAwaited(b"s", b"g"), Gap(b"s", StreamId(0), None, None, certain=False)]

    def test_when_it_comes_back_nothing_of_it_is_missed(self, server: Server) -> None:
        consumer, net = expired(server, "s")
        events(net)
        add(server, 1, 3)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0", "3-0"]
        assert events(net) == [GroupRecreated(b"s", b"g", "0")]

    def test_what_went_with_it_unread_is_told_at_once(self, server: Server) -> None:
        add(server, 1, 5)
        consumer, net = consume(server, prefetch=1, audit_interval=1, block=1)
        consumer.pause()
        net.advance(2)
        events(net)
        consumer.take()
        server.do("DEL", "s")
        consumer.resume()
        take_all(consumer, net)
        net.advance(2)
        assert events(net)[:2] == [StreamAwaited(b"s", b"g"), Gap(b"s", StreamId(2), None, 3, certain=True)]

    def test_what_the_new_one_has_lost_before_it_could_be_read_is_possible(self, server: Server) -> None:
        consumer, net = expired(server, "s")
        events(net)
        add(server, 10, 13)
        server.do("XTRIM", "s", "MAXLEN", 1)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["13-0"]
        assert events(net)[1:] == [Gap(b"s", StreamId(0), StreamId(13), None, certain=False)]

    def test_also_where_somebody_else_was_faster_and_has_created_the_group(self, server: Server) -> None:
        """Seed 576: the others may have been given what is gone."""
        consumer, net = expired(server, "s")
        events(net)
        add(server, 10, 13)
        server.do("XGROUP", "CREATE", "s", "g", "0")
        server.do("XTRIM", "s", "MAXLEN", 1)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["13-0"]
        assert events(net) == [Gap(b"s", StreamId(0), StreamId(13), None, certain=False)]

    def test_or_has_read_of_it(self, server: Server) -> None:
        consumer, net = expired(server, "s")
        events(net)
        add(server, 10, 13)
        server.do("XGROUP", "CREATE", "s", "g", "0")
        server.do("XTRIM", "s", "MAXLEN", 2)
        server.do("XREADGROUP", "GROUP", "g", "other", "COUNT", 1, "STREAMS", "s", ">")
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["13-0"]
        assert events(net) == [Gap(b"s", StreamId(0), StreamId(12), None, certain=False)]

    def test_where_gaps_are_not_to_be_told_none_is(self, server: Server) -> None:
        consumer, net = expired(server, "s", detect_gaps=None)
        events(net)
        add(server, 10, 13)
        server.do("XTRIM", "s", "MAXLEN", 1)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["13-0"]
        assert events(net) == [GroupRecreated(b"s", b"g", "0")]

    def test_the_others_are_read_meanwhile(self, server: Server) -> None:
        add(server, 1, 1, "t")
        consumer, net = consume(server, streams=["s", "t"])
        take_all(consumer, net)
        server.do("DEL", "s")
        net.advance(0.5)
        add(server, 2, 2, "t")
        net.serve()
        assert ids(take_all(consumer, net)) == ["2-0"]
        add(server, 3, 3)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["3-0"]

    def test_also_where_it_is_gone_when_a_connection_is_back(self, server: Server) -> None:
        add(server, 1, 1)
        consumer, net = consume(server)
        take_all(consumer, net)
        net.cut("main", Fate.REQUESTS_LOST)
        server.do("DEL", "s")
        net.advance(2)
        assert server.streams == {}
        add(server, 2, 2)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["2-0"]

    def test_or_goes_again_at_the_moment_when_its_group_is_to_be_created(self, server: Server) -> None:
        consumer, net = expired(server, "s")
        events(net)

        def expire(command: list[bytes]) -> None:
            if command[:2] == [b"XGROUP", b"CREATE"]:
                server.before = len
                server.do("DEL", "s")

        server.before = expire
        add(server, 10, 11)
        net.advance(LOOK)
        assert server.streams == {}
        assert [type(event) for event in events(net)] == [Gap]
        add(server, 20, 20)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["20-0"]

    def test_another_member_may_be_faster_to_create_the_group(self, server: Server) -> None:
        consumer, net = expired(server, "s")
        server.do("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
        add(server, 1, 2)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]

    def test_it_is_put_back_where_that_is_asked_for(self, server: Server) -> None:
        _, net = expired(server, "s", on_stream_lost="recreate")
        assert list(server.streams) == [b"s"]
        assert events(net)[0] == GroupRecreated(b"s", b"g", "0")

    @pytest.mark.parametrize("options", [{"create": False}, {"on_group_lost": "raise"}])
    def test_or_it_is_the_end(self, server: Server, options: dict[str, Any]) -> None:
        add(server, 1, 1)
        server.do("XGROUP", "CREATE", "s", "g", "0")
        consumer, net = consume(server, **options)
        take_all(consumer, net)
        server.do("DEL", "s")
        net.serve()
        with pytest.raises(NoGroupError, match="has lost its group"):
            consumer.take()

    def test_it_may_be_read_no_more(self, server: Server) -> None:
        consumer, net = expired(server, "s", "t")
        for name in ("s", "t"):
            consumer.remove_stream(name)
        add(server, 1, 1)
        sent(server, "XREAD")
        net.advance(LOOK * 2)
        assert sent(server, "XREAD") == []

    def test_who_does_not_want_to_know_is_told_of_no_gap(self, server: Server) -> None:
        consumer, net = expired(server, "s", detect_gaps=None)
        add(server, 1, 1)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["1-0"]
        assert events(net) == [StreamAwaited(b"s", b"g"), GroupRecreated(b"s", b"g", "0")]

    def test_of_one_that_nobody_has_looked_at_no_gap_is_told(self, server: Server) -> None:
        _, net = consume(server, start="$")
        events(net)
        server.do("DEL", "s")
        net.serve()
        assert events(net) == [StreamAwaited(b"s", b"g")]

    def test_nothing_is_looked_for_once_it_drains(self, server: Server) -> None:
        consumer, net = expired(server, "s")
        consumer.drain()
        sent(server, "XREAD")
        net.advance(LOOK * 3)
        assert sent(server, "XREAD") == []


class TestNeverThere:
    def test_it_is_waited_for_and_read_from_its_beginning(self, server: Server) -> None:
        consumer, net = consume(server, create="group", start="$")
        assert (consumer.is_ready, server.streams, events(net)) == (True, {}, [StreamAwaited(b"s", b"g")])
        net.advance(5)
        assert server.streams == {}
        add(server, 1, 2)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["1-0", "2-0"]
        assert events(net) == [GroupCreated(b"s", b"g", "0")]

    def test_one_that_is_there_is_read_from_where_it_shall(self, server: Server) -> None:
        add(server, 1, 2)
        consumer, net = consume(server, create="group", start="$")
        add(server, 3, 3)
        net.serve()
        assert ids(take_all(consumer, net)) == ["3-0"]

    def test_one_may_join(self, server: Server) -> None:
        add(server, 1, 1)
        consumer, net = consume(server, create="group")
        joining = consumer.add_stream("t")
        assert joining is not None
        net.serve()
        assert joining.poll()
        add(server, 1, 1, "t")
        net.advance(LOOK + 0.1)
        assert len(take_all(consumer, net)) == 2

    def test_who_waits_for_nothing_else_comes_to_its_end(self, server: Server) -> None:
        consumer, net = consume(server, create="group", stop_on_idle=True, block=None)
        ended = [consumer.ended]
        net.advance(LOOK)
        assert [*ended, consumer.ended] == [False, True]
        add(server, 1, 1)
        consumer.begin()
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_a_contradiction_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="creates no stream"):
            GroupConsumer("s", group="g", consumer="c", create="group", on_stream_lost="recreate")

    def test_or_goes_at_the_moment_when_its_group_is_to_be_created(self, server: Server) -> None:
        def expire(command: list[bytes]) -> None:
            if command[:2] == [b"XGROUP", b"CREATE"]:
                server.before = len
                server.do("DEL", "s")

        server.before = expire
        add(server, 1, 1)
        _, net = consume(server, create="group")
        assert (server.streams, events(net)) == ({}, [StreamAwaited(b"s", b"g")])


class TestLooking:
    def test_many_are_looked_for_by_few_commands(self, server: Server) -> None:
        names = [str(number) for number in range(KEYS + 1)]
        consumer, net = consume(server, streams=names, create="group")
        add(server, 1, 1, "7")
        sent(server, "XREAD")
        net.advance(LOOK)
        assert [len(command) for command in sent(server, "XREAD")] == [4 + 2 * KEYS, 4 + 2]
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_they_are_looked_for_while_there_is_no_room_to_recover_what_an_earlier_run_has_left(
        self, server: Server
    ) -> None:
        """Seed 2000263: their time had come, nothing looked for them, and the timer was due for ever."""
        add(server, 1, 4, "t")
        server.do("XGROUP", "CREATE", "t", "g", "0")
        server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 10, "STREAMS", "t", ">")
        consumer, net = consume(server, streams=["s", "t"], create="group", max_in_flight=2, audit_interval=60)
        held = take_all(consumer, net)
        add(server, 7, 7)
        net.advance(LOOK)
        assert server.do("XINFO", "GROUPS", "s")
        left: list[str] = []
        while held:
            for batch in held:
                batch.ack()
            held = take_all(consumer, net)
            left += ids(held)
        assert left == ["3-0", "4-0", "7-0"]

    def test_where_that_is_forbidden_each_is_looked_at(self, server: Server) -> None:
        consumer, net = consume(server, streams=["s", "t"], create="group")
        server.faults.denied.add("XREAD")
        add(server, 1, 1)
        net.advance(LOOK)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_a_key_of_another_type_is_the_end(self, server: Server) -> None:
        consumer, net = consume(server, create="group")
        server.do("SET", "s", "x")
        net.advance(LOOK)
        with pytest.raises(WrongTypeError):
            consumer.take()

    def test_a_server_that_cannot_tell_now_is_dialled_again(self, server: Server) -> None:
        consumer, net = consume(server, create="group")
        server.faults.unavailable = "LOADING loading"
        net.advance(LOOK)
        assert not net.pair.server.link.is_up
        server.faults.unavailable = None
        add(server, 1, 1)
        net.advance(LOOK * 2)
        assert ids(take_all(consumer, net)) == ["1-0"]

    def test_reads_wait_no_longer_than_until_the_next_look(self, server: Server) -> None:
        add(server, 1, 1, "t")
        consumer, net = consume(server, streams=["s", "t"], create="group", block=5)
        take_all(consumer, net)
        net.advance(0.5)
        reads = [command for command in server.seen if command[0] == b"XREADGROUP" and b"BLOCK" in command]
        assert 0 < int(reads[-1][reads[-1].index(b"BLOCK") + 1]) <= LOOK * 1000 + 1
