"""Which redirects are followed: to addresses that a topology names, or that the ``AddressPolicy`` allows.

A node may have joined a moment ago, so that no topology names it yet. So a redirect is told as refused where a topology that was asked
for since does not name its address either.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ..connection.common import Clock
from ..errors import SlotRedirect
from ..events import Event
from ..options import Address
from ..topology_events import RedirectRefused
from .addresses import AddressPolicy
from .topology import Topology


class Redirects:
    """Judges the redirects of nodes; ``emit`` is called with those that are refused, each once."""

    def __init__(self, clock: Clock, policy: AddressPolicy, emit: Callable[[Event], None]) -> None:
        self._clock = clock
        self._policy = policy
        self._emit = emit
        self._unfollowed: dict[str, float] = {}  # addresses that may not be followed, and since when they were told

    def follow(self, redirect: SlotRedirect, told_by: Address, topology: Topology | None) -> Address | None:
        """Find where a redirect of a node leads; None where its address may not be followed."""
        address = self._policy.of_redirect(redirect, told_by)
        named = () if topology is None else {node.address for node in topology.nodes.values()}
        told = f"{redirect.host}:{redirect.port}"
        if redirect.slot is None or address is None or not self._policy.may_follow(address, named):
            self._refuse(told, told_by, topology)
            return None
        self._unfollowed.pop(told, None)
        return address

    def _refuse(self, told: str, told_by: Address, topology: Topology | None) -> None:
        since = self._unfollowed.setdefault(told, self._clock.now)
        if topology is not None and topology.asked_at > since:
            self._unfollowed[told] = inf
            self._emit(RedirectRefused(told, str(told_by)))
