"""Hold the name of a member in its group by a small lease beside each stream, so that no two processes share it in silence.

The process that comes last takes the name over, for it may be the same program, started again. The lease says which
connection holds it: the connection of the former holder is closed on the server, if it is still there and provably the same.
So a stale connection of our own former process takes no entry in secret, and a living twin has to connect again: it finds
that the name is not its own any more, and stops (``ConsumerFencedError``). Every audit checks the lease as well. A lease that
has expired, or was flushed away, is taken again.
"""

from __future__ import annotations

from typing import Final

from ..connection.exchange import Arguments
from ..engine.degradation import GUARD
from ..engine.script import Steps, checked
from ..errors import ConsumerFencedError, OutOfMemoryError
from ..events import ConsumerFenced
from ..fencing import Identity, Lease
from ..keys import consumer_lease
from .context import GroupContext

SECONDS: Final = 600.0
"""A lease lasts so long without an audit."""


class NameLease:
    """The leases of a member's name, beside each of its streams."""

    def __init__(self, context: GroupContext) -> None:
        self._context = context
        self._leases: dict[bytes, Lease] = {}  # by stream
        self._forbidden: set[bytes] = set()  # streams beside which this connection may not hold the name
        self._wanted = context.member.exclusive and context.member.keeps

    @property
    def is_held(self) -> bool:
        """Whether nothing forbids us to hold the name, beside any stream."""
        return self._wanted and not self._forbidden

    def take(self, stream: bytes, present: Identity) -> Steps[Identity | None]:
        """Hold the name beside a stream, on a new connection; return the connection that has held it until now.

        That connection is returned on each connection until it is ``done_with``.
        """
        if self._wanted and not self._context.nonce:
            self._wanted = False
            self._context.degradation.tell(GUARD, "entropy")  # nothing tells us from a twin
        if not self._wanted:
            return None
        self._forbidden.discard(stream)
        yield from self._hold(stream, present, take_over=not self._lease(stream).is_held)
        return self._lease(stream).former

    def done_with(self, stream: bytes) -> None:
        """Forget the holder before us: its connection is closed, or was spared."""
        if stream in self._leases:
            self._leases[stream].former = None

    def check(self, stream: bytes, present: Identity) -> Steps[None]:
        """Renew the lease beside a stream, and check that it is still ours. Raises ``ConsumerFencedError``."""
        if self._wanted and stream not in self._forbidden:
            yield from self._hold(stream, present, take_over=False)
            if stream not in self._context.member.streams:  # it was removed meanwhile
                self.forget(stream)

    def let_go(self) -> list[Arguments]:
        """Build the commands that give the name free on leaving."""
        return [lease.let_go(self._context.nonce) for _, lease in sorted(self._leases.items()) if lease.is_held]

    def forget(self, stream: bytes) -> None:
        """Forget the lease beside a stream that is read no more."""
        self._leases.pop(stream, None)
        self._forbidden.discard(stream)

    def _hold(self, stream: bytes, present: Identity, *, take_over: bool) -> Steps[None]:
        context = self._context
        command = self._lease(stream).hold(present, take_over=take_over)
        [reply] = yield from context.ask(command)
        if isinstance(reply, OutOfMemoryError):
            return  # a full server can be read all the same, and has to be; the next audit asks again
        if context.degradation.is_forbidden(GUARD, command, reply):
            self._forbidden.add(stream)
            return
        if not self._lease(stream).answer(checked(reply), present, take_over=take_over):
            context.emit(ConsumerFenced(stream, context.member.name))
            raise ConsumerFencedError(
                f"another process has taken over the name {context.member.name.decode(errors='replace')!r} in its group;"
                " give each member a name of its own"
            )

    def _lease(self, stream: bytes) -> Lease:
        if stream not in self._leases:
            key = consumer_lease(stream, self._context.member.group, self._context.member.name)
            self._leases[stream] = Lease(key, SECONDS)
        return self._leases[stream]
