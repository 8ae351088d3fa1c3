"""Is a server that is silent on a connection there? Another connection is asked, in the middle of the request's time.

A server that is busy answers neither, and is waited for. One that greets a newcomer, and says nothing to us, has lost our
connection, or a gateway between us has: it is given up while there is time to send again what may be repeated. Where
something else is unanswered there, it is left alone: to lose that as well would help nobody. A server that has just become
free answers us first, and the newcomer's PING, behind its introduction, later: so what it has sent to us is read by then,
or has begun to come, and then we are silent no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..connection.exchange import Exchange
from ..connection.link import Link, Owner
from ..errors import ConnectionLost, ReplyError
from .request import Request


class Witness:
    """Opens a connection of its own where ``suspect`` is silent, and closes it as soon as it has heard, or not."""

    def __init__(self, suspect: Link, new_link: Callable[[Owner], Link]) -> None:
        self._suspect = suspect
        self._link = new_link(self)
        self._silent: Exchange | None = None
        self._moved = 0

    def ask(self) -> None:
        """The oldest exchange of the suspect has waited for half of its time."""
        self._silent, self._moved = self._suspect.oldest, self._suspect.moved
        if self._is_harmless():
            self._link.open()

    def _is_harmless(self) -> bool:
        """Whether the suspect is still silent, and may be given up."""
        suspect = self._suspect
        if suspect.oldest is not self._silent or suspect.moved != self._moved:
            return False
        return all(isinstance(one, Request) and one.may_be_lost() for one in suspect.in_flight())

    # -- what the link tells ------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        link.send(Exchange([("PING",)]))

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        link.succeeded()
        link.close()
        if not isinstance(exchange.replies[0], ReplyError) and self._is_harmless():  # BUSY: by a script, ours perhaps
            where = self._suspect.address
            self._suspect.drop(ConnectionLost(f"{where} answers a new connection, and not this one", sent=True))

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Nothing was subscribed to."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        link.close()
