"""Invalidations of copied keys: client-side caching, by broadcasts (``CLIENT TRACKING``).

While the link is lost no key is told. So all copies are void when it is lost, and once more when it is back, for keys
copied in between. Keys collect here until they are handed over; beyond a limit they become "all keys".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..arguments import Name
from ..commands.clients import client_tracking
from ..connection.exchange import Arguments
from ..errors import InvalidArgument
from .options import Invalidated, names


class Tracking:
    """Invalidated keys that were not handed over yet. ``command`` asks for them on each connection; None: never."""

    def __init__(self, track: Name | Iterable[Name] | None, on_invalidate: Invalidated | None, limit: int) -> None:
        if track is not None and on_invalidate is None:
            raise InvalidArgument("track says whose changes are told; give on_invalidate, which is told")
        prefixes = [] if track is None else names("track", track)
        self.command: Arguments | None = None
        if on_invalidate is not None:
            self.command = client_tracking(True, bcast=True, prefixes=prefixes).args
        self._began = False
        self._on_invalidate = on_invalidate
        self._limit = limit
        self._keys: set[bytes] = set()
        self._all = False

    def begins(self) -> None:
        """Note that a server tracks keys, on a new connection; where it is not the first, all keys are invalidated."""
        if self._began:
            self.invalidate(None)
        self._began = True

    def invalidate(self, keys: Iterable[Any] | None) -> None:
        """Collect invalidated keys for ``on_invalidate``; None: all keys."""
        if keys is not None:
            self._keys.update(keys)
        if keys is None or len(self._keys) > self._limit:
            self._keys.clear()
            self._all = True

    def take(self) -> tuple[Invalidated, frozenset[bytes] | None] | None:
        """Take the function to call and its keys; None where no key was invalidated."""
        if self._on_invalidate is None or not (self._all or self._keys):
            return None
        keys = None if self._all else frozenset(self._keys)
        self._all = False
        self._keys.clear()
        return self._on_invalidate, keys
