"""A service of Sentinels as the engines of a client know it: its name, its Sentinels, and the login there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..cluster.addresses import AddressMap, AddressPolicy
from ..engine.router import Router, RouterContext
from ..options import Login, SentinelAddress, ServerKind
from ..tracebacks import conceals_arguments
from .board import SentinelBoard
from .router import SentinelRouter

COMPARE_INTERVAL: Final = 15.0


class SentinelService:
    """Makes the router of each engine of a client, which share a ``SentinelBoard``.

    ``service``: the name by which the Sentinels watch the primary; ``seeds``: Sentinels, of which a single one that answers is enough.
    ``username`` and ``password``: the login at the Sentinels, not that at the primary. ``address_map`` translates the addresses that
    they tell. ``refresh_interval``: seconds between two questions for no reason.
    """

    @conceals_arguments
    def __init__(
        self,
        service: str,
        seeds: Sequence[SentinelAddress],
        *,
        username: str | None = None,
        password: str | None = None,
        address_map: AddressMap = None,
        refresh_interval: float = COMPARE_INTERVAL,
    ) -> None:
        self.board = SentinelBoard(seeds)
        self._service = service
        self._policy = AddressPolicy(seeds, address_map=address_map)
        self._username = username
        self._password = password
        self._interval = refresh_interval

    def router(self, context: RouterContext) -> Router:
        """Make the router of an engine."""
        login = Login(self._username, self._password, 0, context.login.client_name, kind=ServerKind.SENTINEL)
        return SentinelRouter(context, self._service, self.board, self._policy, login, interval=self._interval)
