"""Our name in the group, held by a small lease beside each stream, so that two processes never share it in silence.

Whoever comes last takes the name over, for it may be the same program, started again. The lease says by which connection it
is held: the connection of the one before is closed on the server, if it is still there and provably that one. So a ghost of
our own former process takes no entry in secret, and a living twin has to connect again: it finds that the name is
not its own any more, and stops. Every audit looks as well. A lease that has expired, or was flushed away, is taken again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..connection.exchange import Arguments
from ..engine.degradation import GUARD
from ..engine.script import Steps, checked
from ..errors import ConsumerFencedError, OutOfMemoryError
from ..events import ConsumerFenced
from ..keys import consumer_lease
from ..scripts.lease import HOLD, LET_GO
from .context import GroupContext

SECONDS: Final = 600.0
"""A lease lasts so long without an audit."""


class Identity(NamedTuple):
    """What proves that a connection on the server is the one that is meant: ids begin anew with each run of a server."""

    client_id: int
    run_id: bytes
    nonce: bytes

    @property
    def is_proof(self) -> bool:
        """Whether it proves that: not where the server hides its run or the id, or an engine has no name that is its own."""
        return bool(self.client_id and self.run_id and self.nonce)


UNKNOWN: Final = Identity(0, b"", b"")
"""Somebody, perhaps: the answer that would have told was lost."""


class NameLease:
    """The leases of a member's name, beside each of its streams."""

    def __init__(self, context: GroupContext) -> None:
        self._context = context
        self._held: set[bytes] = set()
        self._former: dict[bytes, Identity] = {}  # the holder before us, as long as that matters, by stream
        self._forbidden: set[bytes] = set()  # streams beside which this connection may not hold the name
        self._wanted = context.member.exclusive and context.member.keeps

    @property
    def is_held(self) -> bool:
        """Whether nothing forbids us to hold the name, beside any stream."""
        return self._wanted and not self._forbidden

    def take(self, stream: bytes, present: Identity) -> Steps[Identity | None]:
        """Hold the name beside a stream, on a new connection; return the connection that has held it until now.

        That is told on each connection until it is ``done_with``.
        """
        if self._wanted and not self._context.nonce:
            self._wanted = False
            self._context.degradation.tell(GUARD, "entropy")  # nothing tells us from a twin
        if not self._wanted:
            return None
        self._forbidden.discard(stream)
        yield from self._hold(stream, present, take_over=stream not in self._held)
        return self._former.get(stream)

    def done_with(self, stream: bytes) -> None:
        """Forget the holder before us: its connection is closed, or was spared."""
        self._former.pop(stream, None)

    def check(self, stream: bytes, present: Identity) -> Steps[None]:
        """Renew the lease, and find out whether it is still ours. Raises ``ConsumerFencedError``."""
        if self._wanted and stream not in self._forbidden:
            yield from self._hold(stream, present, take_over=False)

    def let_go(self) -> list[Arguments]:
        """Build the commands that give the name free on leaving."""
        return [("EVAL", LET_GO, 1, self._key(stream), self._context.nonce) for stream in sorted(self._held)]

    def forget(self, stream: bytes) -> None:
        """Forget the lease beside a stream that is read no more."""
        self._held.discard(stream)
        self._former.pop(stream, None)
        self._forbidden.discard(stream)

    def _hold(self, stream: bytes, present: Identity, *, take_over: bool) -> Steps[None]:
        context = self._context
        who = (context.nonce, int(take_over), present.client_id, present.run_id)
        command: Arguments = ("EVAL", HOLD, 1, self._key(stream), *who, int(SECONDS * 1000))
        [reply] = yield from context.ask(command)
        if isinstance(reply, OutOfMemoryError):
            return  # a full server can be read all the same, and has to be; the next audit asks again
        if context.degradation.is_forbidden(GUARD, command, reply):
            self._forbidden.add(stream)
            return
        is_ours, *former = checked(reply)
        if not is_ours:
            context.emit(ConsumerFenced(stream, context.member.name))
            raise ConsumerFencedError(
                f"another process has taken over the name {context.member.name.decode(errors='replace')!r} in its group;"
                " give each member a name of its own"
            )
        self._held.add(stream)
        holder, client, run = former
        if take_over and holder is not None:  # where that is us, we have asked before
            self._former[stream] = UNKNOWN if holder == context.nonce else Identity(int(client), run, holder)

    def _key(self, stream: bytes) -> bytes:
        return consumer_lease(stream, self._context.member.group, self._context.member.name)
