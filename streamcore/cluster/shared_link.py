"""A link to a node that many scripts share, each by a seat: their exchanges are answered in turn.

When it is up the scripts begin, ``BEGINNING`` at a time; the next begin as the first have entered, or ask nothing. A script that ends early
leaves its unanswered exchanges behind, whose replies are dropped.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Protocol

from ..connection.exchange import Exchange
from ..connection.link import AT_ONCE, Link
from ..engine.lane import WaitingRead
from ..engine.router import OnNode, Router, RouterContext
from ..options import Address
from .waiting_reads import Round, WaitingReads

BEGINNING: Final = 64
"""Scripts that enter at the same time."""


class Occupant(Protocol):
    """The seat of a script on a shared link."""

    def seat_up(self) -> None: ...
    def seat_answered(self, exchange: Exchange) -> None: ...
    def seat_down(self, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None: ...


class SharedLink:
    """The link to a node, and its ``seats``: True where the script has begun."""

    def __init__(self, context: RouterContext, router: Router, address: Address) -> None:
        self.address = address
        self.seats: dict[Occupant, bool] = {}
        self._waiting: deque[Occupant] = deque()  # that have not begun
        self._beginning: dict[Occupant, None] = {}  # that have begun, and not entered
        self._unanswered: dict[Exchange, Occupant] = {}
        self._begin = context.new_timer(self._begin_some)
        self.link: Link = router.link(self, f"shared at {address}", OnNode(address))
        self._reads = WaitingReads(context, self.link, self._found)

    def join(self, seat: Occupant) -> None:
        """Give a script a seat; it begins as soon as the driver tells the time."""
        self.seats[seat] = False
        self._waiting.append(seat)
        self.link.open()
        if self.link.is_up:
            self._begin.set(AT_ONCE)

    def leave(self, seat: Occupant) -> None:
        """Take a seat away; what it has in flight is answered in vain."""
        self.seats.pop(seat, None)
        self.entered(seat)
        for exchange in self._of(seat):
            del self._unanswered[exchange]
            if isinstance(exchange, WaitingRead):
                self._reads.forget(exchange)

    def send(self, seat: Occupant, exchange: Exchange) -> None:
        """Queue an exchange of a script; only while it has begun."""
        self._unanswered[exchange] = seat
        if isinstance(exchange, WaitingRead):
            self._reads.add(exchange)
        else:
            self.link.send(exchange)

    def end_wait(self, seat: Occupant) -> None:
        """End the read of a script that waits for entries."""
        for at, exchange in enumerate(self._of(seat)):
            if isinstance(exchange, WaitingRead):
                self._reads.end(exchange, is_next=at == 0)

    def only_waits(self, seat: Occupant) -> bool:
        """Whether nothing of a script is on its way, but for a read that waits for the next round."""
        return all(isinstance(one, WaitingRead) and not self._reads.is_asked(one) for one in self._of(seat))

    def _of(self, seat: Occupant) -> list[Exchange]:
        return [exchange for exchange, one in self._unanswered.items() if one is seat]

    def _found(self, read: WaitingRead) -> None:
        self._unanswered.pop(read).seat_answered(read)

    def entered(self, seat: Occupant) -> None:
        """Note that a script has done useful work: another may begin."""
        if self._beginning.pop(seat, seat) is None and self._waiting:
            self._begin.set(AT_ONCE)

    def unanswered(self, seat: Occupant) -> int:
        """Count the exchanges of a script that wait for replies."""
        return sum([one is seat for one in self._unanswered.values()])

    def _begin_some(self, now: float) -> None:
        self._begin.set(float("inf"))
        while self._waiting and len(self._beginning) < BEGINNING and self.link.is_up:
            seat = self._waiting.popleft()
            if self.seats.get(seat) is False:
                self.seats[seat] = True
                self._beginning[seat] = None
                seat.seat_up()
                if seat not in self._unanswered.values():  # it waits for something else, for how long is not known
                    self._beginning.pop(seat, None)

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        link.succeeded()
        self._begin.set(AT_ONCE)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        if isinstance(exchange, Round):
            self._reads.answered(exchange)
            return
        seat = self._unanswered.pop(exchange, None)
        if seat is not None:
            seat.seat_answered(exchange)

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: scripts subscribe to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        owners, self._unanswered = self._unanswered, {}
        self._reads.clear()
        self._beginning.clear()
        begun = [seat for seat, has_begun in self.seats.items() if has_begun]
        self._waiting = deque(dict.fromkeys([*begun, *self._waiting]))
        self.seats = dict.fromkeys(self.seats, False)
        for seat in begun:
            seat.seat_down(
                error,
                [exchange for exchange in sent if owners.get(exchange) is seat],
                [exchange for exchange in unsent if owners.get(exchange) is seat],
            )
