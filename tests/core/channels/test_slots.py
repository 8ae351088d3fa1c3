"""A hub of channels in a cluster: a reader for each slot, and questions to the node of their slot."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.channels import Naming, Settings, StreamHub
from streamcore.cluster.shared_link import BEGINNING
from streamcore.commands import key_slot
from streamcore.consumer.cursor import CursorChange, StreamCursor
from streamcore.entries import StreamId
from streamcore.errors import RemoteProtocolError, RequestTimeout, WrongTypeError, reply_error
from streamcore.events import ChannelEnded, Connected, Disconnected, Gap, Reconnected, StreamReset
from streamcore.testing.model import Session
from tests.core.support.rooms import CHANNELS, Rooms
from tests.core.support.slots import router_of

A, B, C = (key_slot(name) for name in ("a", "b", "c"))


class TestReaders:
    def test_it_is_ready_when_the_nodes_are_known(self) -> None:
        rooms = Rooms()
        assert rooms.hub.is_ready
        assert rooms.links == {}
        assert rooms.hub._pages.is_up
        alone = StreamHub(Settings(), Naming("", None), router=router_of(rooms.cluster))
        assert not alone.is_ready

    def test_channels_of_a_slot_share_a_reader_and_each_slot_has_its_own(self) -> None:
        rooms = Rooms()
        rooms.join(*CHANNELS)
        shared = {f"shared at {address}": address for address in map(rooms.address, "abc")}
        assert rooms.links == {
            **shared,  # for the questions about all slots of a node
            f"main, slot {A}": rooms.address("a"),
            f"main, slot {B}": rooms.address("b"),
            f"main, slot {C}": rooms.address("c"),
        }
        sent = rooms.number(*CHANNELS) + rooms.number(*CHANNELS)
        assert sorted(rooms.work()) == sorted(sent)

    def test_the_last_who_leaves_a_slot_closes_its_links_and_the_next_opens_them_again(self) -> None:
        rooms = Rooms()
        rooms.join("a", "{a}2", "b")
        rooms.hub.leave(rooms.subscriber, "{a}2")
        rooms.net.advance(0.1)
        assert f"main, slot {A}" in rooms.links
        rooms.hub.leave(rooms.subscriber, "a")
        rooms.net.advance(0.1)
        assert f"main, slot {A}" not in rooms.links
        assert f"main, slot {B}" in rooms.links
        rooms.number("a")
        rooms.join("a", history=5)
        assert rooms.work() == [("a", "1")]
        assert rooms.number("a", "b") == sorted(rooms.work())
        rooms.hub.leave(rooms.subscriber)
        rooms.net.advance(0.1)
        assert not [name for name in rooms.links if name.startswith("main")]
        rooms.hub.close()

    def test_beyond_the_cap_readers_share_a_link_and_wait_there(self) -> None:
        channels = [f"room-{n}" for n in range(40)]
        rooms = Rooms(router={"max_links_per_node": 2})
        for channel in channels:
            rooms.join(channel)
            assert rooms.number(channel) == rooms.work(0.2)
        assert len([name for name in rooms.links if name.startswith("main")]) == 6
        for _ in range(3):
            sent = rooms.number(*channels)
            assert sorted(rooms.work()) == sorted(sent)
        rooms.hub.leave(rooms.subscriber, channels[::2])
        assert sorted(rooms.number(*channels)[1::2]) == sorted(rooms.work())
        assert rooms.alarms == []

    def test_however_many_share_a_link_none_waits_for_another_to_begin(self) -> None:
        rooms = Rooms(router={"max_links_per_node": 1})
        owner = rooms.cluster.owner("a")
        names = (f"room-{number}" for number in range(1000))
        channels = [name for name in names if rooms.cluster.owner(name) is owner][: 2 * BEGINNING]
        rooms.join(*channels)
        sent = rooms.number(*channels[-9:])
        assert sorted(rooms.work(1.0)) == sorted(sent)

    def test_a_channel_that_joins_a_slot_ends_the_wait_there(self) -> None:
        rooms = Rooms(router={"max_links": 1})
        rooms.join("b")
        rooms.join("{a}1", "{a}2")
        rooms.net.advance(2.0)
        rooms.join("{a}3")
        sent = rooms.number("{a}1", "{a}2", "{a}3")
        assert sorted(rooms.work(0.3)) == sorted(sent)
        rooms.net.advance(0.3)
        sent = rooms.number("{a}1", "{a}3")  # and what came last is proven on the way
        assert sorted(rooms.work(0.3)) == sorted(sent)

    def test_a_wait_on_a_shared_link_is_not_ended_before_the_question_in_front_of_it_is_answered(self) -> None:
        rooms = Rooms(router={"max_links": 1})
        rooms.join("b")
        rooms.join("{a}1")
        reader = rooms.hub._channels._readers.of(b"{a}1")
        asked: list[bytes] = []

        def add(_: Session, words: list[bytes]) -> None:
            if words[0] == b"XRANGE" and b"+" not in words and not asked:  # the proof of the last batch is on its way
                asked.append(words[0])
                reader.change(CursorChange(StreamCursor(b"{a}3", StreamId(0), watched=True)))
                reader.reader.unblocker.elapse(rooms.net.pair.now)

        assert rooms.number("{a}1") == rooms.work()
        rooms.cluster.owner("a").on_command = add
        assert rooms.number("{a}1") == rooms.work(1.0)
        assert asked
        assert b"{a}3" in reader.streams
        assert rooms.work(1.0) == []
        assert rooms.number("{a}1") == rooms.work()
        assert rooms.alarms == []


class TestMoves:
    @pytest.mark.parametrize("how", ["classic", "atomic"])
    def test_slots_that_move_are_followed(self, how: Any) -> None:
        rooms = Rooms()
        another = rooms.hub.subscribers.open()
        rooms.join(*CHANNELS)
        rooms.join("a", "c", subscriber=another)
        for _ in range(4):
            sent = rooms.number(*CHANNELS)
            for channel in "ac":
                rooms.cluster.move_slot(key_slot(channel), rooms.other(channel), how=how)
            more = rooms.number(*CHANNELS)
            taken = rooms.work()
            assert sorted(taken) == sorted(sent + more)
            for channel in CHANNELS:  # each in its order
                assert [one for one in taken if one[0] == channel] == [one for one in sent + more if one[0] == channel]
            assert len(rooms.take(another)) == 4
        assert rooms.alarms == []
        ends = [event.link for event in rooms.events if isinstance(event, Disconnected)]
        assert ends
        assert not [link for link in ends if link.endswith(f"slot {B}")], "the others are not touched"

    @pytest.mark.parametrize("way", ["failover", "crash"])
    def test_primaries_that_change_are_followed(self, way: str) -> None:
        rooms = Rooms(router={"max_links_per_node": 1}, nodes={"election_delay": 0.5})
        rooms.join(*CHANNELS)
        for _ in range(2):
            sent = rooms.number(*CHANNELS)
            rooms.net.advance(0.1)
            owner = rooms.cluster.owner("a")
            if way == "failover":
                rooms.cluster.failover(rooms.cluster.replica_of(owner))
            else:
                rooms.cluster.crash(owner)
            taken = rooms.work(8.0)
            more = rooms.number(*CHANNELS)
            assert sorted(taken + rooms.work(3.0)) == sorted(sent + more)
            if way == "crash":
                break  # its replica has no replica
        assert rooms.alarms == []

    @pytest.mark.parametrize("how", ["classic", "atomic"])
    @pytest.mark.parametrize("history", [0, 3])
    def test_who_joins_while_the_slot_moves_gets_its_history(self, how: Any, history: int) -> None:
        rooms = Rooms()
        sent = rooms.number("a") + rooms.number("a")
        joining = rooms.ask("a", history=history)
        rooms.cluster.move_slot(A, rooms.other("a"), how=how)
        assert not joining.done
        rooms.net.advance(1.0)
        assert joining.poll()
        rooms.hub.end(joining)
        live = rooms.number("a")
        assert rooms.work() == (sent if history else []) + live

    def test_a_key_that_is_on_its_way_is_waited_for(self) -> None:
        rooms = Rooms()
        sent = rooms.number("a")
        target = rooms.other("a")
        move = rooms.cluster.begin_move(A, target)
        move.begin()
        move.move_keys()
        joining = rooms.ask("a", history=1)
        rooms.net.advance(0.5)
        assert not joining.done
        move.finish()
        rooms.net.advance(2.0)
        assert joining.poll()
        rooms.hub.end(joining)
        assert rooms.work() == sent

    def test_a_slow_subscriber_catches_up_where_the_slot_is_then(self) -> None:
        rooms = Rooms(queue_size=4)
        rooms.join("a", "b")
        sent: list[Any] = []
        for n in range(12):
            sent += rooms.number("a", "b")
            rooms.net.advance(0.05)
            if n % 4 == 3:
                rooms.cluster.move_slot(A, rooms.other("a"))
        taken = rooms.work(3.0)
        assert sorted(taken) == sorted(sent)
        for channel in "ab":
            assert [one for one in taken if one[0] == channel] == [one for one in sent if one[0] == channel]
        assert rooms.alarms == []


class TestEvents:
    def test_a_connection_is_told_where_its_channels_are_heard(self) -> None:
        rooms = Rooms()
        another = rooms.hub.subscribers.open()
        rooms.join("a")
        rooms.join("b", subscriber=another)
        rooms.items()
        rooms.items(another)
        rooms.cluster.move_slot(A, rooms.other("a"))
        rooms.net.advance(1.0)
        told = [type(item) for item in rooms.items()]
        assert Disconnected in told
        assert Reconnected in told
        assert [item for item in rooms.items(another) if isinstance(item, (Disconnected, Reconnected))] == []
        assert {event.owner for event in rooms.events if isinstance(event, Connected)} == {"Channels"}

    def test_a_slot_that_is_joined_again_after_its_lanes_have_moved_is_told(self) -> None:
        rooms = Rooms(nodes={"replicas": 0})
        rooms.join("a")
        heir = rooms.other("a")
        rooms.net.hidden.add(heir)  # the lanes go on there, and are not up
        rooms.cluster.move_slot(A, heir)
        rooms.net.advance(3.0)
        assert rooms.script("a")._has_moved
        rooms.hub.leave(rooms.subscriber, "a")
        rooms.net.hidden.clear()
        rooms.events.clear()
        rooms.join("a")
        told = {event.link for event in rooms.events if isinstance(event, (Connected, Reconnected))}
        assert {f"history, slot {A}", f"main, slot {A}"} <= told

    def test_a_reader_that_was_on_its_way_to_a_link_of_its_own_is_told_when_it_is_opened_again(self) -> None:
        rooms = Rooms(router={"max_links_per_node": 1})
        owner = rooms.cluster.owner("a")
        second = next(name for name in map(str, range(100)) if rooms.cluster.owner(name) is owner)
        rooms.join("a")
        rooms.join(second)
        rooms.net.hidden.add(owner)
        for _ in range(30):
            rooms.number(second)
            rooms.work(0.1)
        reader = rooms.hub._channels._readers.of(second.encode()).reader
        assert reader._moved, "it has found the most, and goes on over a link of its own, which is not up"
        rooms.hub.leave(rooms.subscriber, second)
        rooms.net.hidden.clear()
        rooms.net.advance(3.0)
        rooms.events.clear()
        rooms.join(second)
        told = {event.link for event in rooms.events if isinstance(event, (Connected, Reconnected))}
        assert f"main, slot {key_slot(second)}" in told

    def test_a_gap_is_told_in_its_channel(self) -> None:
        rooms = Rooms(queue_size=2)
        another = rooms.hub.subscribers.open()
        rooms.join("a", "b", "{a}2")
        rooms.join("b", subscriber=another)
        for _ in range(9):
            rooms.number("a", "b", "{a}2")
            rooms.net.advance(0.05)
        rooms.run("XTRIM", "a", "MAXLEN", 2)
        items = rooms.items()
        for _ in range(20):
            rooms.net.advance(0.1)
            items += rooms.items()
        [gap] = [item for item in items if isinstance(item, Gap)]
        assert gap.stream == b"a"
        assert gap.entries is not None
        heard = [item.data for item in items if getattr(item, "channel", "") == "a"]
        assert len(heard) + gap.entries == 9
        assert [item.data for item in items if getattr(item, "channel", "") == "b"] == [str(n) for n in range(1, 10)]
        assert not [item for item in rooms.items(another) if isinstance(item, Gap)]

    def test_a_channel_that_began_anew_says_so(self) -> None:
        rooms = Rooms()
        rooms.join("a", "b")
        rooms.number("a", "b")
        rooms.work()
        rooms.run("DEL", "a")
        rooms.publish("a", "new", id_="1-1")
        items: list[Any] = []
        for _ in range(200):
            rooms.net.advance(0.1)
            items += rooms.items()
        assert [item.stream for item in items if isinstance(item, StreamReset)] == [b"a"]
        assert [item.data for item in items if hasattr(item, "data")] == ["new"]

    def test_a_channel_that_cannot_be_read_ends_alone(self) -> None:
        rooms = Rooms()
        rooms.join("a", "{a}2", "b")
        rooms.run("DEL", "a")
        rooms.run("SET", "a", "x")
        for _ in range(100):
            rooms.number("{a}2", "b")
            rooms.net.advance(0.1)
            if [event for event in rooms.events if isinstance(event, ChannelEnded)]:
                break
        with pytest.raises(WrongTypeError, match="channel 'a'"):
            rooms.hub.take_for(rooms.subscriber)
        assert rooms.hub.subscribers.channels(rooms.subscriber) == {"{a}2", "b"}
        rooms.run("DEL", "a")
        rooms.join("a")
        rooms.work()
        assert sorted(rooms.number("a", "b", "{a}2")) == sorted(rooms.work())


class TestQuestions:
    def test_a_join_in_a_slot_that_is_not_served_says_why_it_waits(self) -> None:
        rooms = Rooms(nodes={"replicas": 0, "node_timeout": 60.0})
        rooms.join("a", "b")
        rooms.cluster.crash(rooms.cluster.owner("a"))
        rooms.net.advance(0.3)
        joining = rooms.ask("{a}2", subscriber=rooms.hub.subscribers.open())
        rooms.net.advance(6.0)
        assert not joining.poll()
        why = rooms.hub.why_not(joining)
        assert type(why) is RequestTimeout
        assert str(why).startswith("no answer within 5 s: ")
        rooms.hub.end(joining)
        assert rooms.number("b") == rooms.work()

    def test_questions_of_those_who_have_left_are_forgotten(self) -> None:
        rooms = Rooms(nodes={"replicas": 0, "node_timeout": 60.0})
        rooms.join("a")
        rooms.cluster.crash(rooms.cluster.owner("a"))
        rooms.net.advance(0.3)
        script = rooms.script("a")
        visitors = [rooms.hub.subscribers.open() for _ in range(300)]
        for visitor in visitors:
            joining = rooms.ask("a", "{a}2", subscriber=visitor)
            rooms.hub.end(joining)
            rooms.hub.close_subscriber(visitor)
        assert len(script._asked) <= 65
        rooms.hub.leave(rooms.subscriber)
        assert not script._asked
        assert not script.keys

    def test_an_answer_for_those_who_have_left_is_dropped(self) -> None:
        rooms = Rooms()
        rooms.join("a")
        rooms.number("a", "{a}2")
        joining = rooms.ask("{a}2", history=1)
        rooms.net.pair.settle()
        rooms.hub.end(joining)
        joining = rooms.ask("{a}2", history=1)
        rooms.net.advance(0.5)
        rooms.hub.end(joining)
        assert sorted(rooms.work()) == [("a", "1"), ("{a}2", "1")]

    def test_an_answer_that_makes_no_sense_ends_the_hub(self) -> None:
        rooms = Rooms()
        rooms.join("a")
        rooms.script("a").fail(RemoteProtocolError("nonsense"))
        with pytest.raises(RemoteProtocolError):
            rooms.hub.check()

    def test_a_server_that_cannot_serve_now_is_asked_again(self) -> None:
        rooms = Rooms()
        rooms.join("a", "b")
        rooms.hub._pages.refuse(b"a", reply_error("LOADING the dataset"))
        rooms.net.advance(0.01)
        joining = rooms.ask("{a}2")
        rooms.net.advance(1.0)
        assert joining.poll()
        told = [type(event) for event in rooms.events if getattr(event, "link", "") == f"history, slot {A}"]
        assert told == [Connected, Disconnected, Reconnected]

    def test_the_end_of_the_hub_ends_them(self) -> None:
        rooms = Rooms()
        joining = rooms.ask("a", "b")
        rooms.hub.close()
        with pytest.raises(Exception, match="the reply was lost: the channels were closed"):
            joining.poll()
