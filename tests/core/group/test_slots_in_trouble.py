"""Members of a group whose nodes are stopped, killed or leave them: everything comes once, and what was taken stays theirs."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from streamcore.commands import key_slot
from streamcore.events import OwnershipLost, StaleConnectionKilled
from streamcore.resp3 import encode
from streamcore.topology_events import NodeSuspected
from tests.core.group.test_slots import STREAMS, Story


def pending(story: Story, stream: str) -> bytes:
    """The answer of the stream's node to XPENDING."""
    session = story.cluster.owner(stream).connect(story.cluster.now)
    session.receive(encode(("XPENDING", stream, "g")), story.cluster.now)
    told = bytes(session.data_to_send())
    session.lost()
    return told


def everywhere(story: Story, number: int) -> list[tuple[str, int]]:
    for stream in STREAMS:
        story.add(stream, number)
    return sorted((stream, number) for stream in STREAMS)


@pytest.mark.parametrize("how", ["killed", "stopped", "demoted"])
def test_a_primary_is_replaced_under_reads_that_block(how: Literal["killed", "stopped", "demoted"]) -> None:
    story = Story()
    first = everywhere(story, 1)
    assert sorted(story.work(2.5)) == first
    node = story.cluster.owner("a")
    replica = story.cluster.replica_of(node)
    if how == "killed":
        story.cluster.crash(node)
    elif how == "stopped":
        story.cluster.pause(node)
        story.work(3.5)
        assert [event for event in story.events if isinstance(event, NodeSuspected)]
    story.cluster.failover(replica)
    second = everywhere(story, 2)
    assert sorted(story.work(2.5)) == second
    assert story.alarms() == []
    assert [event for event in story.events if isinstance(event, OwnershipLost)] == []
    assert all(pending(story, stream).startswith(b"*4\r\n:0\r\n") for stream in STREAMS)


@pytest.mark.parametrize("how", ["classic", "atomic"])
def test_entries_that_are_being_handled_move_with_their_slot(how: Any) -> None:
    """They stay pending, and the member's own: they are not handed over again, and are acknowledged at the new owner."""
    story = Story()
    story.add("a", 1, 2)
    story.net.advance(0.3)
    entries: list[Any] = []
    while (batch := story.consumer.take()) is not None:
        entries += batch
    assert len(entries) == 2
    story.cluster.move_slot(key_slot("a"), story.other("a"), how=how)
    story.add("a", 3)
    assert story.work(2.0) == [("a", 3)]
    assert pending(story, "a").startswith(b"*4\r\n:2\r\n")
    for entry in entries:
        entry.ack()
    assert story.work(1.0) == []
    assert pending(story, "a").startswith(b"*4\r\n:0\r\n")
    assert [event for event in story.events if isinstance(event, (OwnershipLost, StaleConnectionKilled))] == []


def test_streams_come_and_go_while_entries_flow_and_slots_move() -> None:
    story = Story(("a",))
    added, taken, expected = ["b", "c", "{a}2", "d", "e", "f"], [], []
    for number, stream in enumerate(added, start=1):
        story.consumer.add_stream(stream)
        taken += story.work(0.3)
        story.cluster.move_slot(key_slot("a"), story.other("a"))
        for each in ("a", stream):
            story.add(each, number)
            expected.append((each, number))
        taken += story.work(1.5)
    for stream in added[:3]:
        story.consumer.remove_stream(stream)
        story.cluster.move_slot(key_slot(stream), story.other(stream))
    story.work(1.0)
    story.add("a", 99)
    taken += story.work(1.5)
    assert sorted(taken) == sorted([*expected, ("a", 99)])


def test_the_loss_of_a_replica_is_no_business_of_a_member() -> None:
    story = Story()
    for stream in STREAMS:
        story.cluster.crash(story.cluster.replica_of(story.cluster.owner(stream)))
        break
    story.events.clear()
    expected = everywhere(story, 1)
    assert sorted(story.work(2.0)) == expected
    assert [event for event in story.events if type(event).__name__ in ("Disconnected", "NodeSuspected")] == []
