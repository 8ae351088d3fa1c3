"""The router of an engine: which server each of its links is dialled at.

An engine asks its router for every link, and says its purpose by a ``Route``; it knows no address itself. A
standalone server is the simplest case: every link is dialled at the same address. Where several servers share the work,
another router chooses by its topology, and engines stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from ..connection.link import Link, Owner
from ..frozen import frozen
from ..options import AnyAddress


@frozen
class Anywhere:
    """The route of a link that any server can serve."""


@frozen
class Beside:
    """The route of a link that must lead to the same server as ``link``: it is about that link, or about the same data."""

    link: Link


Route: TypeAlias = Anywhere | Beside

ANYWHERE: Final = Anywhere()

MakeLink: TypeAlias = Callable[[Owner, str, AnyAddress], Link]
"""Makes a link for its owner, by its name and the address where it is dialled."""


class Router(Protocol):
    """Gives an engine its links, each dialled at a server that its route leads to."""

    def link(self, owner: Owner, name: str, route: Route) -> Link:
        """Make a link to a server that the route leads to."""
        ...

    def links(self) -> Sequence[Link]:
        """Return all links, in the order in which they were made."""
        ...


class StandaloneRouter:
    """The router of a single server: every route leads to ``address``."""

    def __init__(self, address: AnyAddress, make: MakeLink) -> None:
        self._address = address
        self._make = make
        self._links: list[Link] = []

    def link(self, owner: Owner, name: str, route: Route) -> Link:
        """Make a link to the single server."""
        link = self._make(owner, name, self._address)
        self._links.append(link)
        return link

    def links(self) -> Sequence[Link]:
        """Return all links, in the order in which they were made."""
        return self._links
