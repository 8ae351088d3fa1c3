"""How the end of a connection is told: always with the server's address."""

from __future__ import annotations

from ..errors import ConnectFailed, ConnectionLost
from ..options import AnyAddress


def with_address(error: Exception, address: AnyAddress) -> Exception:
    """A refusal of our introduction tells who refuses it."""
    if type(error) is ConnectFailed:
        return ConnectFailed(f"{address}: {error}", permanent=error.permanent)
    return error


def as_loss(error: Exception | None, address: AnyAddress) -> Exception:
    """What ended a connection, as ``ConnectionLost``; None: the server has closed it."""
    if error is None:
        return ConnectionLost(f"{address} closed the connection")
    if isinstance(error, ConnectionLost):
        return error
    return ConnectionLost(f"the connection to {address} broke: {error}")
