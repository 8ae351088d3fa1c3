"""Streams that a group consumer begins or ceases to read while it runs.

A stream joins between two reads: its group is made sure of, and our pending entries in it are recovered, before it is read
with the others; so that a stream which cannot join leaves no trace in their reads. A read that blocks meanwhile is ended. Where
reading waits until the application has taken the entries that are here, the caller does not wait for the recovery: that comes when there is room.
"""

from __future__ import annotations

from math import inf

from ..connection.link import AT_ONCE
from ..engine.pending_change import PendingChange
from ..engine.script import Steps
from ..engine.together import pages, together
from ..errors import UNAVAILABLE, ReplyError
from .absent_streams import AbsentStreams
from .context import GroupContext
from .idling import Idling
from .reconciliation import Reconciliation
from .recovery import Backlog, Recovery
from .setup import Setup


class StreamChanges:
    """The streams that ``add_stream()`` lets join, and their recovery; true while there are any."""

    def __init__(self, context: GroupContext, backlog: Backlog, setup: Setup, reconciliation: Reconciliation) -> None:
        self._context = context
        self._backlog = backlog
        self._setup = setup
        self._reconciliation = reconciliation
        self._wanted: dict[bytes, PendingChange] = {}  # whose callers wait, by stream
        self._joined: list[bytes] = []  # whose pending entries are to be recovered

    def __bool__(self) -> bool:
        return bool(self._wanted or self._joined)

    @property
    def at(self) -> float:
        """When streams are to join: at once, or never."""
        return AT_ONCE if self._wanted or self._joined else inf

    @property
    def waiting(self) -> bool:
        """Whether the caller of ``add_stream()`` waits for a stream to join."""
        return bool(self._wanted)

    def add(self, stream: bytes) -> PendingChange | None:
        """Have a stream join between two reads; return None where it is read, or joins, already."""
        if stream in self._context.member.streams or stream in self._wanted:
            return None
        change = self._wanted[stream] = PendingChange()
        return change

    def give_up(self, change: PendingChange) -> None:
        """Cancel a pending ``add_stream()``, whose caller has left."""
        self._wanted = {stream: wanted for stream, wanted in self._wanted.items() if wanted is not change}

    def run(self) -> Steps[None]:
        """Let streams join, and recover our pending entries in them (XREADGROUP); with nothing in flight."""
        yield from self.enter()
        while self._joined:
            joined, self._joined = self._joined, []
            for stream in joined:
                self._backlog.meet(stream)
            yield from self._reconciliation.begin(joined)

    def enter(self) -> Steps[None]:
        """Let streams join; with nothing in flight."""
        for stream, change in list(self._wanted.items()):
            try:
                yield from self._setup.enter_stream(stream)
            except ReplyError as error:
                if error.code in UNAVAILABLE:  # it joins over the next connection
                    raise
                change.fail(error)
                self._setup.forget(stream)
            else:
                if self._wanted.get(stream) is not change:  # given up meanwhile
                    self._setup.forget(stream)
                    continue
                change.finish()
                self._joined.append(stream)
                self._context.member.streams[stream] = None
            if self._wanted.get(stream) is change:
                del self._wanted[stream]


class StreamArrivals:
    """Looks for the streams that a member waits for, and begins to read the streams that exist."""

    def __init__(
        self,
        context: GroupContext,
        absent: AbsentStreams,
        setup: Setup,
        recovery: Recovery,
        idling: Idling,
        changes: StreamChanges,
    ) -> None:
        self._context = context
        self._absent = absent
        self._setup = setup
        self._recovery = recovery
        self._idling = idling
        self._changes = changes

    @property
    def at(self) -> float:
        """When they are looked for, in seconds; infinite while there are none."""
        return self._absent.at

    def run(self) -> Steps[None]:
        """Look for them; where no stream can be read after that, an iteration with ``stop_on_idle`` is at its end."""
        yield from self.look()
        if not self._context.present:
            self._idling.find_nothing(waits=self._context.is_paused or bool(self._changes))

    def look(self) -> Steps[None]:
        """Find out which of the streams that are waited for exist by now, and begin to read them."""
        context, absent = self._context, self._absent
        absent.put_off()
        waiting = list(context.absent)
        for part in absent.find():
            found = yield from part
            for page in pages(found, context.looks):
                yield from together([self._setup.arrive(stream) for stream in page if stream in absent])
        for stream in waiting:
            if stream not in absent and stream in context.member.streams:
                yield from self._recovery.run(stream)
