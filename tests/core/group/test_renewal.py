from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import GroupBatch, StreamId
from streamcore.events import OwnershipLost
from streamcore.group import pending_pages as holdings
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Fate, Net
from tests.core.support.entropy import entropy
from tests.core.support.members import deliver, delivery, holding, idle_for, taken, times
from tests.core.support.server import Server

IDLE = 30.0


def consume(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A consumer that has entered; what it is given stays in its hands."""
    arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", "claim_idle": IDLE}
    arguments |= {"entropy": entropy, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(**arguments)
    return consumer, Net(server, consumer)


def hold(server: Server, consumer: GroupConsumer[bytes], net: Net, numbers: int) -> list[GroupBatch[bytes]]:
    """So many entries are added, handed over, and never acknowledged."""
    for number in range(1, numbers + 1):
        server.add("s", f"{number}-0")
    net.serve()
    held: list[GroupBatch[bytes]] = []
    while sum(map(len, held)) < numbers:
        batch = consumer.take()
        assert batch is not None
        held.append(batch)
        net.serve()
    return held


def wait(server: Server, net: Net, seconds: float) -> float:
    """How idle an entry was at most, meanwhile."""
    worst = 0.0
    for _ in range(int(seconds)):
        net.advance(1.0)
        ages = [idle_for(server, delivery) for delivery in server.group().pending.values()]
        worst = max([worst, *ages])
    return worst


@pytest.mark.parametrize(
    ("options", "numbers"),
    [({}, 3), ({"max_in_flight": 1}, 1), ({"prefetch": 1, "count": 2}, 5), ({"consumer": "d", "block": 0.5}, 3)],
    ids=["while a read blocks", "while nothing may be read", "with more behind", "between reads"],
)
def test_what_is_in_hand_never_counts_as_idle(server: Server, options: dict[str, Any], numbers: int) -> None:
    consumer, net = consume(server, **options)
    hold(server, consumer, net, numbers)
    assert wait(server, net, 300) < 2 * IDLE / 3
    assert {delivery.times for delivery in server.group().pending.values()} == {1}, "it is no delivery"
    assert not [event for event in net.pair.events() if isinstance(event, OwnershipLost)]


def test_while_the_rest_of_a_backlog_waits_for_room(server: Server) -> None:
    for number in range(1, 4):
        server.add("s", f"{number}-0")
    server.do("XGROUP", "CREATE", "s", "g", "0")
    server.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 3, "STREAMS", "s", ">")
    consumer, net = consume(server, max_in_flight=1)
    assert taken(consumer, net).ids == [b"1-0"]
    for _ in range(100):
        assert consumer.take() is None
        net.advance(1.0)
        assert idle_for(server, delivery(server, 1)) < 2 * IDLE / 3


def test_what_waits_to_be_handed_over_again_is_kept_too(server: Server) -> None:
    deliver(server, "c", 1, 2, 3)
    consumer, net = consume(server, max_deliveries=9)
    assert taken(consumer, net).ids == [b"1-0"]
    assert wait(server, net, 100) < 2 * IDLE / 3
    assert times(server) == {1: 2, 2: 1, 3: 1}


def test_it_goes_on_over_any_number_of_connections(server: Server) -> None:
    consumer, net = consume(server)
    hold(server, consumer, net, 3)
    assert wait(server, net, 17) < IDLE
    for turn in range(20):
        net.cut("main" if turn % 2 else "acks", list(Fate)[turn % 4])
        assert wait(server, net, 17) < IDLE


@pytest.mark.parametrize("collected_by", ["split", "give_up_settling"])
def test_the_last_acknowledgement_calls_the_renewal_off_wherever_it_is_collected(
    server: Server, collected_by: str
) -> None:
    consumer, net, batch = holding(server, 2, renew=True, claim_idle=9.0, ack_delay=100.0)
    net.advance(0.5)
    renewal_at = consumer.members[0].loop.renewal.reminder_at
    batch.ack()
    net.serve()
    consumer.split(batch, 1) if collected_by == "split" else consumer.give_up_settling()
    due = consumer.next_timeout()
    assert renewal_at < net.pair.now + 3.0
    assert due is not None
    assert due > renewal_at


def test_what_is_acknowledged_is_renewed_no_more(server: Server) -> None:
    consumer, net = consume(server)
    for batch in hold(server, consumer, net, 3):
        batch.ack()
    wait(server, net, 5)
    server.seen.clear()
    wait(server, net, 100)
    assert not [
        command for command in server.seen if b"IDLE" in command and b"XPENDING" in command and command[-1] == b"c"
    ]
    assert not [command for command in server.seen if command[0] == b"XCLAIM"]


@pytest.mark.parametrize("options", [{"renew": False}, {"claim_idle": None}])
def test_unless_it_is_not_wanted(server: Server, options: dict[str, Any]) -> None:
    consumer, net = consume(server, **options)
    hold(server, consumer, net, 3)
    assert wait(server, net, 100) > 99
    assert not [command for command in server.seen if b"JUSTID" in command]


def test_what_another_member_has_claimed_is_not_taken_back(server: Server) -> None:
    consumer, net = consume(server, audit_interval=1000.0)
    hold(server, consumer, net, 3)
    wait(server, net, 5)
    server.group().deliver(StreamId(2), b"other", server.ms, 2)
    theirs = server.group().pending[StreamId(2)]
    wait(server, net, 100)
    assert server.group().pending[StreamId(2)] is theirs
    assert {server.group().pending[StreamId(n)].consumer for n in (1, 3)} == {b"c"}


def test_what_is_pending_for_us_and_unknown_is_left_alone(server: Server) -> None:
    """It is for the audit to find it, and to hand it over."""
    consumer, net = consume(server, audit_interval=1000.0)
    hold(server, consumer, net, 1)
    wait(server, net, 6)
    server.group().deliver(StreamId(0, 5), b"c", server.ms, 1)
    unknown = server.group().pending[StreamId(0, 5)]
    wait(server, net, 20)  # at 30 it counts as idle, and is claimed
    assert server.group().pending[StreamId(0, 5)] is unknown


def test_many_entries_are_renewed_page_by_page(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "PAGE", 4)
    consumer, net = consume(server)
    hold(server, consumer, net, 12)
    assert wait(server, net, 50) < 2 * IDLE / 3


def test_a_group_that_has_vanished_is_the_next_reads_business(server: Server) -> None:
    consumer, net = consume(server, max_in_flight=1, audit_interval=1000.0)
    hold(server, consumer, net, 1)
    server.do("XGROUP", "DESTROY", "s", "g")
    net.advance(50.0)
    assert consumer.error is None


def test_where_the_acking_link_cannot_be_had_nothing_spins(server: Server) -> None:
    consumer, net = consume(server)
    hold(server, consumer, net, 3)
    net.pair.dials = False
    net.advance(25.0)  # a busy loop would fail this
    net.pair.dials = True
    assert wait(server, net, 20) < 2 * IDLE


@pytest.mark.parametrize("idle", [0.3, 0.6, 1.0, 1.5, 3.0])
def test_entries_in_hand_do_not_count_as_idle_however_short_that_is(server: Server, idle: float) -> None:
    _, net, _ = holding(server, 1, claim_idle=idle, renew=True)
    worst = 0.0
    for _ in range(100):
        net.advance(idle / 20)
        worst = max(worst, idle_for(server, delivery(server, 1)))
    assert worst < idle
