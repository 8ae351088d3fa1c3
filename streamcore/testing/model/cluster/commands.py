"""The commands of a cluster's nodes: CLUSTER, ASKING, READONLY; and those that a node answers in another way than a server alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streamcore.commands.cluster import SLOTS

from ..arguments import integer
from ..commands import connection, pubsub
from ..commands.all import COMMANDS as STANDALONE
from ..protocol import OK, Failure, Reply, Verbatim
from ..registry import Command
from ..session import Session
from ..values import Value, copied
from . import reports
from .context import NodeContext, node_of
from .keys import slot_of


class Dump(bytes):
    """The value of a key on its way to another node, in the place of the bytes of DUMP."""

    value: Value

    @classmethod
    def of(cls, value: Value) -> Dump:
        """Take a copy of a value."""
        dump = cls(b"dump")
        dump.value = copied(value)
        return dump


# -- CLUSTER -----------------------------------------------------------------------------------------------------------


def cluster(s: Session, args: list[bytes]) -> Reply:
    node, word, rest = node_of(s), args[0].upper(), args[1:]
    if (report := _REPORTS.get(word)) is not None and not rest:
        return report(node)
    match word, rest:
        case b"KEYSLOT", [key]:
            return slot_of(key)
        case b"COUNTKEYSINSLOT", [slot]:
            return len(node.keys_in(_slot(slot)))
        case b"GETKEYSINSLOT", [slot, count]:
            found = node.keys_in(_slot(slot))
            return found[: integer(count)]
        case ((b"ADDSLOTS" | b"DELSLOTS"), [_, *_]):
            return _assign(node, [_slot(one) for one in rest], adds=word == b"ADDSLOTS")
        case b"SETSLOT", [slot, how, *more]:
            return _set_slot(node, _slot(slot), how.upper(), more)
        case b"BUMPEPOCH", []:
            node.view.bump()
            node.bus.announce(node.id)
            return b"BUMPED %d" % node.view.myself.epoch
    shown = args[0].decode(errors="replace")
    raise Failure(f"ERR unknown subcommand '{shown}'. Try CLUSTER HELP.")


_REPORTS: Final[dict[bytes, Callable[[NodeContext], Reply]]] = {
    b"SLOTS": reports.slots,
    b"SHARDS": reports.shards,
    b"NODES": reports.nodes,
    b"INFO": reports.info,
    b"MYID": lambda node: node.id,
}


def _slot(word: bytes) -> int:
    slot = integer(word, "ERR Invalid or out of range slot")
    if not 0 <= slot < SLOTS:
        raise Failure("ERR Invalid slot")
    return slot


def _assign(node: NodeContext, slots: list[int], *, adds: bool) -> Reply:
    view = node.view
    for slot in slots:
        if adds and view.owners[slot] is not None:
            raise Failure(f"ERR Slot {slot} is already busy")
        if not adds and view.owners[slot] is None:
            raise Failure(f"ERR Slot {slot} is already unassigned")
    view.assign(slots, node.id if adds else None)
    node.bus.announce(node.id)
    return OK


def _set_slot(node: NodeContext, slot: int, how: bytes, more: list[bytes]) -> Reply:
    view = node.view
    if view.myself.primary is not None:
        raise Failure("ERR You can use SETSLOT only with masters.")
    match how, more:
        case ((b"MIGRATING" | b"IMPORTING" | b"NODE"), [other]):
            if other not in view.members:
                raise Failure(f"ERR I don't know about node {other.decode(errors='replace')}")
            _set_owner(node, slot, how, other)
        case b"STABLE", []:
            view.migrating.pop(slot, None)
            view.importing.pop(slot, None)
        case _:
            raise Failure("ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP")
    return OK


def _set_owner(node: NodeContext, slot: int, how: bytes, other: bytes) -> None:
    view, is_mine = node.view, node.view.owners[slot] == node.id
    if how == b"MIGRATING":
        if not is_mine:
            raise Failure(f"ERR I'm not the owner of hash slot {slot}")
        view.migrating[slot] = other
    elif how == b"IMPORTING":
        if is_mine:
            raise Failure(f"ERR I'm already the owner of hash slot {slot}")
        view.importing[slot] = other
    else:
        if is_mine and other != node.id and node.keys_in(slot):
            raise Failure(
                f"ERR Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot."
            )
        if other == node.id and view.importing.pop(slot, None) is not None:
            view.bump()
        view.assign([slot], other)
        view.migrating.pop(slot, None)
        node.bus.announce(node.id)


# -- the connection ----------------------------------------------------------------------------------------------------


def asking(s: Session, _: list[bytes]) -> Reply:
    node_of(s).asking.add(s)
    return OK


def readonly(s: Session, _: list[bytes]) -> Reply:
    node_of(s).readers.add(s)
    return OK


def readwrite(s: Session, _: list[bytes]) -> Reply:
    node_of(s).readers.discard(s)
    return OK


def reset(s: Session, args: list[bytes]) -> Reply:
    node = node_of(s)
    node.readers.discard(s)
    node.asking.discard(s)
    return connection.reset(s, args)


def hello(s: Session, args: list[bytes]) -> Reply:
    return connection.hello(s, args) | {b"mode": b"cluster"}


def select(s: Session, args: list[bytes]) -> Reply:
    if integer(args[0]) != 0:
        raise Failure(
            "ERR DB index is out of range" if node_of(s).is_valkey else "ERR SELECT is not allowed in cluster mode"
        )
    return OK


def info(s: Session, args: list[bytes]) -> Reply:
    return Verbatim(connection.info(s, args).replace(b"redis_mode:standalone", b"redis_mode:cluster"))


# -- messages, and values of other nodes -------------------------------------------------------------------------------


def publish(s: Session, args: list[bytes]) -> Reply:
    node, (channel, message) = node_of(s), args
    node.bus.publish(node.id, channel, message, is_sharded=False)
    return pubsub.publish(s, args)


def spublish(s: Session, args: list[bytes]) -> Reply:
    node, (channel, message) = node_of(s), args
    node.bus.publish(node.id, channel, message, is_sharded=True)
    return pubsub.spublish(s, args)


def restore(s: Session, args: list[bytes]) -> Reply:
    """Set a value that comes from another node; its expiry in milliseconds of the wall clock, 0 for none."""
    key, expiry, dump = args
    if not isinstance(dump, Dump):
        raise Failure("ERR DUMP payload version or checksum are wrong")
    s.keys.put(key, copied(dump.value), int(expiry) or None)
    return OK


COMMANDS: Final = {
    **STANDALONE,
    b"CLUSTER": Command(cluster, -2, "l"),
    b"ASKING": Command(asking, 1, "l"),
    b"READONLY": Command(readonly, 1, "l"),
    b"READWRITE": Command(readwrite, 1, "l"),
    b"HELLO": Command(hello, -1, "ls"),
    b"SELECT": Command(select, 2, "l"),
    b"RESET": Command(reset, 1, "l"),
    b"INFO": Command(info, -1, "l"),
    b"PUBLISH": Command(publish, 3, "l"),
    b"SPUBLISH": Command(spublish, 3, "l"),
    b"RESTORE": Command(restore, 4, "w"),
}
