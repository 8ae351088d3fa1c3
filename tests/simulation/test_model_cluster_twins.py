"""A model cluster answers as a real cluster does: commands at the wrong node, slots on their way, replicas, transactions, scripts."""

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
    for name, node in {"owner": 2, "other": 0, "third": 1, "replica": 5}.items():
        twins.connect(name, node)
    yield twins
    twins.silent()
    twins.close()


def test_at_another_node(twins: ClusterTwins) -> None:
    twins.play(
        """
        other GET {a}1
        other GET
        other MGET {a}1 {b}1
        other SET {a}1 v
        other EVAL x 1 {a}1
        other EVALSHA 00 1 {a}1
        other EVALSHA 00 x {a}1
        other EVAL return 9 {a}1
        other XREAD STREAMS {a}1 0
        other XREAD BLOCK 10 STREAMS {a}1 {b}2 $ $
        other XREADGROUP GROUP STREAMS c STREAMS {a}1 >
        other XADD {a}1
        other WATCH {a}1
        other WATCH x {a}1
        other SSUBSCRIBE {a}1
        other SSUBSCRIBE {a}1 {b}2
        other SPUBLISH {a}1 m
        other SUNSUBSCRIBE {a}1
        other XINFO STREAM {a}1
        other XGROUP CREATE {a}1 g 0
        other OBJECT ENCODING {a}1
        other PUBLISH {a}1 x
        other SUBSCRIBE {a}1
        other UNSUBSCRIBE {a}1
        other KEYS *
        other SCAN 0
        other DBSIZE
        other ASKING
        other READONLY
        other GET {a}1
        other READWRITE
        other BLPOP {a}1 x 1
        other RENAME {a}1 x
        other NOSUCH {a}1
        other BLPOP {a}1 1
        other DEL {a}1 {a}2 {b}1
        other SELECT 0
        other SELECT 1
        other SELECT 99
        other CLUSTER KEYSLOT {a}1
        other CLUSTER COUNTKEYSINSLOT 15495
        other CLUSTER COUNTKEYSINSLOT 99999
        other CLUSTER NOSUCH
        other CLUSTER MYID
        other ROLE
    """.replace("other ROLE\n", "")
    )


def test_transactions(twins: ClusterTwins) -> None:
    twins.play("""
        other MULTI
        other GET {a}1
        other EXEC
        owner MULTI
        owner GET {a}1
        owner GET {b}1
        owner GET {a}2
        owner EXEC
        owner MULTI
        owner MGET {a}1 {b}2
        owner EXEC
        owner MULTI
        owner GET {a}1
        owner GET {0}
        owner EXEC
        owner GET {a}1
        owner DISCARD
        owner MULTI
        owner SET {a}1 v
        owner GET {a}1
        owner PING
        owner EXEC
        owner MULTI
        owner PING
        owner EXEC
    """)


def test_a_slot_on_its_way(twins: ClusterTwins) -> None:
    twins.play("owner MSET {a}1 v {a}3 v")
    twins.begin_move(to=0)
    twins.play("""
        owner GET {a}1
        owner GET {a}2
        owner MGET {a}1 {a}2
        owner MGET {a}2 {a}4
        owner MGET {a}1 {a}3
        owner SET {a}9 x
        owner EVAL x 1 {a}2
        owner EVAL x 2 {a}1 {a}2
        owner SSUBSCRIBE {a}1
        third SPUBLISH {a}1 m
        owner WATCH {a}2
        owner WATCH {a}1 {a}2
        owner XREAD BLOCK 10 STREAMS {a}2 $
        owner XREAD STREAMS {a}2 {a}2 0 0
        owner SUNSUBSCRIBE {a}1
        owner RENAME {a}1 {a}2
        owner DEL {a}1 {a}2
        other GET {a}1
        other ASKING
        other GET {a}1
        other GET {a}1
        other ASKING
        other MGET {a}1 {a}2
        other ASKING
        other MGET {a}1 {a}1
        other ASKING
        other SET {a}9 v
        other ASKING
        other GET {a}9
        other ASKING
        other MGET {a}9 {a}1
        other ASKING
        other PING
        other GET {a}9
        other ASKING
        other NOSUCH
        other GET {a}9
        other ASKING
        other ASKING
        other GET {a}9
        other ASKING
        other WATCH {a}9
        other ASKING
        other SSUBSCRIBE {a}1
        other SPUBLISH {a}1 x
        other ASKING
        other SUNSUBSCRIBE {a}1
        other ASKING
        other EVAL x 2 {a}2 {a}9
        other ASKING
        other XREAD COUNT 1 STREAMS {a}1 {a}5 0 0
        third GET {a}1
        third ASKING
        third GET {a}1
        replica GET {a}1
        replica READONLY
        replica GET {a}9
    """)


def test_transactions_in_a_slot_on_its_way(twins: ClusterTwins) -> None:
    twins.play("owner SET {a}1 v")
    twins.begin_move(to=0)
    twins.play("""
        owner MULTI
        owner GET {a}2
        owner EXEC
        owner MULTI
        owner GET {a}1
        owner GET {a}2
        owner EXEC
        owner MULTI
        owner GET {a}1
        owner SET {a}1 7
        owner EXEC
        owner MULTI
        owner GET {a}2
        owner GET {a}4
        owner EXEC
        owner MULTI
        owner GET {a}1
        owner DEL {a}1
        owner GET {a}1
        owner SET {a}1 v
        owner EXEC
        other ASKING
        other MULTI
        other SET {a}9 v
        other GET {a}9
        other EXEC
        other GET {a}9
        other MULTI
        other ASKING
        other GET {a}9
        other EXEC
        other ASKING
        other MULTI
        other GET {a}1
        other GET {a}9
        other EXEC
        other ASKING
        other WATCH {a}9
        other MULTI
        other GET {a}9
        other EXEC
        other DISCARD
        other ASKING
        other MULTI
        other GET {a}9
        other DISCARD
        other GET {a}9
        other GET {a}9
    """)


def test_transactions_whose_slot_has_gone(twins: ClusterTwins) -> None:
    twins.connect("watching", 2)
    twins.connect("spoilt", 2)
    twins.play("""
        owner SET {a}1 v
        owner MULTI
        owner GET {a}1
        watching WATCH {a}1
        watching MULTI
        watching GET {a}1
        spoilt MULTI
        spoilt GET {a}1
        spoilt GET {b}1
    """)
    twins.begin_move(to=0)
    twins.finish_move()
    twins.play("""
        owner EXEC
        owner GET {a}1
        owner EXEC
        watching EXEC
        watching EXEC
        spoilt EXEC
        other GET {a}1
    """)


def test_a_replica(twins: ClusterTwins) -> None:
    twins.play("""
        owner SET {a}1 v
        owner XADD {a}s 1-1 f v
    """)
    twins.replicated()
    twins.play("""
        replica GET {a}1
        replica READONLY
        replica GET {a}1
        replica SET {a}1 w
        replica XREADGROUP GROUP g c STREAMS {a}s >
        replica XREAD STREAMS {a}s 0
        replica EVALSHA 00 1 {a}1
        replica MULTI
        replica GET {a}1
        replica EXEC
        replica MULTI
        replica GET {a}1
        replica SET {a}1 x
        replica EXEC
        replica GET {b}1
        replica WATCH {a}1
        replica UNWATCH
        replica PING
        replica FLUSHALL
        replica READWRITE
        replica GET {a}1
        replica SSUBSCRIBE {a}c
        owner SSUBSCRIBE {a}c
        third SSUBSCRIBE {a}c
        owner SPUBLISH {a}c 1
    """)
    twins.same("replica")
    twins.play("replica SPUBLISH {a}c 2")
    twins.same("owner")
    twins.play("""
        replica MULTI
        replica GET {a}1
        replica EXEC
        replica READONLY
        replica GET {a}1
        replica READONLY
        replica RESET
        replica GET {a}1
    """)


def test_channels_of_all_nodes(twins: ClusterTwins) -> None:
    twins.play("""
        owner SUBSCRIBE c
        replica SUBSCRIBE c
        other PSUBSCRIBE c*
        third PUBLISH c m
    """)
    twins.same("owner", "replica", "other")
    twins.play("other PUBLISH c m")
    twins.same("owner", "replica")


def test_a_slot_without_an_owner(twins: ClusterTwins) -> None:
    twins.uncover()
    twins.play("""
        owner GET {a}1
        owner GET {b}1
        owner PING
        owner MULTI
        owner GET {a}1
        owner EXEC
        owner SPUBLISH {a}1 x
        owner SSUBSCRIBE {a}1
        owner MGET {a}1 {b}1
        owner MGET {b}1 {a}1
        owner EVAL x 1 {a}1
        owner PUBLISH x y
        owner XREAD BLOCK 10 STREAMS {a}1 $
        owner SPUBLISH {b}1 x
        owner SSUBSCRIBE {b}1
        other GET {b}1
        other SSUBSCRIBE {b}1
        other CLUSTER SLOTS
    """)
