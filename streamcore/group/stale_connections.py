"""Close connections that were ours, or of our name, and are still open on the server.

A half-open connection takes the entries that we read, and no process gets them. It is closed (``CLIENT KILL``) where it is
provably the connection that is meant: in the same run of the server, and with its name under its number (``CLIENT LIST``).
"""

from __future__ import annotations

from ..engine.degradation import CLOSING_FORMER
from ..engine.script import Steps
from ..errors import ReplyError
from ..events import StaleConnectionKilled
from ..fencing import Identity
from .context import GroupContext


class StaleConnections:
    """Closes connections of a member that was here before, by ``CLIENT KILL ID``."""

    def __init__(self, context: GroupContext) -> None:
        self._context = context
        self._stood: set[Identity] = set()  # connections of our name that were open when we connected

    def close(self, ghost: Identity | None, present: Identity) -> Steps[bool]:
        """Close a connection that was ours, or of our name (``CLIENT KILL``); return whether it was known to be gone before."""
        ask = self._context.ask
        if ghost is None or not ghost.is_proof or ghost.run_id != present.run_id:
            return ghost is None
        listing, kill = ("CLIENT", "LIST", "ID", ghost.client_id), ("CLIENT", "KILL", "ID", ghost.client_id)
        [listed] = yield from ask(listing)
        self._context.degradation.is_forbidden(CLOSING_FORMER, listing, listed)
        if not isinstance(listed, bytes) or b" name=%b " % ghost.nonce not in listed:
            return not isinstance(listed, ReplyError) and ghost not in self._stood  # met beside another stream
        self._stood.add(ghost)
        [killed] = yield from ask(kill)
        self._context.degradation.is_forbidden(CLOSING_FORMER, kill, killed)
        if killed == 1:
            self._context.emit(StaleConnectionKilled(ghost.client_id))
        return False
