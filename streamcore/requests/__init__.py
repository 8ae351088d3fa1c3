"""The engine of a client: requests of many callers over a shared link, and dedicated links for blocking commands."""

from .multiplexer import MAX_LEASES, DedicatedLink, Multiplexer
from .request import Request, Submit, Transaction

__all__ = ["MAX_LEASES", "DedicatedLink", "Multiplexer", "Request", "Submit", "Transaction"]
