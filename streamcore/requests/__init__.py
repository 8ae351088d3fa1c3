"""The engine of a client.

A multiplexer with request queues; dedicated links for blocking commands and transactions; witnesses for a link in
doubt.
"""

from .multiplexer import MAX_LEASES, DedicatedLink, Multiplexer
from .nodes import ServerNode
from .request import Request, Submit, Transaction

__all__ = ["MAX_LEASES", "DedicatedLink", "Multiplexer", "Request", "ServerNode", "Submit", "Transaction"]
