"""A consumer that reads from replicas: where it reads, and that nothing is lost or told falsely where a replica lags or is replaced."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from streamcore.commands import key_slot
from streamcore.connection.common import Clock
from streamcore.consumer.consumer import Consumer
from streamcore.consumer.place import STAY, STAY_MAX, Place
from streamcore.engine.router import ANYWHERE, Replica, Slot
from streamcore.entries import StreamId
from streamcore.errors import InvalidArgument, StreamResetError
from streamcore.events import Degraded, Disconnected, Gap, StreamReset
from streamcore.testing.cluster_net import ClusterNet
from streamcore.testing.model.cluster import Node
from streamcore.testing.net import Fate
from tests.core.support.slots import Following, append, move, router_of, trim

A = key_slot("a")
MAIN = f"main, slot {A}"


class Reading(Following):
    """A consumer that reads from replicas."""

    def __init__(self, streams: Any = ("a",), **options: Any) -> None:
        super().__init__(streams, **{"read_from": "replica", "block": 0.5, "wait": 3.0, **options})

    @property
    def copy(self) -> Node:
        return self.cluster.replica_of(self.cluster.owner("a"))

    def place(self, stream: str = "a") -> str:
        """Where a stream is read: at its primary, or at its replica."""
        host, port = self.cluster.owner(stream).address
        link = self.links[f"main, slot {key_slot(stream)}"]
        return "primary" if (link.host.encode(), link.port) == (host, port) else "replica"

    def lag(self, seconds: float) -> None:
        self.cluster.set_lag(self.copy, seconds)

    def commands(self) -> list[str]:
        """Note the commands of replicas and primaries from now on, each with P or R."""
        seen: list[str] = []
        for node in self.cluster.nodes:

            def note(_: object, words: list[bytes], node: Node = node) -> None:
                seen.append(("R " if node.replication.is_replica else "P ") + words[0].decode())

            node.on_command = note
        return seen


def numbers(taken: list[tuple[str, int]]) -> list[int]:
    return [number for _, number in taken]


class TestPlaces:
    def test_the_start_is_found_at_the_primary_and_the_rest_read_from_a_replica(self) -> None:
        story = Reading({"a": "$"}, there={"a": (1, 2)})
        assert story.consumer.is_ready
        assert story.place() == "replica"
        seen = story.commands()
        story.append("a", 3)
        assert numbers(story.work()) == [3]
        story.append("a", 4)
        assert numbers(story.work()) == [4]
        assert {word for word in seen if word[2:] in ("XREAD", "XRANGE", "XINFO")} <= {"R XREAD", "R XRANGE", "R XINFO"}
        assert [type(event).__name__ for event in story.events if not isinstance(event, Gap)].count("Disconnected") == 0
        assert story.consumer.cursor() == {b"a": StreamId(4)}

    def test_the_end_of_a_stream_is_that_of_the_primary(self) -> None:
        story = Reading(there={"a": (1,)})
        story.lag(inf)
        story.append("a", 2, 3)
        consumer = Consumer({"a": "$"}, router=router_of(story.cluster), read_from="replica")
        ClusterNet(story.cluster, consumer).advance(0.5)
        assert consumer.cursor() == {b"a": StreamId(3)}

    def test_a_single_server_is_read_as_ever(self) -> None:
        assert list(Consumer("a", read_from="replica").links())
        with pytest.raises(InvalidArgument, match="read_from must be"):
            Consumer("a", read_from="other")  # type: ignore[call-overload]

    @pytest.mark.parametrize("drawn", [0.0, 0.9])
    def test_any_node_may_be_read(self, drawn: float) -> None:
        story = Reading(read_from="any", random=lambda: drawn)
        assert story.place() == ("replica" if drawn == 0.0 else "primary")
        story.append("a", 1)
        assert numbers(story.work()) == [1]

    def test_streams_are_added_and_sought_at_the_primary(self) -> None:
        story = Reading(there={"a": (1, 2)})
        assert numbers(story.work()) == [1, 2]
        story.work(STAY + 1.0)
        assert story.place() == "replica"
        seen = story.commands()
        added = story.consumer.add_stream("{a}2", "$")
        assert added is not None
        sought = story.consumer.seek("a", "1")
        story.append("{a}2", 7)
        assert sorted(numbers(story.work(8.0))) == [2, 7] or added.poll()
        assert added.poll()
        assert sought.poll()
        assert story.place() == "replica"
        assert "R CLIENT" not in [word for word in seen if word == "R CLIENT UNBLOCK"]
        assert story.consumer.remove_stream("{a}2")
        story.append("a", 3)
        assert 3 in numbers(story.work(6.0))
        assert story.alarms == []

    def test_a_slot_without_a_replica_is_read_from_its_primary(self) -> None:
        story = Reading(wait=0.0)
        story.cluster.crash(story.copy)
        story.append("a", 1)
        assert numbers(story.work(2.0)) == [1]
        assert story.place() == "primary"

    def test_doubts_keep_a_reader_at_the_primary_for_longer_each_time(self) -> None:
        clock, went = Clock(), list[Any]()
        place = Place(clock, Slot(1), Replica(1), lambda route, _: went.append(route))
        clock.now = 1000.0
        for stays in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
            assert [place.may_leave] == [True]
            place.leave()
            assert [place.is_copy, place.may_leave] == [True, False]
            place.doubt()
            clock.now += stays - 0.1
            assert not place.may_leave
            clock.now += 0.2
        clock.now += STAY_MAX + 60.0
        place.leave()
        place.doubt()
        clock.now += STAY
        assert place.may_leave
        assert went == [Replica(1), Slot(1)] * 9
        assert not Place(clock, ANYWHERE, None, lambda *_: None).may_leave


class TestLag:
    def test_entries_come_late_and_once(self) -> None:
        story = Reading(there={"a": (1,)})
        story.work(STAY + 1.0)
        story.lag(3.0)
        story.append("a", 2, 3)
        assert numbers(story.work(1.0)) == []
        assert numbers(story.work(8.0)) == [2, 3]
        assert story.alarms == []

    def test_a_replica_behind_the_cursor_is_no_reset(self) -> None:
        story = Reading(there={"a": (1, 2)})
        story.work(STAY + 1.0)
        story.lag(inf)
        story.append("a", *range(3, 9))
        change = story.consumer.seek("a", "4")
        assert numbers(story.work(12.0)) == [5, 6, 7, 8], "the primary has them"
        assert change.poll()
        assert story.place() == "primary"
        story.lag(0.0)
        story.append("a", 9)
        assert numbers(story.work(90.0)) == [9]
        assert story.place() == "replica"
        assert story.alarms == []

    def test_what_is_trimmed_ahead_of_a_late_replica_is_not_told_as_lost(self) -> None:
        story = Reading(there={"a": (1, 2, 3)}, count=1, prefetch=1)
        story.work(STAY + 3.0)
        story.lag(2.0)
        story.append("a", *range(4, 10))
        trim(story.cluster, "a", 2)
        taken = numbers(story.work(20.0))
        lost = sum(event.entries or 0 for event in story.alarms if isinstance(event, Gap))
        assert len(taken) + lost == 6
        assert taken == sorted(set(taken))

    def test_a_gap_is_told_by_the_primary(self) -> None:
        story = Reading({"a": "0"}, there={"a": (1,)}, count=1, prefetch=1)
        story.work(STAY + 3.0)
        story.consumer.pause()
        story.append("a", *range(2, 10))
        story.net.advance(0.2)
        trim(story.cluster, "a", 2)
        story.consumer.resume()
        taken = numbers(story.work(20.0))
        gaps = [event for event in story.alarms if isinstance(event, Gap)]
        assert taken[-2:] == [8, 9]
        assert sum(gap.entries or 0 for gap in gaps) == 8 - len(taken)

    def test_a_stream_that_began_anew_is_found_by_the_primary(self) -> None:
        story = Reading(there={"a": (5, 6)}, on_rewind="restart")
        story.work(STAY + 1.0)
        session = story.cluster.owner("a").connect(story.cluster.now)
        session.receive(b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n", story.cluster.now)
        append(story.cluster, "a", 1, 2)
        assert numbers(story.work(20.0)) == [1, 2]
        [reset] = story.alarms
        assert isinstance(reset, StreamReset)

    def test_the_old_stream_is_not_read_again_from_a_late_replica(self) -> None:
        story = Reading(there={"a": (5, 6)}, on_rewind="restart")
        story.work(STAY + 1.0)
        story.lag(8.0)
        session = story.cluster.owner("a").connect(story.cluster.now)
        session.receive(b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n", story.cluster.now)
        append(story.cluster, "a", 1, 2)
        story.consumer.seek("a", "0")
        assert numbers(story.work(30.0)) == [1, 2]

    def test_a_reset_is_raised_as_ever(self) -> None:
        story = Reading(there={"a": (5, 6)})
        story.work(STAY + 1.0)
        session = story.cluster.owner("a").connect(story.cluster.now)
        session.receive(b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n", story.cluster.now)
        append(story.cluster, "a", 1)
        with pytest.raises(StreamResetError):
            story.work(20.0)


class TestChanges:
    def test_a_lost_replica_is_replaced(self) -> None:
        story = Reading(there={"a": (1,)})
        story.work(STAY + 1.0)
        story.cluster.crash(story.copy)
        story.append("a", 2)
        assert numbers(story.work()) == [2]
        assert [event.link for event in story.events if isinstance(event, Disconnected)] == [MAIN]
        assert story.alarms == []

    def test_each_connection_may_read_from_a_replica(self) -> None:
        story = Reading(there={"a": (1,)})
        story.cluster.join(replica_of=story.cluster.owner("a"))
        story.work(20.0)
        for number in range(2, 5):
            assert story.place() == "replica"
            seen = story.commands()
            story.net.cut(MAIN, Fate.REPLIES_LOST)
            story.append("a", number)
            assert numbers(story.work(6.0)) == [number]
            assert "R READONLY" in seen
        assert story.place() == "replica"
        assert story.alarms == []

    def test_promotions_are_followed(self) -> None:
        story = Reading(there={"a": (1,)})
        story.work(STAY + 1.0)
        for number in range(2, 8):
            story.cluster.failover(story.copy)
            story.append("a", number)
            assert numbers(story.work(4.0)) == [number]
        assert story.alarms == []

    @pytest.mark.parametrize("how", ["classic", "atomic"])
    def test_a_slot_that_moves_is_followed(self, how: Any) -> None:
        story = Reading(there={"a": (1,)})
        story.work(STAY + 1.0)
        for number in range(2, 6):
            move(story.cluster, "a", how)
            story.append("a", number)
            assert numbers(story.work(8.0)) == [number]
        assert story.alarms == []

    def test_a_failover_that_loses_what_was_read_is_a_reset(self) -> None:
        story = Reading(there={"a": (1,)})
        story.work(STAY + 1.0)
        primary = story.cluster.owner("a")
        other = story.cluster.join(replica_of=primary)
        story.net.advance(0.1)
        story.cluster.set_lag(other, inf)
        story.append("a", 2, 3)
        assert numbers(story.work()) == [2, 3]
        story.cluster.failover(other, lost=2)
        with pytest.raises(StreamResetError):
            story.work(30.0)

    @pytest.mark.parametrize("word", ["LOADING wait", "MASTERDOWN link", "NOPERM no", "ERR what", "WRONGTYPE"])
    @pytest.mark.parametrize("command", ["XREAD", "XRANGE", "XINFO STREAM"])
    def test_refusals_of_a_replica_are_no_refusals(self, word: str, command: str) -> None:
        story = Reading(there={"a": (1,)})
        story.work(STAY + 1.0)
        story.copy.faults.fail_next(command, word)
        story.append("a", 2)
        taken = numbers(story.work(7.0))
        story.append("a", 3)
        assert taken + numbers(story.work(14.0)) == [2, 3]
        assert story.alarms == []
        assert not any(isinstance(event, Degraded) for event in story.events)

    @pytest.mark.parametrize("command", ["XRANGE", "XINFO STREAM"])
    @pytest.mark.parametrize("word", ["LOADING wait", "NOPERM no"])
    def test_also_when_it_enters(self, command: str, word: str) -> None:
        story = Reading(there={"a": (1,)}, wait=0.0)
        story.copy.faults.fail_next(command, word)
        story.append("a", 2)
        assert numbers(story.work(30.0)) == [1, 2]
        assert story.place() == "replica"

    def test_gaps_that_may_not_be_detected_are_not_detected(self) -> None:
        story = Reading(there={"a": (1,)}, wait=0.0, detect_gaps=False)
        seen = story.commands()
        story.append("a", 2)
        assert numbers(story.work()) == [1, 2]
        assert {word for word in seen if word[2:] in ("XREAD", "XINFO", "XRANGE")} == {"R XREAD"}

    def test_a_stream_that_does_not_exist_yet_is_awaited_at_a_replica(self) -> None:
        story = Reading()
        assert story.place() == "replica"
        seen = story.commands()
        story.append("a", 1)
        assert numbers(story.work()) == [1]
        assert "P XINFO" in seen, "only the counters prove the first batch"
        story.append("a", 2)
        assert numbers(story.work(8.0)) == [2]
        assert story.place() == "replica"
        assert story.alarms == []

    def test_a_merge_goes_on(self) -> None:
        story = Reading(("a", "b"), merge="id", there={"a": (1, 3), "b": (2, 4)}, wait=2.0)
        taken = numbers(story.work(3.0))
        for number in range(5, 9):
            story.append("a" if number % 2 else "b", number)
            taken += numbers(story.work(1.0))
        taken += numbers(story.work(8.0))
        assert sorted(taken) == list(range(1, 9))
        assert story.alarms == []

    def test_the_iteration_is_not_told_of_moves(self) -> None:
        story = Reading(there={"a": (1,)}, on_disconnect="raise")
        story.work(8.0)
        assert story.consumer.interruption() is None or not isinstance(story.consumer.interruption(), Exception)
