"""Thousands of consumers that are gone: they are removed in pieces, behind the work, and each is listed once."""

from __future__ import annotations

import pytest

from streamcore.events import ConsumerRemoved, Degraded, GroupRecreated
from streamcore.group.idle_consumers import FRESH, MOST
from streamcore.scripts.group import REMOVE
from streamcore.testing.model.values import Consumer
from streamcore.testing.net import Fate
from tests.core.support.members import add, consume, deliver, events, ids, take_all
from tests.core.support.server import Server


def leave_names(server: Server, number: int, stream: str = "s", *, idle: float = 100.0) -> None:
    """So many consumers of the group are gone for good."""
    server.do("XGROUP", "CREATE", stream, "g", "0", "MKSTREAM")
    for one in range(number):
        server.group(stream).consumers[b"gone-%d" % one] = Consumer(server.ms - round(idle * 1000))


def is_removal(command: list[bytes]) -> bool:
    return command[:2] == [b"EVAL", REMOVE.encode()]


def is_list(command: list[bytes]) -> bool:
    return command[:2] == [b"XINFO", b"CONSUMERS"]


def is_read(command: list[bytes]) -> bool:
    return command[0] == b"XREADGROUP"


def test_the_work_goes_first_and_between_two_pieces(server: Server) -> None:
    leave_names(server, 5 * MOST)
    add(server, 1, 1)
    consumer, net = consume(server, remove_idle_consumers=60)
    assert ids(take_all(consumer, net)) == ["1-0"]
    kinds = {is_read: "read", is_list: "list", is_removal: "remove"}
    order = [kind for command in server.seen for test, kind in kinds.items() if test(command)]
    assert order == ["read", "list", *["read", "remove"] * 5, "read"]
    assert server.group().consumers.keys() == {b"c"}


def test_each_name_is_named_once_and_few_at_a_time(server: Server) -> None:
    leave_names(server, 10 * MOST + 1)
    _, net = consume(server, remove_idle_consumers=60)
    named = [command[4 + int(command[2]) :] for command in server.seen if is_removal(command)]
    assert (max(map(len, named)), sum(map(len, named))) == (MOST, 10 * MOST + 1)
    assert len([event for event in events(net) if isinstance(event, ConsumerRemoved)]) > 0
    assert sum(map(is_list, server.seen)) == 1


def test_names_that_have_something_pending_or_were_heard_of_stay(server: Server) -> None:
    deliver(server, "laden", 1, idle=10)
    leave_names(server, 1)
    server.group().consumers[b"laden"].seen -= 100_000
    server.group().consumers[b"recent"] = Consumer(server.ms - 59 * 1000)
    consume(server, remove_idle_consumers=60)
    assert server.group().consumers.keys() == {b"c", b"laden", b"recent"}


def test_what_is_given_to_a_name_after_the_list_keeps_it(server: Server) -> None:
    leave_names(server, 2)

    def give(command: list[bytes]) -> None:
        if is_removal(command):
            server.before = len
            server.add("s", "1-0")
            server.do("XREADGROUP", "GROUP", "g", "gone-1", "COUNT", 1, "STREAMS", "s", ">")

    server.before = give
    _, net = consume(server, remove_idle_consumers=60)
    assert server.group().consumers.keys() == {b"c", b"gone-1"}
    assert events(net) == [ConsumerRemoved(b"s", b"gone-0")]


def test_a_name_that_is_held_stays_however_idle(server: Server) -> None:
    """Servers before 7.2 take no empty read for a sign of life."""
    consume(server, consumer="quiet", remove_idle_consumers=60)
    leave_names(server, 1)
    server.group().consumers[b"quiet"] = Consumer(server.ms - 100 * 1000)
    consume(server, remove_idle_consumers=60)
    assert server.group().consumers.keys() == {b"c", b"quiet"}


def test_a_list_is_not_used_for_long(server: Server) -> None:
    """While nothing may be read, nothing is removed; a name may come back meanwhile."""
    leave_names(server, 4 * MOST)
    add(server, 1, 2)

    def fill(command: list[bytes]) -> None:
        if is_removal(command):
            server.before = len
            add(server, 3, 4)

    server.before = fill
    consumer, net = consume(server, remove_idle_consumers=60, max_in_flight=4, prefetch=10)
    [*batches] = take_all(consumer, net)
    left = server.group().consumers.keys() - {b"c"}
    assert len(left) >= MOST
    back = min(left)
    net.advance(2 * FRESH)
    server.group().consumers[back] = Consumer(server.ms)
    for batch in batches:
        batch.ack()
    net.advance(1)
    take_all(consumer, net)
    assert server.group().consumers.keys() == {b"c", back}
    assert sum(map(is_list, server.seen)) == 2


def test_groups_with_no_other_consumer_are_not_listed(server: Server) -> None:
    leave_names(server, 1, "t")
    consume(server, streams=["s", "t"], remove_idle_consumers=60)
    assert [command[2] for command in server.seen if is_list(command)] == [b"t"]
    assert b"gone-0" not in server.group("t").consumers


def test_large_groups_are_listed_one_at_a_time(server: Server) -> None:
    streams = ["s", "t", "u"]
    for stream in streams:
        leave_names(server, 600, stream)
    consume(server, streams=streams, remove_idle_consumers=60)
    order = [is_list(command) for command in server.seen if is_list(command) or is_removal(command)]
    assert [at for at, one in enumerate(order) if one] == [0, 20, 40]


def test_rarely(server: Server) -> None:
    leave_names(server, 1, idle=0)
    _, net = consume(server, remove_idle_consumers=60)
    for _ in range(59):
        net.advance(1)
    assert 2 <= sum(map(is_list, server.seen)) <= 4
    for _ in range(32):
        net.advance(1)
    assert server.group().consumers.keys() == {b"c"}


def test_a_stream_that_is_read_no_more_is_left_alone(server: Server) -> None:
    consumer, net = consume(server, streams=["s", "t"], remove_idle_consumers=60)
    leave_names(server, 1, "t")
    consumer.remove_stream("t")
    net.advance(100)
    assert b"gone-0" in server.group("t").consumers


@pytest.mark.parametrize("forbidden", [b"XINFO CONSUMERS", b"EVAL"])
def test_where_it_is_forbidden_nothing_else_stops(server: Server, forbidden: bytes) -> None:
    leave_names(server, 2)
    server.faults.denied = {forbidden.decode()}
    consumer, net = consume(server, remove_idle_consumers=60, exclusive=False)
    asked = [command for command in server.seen if is_list(command) or is_removal(command)]
    add(server, 1, 1)
    for _ in range(60):
        net.advance(1)
    assert ids(take_all(consumer, net)) == ["1-0"]
    assert asked == [command for command in server.seen if is_list(command) or is_removal(command)]
    missing = "+" + "|".join(forbidden.decode().lower().split())
    assert [event for event in events(net) if isinstance(event, Degraded)] == [Degraded("removing consumers", missing)]
    server.faults.denied = set()
    net.cut("main", Fate.REPLIES_LOST)
    for _ in range(20):
        net.advance(1)
    assert [event.consumer for event in events(net) if isinstance(event, ConsumerRemoved)] == [b"gone-0", b"gone-1"]


@pytest.mark.parametrize("at", [is_list, is_removal])
def test_a_group_that_vanishes_is_the_next_reads_business(server: Server, at: object) -> None:
    leave_names(server, 2)

    def destroy(command: list[bytes]) -> None:
        if callable(at) and at(command):
            server.before = len
            server.do("XGROUP", "DESTROY", "s", "g")

    server.before = destroy
    consumer, net = consume(server, remove_idle_consumers=60)
    add(server, 1, 1)
    net.serve()
    assert ids(take_all(consumer, net)) == ["1-0"]
    assert GroupRecreated(b"s", b"g", "0-0") in events(net)
