"""An engine and a model cluster in virtual time: each link reaches the node that runs at its address.

    net = ClusterNet(cluster := ModelCluster(now=1000.0), engine)
    cluster.failover(cluster.replica_of(cluster.owner("{orders}:1")))
    net.advance(1.0)                           # gossip, elections, and all that the engine does about them

Dialling an address where no node runs is refused, as with a real network. ``Net`` has the rest: cuts, silence, time.
"""

from __future__ import annotations

from streamcore.connection.link import Link
from streamcore.engine.engine import Engine
from streamcore.options import Address

from .model import Session
from .model.cluster import ModelCluster, Node
from .net import WiredNet
from .pair import Peer


class ClusterNet(WiredNet):
    """Joins an engine with the nodes of a model cluster."""

    def __init__(self, cluster: ModelCluster, engine: Engine) -> None:
        self.cluster = cluster
        super().__init__(cluster, engine, self._refusal)

    def _node(self, link: Link) -> Node | None:
        address = link.address
        return self.cluster.at(address.host, address.port) if isinstance(address, Address) else None

    def _refusal(self, link: Link) -> Exception | None:
        return ConnectionRefusedError(f"no node runs at {link.address}") if self._node(link) is None else None

    def _accept(self, peer: Peer) -> Session | None:
        node = self._node(peer.link)
        return None if node is None else node.connect(self.cluster.now)
