"""Primaries that were replaced, and the messages that go astray with them.

Messages travel from node to node over the bus of the cluster, without a guarantee. A primary that has died takes some along. A
primary that becomes a replica, in a failover in order, keeps its clients: publishers that do not know of it go on there, and are answered,
but for some 0.2 s it has no connections to other nodes, and what it takes comes to none of them (Valkey 9.1, Redis 7.0 and
8.6). Subscribers elsewhere do not notice. So they are told of a gap when a primary was replaced, and again ``SETTLING`` seconds later.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from ..engine.context import EngineContext
from ..engine.router import SlotPlaces
from ..options import Address

SETTLING: Final = 1.0
"""Seconds for which a former primary may lose what it takes."""


class ReplacedPrimaries:
    """Notes which primaries were replaced.

    ``lost_at_shards`` is called at the end of a gap with the shard channels that such a primary had ended, ``lost_on_bus`` where
    messages of any node may have been lost.
    """

    def __init__(
        self,
        engine: EngineContext,
        nodes: SlotPlaces,
        *,
        lost_at_shards: Callable[[list[bytes]], None],
        lost_on_bus: Callable[[], None],
    ) -> None:
        self._clock = engine.clock
        self._nodes = nodes
        self._lost_at_shards = lost_at_shards
        self._lost_on_bus = lost_on_bus
        self._primaries = frozenset[Address]()
        self._changed_at = inf
        self._ended: dict[bytes, tuple[Address, float]] = {}  # by shard channel: who has ended it, and when
        self._timer = engine.new_timer(self._look)

    def follow(self) -> None:
        """Note the present primaries; where a former is gone, a gap begins."""
        former, self._primaries = self._primaries, frozenset(self._nodes.primaries)
        if not former <= self._primaries:
            self._changed_at = self._clock.now
            self._plan()
            self._lost_on_bus()

    def add(self, name: bytes, former: Address) -> None:
        """Note that a node has ended the subscription to a shard channel."""
        self._ended[name] = former, self._clock.now
        self._plan()

    def _plan(self) -> None:
        self._timer.set(min([self._changed_at, *[at for _, at in self._ended.values()]]) + SETTLING)

    def _look(self, now: float) -> None:
        over = {name: former for name, (former, at) in self._ended.items() if now >= at + SETTLING}
        for name in over:
            del self._ended[name]
        is_over = now >= self._changed_at + SETTLING
        if is_over:
            self._changed_at = inf
        self._plan()
        names = [name for name, former in over.items() if former not in self._nodes.primaries]
        if names:
            self._lost_at_shards(names)
        if is_over:
            self._lost_on_bus()
