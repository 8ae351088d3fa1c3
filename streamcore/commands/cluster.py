"""The cluster's own commands: which node serves which of the 16384 slots.

A key's slot is the CRC-16 of its name or, if the name has a part in braces, of the first such part: keys with the same
*hash tag*, such as ``{user1}:cart`` and ``{user1}:orders``, are in the same slot. Slots come as ranges that include both
ends.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import field
from typing import Any, Final

from ..arguments import Name, name, positive
from ..errors import InvalidArgument
from ..frozen import frozen
from .command import ASK_SERVER, NO_KEYS, Command, LinkUse, Traits
from .replies import mapping
from .server import report

SLOTS: Final = 16384
_FORBIDDEN: Final = Traits(NO_KEYS, use=LinkUse.FORBIDDEN)


def key_slot(key: Name) -> int:
    """The slot of a key, or of a shard channel; no server is asked."""
    return slot_of_bytes(name("key", key))


def slot_of_bytes(key: bytes) -> int:
    """Find the slot of a key that was checked before."""
    if b"{" in key:
        start = key.find(b"{") + 1
        end = key.find(b"}", start)
        if end > start:  # an empty tag is none
            key = key[start:end]
    return crc_hqx(key, 0) % SLOTS


@frozen
class ShardNode:
    """A node in CLUSTER SHARDS: ``role`` is ``master`` or ``replica``, ``health`` ``online``, ``failed``, ``loading``.

    ``endpoint`` is where clients should connect, None where that is unknown: to the host that was asked, then.
    ``port`` or ``tls_port`` may be None. ``other``: further fields of newer servers.
    """

    id: str
    endpoint: str | None
    ip: str
    port: int | None
    tls_port: int | None
    hostname: str | None
    role: str
    replication_offset: int
    health: str
    other: dict[bytes, Any] = field(default_factory=dict[bytes, Any])


@frozen
class Shard:
    """Nodes with the same data, a primary among them, and their slots; none where the primary has lost them."""

    slots: list[tuple[int, int]]
    nodes: list[ShardNode]
    other: dict[bytes, Any] = field(default_factory=dict[bytes, Any])


def cluster_shards() -> Command[list[Shard]]:
    """The shards of the cluster: their slots, and their nodes (``CLUSTER SHARDS``)."""
    return Command(("CLUSTER", "SHARDS"), _shards, ASK_SERVER)


def _shards(reply: list[Any]) -> list[Shard]:
    return [_shard(mapping(each)) for each in reply]


def _shard(fields: dict[bytes, Any]) -> Shard:
    flat = fields.pop(b"slots")
    nodes = [_shard_node(mapping(each)) for each in fields.pop(b"nodes")]
    return Shard([*zip(flat[::2], flat[1::2], strict=True)], nodes, fields)


def _shard_node(fields: dict[bytes, Any]) -> ShardNode:
    take = fields.pop
    return ShardNode(
        id=take(b"id").decode(),
        endpoint=_host(take(b"endpoint")),
        ip=take(b"ip").decode(),
        port=take(b"port", None),
        tls_port=take(b"tls-port", None),
        hostname=_text(take(b"hostname", None)),
        role=take(b"role").decode(),
        replication_offset=take(b"replication-offset"),
        health=take(b"health").decode(),
        other=fields,
    )


def _text(value: bytes | None) -> str | None:
    return value.decode() if value else None


def _host(value: bytes | None) -> str | None:
    """A host's name or address; servers write null, nothing, or a question mark where they know none."""
    return None if value == b"?" else _text(value)


@frozen
class SlotNode:
    """A node in CLUSTER SLOTS; ``host`` is None where it is that of the asked node, ``?`` where it is unknown.

    ``metadata``: other names.
    """

    host: str | None
    port: int
    id: str
    metadata: dict[bytes, bytes]


@frozen
class SlotRange:
    """The slots from ``start`` to ``end``, and the nodes that serve them: the primary, then its replicas."""

    start: int
    end: int
    primary: SlotNode
    replicas: list[SlotNode]


def cluster_slots() -> Command[list[SlotRange]]:
    """The ranges of slots, and the nodes that serve each (``CLUSTER SLOTS``)."""
    return Command(("CLUSTER", "SLOTS"), _slots, ASK_SERVER)


def _slots(reply: list[Any]) -> list[SlotRange]:
    return [
        SlotRange(start, end, _slot_node(primary), [_slot_node(each) for each in replicas])
        for start, end, primary, *replicas in reply
    ]


def _slot_node(reply: list[Any]) -> SlotNode:
    host, port, id_, *metadata = reply
    return SlotNode(_text(host), port, id_.decode(), mapping(metadata[0] if metadata else None))


@frozen
class NodeInfo:
    """A node, as the asked node knows it. ``flags``: ``myself``, ``master``, ``slave``, ``fail?``, ``fail`` and others.

    ``primary`` is the id of a replica's primary. ``ping_sent`` and ``pong_received`` are seconds since 1970, 0 for
    none. ``migrating`` and ``importing`` name the other node for each slot that is on its way. ``other``: further
    fields by name.
    """

    id: str
    host: str
    port: int
    bus_port: int
    hostname: str | None
    flags: frozenset[str]
    primary: str | None
    ping_sent: float
    pong_received: float
    config_epoch: int
    connected: bool
    slots: list[tuple[int, int]]
    migrating: dict[int, str]
    importing: dict[int, str]
    other: dict[str, str] = field(default_factory=dict[str, str])


def cluster_nodes() -> Command[list[NodeInfo]]:
    """The nodes of the cluster, as the asked node sees them (``CLUSTER NODES``)."""
    return Command(("CLUSTER", "NODES"), _nodes, ASK_SERVER)


def _nodes(reply: bytes) -> list[NodeInfo]:
    return [_node(line) for line in reply.decode().splitlines()]


def _node(line: str) -> NodeInfo:
    id_, where, flags, primary, ping, pong, epoch, state, *owned = line.split(" ")
    address, _, names = where.partition(",")
    hostname, *more = names.split(",")
    host_port, _, bus_port = address.partition("@")
    host, _, port = host_port.rpartition(":")  # an IPv6 address has colons of its own
    slots: list[tuple[int, int]] = []
    migrating: dict[int, str] = {}
    importing: dict[int, str] = {}
    for each in owned:
        if each.startswith("["):  # [93-<-id] or [77->-id]
            slot, way, other = each[1:-1].split("-", 2)
            (importing if way == "<" else migrating)[int(slot)] = other.removeprefix("-")
        else:
            first, _, last = each.partition("-")
            slots.append((int(first), int(last or first)))
    return NodeInfo(
        id=id_,
        host=host,
        port=int(port),
        bus_port=int(bus_port),
        hostname=hostname or None,
        flags=frozenset(flags.split(",")),
        primary=None if primary == "-" else primary,
        ping_sent=int(ping) / 1000,
        pong_received=int(pong) / 1000,
        config_epoch=int(epoch),
        connected=state == "connected",
        slots=slots,
        migrating=migrating,
        importing=importing,
        other=dict(part.split("=", 1) for part in more),
    )


def cluster_info() -> Command[dict[str, str]]:
    """The state of the cluster, such as ``cluster_state``: ``ok`` or ``fail`` (``CLUSTER INFO``)."""
    return Command(("CLUSTER", "INFO"), report, ASK_SERVER)


def cluster_myid() -> Command[str]:
    """The id of the node that is asked (``CLUSTER MYID``)."""
    return Command(("CLUSTER", "MYID"), bytes.decode, ASK_SERVER)


def cluster_keyslot(key: Name) -> Command[int]:
    """The slot of a key (``CLUSTER KEYSLOT``); ``key_slot`` knows it without asking."""
    return Command(("CLUSTER", "KEYSLOT", name("key", key)), traits=ASK_SERVER)


def cluster_countkeysinslot(slot: int) -> Command[int]:
    """How many keys of a slot the node has (``CLUSTER COUNTKEYSINSLOT``)."""
    return Command(("CLUSTER", "COUNTKEYSINSLOT", _slot(slot)), traits=ASK_SERVER)


def cluster_getkeysinslot(slot: int, count: int) -> Command[list[bytes]]:
    """Up to ``count`` keys of a slot that the node has (``CLUSTER GETKEYSINSLOT``)."""
    return Command(("CLUSTER", "GETKEYSINSLOT", _slot(slot), positive("count", count)), traits=ASK_SERVER)


def _slot(slot: int) -> int:
    if positive("slot", slot, zero=True) >= SLOTS:
        raise InvalidArgument(f"slot must be below {SLOTS}, not {slot}")
    return slot


def asking() -> Command[bytes]:
    """Let the next command use a slot that is on its way to this node, after ``AskError`` (``ASKING``)."""
    return Command(("ASKING",), traits=_FORBIDDEN)


def readonly() -> Command[bytes]:
    """Read from a replica, which may be behind its primary, over this connection (``READONLY``)."""
    return Command(("READONLY",), traits=_FORBIDDEN)


def readwrite() -> Command[bytes]:
    """Read from primaries again over this connection: the end of ``readonly`` (``READWRITE``)."""
    return Command(("READWRITE",), traits=_FORBIDDEN)
