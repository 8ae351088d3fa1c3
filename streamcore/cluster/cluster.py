"""A cluster as the engines of a client know it: its seeds, the rules for its addresses, and the board of their routers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..engine.router import Router, RouterContext
from ..options import Address
from .addresses import AddressMap, AddressPolicy, Follow, Prefer
from .board import Board
from .router import ClusterRouter
from .seats import MAX_LINKS, MAX_LINKS_PER_NODE

REFRESH_INTERVAL: Final = 15.0
NODE_KEEPALIVE: Final = 2.0


class Cluster:
    """Makes the router of each engine of a client, which share a ``Board``.

    ``refresh_interval``: seconds between two questions for the topology for no reason. ``node_keepalive``: seconds of silence after
    which a node is asked whether it answers (PING). ``max_links_per_node`` and ``max_links``:
    members of groups, in an engine, that have a link of their own. The rest: see ``AddressPolicy``.
    """

    def __init__(
        self,
        seeds: Sequence[Address],
        *,
        refresh_interval: float = REFRESH_INTERVAL,
        node_keepalive: float = NODE_KEEPALIVE,
        follow: Follow = "topology",
        address_map: AddressMap = None,
        prefer: Prefer = "hostname",
        max_links_per_node: int = MAX_LINKS_PER_NODE,
        max_links: int = MAX_LINKS,
    ) -> None:
        self.board = Board()
        self._seeds = seeds
        self._policy = AddressPolicy(seeds, prefer=prefer, address_map=address_map, follow=follow)
        self._refresh_interval = refresh_interval
        self._node_keepalive = node_keepalive
        self._max_links_per_node = max_links_per_node
        self._max_links = max_links

    def router(self, context: RouterContext) -> Router:
        """Make the router of an engine."""
        return ClusterRouter(
            context,
            self.board,
            self._policy,
            self._seeds,
            refresh_interval=self._refresh_interval,
            node_keepalive=self._node_keepalive,
            max_links_per_node=self._max_links_per_node,
            max_links=self._max_links,
        )
