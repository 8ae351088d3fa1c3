"""How slots of an embedded cluster go from a node to another.

*Classic*, which every server knows: both nodes are told that the slot is on its way, its keys go over, and then every primary is
told of the new owner. *Atomic*, with a command of its own in Valkey 9 and in Redis 8.4: the keys and the slot go over at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from streamcore.commands import Command, cluster_countkeysinslot, cluster_getkeysinslot, info, raw
from streamcore.errors import InvalidArgument, ReplyError

from .node import HOST, EmbeddedNode

KEYS_AT_ONCE: Final = 100
MIGRATE_TIMEOUT: Final = 5000  # milliseconds


class SlotMove:
    """A slot on its classic way from ``source`` to ``target``, step by step, so that a test can look in between.

    From ``begin()`` on, the source answers ``ASK`` for keys that it does not have. ``move_keys()`` lets keys go over, and
    ``finish()`` the rest of them, and tells every primary of the new owner. Their errors are those of ``EmbeddedNode.ask``.
    """

    def __init__(
        self, slot: int, source: EmbeddedNode, target: EmbeddedNode, primaries: Iterable[EmbeddedNode]
    ) -> None:
        self._slot = slot
        self._source = source
        self._target = target
        self._primaries = [target, source, *(node for node in primaries if node not in (source, target))]

    def begin(self) -> None:
        """Let the target import the slot, and the source migrate it."""
        self._target.ask(raw("CLUSTER", "SETSLOT", self._slot, "IMPORTING", self._source.id))
        self._source.ask(raw("CLUSTER", "SETSLOT", self._slot, "MIGRATING", self._target.id))

    def move_keys(self, count: int | None = None) -> int:
        """Let ``count`` keys go over, or all; returns how many did."""
        moved = 0
        while count is None or moved < count:
            wanted = KEYS_AT_ONCE if count is None else min(KEYS_AT_ONCE, count - moved)
            keys = self._source.ask(cluster_getkeysinslot(self._slot, wanted))
            if not keys:
                break
            self._source.ask(raw("MIGRATE", HOST, self._target.port, "", 0, MIGRATE_TIMEOUT, "KEYS", *keys))
            moved += len(keys)
        return moved

    def finish(self) -> None:
        """Let the remaining keys go over, and tell every primary of the new owner."""
        self.move_keys()
        for node in self._primaries:
            node.ask(assignment(self._slot, self._target))


def assignment(slot: int, owner: EmbeddedNode) -> Command[Any]:
    """Make the command that tells a primary which node has a slot (``CLUSTER SETSLOT ... NODE``)."""
    return raw("CLUSTER", "SETSLOT", slot, "NODE", owner.id)


def assign(
    slots: Sequence[int], source: EmbeddedNode | None, target: EmbeddedNode, primaries: Iterable[EmbeddedNode]
) -> None:
    """Give slots to ``target``; those with keys in ``source``, which has them all, go the classic way.

    ``source`` is None where no node that runs has the slots. The target's claim is the newest from now on
    (``CLUSTER BUMPEPOCH``), so that no belated gossip undoes it.
    """
    primaries = list(primaries)
    target.ask(raw("CLUSTER", "BUMPEPOCH"))
    empty = set(slots)
    if source is not None:
        counts = source.ask_all([cluster_countkeysinslot(slot) for slot in slots])
        empty -= {slot for slot, count in zip(slots, counts, strict=True) if count}
        replies = source.ask_all([assignment(slot, target) for slot in sorted(empty)])
        refused = zip(sorted(empty), replies, strict=True)  # a key came in between
        empty -= {slot for slot, reply in refused if isinstance(reply, ReplyError)}
    commands = [assignment(slot, target) for slot in sorted(empty)]
    for node in (target, *(node for node in primaries if node not in (source, target))):
        node.ask_all(commands)
    if source is not None:
        for slot in sorted(set(slots) - empty):
            move = SlotMove(slot, source, target, primaries)
            move.begin()
            move.finish()


def can_move_atomically(node: EmbeddedNode) -> bool:
    """Whether the server has a command for it: Valkey from 9.0, Redis from 8.4."""
    about = node.ask(info("server"))
    valkey = about.get("valkey_version")
    return _version(valkey) >= (9, 0) if valkey else _version(about["redis_version"]) >= (8, 4)


def start_atomic_move(slots: Sequence[tuple[int, int]], source: EmbeddedNode, target: EmbeddedNode) -> None:
    """Begin the move of ranges of slots, which goes on in the servers.

    Raises ``InvalidArgument`` where the servers have no command for it.
    """
    if not can_move_atomically(source):
        raise InvalidArgument(
            "how='atomic' needs servers of Valkey 9.0 or Redis 8.4; how='classic' works with every server"
        )
    edges = [edge for each in slots for edge in each]
    if "valkey_version" in source.ask(info("server")):
        source.ask(raw("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *edges, "NODE", target.id))
    else:
        target.ask(raw("CLUSTER", "MIGRATION", "IMPORT", *edges))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])
