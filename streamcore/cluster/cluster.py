"""A cluster as the engines of a client know it: its seeds, the rules for its addresses, and the board of their routers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..engine.router import Router, RouterContext
from ..options import Address
from .addresses import AddressMap, AddressPolicy, Follow, Prefer
from .board import Board
from .router import ClusterRouter

REFRESH_INTERVAL: Final = 15.0


class Cluster:
    """Makes the router of each engine of a client, which share a ``Board``.

    ``refresh_interval``: seconds between two questions for the topology for no reason. The rest: see ``AddressPolicy``.
    """

    def __init__(
        self,
        seeds: Sequence[Address],
        *,
        refresh_interval: float = REFRESH_INTERVAL,
        follow: Follow = "topology",
        address_map: AddressMap = None,
        prefer: Prefer = "hostname",
    ) -> None:
        self.board = Board()
        self._seeds = seeds
        self._policy = AddressPolicy(seeds, prefer=prefer, address_map=address_map, follow=follow)
        self._refresh_interval = refresh_interval

    def router(self, context: RouterContext) -> Router:
        """Make the router of an engine."""
        return ClusterRouter(context, self.board, self._policy, self._seeds, refresh_interval=self._refresh_interval)
