"""A lease with an epoch: which process holds a name, told by a key beside the data that it guards.

The process that comes last takes the lease over, and may learn by which connection it was held; the former holder finds out
when it renews. A lease that has expired, or was flushed away, is taken again.

    FREE --take over--> HELD --renewed by another--> fenced: ``answer`` tells False
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .connection.exchange import Arguments
from .scripts.lease import HOLD, LET_GO


class Identity(NamedTuple):
    """The proof that a connection on the server is a certain connection: ids begin anew with each run of a server."""

    client_id: int
    run_id: bytes
    nonce: bytes

    @property
    def is_proof(self) -> bool:
        """Whether it proves that: not where the server hides its run or the id, or an engine has no name that is its own."""
        return bool(self.client_id and self.run_id and self.nonce)


UNKNOWN: Final = Identity(0, b"", b"")
"""A former holder that may exist: the answer that would have told was lost."""


class Lease:
    """The lease at ``key``, for ``lifetime`` seconds from each renewal.

    ``is_held``: a server has said that it is ours. ``former``: the holder before us, as long as that matters.
    """

    def __init__(self, key: bytes, lifetime: float) -> None:
        self.key = key
        self.is_held = False
        self.former: Identity | None = None
        self._lifetime = lifetime

    def hold(self, present: Identity, *, take_over: bool) -> Arguments:
        """Build the command that renews the lease, or takes it over from another holder."""
        who = (present.nonce, int(take_over), present.client_id, present.run_id)
        return ("EVAL", HOLD, 1, self.key, *who, int(self._lifetime * 1000))

    def answer(self, reply: Any, present: Identity, *, take_over: bool) -> bool:
        """Take the reply to ``hold``, and tell whether the lease is ours."""
        is_ours, *former = reply
        if not is_ours:
            return False
        self.is_held = True
        holder, client, run = former
        if take_over and holder is not None:  # where the holder is us, an earlier reply was lost
            self.former = UNKNOWN if holder == present.nonce else Identity(int(client), run, holder)
        return True

    def let_go(self, nonce: bytes) -> Arguments:
        """Build the command that frees the lease, if it is ours."""
        return ("EVAL", LET_GO, 1, self.key, nonce)
