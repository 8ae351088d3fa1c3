"""A consumer in a cluster: a reader for each slot of its streams, over a link to the node that serves the slot."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.commands import key_slot
from streamcore.consumer.consumer import Consumer
from streamcore.consumer.options import Interruption
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument, MovedError
from streamcore.events import ConnectAttemptFailed, Connected, Disconnected, Reconnected
from streamcore.testing.pair import Pair
from tests.core.support.slots import STREAMS, Following, move, other, trim

A, B, C = (key_slot(name) for name in ("a", "b", "c"))


class TestReaders:
    def test_streams_of_a_slot_share_a_read_and_each_slot_has_its_own(self) -> None:
        story = Following()
        assert story.consumer.is_ready
        assert story.links == {
            f"main, slot {A}": story.address("a"),
            f"main, slot {B}": story.address("b"),
            f"main, slot {C}": story.address("c"),
        }
        for stream in STREAMS:
            story.append(stream, 1, 2)
        assert sorted(story.work()) == sorted((stream, n) for stream in STREAMS for n in (1, 2))
        assert story.consumer.cursor() == {stream.encode(): StreamId(2) for stream in STREAMS}
        assert story.consumer.title == "Consumer of a, b, c and 1 more"

    def test_batches_are_taken_from_the_readers_in_turn(self) -> None:
        story = Following(("a", "b"), count=1)
        for n in range(1, 4):
            story.append("a", n)
            story.append("b", n)
        story.net.advance(0.1)
        assert story.consumer.has_batch
        assert [stream for stream, _ in story.take()] == ["a", "b", "a", "b", "a", "b"]
        assert not story.consumer.has_batch

    def test_a_batch_that_is_put_back_is_the_next(self) -> None:
        story = Following(("a", "b"), there={"a": (1, 2), "b": (1,)})
        first = story.consumer.take()
        assert first is not None
        assert first.key == b"a"
        rest = story.consumer.split(first, 1)
        story.consumer.put_back(rest)
        assert story.consumer.cursor() == {b"a": StreamId(2).before(), b"b": StreamId(0)}
        assert story.take() == [("a", 2), ("b", 1)]

    def test_a_pause_holds_for_all_of_them_and_for_those_to_come(self) -> None:
        story = Following(("a", "b"))
        story.append("a", 1)
        story.net.advance(0.1)
        story.consumer.pause()
        story.consumer.add_stream("c", "0")
        for stream in "abc":
            story.append(stream, 5)
        assert story.work() == []
        assert not story.consumer.has_batch
        story.consumer.resume()
        assert sorted(story.work()) == [("a", 1), ("a", 5), ("b", 5), ("c", 5)]

    def test_events_of_the_router_are_told_in_their_place(self) -> None:
        story = Following()
        move(story.cluster, "a")
        story.append("a", 1)
        story.work()
        told = iter(story.consumer.next_event_in_place, None)
        assert "TopologyChanged" in [type(event).__name__ for event in told]


class TestStreams:
    def test_the_first_stream_of_a_slot_brings_a_reader_and_the_last_takes_it_along(self) -> None:
        story = Following(("a",))
        added = story.consumer.add_stream("b", "0")
        assert added is not None
        assert story.consumer.is_ready, "what is added is not waited for"
        assert story.consumer.add_stream("b") is None
        with pytest.raises(InvalidArgument, match="followed already"):
            story.consumer.add_stream("b", "5")
        story.append("b", 1)
        story.append("a", 1)
        assert sorted(story.work()) == [("a", 1), ("b", 1)]
        assert added.poll()
        assert set(story.links) == {f"main, slot {A}", f"main, slot {B}"}
        assert story.consumer.remove_stream("b")
        assert not story.consumer.remove_stream("b")
        story.events.clear()
        assert story.work() == []
        assert set(story.links) == {f"main, slot {A}"}
        assert story.events == [], "its end is nothing to tell"
        assert story.consumer.add_stream("b", "1") is not None
        story.append("b", 2)
        assert story.work() == [("b", 2)]
        assert {type(event) for event in story.events} == {Connected, Reconnected}

    def test_batches_that_a_reader_has_when_another_comes_are_handed_over(self) -> None:
        story = Following(("a",))
        story.append("a", 1)
        story.net.advance(0.1)
        story.consumer.add_stream("b", "0")
        assert story.consumer.has_batch
        assert story.work() == [("a", 1)]

    def test_a_reader_whose_only_stream_is_given_up_is_closed(self) -> None:
        story = Following(("a",))
        added = story.consumer.add_stream("b")
        assert added is not None
        story.consumer.give_up(added)
        story.work()
        assert set(story.links) == {f"main, slot {A}"}
        assert not added.poll()

    def test_a_blocked_read_is_ended_at_its_own_node(self) -> None:
        story = Following()
        for stream, slot in (("{a}3", A), ("{c}3", C)):
            added = story.consumer.add_stream(stream, "0")
            assert added is not None
            story.net.advance(0.2)
            assert added.poll()
            assert story.links[f"control, slot {slot}"] == story.address(stream)
        story.consumer.remove_stream("{c}3")
        story.consumer.remove_stream("c")
        story.work()
        assert f"control, slot {C}" not in story.links
        story.consumer.add_stream("c")
        story.work()
        assert f"control, slot {C}" in story.links

    def test_a_stream_that_is_sought_is_read_from_there(self) -> None:
        story = Following()
        for stream in ("a", "b"):
            story.append(stream, 1, 2, 3)
        story.work()
        change = story.consumer.seek("b", "1")
        assert sorted(story.work()) == [("b", 2), ("b", 3)]
        assert change.poll()
        story.append("b", 4)
        story.net.advance(0.1)
        story.consumer.seek("b", "4")
        assert story.take() == [], "what had arrived is dropped"
        story.net.advance(0.1)
        former = story.consumer.seek("b", "0")
        story.consumer.give_up(former)
        assert story.work() == []

    def test_a_stream_may_be_added_while_its_slot_is_on_its_way(self) -> None:
        story = Following(("a",))
        moving = story.cluster.begin_move(key_slot("b"), other(story.cluster, "b"))
        added = story.consumer.add_stream("b", "0")
        assert added is not None
        story.work()
        assert not added.poll(), "ASK: the key may be there, or here"
        moving.finish()
        story.append("b", 1)
        assert story.work(3.0) == [("b", 1)]
        assert added.poll()

    def test_also_where_the_owner_has_changed_unheard(self) -> None:
        story = Following(("a",))
        move(story.cluster, "b")
        added = story.consumer.add_stream("b", "0")
        assert added is not None
        story.append("b", 1)
        assert story.work() == [("b", 1)]
        assert added.poll()


class TestFollowing:
    @pytest.mark.parametrize("how", ["classic", "atomic"])
    def test_a_slot_that_moves_is_followed(self, how: Any) -> None:
        story = Following()
        for stream in STREAMS:
            story.append(stream, 1)
        story.work()
        for n in range(2, 8):
            move(story.cluster, "a", how)
            for stream in STREAMS:
                story.append(stream, n)
            assert sorted(story.work()) == sorted((stream, n) for stream in STREAMS)
        assert story.alarms == []
        ends = [event for event in story.events if isinstance(event, Disconnected)]
        assert {event.link for event in ends} == {f"main, slot {A}"}
        assert any(isinstance(event.error, MovedError) for event in ends)

    def test_trimming_on_the_way_is_told_as_ever(self) -> None:
        story = Following({"a": "0"}, count=1, prefetch=1)
        story.append("a", *range(1, 10))
        story.net.advance(0.1)
        move(story.cluster, "a")
        trim(story.cluster, "a", 2)
        taken = story.work()
        assert [n for _, n in taken][-2:] == [8, 9]
        [gap] = story.alarms
        assert getattr(gap, "entries", None) == 9 - len(taken)

    def test_a_slot_on_its_way_is_read_when_it_has_arrived(self) -> None:
        story = Following()
        moving = story.cluster.begin_move(A, other(story.cluster, "a"))
        moving.move_keys()
        story.append("b", 1)
        assert story.work() == [("b", 1)]
        moving.finish()
        story.append("a", 1)
        assert story.work(2.0) == [("a", 1)]
        assert story.alarms == []

    def test_a_primary_that_fails_over_is_followed(self) -> None:
        story = Following()
        for n in range(1, 4):
            for stream in STREAMS:
                story.append(stream, n)
            assert sorted(story.work()) == sorted((stream, n) for stream in STREAMS)
            story.cluster.failover(story.cluster.replica_of(story.cluster.owner("a")))
        assert story.alarms == []

    def test_the_loss_of_a_node_is_no_business_of_the_others(self) -> None:
        story = Following(("a", "b"), on_disconnect="yield")
        failed = story.cluster.owner("b")
        story.cluster.crash(failed)
        story.append("a", 1)
        assert story.work() == [("a", 1)]
        assert isinstance(story.consumer.interruption(), Exception)
        assert {event.link for event in story.events if isinstance(event, ConnectAttemptFailed)} <= {
            "topology",
            f"main, slot {B}",
        }
        story.cluster.failover(story.cluster.replica_of(failed))
        story.append("b", 1)
        assert story.work(3.0) == [("b", 1)]

    def test_events_of_links_have_the_title_of_the_consumer(self) -> None:
        story = Following()
        ups = [event for event in story.net.pair.events() if isinstance(event, Connected)]
        assert {event.owner for event in ups} == {story.consumer.title}


class TestTheEnd:
    def test_a_closed_consumer_wants_no_connection_any_more(self) -> None:
        story = Following()
        story.consumer.close()
        story.net.advance(30.0)
        assert not any(link.wants_connection for link in story.consumer.links())
        assert story.consumer.next_timeout() is None

    def test_an_iteration_ends_when_all_slots_are_idle(self) -> None:
        story = Following(("a", "b"), block=1.0, stop_on_idle=True, wait=0.9)
        story.append("a", 1)
        assert story.work(0.5) == [("a", 1)]
        assert story.consumer.interruption() is None, "b came back empty, and a did not"
        story.work(1.0)
        assert story.consumer.interruption() is Interruption.ENDED
        story.append("b", 1)
        assert story.work() == []
        story.consumer.begin()
        assert story.work() == [("b", 1)]

    def test_without_stopping_it_is_told(self) -> None:
        story = Following(("a", "b"), block=1.0, wait=2.5)
        assert story.consumer.interruption() is Interruption.IDLE
        assert story.consumer.interruption() is None

    def test_a_slot_that_goes_is_not_waited_for(self) -> None:
        story = Following(("a", "b"), block=0.3, stop_on_idle=True, wait=0.1)
        story.cluster.crash(story.cluster.owner("b"))
        story.work(0.7)
        assert story.consumer.interruption() is None
        story.consumer.remove_stream("b")
        assert story.consumer.interruption() is Interruption.ENDED

    def test_reads_that_do_not_wait_rest_until_others_have_read(self) -> None:
        there = {"a": (1, 2, 3)}
        story = Following(("a", "b"), block=None, stop_on_idle=True, count=1, prefetch=1, wait=0.0, there=there)
        taken: list[Any] = []
        for _ in range(30):
            taken += story.work(0.1)
        assert taken == [("a", 1), ("a", 2), ("a", 3)]
        assert story.consumer.interruption() is Interruption.ENDED


def test_a_single_server_has_a_single_reader_that_stays() -> None:
    consumer: Consumer[bytes] = Consumer(["a", "b"])
    Pair(consumer)
    assert [link.name for link in consumer.links()] == ["main"]
    assert [list(reader.streams) for reader in consumer._readers] == [[b"a", b"b"]]
    consumer.remove_stream("a")
    consumer.remove_stream("b")
    assert consumer.links()[0].wants_connection
