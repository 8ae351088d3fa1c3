"""Clients that wait at a node of a model cluster get what a real node tells them: slots that move, failovers, a cluster that is down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.cluster_twins import ClusterTwins
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedCluster

pytestmark = pytest.mark.every_server


@pytest.fixture
def twins(cluster: EmbeddedCluster, server_kind: ServerKind) -> Iterator[ClusterTwins]:
    twins = ClusterTwins(cluster, server_kind.name)
    try:
        prepare(twins)
        yield twins
    finally:
        twins.close()


def prepare(twins: ClusterTwins) -> None:
    """Let clients wait: readers, a client of a list, subscribers of a shard channel, and a transaction that is queued."""
    names = ("owner", "xread", "group", "blpop", "two", "subscriber", "queued", "patient")
    nodes = dict.fromkeys(names, 2) | dict.fromkeys(("copy", "xread-copy"), 5) | {"other": 0, "third": 1}
    for name, node in nodes.items():
        twins.connect(name, node)
    twins.play("""
        owner XADD {a}s 1-1 f v
        owner XGROUP CREATE {a}s g $
        owner XADD {a}t 1-1 f v
        owner XADD {a}t 2-1 f v
        owner XGROUP CREATE {a}t g 0
        owner XREADGROUP GROUP g c COUNT 1 STREAMS {a}t >
        owner XREADGROUP GROUP g c STREAMS {a}t 0
        owner SET {a}1 v
        owner PEXPIRE {a}1 1000000
        subscriber SSUBSCRIBE {a}1
        queued MULTI
        queued GET {a}1
        copy SSUBSCRIBE {a}1
        xread-copy READONLY
    """)
    twins.replicated()
    twins.block("xread", "XREAD", "BLOCK", "0", "STREAMS", "{a}s", "$")
    twins.block("group", "XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "{a}s", ">")
    twins.block("blpop", "BLPOP", "{a}l", "0")
    twins.block("two", "XREAD", "BLOCK", "0", "STREAMS", "{a}s", "{a}u", "$", "$")
    twins.block("xread-copy", "XREAD", "BLOCK", "0", "STREAMS", "{a}s", "$")


MOVED_GROUPS = """
    other XPENDING {a}t g
    other XREADGROUP GROUP g c STREAMS {a}t 0
    other XREADGROUP GROUP g d STREAMS {a}t >
    other XRANGE {a}t - +
    other GET {a}1
    other TTL {a}2
    other EXISTS {a}s {a}t {a}u
    third GET {a}1
    owner GET {a}1
    queued EXEC
"""


def test_a_classic_move(twins: ClusterTwins) -> None:
    twins.begin_move(to=0)
    twins.same()
    twins.move_keys()
    twins.same()
    twins.play("""
        queued EXEC
        queued PING
        queued MULTI
        queued PING
    """)
    twins.finish_move()
    twins.same()
    twins.play(MOVED_GROUPS)
    twins.silent()


def test_an_atomic_move(twins: ClusterTwins) -> None:
    if twins.kind == "redis7":
        pytest.skip("Redis 7.0 has no atomic moves")
    twins.move_atomically(to=0)
    twins.same()
    twins.play(MOVED_GROUPS)
    twins.silent()


def test_a_failover(twins: ClusterTwins) -> None:
    twins.failover(5)
    twins.same()
    twins.play("""
        queued EXEC
        owner GET {a}1
        owner READONLY
        owner GET {a}1
        copy GET {a}1
        copy XADD {a}s 2-1 f v
        copy XPENDING {a}t g
        copy EVALSHA 00 1 {a}1
        third GET {a}1
    """)
    twins.same("xread-copy")
    twins.silent()


def test_a_crash(twins: ClusterTwins) -> None:
    twins.crash(2)
    twins.same()
    twins.play("""
        copy GET {a}1
        copy XREADGROUP GROUP g c STREAMS {a}t 0
        other GET {a}1
        third SET {a}1 w
    """)
    twins.silent()


def test_a_slot_that_is_served_by_no_node(twins: ClusterTwins) -> None:
    twins.uncover()
    twins.same(texts=False)  # whether the slot or the whole cluster is named depends on which is seen first


def test_a_minority(twins: ClusterTwins) -> None:
    """A primary without the majority serves no keys, and its shard channels as before; so it is for a while when it reaches them again."""
    twins.pause(0, 1)
    twins.wait_for("owner", b"cluster_state:fail")
    twins.same(*(name for name in twins.pairs if name not in {"other", "third"}))
    twins.play("""
        owner GET {a}1
        owner PING
        copy GET {a}1
        owner SPUBLISH {a}1 m
    """)
    twins.same("subscriber", "copy")
    twins.play("copy SPUBLISH {a}1 n")
    twins.same("subscriber", "copy")
    twins.play("owner SSUBSCRIBE {a}2")
    twins.resume(0, 1)
    twins.play("owner GET {a}1")
    twins.wait_for("owner", b"cluster_state:ok")
    twins.play("owner GET {a}1")


def test_an_election(twins: ClusterTwins) -> None:
    twins.pause(2)
    twins.elect(5)
    twins.same("copy", "xread-copy")
    twins.play("""
        copy GET {a}1
        copy XADD {a}s 2-1 f v
        other GET {a}1
    """)
    twins.resume(2)
    twins.wait_for("owner", b"slave")
    twins.same("subscriber", "xread", "group", "blpop", "two", "patient")
    twins.play("""
        owner GET {a}1
        queued EXEC
    """)


def test_messages_that_were_sent_already(twins: ClusterTwins) -> None:
    """Redis 8.6 knows the messages of a producer after a move and after a failover."""
    if twins.kind != "redis8":
        pytest.skip("only Redis 8.6 has IDMP")
    sent = ("XADD", "{a}i", "IDMP", "p", "m", "*", "f", "v")
    first = twins.each("owner", *sent)
    twins.begin_move(to=0)
    twins.finish_move()
    assert twins.each("other", *sent) == first
    twins.replicated()
    twins.failover(3)
    twins.connect("new", 3)
    assert twins.each("new", *sent) == first
