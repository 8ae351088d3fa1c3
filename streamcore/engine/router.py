"""The router of an engine: which server each of its links is dialled at.

An engine asks its router for every link, and says its purpose by a ``Route``; it knows no address itself. A
standalone server is the simplest case: every link is dialled at the same address. Where several servers share the work,
another router chooses by its topology, and engines stay as they are: a router observes its links, so it reads the reason
of each loss (``MOVED``, say), and may redirect a link before it is dialled again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol, TypeAlias

from ..connection.common import Clock
from ..connection.link import Link, Observer, Owner
from ..errors import MovedError
from ..events import Event
from ..frozen import frozen
from ..options import Address, AnyAddress, Login, Options
from .lane import Lane, LaneOwner
from .timers import Timer


@frozen
class Anywhere:
    """The route of a link that any server can serve."""


@frozen
class Beside:
    """The route of a link that must lead to the same server as ``link``: it is about that link, or about the same data."""

    link: Link | Lane


@frozen
class Slot:
    """The route of a link to the primary of a cluster's slot."""

    slot: int


@frozen
class Replica:
    """The route of a link that only reads about a slot: to a replica, or to the primary where no replica is reached.

    ``or_primary``: the primary is chosen like a replica.
    """

    slot: int
    or_primary: bool = False


@frozen
class OnNode:
    """The route of a link to a node of a cluster, whatever slots it has. ``reads``: it answers reads, also as a replica."""

    address: Address
    reads: bool = False


Route: TypeAlias = Anywhere | Beside | Slot | Replica | OnNode

ANYWHERE: Final = Anywhere()


class SlotPlaces(Protocol):
    """The nodes where slots are: their owners, or other nodes that are chosen for them."""

    @property
    def primaries(self) -> Collection[Address]:
        """The addresses of the primaries that have slots."""
        ...

    @property
    def candidates(self) -> Collection[Address]:
        """The addresses of the nodes that slots may be found at."""
        ...

    def owner(self, slot: int) -> Address | None:
        """Find the address of the primary of a slot; None where none is known."""
        ...

    def moved(self, error: MovedError, told_by: Address) -> Address | None:
        """Follow a ``MOVED`` that a node has told; None where its address may not be followed."""
        ...

    @property
    def asked_at(self) -> float:
        """When the present topology was asked for, in seconds."""
        ...

    def want(self, slot: int, *, prefer: Address | None = None) -> None:
        """Ask for the topology, first a preferred node, until the slot has an owner that serves it; ``serve`` ends that."""
        ...

    def serve(self, slot: int) -> None:
        """Note that a slot is served."""
        ...

    def watch(self, link: Link) -> None:
        """Suspect the node of a link when it does not answer, and have the other nodes asked."""
        ...

    def remove(self, link: Link) -> None:
        """Close a link for good."""
        ...


class SlotOwners(SlotPlaces, Protocol):
    """The nodes that keys are spread over. ``on_change`` is called whenever the owners of slots may have changed."""

    on_change: Callable[[], None]

    @property
    def trouble(self) -> Exception | None:
        """Why the nodes could not be asked for lately, or cannot all be dialled; None where they could."""
        ...

    @property
    def members(self) -> Collection[Address]:
        """The addresses of all nodes that have slots, or copies of them."""
        ...

    def readers(self, slot: int, *, or_primary: bool = False) -> Sequence[Address]:
        """Find the nodes that may answer reads about a slot: its replicas that have not failed lately, and the primary if that may."""
        ...

    def choose(self, able: Sequence[Address], present: Address | None = None) -> Address | None:
        """Choose a node for reads: the present, if it is able, else by chance; None where there is none."""
        ...


class Router(Protocol):
    """Gives an engine its links, each dialled at a server that its route leads to."""

    @property
    def owners(self) -> SlotOwners | None:
        """The nodes that keys are spread over; None where a single server has all of them."""
        ...

    def route(self, key: bytes) -> Route:
        """Find the route to the data of a key; keys with equal routes may share a link, and a command."""
        ...

    def link(self, owner: Owner, name: str, route: Route) -> Link:
        """Make a link to a server that the route leads to."""
        ...

    def lane(self, owner: LaneOwner, name: str, route: Route, *, shared: bool = False) -> Lane:
        """Make the lane of a script; a link of its own where that may be, unless it is to be ``shared``."""
        ...

    def may_go_elsewhere(self, link: Lane) -> bool:
        """Whether a link that its server refuses for good may lead to another server."""
        ...

    def aim(self, link: Link, route: Route, reason: Exception | None = None) -> None:
        """Give a link another route, and redirect it where that leads to another server; its connection is lost by ``reason``."""
        ...

    def links(self) -> Sequence[Link]:
        """Return all links, in the order in which they were made."""
        ...

    def close(self) -> None:
        """Close all links for good."""
        ...


class RouterContext(Protocol):
    """The engine of a router: it makes links and timers, and knows the time, its options and chance."""

    @property
    def options(self) -> Options: ...

    @property
    def login(self) -> Login: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def title(self) -> str: ...

    def random(self) -> float:
        """Draw a number between 0 and 1."""
        ...

    def new_timer(self, act: Callable[[float], None]) -> Timer:
        """Make a timer that is off until it is set; ``act`` is called with the time, in seconds."""
        ...

    def make_link(
        self,
        owner: Owner,
        name: str,
        address: AnyAddress | None,
        observer: Observer | None = None,
        *,
        login: Login | None = None,
        options: Options | None = None,
    ) -> Link:
        """Make a link, by the engine's login and options or others; without an address it dials as soon as it is redirected."""
        ...

    def forget_link(self, link: Link) -> None:
        """Forget a link that was closed for good, and rests."""
        ...

    def emit(self, event: Event) -> None:
        """Emit an event of the engine."""
        ...

    def fail(self, error: Exception) -> None:
        """End the engine by ``error``."""
        ...


MakeRouter: TypeAlias = Callable[[RouterContext], Router]
"""Makes the router of an engine."""


class StandaloneRouter:
    """The router of a single server: every route leads to ``address``."""

    owners: SlotOwners | None = None

    def __init__(self, context: RouterContext, address: AnyAddress) -> None:
        self._address = address
        self._context = context
        self._links: list[Link] = []

    def route(self, key: bytes) -> Route:
        """Return the route of all keys."""
        return ANYWHERE

    def link(self, owner: Owner, name: str, route: Route) -> Link:
        """Make a link to the single server."""
        link = self._context.make_link(owner, name, self._address)
        self._links.append(link)
        return link

    def lane(self, owner: LaneOwner, name: str, route: Route, *, shared: bool = False) -> Lane:
        """Make a link to the single server."""
        return self.link(owner, name, route)

    def may_go_elsewhere(self, link: Lane) -> bool:
        """Whether there is another server: never."""
        return False

    def aim(self, link: Link, route: Route, reason: Exception | None = None) -> None:
        """Leave a link where it is: there is no other server."""

    def links(self) -> Sequence[Link]:
        """Return all links, in the order in which they were made."""
        return self._links

    def close(self) -> None:
        """Close all links for good."""
        for link in self._links:
            link.close()
