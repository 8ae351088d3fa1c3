"""How slots go from a node to another: classic, key by key, or atomically, with all its keys at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .commands import Dump
from .node import Node


class SlotMove:
    """A slot on its classic way from ``source`` to ``target``, step by step; a test may look in between.

    ``nodes``: all nodes. Valkey tells the replicas of both that the slot is on its way.
    """

    def __init__(self, slot: int, source: Node, target: Node, nodes: Iterable[Node]) -> None:
        self.slot = slot
        self.source = source
        self.target = target
        copies = [one for one in nodes if source.is_valkey and one.view.myself.primary is not None]
        self._sources = [source, *(one for one in copies if one.view.primary == source.id)]
        self._targets = [target, *(one for one in copies if one.view.primary == target.id)]

    def begin(self) -> None:
        """Let the target import the slot, and the source migrate it (``CLUSTER SETSLOT``)."""
        for node in self._targets:
            node.view.importing[self.slot] = self.source.id
        for node in self._sources:
            node.view.migrating[self.slot] = self.target.id

    def move_keys(self, count: int | None = None) -> int:
        """Let ``count`` keys go over, or all (``MIGRATE``); return how many did."""
        found = self.source.keys_in(self.slot)[:count]
        hand_over(self.source, self.target, found)
        return len(found)

    def finish(self) -> None:
        """Let the remaining keys go over, and give the slot to the target; other nodes hear of it by gossip."""
        self.move_keys()
        source, target, slot = self.source, self.target, self.slot
        self.cancel()
        target.view.bump()
        target.view.assign([slot], target.id)
        target.settle(target.now)
        source.view.current_epoch = max(source.view.current_epoch, target.view.current_epoch)
        source.view.members[target.id].epoch = target.view.myself.epoch
        source.view.assign([slot], target.id)
        source.settle(source.now)
        target.bus.announce(target.id)

    def cancel(self) -> None:
        """Let the slot stay where it is (``STABLE``); keys that have gone over stay there, out of reach."""
        for node in self._targets:
            node.view.importing.pop(self.slot, None)
        for node in self._sources:
            node.view.migrating.pop(self.slot, None)


def move_at_once(slots: Iterable[int], source: Node, target: Node, tell: Callable[[Node, Node], None]) -> None:
    """Move slots with all their keys in an instant, as Valkey 9 and Redis 8.4 do; ``tell`` brings the target's claim to the source."""
    slots, keys = list(slots), source.databases[0]
    for key in [key for slot in slots for key in source.keys_in(slot)]:
        target.take(key, keys.expiries.get(key), Dump.of(keys.values[key]))
    target.view.bump()
    target.view.assign(slots, target.id)
    target.settle(target.now)
    tell(target, source)
    target.bus.announce(target.id)


def hand_over(source: Node, target: Node, keys: Iterable[bytes]) -> None:
    """Let keys go to another node, with their expiries."""
    for key in keys:
        expiry = source.databases[0].expiries.get(key)
        if (value := source.give(key)) is not None:
            target.take(key, expiry, value)
    for node in (target, source):
        node.settle(node.now)
