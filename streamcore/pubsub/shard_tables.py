"""Subscriptions in a cluster: channels and patterns at any node, and each shard channel at the primary of its slot.

A node takes a shard channel away when its slot leaves, or refuses it with ``MOVED``, which names the owner; the topology may know
it earlier, or believe the former. So a channel is not taken from the node where it is in force, its *home*, before the next has
confirmed it. Then the home is the next, the former's messages are dropped, and what was published in between is a gap.

A replica takes shard channels as well, and hears what its primary hears. A former primary that has ended a subscription and takes
it again may be a replica by now: it is the home only if a topology that was asked for later has it as the owner. And a home that
is no primary any more is none from then on. Else a message might come twice, by both.

A primary that is cut off from the majority serves its shard channels on, without a word. So each topology is the occasion to ask
the homes how they are (``CLUSTER INFO``), and a gap is told again and again while a home is cut off, or is not the owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final

from ..commands.cluster import cluster_info, key_slot
from ..connection.exchange import Exchange
from ..engine.context import EngineContext
from ..engine.degradation import CUT_OFF
from ..engine.router import SlotOwners
from ..errors import UNAVAILABLE, ConnectionLost, MovedError, ReplyError
from ..events import Event
from ..options import Address
from .message import Kind
from .node_tables import NodeTables, refusal_of
from .replaced_primaries import ReplacedPrimaries
from .subscriptions import Subscription, SubscriptionCommand, SubscriptionOwner, SubscriptionTable

FREE: Final = 3
"""Redirects of a slot that are followed at once, one after the other."""

PAUSE: Final = 0.01
"""Seconds before the next is followed; they double up to ``PAUSE_MAX``."""

PAUSE_MAX: Final = 0.2

LOOK: Final = 1.0
"""Seconds between two questions to a home how it is, at least."""

_INFO: Final = cluster_info()


class _Look(Exchange):
    """The CLUSTER INFO that asks a home whether it is cut off."""

    __slots__ = ()


class ShardTables(NodeTables):
    """The shard channels at the primaries of their slots, and a table for channels and patterns."""

    def __init__(
        self, engine: EngineContext, owner: SubscriptionOwner, emit: Callable[[Event], None], nodes: SlotOwners
    ) -> None:
        super().__init__(engine, owner, emit, nodes, what="shard channels", tracks=False)
        self._main = SubscriptionTable(engine, self, emit, tracks=False)
        self._shards: dict[bytes, Subscription] = {}
        self.table = {**self._main.table, Kind.SHARD: self._shards}
        self._new: dict[bytes, None] = {}  # shard channels that are desired, and have no place yet
        self._places: dict[bytes, list[SubscriptionTable]] = {}
        self._homes: dict[bytes, SubscriptionTable] = {}
        self._doubts: dict[bytes, tuple[SubscriptionTable, float]] = {}  # which node has ended a subscription, and when
        self._replaced = ReplacedPrimaries(
            engine, nodes, lost_at_shards=self._lost_at_shards, lost_on_bus=self._lost_on_bus
        )
        self._hops: dict[int, int] = {}  # redirects of a slot since it was served
        self._timer = engine.new_timer(self._place_again)
        self._next_look = -inf

    # -- the engine's side --------------------------------------------------------------------------------------------

    def want(self, kind: Kind, name: bytes, handler: Any) -> Subscription:
        """Desire a subscription, with this handler, if any; ``sync`` sends the SUBSCRIBE."""
        if kind is not Kind.SHARD:
            return self._main.want(kind, name, handler)
        self._new[name] = None
        return self._want(kind, name, handler)

    def unwant(self, subscription: Subscription) -> None:
        """Desire a subscription no more; ``sync`` sends the UNSUBSCRIBE."""
        if subscription.kind is not Kind.SHARD:
            self._main.unwant(subscription)
        elif subscription.wanted:
            subscription.wanted = False
            self._new.pop(subscription.name, None)
            self._homes.pop(subscription.name, None)
            self._doubts.pop(subscription.name, None)
            self._nodes.serve(key_slot(subscription.name))
            for table, place in self._places_of(subscription.name):
                table.unwant(place)
            self._settle(subscription)

    def sync(self) -> None:
        """Send SUBSCRIBE and UNSUBSCRIBE for all changes that the servers were not told."""
        new, self._new = self._new, {}
        for name in new:
            self._place(self._shards[name])
        if self._main.table[Kind.CHANNEL] or self._main.table[Kind.PATTERN]:
            self._main.open()
        self._main.sync()
        for table in self._tables.values():
            table.sync()

    def open(self) -> None:
        """Want connections from now on; where there is nothing to subscribe to yet, a single connection."""
        if not self._shards:
            self._main.open()

    def pause(self) -> None:
        """Stop reading, but for nodes of which an answer is due."""
        self._main.pause()
        super().pause()

    def resume(self) -> None:
        """Read on."""
        self._main.resume()
        super().resume()

    @property
    def is_up(self) -> bool:
        """Whether each link that is needed is up."""
        needed = [table for table in self._tables.values() if _is_needed(table)]
        if self._main.link.wants_connection or not self._shards:
            needed.append(self._main)
        return all(table.is_up for table in needed) and self._shards.keys() <= self._places.keys()

    # -- the topology -------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Subscribe at new owners, ask again for what was refused, and close links that are not needed any more."""
        strays = {
            name: home for name, home in self._homes.items() if any(table is not home for table in self._places[name])
        }
        self._place_all(self._shards)
        for address, table in [*self._tables.items()]:
            if not (_is_needed(table) or (table.awaits_answers and address in self._nodes.primaries)):
                self._remove(address)
        self.sync()
        self._replaced.follow()
        now = self._engine.clock.now
        if now >= self._next_look:
            self._next_look = now + LOOK
            self._look(strays)

    def _look(self, strays: Mapping[bytes, SubscriptionTable]) -> None:
        """Tell the gaps of shard channels that are still in force at a node that is not the owner; ask the others how they are."""
        for table, names in _by_home(strays).items():
            error = ConnectionLost(f"{table.link.address} is not the owner of the slot of a shard channel any more")
            self._owner.subscriptions_lost(table, names, error)
        asked = [*_by_home(self._homes), *([self._main] if self._main.is_up and self._names_at_any() else [])]
        for table in asked:
            table.link.send(_Look([_INFO.args], self._engine.options.request_timeout))

    # -- places -------------------------------------------------------------------------------------------------------

    def _place_all(self, names: Iterable[bytes]) -> None:
        """Place these shard channels, as far as they are desired."""
        found = [self._shards[name] for name in names if name in self._shards]
        for shard in [shard for shard in found if shard.wanted]:
            self._place(shard)

    def _place(self, shard: Subscription) -> None:
        """Desire a shard channel at the owner of its slot, and let it stay at its home until that has confirmed."""
        name = shard.name
        slot = key_slot(name)
        address = self._nodes.owner(slot)
        if address is None:
            self._nodes.want(slot)
            return
        target = self._open(address)
        home = self._home(name, target)
        places = self._places.setdefault(name, [])
        if target not in places:
            places.append(target)
        place = target.want(Kind.SHARD, name, shard.handler)
        if home is None and place.is_settled and not self._is_doubted(name, target):
            self._homes[name] = home = target
        if home is target:
            self._serve(name)
        else:
            target.mute(place)
        for table, other in self._places_of(name):
            if table is home:
                table.want(Kind.SHARD, name, shard.handler)
            elif table is not target:
                table.mute(other)
                table.unwant(other)
        self._settle(shard)

    def _home(self, name: bytes, target: SubscriptionTable) -> SubscriptionTable | None:
        """Find the home of a shard channel; where it is no primary any more, it is none."""
        home = self._homes.get(name)
        if home is None or home is target or home.link.address in self._nodes.primaries:
            return home
        del self._homes[name]
        error = ConnectionLost(f"{home.link.address} is no primary any more")
        self._owner.subscriptions_lost(home, [name], error)
        return None

    def _is_doubted(self, name: bytes, table: SubscriptionTable) -> bool:
        """Whether a node that takes a subscription, which it had ended, may be a replica: no topology was asked for since."""
        ended_by, ended_at = self._doubts.get(name, (None, 0.0))
        return ended_by is table and self._nodes.asked_at <= ended_at

    def _serve(self, name: bytes) -> None:
        slot = key_slot(name)
        self._nodes.serve(slot)
        self._hops.pop(slot, None)

    def _places_of(self, name: bytes) -> list[tuple[SubscriptionTable, Subscription]]:
        found = ((table, table.table[Kind.SHARD].get(name)) for table in self._places.get(name, ()))
        return [(table, place) for table, place in found if place is not None]

    def _place_again(self, now: float) -> None:
        """Follow redirects that were put off."""
        self._timer.set(inf)
        self._place_all(self._shards)
        self.sync()

    def _settle(self, subscription: Subscription) -> None:
        if subscription.kind is not Kind.SHARD:  # the state of the main table is the state
            return
        name = subscription.name
        found = self._places_of(name)
        places = [place for _, place in found]
        subscription.refusal = refusal_of(places)
        if subscription.wanted:
            subscription.confirmed = name in self._homes
        else:
            subscription.confirmed = any(place.confirmed or place.command is not None for place in places)
        if found:
            self._places[name] = [table for table, _ in found]
        else:
            self._places.pop(name, None)
            if not subscription.wanted:
                del self._shards[name]

    # -- events of the tables -----------------------------------------------------------------------------------------

    def subscriptions_answered(self, subscriptions: SubscriptionTable, exchange: Exchange) -> None:
        """Take the answer of a node, and pass it on, but for what is none of the application's affair."""
        if isinstance(exchange, _Look):
            self._looked(subscriptions, exchange)
        else:
            super().subscriptions_answered(subscriptions, exchange)

    def subscriptions_pushed(self, subscriptions: SubscriptionTable, pushes: list[list[Any]]) -> None:
        """Pass on what a node has pushed; it may have ended subscriptions that are not wanted any more."""
        places = subscriptions.table[Kind.SHARD]
        before = len(places)
        super().subscriptions_pushed(subscriptions, pushes)
        if len(places) != before:
            self._settle_all([*self._shards.values()])

    def _answered(self, subscriptions: SubscriptionTable, command: SubscriptionCommand) -> None:
        if subscriptions is self._main:
            return
        reply = command.replies[-1]
        if isinstance(reply, ReplyError):
            if isinstance(reply, MovedError):
                self._redirected(subscriptions, command, reply)
            elif command.wanted and reply.code in UNAVAILABLE:
                self._nodes.want(key_slot(command.subscriptions[0].name))
        elif command.wanted:
            self._confirmed(subscriptions, [place for place in command.subscriptions if place.wanted])
        self.sync()

    def _confirmed(self, table: SubscriptionTable, places: Sequence[Subscription]) -> None:
        """Make a node the home of shard channels that it has confirmed; messages may have been lost since their former was."""
        left: list[bytes] = []
        for place in places:
            if self._is_doubted(place.name, table):
                continue
            former = self._homes.get(place.name)
            self._homes[place.name] = table
            self._doubts.pop(place.name, None)
            self._serve(place.name)
            table.want(Kind.SHARD, place.name, place.handler)
            if former is not None and former is not table:
                old = former.table[Kind.SHARD][place.name]
                former.mute(old)
                former.unwant(old)
                left.append(place.name)
        if left:
            error = ConnectionLost(f"the slot of a shard channel has gone to {table.link.address}")
            self._owner.subscriptions_lost(table, left, error)

    def _redirected(self, table: SubscriptionTable, command: SubscriptionCommand, error: MovedError) -> None:
        """Follow a ``MOVED``: the node has refused shard channels, or does not know them any more."""
        names = [place.name for place in command.subscriptions]
        if not command.wanted:
            for name in names:
                table.revoked(Kind.SHARD, name)
            return
        told_by = table.link.address
        assert isinstance(told_by, Address)
        address = self._nodes.moved(error, told_by)
        if address is None or address == told_by:
            return
        slot = key_slot(names[0])
        hops = self._hops[slot] = self._hops.get(slot, 0) + 1
        if hops > FREE:
            pause = min(PAUSE * 2 ** (hops - FREE - 1), PAUSE_MAX)
            self._timer.set(min(self._timer.at, self._engine.clock.now + pause))
            return
        self._place_all(names)

    def _looked(self, table: SubscriptionTable, exchange: Exchange) -> None:
        """Tell a gap of all that is in force at a node that is cut off."""
        [reply] = exchange.replies
        if isinstance(reply, ReplyError):
            table.degradation.refused(CUT_OFF, _INFO.args, reply)
        elif isinstance(reply, bytes) and b"cluster_state:ok" not in reply:
            error = ConnectionLost(f"{table.link.address} is cut off from the majority of the cluster")
            self._owner.subscriptions_lost(table, self._names_at(table), error)

    def subscriptions_lost(
        self, subscriptions: SubscriptionTable, names: Sequence[bytes] | None, error: Exception
    ) -> None:
        """Pass on that messages may be lost: of shard channels that the node is the home of, or of channels and patterns."""
        table = subscriptions
        if table is self._main:
            self._owner.subscriptions_lost(table, self._names_at_any() if names is None else names, error)
            return
        if names is None:
            lost = self._names_at(table)
        else:
            lost = [name for name in names if self._homes.get(name) is table or table.table[Kind.SHARD][name].confirmed]
        if lost:
            self._owner.subscriptions_lost(table, lost, error)
        for name in lost:
            if names is None or not table.table[Kind.SHARD][name].confirmed:
                self._left(name, table, is_up=names is not None)
        if names is not None:
            self.sync()

    def _left(self, name: bytes, home: SubscriptionTable, *, is_up: bool) -> None:
        """Look for a new home of a shard channel; a node that has ended the subscription knows the owner of the slot."""
        del self._homes[name]
        self._new[name] = None
        address = home.link.address
        assert isinstance(address, Address)
        if is_up:
            self._doubts[name] = home, self._engine.clock.now
            self._replaced.add(name, address)
            self._nodes.want(key_slot(name), prefer=address)

    def _lost_at_shards(self, names: list[bytes]) -> None:
        """Tell the end of the gaps of shard channels whose primaries were replaced."""
        homes = {name: self._homes[name] for name in names if name in self._homes}
        for table, found in _by_home(homes).items():
            error = ConnectionLost(
                f"messages published at the former primary may not have come to {table.link.address}"
            )
            self._owner.subscriptions_lost(table, found, error)

    def _lost_on_bus(self) -> None:
        """Tell that messages which other nodes have sent to ours may be lost."""
        names = self._names_at_any()
        if names and self._main.is_up:
            error = ConnectionLost("a primary was replaced, and messages that were published there may be lost")
            self._owner.subscriptions_lost(self._main, names, error)

    def _names_at(self, table: SubscriptionTable) -> list[bytes]:
        """Return the names that are in force at a node: shard channels whose home it is, or channels and patterns."""
        if table is self._main:
            return self._names_at_any()
        return [name for name, home in self._homes.items() if home is table]

    def _names_at_any(self) -> list[bytes]:
        """Return the channels and patterns, which any node may have."""
        return [name for kind in (Kind.CHANNEL, Kind.PATTERN) for name in self.table[kind]]


def _by_home(homes: Mapping[bytes, SubscriptionTable]) -> dict[SubscriptionTable, list[bytes]]:
    found: dict[SubscriptionTable, list[bytes]] = {}
    for name, home in homes.items():
        found.setdefault(home, []).append(name)
    return found


def _is_needed(table: SubscriptionTable) -> bool:
    return any(place.wanted for place in table.table[Kind.SHARD].values())
