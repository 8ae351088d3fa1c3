"""Remove consumers of the group that have nothing pending, and have not been heard of for long.

There may be many thousands of them: each process that dies leaves the consumer of its name behind. The server lists them all
or not at all (``XINFO CONSUMERS``), so it is asked rarely; it looks up a name at once, so a list is worked off name by name,
a few in a script, with a read between two scripts. In a step with the removal of a name (``XGROUP DELCONSUMER``) the script
looks whether an entry is pending for it, and whether a process holds it (``name_lease``): it may have come back since, or be
quiet on a server that takes no empty read for a sign of life. A name without a lease that comes back just then is created
again by its next read, with nothing lost; and no list is used for long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final

from ..connection.exchange import Arguments
from ..connection.link import AT_ONCE
from ..engine.degradation import REMOVING
from ..engine.script import Steps, checked
from ..errors import NoPermissionError, ReplyError
from ..events import ConsumerRemoved
from ..keys import consumer_lease
from ..scripts.group import REMOVE
from .context import GroupContext

MOST: Final = 32
"""Names of a script: a fraction of a millisecond."""
LISTED: Final = 500
"""Consumers that are listed in a round trip, unless a single group has more."""
FRESH: Final = 5.0
"""Seconds for which a list is used."""


def remove(stream: bytes, group: bytes, names: Sequence[bytes]) -> Arguments:
    """Build the command that removes consumers for which nothing is pending, and whose names no process holds."""
    leases = [consumer_lease(stream, group, name) for name in names]
    return ("EVAL", REMOVE, 1 + len(leases), stream, *leases, group, *names)


class IdleConsumers:
    """Removes consumers that are gone, a few names at a time; its state survives reconnects."""

    def __init__(self, context: GroupContext) -> None:
        self._context = context
        member = context.member
        self.at = AT_ONCE if member.keeps and member.remove_idle_consumers is not None else inf
        """When the next few names, or lists, are due, in seconds."""
        self._patience = member.remove_idle_consumers or inf
        self._consumers: dict[bytes, int] = {}  # by stream, as of the last look at its group
        self._unlisted: deque[bytes] = deque()  # streams of this pass
        self._names: deque[tuple[bytes, bytes]] = deque()  # to be removed, and their streams
        self._listed_at = AT_ONCE
        self._is_forbidden = False  # as far as this connection knows

    def connected(self) -> None:
        """Begin a connection: try again to list and to remove, if the last connection was not allowed to."""
        if self._is_forbidden:
            self._is_forbidden, self.at = False, AT_ONCE

    def note(self, stream: bytes, consumers: int) -> None:
        """Note how many consumers the group has in a stream, as ``XINFO GROUPS`` tells."""
        self._consumers[stream] = consumers

    def forget(self, stream: bytes) -> None:
        """Forget a stream that is read no more."""
        self._consumers.pop(stream, None)

    def run(self) -> Steps[None]:
        """Remove a few names, or list the consumers of a few streams; only when ``at`` has come."""
        if self._names and self._context.now > self._listed_at + FRESH:
            self._forget_pass()
        try:
            if self._names:
                yield from self._remove()
            else:
                yield from self._list()
        except NoPermissionError:
            self._is_forbidden, self.at = True, inf
            return
        except ReplyError:  # the next read meets it as well, and the other names have time
            self._forget_pass()
        if not (self._names or self._unlisted):
            # Spread over the second quarter, as claims are.
            self.at = self._context.now + self._patience * (0.25 + 0.25 * self._context.random())

    def _forget_pass(self) -> None:
        self._names.clear()
        self._unlisted.clear()

    def _list(self) -> Steps[None]:
        """List consumers (``XINFO CONSUMERS``), of as many streams as have few, and note the names that are idle."""
        context, member = self._context, self._context.member
        if not self._unlisted:
            self._unlisted.extend(stream for stream in context.present if self._consumers.get(stream, 0) > 1)
        streams: list[bytes] = []
        consumers = 0
        while self._unlisted and (not streams or consumers < LISTED):
            streams.append(self._unlisted.popleft())
            consumers += self._consumers.get(streams[-1], 0)
        if not streams:
            return
        self._listed_at, idle = context.now, int(self._patience * 1000)
        questions: list[Arguments] = [("XINFO", "CONSUMERS", stream, member.group) for stream in streams]
        replies = yield from context.ask(*questions)
        for stream, question, listed in zip(streams, questions, replies, strict=True):
            if context.degradation.is_forbidden(REMOVING, question, listed):
                raise listed
            for row in () if isinstance(listed, ReplyError) else listed:
                if not row[b"pending"] and row[b"idle"] >= idle and row[b"name"] != member.name:
                    self._names.append((stream, row[b"name"]))

    def _remove(self) -> Steps[None]:
        stream = self._names[0][0]
        names: list[bytes] = []
        while self._names and self._names[0][0] == stream and len(names) < MOST:
            names.append(self._names.popleft()[1])
        command = remove(stream, self._context.member.group, names)
        [removed] = yield from self._context.ask(command)
        self._context.degradation.is_forbidden(REMOVING, command, removed)
        for name in checked(removed):
            self._context.emit(ConsumerRemoved(stream, name))
