from __future__ import annotations

from typing import Any

import pytest

from streamcore.entries import StreamId
from streamcore.group import release as returns
from streamcore.group.consumer import GroupConsumer
from streamcore.scripts.group import RELEASE
from streamcore.testing.net import Fate, Net
from tests.core.support.entropy import entropy
from tests.core.support.members import deliver, idle_for, pending, taken, times
from tests.core.support.server import Server


def consume(server: Server, entries: int = 0, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A consumer that has entered, and has read what is there as far as its prefetch goes."""
    for number in range(1, entries + 1):
        server.add("s", f"{number}-0")
    arguments: dict[str, Any] = {"streams": "s", "group": "g", "consumer": "c", "count": 4}
    arguments |= {"entropy": entropy, **options}
    consumer: GroupConsumer[bytes] = GroupConsumer(**arguments)
    return consumer, Net(server, consumer)


def idle(server: Server) -> dict[int, float]:
    """For how many seconds each pending entry has been idle."""
    return {id_[0]: round(idle_for(server, delivery), 1) for id_, delivery in server.group().pending.items()}


def test_what_nobody_has_seen_counts_as_idle_at_once(server: Server) -> None:
    consumer, net = consume(server, 8)
    assert consumer.take() is not None
    net.serve()
    consumer.leave()
    net.serve()
    assert idle(server) == {**dict.fromkeys(range(1, 5), 0.0), **dict.fromkeys(range(5, 9), 60.0)}
    assert times(server) == {**dict.fromkeys(range(1, 5), 1), **dict.fromkeys(range(5, 9), 0)}, "none was an attempt"
    assert consumer.settled


def test_what_is_left_of_a_batch_too(server: Server) -> None:
    consumer, net = consume(server, 4, claim_idle=10.0)
    batch = consumer.take()
    assert batch is not None
    batch[0].ack()
    consumer.leave(batch, 2)
    net.serve()
    net.advance(0.1)
    assert {number: age > 9 for number, age in idle(server).items()} == {2: False, 3: True, 4: True}
    assert consumer.settled


def test_a_batch_that_was_seen_whole_is_kept(server: Server) -> None:
    consumer, net = consume(server, 4)
    consumer.leave(consumer.take(), 4)
    net.serve()
    assert set(idle(server).values()) == {0.0}


def test_another_member_takes_over_what_was_given_back(server: Server) -> None:
    consumer, net = consume(server, 4)
    consumer.leave()
    net.serve()
    consumer.close()
    other, net = consume(server, consumer="other")
    net.advance(31.0)
    batch = other.take()
    assert batch is not None
    assert [entry.id for entry in batch] == [StreamId(number) for number in range(1, 5)]


def test_unless_it_is_not_wanted(server: Server) -> None:
    consumer, net = consume(server, 4, release_on_close=False)
    consumer.leave()
    net.serve()
    assert set(idle(server).values()) == {0.0}


def test_over_the_acking_link_while_a_read_blocks(server: Server) -> None:
    consumer, net = consume(server, 3)
    assert consumer.has_batch
    consumer.leave()
    net.serve()
    assert set(idle(server).values()) == {60.0}
    assert [link.name for link in consumer.links()] == ["main", "acks"]


def test_a_lost_connection_is_no_excuse(server: Server) -> None:
    consumer, net = consume(server, 8)
    net.cut("main", Fate.REQUESTS_LOST)
    consumer.leave()
    settled = [consumer.settled]
    net.advance(2.0)
    assert [*settled, consumer.settled] == [False, True]
    assert min(idle(server).values()) > 50


def test_many_are_given_back_by_several_commands(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "MAX_IDS", 3)
    consumer, net = consume(server, 8, claim_idle=None)
    consumer.leave()
    net.serve()
    assert set(idle(server).values()) == {60.0}
    assert [len(command) - 9 for command in server.seen if command[:2] == [b"EVAL", RELEASE.encode()]] == [3, 3, 2]


def test_what_the_server_refuses_stays_pending(server: Server) -> None:
    consumer, net = consume(server, 4)
    server.faults.denied.add("XCLAIM")
    consumer.leave()
    net.serve()
    assert consumer.settled
    assert set(idle(server).values()) == {0.0}


def test_what_another_member_has_claimed_meanwhile_is_left_to_it(server: Server) -> None:
    consumer, net = consume(server, 4)
    server.do("XCLAIM", "s", "g", "other", 0, "2-0", "RETRYCOUNT", 5)
    net.advance(5.1)  # an audit has found out
    consumer.leave()
    net.serve()
    assert pending(server, "other") == ["2-0"]
    assert times(server) == {1: 0, 2: 5, 3: 0, 4: 0}
    assert consumer.settled


def test_what_was_handed_over_before_is_given_back_with_its_count(server: Server) -> None:
    deliver(server, "c", 1, 2)
    consumer, net = consume(server)
    consumer.take()
    net.serve()  # it has arrived, and nobody has seen it
    consumer.leave()
    net.serve()
    assert times(server) == {1: 1, 2: 1}
    assert set(idle(server).values()) == {60.0}


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("arrived", [False, True])
def test_what_a_dead_process_had_and_perhaps_nobody_has_seen_is_not_counted_as_seen(
    server: Server, remove: bool, arrived: bool
) -> None:
    """Seed 2012262: whoever got it next, and refused it, had it buried after one attempt."""
    deliver(server, "c", 1)
    consumer, net = consume(server, max_deliveries=2, remove_on_leaving=remove)
    if arrived:
        consumer.take()
        net.serve()
    consumer.leave()
    net.serve()
    consumer.close()
    other, net = consume(server, consumer="other", max_deliveries=2)
    net.advance(31.0)
    taken(other, net).nack()
    net.advance(0.1)
    assert times(server) == {1: 1}, "it has failed once"
    assert taken(other, net).deliveries == 2


def test_what_is_given_back_while_a_read_is_about_to_block_leaves_in_time(server: Server) -> None:
    deliver(server, "c", 1, 2, 3)
    server.do("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
    consumer, net = consume(server, streams=["s", "t"], count=2)
    consumer.remove_stream("s")
    net.advance(0.2)
    assert (consumer.settled, times(server)) == (True, {1: 1, 2: 1, 3: 1})
    assert [idle(server)[number] > 59 for number in (1, 2, 3)] == [True, True, False], "the third was not fetched"


@pytest.mark.parametrize("is_begun", [False, True])
def test_nor_is_anything_said_where_others_have_them_all(server: Server, is_begun: bool) -> None:
    consumer, net = consume(server, 2)
    batch = consumer.take() if is_begun else None
    server.do("XACK", "s", "g", "1-0", "2-0")
    net.advance(5.1)
    consumer.leave(batch)
    net.serve()
    assert (consumer.settled, consumer.error) == (True, None)


@pytest.mark.parametrize("link", ["main", "acks"])
@pytest.mark.parametrize("fate", Fate)
def test_it_is_said_again_where_the_reply_is_lost(server: Server, link: str, fate: Fate) -> None:
    consumer, net = consume(server, 8, prefetch=2 if link == "main" else 9)
    consumer.leave()
    net.cut_in_flight(link, fate)
    net.advance(2.0)
    assert consumer.settled
    assert times(server) == dict.fromkeys(range(1, 9), 0)


def test_what_others_have_settled_meanwhile_is_not_handed_over(server: Server) -> None:
    server.add("t", "1-0")
    consumer, net = consume(server, 2, streams=["s", "t"])
    server.do("XACK", "s", "g", "1-0", "2-0")
    net.advance(5.1)
    assert taken(consumer, net).stream == b"t"
    assert consumer.take() is None


def test_leaving_waits_for_what_is_being_claimed(server: Server) -> None:
    deliver(server, "old", 1, 2, idle=100)
    consumers: list[GroupConsumer[bytes]] = []
    settled: list[bool] = []

    def before(command: list[bytes]) -> None:
        if command[0] == b"XCLAIM":
            server.before = len
            consumers[0].leave()
            settled.append(consumers[0].settled)

    server.before = before
    consumers.append(GroupConsumer("s", group="g", consumer="c", exclusive=False))
    Net(server, consumers[0])
    assert [*settled, consumers[0].settled] == [False, True]
    assert {round(idle_for(server, one)) for one in server.group().pending.values()} == {60}
    assert times(server) == {1: 1, 2: 1}
