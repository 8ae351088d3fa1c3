"""A dedicated link to the node of a slot: for commands that block, and for WATCH with its transaction.

Until it was answered the link may lead elsewhere: what a node redirects or refuses is sent again, to the node that it names or
later, until its deadline. Once answered it is *bound*: the node watches keys, say. Where the slot leaves it then, nothing was
executed, and all that the node had been told is lost. After ``ASK`` the slot is on its way, and each request is preceded by ``ASKING``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from ..commands import Command
from ..connection.exchange import Exchange
from ..connection.link import Link
from ..engine.router import ANYWHERE, OnNode, Route, Slot
from ..errors import AskError, ConnectionLost, MovedError, ReplyError, SlotRedirect
from ..options import Address
from ..requests.multiplexer import DedicatedLink, DedicatedQueue, Done, Multiplexer
from ..requests.queue import QueueOwner
from ..requests.request import Request, Transaction
from .journey import Journey, begin_asking, end_asking
from .refusals import REFUSED, refusal_of, unfollowed
from .slots import common_slot


class Nodes(Protocol):
    """The router of a cluster, as its links need it."""

    def aim(self, link: Link, route: Route) -> None: ...
    def moved(self, error: MovedError, told_by: Address) -> Address | None: ...
    def asked(self, error: AskError, told_by: Address) -> Address | None: ...


class LeaseQueue(DedicatedQueue):
    """The queue of a dedicated link with a ``route``: to the node of a slot, or to a certain node."""

    def __init__(self, owner: QueueOwner, nodes: Nodes, route: Route) -> None:
        self.route = route
        self._nodes = nodes
        self._asks = False
        super().__init__(owner)

    def aim(self, route: Route) -> None:
        """Lead the link to a node for the next lease; the former connection is no loss, if it leads elsewhere."""
        before = self.link.address
        self.route = route
        if route != ANYWHERE or not self.link.is_up:
            self._nodes.aim(self.link, route)
        self.afresh |= self.link.address != before
        if self.link.is_up:
            self._stay()

    def take(self) -> None:
        self._asks = False
        super().take()

    def give_back(self) -> None:
        """Take the link back: it stays at its node until the next lease; it is closed where its node watches keys in vain."""
        if self.broken is not None:
            self._close()
        super().give_back()
        self._stay()

    def _stay(self) -> None:
        """Lead the link to its present node, also where the slot moves: the node itself ends what is blocked there."""
        if self.link.has_address:
            self._nodes.aim(self.link, OnNode(cast(Address, self.link.address)))

    def submit(self, request: Request) -> None:
        request.journey = Journey(())
        if self._asks and self.link.is_up:
            begin_asking(request)
        super().submit(request)

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        if self._asks:
            for request in self._waiting:
                begin_asking(request)
        self._stay()
        super().link_up(link)

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        """Keep a refused request for another node, or for later, as long as nothing was answered."""
        request = cast(Request, exchange)
        end_asking(request)
        error = self._refusal(request)
        if error is None or not link.is_up:
            super().link_answered(link, exchange)
        elif not self.bound:
            request.refusal, request.replies = error, []
            self._refused.append(request)  # ``elapse`` goes on with it, once all answers have been told
            self._set_timer()
        elif isinstance(error, SlotRedirect):
            self.queued -= len(request.data)
            self.broken = ConnectionLost(
                f"the slot of the watched keys has left {link.address}, which watches them in vain; nothing was executed"
            )
            request.finish(self.broken)
            self._set_timer()
        else:
            super().link_answered(link, exchange)

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        for request in cast("list[Request]", [*sent, *unsent]):
            end_asking(request)
        super().link_down(link, error, sent, unsent)
        if self.leased and not self._asks:
            self._nodes.aim(link, self.route)

    def lose_node(self) -> None:
        """Drop the connection to a node that is no primary any more; a free link is closed."""
        if self.leased:
            self.link.drop(ConnectionLost(f"{self.link.address} is no primary any more", sent=True))
        else:
            self._close()

    def _refusal(self, request: Request) -> ReplyError | None:
        """Find the error by which a node has refused all commands with keys: it has executed nothing."""
        if request.finished or not isinstance(self.route, Slot):
            return None
        if isinstance(request, Transaction) or len(request.asked) == 1:
            return refusal_of(request)
        replies = [reply for command, reply in zip(request.asked, request.replies, strict=True) if command.keys]
        return replies[0] if replies and all(type(reply) in REFUSED for reply in replies) else None

    def retry_refused(self) -> None:
        """Go on with refused requests: at the node that was named; where none was, after a back-off."""
        request, told_by = self._refused[-1], cast(Address, self.link.address)
        error, route = request.refusal, self.route
        address: Address | None = None
        self._asks = False
        if isinstance(error, MovedError):
            address = self._nodes.moved(error, told_by)
        elif isinstance(error, AskError) and (address := self._nodes.asked(error, told_by)) is not None:
            self._asks, route = True, OnNode(address)
        if isinstance(error, SlotRedirect) and address is None:
            request.refusal = unfollowed(error, told_by)
        self._nodes.aim(self.link, route)
        if self._refused:  # it was not redirected
            super().retry_refused()


class SlotLink(DedicatedLink):
    """A dedicated link whose requests have keys of a single slot, if any; see ``DedicatedLink``."""

    def __init__(self, engine: Multiplexer, queue: LeaseQueue, keys: Sequence[bytes]) -> None:
        self._keys = keys
        super().__init__(engine, queue)

    def submit(self, commands: Sequence[Command[Any]], done: Done) -> Request:
        """Send commands as ``DedicatedLink.submit``. Raises ``CrossSlotError`` where a key is of another slot than the link."""
        common_slot(commands, self._keys)
        return super().submit(commands, done)

    def transact(self, commands: Sequence[Command[Any]], done: Done) -> Request:
        """Send a transaction as ``DedicatedLink.transact``. Raises ``CrossSlotError`` as ``submit`` does."""
        common_slot(commands, self._keys)
        return super().transact(commands, done)
