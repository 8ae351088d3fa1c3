"""The receivers of a link's events."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from ..errors import ConnectionLost
from .exchange import Exchange

L_contra = TypeVar("L_contra", contravariant=True)


class LinkOwner(Protocol[L_contra]):
    """The receiver of a link's events: an engine, or the runner of a script."""

    def link_up(self, link: L_contra) -> None: ...
    def link_answered(self, link: L_contra, exchange: Exchange) -> None: ...
    def link_pushed(self, link: L_contra, pushes: list[list[Any]]) -> None: ...
    def link_down(self, link: L_contra, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None: ...


class LinkObserver(Protocol[L_contra]):
    """The receiver of a link's losses, behind its owner: a router, which may redirect the link."""

    # The link has lost its connection, or an attempt has failed; not where its owner has closed or redirected it.
    def link_lost(self, link: L_contra, error: Exception) -> None: ...


class LinkRedirected(ConnectionLost):
    """A link goes to another server: its connection, or its attempt, was given up and has not failed."""
