"""The router of a cluster: each link is dialled at the node that its route leads to, now and when that changes.

The router observes its links, and each loss tells its reason. ``MOVED`` names the new owner of a slot: an *overlay* on the
topology at once. A link that has
lost its node waits there by its back-off, while the ``Refresher`` asks the other nodes, again and again until the link is up or
its slot has another owner.
Whenever a newer topology is known, each link whose route leads elsewhere now is redirected.

A link that only reads (``Replica``) stays at its replica as long as the topology names it as one of its slot; where that fails, or
says that it serves the slot no more, the link goes to another, or to the primary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Final

from ..commands.cluster import key_slot
from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE, Link, Owner
from ..connection.link_state import State
from ..engine.lane import Lane, LaneOwner
from ..engine.router import ANYWHERE, Anywhere, Beside, OnNode, Replica, Route, RouterContext, Slot
from ..errors import AskError, ConnectionLost, MovedError
from ..options import Address
from ..topology_events import NodeSuspected
from .addresses import AddressPolicy
from .board import Board
from .guards import Guards
from .overlays import Overlays
from .redirects import Redirects
from .refresher import Refresher
from .replicas import Replicas
from .seats import Lanes, Seat, weighed
from .topology import Topology

FREE: Final = 3
"""Dials at once, without a back-off, of a link that was redirected and has not worked since."""

SILENCE: Final = 1.0
"""Seconds that an answer may take before the other nodes are asked whether the node has failed."""

WAITING: Final = frozenset({State.DROPPING, State.BACKING_OFF})
"""The states of a link that dials later, at the address that it has then."""

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
        node_keepalive: float,
        max_links_per_node: int,
        max_links: int,
    ) -> None:
        self.on_change: Callable[[], None] = _nothing
        self.primaries: set[Address] = set()
        self.members: set[Address] = set()
        self.wanted: dict[int, None] = {}
        """Slots that are not served, as far as is known."""
        self._context = context
        self._board = board
        self._redirects = Redirects(context.clock, policy, context.emit)
        self._keepalive = node_keepalive
        self.snapshot: Topology | None = None
        self._overlays = Overlays()
        self._routes: dict[Link, Route] = {}
        self._beside: dict[Link, list[Link]] = {}
        self._absent: set[Link] = set()  # links that were wanted, and not up, at the last look
        self._suspects: dict[Link, Exchange | None] = {}  # that do not answer, and their oldest exchanges
        self._refusing: set[Address] = set()  # nodes that refuse the login for good, or whose certificate is wrong
        self._replicas = Replicas(context.clock, context.random)
        self._refresher = Refresher(
            context, board, policy, seeds, interval=refresh_interval, learn=self._learn, needed=self._is_needed
        )
        self._links = [self._refresher.link]
        self._removed: list[Link] = []
        self._guards = Guards(self)
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
        self._set_route(link, route)
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
        overlay = self._overlays.by_slot.get(slot)
        if overlay is not None:
            return overlay.address
        topology = self.snapshot
        node = None if topology is None else topology.owner(slot)
        return None if node is None else node.address

    def readers(self, slot: int, *, or_primary: bool = False) -> list[Address]:
        """Find the nodes that may answer reads about a slot: its replicas, but for those that have failed lately, and the primary if that may."""
        owner, topology = self.owner(slot), self.snapshot
        if owner is None or topology is None:
            return []
        nodes = topology.readers(slot)
        if slot in self._overlays.by_slot:
            of = next((node.id for node in topology.primaries if node.address == owner), "")
            nodes = topology.replicas.get(of, ())
        found = [node.address for node in nodes]
        return self._replicas.able([*found, owner] if or_primary else found)

    def choose(self, able: Sequence[Address], present: Address | None = None) -> Address | None:
        """Choose a node for reads: the present, if it is able, else by chance; None where there is none."""
        return self._replicas.choose(able, present)

    def avoid(self, address: Address, *, has_worked: bool = True) -> None:
        """Read elsewhere for a while, and ask the other nodes: this one has failed, or does not serve what it should."""
        self._replicas.avoid(address, has_worked=has_worked)
        self._refresher.want(avoid=address)

    @property
    def candidates(self) -> set[Address]:
        """The addresses of the primaries, at which slots may be found."""
        return self.primaries

    @property
    def trouble(self) -> Exception | None:
        """Why no topology could be asked for lately, or a node of it cannot be dialled; None where all is well."""
        return self._refresher.trouble

    def moved(self, error: MovedError, told_by: Address) -> Address | None:
        """Follow a ``MOVED`` that a node has told; None where its address may not be followed."""
        address = self._redirects.follow(error, told_by, self.snapshot)
        if address is not None and error.slot is not None:
            self._overlays.add(error.slot, address, self._context.clock.now)
            self._refresher.want(prefer=address)
        return address

    def asked(self, error: AskError, told_by: Address) -> Address | None:
        """Find where an ``ASK`` of a node leads; None where its address may not be followed."""
        return self._redirects.follow(error, told_by, self.snapshot)

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

    def watch(self, link: Link, silence: float = SILENCE) -> None:
        """Suspect the node of a link when it has not answered for ``silence`` seconds; where nothing else is asked, PING is, each ``node_keepalive``."""
        self._guards.watched.add(link)
        link.tell_doubts(partial(self._suspect, link), silence, self._keepalive)

    def _suspect(self, link: Link) -> None:
        """Have the other nodes asked: this one does not answer. Its links are dropped when its slots have another owner.

        A link to any node goes to another at once, unless it waits for an answer.
        """
        silent = link.address
        assert isinstance(silent, Address)
        self._suspects[link] = link.oldest
        self._context.emit(NodeSuspected(str(silent)))
        self._refresher.want(avoid=silent)
        other = self._any(but=silent)
        for each, route in [*self._routes.items()]:
            if route == ANYWHERE and each.address == silent and not each.unanswered and other is not None:
                each.redirect(other)

    # -- events of the links ------------------------------------------------------------------------------------------

    def link_lost(self, link: Link, error: Exception) -> None:
        """Redirect a link that was told of another owner; have the cluster asked otherwise."""
        route = self._routes.get(link)
        if route is None:
            return
        assert isinstance(link.address, Address)
        if isinstance(route, Replica) or link.address not in self.primaries:
            self._replicas.avoid(link.address, has_worked=not link.attempts)
        reason = _reason(error)
        link.attempts = weighed(link.attempts, reason)
        # A replica may know less than the topology.
        if isinstance(reason, MovedError) and not isinstance(route, Replica):
            address = self.moved(reason, link.address)
            if address is None:
                self._refresher.want()
            elif address == self._address(route):
                self._send_to(link, address)
            return
        self._refresher.want(avoid=link.address)
        other = self._any(but=link.address) if route == ANYWHERE else self._address(route)
        if other is not None and link.address in self._refusing:
            link.redirect(other)
        elif other is not None and other != link.address:
            self._send_to(link, other)

    def may_go_elsewhere(self, link: Lane) -> bool:
        """Whether a link that its node refuses for good may lead to another node: any will do, and not all have refused."""
        if not isinstance(link, Link) or self._routes.get(link) != ANYWHERE:
            return False
        assert isinstance(link.address, Address)
        self._refusing.add(link.address)
        return self._any() is not None

    def _send_to(self, link: Link, address: Address, reason: Exception | None = None) -> None:
        """Have a link dial another node: at once, or by its back-off where it has been sent around in vain."""
        if link.state not in WAITING or link.attempts < FREE or not link.has_address:
            link.redirect(address, reason)
        else:
            link.address = address
        for beside in self._beside.get(link, ()):
            if beside.address != address:
                beside.redirect(address, reason)

    def lane(self, owner: LaneOwner, name: str, route: Route, *, shared: bool = False) -> Lane:
        """Make the lane of a script: about a slot, it may be one of many on a link."""
        if isinstance(route, Beside) and isinstance(route.link, Seat):
            route = Slot(route.link.slot)
        if isinstance(route, Slot):
            return self._lanes.lane(owner, name, route.slot, shared=shared)
        return self.link(owner, name, route)

    def aim(self, link: Link, route: Route, reason: Exception | None = None) -> None:
        """Give a link another route, and redirect it where that leads to another node, or is about reads, or no more."""
        is_other = self._set_route(link, route)
        address = self._address(route)
        if address is not None and (is_other or address != link.address or not link.has_address):
            self._send_to(link, address, reason)

    def _set_route(self, link: Link, route: Route) -> bool:
        """Note the route of a link, and whether its connections are to read from replicas; tell whether that has changed."""
        self._routes[link] = route
        reads = isinstance(route, Replica) or (isinstance(route, OnNode) and route.reads)
        if link.login.reads is reads:
            return False
        link.login = replace(link.login, reads=reads)
        return True

    def remove(self, link: Link, error: Exception | None = None) -> None:
        """Close a link for good, because of ``error``."""
        self._routes.pop(link, None)
        self._suspects.pop(link, None)
        self._guards.watched.discard(link)
        self._removed.append(link)
        if error is not None:
            link.drop(error)
        link.close()

    # -- topologies ---------------------------------------------------------------------------------------------------

    def _address(self, route: Route, present: Address | None = None) -> Address | None:
        """Find where a route leads; ``present``: where the link of a route with a choice is."""
        if isinstance(route, Slot):
            return self.owner(route.slot)
        if isinstance(route, Replica):
            able = self.readers(route.slot, or_primary=route.or_primary)
            return self.choose(able, present) or self.owner(route.slot)
        if isinstance(route, Beside):
            beside = route.link
            is_known = isinstance(beside, Link) and beside.has_address
            return beside.address if is_known and isinstance(beside.address, Address) else None
        if isinstance(route, OnNode):
            return route.address
        return self._any()

    def _any(self, but: Address | None = None) -> Address | None:
        """Choose a primary by chance, of those that refuse nothing for good."""
        able = sorted(self.primaries - self._refusing - {but}, key=str)
        return able[int(self._context.random() * len(able)) % len(able)] if able else None

    def _look(self, now: float) -> None:
        self._timer.set(now + LOOK)
        if self._board.topology is not self.snapshot:
            self._learn()
        elif self._overlays.end(self.snapshot, now):
            self._redirect_links()
        if self._is_needed() and not self._refresher.is_wanted:
            self._refresher.want()
        for link in [link for link in self._removed if link.state is State.RESTING]:
            self._removed.remove(link)
            self._links.remove(link)
            self._context.forget_link(link)
        self._guards.look(self._routes)
        self._absent = {link for link in self._routes if _is_absent(link)}

    def _learn(self) -> None:
        """Take the topology of the board, and redirect the links whose routes lead elsewhere now."""
        topology = self._board.topology
        if topology is None or topology is self.snapshot:
            return
        self.snapshot = topology
        self._refusing.clear()
        self.primaries = {node.address for node in topology.primaries}
        self.members = {node.address for node in topology.nodes.values()}
        self._overlays.end(topology, self._context.clock.now)
        self._suspects = {link: oldest for link, oldest in self._suspects.items() if self._is_silent(link)}
        silent = {link.address for link in self._suspects} - self.primaries
        for link in [link for link in self._routes if link.address in silent and link.is_up]:
            link.drop(ConnectionLost(f"{link.address} does not answer, and its slots have another owner", sent=True))
        self._redirect_links()

    def _redirect_links(self) -> None:
        named = self.members
        for link, route in [*self._routes.items()]:
            if isinstance(route, Anywhere) and link.has_address and link.address in named:
                continue
            if link.unanswered and link.address in named and not isinstance(route, Replica):
                continue  # it answers what is under way, or says itself where to go
            assert isinstance(link.address, Address)
            address = self._address(route, link.address)
            if address is not None and (link.address != address or not link.has_address):
                if isinstance(_reason(link.error), MovedError):
                    self._send_to(link, address)
                else:
                    link.redirect(address)
        self._lanes.follow()
        self.on_change()

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


def _reason(error: Exception | None) -> BaseException | None:
    """Find the reply by which a node has refused to serve, in the error of a link."""
    return error.__cause__ if isinstance(error, ConnectionLost) else error


def _is_absent(link: Link) -> bool:
    return link.has_address and link.state is not State.RESTING and not link.is_up


def _nothing() -> None:
    """Ignore a change."""
