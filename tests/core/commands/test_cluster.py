from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from streamcore import commands
from streamcore.commands import Command, NodeInfo, Shard, ShardNode, SlotNode, SlotRange, key_slot
from streamcore.commands.command import LinkUse
from streamcore.errors import InvalidArgument


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("foo", 12182),  # as the servers say
        (b"123456789", 0x31C3),  # the check value of this CRC
        ("{foo}", 12182),
        ("a{foo}b{c}", 12182),
        ("{}foo", 9500),
        ("{foo", 13308),
        ("foo}{", 8134),
        ("a{{foo}", 13308),
        (bytearray(b"foo"), 12182),
    ],
)
def test_the_slot_of_a_key(key: Any, slot: int) -> None:
    assert key_slot(key) == slot


def test_hash_tags_keep_keys_together() -> None:
    assert key_slot("{user1}:cart") == key_slot("{user1}:orders") == key_slot("user1") != key_slot("user2")


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (commands.cluster_shards(), ("CLUSTER", "SHARDS")),
        (commands.cluster_slots(), ("CLUSTER", "SLOTS")),
        (commands.cluster_nodes(), ("CLUSTER", "NODES")),
        (commands.cluster_info(), ("CLUSTER", "INFO")),
        (commands.cluster_myid(), ("CLUSTER", "MYID")),
        (commands.cluster_keyslot("k"), ("CLUSTER", "KEYSLOT", b"k")),
        (commands.cluster_countkeysinslot(16383), ("CLUSTER", "COUNTKEYSINSLOT", 16383)),
        (commands.cluster_getkeysinslot(0, 10), ("CLUSTER", "GETKEYSINSLOT", 0, 10)),
    ],
)
def test_questions_may_be_asked_by_any_client_again(command: Command[Any], sent: tuple[Any, ...]) -> None:
    assert (command.args, command.repeatable, command.traits.use) == (sent, True, LinkUse.SHARED)
    assert command.keys == ()  # any node may be asked


@pytest.mark.parametrize(
    ("command", "word"),
    [(commands.asking(), "ASKING"), (commands.readonly(), "READONLY"), (commands.readwrite(), "READWRITE")],
)
def test_what_changes_a_connection_is_sent_by_no_client(command: Command[Any], word: str) -> None:
    assert (command.args, command.traits.use) == ((word,), LinkUse.FORBIDDEN)


def flat(tree: Any) -> Any:
    """What RESP2 makes of a map."""
    match tree:
        case dict():
            return [flat(item) for pair in tree.items() for item in pair]
        case list():
            return [flat(item) for item in tree]
    return tree


A, B = "df783cd94fde074d0d866bad6560a5fa60759f2f", "f4edcc524d3ec6b0dc1d852477b1fc7dcb8dd6fa"
SHARDS: list[Any] = [
    {
        b"slots": [0, 5, 7, 16383],
        b"nodes": [
            {
                b"id": A.encode(),
                b"port": 17510,
                b"ip": b"127.0.0.1",
                b"endpoint": b"a.example",
                b"hostname": b"a.example",
                b"role": b"master",
                b"replication-offset": 14,
                b"health": b"online",
                b"availability-zone": b"z",
            },
            {
                b"id": B.encode(),
                b"tls-port": 17511,
                b"ip": b"127.0.0.1",
                b"endpoint": None,
                b"role": b"replica",
                b"replication-offset": 0,
                b"health": b"loading",
            },
        ],
        b"id": b"71070686f5a5050cb51aa920e1a00f272ba2e6e5",
    },
    {b"slots": [], b"nodes": []},
]
SLOTS: list[Any] = [
    [
        0,
        16383,
        [b"127.0.0.1", 17510, A.encode(), {b"hostname": b"a.example"}],
        [None, 17511, B.encode(), {}],
        [b"?", 17512, B.encode()],
    ]
]
NODES = (
    f"{A} 127.0.0.1:17510@27510,a.example,shard-id=1,tls-port=0 myself,master - 0 0 3 connected 0-5 7 9-16383"
    f" [77->-{B}] [78-<-{B}]\n"
    f"{B} ::1:17511@27511 slave {A} 1795269196140 1795269196149 0 disconnected\n"
    f"{B} :0@0, slave,noaddr {A} 0 0 0 disconnected\n"
).encode()


@pytest.mark.parametrize("shape", [lambda tree: tree, flat])
def test_shards(shape: Callable[[Any], Any]) -> None:
    parse = commands.cluster_shards().parse
    assert parse is not None
    reply = shape(deepcopy(SHARDS))
    first = ShardNode(
        id=A,
        endpoint="a.example",
        ip="127.0.0.1",
        port=17510,
        tls_port=None,
        hostname="a.example",
        role="master",
        replication_offset=14,
        health="online",
        other={b"availability-zone": b"z"},
    )
    second = ShardNode(
        id=B,
        endpoint=None,
        ip="127.0.0.1",
        port=None,
        tls_port=17511,
        hostname=None,
        role="replica",
        replication_offset=0,
        health="loading",
    )
    assert parse(reply) == [
        Shard([(0, 5), (7, 16383)], [first, second], {b"id": b"71070686f5a5050cb51aa920e1a00f272ba2e6e5"}),
        Shard([], []),
    ]


@pytest.mark.parametrize("shape", [lambda tree: tree, flat])
def test_slots(shape: Callable[[Any], Any]) -> None:
    parse = commands.cluster_slots().parse
    assert parse is not None
    assert parse(shape(SLOTS)) == [
        SlotRange(
            0,
            16383,
            SlotNode("127.0.0.1", 17510, A, {b"hostname": b"a.example"}),
            [SlotNode(None, 17511, B, {}), SlotNode("?", 17512, B, {})],
        )
    ]


def test_nodes() -> None:
    parse = commands.cluster_nodes().parse
    assert parse is not None
    first, second, third = parse(NODES)
    assert first == NodeInfo(
        id=A,
        host="127.0.0.1",
        port=17510,
        bus_port=27510,
        hostname="a.example",
        flags=frozenset({"myself", "master"}),
        primary=None,
        ping_sent=0,
        pong_received=0,
        config_epoch=3,
        connected=True,
        slots=[(0, 5), (7, 7), (9, 16383)],
        migrating={77: B},
        importing={78: B},
        other={"shard-id": "1", "tls-port": "0"},
    )
    assert (second.host, second.port, second.hostname, second.primary) == ("::1", 17511, None, A)
    assert (second.ping_sent, second.pong_received) == (1795269196.14, 1795269196.149)
    assert not second.connected
    assert (third.host, third.port, third.hostname, third.slots) == ("", 0, None, [])


def test_what_the_cluster_tells_about_itself() -> None:
    parse, parse_id = commands.cluster_info().parse, commands.cluster_myid().parse
    assert parse is not None
    assert parse_id is not None
    assert parse(b"cluster_state:ok\r\ncluster_size:1\r\n") == {"cluster_state": "ok", "cluster_size": "1"}
    assert parse_id(A.encode()) == A


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: key_slot(""), "key is empty"),
        (lambda: commands.cluster_keyslot(5), "key must be str or bytes, not int"),  # type: ignore[arg-type]
        (lambda: commands.cluster_countkeysinslot(16384), "slot must be below 16384, not 16384"),
        (lambda: commands.cluster_getkeysinslot(-1, 5), "slot must be at least 0"),
        (lambda: commands.cluster_getkeysinslot(1, 0), "count must be at least 1"),
    ],
)
def test_what_is_refused(build: Callable[[], object], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        build()
