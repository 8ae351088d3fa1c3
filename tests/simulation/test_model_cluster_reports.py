"""What a node of the model tells of its cluster is what a real node tells, and it finds the keys of commands as a real server does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from streamcore.commands import Command, cluster_info, cluster_nodes, cluster_shards, cluster_slots
from streamcore.testing.model.cluster.commands import COMMANDS
from streamcore.testing.model.cluster.keys import keys_of
from tests.simulation.cluster_twins import ClusterTwins, wait_until
from tests.support.raw import Raw
from tests.support.servers import ServerKind
from transports.embedded import EmbeddedCluster, EmbeddedServer

pytestmark = pytest.mark.every_server


@pytest.fixture
def twins(cluster: EmbeddedCluster, server_kind: ServerKind) -> Iterator[ClusterTwins]:
    twins = ClusterTwins(cluster, server_kind.name)
    for name, node in {"owner": 2, "other": 0, "third": 1, "replica": 5}.items():
        twins.connect(name, node)
    yield twins
    twins.close()


def told(twins: ClusterTwins, name: str, command: Command[Any]) -> tuple[Any, Any]:
    """What the model's node and the real node tell, parsed as a client does."""
    pair = twins.pairs[name]
    parse = command.parse
    assert parse is not None
    words = [str(word) for word in command.args]
    return parse(pair.client(*words)), parse(twins.translated(pair.raw(*words)))


def is_calm(twins: ClusterTwins) -> bool:
    """Whether the real nodes know each other; the embedded cluster has had some meet once more, which takes a while to end."""
    told = [pair.raw("CLUSTER", "NODES") for pair in twins.pairs.values()]
    return not any(word in nodes for nodes in told for word in (b"handshake", b"disconnected"))


def compare(twins: ClusterTwins) -> None:
    wait_until(partial(is_calm, twins), within=30)
    for name in twins.pairs:
        ours, theirs = told(twins, name, cluster_slots())
        assert ours == theirs
        ours, theirs = told(twins, name, cluster_nodes())
        facts = [
            {one.id: replace(one, ping_sent=0, pong_received=0, config_epoch=0, bus_port=0) for one in nodes}
            for nodes in (ours, theirs)
        ]
        assert facts[0] == facts[1]
        ours, theirs = told(twins, name, cluster_info())
        for key in ours.keys() - {"cluster_current_epoch", "cluster_my_epoch"}:
            assert ours[key] == theirs[key], key
        ours, theirs = told(twins, name, cluster_shards())
        shards = [
            sorted(
                (s.slots, sorted((n.id, n.endpoint, n.ip, n.port, n.hostname, n.role, n.health) for n in s.nodes))
                for s in some
            )
            for some in (ours, theirs)
        ]
        assert shards[0] == shards[1]
        assert [set(one.other) for one in ours] == [set(one.other) for one in theirs]


def test_reports(twins: ClusterTwins) -> None:
    compare(twins)
    twins.begin_move(to=0)
    compare(twins)
    twins.finish_move()
    compare(twins)
    twins.failover(5)
    compare(twins)


@pytest.mark.parametrize("kind", ["ip", "hostname", "unknown-endpoint"])
def test_announced_addresses(twins: ClusterTwins, kind: str) -> None:
    try:
        for name in ("owner", "other", "third"):
            twins.do(name, "CONFIG", "SET", "cluster-preferred-endpoint-type", kind)
        twins.do("owner", "CONFIG", "SET", "cluster-announce-hostname", "two.example")
        twins.gossiped(b"two.example")
        twins.play("""
            owner CLUSTER SLOTS
            other CLUSTER SLOTS
            other GET {a}1
            other GET {b}1
            owner GET {b}1
            third GET {a}1
        """)
    finally:
        for name in ("owner", "other", "third"):
            raw = twins.pairs[name].raw
            raw("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")
            raw("CONFIG", "SET", "cluster-announce-hostname", "")


def test_scripts_that_use_other_keys(twins: ClusterTwins) -> None:
    twins.add_effect("return redis.call('GET', ARGV[1])", lambda s, _, args: s.server.call(s, b"GET", args[0]))
    twins.add_effect("return redis.call('SET', KEYS[1], 1)", lambda s, keys, _: s.server.call(s, b"SET", keys[0], b"1"))
    twins.do("owner", "EVAL", "return redis.call('GET', ARGV[1])", "1", "{a}1", "{b}1")
    twins.do("owner", "EVAL", "return redis.call('GET', ARGV[1])", "1", "{a}1", "{a}2")
    twins.do("owner", "EVAL", "return redis.call('GET', ARGV[1])", "0", "{a}2")
    twins.do("owner", "EVAL", "return redis.call('SET', KEYS[1], 1)", "1", "{a}1")
    twins.replicated()
    twins.do("replica", "READONLY")
    twins.do("replica", "EVAL", "return redis.call('SET', KEYS[1], 1)", "1", "{a}1")
    twins.do("replica", "EVAL", "return redis.call('GET', ARGV[1])", "1", "{a}1", "{a}1")
    twins.begin_move(to=0)
    twins.do("owner", "EVAL", "return redis.call('GET', ARGV[1])", "1", "{a}1", "{a}9")
    twins.do("other", "ASKING")
    twins.do("other", "EVAL", "return redis.call('GET', ARGV[1])", "1", "{a}1", "{a}9")
    twins.do("other", "EVAL", "return redis.call('GET', ARGV[1])", "1", "{a}1", "{a}9")
    twins.silent()


CALLS = """
XREAD COUNT 1 BLOCK 0 STREAMS a b 0 0 | XREADGROUP GROUP STREAMS c COUNT 1 NOACK STREAMS a b > > | EVAL x 2 a b c | EVALSHA x 1 a b
MGET a b | MSET a 1 b 2 | DEL a b | RENAME a b | COPY a b | BLPOP a b 1 | OBJECT ENCODING a | XGROUP CREATE a g 0 | XINFO STREAM a
WATCH a b | EXISTS a b | UNLINK a b | TOUCH a b | XADD a * f v | SET a b | XAUTOCLAIM a g c 0 0 | ZADD a 1 b | HSET a b c | SADD a b
""".replace("\n", "|")


def test_keys_of_commands(server: EmbeddedServer) -> None:
    with Raw(server.address) as raw:
        for call in filter(None, (one.split() for one in CALLS.split("|"))):
            words = [word.encode() for word in call]
            assert keys_of(words[0], words) == raw("COMMAND", "GETKEYS", *call), call


def test_which_commands_have_keys(server: EmbeddedServer) -> None:
    """Also those that the list above forgets: by the first key that the server tells, and whether it tells of any."""
    with Raw(server.address) as raw:
        for word in COMMANDS:
            [about] = raw("COMMAND", "INFO", word)
            if about is None:
                continue
            first, flags = about[3], {flag for flag in about[2] if isinstance(flag, bytes)}
            movable = b"movablekeys" in flags or word in {b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"SPUBLISH"}
            arity = about[1]
            call = [word, *(b"1" for _ in range(abs(arity) + 3))]
            subcommands = {one[0].split(b"|")[1]: one for one in about[9]} if len(about) > 9 else {}
            has_keys = first > 0 or any(one[3] > 0 for one in subcommands.values())
            if not movable:
                assert bool(keys_of(word, call)) is has_keys, (word, first)
