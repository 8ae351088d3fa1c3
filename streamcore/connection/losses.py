"""Errors that end a connection: always with the server's address."""

from __future__ import annotations

from ..errors import ConnectFailed, ConnectionLost
from ..options import AnyAddress


def with_address(error: Exception, address: AnyAddress) -> Exception:
    """Add the server's address to a refusal of the introduction."""
    if type(error) is ConnectFailed:
        return ConnectFailed(f"{address}: {error}", permanent=error.permanent)
    return error


def as_loss(error: Exception | None, address: AnyAddress) -> Exception:
    """Convert the end of a socket to ``ConnectionLost``; None: the server has closed it."""
    if error is None:
        return ConnectionLost(f"{address} closed the connection")
    if isinstance(error, ConnectionLost):
        return error
    return ConnectionLost(f"the connection to {address} broke: {error}")


def not_greeted(address: AnyAddress) -> ConnectFailed:
    """Build the error of a server that is silent when a connection introduces itself."""
    return ConnectFailed(f"{address} accepted the connection but did not answer HELLO")
