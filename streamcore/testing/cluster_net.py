"""An engine and several model servers in virtual time: each link reaches the server at its address.

    net = ClusterNet(cluster := ModelCluster(now=1000.0), engine)
    cluster.failover(cluster.replica_of(cluster.owner("{orders}:1")))
    net.advance(1.0)                           # gossip, elections, and all that the engine does about them

Dialling an address where no server runs is refused, as with a real network. ``Net`` has the rest: cuts, silence, time. Sentinels and
their servers (``ModelSentinels``) are reached in the same way.
"""

from __future__ import annotations

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
    """Joins an engine with the servers of a site: the nodes of a model cluster, or Sentinels and their servers."""

    def __init__(self, site: Site, engine: Engine) -> None:
        self._site = site
        super().__init__(site, engine, self._refusal)

    def _server(self, link: Link) -> Server | None:
        address = link.address
        return self._site.at(address.host, address.port) if isinstance(address, Address) else None

    def _refusal(self, link: Link) -> Exception | None:
        return ConnectionRefusedError(f"no server runs at {link.address}") if self._server(link) is None else None

    def _accept(self, peer: Peer) -> Session | None:
        server = self._server(peer.link)
        return None if server is None else server.connect(self._site.now)
