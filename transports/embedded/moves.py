"""How slots of an embedded cluster go from a node to another.

*Classic*, which every server knows: both nodes are told that slots are on their way, the keys go over, and then every primary is
told of the new owner. *Atomic*, with a command of its own in Valkey 9 and in Redis 8.4: the keys and the slots go over at once.
*Claimed*: where no node that can answer has the slots, the new owner says that they are its own, under a newer epoch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from streamcore.cluster.topology import ranges
from streamcore.commands import Command, cluster_countkeysinslot, cluster_getkeysinslot, raw
from streamcore.errors import InvalidArgument, ReplyError

from .members import Members
from .node import EmbeddedNode
from .questions import HOST
from .server import EmbeddedServerError
from .views import slots_of

KEYS_AT_ONCE: Final = 100
MIGRATE_TIMEOUT: Final = 5000  # milliseconds
HEARSAY: Final = 2.0  # seconds, at most, until a node has heard of another's epoch
START: Final = 3.0  # seconds, at most, until a primary that has started serves
LOOK: Final = 0.002  # seconds between two looks whether it has
FEW: Final = 64  # slots that go the classic way also in Valkey, which takes up to 6 ms for each ``SETSLOT``, since replicas confirm it


class SlotMove:
    """A slot on its classic way from ``source`` to ``target``, step by step, so that a test can look in between.

    From ``begin()`` on, the source answers ``ASK`` for keys that it does not have. ``move_keys()`` lets keys go over, and
    ``finish()`` the rest of them, and tells every primary of the new owner. Their errors are those of ``EmbeddedNode.ask``;
    among them is a key that the target has already (``BUSYKEY``), unless that ``replaces`` it.
    """

    def __init__(
        self,
        slot: int,
        source: EmbeddedNode,
        target: EmbeddedNode,
        primaries: Iterable[EmbeddedNode],
        *,
        replaces: bool = False,
    ) -> None:
        self._replace = ["REPLACE"] if replaces else []
        self._slot = slot
        self._source = source
        self._target = target
        self._primaries = primaries

    def begin(self) -> None:
        """Let the target import the slot, and the source migrate it."""
        _begin([self._slot], self._source, self._target)

    def move_keys(self, count: int | None = None) -> int:
        """Let ``count`` keys go over, or all; returns how many did."""
        moved = 0
        for database in self._source.databases():
            while count is None or moved < count:
                wanted = KEYS_AT_ONCE if count is None else min(KEYS_AT_ONCE, count - moved)
                select: list[Command[Any]] = [Command(("SELECT", database))] if database else []
                keys = self._source.ask_all([*select, cluster_getkeysinslot(self._slot, wanted)])[-1]
                if not keys:
                    break
                _checked(self._source.ask_all([*select, self._migrate(keys, database)]))
                moved += len(keys)
        return moved

    def finish(self) -> None:
        """Let the remaining keys go over, and tell every primary of the new owner."""
        self.move_keys()
        _assign([self._slot], self._source, self._target, self._primaries)

    def _migrate(self, keys: Sequence[bytes], database: int) -> Command[Any]:
        target, how = self._target, self._replace
        where = (HOST, target.peer_port, "", database, MIGRATE_TIMEOUT)
        return raw("MIGRATE", *where, *how, *target.sign_in(), "KEYS", *keys)


def move_classic(
    slots: Sequence[int],
    source: EmbeddedNode,
    target: EmbeddedNode,
    primaries: Iterable[EmbeddedNode],
    *,
    replaces: bool = False,
) -> None:
    """Move slots with their keys, the classic way; ``replaces`` as for ``SlotMove``."""
    _begin(slots, source, target)
    counts = source.ask_all([cluster_countkeysinslot(slot) for slot in slots])
    for slot, count in zip(slots, counts, strict=True):
        if count:
            SlotMove(slot, source, target, primaries, replaces=replaces).move_keys()
    _assign(slots, source, target, primaries)


def start_atomic_move(slots: Sequence[tuple[int, int]], source: EmbeddedNode, target: EmbeddedNode) -> None:
    """Begin the move of ranges of slots, which goes on in the servers.

    Raises ``InvalidArgument`` where the servers have no command for it.
    """
    edges = [edge for each in slots for edge in each]
    if source.has("valkey", 9, 0):
        source.ask(raw("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *edges, "NODE", target.id))
    elif source.has("redis", 8, 4):
        target.ask(raw("CLUSTER", "MIGRATION", "IMPORT", *edges))
    else:
        raise InvalidArgument(
            "how='atomic' needs servers of Valkey 9.0 or Redis 8.4; how='classic' works with every server"
        )


def cancel_atomic_moves(nodes: Iterable[EmbeddedNode]) -> None:
    """End all atomic moves that go on in the servers; their slots stay where they are."""
    for node in nodes:  # a server refuses the command that it does not know
        node.ask_all([raw("CLUSTER", "CANCELSLOTMIGRATIONS"), raw("CLUSTER", "MIGRATION", "CANCEL", "ALL")])


def claim(slots: Sequence[int], target: EmbeddedNode) -> None:
    """Let a primary say that slots are its own, which no node that can answer has.

    Its claim is the newest from now on (``CLUSTER BUMPEPOCH``), so that no belated gossip undoes it.
    """
    wanted = set(slots)
    taken = sorted(wanted & {slot for node in target.known().values() for slot in slots_of(node)})
    target.ask(raw("CLUSTER", "BUMPEPOCH"))
    if taken:
        target.ask(raw("CLUSTER", "DELSLOTSRANGE", *_edges(taken)))
    target.ask(raw("CLUSTER", "ADDSLOTSRANGE", *_edges(sorted(wanted))))


def give(members: Members, slots: Sequence[int], target: EmbeddedNode) -> None:
    """Give slots, with their keys where their owner can answer, to a primary."""

    def fetch() -> None:
        views = members.views()
        owners, primaries = views.owners(), [node for node in views if views.own(node).primary is None]
        parts: dict[EmbeddedNode | None, list[int]] = {}
        for slot in slots:
            parts.setdefault(owners.get(slot), []).append(slot)
        unowned = parts.pop(None, [])
        if unowned:
            claim(unowned, target)
        for source, part in parts.items():
            if source is None or source is target:
                continue
            with suppress(EmbeddedServerError):  # a primary that has just started refuses keys for two seconds
                members.wait_for(f"{target} serves", target.is_ready, START)
            if len(part) > FEW and source.has("valkey", 9, 0):
                start_atomic_move(ranges(part), source, target)
            else:
                move_classic(part, source, target, primaries)

    wanted = set(slots)
    members.insist(f"{target} has {len(slots)} slots", fetch, lambda view: wanted <= set(slots_of(view[target.id])))


def _begin(slots: Sequence[int], source: EmbeddedNode, target: EmbeddedNode) -> None:
    _checked(target.ask_all([raw("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id) for slot in slots]))
    _checked(source.ask_all([raw("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id) for slot in slots]))


def _assign(
    slots: Sequence[int], source: EmbeddedNode, target: EmbeddedNode, primaries: Iterable[EmbeddedNode]
) -> None:
    """Tell the target, the source and all others, in this order, of the new owner (``CLUSTER SETSLOT ... NODE``).

    The target has heard of the source's epoch by then: else it would take its own for the newest, and belated gossip of the source,
    which had the slot under a newer one, would undo the move at some nodes, for good.
    """
    _await_epoch(source, target)
    commands = [raw("CLUSTER", "SETSLOT", slot, "NODE", target.id) for slot in slots]
    for node in (target, source, *(node for node in primaries if node not in (source, target))):
        _checked(node.ask_all(commands))


def _await_epoch(source: EmbeddedNode, target: EmbeddedNode) -> None:
    epoch, deadline = source.known()[source.id].config_epoch, time.monotonic() + HEARSAY
    while target.known()[source.id].config_epoch < epoch and time.monotonic() < deadline:
        time.sleep(LOOK)


def _edges(slots: Sequence[int]) -> list[int]:
    return [edge for each in ranges(slots) for edge in each]


def _checked(replies: Sequence[Any]) -> None:
    """Raise the first refusal among replies."""
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
