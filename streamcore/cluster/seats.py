"""The lanes of an engine's scripts in a cluster: a link of its own for each script, up to a cap, and shared links for the rest.

A link of its own lets a script wait in the server for entries. As many scripts have one as the caps allow, by node and in all:
first those that came first, later those that found entries last, which is looked at each ``LOOK`` seconds. The other scripts
have a seat on the link to their node that they share, and ask again and again instead.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final, Protocol

from ..connection.exchange import Exchange
from ..connection.link import Link, Owner
from ..connection.patience import backoff
from ..engine.lane import Lane, LaneMoved, LaneOwner
from ..engine.router import Route, Router, RouterContext, Slot
from ..errors import ConnectionLost, MovedError, SlotRedirect, TryAgainError
from ..options import DEFAULT_ADDRESS, Address, AnyAddress
from .shared_link import SharedLink

FREE: Final = 3
"""Beginnings in a row of a script that was redirected, without a back-off."""

MOVING: Final = 3
"""Dials in a row, at most, by which a back-off grows while a slot is on its way: nothing else tells when it has come."""

DISPUTED: Final = 5
"""The same where a node names another as the owner, again and again: nodes name each other until they have heard of the newer owner."""

LOOK: Final = 1.0
"""Seconds between two looks at which scripts deserve a link of their own."""

SWAPS: Final = 8
"""Links that change hands in a look, at most."""

MAX_LINKS_PER_NODE: Final = 32
MAX_LINKS: Final = 256


class Nodes(Router, Protocol):
    """The router of the lanes: it knows the owners of slots, and follows redirects."""

    def owner(self, slot: int) -> Address | None: ...
    def moved(self, error: MovedError, told_by: Address) -> Address | None: ...
    def link(self, owner: Owner, name: str, route: Route) -> Link: ...
    def watch(self, link: Link) -> None: ...
    def remove(self, link: Link, error: Exception | None = None) -> None: ...


class Seat:
    """The lane of a script, which is about a slot: a link of its own, or a seat on a shared link. ``may_own``: it may be the former."""

    def __init__(self, lanes: Lanes, owner: LaneOwner, name: str, slot: int, *, may_own: bool) -> None:
        self.name = name
        self.slot = slot
        self.may_own = may_own
        self.active_at = 0.0
        self.own: Link | None = None
        self.shared: SharedLink | None = None
        self.left: AnyAddress = DEFAULT_ADDRESS
        """Where the shared link leads that it has left last."""
        self._lanes = lanes
        self._owner = owner
        self._is_up = False  # on the shared link
        self._attempts = 0  # since it last succeeded there

    # -- the owner's side ---------------------------------------------------------------------------------------------

    @property
    def is_shared(self) -> bool:
        """Whether other scripts use the same link."""
        return self.own is None

    @property
    def is_routed(self) -> bool:
        """Whether redirects are followed: always."""
        return True

    @property
    def is_up(self) -> bool:
        """Whether exchanges may be sent."""
        return self._is_up if self.own is None else self.own.is_up

    @property
    def address(self) -> AnyAddress:
        """Where the link leads."""
        if self.own is not None:
            return self.own.address
        return self.left if self.shared is None else self.shared.address

    @property
    def attempts(self) -> int:
        """Dials of the link, or beginnings on a shared link, since it last succeeded."""
        return self._attempts if self.own is None else self.own.attempts

    @property
    def client_id(self) -> int:
        """The server's id of the connection; 0 where others use it as well, so that it proves nothing about a single script."""
        return 0 if self.own is None else self.own.client_id

    @property
    def server(self) -> dict[bytes, Any]:
        """The reply to the last HELLO."""
        if self.own is not None:
            return self.own.server
        return {} if self.shared is None else self.shared.link.server

    @property
    def unanswered(self) -> int:
        """Count the exchanges of this script that wait for replies."""
        if self.own is not None:
            return self.own.unanswered
        return 0 if self.shared is None else self.shared.unanswered(self)

    def open(self) -> None:
        """Want a connection from now on."""
        self._lanes.place(self)

    def close(self) -> None:
        """Want no connection any more."""
        self._lanes.withdraw(self)

    def drop(self, error: Exception) -> None:
        """Begin anew because of ``error``, over the same link or another; a shared link itself stays up."""
        if self.own is not None:
            self.own.drop(error)
        else:
            self._lanes.give_up(self, error)

    def send(self, exchange: Exchange) -> None:
        """Queue an exchange; only while up."""
        if self.own is not None:
            self.own.send(exchange)
        else:
            assert self.shared is not None
            self.shared.send(self, exchange)

    def succeeded(self) -> None:
        """Reset the back-off: the script has done useful work."""
        if self.own is not None:
            self.own.succeeded()
        else:
            assert self.shared is not None
            self._attempts = 0
            self.shared.entered(self)

    def end_wait(self) -> bool:
        """End a read that waits on a shared link; False on a link of its own, where the server does that."""
        if self.own is not None:
            return False
        if self.shared is not None:
            self.shared.end_wait(self)
        return True

    # -- on a link of its own -----------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        self._owner.link_up(self)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        self._owner.link_answered(self, exchange)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        self._owner.link_pushed(self, pushes)

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        self._owner.link_down(self, error, sent, unsent)

    # -- on a shared link ---------------------------------------------------------------------------------------------

    def seat_up(self) -> None:
        self._is_up = True
        self._attempts += 1
        self._owner.link_up(self)

    def seat_answered(self, exchange: Exchange) -> None:
        self._owner.link_answered(self, exchange)

    def seat_down(self, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        self._is_up = False
        self._owner.link_down(self, error, sent, unsent)


class Lanes:
    """The lanes of an engine, and their links."""

    def __init__(
        self,
        context: RouterContext,
        nodes: Nodes,
        *,
        max_links_per_node: int = MAX_LINKS_PER_NODE,
        max_links: int = MAX_LINKS,
    ) -> None:
        self._context = context
        self._nodes = nodes
        self._max_links_per_node = max_links_per_node
        self._max_links = max_links
        self._seats: dict[Seat, None] = {}  # that are wanted
        self._owned: dict[Seat, Link] = {}  # those that have a link of their own
        self._shared: dict[Address, SharedLink] = {}
        self._resting: dict[Seat, float] = {}  # until when, in seconds
        self._rest = context.new_timer(self._end_rests)
        self._look = context.new_timer(self._balance)

    def lane(self, owner: LaneOwner, name: str, slot: int, *, shared: bool) -> Lane:
        """Make the lane of a script about a slot."""
        return Seat(self, owner, name, slot, may_own=not shared)

    def place(self, seat: Seat) -> None:
        """Give a seat a link from now on."""
        if seat not in self._seats:
            self._seats[seat] = None
            self._settle(seat)

    def withdraw(self, seat: Seat) -> None:
        """Take a seat's link away for good."""
        self._seats.pop(seat, None)
        self._resting.pop(seat, None)
        closed = ConnectionLost("the connection was closed by its owner")
        link = seat.own
        if link is not None:
            self._nodes.remove(link, closed)
            seat.own = None
            self._owned.pop(seat, None)
        elif seat.is_up:
            self._leave(seat)
            seat.seat_down(closed, [], [])
        else:
            self._leave(seat)

    def give_up(self, seat: Seat, error: Exception) -> None:
        """Have a script on a shared link begin anew: where its slot is now, or after a back-off."""
        shared = seat.shared
        if shared is None or not seat.is_up:
            return
        self._leave(seat)
        seat.seat_down(error, [], [])
        address = self._nodes.moved(error, shared.address) if isinstance(error, MovedError) else None
        if address is not None and seat.attempts < FREE:
            self._settle(seat, may_own=False)
        else:
            pause = backoff(self._context.options, weighed(seat.attempts, error)) * self._context.random()
            self._resting[seat] = self._context.clock.now + pause
            self._rest.set(min(self._resting.values()))

    def follow(self) -> None:
        """Move the seats on shared links whose slots have another owner; place those that had none."""
        for seat in list(self._seats):
            if seat.own is None and seat.shared is None:
                self._settle(seat)
            elif seat.shared is not None and self._nodes.owner(seat.slot) not in (None, seat.shared.address):
                self._move(seat, f"the slot {seat.slot} has another owner")
        for address, shared in list(self._shared.items()):
            if not shared.seats:
                del self._shared[address]
                self._nodes.remove(shared.link)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _settle(self, seat: Seat, *, may_own: bool = True) -> None:
        """Give a seat its link: of its own where there is room, else that of its slot's node; none where that is unknown."""
        address = self._nodes.owner(seat.slot)
        if address is None or seat in self._resting or seat not in self._seats:
            return
        if may_own and seat.may_own and self._has_room(address):
            seat.own = self._owned[seat] = self._nodes.link(seat, seat.name, Slot(seat.slot))
            seat.own.open()
            return
        shared = seat.shared = self._shared.get(address) or self._share(address)
        shared.join(seat)
        if seat.may_own and self._look.at == inf:
            self._look.set(self._context.clock.now + LOOK)

    def _share(self, address: Address) -> SharedLink:
        """Make the shared link of a node."""
        shared = self._shared[address] = SharedLink(self._context, self._nodes, address)
        self._nodes.watch(shared.link)
        return shared

    def _has_room(self, address: Address) -> bool:
        if len(self._owned) >= self._max_links:
            return False
        return [link.address for link in self._owned.values()].count(address) < self._max_links_per_node

    def _leave(self, seat: Seat) -> None:
        shared, seat.shared = seat.shared, None
        if shared is not None:
            seat.left = shared.address
            shared.leave(seat)

    def _move(self, seat: Seat, why: str, *, may_own: bool = False) -> None:
        """Have a script on a shared link go on over another link."""
        was_up = seat.is_up
        self._leave(seat)
        if was_up:
            seat.seat_down(LaneMoved(why), [], [])
        self._settle(seat, may_own=may_own)

    def _end_rests(self, now: float) -> None:
        """Have scripts begin anew whose back-offs are over."""
        for seat in [seat for seat, until in self._resting.items() if until <= now]:
            del self._resting[seat]
            self._settle(seat, may_own=False)
        self._rest.set(min(self._resting.values(), default=inf))

    def _balance(self, now: float) -> None:
        """Give links of their own to the scripts that found entries last, in the place of those that found none for longer."""
        for seat in sorted(filter(_is_movable, self._seats), key=_active_at, reverse=True)[:SWAPS]:
            address = seat.address
            assert isinstance(address, Address)
            if not self._has_room(address):
                beside = [one for one, link in self._owned.items() if link.address == address]
                rivals = beside if len(beside) >= self._max_links_per_node else self._owned
                quiet = min(rivals, key=_active_at, default=seat)
                if quiet.active_at + LOOK > seat.active_at:
                    continue
                self._take_own(quiet)
            self._move(seat, "the script goes on over a link of its own", may_own=True)
        self._look.set(now + LOOK if any(seat.may_own and seat.own is None for seat in self._seats) else inf)

    def _take_own(self, seat: Seat) -> None:
        """Have a script go on over the shared link of its slot's node."""
        link = seat.own
        assert link is not None
        self._nodes.remove(link, LaneMoved("the script goes on over a shared link"))
        seat.own = None
        self._owned.pop(seat, None)
        self._settle(seat, may_own=False)


def weighed(attempts: int, reason: BaseException | None) -> int:
    """Return the attempts by which a back-off grows, because of the last failure: fewer where a slot is served soon."""
    if isinstance(reason, MovedError):
        return min(attempts, DISPUTED)
    return min(attempts, MOVING) if isinstance(reason, (SlotRedirect, TryAgainError)) else attempts


def _is_movable(seat: Seat) -> bool:
    """Tell whether a script may go on over a link of its own: it has found entries, and nothing of it is on its way."""
    shared = seat.shared
    return seat.may_own and seat.is_up and seat.active_at > 0.0 and shared is not None and shared.only_waits(seat)


def _active_at(seat: Seat) -> float:
    return seat.active_at
