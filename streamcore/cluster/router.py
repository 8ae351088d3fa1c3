"""The router of a cluster: each link is dialled at the node that its route leads to, now and when that changes.

The router observes its links, and each loss tells its reason. ``MOVED`` names the new owner of a slot: an *overlay* on the
topology at once, which ends when a topology agrees, or comes from the named node, or after ``OVERLAY`` seconds. A link that has
lost its node waits there by its back-off, while the ``Refresher`` asks the other nodes, again and again until the link is up or
its slot has another owner.
Whenever a newer topology is known, each link whose route leads elsewhere now is redirected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final, NamedTuple

from ..commands.cluster import key_slot
from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE, Link, Owner
from ..connection.link_state import State
from ..engine.lane import Lane, LaneOwner
from ..engine.router import ANYWHERE, Anywhere, Beside, OnNode, Route, RouterContext, Slot
from ..errors import AskError, ConnectionLost, MovedError, SlotRedirect, TryAgainError
from ..options import Address
from ..topology_events import NodeSuspected, RedirectRefused
from .addresses import AddressPolicy
from .board import Board
from .refresher import Refresher
from .seats import MOVING, Lanes, Seat
from .topology import Topology

FREE: Final = 3
"""Dials at once, without a back-off, of a link that was redirected and has not worked since."""

OVERLAY: Final = 5.0
"""Seconds for which a ``MOVED`` holds against topologies that do not know of it."""

LOOK: Final = 1.0
"""Seconds between two looks at the board, for a topology that another router has asked for, and at the links that are not up."""


class Overlay(NamedTuple):
    """The owner of a slot by the word of a ``MOVED``, ``since`` a time in seconds."""

    address: Address
    since: float


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
        max_links_per_node: int,
        max_links: int,
    ) -> None:
        self.on_change: Callable[[], None] = _nothing
        self.primaries: set[Address] = set()
        self.wanted: dict[int, None] = {}
        """Slots that are not served, as far as is known."""
        self._context = context
        self._board = board
        self._policy = policy
        self.snapshot: Topology | None = None
        self._overlays: dict[int, Overlay] = {}  # by slot
        self._routes: dict[Link, Route] = {}
        self._beside: dict[Link, list[Link]] = {}
        self._absent: set[Link] = set()  # links that were wanted, and not up, at the last look
        self._suspects: dict[Link, Exchange | None] = {}  # that do not answer, and their oldest exchanges
        self._unfollowed: dict[str, float] = {}  # addresses that may not be followed, and since when they were told
        self._refresher = Refresher(
            context, board, policy, seeds, interval=refresh_interval, learn=self._learn, needed=self._is_needed
        )
        self._links = [self._refresher.link]
        self._removed: list[Link] = []
        self._lanes = Lanes(context, self, max_links_per_node=max_links_per_node, max_links=max_links)
        self._timer = context.new_timer(self._look)
        if board.topology is None:
            self._refresher.want()
        else:
            self._learn()
        self._timer.set(AT_ONCE)

    # -- the engine's side --------------------------------------------------------------------------------------------

    @property
    def owners(self) -> ClusterRouter:
        """The nodes that keys are spread over, as this router knows them."""
        return self

    def route(self, key: bytes) -> Route:
        """Find the route to the primary of a key's slot."""
        return Slot(key_slot(key))

    def link(self, owner: Owner, name: str, route: Route) -> Link:
        """Make a link to the node that the route leads to; where none is known yet, it is dialled when it is."""
        link = self._context.make_link(owner, name, self._address(route), self)
        self._routes[link] = route
        if isinstance(route, Beside) and isinstance(route.link, Link):
            self._beside.setdefault(route.link, []).append(link)
        self._links.append(link)
        return link

    def links(self) -> Sequence[Link]:
        """Return all links, in the order in which they were made: first that of the refresher."""
        return self._links

    def close(self) -> None:
        """Close all links for good, and ask no node any more."""
        self._timer.set(inf)
        self._refresher.close()
        for link in [*self._links]:
            link.close()

    # -- owners of slots ----------------------------------------------------------------------------------------------

    def owner(self, slot: int) -> Address | None:
        """Find the address of the primary of a slot; None where none is known."""
        if slot in self._overlays:
            return self._overlays[slot].address
        topology = self.snapshot
        node = None if topology is None else topology.owner(slot)
        return None if node is None else node.address

    @property
    def trouble(self) -> Exception | None:
        """Why no topology could be asked for lately; None where it could."""
        return self._refresher.trouble

    def moved(self, error: MovedError, told_by: Address) -> Address | None:
        """Follow a ``MOVED`` that a node has told; None where its address may not be followed."""
        address = self._follow(error, told_by)
        if address is not None and error.slot is not None:
            self._overlays[error.slot] = Overlay(address, self._context.clock.now)
            self._refresher.want(prefer=address)
        return address

    def asked(self, error: AskError, told_by: Address) -> Address | None:
        """Find where an ``ASK`` of a node leads; None where its address may not be followed."""
        return self._follow(error, told_by)

    @property
    def asked_at(self) -> float:
        """When the present topology was asked for, in seconds."""
        return -inf if self.snapshot is None else self.snapshot.asked_at

    def want(self, slot: int, *, prefer: Address | None = None, avoid: Address | None = None) -> None:
        """Ask for the topology, again and again, until ``serve`` tells that the slot is served.

        First the ``preferred`` node is asked, and at last a node to ``avoid``.
        """
        if slot not in self.wanted:
            self.wanted[slot] = None
            self._refresher.want(prefer=prefer, avoid=avoid)

    def serve(self, slot: int) -> None:
        """Note that a slot is served, or that no request waits for it."""
        self.wanted.pop(slot, None)

    def _follow(self, redirect: SlotRedirect, told_by: Address) -> Address | None:
        topology = self.snapshot
        address = self._policy.of_redirect(redirect, told_by)
        named = () if topology is None else {node.address for node in topology.nodes.values()}
        told = f"{redirect.host}:{redirect.port}"
        if redirect.slot is None or address is None or not self._policy.may_follow(address, named):
            self._refuse(told, told_by)
            return None
        self._unfollowed.pop(told, None)
        return address

    def _refuse(self, told: str, told_by: Address) -> None:
        """Report a redirect that may not be followed, where a topology that was asked for since does not name its address."""
        since = self._unfollowed.setdefault(told, self._context.clock.now)
        if self.snapshot is not None and self.snapshot.asked_at > since:
            self._unfollowed[told] = inf
            self._context.emit(RedirectRefused(told, str(told_by)))

    def suspect(self, link: Link) -> None:
        """Have the other nodes asked: this one does not answer. Its links are dropped when its slots have another owner."""
        assert isinstance(link.address, Address)
        self._suspects[link] = link.oldest
        self._context.emit(NodeSuspected(str(link.address)))
        self._refresher.want(avoid=link.address)

    # -- events of the links ------------------------------------------------------------------------------------------

    def link_lost(self, link: Link, error: Exception) -> None:
        """Redirect a link that was told of another owner; have the cluster asked otherwise."""
        route = self._routes.get(link)
        if route is None:
            return
        assert isinstance(link.address, Address)
        reason = error.__cause__ if isinstance(error, ConnectionLost) else error
        if isinstance(reason, (SlotRedirect, TryAgainError)):
            link.attempts = min(link.attempts, MOVING)
        if isinstance(reason, MovedError):
            address = self.moved(reason, link.address)
            if address is None:
                self._refresher.want()
            elif address == self._address(route):
                self._send_to(link, address)
            return
        self._refresher.want(avoid=link.address)
        other = self._any(but=link.address) if route == ANYWHERE else self._address(route)
        if other is not None and other != link.address:
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

    def lane(self, owner: LaneOwner, name: str, route: Route, *, shared: bool = False) -> Lane:
        """Make the lane of a script: about a slot, it may be one of many on a link."""
        if isinstance(route, Beside) and isinstance(route.link, Seat):
            route = Slot(route.link.slot)
        if isinstance(route, Slot):
            return self._lanes.lane(owner, name, route.slot, shared=shared)
        return self.link(owner, name, route)

    def aim(self, link: Link, route: Route) -> None:
        """Give a link another route, and redirect it where that leads to another node."""
        self._routes[link] = route
        address = self._address(route)
        if address is not None and (address != link.address or not link.has_address):
            self._send_to(link, address)

    def remove(self, link: Link, error: Exception | None = None) -> None:
        """Close a link for good, because of ``error``."""
        self._routes.pop(link, None)
        self._suspects.pop(link, None)
        self._removed.append(link)
        if error is not None:
            link.drop(error)
        link.close()

    # -- topologies ---------------------------------------------------------------------------------------------------

    def _address(self, route: Route) -> Address | None:
        if isinstance(route, Slot):
            return self.owner(route.slot)
        if isinstance(route, Beside):
            beside = route.link
            is_known = isinstance(beside, Link) and beside.has_address
            return beside.address if is_known and isinstance(beside.address, Address) else None
        if isinstance(route, OnNode):
            return route.address
        return self._any()

    def _any(self, but: Address | None = None) -> Address | None:
        """Choose a primary by chance."""
        primaries = () if self.snapshot is None else self.snapshot.primaries
        able = [node.address for node in primaries if node.address != but]
        return able[int(self._context.random() * len(able)) % len(able)] if able else None

    def _look(self, now: float) -> None:
        if self._context.closed:
            self._timer.set(inf)
            return
        if self._board.topology is not self.snapshot:
            self._learn()
        elif self._end_overlays():
            self._redirect_links()
        if self._is_needed() and not self._refresher.is_wanted:
            self._refresher.want()
        for link in [link for link in self._removed if link.state is State.RESTING]:
            self._removed.remove(link)
            self._links.remove(link)
            self._context.forget_link(link)
        self._absent = {link for link in self._routes if _is_absent(link)}
        self._timer.set(now + LOOK)

    def _learn(self) -> None:
        """Take the topology of the board, and redirect the links whose routes lead elsewhere now."""
        topology = self._board.topology
        if topology is None or topology is self.snapshot:
            return
        self.snapshot = topology
        self.primaries = {node.address for node in topology.primaries}
        self._end_overlays()
        for link in [*self._suspects]:
            if not self._is_silent(link):
                del self._suspects[link]
            elif link.address not in self.primaries:
                link.drop(
                    ConnectionLost(f"{link.address} does not answer, and its slots have another owner", sent=True)
                )
        self._redirect_links()

    def _redirect_links(self) -> None:
        named = set() if self.snapshot is None else {node.address for node in self.snapshot.nodes.values()}
        for link, route in [*self._routes.items()]:
            if isinstance(route, Anywhere) and link.has_address and link.address in named:
                continue
            if link.unanswered and link.address in named:
                continue  # it answers what is under way, or says itself where to go
            address = self._address(route)
            if address is not None and (link.address != address or not link.has_address):
                link.redirect(address)
        self._lanes.follow()
        self.on_change()

    def _end_overlays(self) -> bool:
        """Forget the overlays that the topology knows better, or that are old; tell whether there were any."""
        topology, now = self.snapshot, self._context.clock.now
        before = len(self._overlays)
        for slot, (address, since) in [*self._overlays.items()]:
            owner = None if topology is None else topology.owner(slot)
            is_newer = topology is not None and topology.asked_at > since
            knows = topology is not None and (topology.asked_of == address or address not in self.primaries)
            if (is_newer and knows) or (owner is not None and owner.address == address) or now - since >= OVERLAY:
                del self._overlays[slot]
        return len(self._overlays) < before

    def _is_needed(self) -> bool:
        """Whether the topology leaves something to be desired: a slot, or a link that is wanted, without a node that serves it."""
        return (
            bool(self.wanted) or any(map(self._is_silent, self._suspects)) or any(map(self._is_missing, self._routes))
        )

    def _is_missing(self, link: Link) -> bool:
        """Whether a link has failed, or its dial takes long."""
        return _is_absent(link) and (link.error is not None or link in self._absent)

    def _is_silent(self, link: Link) -> bool:
        """Whether a suspect has still not answered."""
        return link.is_up and link.oldest is not None and link.oldest is self._suspects[link]


def _is_absent(link: Link) -> bool:
    return link.has_address and link.state is not State.RESTING and not link.is_up


def _nothing() -> None:
    """Ignore a change."""
