"""The router of a cluster: each link is dialled at the node that its route leads to, now and when that changes.

The router observes its links, and each loss tells its reason. ``MOVED`` names the new owner of a slot: an *overlay* on the
topology at once, which ends when a topology that was asked for later is known. A link that has lost its node waits there by
its back-off, while the ``Refresher`` asks the other nodes, again and again until the link is up or its slot has another owner.
Whenever a newer topology is known, each link whose route leads elsewhere now is redirected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from ..commands.cluster import key_slot
from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE, Link, Owner
from ..connection.link_state import State
from ..engine.router import ANYWHERE, Anywhere, Beside, OnNode, Route, RouterContext, Slot
from ..errors import AskError, ConnectionLost, MovedError, SlotRedirect
from ..options import Address
from ..topology_events import NodeSuspected, RedirectRefused
from .addresses import AddressPolicy
from .board import Board
from .refresher import Refresher
from .topology import Topology

FREE: Final = 3
"""Dials at once, without a back-off, of a link that was redirected and has not worked since."""

LOOK: Final = 1.0
"""Seconds between two looks at the board, for a topology that another router has asked for, and at the links that are not up."""


class ClusterRouter:
    """Gives an engine its links to the nodes of a cluster. ``on_change`` is called behind each change of owners."""

    def __init__(
        self,
        context: RouterContext,
        board: Board,
        policy: AddressPolicy,
        seeds: Sequence[Address],
        *,
        refresh_interval: float,
    ) -> None:
        self.on_change: Callable[[], None] = _nothing
        self.primaries: set[Address] = set()
        self._context = context
        self._board = board
        self._policy = policy
        self.snapshot: Topology | None = None
        self._overlays: dict[int, tuple[Address, float]] = {}  # by slot: its owner, and since when
        self._routes: dict[Link, Route] = {}
        self._beside: dict[Link, list[Link]] = {}
        self._suspects: dict[Link, Exchange | None] = {}  # that do not answer, and their oldest exchanges
        self._wanted: dict[int, None] = {}  # slots that are waited for
        self._refresher = Refresher(
            context, board, policy, seeds, interval=refresh_interval, learn=self._learn, needed=self._is_needed
        )
        self._links = [self._refresher.link]
        self._timer = context.new_timer(self._look)
        if board.topology is None:
            self._refresher.want()
        else:
            self._learn()
        self._timer.set(AT_ONCE)

    # -- the engine's side --------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> ClusterRouter:
        """The nodes that keys are spread over, as this router knows them."""
        return self

    def route(self, key: bytes) -> Route:
        """Find the route to the primary of a key's slot."""
        return Slot(key_slot(key))

    def link(self, owner: Owner, name: str, route: Route) -> Link:
        """Make a link to the node that the route leads to; where none is known yet, it is dialled when it is."""
        link = self._context.make_link(owner, name, self._address(route), self)
        self._routes[link] = route
        if isinstance(route, Beside):
            self._beside.setdefault(route.link, []).append(link)
        self._links.append(link)
        return link

    def links(self) -> Sequence[Link]:
        """Return all links, in the order in which they were made: first that of the refresher."""
        return self._links

    # -- owners of slots ----------------------------------------------------------------------------------------------

    def owner(self, slot: int) -> Address | None:
        """Find the address of the primary of a slot; None where none is known."""
        if slot in self._overlays:
            return self._overlays[slot][0]
        node = None if self.snapshot is None else self.snapshot.owner(slot)
        return None if node is None else node.address

    def moved(self, error: MovedError, told_by: Address) -> Address | None:
        """Follow a ``MOVED`` that a node has told; None where its address may not be followed."""
        address = self._follow(error, told_by)
        if address is not None and error.slot is not None:
            self._overlays[error.slot] = (address, self._context.clock.now)
            self._refresher.want(prefer=address)
        return address

    def asked(self, error: AskError, told_by: Address) -> Address | None:
        """Find where an ``ASK`` of a node leads; None where its address may not be followed."""
        return self._follow(error, told_by)

    @property
    def asked_at(self) -> float:
        """When the present topology was asked for, in seconds."""
        return -inf if self.snapshot is None else self.snapshot.asked_at

    def want(self, slot: int, *, prefer: Address | None = None) -> None:
        """Ask for the topology, first a preferred node, until the slot has an owner that serves it; ``serve`` ends that."""
        self._wanted[slot] = None
        self._refresher.want(prefer=prefer)

    def serve(self, slot: int) -> None:
        """Note that a slot is served."""
        self._wanted.pop(slot, None)

    def _follow(self, redirect: SlotRedirect, told_by: Address) -> Address | None:
        topology = self.snapshot
        address = self._policy.of_redirect(redirect, told_by)
        named = () if topology is None else {node.address for node in topology.nodes.values()}
        if redirect.slot is None or address is None or not self._policy.may_follow(address, named):
            self._context.emit(RedirectRefused(f"{redirect.host}:{redirect.port}", str(told_by)))
            self._refresher.want()
            return None
        return address

    def suspect(self, link: Link) -> None:
        """Have the other nodes asked: this one does not answer. Its links are dropped when its slots have another owner."""
        assert isinstance(link.address, Address)
        self._suspects[link] = link.oldest
        self._context.emit(NodeSuspected(str(link.address)))
        self._refresher.want(avoid=link.address)

    # -- events of the links ------------------------------------------------------------------------------------------

    def link_made(self, link: Link) -> None:
        """Nothing is to be done: the link is where its route leads."""

    def link_lost(self, link: Link, error: Exception) -> None:
        """Redirect a link that was told of another owner; have the cluster asked otherwise."""
        route = self._routes[link]
        assert isinstance(link.address, Address)
        if isinstance(error, MovedError):
            address = self.moved(error, link.address)
            if address is not None and address == self._address(route):
                self._send_to(link, address)
            return
        self._refresher.want(avoid=link.address)
        if route == ANYWHERE and (other := self._any(but=link.address)) is not None:
            self._send_to(link, other)

    def _send_to(self, link: Link, address: Address) -> None:
        """Have a link dial another node: at once, or by its back-off where it has been sent around in vain."""
        if link.attempts < FREE or not link.has_address:
            link.redirect(address)
        else:
            link.address = address
        for beside in self._beside.get(link, ()):
            if beside.address != address:
                beside.redirect(address)

    def remove(self, link: Link) -> None:
        """Close a link for good."""
        link.close()
        self._links.remove(link)
        self._routes.pop(link, None)
        self._suspects.pop(link, None)

    # -- topologies ---------------------------------------------------------------------------------------------------

    def _address(self, route: Route) -> Address | None:
        if isinstance(route, Slot):
            return self.owner(route.slot)
        if isinstance(route, Beside):
            address = route.link.address
            return address if route.link.has_address and isinstance(address, Address) else None
        if isinstance(route, OnNode):
            return route.address
        return self._any()

    def _any(self, but: Address | None = None) -> Address | None:
        """Choose a primary by chance."""
        primaries = () if self.snapshot is None else self.snapshot.primaries
        able = [node.address for node in primaries if node.address != but]
        return able[int(self._context.random() * len(able)) % len(able)] if able else None

    def _look(self, now: float) -> None:
        if self._board.topology is not self.snapshot:
            self._learn()
        if self._is_needed():
            self._refresher.want()
        self._timer.set(now + LOOK)

    def _learn(self) -> None:
        """Take the topology of the board, and redirect the links whose routes lead elsewhere now."""
        topology = self._board.topology
        if topology is None or topology is self.snapshot:
            return
        self.snapshot = topology
        asked_at = topology.asked_at
        self._overlays = {slot: one for slot, one in self._overlays.items() if one[1] >= asked_at}
        named = {node.address for node in topology.nodes.values()}
        self.primaries = {node.address for node in topology.primaries}
        for link in [*self._suspects]:
            if not self._is_silent(link):
                del self._suspects[link]
            elif link.address not in self.primaries:
                link.drop(
                    ConnectionLost(f"{link.address} does not answer, and its slots have another owner", sent=True)
                )
        for link, route in self._routes.items():
            if isinstance(route, Anywhere) and link.has_address and link.address in named:
                continue
            address = self._address(route)
            if address is not None and (link.address != address or not link.has_address):
                link.redirect(address)
        self.on_change()

    def _is_needed(self) -> bool:
        """Whether the topology leaves something to be desired: a slot, or a link that is wanted, without a node that serves it."""
        return bool(self._wanted) or any(map(self._is_silent, self._suspects)) or any(map(_is_missing, self._routes))

    def _is_silent(self, link: Link) -> bool:
        """Whether a suspect has still not answered."""
        return link.is_up and link.oldest is not None and link.oldest is self._suspects[link]


def _is_missing(link: Link) -> bool:
    return link.state is not State.RESTING and not link.is_up


def _nothing() -> None:
    """Ignore a change."""
