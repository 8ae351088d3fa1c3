"""The events of a link's connections, which carry the title of the link's owner."""

from __future__ import annotations

from collections.abc import Callable

from ..connection.link_owner import LinkRedirected
from ..events import ConnectAttemptFailed, Connected, Disconnected, Event, LoginNotRenewed, Reconnected
from .lane import Lane


def connected(link: Lane, owner: str, *, again: bool) -> Connected | Reconnected:
    """Build the event of a link that is connected, or connected ``again``; ``owner`` is the title of its owner."""
    server = f"{_text(link.server.get(b'server'))} {_text(link.server.get(b'version'))}"
    kind = Reconnected if again else Connected
    return kind(link.name, str(link.address), server, owner)


def emit_loss(emit: Callable[[Event], None], link: Lane, error: Exception, owner: str, *, was_up: bool) -> None:
    """Emit the event of a connection that was lost, or of a failed attempt; none of an attempt that was given up for another server."""
    if was_up:
        emit(Disconnected(link.name, str(link.address), error, owner))
    elif not isinstance(error, LinkRedirected):
        emit(ConnectAttemptFailed(link.name, str(link.address), link.attempts, error, owner))


def not_renewed(link: Lane, error: Exception, owner: str) -> LoginNotRenewed:
    """Build the event of a login that could not be renewed."""
    return LoginNotRenewed(link.name, str(link.address), error, owner)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "?"
