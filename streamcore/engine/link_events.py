"""The events of a link's connections, which carry the title of the link's owner."""

from __future__ import annotations

from ..events import ConnectAttemptFailed, Connected, Disconnected, LoginNotRenewed, Reconnected
from .lane import Lane


def connected(link: Lane, owner: str, *, again: bool) -> Connected | Reconnected:
    """Build the event of a link that is connected, or connected ``again``; ``owner`` is the title of its owner."""
    server = f"{_text(link.server.get(b'server'))} {_text(link.server.get(b'version'))}"
    kind = Reconnected if again else Connected
    return kind(link.name, str(link.address), server, owner)


def disconnected(link: Lane, error: Exception, owner: str, *, was_up: bool) -> Disconnected | ConnectAttemptFailed:
    """Build the event of a connection that was lost, or of an attempt to connect that has failed."""
    if was_up:
        return Disconnected(link.name, str(link.address), error, owner)
    return ConnectAttemptFailed(link.name, str(link.address), link.attempts, error, owner)


def not_renewed(link: Lane, error: Exception, owner: str) -> LoginNotRenewed:
    """Build the event of a login that could not be renewed."""
    return LoginNotRenewed(link.name, str(link.address), error, owner)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "?"
