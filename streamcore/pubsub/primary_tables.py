"""Subscriptions to what each primary tells of its own: events of keys, and invalidated keys. Each has a link, and all subscriptions.

The tables follow the topology. What a node that has become a primary has told before it was subscribed to is missed: a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..engine.context import EngineContext
from ..engine.router import SlotOwners
from ..errors import ConnectionLost, ReplyError
from ..events import Event
from .message import Kind
from .node_tables import NodeTables, refusal_of
from .subscriptions import Subscription, SubscriptionCommand, SubscriptionOwner, SubscriptionTable


class PrimaryTables(NodeTables):
    """The same subscriptions at each primary."""

    def __init__(
        self, engine: EngineContext, owner: SubscriptionOwner, emit: Callable[[Event], None], nodes: SlotOwners
    ) -> None:
        super().__init__(engine, owner, emit, nodes, what="keys", tracks=True)
        # Of nodes that have become primaries, and were not subscribed to yet.
        self._late: set[SubscriptionTable] = set()
        self._has_begun = False

    # -- the engine's side --------------------------------------------------------------------------------------------

    def want(self, kind: Kind, name: bytes, handler: Any) -> Subscription:
        """Desire a subscription at each primary, with this handler, if any; ``sync`` sends the SUBSCRIBE."""
        subscription = self._want(kind, name, handler)
        for table in self._tables.values():
            table.want(kind, name, handler)
        return subscription

    def unwant(self, subscription: Subscription) -> None:
        """Desire a subscription no more; ``sync`` sends the UNSUBSCRIBE."""
        if subscription.wanted:
            subscription.wanted = False
            for place in self._places(subscription):
                place[0].unwant(place[1])
            self._settle(subscription)

    def sync(self) -> None:
        """Send SUBSCRIBE and UNSUBSCRIBE for all changes that the servers were not told."""
        for table in self._tables.values():
            table.sync()

    def open(self) -> None:
        """Want connections from now on."""
        self.follow()

    @property
    def is_up(self) -> bool:
        """Whether each primary is connected."""
        return bool(self._tables) and all(table.is_up for table in self._tables.values())

    # -- the topology -------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Subscribe to nodes that have become primaries, and close the links of nodes that are none any more."""
        primaries = sorted(self._nodes.primaries, key=str)
        for address in [address for address in self._tables if address not in primaries]:
            self._late.discard(self._tables[address])
            self._remove(address)
        for address in primaries:
            if address not in self._tables:
                table = self._open(address)
                every = [subscription for names in self.table.values() for subscription in names.values()]
                for subscription in [subscription for subscription in every if subscription.wanted]:
                    table.want(subscription.kind, subscription.name, subscription.handler)
                if self._has_begun:
                    self._late.add(table)
        self._has_begun |= bool(primaries)
        self._settle_all([subscription for names in self.table.values() for subscription in names.values()])

    def _places(self, subscription: Subscription) -> list[tuple[SubscriptionTable, Subscription]]:
        found = ((table, table.table[subscription.kind].get(subscription.name)) for table in self._tables.values())
        return [(table, place) for table, place in found if place is not None]

    def _settle(self, subscription: Subscription) -> None:
        places = [place for _, place in self._places(subscription)]
        if subscription.wanted:
            subscription.confirmed = bool(places) and all(place.is_settled for place in places)
        else:
            subscription.confirmed = any(place.confirmed or place.command is not None for place in places)
        subscription.refusal = refusal_of(places)
        if not places and not subscription.wanted:
            del self.table[subscription.kind][subscription.name]

    # -- events of the tables -----------------------------------------------------------------------------------------

    def _answered(self, subscriptions: SubscriptionTable, command: SubscriptionCommand) -> None:
        if command.wanted and subscriptions in self._late and not isinstance(command.replies[-1], ReplyError):
            self._late.remove(subscriptions)
            error = ConnectionLost(f"{subscriptions.link.address} has become a primary, and was not subscribed to yet")
            self._owner.subscriptions_lost(subscriptions, None, error)

    def subscriptions_lost(
        self, subscriptions: SubscriptionTable, names: Sequence[bytes] | None, error: Exception
    ) -> None:
        """Pass on that messages of these names (None: of all) may be lost; the link's name tells the node."""
        self._owner.subscriptions_lost(subscriptions, names, error)
