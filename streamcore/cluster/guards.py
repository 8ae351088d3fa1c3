"""Guards of nodes: a link to each node where exchanges wait that may wait for long, on links that no PING passes.

A read that blocks hides that its node stands still, for as long as it may block and the request timeout beyond. So a node where
something waits has a guard, unless another link there is watched anyway: an idle link, which is asked by PING.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from ..connection.exchange import Exchange
from ..connection.link import Link, Owner
from ..connection.link_state import State
from ..engine.router import ANYWHERE, OnNode, Route
from ..options import Address


class Nodes(Protocol):
    """The router."""

    def link(self, owner: Owner, name: str, route: Route) -> Link: ...
    def watch(self, link: Link) -> None: ...
    def remove(self, link: Link) -> None: ...


class Guards:
    """The guards of an engine. ``watched``: the links, guards among them, whose nodes are suspected where they do not answer."""

    def __init__(self, nodes: Nodes) -> None:
        self.watched: set[Link] = set()
        self._nodes = nodes
        self._guards: dict[Address, Link] = {}

    def look(self, routes: Mapping[Link, Route]) -> None:
        """Open the guards of nodes where something waits; close those of nodes that no other link leads to any more."""
        guards = set(self._guards.values())
        others = [link for link, route in routes.items() if route != ANYWHERE and link not in guards]
        used = {link.address for link in others if link.state is not State.RESTING}
        needed = used - {link.address for link in self.watched - guards if link.state is not State.RESTING}
        for address in self._guards.keys() - needed:
            self._nodes.remove(self._guards.pop(address))
        waiting = {cast(Address, link.address) for link in others if link.unanswered}
        for address in sorted((waiting & needed) - self._guards.keys(), key=str):
            link = self._guards[address] = self._nodes.link(self, f"guard of {address}", OnNode(address))
            self._nodes.watch(link)
            link.open()

    # -- events of the links ------------------------------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        link.succeeded()

    def link_answered(self, link: Link, exchange: Exchange) -> None:
        """Ignore answers: guards ask nothing of their own."""

    def link_pushed(self, link: Link, pushes: list[list[Any]]) -> None:
        """Ignore pushes: guards subscribe to nothing."""

    def link_down(self, link: Link, error: Exception, sent: list[Exchange], unsent: list[Exchange]) -> None:
        """Leave it to the router."""
