"""Subscriptions in force at several nodes of a cluster: a ``SubscriptionTable`` for each node, and what they have in common.

A subscription of the engine has *places*: subscriptions of the same name at nodes, from which its own states follow. A node that
does not answer is suspected, so that the others are asked whether one of them has taken its place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..commands.cluster import key_slot
from ..connection.exchange import Exchange
from ..engine.context import EngineContext
from ..engine.router import OnNode, SlotPlaces
from ..errors import ConnectionLost, ReplyError
from ..events import Event
from ..options import Address
from .message import Kind
from .subscriptions import Subscription, SubscriptionCommand, SubscriptionOwner, SubscriptionTable


class NodeTables(ABC):
    """The tables of nodes, by address. ``what``: what the links are for, in their names; ``tracks``: also for invalidated keys."""

    def __init__(
        self,
        engine: EngineContext,
        owner: SubscriptionOwner,
        emit: Callable[[Event], None],
        nodes: SlotPlaces,
        *,
        what: str,
        tracks: bool,
    ) -> None:
        self.table: dict[Kind, dict[bytes, Subscription]] = {kind: {} for kind in Kind}
        self._engine = engine
        self._owner = owner
        self._emit = emit
        self._nodes = nodes
        self._what = what
        self._tracks = tracks
        self._tables: dict[Address, SubscriptionTable] = {}

    @abstractmethod
    def follow(self) -> None:
        """Follow the owners of slots, which may have changed."""

    @abstractmethod
    def _settle(self, subscription: Subscription) -> None:
        """Derive the states of a subscription from those of its places; forget it where it is over."""

    # -- the engine's side --------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading at all nodes, but for those of which an answer is due."""
        for table in self._tables.values():
            table.pause()

    def resume(self) -> None:
        """Read on at all nodes."""
        for table in self._tables.values():
            table.resume()

    @property
    def is_idle(self) -> bool:
        """Whether no message is to be expected: names that a server has not let go of yet still count."""
        every = (subscription for names in self.table.values() for subscription in names.values())
        return not any(subscription.wanted or subscription.refusal is None for subscription in every)

    @property
    def has_handlers(self) -> bool:
        """Whether a subscription has a handler."""
        return any(subscription.handler for names in self.table.values() for subscription in names.values())

    @property
    def is_tracked(self) -> bool:
        """Whether each node tells its invalidated keys."""
        return bool(self._tables) and all(table.is_tracked for table in self._tables.values())

    def _want(self, kind: Kind, name: bytes, handler: Any) -> Subscription:
        subscription = self.table[kind].setdefault(name, Subscription(kind, name))
        subscription.wanted, subscription.handler, subscription.refusal = True, handler, None
        return subscription

    # -- the tables of nodes ------------------------------------------------------------------------------------------

    def _open(self, address: Address) -> SubscriptionTable:
        """Return the table of a node; where there is none yet, it is made, and its link opened."""
        table = self._tables.get(address)
        if table is None:
            table = self._tables[address] = SubscriptionTable(
                self._engine,
                self,
                self._emit,
                name=f"{self._what} at {address}",
                route=OnNode(address),
                slot_of=key_slot,
                tracks=self._tracks,
            )
            self._nodes.watch(table.link)
            table.open()
        return table

    def _remove(self, address: Address) -> None:
        """Close the link of a node that is not subscribed to any more."""
        table = self._tables[address]
        table.link.drop(ConnectionLost(f"there is nothing to subscribe to at {address} any more"))
        del self._tables[address]
        self._nodes.remove(table.link)

    # -- events of the tables -----------------------------------------------------------------------------------------

    def subscriptions_up(self, subscriptions: SubscriptionTable, *, again: bool) -> None:
        """Pass on the connection to a node."""
        self._owner.subscriptions_up(subscriptions, again=again)

    def subscriptions_answered(self, subscriptions: SubscriptionTable, exchange: Exchange) -> None:
        """Take the answer of a node, and pass it on."""
        if isinstance(exchange, SubscriptionCommand):
            self._answered(subscriptions, exchange)
            self._settle_all(exchange.subscriptions)
        self._owner.subscriptions_answered(subscriptions, exchange)

    @abstractmethod
    def _answered(self, subscriptions: SubscriptionTable, command: SubscriptionCommand) -> None:
        """Act on a node's answer to a SUBSCRIBE or UNSUBSCRIBE."""

    @abstractmethod
    def subscriptions_lost(
        self, subscriptions: SubscriptionTable, names: Sequence[bytes] | None, error: Exception
    ) -> None:
        """Pass on that messages of these names (None: of all of the node's) may be lost."""

    def subscriptions_refused(self, subscriptions: SubscriptionTable, refused: Sequence[Subscription]) -> None:
        """Pass on what a node has refused, but for names that another node is asked for."""
        found = (self.table[place.kind].get(place.name) for place in refused)
        told = [one for one in found if one is not None and one.refusal is not None and one.refusal.code != "MOVED"]
        if told:
            self._owner.subscriptions_refused(subscriptions, told)

    def subscriptions_pushed(self, subscriptions: SubscriptionTable, pushes: list[list[Any]]) -> None:
        """Pass on what a node has pushed."""
        self._owner.subscriptions_pushed(subscriptions, pushes)

    def subscriptions_down(self, subscriptions: SubscriptionTable, error: Exception, *, was_up: bool) -> None:
        """Pass on the loss of a node's connection."""
        self._settle_all([one for names in self.table.values() for one in names.values()])
        self._owner.subscriptions_down(subscriptions, error, was_up=was_up)

    def _settle_all(self, places: Iterable[Subscription]) -> None:
        """Settle the subscriptions of these places."""
        for place in places:
            subscription = self.table[place.kind].get(place.name)
            if subscription is not None:
                self._settle(subscription)


def refusal_of(places: Iterable[Subscription]) -> ReplyError | None:
    """Find a refusal among places; None where there is none."""
    return next((place.refusal for place in places if place.refusal is not None), None)
