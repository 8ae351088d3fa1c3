"""An engine and several model servers in virtual time: each link reaches the server at its address.

    net = ClusterNet(cluster := ModelCluster(now=1000.0), engine)
    cluster.failover(cluster.replica_of(cluster.owner("{orders}:1")))
    net.advance(1.0)                           # gossip, elections, and all that the engine does about them

Dialling an address where no server runs is refused, as with a real network. ``Net`` has the rest: cuts, silence, time. Sentinels and
their servers (``ModelSentinels``) are reached in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.options import Address

from .model import Server, Session
from .net import Clock, WiredNet
from .pair import Peer


class Site(Clock, Protocol):
    """Servers at addresses."""

    # Find the server that runs at an address.
    def at(self, host: str, port: int, /) -> Server | None: ...


class ClusterNet(WiredNet):
    """Joins an engine with the servers of a site: the nodes of a model cluster, or Sentinels and their servers.

    ``routes``: where the servers are reached, behind NAT: for each address that is dialled, the server's own; all others are
    refused. None: they are reached at their own addresses. ``hidden``: servers that no dial reaches.
    """

    def __init__(
        self, site: Site, engine: Engine, *, routes: Mapping[tuple[str, int], tuple[str, int]] | None = None
    ) -> None:
        self._site = site
        self._routes = routes
        self.hidden: set[Server] = set()
        super().__init__(site, engine, self._refusal)

    def _server(self, link: Link) -> Server | None:
        address = link.address
        if not isinstance(address, Address):
            return None
        dialled = address.host, address.port
        own = dialled if self._routes is None else self._routes.get(dialled)
        server = None if own is None else self._site.at(*own)
        return None if server in self.hidden else server

    def _refusal(self, link: Link) -> Exception | None:
        return ConnectionRefusedError(f"no server runs at {link.address}") if self._server(link) is None else None

    def _accept(self, peer: Peer) -> Session | None:
        server = self._server(peer.link)
        return None if server is None else server.connect(self._site.now)
