"""CLIENT TRACKING for client-side caches: the server tells sessions which keys with some prefixes have changed (BCAST).

The keys that change while the server runs the commands of a client are told behind the replies, a push for each prefix.
"""

from __future__ import annotations

from dataclasses import dataclass

from .session import Session


@dataclass(frozen=True, slots=True)
class Tracking:
    """The key prefixes that a session tracks; ``noloop``: its own changes are not told."""

    prefixes: tuple[bytes, ...]
    noloop: bool


class Tracked:
    """The changes that are not told yet, and the ``sessions`` that track, each with its prefixes."""

    def __init__(self) -> None:
        self.sessions: dict[Session, Tracking] = {}
        self._changed: dict[bytes, Session | None] = {}  # with the last session that has written it
        self._flushed = False

    def changed(self, key: bytes, by: Session | None) -> None:
        """Note that a session has written a key; None: the server has, such as by an expiry."""
        self._changed[key] = by

    def flushed(self) -> None:
        """Note that all keys have gone (FLUSHALL): its push names no key."""
        self._flushed = True
        self._changed.clear()

    def tell(self) -> None:
        """Push the changes to all sessions that track them."""
        if self._flushed:
            self._flushed = False
            for session in self.sessions:
                _push(session, None)
        if self._changed:
            changed, self._changed = self._changed, {}
            for session, tracking in list(self.sessions.items()):
                keys = sorted(key for key, by in changed.items() if not (tracking.noloop and by is session))
                for prefix in tracking.prefixes:
                    if found := [key for key in keys if key.startswith(prefix)]:
                        _push(session, found)


def _push(session: Session, keys: list[bytes] | None) -> None:
    if session.protocol == 3:
        session.push(b"invalidate", keys)
