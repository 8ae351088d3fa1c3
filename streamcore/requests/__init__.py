"""The engine behind a client: commands of many tasks over one link, and links of their own for what would hold them up."""

from .multiplexer import MAX_LEASES, DedicatedLink, Multiplexer
from .request import Request, Submit, Transaction

__all__ = ["MAX_LEASES", "DedicatedLink", "Multiplexer", "Request", "Submit", "Transaction"]
