"""Streams that a group consumer begins or ceases to read while it runs.

A stream joins between two reads: its group is made sure of, and our pending entries in it are recovered, before it is read
with the others; so that a stream which cannot join leaves no trace in their reads. A read that blocks meanwhile is ended. Where
reading waits until the application has taken the entries that are here, the caller does not wait for the recovery: that comes when there is room.
"""

from __future__ import annotations

from math import inf

from ..connection.link import AT_ONCE
from ..engine.script import Steps
from ..engine.together import pages, together
from ..errors import UNAVAILABLE, ReplyError
from ..stream_id import ZERO
from .absent_streams import AbsentStreams
from .audit import Audit
from .context import GroupContext
from .idling import Idling
from .recovery import Backlog, Recovery
from .rounds import Rounds
from .setup import Setup


class Joining:
    """A stream that is to be read. ``poll`` tells whether it is, and raises why it cannot be."""

    def __init__(self, stream: bytes) -> None:
        self.stream = stream
        self.done = False
        self.error: Exception | None = None

    def poll(self) -> bool:
        if self.error is not None:
            raise self.error
        return self.done


class StreamChanges:
    """Has streams join, as ``add_stream()`` asks for; true while any are about to."""

    def __init__(
        self,
        context: GroupContext,
        backlog: Backlog,
        setup: Setup,
        audit: Audit,
    ) -> None:
        self._context = context
        self._backlog = backlog
        self._setup = setup
        self._audit = audit
        self._wanted: list[Joining] = []
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

    def add(self, stream: bytes) -> Joining | None:
        """Have a stream join between two reads; return None where it is read, or joins, already."""
        if stream in self._context.member.streams or any(wanted.stream == stream for wanted in self._wanted):
            return None
        joining = Joining(stream)
        self._wanted.append(joining)
        return joining

    def give_up(self, joining: Joining) -> None:
        """Cancel a pending ``add_stream()``: its caller has left."""
        if joining in self._wanted:
            self._wanted.remove(joining)

    def run(self) -> Steps[None]:
        """Let streams join, and recover our pending entries in them; with nothing in flight."""
        yield from self.enter()
        while self._joined:
            for stream in self._joined:
                self._backlog.meet(stream)
            self._joined = []
            yield from self._audit.recover()

    def enter(self) -> Steps[None]:
        """Let streams join; with nothing in flight."""
        for joining in self._wanted.copy():
            try:
                yield from self._setup.enter_stream(joining.stream)
            except ReplyError as error:
                if error.code in UNAVAILABLE:  # it joins over the next connection
                    raise
                joining.error = error
                self._setup.forget(joining.stream)
            else:
                if joining not in self._wanted:  # given up meanwhile
                    self._setup.forget(joining.stream)
                    continue
                joining.done = True
                self._joined.append(joining.stream)
                self._context.member.streams.append(joining.stream)
            self.give_up(joining)


class StreamArrivals:
    """Looks for the streams that a member waits for, and begins to read those that exist."""

    def __init__(
        self,
        context: GroupContext,
        absent: AbsentStreams,
        backlog: Backlog,
        rounds: Rounds,
        setup: Setup,
        recovery: Recovery,
        idling: Idling,
        changes: StreamChanges,
    ) -> None:
        self._context = context
        self._absent = absent
        self._backlog = backlog
        self._rounds = rounds
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
                yield from together([self._meet(stream) for stream in page if stream in absent])
        for stream in waiting:
            if stream not in absent and stream in context.member.streams:
                yield from self._recovery.run(stream)

    def _meet(self, stream: bytes) -> Steps[None]:
        yield from self._setup.ensure_group(stream)
        if stream not in self._absent:
            self._backlog.begin(stream, ZERO)
            self._rounds.came(stream)
