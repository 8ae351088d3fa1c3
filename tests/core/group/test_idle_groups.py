"""An input to one member costs the same, however many other groups a consumer reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamcore.events import CountReduced
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Net
from streamcore.testing.resp import entry, resp
from tests.core.support.calls import Calls
from tests.core.support.lanes import link_of
from tests.core.support.server import Server


@pytest.fixture(autouse=True)
def deadlines_follow_from_the_members() -> None:
    """Leave out the check of the other tests in this room, which asks all members."""


def consume(groups: int) -> tuple[GroupConsumer[bytes], float]:
    """Make a consumer of so many groups, whose reads all block, and return it with the time, in seconds."""
    streams = {f"s{number}": f"g{number}" for number in range(groups)}
    consumer: GroupConsumer[bytes] = GroupConsumer(streams, consumer="c", count=2, exclusive=False)
    net = Net(Server(), consumer)
    net.advance(10.5)
    drive(consumer, net.pair.now)
    assert all(member.loop.in_flight.blocked for member in consumer.members)
    assert consumer.take() is None
    while consumer.next_event_in_place() is not None:
        pass
    return consumer, net.pair.now


def drive(consumer: GroupConsumer[bytes], now: float) -> None:
    """Do the work of a driver after an input; the bytes that are ready go nowhere."""
    while (due := consumer.next_timeout()) is not None and due <= now:
        consumer.handle_timeout(now)
    for link in consumer.changed_links():
        link.data_sent(len(link.data_to_send()))


def send_and_ack(consumer: GroupConsumer[bytes], now: float) -> None:
    """Bring an entry to the first member, take it, and acknowledge it."""
    member = consumer.members[0]
    link_of(member.reader.runner.link).receive_data(resp({"s0": [entry("1-0")]}), now)
    drive(consumer, now)
    batch = member.take()
    drive(consumer, now)
    assert batch is not None
    batch.ack()
    drive(consumer, now)


def an_entry(consumer: GroupConsumer[bytes], now: float) -> int:
    """Count the calls of an entry that comes to the first member and is acknowledged."""
    with Calls() as calls:
        send_and_ack(consumer, now)
    return calls.made


def a_deadline(consumer: GroupConsumer[bytes], now: float) -> int:
    """Count the calls of the deadlines up to that at which the first member opens its second link, to acknowledge over it."""
    send_and_ack(consumer, now)
    links, due = len(consumer.links()), now
    with Calls() as calls:
        while len(consumer.links()) == links:
            due = consumer.next_timeout() or now
            drive(consumer, due)
    assert consumer.links()[links].name.startswith("acks")
    assert now < due <= now + 0.05
    return calls.made


def a_take(consumer: GroupConsumer[bytes], now: float) -> int:
    """Count the calls of an entry that the application waits for, from the consumer, and of its next wait."""
    link = link_of(consumer.members[0].reader.runner.link)
    with Calls() as calls:
        link.receive_data(resp({"s0": [entry("1-0")]}), now)
        drive(consumer, now)
        assert consumer.has_batch
        batch = consumer.take()
        assert batch is not None
        batch.ack()
        assert consumer.take() is None
        assert not consumer.ended
        drive(consumer, now)
    return calls.made


def a_look(consumer: GroupConsumer[bytes], now: float) -> int:
    """Count the calls of a wait for a batch, or an event, that another input has interrupted."""
    with Calls() as calls:
        assert consumer.is_ready
        assert not consumer.has_batch
        assert not consumer.has_event_in_place
        assert consumer.next_event_in_place() is None
        assert consumer.take() is None
        assert not consumer.ended
    return calls.made


def an_event(consumer: GroupConsumer[bytes], now: float) -> int:
    """Count the calls of an event in its place."""
    calls = Calls()
    for _ in range(2):  # the methods of an event are compiled when it is first used
        with (calls := Calls()):
            consumer.members[0].emit(CountReduced(1))
            assert consumer.has_event_in_place
            assert consumer.next_event_in_place() == CountReduced(1)
    return calls.made


def a_settlement(consumer: GroupConsumer[bytes], now: float) -> int:
    """Count the calls of a look for the confirmation of an acknowledgement in the last group, while it is awaited."""
    member = consumer.members[-1]
    link_of(member.reader.runner.link).receive_data(resp({f"s{len(consumer.members) - 1}": [entry("1-0")]}), now)
    drive(consumer, now)
    batch = consumer.take()
    assert batch is not None
    batch.ack()
    assert not consumer.settled
    with Calls() as calls:
        assert not consumer.settled
    return calls.made


@pytest.mark.parametrize("measure", [an_entry, a_deadline, a_take, a_look, an_event, a_settlement])
def test_an_input_costs_the_same_among_two_hundred_idle_groups(
    measure: Callable[[GroupConsumer[bytes], float], int],
) -> None:
    few, many = (measure(*consume(groups)) for groups in (2, 200))
    assert many < 2 * few  # for the heap, which a few do without
