"""The view of a node as it tells it: CLUSTER SLOTS, SHARDS, NODES and INFO."""

from __future__ import annotations

from typing import Final

from ..protocol import Reply, Verbatim
from .context import NodeContext
from .view import Member

BUS: Final = 10_000
"""How far the port of the cluster bus is from a node's port."""


def slots(node: NodeContext) -> Reply:
    """The reply of CLUSTER SLOTS: ranges with their primary, then its replicas that have not failed."""
    view = node.view
    rows: list[Reply] = []
    for first, last, owner in view.ranges():
        replicas = [one for one in view.shard(owner) if one.id != owner and not one.is_failed]
        rows.append([first, last, *(_slot_node(node, one) for one in (view.members[owner], *replicas))])
    return rows


def _slot_node(node: NodeContext, member: Member) -> Reply:
    kind = node.config[b"cluster-preferred-endpoint-type"]
    others: dict[bytes, Reply] = {}
    if kind != b"ip":
        others[b"ip"] = member.host
    if kind != b"hostname" and member.hostname:
        others[b"hostname"] = member.hostname
    return [node.name_of(member), member.port, member.id, others]


def shards(node: NodeContext) -> Reply:
    """The reply of CLUSTER SHARDS: the nodes of each shard, and its slots."""
    view = node.view
    rows: list[Reply] = []
    for primary in [one for one in view.members.values() if one.primary is None]:
        flat = [edge for first, last, _ in view.ranges(primary.id) for edge in (first, last)]
        others = [one for one in view.shard(primary.id) if one is not primary]
        row: dict[bytes, Reply] = {b"slots": flat, b"nodes": [_shard_node(node, one) for one in (primary, *others)]}
        if node.is_valkey:
            row[b"id"] = primary.id[::-1]
        rows.append(row)
    return rows


def _shard_node(node: NodeContext, member: Member) -> Reply:
    row: dict[bytes, Reply] = {
        b"id": member.id,
        b"port": member.port,
        b"ip": member.host,
        b"endpoint": node.name_of(member),
        b"role": b"master" if member.primary is None else b"replica",
        b"replication-offset": node.offset(member.id),
        b"health": b"failed" if member.is_failed else b"online",
    }
    if member.hostname:
        row[b"hostname"] = member.hostname
    return row


def nodes(node: NodeContext) -> Reply:
    """The reply of CLUSTER NODES: a line for each node, with its flags, its epoch and its slots."""
    return Verbatim(b"".join(_line(node, one) + b"\n" for one in node.view.members.values()))


def _line(node: NodeContext, member: Member) -> bytes:
    view = node.view
    flags = [b"myself"] if member is view.myself else []
    flags.append(b"master" if member.primary is None else b"slave")
    flags += [b"fail"] if member.is_failed else [b"fail?"] if member.is_suspected else []
    name = b"," + member.hostname if member.hostname else b""
    primary = None if member.primary is None else view.members.get(member.primary)
    epoch = member.epoch if primary is None else primary.epoch
    parts = [
        member.id,
        b"%b:%d@%d%b" % (member.host, member.port, member.port + BUS, name),
        b",".join(flags),
        member.primary or b"-",
        b"0",
        b"0" if member is view.myself else b"%d" % node.ms,
        b"%d" % epoch,
        b"disconnected" if member.is_failed or member.is_suspected else b"connected",
    ]
    parts += [b"%d" % first if first == last else b"%d-%d" % (first, last) for first, last, _ in view.ranges(member.id)]
    if member is view.myself:
        parts += [b"[%d->-%b]" % pair for pair in sorted(view.migrating.items())]
        parts += [b"[%d-<-%b]" % pair for pair in sorted(view.importing.items())]
    return b" ".join(parts)


def info(node: NodeContext) -> Reply:
    """The reply of CLUSTER INFO: the state, and how many slots and nodes there are."""
    view = node.view
    suspected = [one for one in view.members.values() if one.is_suspected and not one.is_failed]
    failed = [one for one in view.members.values() if one.is_failed]
    assigned = sum(map(len, view.owned.values()))
    weak, gone = (sum(len(view.slots_of(one.id)) for one in some) for some in (suspected, failed))
    primary = view.members.get(view.primary, view.myself)
    lines: dict[bytes, bytes | int] = {
        b"cluster_state": b"fail" if view.is_down else b"ok",
        b"cluster_slots_assigned": assigned,
        b"cluster_slots_ok": assigned - weak - gone,
        b"cluster_slots_pfail": weak,
        b"cluster_slots_fail": gone,
        b"cluster_known_nodes": len(view.members),
        b"cluster_size": len(view.voters()),
        b"cluster_current_epoch": view.current_epoch,
        b"cluster_my_epoch": primary.epoch,
    }
    return Verbatim(b"".join(b"%b:%b\r\n" % (key, b"%d" % v if isinstance(v, int) else v) for key, v in lines.items()))
