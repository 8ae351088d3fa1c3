"""The router of a service of Sentinels: every link is dialled at the primary, now and when that is another server.

A link counts as up only if the server calls itself a primary in its greeting (``ServerKind.PRIMARY``): Sentinels name the new primary
before it is, and the former may come back as a primary first. A link that is lost, or refused so, is a reason to ask the Sentinels, again
and again until it is up. Where they name another primary, all links go there, also those that seem to work: the former primary may be
cut off with us, and what it takes now is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Final

from ..cluster.addresses import AddressPolicy
from ..connection.link import AT_ONCE, Link, Owner
from ..connection.link_state import State
from ..engine.lane import Lane, LaneOwner
from ..engine.router import ANYWHERE, Route, RouterContext, SlotOwners
from ..options import Address, Login, ServerKind
from .asker import PAUSE_MAX, Asker
from .board import SentinelBoard
from .ear import Ear

LOOK: Final = 1.0
"""Seconds between two looks at the board, for a primary that another router has asked for, and for the place of the listener."""


class SentinelRouter:
    """Gives an engine its links to the primary of a service."""

    owners: SlotOwners | None = None

    def __init__(
        self,
        context: RouterContext,
        service: str,
        board: SentinelBoard,
        policy: AddressPolicy,
        login: Login,
        *,
        interval: float,
    ) -> None:
        self._context = context
        self._board = board
        self._options = replace(context.options, backoff_max=min(context.options.backoff_max, PAUSE_MAX))
        self._address: Address | None = None
        self._absent: set[Link] = set()  # that were wanted, and not up, at the last look
        self._asker = Asker(
            context, service, board, policy, login, interval=interval, learn=self._learn, needed=self._is_needed
        )
        self._ear = Ear(context, service, board, login, self._asker.hint)
        self._own = [self._asker.link, self._ear.link]
        self._links = [*self._own]
        self._timer = context.new_timer(self._look)
        self._timer.set(AT_ONCE)
        if not self._learn():
            self._asker.want()

    def route(self, key: bytes) -> Route:
        """Return the route of all keys."""
        return ANYWHERE

    def link(self, owner: Owner, name: str, route: Route) -> Link:
        """Make a link to the primary; where it is not known yet, it is dialled when it is."""
        login = replace(self._context.login, kind=ServerKind.PRIMARY)
        link = self._context.make_link(owner, name, self._address, self, login=login, options=self._options)
        self._links.append(link)
        return link

    def lane(self, owner: LaneOwner, name: str, route: Route, *, shared: bool = False) -> Lane:
        """Make a link to the primary."""
        return self.link(owner, name, route)

    def may_go_elsewhere(self, link: Lane) -> bool:
        """Whether there is another primary: never."""
        return False

    def aim(self, link: Link, route: Route, reason: Exception | None = None) -> None:
        """Leave a link at the primary."""

    def links(self) -> Sequence[Link]:
        """Return all links, in the order in which they were made: first those to Sentinels."""
        return self._links

    def close(self) -> None:
        """Close all links for good, ask no Sentinel any more, and leave listening to others."""
        self._timer.set(inf)
        self._asker.close()
        self._board.leave(self)
        for link in [*self._links]:
            link.close()

    def link_lost(self, link: Link, error: Exception) -> None:
        """Have the Sentinels asked: a link to the primary is lost, or is refused there."""
        self._asker.want()

    def _learn(self) -> bool:
        """Take the primary of the board, and redirect all links where it is another; tell whether it is."""
        primary = self._board.primary
        if primary is None:
            self._tell_trouble()
            return False
        if primary.address == self._address:
            return False
        if self._address is None:
            self._timer.set(AT_ONCE)  # to listen to the Sentinel
        self._address = primary.address
        for link in self._data():
            link.attempts = 0
            link.redirect(primary.address)
        return True

    def _tell_trouble(self) -> None:
        """Let requests that wait for a first primary know why there is none."""
        for link in self._data():
            link.error = self._asker.trouble

    def _data(self) -> list[Link]:
        return self._links[len(self._own) :]

    def _is_needed(self) -> bool:
        """Whether a link that is wanted has failed, or its dial takes long."""
        return any(_is_absent(link) and (link.error is not None or link in self._absent) for link in self._data())

    def _look(self, now: float) -> None:
        self._timer.set(now + LOOK)
        self._learn()
        if self._asker.closed:  # the application was told of lost connections, and has closed the engine
            return
        if self._is_needed():
            self._asker.want()
        if self._board.primary is not None and self._board.listens(self, now):
            self._ear.open()
        else:
            self._ear.close()
        self._absent = {link for link in self._data() if _is_absent(link)}


def _is_absent(link: Link) -> bool:
    return link.state is not State.RESTING and not link.is_up
