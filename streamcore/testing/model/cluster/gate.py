"""The gate in front of a cluster's commands: whether this node may run a command, or which error sends the client elsewhere.

It follows the servers step by step, since their order decides between errors: a slot without an owner, keys of several slots, a
cluster that is down, a slot on its way, a replica, another owner.
"""

from __future__ import annotations

from typing import Final

from ..protocol import Failure
from ..session import Session
from .context import NodeContext
from .keys import SHARDED, keys_of, slot_of

CROSS_SLOT: Final = "CROSSSLOT Keys in request don't hash to the same slot"
NOT_SERVED: Final = "CLUSTERDOWN Hash slot not served"
DOWN: Final = "CLUSTERDOWN The cluster is down"
TRY_AGAIN: Final = "TRYAGAIN Multiple keys request during rehashing of slot"


def check(node: NodeContext, session: Session, word: bytes, words: list[bytes], flags: str) -> None:
    """Raise the error of a command, or of the transaction that EXEC is about to run, that this node does not serve."""
    commands = [words]
    if word == b"EXEC":
        if session.queued is None or (node.is_valkey and (session.is_spoilt or session.is_outdated)):
            return
        commands = session.queued
    elif word == b"SUNSUBSCRIBE" and node.flavour.recent:
        return
    names = [one[0].upper() for one in commands]
    keys = [key for name, one in zip(names, commands, strict=True) for key in keys_of(name, one)]
    if not keys:
        return
    writes = "w" in flags or any("w" in node.flags_of(name) for name in names)
    may_open = not (node.is_valkey and session.queued is not None and word != b"EXEC")
    judge(node, session, keys, writes=writes, is_sharded=not SHARDED.isdisjoint(names), looks=may_open)


def judge(
    node: NodeContext,
    session: Session,
    keys: list[bytes],
    *,
    writes: bool,
    is_sharded: bool = False,
    looks: bool = True,
) -> None:
    """Raise the error for keys that this node does not serve. ``looks``: whether the keys of a slot on its way have to exist."""
    view = node.view
    slot = slot_of(keys[0])
    owner = view.owner(slot)
    crosses = any(slot_of(key) != slot for key in keys[1:])
    if crosses and (owner is not None or node.flavour.modern):
        raise Failure(CROSS_SLOT)
    if owner is None:
        raise Failure(NOT_SERVED)
    if view.is_down and not is_sharded:
        raise Failure(DOWN)
    is_mine = owner is view.myself
    is_copied = not is_mine and session in node.readers and not writes and view.myself.primary == owner.id
    if (is_mine or is_copied) and slot in view.migrating and looks and not is_sharded:
        _leaving(node, slot, keys)
    if slot in view.importing and session in node.asking:
        _arriving(node, keys, looks=looks and not is_sharded)
        return
    if is_mine or is_copied or (is_sharded and view.myself.primary == owner.id):
        return
    raise moved(node, slot)


def moved(node: NodeContext, slot: int) -> Failure:
    """The error that names the owner of a slot, in the view of this node."""
    owner = node.view.owner(slot)
    assert owner is not None, "a slot without an owner is refused otherwise"
    return Failure(f"MOVED {slot} {node.endpoint(owner)}")


def _leaving(node: NodeContext, slot: int, keys: list[bytes]) -> None:
    here = [node.databases[0].raw(key) is not None for key in keys]
    if all(here):
        return
    if any(here):
        raise Failure(TRY_AGAIN)
    raise Failure(f"ASK {slot} {node.endpoint(node.view.members[node.view.migrating[slot]])}")


def _arriving(node: NodeContext, keys: list[bytes], *, looks: bool) -> None:
    if looks and len(set(keys)) > 1 and any(node.databases[0].raw(key) is None for key in keys):
        raise Failure(TRY_AGAIN)
