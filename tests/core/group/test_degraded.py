"""What a member of a group is refused beside its work is told, once on each connection, and its work goes on."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import NoPermissionError
from streamcore.events import Degraded
from streamcore.group.consumer import GroupConsumer
from streamcore.testing.net import Fate, Net
from tests.core.support.members import add, consume, deliver, events, holding, ids, sent, take_all
from tests.core.support.server import Server


def degraded(net: Net) -> list[tuple[str, str]]:
    return [(event.what, event.missing) for event in events(net) if isinstance(event, Degraded)]


def with_idle_names(server: Server, **options: Any) -> tuple[GroupConsumer[bytes], Net]:
    """A member that finds others which have gone long ago."""
    for name in ("dead", "gone"):
        deliver(server, name)
        server.do("XREADGROUP", "GROUP", "g", name, "COUNT", 1, "STREAMS", "s", ">")
    server.sleep(100_000)
    return consume(server, exclusive=False, **options)


@pytest.mark.parametrize(("word", "right"), [(b"XINFO CONSUMERS", "+xinfo|consumers"), (b"EVAL", "+eval")])
def test_idle_consumers_stay_until_the_next_connection_may_remove_them(server: Server, word: bytes, right: str) -> None:
    server.faults.denied = {word.decode()}
    consumer, net = with_idle_names(server)
    net.advance(60)
    assert degraded(net) == [("removing consumers", right)]
    asked = [command for command in sent(server, word.decode().split()[0]) if word in {b" ".join(command[:2]), b"EVAL"}]
    assert len(asked) == 1
    server.faults.denied = set()
    net.cut("main", Fate.REQUESTS_LOST)
    net.advance(60)
    assert (set(server.group().consumers), consumer.error) == ({b"c"}, None)


@pytest.mark.parametrize(("word", "right"), [(b"TIME", "+time"), (b"ZMSCORE", "+zmscore"), (b"ZREM", "+zrem")])
def test_where_delays_cannot_be_looked_up_what_was_given_back_is_claimed_all_the_same(
    server: Server, word: bytes, right: str
) -> None:
    consumer, net, batch = holding(server, 1, claim_idle=10)
    batch.nack(delay=60)
    net.advance(1)
    server.faults.denied = {word.decode()}
    for _ in range(100):
        net.advance(1)
    assert ids(take_all(consumer, net)) == ["1-0"]
    assert degraded(net).count(("delays of retries", right)) == 1


def test_what_cannot_be_given_back_on_leaving_is_told(server: Server) -> None:
    add(server, 1, 3)
    consumer, net = consume(server, remove_on_leaving=True)
    server.faults.denied = {"EVAL"}
    consumer.leave()
    net.advance(0.1)
    assert consumer.settled
    assert degraded(net) == [
        ("giving back on leaving", "+eval"),
        ("guarding the name", "+eval"),
        ("removing consumers", "+eval"),
    ]


@pytest.mark.parametrize(("word", "right"), [(b"XRANGE", "+xrange"), (b"XINFO STREAM", "+xinfo|stream")])
def test_what_cannot_be_compared_after_a_restart_comes_again(server: Server, word: bytes, right: str) -> None:
    consumer, net, _ = holding(server, 2, detect_gaps=None)
    server.faults.denied = {word.decode()}
    if word == b"XINFO STREAM":  # which is asked where the highest entry is another one
        server.streams[b"s"].trim_one((2, 0))
    net.cut("main", Fate.REQUESTS_LOST)
    server.begin_anew()
    net.advance(0.1)
    assert ("comparing entries after a reconnect", right) in degraded(net)
    assert consumer.error is None


def test_a_read_that_may_not_be_ended_is_told_once_though_it_costs_a_connection_each_time(server: Server) -> None:
    server.faults.denied = {"CLIENT UNBLOCK"}
    consumer, net = consume(server)
    for name in ("t", "u"):
        assert consumer.add_stream(name) is not None
        net.advance(2)
        assert name.encode() in consumer.members[0].membership.streams
    server.faults.denied = set()
    consumer.add_stream("v")
    net.advance(2)
    assert degraded(net) == [("ending blocked reads", "+client|unblock")]
    server.faults.denied = {"CLIENT UNBLOCK"}
    consumer.add_stream("w")
    net.advance(2)
    assert degraded(net) == [("ending blocked reads", "+client|unblock")]


def test_a_lasting_refusal_is_told_on_each_connection_and_not_at_each_audit(server: Server) -> None:
    server.faults.denied = {"EVAL", "INFO", "XINFO STREAM", "XGROUP CREATECONSUMER"}
    consumer, net = consume(server)
    expected = [
        ("closing former connections", "+info"),
        ("guarding the name", "+eval"),
        ("gap detection", "+xgroup|createconsumer"),
        ("gap detection", "+xinfo|stream"),
    ]
    for _ in range(3):
        for _ in range(30):
            net.advance(1)
        assert sorted(degraded(net)) == sorted(expected)
        net.cut("main", Fate.REQUESTS_LOST)
    assert consumer.error is None


@pytest.mark.parametrize(
    ("word", "right"),
    [
        (b"XREADGROUP", "+xreadgroup"),
        (b"XINFO GROUPS", "+xinfo|groups"),
        (b"XPENDING", "+xpending"),
        (b"XGROUP", "+xgroup|create"),
    ],
)
def test_what_cannot_be_done_without_is_an_error_that_names_it(server: Server, word: bytes, right: str) -> None:
    server.faults.denied = {word.decode()}
    consumer, _ = consume(server)
    with pytest.raises(NoPermissionError) as raised:
        consumer.take()
    assert raised.value.missing == right
