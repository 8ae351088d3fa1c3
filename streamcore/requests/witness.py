"""A second connection that asks whether a silent server still serves, in the middle of a request's time.

A server that is busy answers neither, and is waited for. A server that greets the new connection, and says nothing on
the old, has lost the old, or a gateway between us has: it is given up while there is time to repeat repeatable
requests. Where another request is unanswered there, it is left alone: to lose that as well would help no caller. A
server that has just become free answers the old connection first, and the PING of the new, behind its introduction,
later: so its answer has been read by then, or has begun to come, and the old connection is silent no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..connection.exchange import Exchange
from ..connection.link import Link, Owner
from ..errors import ConnectionLost, ReplyError
from .request import Request


class Witness:
    """A link that opens where ``suspect`` is silent, and closes as soon as it is answered, or lost."""

    def __init__(self, suspect: Link, new_link: Callable[[Owner, Link], Link]) -> None:
        self._suspect = suspect
        self._link = new_link(self, suspect)
        self._silent: Exchange | None = None
        self._moved = 0

    def ask(self) -> None:
        """Open the link: the oldest exchange of the suspect has waited for half of its time."""
        self._silent, self._moved = self._suspect.oldest, self._suspect.patience.moved
        if self._is_harmless():
            self._link.open()

    def _is_harmless(self) -> bool:
        """Tell whether the suspect is still silent, and dropping it would lose nothing."""
        suspect = self._suspect
        if suspect.oldest is not self._silent or suspect.patience.moved != self._moved:
            return False
        return all(isinstance(sent, Request) and sent.may_be_lost() for sent in suspect.in_flight())

    # -- events of the link -------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        link.send(Exchange([("PING",)]))

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        link.succeeded()
        link.close()
        if not isinstance(exchange.replies[0], ReplyError) and self._is_harmless():  # BUSY: by a script, ours perhaps
            where = self._suspect.address
            self._suspect.drop(ConnectionLost(f"{where} answers a new connection, and not this one", sent=True))

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: a witness subscribes to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        link.close()
